"""The browser view: a narrow door, for looking only unless told otherwise, and the same dashboard behind it."""

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
from collections.abc import AsyncIterator
from pathlib import Path

import aiohttp
import pytest
import tui_story
from tui_browser import CHROMIUM, Browser

from registry import clock
from registry.errors import UsageError
from tui.web.server import check_door, is_loopback

REGISTRY = Path(sys.executable).parent / "registry"


@contextlib.asynccontextmanager
async def served(folder: Path, *words: str) -> AsyncIterator[str]:
    """Serve a registry and yield the address."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    process = await asyncio.create_subprocess_exec(
        REGISTRY, "web", "--port", str(port), *words, cwd=folder, stderr=asyncio.subprocess.PIPE, env=dict(os.environ)
    )
    assert process.stderr is not None
    try:
        line = await asyncio.wait_for(process.stderr.readline(), 30)
        assert b"the dashboard is at" in line
        async with asyncio.timeout(30):
            while not await _listens(port):
                await asyncio.sleep(0.05)
        yield line.decode().split()[5]
    finally:
        process.send_signal(signal.SIGINT)
        await asyncio.wait_for(process.wait(), 20)


async def _listens(port: int) -> bool:
    try:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
    except OSError:
        return False
    writer.close()
    return True


async def screen_of(http: aiohttp.ClientSession, address: str, *, until: bytes, keys: str = "", **options) -> bytes:
    """Open a dashboard through its socket, press keys, and return what it drew."""
    drawn = b""
    async with http.ws_connect(f"{address}ws?width=120&height=30", **options) as tab, asyncio.timeout(60):
        for key in ("", *keys):
            if key:
                await tab.send_json(["stdin", key])
            while until not in drawn:
                message = await tab.receive()
                drawn += message.data if isinstance(message.data, bytes) else b""
                if message.type in (aiohttp.WSMsgType.CLOSED, aiohttp.WSMsgType.ERROR):
                    raise AssertionError(drawn[-2000:])
            await asyncio.sleep(0)
    return drawn


@pytest.mark.parametrize(
    ("host", "is_local"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("0.0.0.0", False), ("10.0.0.3", False), ("gpu7", False)],
)
def test_only_this_machine_is_loopback(host: str, is_local: bool) -> None:
    assert is_loopback(host) == is_local


def test_a_wider_door_needs_a_token() -> None:
    check_door("127.0.0.1", "", allow_actions=False)
    check_door("0.0.0.0", "secret", allow_actions=True)
    with pytest.raises(UsageError, match="other machines"):
        check_door("0.0.0.0", "", allow_actions=False)
    with pytest.raises(UsageError, match="actions"):
        check_door("127.0.0.1", "", allow_actions=True)


def test_an_open_address_without_a_token_is_refused_in_one_line(story: Path) -> None:
    done = subprocess.run([REGISTRY, "web", "--host", "0.0.0.0"], cwd=story, capture_output=True, text=True, timeout=60)
    assert done.returncode == 2
    assert "--token" in done.stderr


async def test_other_names_and_other_sites_are_turned_away(own_story: Path) -> None:
    async with served(own_story) as address, aiohttp.ClientSession() as http:
        async with http.get(address, headers={"Host": "evil.example"}) as answer:
            assert answer.status == 403
        with pytest.raises(aiohttp.WSServerHandshakeError):
            await screen_of(http, address, until=b"HOLDFAST", headers={"Origin": "http://evil.example"})
        drawn = await screen_of(http, address, until=b"vae-k16-s0")
        assert b"view only" in drawn


async def test_with_a_token_only_who_has_it_comes_in(own_story: Path) -> None:
    async with (
        served(own_story, "--token", "open sesame", "--allow-actions") as address,
        aiohttp.ClientSession() as http,
    ):
        bare = address.partition("?")[0]
        async with aiohttp.ClientSession() as stranger:
            async with stranger.get(bare) as answer:
                assert answer.status == 403
            with pytest.raises(aiohttp.WSServerHandshakeError):
                await screen_of(stranger, bare, until=b"HOLDFAST")
        async with http.get(bare, params={"token": "open sesame"}) as answer:
            assert answer.status == 200
            cookie = answer.cookies["holdfast"]
        headers = {"Cookie": f"holdfast={cookie.coded_value}"}
        drawn = await screen_of(http, bare, until=b"promote", headers=headers)
        assert b"view only" not in drawn


@pytest.mark.skipif(CHROMIUM is None, reason="chromium is not installed")
async def test_chromium_shows_the_dashboard_and_takes_keys(tmp_path: Path) -> None:
    tui_story.build(tmp_path / "registry", clock.now())
    async with served(tmp_path / "registry") as address, Browser(tmp_path / "profile") as browser:
        await browser.open(address)
        await browser.wait_for("document.body && document.body.classList.contains('-first-byte')")
        await browser.wait_for("document.querySelectorAll('canvas').length > 0")
        await browser.click(600, 500)
        before = await picture_of(browser, 20_000)
        await browser.press("5")
        async with asyncio.timeout(30):
            while await browser.picture() == before:
                await asyncio.sleep(0.2)
        if os.environ.get("UPDATE_PICTURES"):
            (Path(__file__).parents[2] / "docs" / "pictures" / "browser.png").write_bytes(before)


async def picture_of(browser: Browser, n_bytes: int) -> bytes:
    """Return a picture with more on it than the page that says it is opening."""
    async with asyncio.timeout(60):
        while len(picture := await browser.picture()) < n_bytes:
            await asyncio.sleep(0.2)
    return picture

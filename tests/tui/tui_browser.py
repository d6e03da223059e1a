"""Debian's Chromium, driven through its debugging protocol: open a page, press keys, take a picture."""

import asyncio
import base64
import json
import shutil
from pathlib import Path
from typing import Any

import aiohttp

CHROMIUM = shutil.which("chromium")


class Browser:
    """One headless browser with one page; an async context manager."""

    def __init__(self, profile: Path, *, width: int = 1280, height: int = 720) -> None:
        self._profile = profile
        self._size = width, height
        self._next_id = 0

    async def __aenter__(self) -> "Browser":
        assert CHROMIUM is not None
        width, height = self._size
        self._process = await asyncio.create_subprocess_exec(
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars", "--remote-debugging-port=0",
            f"--user-data-dir={self._profile}", f"--window-size={width},{height}", "about:blank",
            stdout=asyncio.subprocess.DEVNULL, stderr=asyncio.subprocess.PIPE,
        )  # fmt: skip
        port = await asyncio.wait_for(self._port(), 30)
        self._http = aiohttp.ClientSession()
        async with self._http.get(f"http://127.0.0.1:{port}/json") as response:
            pages = await response.json()
        page = next(page for page in pages if page["type"] == "page")
        self._socket = await self._http.ws_connect(page["webSocketDebuggerUrl"], max_msg_size=64 << 20)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._socket.close()
        await self._http.close()
        self._process.terminate()
        await self._process.wait()

    async def _port(self) -> int:
        assert self._process.stderr is not None
        while line := await self._process.stderr.readline():
            if b"DevTools listening on" in line:
                return int(line.decode().rpartition("127.0.0.1:")[2].partition("/")[0])
        raise RuntimeError("the browser did not start")

    async def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send one command and return its result."""
        self._next_id += 1
        await self._socket.send_json({"id": self._next_id, "method": method, "params": parameters})
        while True:
            message = json.loads((await self._socket.receive(timeout=30)).data)
            if message.get("id") == self._next_id:
                return message.get("result", {})

    async def open(self, address: str) -> None:
        """Go to a page."""
        await self.ask("Page.navigate", url=address)

    async def value(self, script: str) -> Any:
        """Return what a script on the page says."""
        result = await self.ask("Runtime.evaluate", expression=script, returnByValue=True)
        return result.get("result", {}).get("value")

    async def wait_for(self, script: str, *, seconds: float = 30.0) -> None:
        """Wait until a script on the page says true."""
        async with asyncio.timeout(seconds):
            while not await self.value(script):
                await asyncio.sleep(0.1)

    async def press(self, text: str) -> None:
        """Type a key that has a character."""
        for kind in ("keyDown", "keyUp"):
            await self.ask("Input.dispatchKeyEvent", type=kind, text=text if kind == "keyDown" else "", key=text)

    async def click(self, x: int, y: int) -> None:
        """Click at a place of the page."""
        for kind in ("mousePressed", "mouseReleased"):
            await self.ask("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", clickCount=1)

    async def picture(self) -> bytes:
        """Return the page as PNG."""
        shot = await self.ask("Page.captureScreenshot", format="png")
        return base64.b64decode(shot["data"])

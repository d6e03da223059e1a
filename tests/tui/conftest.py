"""The dashboard under test: a registry built once, a frozen clock, a state folder of its own, no fault is hidden."""

import shutil
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
import tui_story
from textual.pilot import Pilot

from registry import clock
from tui.app import Dashboard
from tui.screens.asking import Asking
from tui.screens.base import RegistryScreen

Open = Callable[..., AbstractAsyncContextManager[tuple[Dashboard, Pilot[None]]]]


@pytest.fixture(autouse=True)
def _own_house(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Faults are raised instead of shown, and nothing is remembered from one test to the next."""
    monkeypatch.setenv("REGISTRY_DEBUG", "1")
    monkeypatch.setenv("REGISTRY_USER", "lab")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    for name in ("NO_COLOR", "REGISTRY_DB", "REGISTRY_RUN_ID"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def written(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The folder of a registry with a small story in it, and a copy of it that nobody opens."""
    folder = tmp_path_factory.mktemp("story")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REGISTRY_USER", "lab")
        patch.setattr("socket.gethostname", lambda: "box")
        tui_story.build(folder)
    return folder, Path(shutil.copytree(folder, tmp_path_factory.mktemp("untouched") / "registry"))


@pytest.fixture(scope="session")
def untouched(written: tuple[Path, Path]) -> Path:
    """The story as it was written: who looks at the other with a later clock finds its running runs dead."""
    return written[1]


@pytest.fixture(scope="session")
def story(written: tuple[Path, Path]) -> Path:
    """The folder of a registry with a small story in it; to be read only."""
    return written[0]


@pytest.fixture
def own_story(untouched: Path, tmp_path: Path) -> Path:
    """A copy of the story that may be changed; its remote still lies where it was."""
    return Path(shutil.copytree(untouched, tmp_path / "registry"))


@pytest.fixture
def frozen() -> Iterator[None]:
    """The clock stands at the time of the story."""
    with clock.frozen(tui_story.NOW):
        yield


@asynccontextmanager
async def opened(
    folder: Path, size: tuple[int, int] = (100, 30), *, view_only: bool = False
) -> AsyncIterator[tuple[Dashboard, Pilot[None]]]:
    app = Dashboard(str(folder / "runs.db"), view_only=view_only)
    app.theme = "holdfast-deep"
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: app.status is not None or app.trouble is not None)
        await settle(app, pilot)
        yield app, pilot


@pytest.fixture
def open_dashboard() -> Open:
    """Open the dashboard over a folder and wait until everything it asked for is on the screen."""
    return opened


async def until(pilot: Pilot[None], holds: Callable[[], object], seconds: float = 20.0) -> None:
    """Wait until something holds."""
    for _ in range(int(seconds / 0.02)):
        if holds():
            return
        await pilot.pause(0.02)
    raise AssertionError("it never came to hold")


async def settle(app: Dashboard, pilot: Pilot[None]) -> None:
    """Wait until no question is open or due, no message waits and every answer is shown."""
    quiet = 0
    while quiet < 3:
        await pilot.pause(0.05)
        quiet = 0 if app.jobs.running or is_busy(app) else quiet + 1


def is_busy(app: Dashboard) -> bool:
    """Return whether something is still to come to the screen on top."""
    screen = app.screen
    if any(node.message_queue_size for node in (app, screen, *screen.query("*"))):
        return True
    if isinstance(screen, RegistryScreen) and screen.is_stale and app.store.is_open and app.held is None:
        return app.trouble is None
    return isinstance(screen, Asking) and screen.is_busy

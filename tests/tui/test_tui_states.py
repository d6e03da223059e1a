"""Every screen says something clear: with a story in it, empty, while it loads, and when the registry is in trouble."""

import contextlib
import os
import shutil
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
import tui_story
from conftest import Open, settle, until
from rich.segment import Segment
from textual.color import Color
from textual.pilot import Pilot
from tui_screen_text import screen_text

import registry
from registry import clock, events
from registry.database import open_database
from registry.errors import HoldfastError
from tui.app import Dashboard
from tui.messages import RegistryLost
from tui.screens.asking import Asking
from tui.watch import Watcher

Watch = Callable[[Watcher, threading.Event], None]
PICTURES = Path(__file__).parent / "screens"
SIZES = ((80, 24), (140, 40))
MODES = dict(
    zip("12345678", ("runs", "run", "compare", "custody", "deployments", "datasets", "live", "alerts"), strict=True)
)


def same_pictures(name: str, texts: dict[str, str]) -> None:
    """Compare screens with those that were kept; UPDATE_PICTURES=1 keeps these."""
    path = PICTURES / f"{name}.txt"
    found = "".join(f"=== {mode}\n{text}" for mode, text in texts.items())
    if os.environ.get("UPDATE_PICTURES"):
        PICTURES.mkdir(exist_ok=True)
        path.write_text(found)
    kept = path.read_text()
    different = [mode for mode, text in texts.items() if f"=== {mode}\n{text}" not in kept]
    assert not different, f"{different} look different ({path}); if they should: UPDATE_PICTURES=1"
    assert found == kept


async def every_screen(app: Dashboard, pilot: Pilot[None]) -> dict[str, str]:
    """Go through the screens and return what each shows."""
    texts = {}
    for key, mode in MODES.items():
        await pilot.press(key)
        await settle(app, pilot)
        texts[mode] = screen_text(app)
    return texts


def lost(watcher: Watcher, stop: threading.Event) -> None:
    """Watch a registry that is not well."""
    watcher._post(RegistryLost(HoldfastError("/lab/runs.db is not a database", hint="registry restore --from vault")))


@pytest.mark.usefixtures("frozen")
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_screens_with_a_story_look_as_they_did(
    own_story: Path, open_dashboard: Open, size: tuple[int, int]
) -> None:
    with contextlib.closing(sqlite3.connect(own_story / "runs.db")) as record:
        record.execute("UPDATE remote SET url = '/mnt/nas/vault'")
        record.commit()
    async with open_dashboard(own_story, size) as (app, pilot):
        app.screen.table.move_to(tui_story.run_id("vae-k16-s0"))
        await pilot.press("space", "space", "1")
        same_pictures(f"story-{size[0]}x{size[1]}", await every_screen(app, pilot))


@pytest.mark.usefixtures("frozen")
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
async def test_empty_screens_say_what_to_do_first(tmp_path: Path, open_dashboard: Open, size: tuple[int, int]) -> None:
    open_database(str(tmp_path / "runs.db"), create=True).close()
    async with open_dashboard(tmp_path, size) as (app, pilot):
        texts = await every_screen(app, pilot)
        assert "registry run -- python train.py" in texts["runs"]
        same_pictures(f"empty-{size[0]}x{size[1]}", texts)


@pytest.mark.usefixtures("frozen")
@pytest.mark.parametrize("size", SIZES, ids=lambda size: f"{size[0]}x{size[1]}")
@pytest.mark.parametrize(
    ("state", "watch", "said"),
    [("loading", lambda watcher, stop: None, "reading the registry"), ("error", lost, "is not a database")],
)
async def test_screens_without_a_registry_look_as_they_did(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int], state: str, watch: Watch, said: str
) -> None:
    monkeypatch.setattr("tui.watch.Watcher.run", watch)
    app = Dashboard(str(tmp_path / "runs.db"))
    app.theme = "holdfast-deep"
    async with app.run_test(size=size) as pilot:
        await until(pilot, lambda: said in screen_text(app))
        texts = await every_screen(app, pilot)
        assert all(said in text for text in texts.values())
        same_pictures(f"{state}-{size[0]}x{size[1]}", texts)


async def test_a_folder_without_a_registry_waits_for_one_and_shows_it(tmp_path: Path, open_dashboard: Open) -> None:
    async with open_dashboard(tmp_path) as (app, pilot):
        text = screen_text(app)
        assert "no registry at" in text
        assert "registry run -- python train.py" in text
        with registry.init("first", "hello", db=str(tmp_path / "runs.db")) as run:
            run.log({"loss": 1.0}, step=0)
        await until(pilot, lambda: "hello" in screen_text(app))
        assert app.trouble is None


async def test_a_corrupt_registry_is_told_in_one_line(tmp_path: Path, open_dashboard: Open) -> None:
    (tmp_path / "runs.db").write_bytes(b"this is no database at all" * 100)
    async with open_dashboard(tmp_path) as (app, _):
        text = screen_text(app)
        assert "is not a database" in text
        assert "registry restore" in text


@pytest.mark.usefixtures("frozen")
async def test_a_registry_that_vanishes_is_told_and_found_again(own_story: Path, open_dashboard: Open) -> None:
    async with open_dashboard(own_story) as (app, pilot):
        away = own_story / "away"
        away.mkdir()
        for path in own_story.glob("runs.db*"):
            path.rename(away / path.name)
        shutil.move(own_story / "runs", away / "runs")
        await until(pilot, lambda: app.trouble is not None)
        await until(pilot, lambda: "no registry at" in screen_text(app))
        shutil.move(away / "runs", own_story / "runs")
        for path in away.glob("runs.db*"):
            path.rename(own_story / path.name)
        await until(pilot, lambda: app.trouble is None)
        await until(pilot, lambda: "vae-k16-s0" in screen_text(app))


@pytest.mark.usefixtures("frozen")
async def test_a_locked_registry_is_still_shown(own_story: Path, open_dashboard: Open) -> None:
    async with open_dashboard(own_story) as (app, pilot):
        lock = sqlite3.connect(own_story / "runs.db", isolation_level=None)
        lock.execute("BEGIN EXCLUSIVE")
        for key in MODES:
            await pilot.press(key)
            await settle(app, pilot)
            assert "HOLDFAST" in screen_text(app)
        await pilot.press("1")
        await settle(app, pilot)
        assert "vae-k16-s0" in screen_text(app)
        lock.rollback()
        lock.close()


async def test_another_process_that_records_is_followed(tmp_path: Path, open_dashboard: Open) -> None:
    run = registry.init("live", "watched", db=str(tmp_path / "runs.db"), total_steps=4)
    run.define_metric("val/loss", goal="min", primary=True)
    run.log({"val/loss": 2.0}, step=0)
    async with open_dashboard(tmp_path) as (app, pilot):
        await until(pilot, lambda: "watched" in screen_text(app))
        for step in range(1, 4):
            run.log({"val/loss": 2.0 - step * 0.5}, step=step)
        await until(pilot, lambda: "0.5000 @3" in screen_text(app))
        assert "running 100%" in screen_text(app)
        run.finish()
        await until(pilot, lambda: "finished" in screen_text(app))


HOSTILE = [
    "[bold red]not markup[/] [@click=app.quit]x[/]", "a" * 500, "日本語" * 60, "שלום \u202eעולם", "e\u0301" * 80,
    "\x1b[2J\x1b[31mred\x07", "tab\there\nand there", "👩‍🔬👨‍👩‍👧‍👦" * 10, "%s {0} $primary",
    "\ud83d", " ", "'; DROP TABLE run; --",
]  # fmt: skip


@pytest.mark.parametrize("size", [(80, 24), (20, 6), (200, 60)], ids=lambda size: f"{size[0]}x{size[1]}")
async def test_hostile_names_are_shown_as_text_on_every_screen(
    tmp_path: Path, open_dashboard: Open, size: tuple[int, int]
) -> None:
    began = clock.now() - 60
    for k, name in enumerate(HOSTILE):
        folder = tmp_path / "runs" / f"h-{k:010x}"
        folder.mkdir(parents=True)
        happened: list[events.Event] = [
            events.Start(at=began, run=f"{k:010x}", name=name, experiment=name, params={name: name}, tags=[name]),
            events.Metrics(at=began, s=1, v={name: 1.0, "val/loss": "NaN" if k % 2 else 0.5}),
            events.Note(at=began, text=name, level="warning"),
            events.UseDataset(at=began, name=name.replace("@", ""), version="1"),
            events.End(at=began + 5, status="failed", evidence=name),
        ]
        (folder / "journal.jsonl").write_bytes(b"".join(map(events.encode, happened)))
        (folder / "output.log").write_bytes(name.encode("utf-8", "surrogatepass"))
    async with open_dashboard(tmp_path, size) as (app, pilot):
        for key in (*"12345678", "1", "space", "space", "space", "c", "1", "enter", *["tab"] * 8, "question_mark"):
            await pilot.press(key)
            await settle(app, pilot)
            text = screen_text(app)
            assert "\x1b" not in text
        assert app.is_running


@pytest.mark.usefixtures("frozen")
async def test_the_terminal_may_be_resized_at_any_time(own_story: Path, open_dashboard: Open) -> None:
    async with open_dashboard(own_story, (140, 40)) as (app, pilot):
        for key in MODES:
            await pilot.press(key)
            for size in ((20, 5), (300, 90), (60, 12), (140, 40)):
                await pilot.resize_terminal(*size)
                await pilot.pause()
            assert isinstance(app.screen, Asking)
        await settle(app, pilot)
        assert "HOLDFAST" in screen_text(app)


def coloured(app: Dashboard, segments: list[Segment]) -> list[Segment]:
    """Return those segments that go to the terminal in another colour than its own."""
    for line_filter in app.get_line_filters():
        segments = line_filter.apply(segments, Color.parse("ansi_default"))
    return [s for s in segments if s.style and s.style.color and not s.style.color.is_default]


@pytest.mark.usefixtures("frozen")
async def test_without_colour_the_terminal_keeps_its_own_and_the_cursor_is_still_seen(
    own_story: Path, open_dashboard: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NO_COLOR", "1")
    app = Dashboard(str(own_story / "runs.db"))
    assert app.current_theme.ansi
    async with app.run_test(size=(80, 24)) as pilot:
        await until(pilot, lambda: app.status is not None)
        await settle(app, pilot)
        row = app.screen.table.render_line(app.screen.table.cursor + 1)
        assert any(segment.style and segment.style.reverse for segment in row)
        assert not coloured(app, list(row))
        text = screen_text(app)
        assert "▌" in text
        for word in ("✓ finished", "✗ failed", "● running", "✗ 20 artifacts"):
            assert word in text


@pytest.mark.usefixtures("frozen")
@pytest.mark.parametrize("theme", ["holdfast-shore", "ansi-dark", "ansi-light", "textual-light", "nord"])
async def test_every_theme_draws_every_screen(own_story: Path, open_dashboard: Open, theme: str) -> None:
    async with open_dashboard(own_story) as (app, pilot):
        app.theme = theme
        for key in MODES:
            await pilot.press(key)
            await settle(app, pilot)
        assert "critical" in screen_text(app)


@pytest.mark.usefixtures("frozen")
async def test_a_filter_that_says_nothing_is_told_beside_itself(own_story: Path, open_dashboard: Open) -> None:
    async with open_dashboard(own_story, (120, 30)) as (app, pilot):
        await pilot.press("slash", *"colour:red")
        await until(pilot, lambda: "no field 'colour'" in screen_text(app))
        assert "vae-k16-s0" in screen_text(app)


async def test_a_fault_in_one_question_is_told_and_the_dashboard_lives(
    own_story: Path, open_dashboard: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REGISTRY_DEBUG")
    async with open_dashboard(own_story) as (app, pilot):
        monkeypatch.setattr(app.store, "datasets", lambda: 1 / 0)
        monkeypatch.setattr("tui.snapshots.Store.datasets", lambda self: 1 / 0)
        await pilot.press("6")
        await until(pilot, lambda: "ZeroDivisionError" in screen_text(app))
        await pilot.press("1")
        await settle(app, pilot)
        assert "vae-k16-s0" in screen_text(app)

"""Every action of the table is done once by its key, and what it promises happens."""

from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
import tui_story
from conftest import Open, settle, until
from textual.pilot import Pilot
from textual.widgets import Input
from tui_screen_text import screen_text

from tui.actions import ACTIONS
from tui.app import Dashboard
from tui.screens.dialogs import ChooseDialog, ColumnsDialog, ConfirmDialog, LinesDialog, TextDialog
from tui.screens.help import HelpScreen
from tui.screens.jump import JumpScreen
from tui.screens.promote import PromoteDialog
from tui.screens.remotes import RemoteDialog
from tui.widgets.chart import Chart
from tui.widgets.table import Table

pytestmark = pytest.mark.usefixtures("frozen")
Deed = Callable[[Dashboard, Pilot[None]], Awaitable[None]]
DEEDS: dict[str, Deed] = {}


def does(*ids: str) -> Callable[[Deed], Deed]:
    """Say which actions a test does."""

    def remember(deed: Deed) -> Deed:
        DEEDS.update(dict.fromkeys(ids, deed))
        return deed

    return remember


async def press(app: Dashboard, pilot: Pilot[None], *keys: str) -> str:
    """Press keys one after the other, each when the one before has had its effect; return the screen."""
    for key in keys:
        await pilot.press(key)
        await settle(app, pilot)
    return screen_text(app)


def on_run(app: Dashboard, name: str) -> None:
    """Put the cursor on a run."""
    assert app.screen.query_one(Table).move_to(tui_story.run_id(name))


@does(*(f"app.{mode}" for mode in ("runs", "run", "compare", "custody", "deployments", "datasets", "live", "alerts")))
async def _numbers_go_to_screens(app, pilot) -> None:
    for key, said in zip("2345678", ("Overview", "nothing to compare", "vault", "production", "edgejson@v2",
                                     "vae-k32-s0", "critical"), strict=True):  # fmt: skip
        assert said in await press(app, pilot, key)
    assert "15 runs" in await press(app, pilot, "1")


@does("app.help")
async def _help_lists_the_keys_of_this_screen(app, pilot) -> None:
    text = await press(app, pilot, "question_mark")
    assert isinstance(app.screen, HelpScreen)
    assert "Mark the run for comparing" in text
    await press(app, pilot, "escape")
    assert not isinstance(app.screen, HelpScreen)


@does("app.palette")
async def _the_palette_offers_what_is_possible_and_does_it(app, pilot) -> None:
    await press(app, pilot, "ctrl+p", *"group")
    await until(pilot, lambda: "Runs: Group" in screen_text(app))
    await press(app, pilot, "enter")
    await until(pilot, lambda: getattr(app.screen, "wanted", None) and app.screen.wanted.group == "experiment")


@does("app.back")
async def _escape_goes_back_to_the_screen_before(app, pilot) -> None:
    await press(app, pilot, "5", "8", "escape")
    assert app.current_mode == "deployments"
    await press(app, pilot, "escape")
    assert app.current_mode == "runs"


@does("app.jump")
async def _a_letter_jumps(app, pilot) -> None:
    await press(app, pilot, "ctrl+o")
    assert isinstance(app.screen, JumpScreen)
    letter = next(k for k, target in app.screen.targets.items() if "alerts" in target.action)
    await press(app, pilot, letter)
    assert app.current_mode == "alerts"


@does("app.pause")
async def _a_pause_counts_what_it_holds_back(app, pilot) -> None:
    assert "paused, 0 changes held" in await press(app, pilot, "z")
    with app.store.db.write() as session:
        from registry import audit

        audit.record(session, "note", "test", {})
    await until(pilot, lambda: app.held)
    assert "paused, 1 change held" in screen_text(app)
    assert "paused" not in await press(app, pilot, "z")


@does("app.refresh")
async def _reload_asks_again(app, pilot) -> None:
    before = app.screen.index
    await press(app, pilot, "ctrl+r")
    assert app.screen.index is not before


@does("app.theme")
async def _the_theme_changes_and_is_remembered(app, pilot) -> None:
    await press(app, pilot, "t")
    assert app.theme == "holdfast-shore"
    assert app.memory.theme == "holdfast-shore"


@does("app.cancel")
async def _there_may_be_no_job_to_stop(app, pilot) -> None:
    await press(app, pilot, "ctrl+x")
    assert any("no job" in note.message for note in app._notifications)


@does("app.quit")
async def _q_leaves(app, pilot) -> None:
    await pilot.press("q")
    await until(pilot, lambda: not app.is_running)


@does("table.down", "table.up", "table.page_down", "table.page_up", "table.first", "table.last")
async def _the_cursor_moves(app, pilot) -> None:
    table = app.screen.query_one(Table)
    await press(app, pilot, "j", "down", "k")
    assert table.cursor == 1
    await press(app, pilot, "end", "pageup", "pagedown", "home")
    assert table.cursor == 0


@does("table.right", "table.left")
async def _columns_move_sideways(app, pilot) -> None:
    table = app.screen.query_one(Table)
    await press(app, pilot, "l", "l", "h")
    assert table.first_column == 1


@does("table.open")
async def _enter_opens_the_run(app, pilot) -> None:
    on_run(app, "vae-k16-s0")
    text = await press(app, pilot, "enter")
    assert app.current_mode == "run"
    assert "ternary, 4 of 4 pass" in text


@does("runs.mark", "runs.unmark", "runs.compare")
async def _marked_runs_are_compared(app, pilot) -> None:
    on_run(app, "vae-k16-s2")
    assert "2 marked" in await press(app, pilot, "space", "space")
    text = await press(app, pilot, "c")
    assert app.current_mode == "compare"
    assert "★" in text
    await press(app, pilot, "1", "u")
    assert app.marked == ()


@does("runs.pin")
async def _the_baseline_is_pinned(app, pilot) -> None:
    on_run(app, "vae-k16-s1")
    assert "▣" in await press(app, pilot, "b")
    await press(app, pilot, "b")
    assert app.baseline is None


@does("runs.filter", "runs.leave_filter")
async def _a_filter_narrows_and_escape_clears_it(app, pilot) -> None:
    await press(app, pilot, "slash", *"tag:seeds")
    await until(pilot, lambda: len(app.screen.index.ids) == 3)
    assert "3 of 15 runs" in screen_text(app)
    await press(app, pilot, "enter", "escape")
    await until(pilot, lambda: len(app.screen.index.ids) == 15)


@does("runs.sort", "runs.reverse")
async def _runs_are_sorted_by_a_metric_and_turned_around(app, pilot) -> None:
    await press(app, pilot, "s", *"val/loss")
    assert isinstance(app.screen, ChooseDialog)
    text = await press(app, pilot, "enter")
    assert "by val/loss, best first" in text
    assert app.screen.query_one(Table).n_rows == 15
    best = app.screen.index.ids[0]
    assert "worst first" in await press(app, pilot, "x")
    assert app.screen.index.ids[0] != best


@does("runs.group")
async def _runs_of_one_seed_stand_together_with_their_spread(app, pilot) -> None:
    text = await press(app, pilot, "g", "g", "g")
    assert "±" in text
    assert app.memory.group == "seed"
    heading = next(
        k
        for k in range(20)
        if app.screen._lines.key(k).startswith("group:ternary_vae: batch=256, beta=0.01, latent=16")
    )
    app.screen.query_one(Table).cursor = heading
    n_rows = app.screen.query_one(Table).n_rows
    await press(app, pilot, "enter")
    assert app.screen.query_one(Table).n_rows == n_rows - 3


@does("runs.columns")
async def _columns_are_chosen_and_remembered(app, pilot) -> None:
    await press(app, pilot, "o")
    assert isinstance(app.screen, ColumnsDialog)
    await press(app, pilot, "down", "space", "enter")
    assert "status" not in app.memory.columns
    assert "Status" not in screen_text(app)


@does("runs.promote")
async def _the_checks_are_shown_and_cancel_is_first(app, pilot) -> None:
    on_run(app, "vae-k4-weak")
    text = await press(app, pilot, "P")
    assert isinstance(app.screen, PromoteDialog)
    assert app.screen.focused.id == "cancel"
    assert "run-ended" in text
    assert "Refused by" in text
    assert app.screen.query_one("#yes").disabled
    await press(app, pilot, "escape")


@does("runs.preview")
async def _the_preview_comes_and_goes(app, pilot) -> None:
    before = app.screen.preview.display
    await press(app, pilot, "m")
    assert app.screen.preview.display != before


@does("runs.metric", "runs.metric_back", "runs.log_scale")
async def _the_preview_shows_another_metric(app, pilot) -> None:
    chart = app.screen.query_one(Chart)
    first = chart.figure.title
    await press(app, pilot, "right_square_bracket")
    second = chart.figure.title
    await press(app, pilot, "right_square_bracket", "left_square_bracket", "y")
    assert (first, chart.figure.title) == ("val/loss", second)
    assert second != first
    assert chart.look.log


@does("run.next_tab", "run.last_tab")
async def _the_pages_of_a_run_follow_each_other(app, pilot) -> None:
    on_run(app, "denoiser-26m")
    said = ("val/loss", "truncate", "no gate suite", "best.safetensors", "step", "artifact", "made")
    await press(app, pilot, "enter")
    for word in said:
        assert word in await press(app, pilot, "tab")
    await press(app, pilot, "shift+tab")
    assert app.screen.tab == "events"


@does("run.promote")
async def _a_run_is_promoted_from_its_page(app, pilot) -> None:
    on_run(app, "vae-k16-s1")
    await press(app, pilot, "enter", "P")
    assert isinstance(app.screen, PromoteDialog)
    await press(app, pilot, "escape")


@does("run.copy", "run.verify")
async def _a_run_is_copied_and_verified(app, pilot) -> None:
    on_run(app, "vae-k16-s2")
    await press(app, pilot, "enter", *["tab"] * 4, "c")
    assert isinstance(app.screen, RemoteDialog)
    await press(app, pilot, "enter")
    await until(pilot, lambda: "✓ 1 verified" in screen_text(app))
    await press(app, pilot, "v")
    await until(pilot, lambda: any("copies verified" in note.message for note in app._notifications))


@does(
    "run.turn",
    "run.turn_back",
    "run.log_scale",
    "run.smooth",
    "run.x",
    "run.alone",
    "run.zoom",
    "run.zoom_out",
    "run.system",
)
async def _charts_are_turned_scaled_smoothed_and_zoomed(app, pilot) -> None:
    on_run(app, "vae-k16-s0")
    await press(app, pilot, "enter", "tab")
    grid = app.screen.grid
    first = grid.shown_names
    await press(app, pilot, "pagedown")
    assert grid.shown_names != first
    await press(app, pilot, "N", "y", "w", "a", "f")
    assert (grid.shown_names[0], grid.look.log, grid.smoothing, grid.look.x, grid.alone) == (
        first[0],
        True,
        0.6,
        "time",
        True,
    )
    await press(app, pilot, "plus")
    assert grid.look.zoom is not None
    await press(app, pilot, "minus", "S")
    assert grid.look.zoom is None
    assert "system/gpu" in grid.names


@does("run.search", "run.find", "run.find_back", "run.follow")
async def _the_output_is_searched(app, pilot) -> None:
    on_run(app, "vae-k16-s0")
    await press(app, pilot, "enter", *["tab"] * 5)
    log = app.screen.log_view
    await press(app, pilot, "slash", *"step   12", "enter")
    assert log.matches == [13]
    assert not log.following
    await press(app, pilot, "n", "N", "f")
    assert log.following


@does(
    "compare.differences",
    "compare.baseline",
    "compare.last",
    "compare.chart",
    "compare.log_scale",
    "compare.smooth",
    "compare.x",
)
async def _a_comparison_is_looked_at_from_all_sides(app, pilot) -> None:
    on_run(app, "vae-k16-s2")
    await press(app, pilot, "space", "space", "space", "c")
    screen = app.screen
    assert "batch" not in screen.compared.comparison.params
    await press(app, pilot, "d")
    assert "batch" in screen.compared.comparison.params
    baseline = screen.compared.comparison.baseline_id
    await press(app, pilot, "b", "L")
    assert screen.compared.comparison.baseline_id != baseline
    assert screen.compared.comparison.last
    await press(app, pilot, "y", "w", "a", "m")
    assert (screen.chart.look.log, screen.chart.smoothing, screen.over, screen.chart.display) == (
        True,
        0.6,
        "time",
        False,
    )


@does("compare.copy")
async def _a_comparison_is_copied_and_written(app, pilot, monkeypatch=None) -> None:
    on_run(app, "vae-k16-s0")
    await press(app, pilot, "space", "space", "c", "e", "enter")
    await until(pilot, lambda: "vae-k16-s0" in app.clipboard)
    assert app.clipboard.startswith("| ")


@does("custody.copy", "custody.verify", "custody.all", "custody.copy_all", "custody.scrub", "custody.look")
async def _copies_are_made_and_read_back(app, pilot) -> None:
    await press(app, pilot, "4")
    n_before = app.screen.custody.n_unsafe
    await press(app, pilot, "c", "enter")
    await until(pilot, lambda: app.screen.custody.n_unsafe < n_before)
    await press(app, pilot, "C", "enter")
    await until(pilot, lambda: app.screen.custody.n_unsafe == 0)
    assert "every artifact has its verified copies" in screen_text(app)
    assert "✓ vault" in await press(app, pilot, "a")
    for key, word in (("v", "copies verified"), ("V", "copies verified"), ("p", "is the place it was")):
        app.clear_notifications()
        await press(app, pilot, key)
        await until(pilot, lambda word=word: any(word in note.message for note in app._notifications))


@does("custody.release")
async def _the_guard_answers_with_every_reason(app, pilot) -> None:
    await press(app, pilot, "4", "r")
    await until(pilot, lambda: isinstance(app.screen, LinesDialog) or len(app._notifications))
    if isinstance(app.screen, LinesDialog):
        assert app.screen.lines[0].startswith("no: ")


@does("deployments.promote", "deployments.rollback")
async def _a_target_is_rolled_back_after_a_question(app, pilot) -> None:
    from registry import promotion

    run_id = tui_story.run_id("vae-k16-s1")
    promotion.promote(app.store.db, run_id, "production", overrides=["not-worse"], reason="to see it rolled back")
    await press(app, pilot, "5", "R")
    assert isinstance(app.screen, ConfirmDialog)
    assert app.screen.focused.id == "cancel"
    await press(app, pilot, "right", "enter")
    await until(pilot, lambda: app.screen.deployments and app.screen.deployments[0]["run_name"] == "vae-k16-s0")
    await press(app, pilot, "P")
    assert isinstance(app.screen, PromoteDialog)
    await press(app, pilot, "escape")


@does("datasets.invalidate")
async def _a_data_set_is_declared_invalid_with_a_reason(app, pilot) -> None:
    await press(app, pilot, "6", "down", "I")
    assert isinstance(app.screen, TextDialog)
    await press(app, pilot, *"wrong", "enter")
    await until(pilot, lambda: any(row["reason"] == "wrong" for row in app.screen.datasets))


@does("live.log")
async def _the_output_of_a_running_run_is_opened(app, pilot) -> None:
    await press(app, pilot, "7", "o")
    assert (app.current_mode, app.screen.tab) == ("run", "log")


@does("alerts.go", "alerts.acknowledge", "alerts.all", "alerts.copy", "alerts.fold")
async def _alerts_stand_by_kind_and_whole_kinds_are_acknowledged(app, pilot) -> None:
    text = await press(app, pilot, "8")
    screen = app.screen
    assert "▸ 20 artifacts have no verified copy" in text
    assert "do: registry copy --all --to REMOTE" in text
    await press(app, pilot, "y", "a")
    assert app.clipboard == "registry copy --all --to REMOTE"
    assert app.screen is screen, "a critical alert cannot be acknowledged away"
    n_folded = screen.table.n_rows
    assert "best.safetensors of run rank-infonce" in await press(app, pilot, "space")
    assert screen.table.n_rows == n_folded + 20
    assert "do: registry copy 2945321d2e --to REMOTE" in await press(app, pilot, "down")
    kind = next(kind for kind in screen.kinds if kind.severity == "warning" and len(kind.alerts) > 1)
    assert screen.table.move_to(f"kind:warning:{kind.code}")
    await press(app, pilot, "a", *"known", "enter")
    await until(pilot, lambda: kind.code not in {found.code for found in screen.kinds})
    await press(app, pilot, "v")
    await until(pilot, lambda: kind in screen.kinds)
    screen.table.cursor = 0
    await press(app, pilot, "g")
    assert app.current_mode == "custody"


@pytest.mark.parametrize("deed", dict.fromkeys(DEEDS.values()), ids=lambda deed: deed.__name__.strip("_"))
async def test_deed(deed: Deed, own_story: Path, open_dashboard: Open, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(own_story)
    async with open_dashboard(own_story, (110, 34)) as (app, pilot):
        await deed(app, pilot)


def test_every_action_is_done_by_a_test() -> None:
    assert {action.id for action in ACTIONS} == set(DEEDS)


async def test_view_only_offers_no_changes_and_the_store_refuses_them(own_story: Path, open_dashboard: Open) -> None:
    from registry.errors import RefusedError

    async with open_dashboard(own_story, (110, 34), view_only=True) as (app, pilot):
        on_run(app, "vae-k4-weak")
        text = await press(app, pilot, "P")
        assert not isinstance(app.screen, PromoteDialog)
        assert "promote" not in text
        assert "view only" in text
        with pytest.raises(RefusedError):
            app.store.for_change()


async def test_an_override_needs_the_names_typed_and_a_reason(own_story: Path, open_dashboard: Open) -> None:
    async with open_dashboard(own_story, (110, 34)) as (app, pilot):
        on_run(app, "vae-k4-weak")
        await press(app, pilot, "P")
        dialog = app.screen
        names, reason, yes = (
            dialog.query_one("#promote-names", Input),
            dialog.query_one("#promote-reason", Input),
            dialog.query_one("#yes"),
        )
        refusing = [check.check for check in dialog.proposal.checks if check.verdict != "pass"]
        names.value = refusing[0]
        reason.value = "we need it today"
        await pilot.pause()
        assert yes.disabled == (len(refusing) > 1)
        names.value = ", ".join(refusing)
        await pilot.pause()
        assert not yes.disabled
        await pilot.click("#yes")
        await until(pilot, lambda: dialog.changed)
        assert "production serves vae-k4-weak" in screen_text(app)
        deployed = app.store.deployments()[0]
        assert sorted(deployed["overrides"]) == sorted(refusing)
        assert deployed["reason"] == "we need it today"


async def test_keys_of_registry_toml_are_used_and_shown(own_story: Path, open_dashboard: Open) -> None:
    settings = own_story / "registry.toml"
    settings.write_text(settings.read_text() + '\n[keys]\n"runs.promote" = "D"\n"runs.fly" = "f"\n')
    async with open_dashboard(own_story, (110, 34)) as (app, pilot):
        assert "D promote" in screen_text(app)
        assert any("runs.fly" in note.message for note in app._notifications)
        await press(app, pilot, "D")
        assert isinstance(app.screen, PromoteDialog)


async def test_what_was_chosen_is_there_in_the_next_session(own_story: Path, open_dashboard: Open) -> None:
    async with open_dashboard(own_story) as (app, pilot):
        await press(app, pilot, "s", *"name", "enter", "g")
    async with open_dashboard(own_story) as (app, pilot):
        assert (app.screen.wanted.sort_by, app.screen.wanted.group) == ("name", "experiment")

"""Live: what runs now, how far it is, how fast, what it costs, and its last words."""

from functools import partial
from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container, Vertical
from textual.content import Content
from textual.timer import Timer
from textual.widgets import Static

from registry import clock
from registry.errors import HoldfastError
from tui.actions import bindings
from tui.facts import Live, LiveRun
from tui.screens.base import RegistryScreen
from tui.snapshots import Store
from tui.text import clean, count
from tui.views import live as views
from tui.widgets.chart import Chart
from tui.widgets.logview import LogView
from tui.widgets.table import Cell, ListLines, Table

TICK_S = 2.0
"""Ages and times left move on although nobody wrote anything."""


class LiveScreen(RegistryScreen):
    """The running runs; the chosen one with its chart, its machine and its last lines."""

    MODE = "live"
    BINDINGS: ClassVar[list[BindingType]] = bindings("live")
    AUTO_FOCUS = "Table"

    def __init__(self) -> None:
        super().__init__()
        self.live: Live | None = None
        self._tick: Timer | None = None

    def compose_body(self) -> ComposeResult:
        """A caption, the table, and of the chosen run a chart, its machine, its output."""
        yield Static(classes="caption")
        yield Table(views.COLUMNS, opens=True)
        with Container(classes="desk", id="live-desk"):
            with Vertical(id="live-left"):
                yield Chart(id="live-chart")
                yield Static(id="live-machine")
            yield LogView(id="live-log")

    @property
    def table(self) -> Table:
        """The table."""
        return self.query_one(Table)

    def begin(self) -> None:
        """Say that the runs are being read; let ages move on."""
        self.table.show_state(Cell("reading …", "muted"))
        self.query_one("#live-desk").display = False
        self.table.styles.height = "1fr"
        self._tick = self.set_interval(TICK_S, self._show_again)

    def on_resize(self) -> None:
        """Put the output beside or below the chart."""
        wide = self.app.size.width >= 110
        self.query_one("#live-desk").set_class(wide, "-beside").set_class(not wide, "-below")

    def reload(self) -> None:
        """Ask for the running runs."""
        self.ask("live", Store.live)

    def _show_again(self) -> None:
        if self.live is not None and self.dashboard.held is None and self.is_current:
            self._show(self.live)

    def take_live(self, live: Live) -> None:
        """Show them."""
        self.live = live
        self._show(live)
        self.query_one("#live-desk").display = bool(live.runs)
        self._ask_chosen()
        self.refresh_bindings()

    def _show(self, live: Live) -> None:
        now = clock.now()
        if live.runs:
            self.table.show(ListLines(views.lines(live, now)))
        else:
            self.table.show_state(
                Cell("nothing runs now", "strong"), Cell(""), Cell(views.last_ended(live, now), "muted")
            )
        self.table.styles.height = min(8, len(live.runs) + 1) if live.runs else "1fr"
        self.query_one(".caption", Static).update(
            Content.styled(f" {count(len(live.runs), 'run')} running" if live.runs else "", "bold")
        )

    def show_trouble(self, error: HoldfastError) -> None:
        """Say what is wrong when there is nothing to show yet."""
        if self.live is None:
            self.table.show_state(Cell(clean(error.message), "bad"), Cell(clean(error.hint), "muted"))

    @on(Table.Highlighted)
    def _ask_chosen(self) -> None:
        key = self.table.cursor_key
        if key is not None:
            self.ask("run", partial(Store.live_run, run_id=key, n_columns=self.app.size.width))

    def take_run(self, run: LiveRun | None) -> None:
        """Show the chosen run."""
        if run is None or run.run_id != self.table.cursor_key:
            return
        self.query_one(Chart).figure = run.figure
        self.query_one("#live-machine", Static).update(views.machine(run))
        self.query_one(LogView).show(run.log.lines or (run.log.note,))

    @on(Table.Chosen)
    def _open(self, message: Table.Chosen) -> None:
        self.dashboard.open_run(message.key)

    def is_possible(self, action: str) -> bool:
        """Without a run there is nothing to look at."""
        return self.table.cursor_key is not None

    def action_log(self) -> None:
        """Show the chosen run's whole output."""
        if self.table.cursor_key is not None:
            self.dashboard.open_run(self.table.cursor_key, "log")


SCREEN = LiveScreen

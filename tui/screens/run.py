"""Run: everything about one run, page by page: overview, metrics, slices, gates, artifacts, log, events, lineage."""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container, Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.widgets import Input, Static

from registry import clock
from registry.errors import HoldfastError
from tui.actions import bindings
from tui.arranging import in_order_of_sight, is_machine
from tui.facts import LogTail
from tui.screens.base import RegistryScreen
from tui.snapshots import Store
from tui.text import clean, count
from tui.views import run as views
from tui.views import slices
from tui.widgets.chart import Figure
from tui.widgets.chartgrid import ChartGrid
from tui.widgets.logview import LogView
from tui.widgets.table import Cell, ListLines, Table
from tui.widgets.tabline import TabLine

if TYPE_CHECKING:
    from registry.queries import RunDetail

TABS = {
    "overview": "Overview", "metrics": "Metrics", "slices": "Slices", "gates": "Gates", "artifacts": "Artifacts",
    "log": "Log", "events": "Events", "lineage": "Lineage",
}  # fmt: skip
SMOOTHINGS = (0.0, 0.6, 0.9)
AXES = ("step", "time", "epoch")
ONLY_ON = {
    "metrics": {"log_scale", "smooth", "x_axis", "alone", "system", "zoom", "turn"},
    "log": {"search", "find", "follow"},
    "artifacts": {"copy", "verify"},
}


class RunScreen(RegistryScreen):
    """One run."""

    MODE = "run"
    BINDINGS: ClassVar[list[BindingType]] = bindings("run")

    def __init__(self) -> None:
        super().__init__()
        self.run_id: str | None = None
        self.detail: RunDetail | None = None
        self.tab = "overview"
        self.over = "step"
        self.with_system = False

    def compose_body(self) -> ComposeResult:
        """The run's name, the pages' names, and the pages, of which one is shown."""
        yield Static(classes="caption", id="run-title")
        yield TabLine(TABS)
        with Container(id="pages"):
            with VerticalScroll(id="overview"), Horizontal(id="overview-columns"):
                yield Static(id="overview-left")
                yield Static(id="overview-right")
            yield ChartGrid(id="metrics")
            yield Table(slices.COLUMNS, id="slices")
            with Vertical(id="gates"):
                yield Table(views.GATE_COLUMNS, id="gate-table", fixed=2)
                yield Static(id="gate-detail", classes="detail")
            with Vertical(id="artifacts"):
                yield Table(views.ARTIFACT_COLUMNS, id="artifact-table", fixed=2)
                yield Static(id="artifact-detail", classes="detail")
            with Vertical(id="log"):
                yield LogView(id="log-view")
                yield Static(id="log-note", classes="caption")
                yield Input(id="log-search", placeholder="search", compact=True)
            yield Table(views.EVENT_COLUMNS, id="events", fixed=2)
            with VerticalScroll(id="lineage"):
                yield Static(id="lineage-text")

    def begin(self) -> None:
        """Show the first page."""
        self.query_one("#log-search").display = False
        self.open_tab(self.tab)

    @property
    def grid(self) -> ChartGrid:
        """The charts."""
        return self.query_one(ChartGrid)

    @property
    def log_view(self) -> LogView:
        """The run's output."""
        return self.query_one(LogView)

    def on_resize(self) -> None:
        """Put the two halves of the overview side by side, or one below the other."""
        self.query_one("#overview-columns").set_class(self.app.size.width < 116, "-stacked")

    # --- pages

    def open_tab(self, tab: str | None) -> None:
        """Show a page and ask for what only it shows."""
        self.tab = tab or self.tab
        for name in TABS:
            self.query_one(f"#{name}").display = name == self.tab
        self.query_one(TabLine).active = self.tab
        self._note_page()
        page = self.query_one(f"#{self.tab}")
        target = page if page.can_focus else next((child for child in page.query("*") if child.can_focus), None)
        self.set_focus(target)
        self._ask_page()
        self.refresh_bindings()

    @on(TabLine.Asked)
    def _tab_asked(self, message: TabLine.Asked) -> None:
        self.open_tab(message.name)

    def action_tab(self, by: int) -> None:
        """Show the page after or before this one."""
        names = list(TABS)
        self.open_tab(names[(names.index(self.tab) + by) % len(names)])

    def is_possible(self, action: str) -> bool:
        """Some actions belong to one page."""
        return all(action not in actions or self.tab == tab for tab, actions in ONLY_ON.items())

    # --- loading

    def on_screen_resume(self) -> None:
        """Another run may have been chosen."""
        if self.run_id != self.dashboard.current_run:
            self.is_stale, self.detail = True, None
        super().on_screen_resume()

    def reload(self) -> None:
        """Ask for the run."""
        self.run_id = self.dashboard.current_run
        if self.run_id is None:
            self.ask("latest", Store.latest_run)
        else:
            self.ask("detail", partial(Store.run, run_id=self.run_id))

    def take_latest(self, run_id: str | None) -> None:
        """Without a chosen run, show the newest."""
        if run_id is None:
            self._say("no runs yet", "registry run -- python train.py")
        else:
            self.dashboard.current_run = run_id
            self.reload()

    def _say(self, *lines: str) -> None:
        self.query_one("#run-title", Static).update("")
        text = [Content.styled(lines[0], "bold"), *(Content.styled(line, "$text-accent") for line in lines[1:])]
        self.query_one("#overview-left", Static).update(Content("\n").join(text))
        self.query_one("#overview-right", Static).update("")

    def take_detail(self, detail: "RunDetail") -> None:
        """Show the run on every page."""
        if detail.summary.id != self.run_id:
            return
        self.detail = detail
        now = clock.now()
        self.query_one("#run-title", Static).update(views.title(detail, now))
        left, right = views.overview(detail, now)
        self.query_one("#overview-left", Static).update(left)
        self.query_one("#overview-right", Static).update(right)
        self.query_one("#lineage-text", Static).update(views.lineage(detail))
        self._fill("#slices", ListLines(slices.lines(detail.summary.metrics)), "no metric has slices (group/name)")
        self._fill("#gate-table", ListLines(views.gate_lines(detail)), "no gate suite applies to this run")
        self._fill("#artifact-table", ListLines(views.artifact_lines(detail)), "no artifacts were recorded")
        self._fill("#events", ListLines(views.event_lines(detail)), "nothing happened yet")
        self._show_details()
        self._offer_metrics()
        self._ask_page()

    def _fill(self, selector: str, lines: ListLines, empty: str) -> None:
        table = self.query_one(selector, Table)
        if len(lines):
            table.show(lines)
        else:
            table.show_state(Cell(empty, "muted"))

    def show_trouble(self, error: HoldfastError) -> None:
        """Say what is wrong when there is nothing to show yet."""
        if self.detail is None:
            self._say(f"✗ {clean(error.message)}", clean(error.hint))
        else:
            self.notify(clean(error), severity="error", markup=False)

    def _ask_page(self) -> None:
        if self.detail is None:
            return
        if self.tab == "metrics":
            self._ask_figures()
        elif self.tab == "log":
            self.ask("log", partial(Store.log_tail, folder=self.detail.folder))

    # --- metrics

    def _offer_metrics(self) -> None:
        """Offer the run's metrics; the machine's own when asked for, or when there is nothing else."""
        assert self.detail is not None
        names = in_order_of_sight(self.detail.summary)
        self.grid.offer([name for name in names if self.with_system or not is_machine(name)] or names)
        self._note_page()

    def _note_page(self) -> None:
        """Say which of the charts are on the page."""
        shown, names = self.grid.shown_names, self.grid.names
        note = f"{self.grid.first + 1}–{self.grid.first + len(shown)} of {len(names)}"
        self.query_one(TabLine).note = note if self.tab == "metrics" and len(shown) < len(names) else ""

    @on(ChartGrid.Paged)
    def _ask_figures(self) -> None:
        self._note_page()
        if self.detail is None or self.tab != "metrics" or not self.grid.shown_names:
            return
        names = self.grid.shown_names
        self.ask(
            "figures",
            partial(_figures, run_id=self.detail.summary.id, names=names, n_columns=self.grid.chart_width, x=self.over),
        )

    def take_figures(self, answer: tuple[str | None, dict[str, Figure]]) -> None:
        """Draw the charts of this page."""
        run_id, figures = answer
        if run_id == self.run_id:
            self.grid.look = replace(self.grid.look, x=self.over)
            self.grid.show(figures)

    def action_turn(self, pages: int) -> None:
        """Show the next charts."""
        self.grid.turn(pages)

    def action_log_scale(self) -> None:
        """Change between a linear and a logarithmic value axis."""
        self.grid.look = replace(self.grid.look, log=not self.grid.look.log)

    def action_smooth(self) -> None:
        """Smooth the curves: not, a little, much."""
        self.grid.smoothing = SMOOTHINGS[(SMOOTHINGS.index(self.grid.smoothing) + 1) % len(SMOOTHINGS)]

    def action_x_axis(self) -> None:
        """Draw over steps, time, or epochs where the run has an epoch metric."""
        axes = [x for x in AXES if x != "epoch" or (self.detail and "epoch" in self.detail.summary.metrics)]
        self.over = axes[(axes.index(self.over) + 1) % len(axes)]
        self.grid.look = replace(self.grid.look, zoom=None)
        self._ask_figures()

    def action_alone(self) -> None:
        """Let the first chart fill the screen, or show all again."""
        self.grid.toggle_alone()

    def action_system(self) -> None:
        """Show the machine's own metrics too, or not."""
        self.with_system = not self.with_system
        self._offer_metrics()
        self._ask_figures()

    def action_zoom(self, by: int) -> None:
        """Show the later half of what is shown, or twice as much."""
        figures = [figure for name in self.grid.shown_names if (figure := self.grid.figure(name)) is not None]
        xs = [x for figure in figures for curve in figure.curves for x in curve.xs]
        if not xs:
            return
        left, right = self.grid.look.zoom or (min(xs), max(xs))
        span = (right - left) / 2 if by > 0 else (right - left) * 2
        zoom = (max(min(xs), right - span), right)
        self.grid.look = replace(self.grid.look, zoom=None if zoom[0] <= min(xs) and by < 0 else zoom)

    # --- gates and artifacts

    @on(Table.Highlighted)
    def _highlighted(self) -> None:
        self._show_details()

    def _show_details(self) -> None:
        if self.detail is None:
            return
        gate_key = self.query_one("#gate-table", Table).cursor_key
        gate = next((g for g in self.detail.gates if f"{g['suite']}/{g['name']}" == gate_key), None)
        self._show_detail("#gate-detail", views.gate_detail(gate) if gate else None)
        artifact_key = self.query_one("#artifact-table", Table).cursor_key
        artifact = next((a for a in self.detail.artifacts if str(a["id"]) == artifact_key), None)
        self._show_detail("#artifact-detail", views.artifact_detail(artifact, clock.now()) if artifact else None)

    def _show_detail(self, selector: str, text: Content | None) -> None:
        widget = self.query_one(selector, Static)
        widget.display = text is not None
        if text is not None:
            widget.update(text)

    def action_copy(self) -> None:
        """Copy the run's artifacts to a remote and read them back."""
        if self.run_id is not None:
            self.dashboard.begin_copy((self.run_id,), self._run_name())

    def action_verify(self) -> None:
        """Read the copies of the run's artifacts back."""
        if self.run_id is not None:
            self.dashboard.begin_verify((self.run_id,), self._run_name())

    def action_promote(self) -> None:
        """Check whether the run may be deployed, and do it."""
        if self.detail is not None:
            from tui.screens.promote import PromoteDialog

            self.app.push_screen(PromoteDialog(self.detail.summary.id, self.detail.summary.name))

    def _run_name(self) -> str:
        return self.detail.summary.name if self.detail else self.run_id or ""

    # --- log

    def take_log(self, tail: LogTail) -> None:
        """Show the end of the run's output."""
        self.log_view.show(tail.lines or (clean(tail.note),))
        follow = "following" if self.log_view.following else "not following (f)"
        said = f"{count(len(tail.lines), 'line')}  {follow}" if tail.lines else ""
        if tail.n_hidden_bytes:
            said += f"  {tail.n_hidden_bytes:,} bytes before them are not shown"
        self.query_one("#log-note", Static).update(Content.styled(f" {said}", "$text-muted"))

    def action_follow(self) -> None:
        """Follow what is added, or stay here."""
        self.log_view.following = not self.log_view.following
        self._ask_page()

    def action_search(self) -> None:
        """Search the output."""
        search = self.query_one("#log-search", Input)
        search.display = True
        search.focus()

    @on(Input.Submitted, "#log-search")
    def _searched(self, event: Input.Submitted) -> None:
        self.log_view.needle = event.value
        event.input.display = False
        self.log_view.focus()
        self.action_find(-1)

    def action_find(self, by: int) -> None:
        """Go to the next line that matches."""
        if not self.log_view.find_next(by):
            self.notify("no line matches" if self.log_view.needle else "search with / first", markup=False)


def _figures(
    store: Store, run_id: str, names: tuple[str, ...], n_columns: int, x: str
) -> tuple[str, dict[str, Figure]]:
    return run_id, store.figures(run_id, names, n_columns, x)


SCREEN: Callable[[], RunScreen] = RunScreen

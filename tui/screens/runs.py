"""Runs: the table a person lives in, with a preview of the chosen run beside or below it."""

import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.content import Content
from textual.timer import Timer
from textual.widgets import Input, Static

from registry import clock
from registry.errors import HoldfastError, NotFoundError, UsageError
from tui import columns
from tui.actions import bindings
from tui.arranging import in_order_of_sight
from tui.facts import Names, Preview, RunsIndex, RunsQuery
from tui.headlines import about_run
from tui.screens.base import RegistryScreen
from tui.snapshots import PAGE_ROWS, Store
from tui.text import clean, count
from tui.theme import run_tones
from tui.widgets.preview import PreviewPane
from tui.widgets.runlines import HEADING, RunLines
from tui.widgets.table import Cell, Sorting, Table

if TYPE_CHECKING:
    from registry.queries import RunSummary
    from tui.screens.dialogs import Choice

PREVIEW_DELAY_S = 0.08
"""The preview waits this long for the cursor to stand still."""
FILTER_DELAY_S = 0.12
"""The list follows the filter once the typing pauses this long."""
NAMES_HOLD_S = 10.0
"""Metrics and parameters that are new are offered at the latest after this long."""
MAX_CURVES = 8
"""There are eight colours that can be told apart."""
MIN_WIDTH_BESIDE, MIN_HEIGHT_BELOW = 112, 32


class RunsScreen(RegistryScreen):
    """The runs table and its preview."""

    MODE = "runs"
    BINDINGS: ClassVar[list[BindingType]] = bindings("runs")
    AUTO_FOCUS = "Table"

    def __init__(self) -> None:
        super().__init__()
        self.wanted = RunsQuery()
        self.index = RunsIndex(self.wanted)
        self.names = Names()
        self._names_due_at = 0.0
        self._previewed: Preview | None = None
        self.complaint = ""
        self.keys: list[str] = []
        self.folded: set[str] = set()
        self.preview_wanted: bool | None = None
        self.metric: str | None = None
        self._lines = RunLines()
        self._from_top = False
        self._preview_timer: Timer | None = None
        self._filter_timer: Timer | None = None

    def compose_body(self) -> ComposeResult:
        """A line that says what is shown, the table, the preview."""
        yield Static(id="caption")
        yield Input(id="filter", placeholder="words, status:failed, tag:…, params.lr>1e-3, val/loss<0.3", compact=True)
        with Container(id="desk"):
            yield Table(id="runs", opens=True)
            yield PreviewPane(id="preview")

    def begin(self) -> None:
        """Say that the table is being read; begin as the last session ended."""
        memory = self.dashboard.memory
        self.keys = list(memory.columns)
        self.wanted = RunsQuery("", memory.sort_by, memory.descending, memory.group)
        self.table.show_state(Cell("reading the registry …", "muted"))
        self._arrange()

    @property
    def table(self) -> Table:
        """The table."""
        return self.query_one("#runs", Table)

    @property
    def preview(self) -> PreviewPane:
        """The preview."""
        return self.query_one(PreviewPane)

    # --- loading

    def reload(self) -> None:
        """Ask for the runs that match, in order."""
        shown = columns.metrics_of(self.keys) if self.keys and not self.wanted.group else None
        self.ask("index", partial(Store.runs_index, query=self.wanted, metrics=shown))

    def take_index(self, index: RunsIndex) -> None:
        """Show the runs that match; rows that are not in the first page come when they are looked at."""
        if index.query != self.wanted:
            return
        self.index, self.complaint = index, ""
        if not self.keys:
            self.keys = columns.default_keys(index)
        self._lines = self._lines.following(index, tuple(self.keys), clock.now(), self.folded)
        if not index.ids:
            self.table.show_state(*self._emptiness())
            self.preview.show(None)
        else:
            self.table.show(self._lines, [columns.column(key) for key in self.keys], self._sorting())
            if self._from_top:
                self.table.action_end(False)
        self._from_top = False
        self._caption()
        self._arrange()
        self._ask_preview()
        self._ask_sparks(list(index.rows))
        if time.monotonic() >= self._names_due_at:
            self._names_due_at = time.monotonic() + NAMES_HOLD_S
            self.ask("names", Store.names)

    def take_names(self, names: Names) -> None:
        """Know what runs can be sorted by and shown with."""
        self.names = names

    def _ask_sparks(self, ids: Sequence[str]) -> None:
        metrics = [key.removeprefix("spark:") for key in self.keys if key.startswith("spark:")]
        if metrics and ids:
            self.ask("sparks", partial(Store.sparks, ids=ids, metrics=metrics))

    def take_sparks(self, sparks: dict[tuple[str, str], str]) -> None:
        """Put the trends into the table."""
        self._lines.add_sparks(sparks)
        self.table.redraw()

    def _emptiness(self) -> Sequence[Cell]:
        if self.wanted.filter:
            return Cell(f"no run of {self.index.n_total:,} matches"), Cell(clean(self.wanted.filter), "accent")
        return (
            Cell("no runs yet", "strong"),
            Cell(""),
            Cell("registry run -- python train.py", "accent"),
            Cell("records any command", "muted"),
            Cell(""),
            Cell("registry demo", "accent"),
            Cell("trains two small models and shows the whole way", "muted"),
        )

    def show_trouble(self, error: HoldfastError) -> None:
        """Say what is wrong: a filter beside itself, anything else when there is nothing to show yet."""
        if isinstance(error, UsageError):
            self.complaint = clean(error)
            self._caption()
            return
        if self.index.ids and not isinstance(error, NotFoundError):
            return
        if isinstance(error, NotFoundError):
            self.index = RunsIndex(self.wanted)
            self.table.show_state(*self._emptiness())
        else:
            self.table.show_state(Cell(clean(error.message), "bad"), Cell(clean(error.hint), "muted"))

    @on(Table.Wanted, "#runs")
    def _load_rows(self, message: Table.Wanted) -> None:
        first = message.first // PAGE_ROWS * PAGE_ROWS
        last = -(-message.last // PAGE_ROWS) * PAGE_ROWS
        ids = self._lines.missing(first, last)
        if ids:
            self.ask("rows", partial(Store.rows, ids=ids, metrics=columns.metrics_of(self.keys)))

    def take_rows(self, rows: "dict[str, RunSummary]") -> None:
        """Put loaded rows into the table."""
        self._lines.add(rows)
        self.table.redraw()
        self._ask_sparks(list(rows))

    # --- the preview

    @on(Table.Highlighted, "#runs")
    def _highlighted(self, message: Table.Highlighted) -> None:
        if message.key is not None and not message.key.startswith(HEADING):
            self.dashboard.current_run = message.key
        self.refresh_bindings()
        if self._preview_timer is not None:
            self._preview_timer.stop()
        self._preview_timer = self.set_timer(PREVIEW_DELAY_S, self._ask_preview)

    @property
    def is_busy(self) -> bool:
        """Whether an answer is still to come, or a question is about to be asked."""
        return super().is_busy or self._preview_timer is not None or self._filter_timer is not None

    def _ask_preview(self) -> None:
        self._preview_timer = None
        key = self.table.cursor_key
        if key is None or not self.preview.display:
            return
        others = tuple(run for run in self.dashboard.marked if run != key)
        if key.startswith(HEADING):
            key, *rest = self._lines.members(key)[:MAX_CURVES]
            others = tuple(rest)
        self.ask(
            "preview",
            partial(
                Store.preview, run_id=key, others=others, metric=self.metric,
                baseline=self.dashboard.baseline, n_columns=self.app.size.width,
            ),
        )  # fmt: skip

    def take_preview(self, preview: Preview | None) -> None:
        """Show the chosen run."""
        self._previewed = preview
        status = self.dashboard.status
        about = about_run(status.alerts, preview.summary) if preview is not None and status is not None else ()
        self.preview.show(preview, self.dashboard.baseline, about)

    def on_resize(self) -> None:
        """Put the preview beside, below or away."""
        self._arrange()

    def _arrange(self) -> None:
        width, height = self.app.size
        beside, below = width >= MIN_WIDTH_BESIDE, height >= MIN_HEIGHT_BELOW
        wanted = beside or below if self.preview_wanted is None else self.preview_wanted
        desk = self.query_one("#desk")
        desk.set_class(wanted and beside, "-beside")
        desk.set_class(wanted and not beside, "-below")
        shown = wanted and bool(self.index.ids)
        if self.preview.display != shown:
            self.preview.display = shown
            self.call_after_refresh(self._ask_preview)

    # --- the caption

    def _caption(self) -> None:
        index, app = self.index, self.dashboard
        n = len(index.ids)
        shown = count(index.n_total, "run") if n == index.n_total else f"{n:,} of {count(index.n_total, 'run')}"
        parts = [Content.styled(f" {shown}", "bold")]
        if self.wanted.filter:
            parts.append(Content.styled(f"  matching {clean(self.wanted.filter)}", "$text-accent"))
        order = columns.order_words(self.wanted.sort_by, self._descending(), default=not self._is_reversed())
        parts.append(Content.styled(f"  {order}", "$text-muted"))
        if self.wanted.group:
            parts.append(Content.styled(f"  {columns.GROUPS[self.wanted.group]}", "$text-muted"))
        if app.marked:
            parts.append(Content.styled(f"  ◆ {len(app.marked)} marked", "$text-primary"))
        if self.complaint:
            parts.append(Content.styled(f"  ✗ {self.complaint}", "$text-error"))
        self.query_one("#caption", Static).update(Content("").join(parts))

    def _descending(self) -> bool:
        """Return whether the largest value comes first; without a wish a metric's best does."""
        if self.wanted.descending is not None:
            return self.wanted.descending
        return self.wanted.sort_by in ("started", "ended") or self.index.goal == "max"

    def _is_reversed(self) -> bool:
        return self._descending() != (self.index.goal != "min")

    def _sorting(self) -> Sorting:
        key = next((key for key in self.keys if columns.sort_key(key) == self.wanted.sort_by), "")
        return Sorting(key, self._descending())

    # --- actions

    @on(Table.Chosen, "#runs")
    def _open(self, message: Table.Chosen) -> None:
        if message.key.startswith(HEADING):
            self.folded ^= {message.key}
            self.take_index(self.index)
        else:
            self.dashboard.open_run(message.key)

    @on(Table.HeaderClicked, "#runs")
    def _sort_by_column(self, message: Table.HeaderClicked) -> None:
        sort_by = columns.sort_key(message.column)
        if sort_by == self.wanted.sort_by:
            self.action_reverse()
        else:
            self._want(replace(self.wanted, sort_by=sort_by, descending=None))

    def _want(self, wanted: RunsQuery) -> None:
        self.wanted, self._from_top = wanted, True
        self.dashboard.remember(sort_by=wanted.sort_by, descending=wanted.descending, group=wanted.group)
        self.reload()

    def action_group(self) -> None:
        """Group the runs another way."""
        ways = list(columns.GROUPS)
        self.folded.clear()
        self._want(replace(self.wanted, group=ways[(ways.index(self.wanted.group) + 1) % len(ways)]))

    # --- the filter

    @property
    def filter_line(self) -> Input:
        """The line the filter is typed in."""
        return self.query_one("#filter", Input)

    def action_filter(self) -> None:
        """Type a filter; the table follows."""
        self.filter_line.add_class("-on")
        self.filter_line.focus()

    @on(Input.Changed, "#filter")
    def _filter_typed(self, event: Input.Changed) -> None:
        if self._filter_timer is not None:
            self._filter_timer.stop()
        self._filter_timer = self.set_timer(FILTER_DELAY_S, partial(self._filter_by, event.value))

    def _filter_by(self, text: str) -> None:
        self._filter_timer = None
        if text.strip() != self.wanted.filter:
            self.wanted, self._from_top = replace(self.wanted, filter=text.strip()), True
            self.reload()

    @on(Input.Submitted, "#filter")
    def _filter_entered(self, event: Input.Submitted) -> None:
        self._filter_by(event.value)
        event.input.set_class(bool(event.value.strip()), "-on")
        self.table.focus()

    def action_leave_filter(self) -> None:
        """Clear the filter and go back to the table."""
        self.filter_line.value = ""
        self.filter_line.remove_class("-on")
        self._filter_by("")
        self.table.focus()

    def is_possible(self, action: str) -> bool:
        """Esc clears a filter first; what is about a run needs one under the cursor."""
        key = self.table.cursor_key
        on_run = key is not None and not key.startswith(HEADING)
        if action == "leave_filter":
            return self.filter_line.has_class("-on") or bool(self.wanted.filter)
        if action in ("mark", "pin", "promote"):
            return on_run
        if action == "compare":
            return len(self.dashboard.marked) + on_run >= 2 or len(self.dashboard.marked) >= 2
        return action != "unmark" or bool(self.dashboard.marked)

    def action_reverse(self) -> None:
        """Turn the order around."""
        self._want(replace(self.wanted, descending=not self._descending()))

    def action_mark(self) -> None:
        """Mark the run under the cursor, or take its mark away, and go to the next."""
        key = self.table.cursor_key
        if key is None:
            return
        marked = self.dashboard.marked
        self._mark(tuple(run for run in marked if run != key) if key in marked else (*marked, key))
        self.table.action_move(1)

    def action_unmark(self) -> None:
        """Take every mark away."""
        self._mark(())

    def _mark(self, runs: tuple[str, ...]) -> None:
        self.dashboard.marked = runs
        self.table.marked = run_tones(runs)
        self._caption()
        self.refresh_bindings()
        self._ask_preview()

    def action_pin(self) -> None:
        """Make the run under the cursor the baseline; a second time, none."""
        key = self.table.cursor_key
        self.dashboard.baseline = None if self.dashboard.baseline == key else key
        self.table.pinned = self.dashboard.baseline
        self._ask_preview()

    def action_preview(self) -> None:
        """Show or hide the preview."""
        self.preview_wanted = not self.preview.display
        self._arrange()

    def action_metric(self, by: int) -> None:
        """Show the metric after or before this one in the preview."""
        names = in_order_of_sight(self._previewed.summary) if self._previewed is not None else []
        if self._previewed is not None and self._previewed.metric in names:
            self.metric = names[(names.index(self._previewed.metric) + by) % len(names)]
            self._ask_preview()

    def action_promote(self) -> None:
        """Check whether the run under the cursor may be deployed, and do it."""
        key = self.table.cursor_key
        row = self._lines.row(key) if key else None
        if row is not None:
            from tui.screens.promote import PromoteDialog

            self.app.push_screen(PromoteDialog(row.id, row.name))

    def action_sort(self) -> None:
        """Choose what the runs are sorted by."""
        from tui.screens.dialogs import ChooseDialog

        self.app.push_screen(ChooseDialog("Sort by", self._sort_choices(), self.wanted.sort_by), self._sort_chosen)

    def _sort_choices(self) -> list["Choice"]:
        from tui.screens.dialogs import Choice

        plain = [Choice(key, word) for key, word in columns.SORTS.items()]
        metrics = [
            choice
            for name in self.names.metrics
            for choice in (Choice(name, clean(name), "best"), Choice(f"last:{name}", clean(name), "last"))
        ]
        return [*plain, *metrics, *(Choice(f"params.{name}", clean(name), "parameter") for name in self.names.params)]

    def _sort_chosen(self, sort_by: str | None) -> None:
        if sort_by is not None:
            self._want(replace(self.wanted, sort_by=sort_by, descending=None))

    def action_columns(self) -> None:
        """Choose the columns."""
        from tui.screens.dialogs import Choice, ColumnsDialog

        choices = [Choice(key, found.title) for key, found in columns.PLAIN.items()]
        for name in self.names.metrics:
            choices += [Choice(f"metric:{name}", clean(name), "best"), Choice(f"last:{name}", clean(name), "last")]
            choices.append(Choice(f"spark:{name}", clean(name), "trend"))
        choices += [Choice(f"param:{name}", clean(name), "parameter") for name in self.names.params]
        self.app.push_screen(ColumnsDialog(choices, self.keys), self._columns_chosen)

    def _columns_chosen(self, keys: list[str] | None) -> None:
        if keys:
            self.keys = keys
            self.dashboard.remember(columns=tuple(keys))
            self.reload()

    def action_log_scale(self) -> None:
        """Change between a linear and a logarithmic value axis."""
        chart = self.preview.chart
        chart.look = replace(chart.look, log=not chart.look.log)

    def action_compare(self) -> None:
        """Compare the marked runs, with the one under the cursor when only one is marked."""
        key = self.table.cursor_key
        if key is not None and len(self.dashboard.marked) < 2 and key not in self.dashboard.marked:
            self._mark((*self.dashboard.marked, key))
        self.dashboard.action_mode("compare")


SCREEN = RunsScreen

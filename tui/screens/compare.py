"""Compare: the marked runs side by side, what differs, who is best, and their curves in one chart."""

from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container
from textual.content import Content
from textual.widgets import Static

from registry.errors import HoldfastError
from tui.actions import bindings
from tui.arranging import is_machine
from tui.charts import Curve
from tui.columns import BASIS_SIGNS
from tui.facts import Compared
from tui.marks import STATUS, VERDICT, mark
from tui.screens.base import RegistryScreen
from tui.snapshots import Store
from tui.text import NOTHING, clean, count, number, signed
from tui.widgets.chart import Chart, Figure
from tui.widgets.table import Cell, Column, Line, ListLines, Table

if TYPE_CHECKING:
    from registry.comparison import Cell as ComparedCell
    from registry.comparison import Comparison

SMOOTHINGS = (0.0, 0.6, 0.9)
METRIC = "metric:"


class CompareScreen(RegistryScreen):
    """The marked runs side by side."""

    MODE = "compare"
    BINDINGS: ClassVar[list[BindingType]] = bindings("compare")
    AUTO_FOCUS = "Table"

    def __init__(self) -> None:
        super().__init__()
        self.compared: Compared | None = None
        self.only_changed = True
        self.last = False
        self.metric: str | None = None
        self.chart_wanted = True
        self.runs: tuple[str, ...] = ()
        self.over = "step"

    def compose_body(self) -> ComposeResult:
        """A caption, the table, the chart."""
        yield Static(classes="caption")
        with Container(classes="desk"):
            yield Table(id="compared")
            yield Chart(id="compare-chart", classes="beside")

    @property
    def table(self) -> Table:
        """The table."""
        return self.query_one(Table)

    @property
    def chart(self) -> Chart:
        """The chart."""
        return self.query_one(Chart)

    def on_resize(self) -> None:
        """Put the chart beside or below the table."""
        wide = self.app.size.width >= 120
        self.query_one(".desk").set_class(wide, "-beside").set_class(not wide, "-below")
        self._ask_curves()

    # --- loading

    def reload(self) -> None:
        """Ask for the marked runs."""
        self.runs = self.dashboard.marked
        if len(self.runs) < 2:
            self.compared = None
            self._show_nothing()
            return
        how = partial(
            Store.compared, ids=self.runs, baseline=self._baseline(), last=self.last, only_changed=self.only_changed
        )
        self.ask("compared", how)

    def on_screen_resume(self) -> None:
        """Other runs may be marked now."""
        self.is_stale = self.is_stale or self.runs != self.dashboard.marked
        super().on_screen_resume()

    def _baseline(self) -> str:
        baseline = self.dashboard.baseline
        return baseline if baseline in self.runs else self.runs[0]

    def _show_nothing(self) -> None:
        n = len(self.runs)
        self.chart.display = False
        self.query_one(".caption", Static).update("")
        self.table.show_state(
            Cell("nothing to compare yet" if n == 0 else "one run is marked", "strong"),
            Cell(""),
            Cell("mark runs with space on the first screen, then press c", "muted"),
        )

    def take_compared(self, compared: Compared) -> None:
        """Show the table; the chart follows."""
        if len(self.runs) < 2:
            return
        self.compared = compared
        runs = compared.comparison.runs
        columns = [Column("what", "", minimum=16, maximum=34, weight=1)]
        columns += [Column(run.id, clean(run.name), align="right", minimum=14, maximum=26, weight=1) for run in runs]
        self.table.marked = {}
        self.table.show(ListLines(lines_of(compared)), columns)
        self.metric = self.metric if self.metric in compared.comparison.metrics else self._first_metric()
        self._caption()
        self._ask_curves()
        self.refresh_bindings()

    def _first_metric(self) -> str | None:
        assert self.compared is not None
        for run in self.compared.comparison.runs:
            primary = run.primary()
            if primary is not None and primary.name in self.compared.comparison.metrics:
                return primary.name
        return next(iter(self.compared.comparison.metrics), None)

    def show_trouble(self, error: HoldfastError) -> None:
        """Say what is wrong when there is nothing to show yet."""
        if self.compared is None:
            self.table.show_state(Cell(clean(error.message), "bad"), Cell(clean(error.hint), "muted"))

    def _caption(self) -> None:
        assert self.compared is not None
        baseline = next((r.name for r in self.compared.comparison.runs if r.id == self._baseline()), "")
        what = "last values" if self.last else "best values"
        shown = "what differs" if self.only_changed else "everything"
        parts = [
            Content.styled(f" {count(len(self.compared.comparison.runs), 'run')}", "bold"),
            Content.styled(f"  {what}, {shown}, against ", "$text-muted"),
            Content.styled(clean(baseline), "$text-accent"),
        ]
        if self.compared.n_gone:
            parts.append(Content.styled(f"  {self.compared.n_gone} gone", "$text-warning"))
        self.query_one(".caption", Static).update(Content("").join(parts))

    # --- the chart

    @on(Table.Highlighted)
    def _highlighted(self, message: Table.Highlighted) -> None:
        if message.key is not None and message.key.startswith(METRIC):
            self.metric = message.key.removeprefix(METRIC)
            self._ask_curves()

    def _ask_curves(self) -> None:
        if self.compared is None or self.metric is None or not self.chart_wanted:
            self.chart.display = False
            return
        self.chart.display = True
        runs = [(run.id, run.name) for run in self.compared.comparison.runs]
        self.ask("curves", partial(_curves, runs=runs, metric=self.metric, n_columns=self.app.size.width, x=self.over))

    def take_curves(self, answer: tuple[str, tuple[Curve, ...]]) -> None:
        """Draw the curves of the metric under the cursor."""
        metric, curves = answer
        self.chart.look = replace(self.chart.look, x=self.over)
        self.chart.figure = Figure(metric, "", curves, "none of them has points here")

    # --- actions

    def action_differences(self) -> None:
        """Show only what differs, or everything."""
        self.only_changed = not self.only_changed
        self.reload()

    def action_last(self) -> None:
        """Compare best or last values."""
        self.last = not self.last
        self.reload()

    def action_baseline(self) -> None:
        """Make the next run the baseline."""
        if self.runs:
            at = self.runs.index(self._baseline())
            self.dashboard.baseline = self.runs[(at + 1) % len(self.runs)]
            self.reload()

    def action_chart(self) -> None:
        """Show or hide the chart."""
        self.chart_wanted = not self.chart_wanted
        self._ask_curves()

    def action_log_scale(self) -> None:
        """Change between a linear and a logarithmic value axis."""
        self.chart.look = replace(self.chart.look, log=not self.chart.look.log)

    def action_smooth(self) -> None:
        """Smooth the curves: not, a little, much."""
        self.chart.smoothing = SMOOTHINGS[(SMOOTHINGS.index(self.chart.smoothing) + 1) % len(SMOOTHINGS)]

    def action_x_axis(self) -> None:
        """Draw over steps or over time."""
        self.over = "time" if self.over == "step" else "step"
        self._ask_curves()

    def is_possible(self, action: str) -> bool:
        """There is nothing to do before two runs are compared."""
        return self.compared is not None

    def action_export(self) -> None:
        """Copy the table to the clipboard or write it to a file."""
        from tui.screens.dialogs import Choice, ChooseDialog

        choices = [
            Choice("md clipboard", "Markdown to the clipboard"),
            Choice("csv clipboard", "CSV to the clipboard"),
            Choice("md file", "Markdown to a file", "compare.md"),
            Choice("csv file", "CSV to a file", "compare.csv"),
        ]
        self.app.push_screen(ChooseDialog("Export", choices), self._export_chosen)

    def _export_chosen(self, chosen: str | None) -> None:
        if chosen is not None and self.compared is not None:
            self.ask("exported", partial(_export, compared=self.compared, chosen=chosen))

    def take_exported(self, exported: tuple[str, str | None]) -> None:
        """Put the text where it belongs and say so."""
        text, path = exported
        if path is None:
            self.app.copy_to_clipboard(text)
            self.notify(f"{count(len(text.splitlines()), 'line')} copied", markup=False)
        else:
            self.notify(f"written to {path}", markup=False)


def _curves(
    store: Store, runs: list[tuple[str, str]], metric: str, n_columns: int, x: str
) -> tuple[str, tuple[Curve, ...]]:
    return metric, store.curves(runs, metric, n_columns, x)


def _export(store: Store, compared: Compared, chosen: str) -> tuple[str, str | None]:
    kind, _, where = chosen.partition(" ")
    text = store.comparison_text(compared, kind)
    if where == "clipboard":
        return text, None
    path = Path(f"compare.{kind}").resolve()
    try:
        path.write_text(text)
    except OSError as error:
        raise HoldfastError(f"cannot write {path}: {error.strerror}") from None
    return text, str(path)


# --- the table


def lines_of(compared: Compared) -> list[Line]:
    """Return the rows: status, the params that differ, metrics with the best marked, gates."""
    comparison = compared.comparison
    blank = tuple(Cell("") for _ in comparison.runs)
    heads = tuple(Cell("◆", compared.tones[run.id], f" {run.id}") for run in comparison.runs)
    lines = [Line("head:runs", (Cell("run", "muted"), *heads))]
    states = [mark(STATUS, run.status) for run in comparison.runs]
    lines.append(Line("head:status", (Cell("status", "muted"), *(Cell(str(state), state.tone) for state in states))))
    if comparison.params:
        lines.append(Line("head:params", (Cell("Parameters", "primary"), *blank), heading=True))
    for name, values in comparison.params.items():
        lines.append(Line(f"param:{name}", (Cell(clean(name), "muted"), *(_param(value) for value in values))))
    if comparison.metrics:
        lines.append(Line("head:metrics", (Cell("Metrics", "primary"), *blank), heading=True))
    for name, cells in sorted(comparison.metrics.items(), key=lambda item: _rank(comparison, item[0])):
        arrow = {"min": " ↓", "max": " ↑"}.get(comparison.goals.get(name) or "", "")
        lines.append(Line(METRIC + name, (Cell(clean(name), "", arrow), *(_metric(cell) for cell in cells))))
    if compared.gates:
        lines.append(Line("head:gates", (Cell("Gates", "primary"), *blank), heading=True))
    for name, verdicts in compared.gates.items():
        lines.append(Line(f"gate:{name}", (Cell(clean(name), "muted"), *(_verdict(verdict) for verdict in verdicts))))
    return lines


def _rank(comparison: "Comparison", name: str) -> tuple[bool, bool, str]:
    """Rank metrics: those that runs are judged by, then the others, the machine's own last."""
    judged = {primary.name for run in comparison.runs if (primary := run.primary()) is not None}
    return name not in judged, is_machine(name), name


def _param(value: object) -> Cell:
    return Cell(NOTHING, "faint") if value is None else Cell(clean(value))


def _verdict(verdict: str) -> Cell:
    state = mark(VERDICT, verdict)
    return Cell(str(state), state.tone) if verdict else Cell(NOTHING, "faint")


def _metric(cell: "ComparedCell | None") -> Cell:
    """Return a value with a star when it is best, else with its difference to the baseline."""
    if cell is None:
        return Cell(NOTHING, "faint")
    if cell.value is None:
        return Cell("NaN", "bad")
    text = f"{BASIS_SIGNS.get(cell.basis, '?')}{number(cell.value)}"
    delta = f" {signed(cell.delta)}" if cell.delta is not None else ""
    tone = {True: "ok", False: "bad", None: "muted"}[cell.better]
    return Cell(f"★ {text}" if cell.is_best else text, "accent" if cell.is_best else "", delta, tone)


SCREEN = CompareScreen

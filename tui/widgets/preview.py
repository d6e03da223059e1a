"""What stands beside the runs table: the chosen run in short, the curves of one metric, what differs."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from textual.app import ComposeResult
from textual.containers import Vertical
from textual.content import Content
from textual.widgets import Static

from tui.columns import BASIS_SIGNS
from tui.headlines import headlines
from tui.marks import SEVERITY, STATUS, mark
from tui.text import clean, count, number
from tui.theme import content_style
from tui.widgets.chart import Chart, Figure

if TYPE_CHECKING:
    from registry.alert import Alert
    from tui.facts import Preview

MAX_PARAMS = 40


class PreviewPane(Vertical):
    """Shows one `Preview`; the caller loads it."""

    def compose(self) -> ComposeResult:
        """A head, a chart, a text."""
        yield Static(id="preview-head")
        yield Chart(id="preview-chart")
        yield Static(id="preview-text")

    @property
    def chart(self) -> Chart:
        """The chart of the pane."""
        return self.query_one(Chart)

    def show(self, preview: "Preview | None", baseline: str | None = None, alerts: "Sequence[Alert]" = ()) -> None:
        """Show a run with the alerts about it, or nothing."""
        if preview is None:
            self.query_one("#preview-head", Static).update("")
            self.query_one("#preview-text", Static).update("")
            self.chart.figure = Figure(empty="")
            return
        self.query_one("#preview-head", Static).update(head(preview, alerts))
        self.chart.figure = figure(preview)
        self.query_one("#preview-text", Static).update(text(preview, baseline))


def head(preview: "Preview", alerts: "Sequence[Alert]") -> Content:
    """Return the run's name, state and evidence, and what should worry one about it."""
    run = preview.summary
    state = mark(STATUS, run.status)
    lines = [
        Content.styled(clean(run.name), "bold"),
        Content.styled(str(state), content_style(state.tone))
        + Content.styled(f"  {run.id}  {clean(run.experiment)}", "$text-muted"),
    ]
    if run.evidence and run.status not in ("running", "finished"):
        lines.append(Content.styled(clean(run.evidence), "$text-muted"))
    if run.invalid:
        lines.append(Content.styled(f"✗ invalid: {clean(run.invalid)}", "$text-error"))
    for severity, sentence in headlines(alerts):
        sign = SEVERITY[severity]
        lines.append(Content.styled(f"{sign.symbol} {clean(sentence)}", content_style(sign.tone)))
    return Content("\n").join(lines)


def figure(preview: "Preview") -> Figure:
    """Return the chart: the metric's name, its best value, the curves of the run and of the marked ones."""
    if preview.metric is None:
        return Figure(empty="no metrics recorded")
    metric = preview.summary.metrics[preview.metric]
    sign = BASIS_SIGNS.get(metric.basis, "?")
    word = "best" if metric.goal else "last"
    at = f" @{metric.shown_step:,}" if metric.shown_step is not None else ""
    return Figure(preview.metric, f"{word} {sign}{number(metric.shown)}{at}", preview.curves)


def text(preview: "Preview", baseline: str | None) -> Content:
    """Return the parameters: those that differ from the baseline, or all of them."""
    compared = baseline is not None and baseline != preview.run_id
    title = "Differs from the baseline" if compared else "Parameters"
    lines = [Content.styled(title, "bold $text-primary")]
    if not preview.differing:
        lines.append(Content.styled("nothing differs" if compared else "none recorded", "$text-muted"))
    width = min(24, max((len(key) for key, _, _ in preview.differing), default=0))
    for key, value, other in preview.differing[:MAX_PARAMS]:
        line = Content.styled(clean(key).ljust(width), "$text-muted") + Content(f"  {clean(value)}")
        lines.append(line + Content.styled(f"  was {clean(other)}", "$text-muted") if other else line)
    if len(preview.differing) > MAX_PARAMS:
        lines.append(Content.styled(f"and {count(len(preview.differing) - MAX_PARAMS, 'more', 'more')}", "$text-muted"))
    return Content("\n").join(lines)

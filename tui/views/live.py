"""What the live screen says: progress, time left, throughput, heartbeat, cost, the machine. Pure."""

from typing import TYPE_CHECKING

from textual.content import Content

from tui.arranging import is_machine
from tui.columns import best_cell, progress
from tui.text import NOTHING, ago, bar, clean, duration, number
from tui.widgets.table import Cell, Column, Line

if TYPE_CHECKING:
    from registry.queries import MetricSummary, RunSummary
    from tui.facts import Live, LiveRun

SILENT_AFTER_S = 30.0
"""Three heartbeats late: a person should look."""
BAR_WIDTH = 10
COLUMNS = (
    Column("name", "Run", minimum=14, maximum=40, weight=1),
    Column("progress", "Progress", minimum=BAR_WIDTH + 5, maximum=BAR_WIDTH + 14),
    Column("left", "Left", align="right", minimum=8, maximum=9),
    Column("metric", "Best", align="right", minimum=10, maximum=26),
    Column("speed", "Steps/s", align="right", minimum=8, maximum=10),
    Column("beat", "Heartbeat", align="right", minimum=9, maximum=10),
    Column("took", "Running", align="right", minimum=8, maximum=9),
    Column("cost", "Cost", align="right", minimum=6, maximum=9),
    Column("host", "Experiment", minimum=8, maximum=24),
)


def lines(live: "Live", now: float) -> list[Line]:
    """Return one line a running run."""
    return [Line(run.id, _cells(run, now)) for run in live.runs]


def _cells(run: "RunSummary", now: float) -> tuple[Cell, ...]:
    share, left_s = progress(run, now)
    metric = run.primary()
    silence_s = now - (run.heartbeat_at or run.started_at or now)
    best = best_cell(metric) if metric is not None else Cell(NOTHING, "faint")
    step = max((m.last_step for m in run.metrics.values() if m.last_step is not None), default=None)
    steps = f"step {step:,}" if step is not None else "no step yet"
    shown = f"{bar(share, BAR_WIDTH)} {share:.0%}" if share is not None else steps
    return (
        Cell(clean(run.name), "strong"),
        Cell(shown, "live" if share is not None else "muted"),
        Cell(duration(left_s), "" if left_s else "faint"),
        Cell(best.text, best.tone, f"{best.tail}  {clean(metric.name)}" if metric else ""),
        Cell(number(speed(run), 3), "muted"),
        Cell(ago(run.heartbeat_at, now), "bad" if silence_s > SILENT_AFTER_S else "ok"),
        Cell(duration(now - (run.started_at or now)), "muted"),
        Cell(NOTHING if run.cost is None else f"{run.cost:,.2f}", "muted"),
        Cell(clean(run.experiment), "muted"),
    )


def speed(run: "RunSummary") -> float | None:
    """Return the steps a second since the start, None before the first step."""
    step = max((m.last_step for m in run.metrics.values() if m.last_step is not None), default=None)
    elapsed_s = (run.heartbeat_at or 0.0) - (run.started_at or 0.0)
    return step / elapsed_s if step and elapsed_s > 0 else None


def last_ended(live: "Live", now: float) -> str:
    """Return which run ended last, for when nothing runs."""
    run = live.last_ended
    return f"{clean(run.name)} {run.status} {ago(run.ended_at, now)} ago" if run is not None else ""


def machine(run: "LiveRun") -> Content:
    """Return what the machine said last: its own metrics, each with its unit."""
    values = [metric for metric in run.metrics if is_machine(metric.name)]
    if not values:
        return Content.styled("no machine metrics are recorded", "$text-muted")
    return Content("   ").join([_value(metric) for metric in values])


def _value(metric: "MetricSummary") -> Content:
    name = metric.name.partition("/")[2] or metric.name
    unit = f" {metric.unit}" if metric.unit else ""
    return Content.styled(f"{clean(name)} ", "$text-muted") + Content(f"{number(metric.last, 3)}{clean(unit)}")

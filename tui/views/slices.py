"""Metrics that are slices of one thing (`parse_success/truncate`, `parse_success/deep`, …) as sorted bars. Pure."""

from collections.abc import Mapping
from typing import TYPE_CHECKING

from tui.columns import BASIS_SIGNS
from tui.text import bar, clean, number
from tui.widgets.table import Cell, Column, Line

if TYPE_CHECKING:
    from registry.queries import MetricSummary

NOT_SLICED = {"train", "val", "valid", "validation", "test", "eval", "dev", "system", "sys", "gpu", "time", "perf"}
BAR_WIDTH = 24
COLUMNS = (
    Column("slice", "Slice", minimum=16, maximum=40, weight=1),
    Column("value", "Value", align="right", minimum=8, maximum=14),
    Column("bar", "", minimum=BAR_WIDTH, maximum=BAR_WIDTH),
    Column("step", "Step", align="right", minimum=5, maximum=9),
    Column("n", "Points", align="right", minimum=6, maximum=9),
)


def sliced(metrics: Mapping[str, "MetricSummary"]) -> "dict[str, dict[str, MetricSummary]]":
    """Return the groups of slices: at least two metrics below one name that is no split of the data."""
    groups: dict[str, dict[str, MetricSummary]] = {}
    for name, metric in metrics.items():
        group, slash, leaf = name.partition("/")
        if slash and group.lower() not in NOT_SLICED:
            groups.setdefault(group, {})[leaf] = metric
    return {group: leaves for group, leaves in groups.items() if len(leaves) > 1}


def lines(metrics: Mapping[str, "MetricSummary"]) -> list[Line]:
    """Return one heading a group and one line a slice, the worst first where the goal says what is worse."""
    found = []
    for group, leaves in sliced(metrics).items():
        values = {leaf: metric.shown for leaf, metric in leaves.items() if metric.shown is not None}
        scale = max([abs(value) for value in values.values()], default=0.0)
        scale = 1.0 if scale <= 1.0 else scale
        found.append(Line(f"group:{group}", (Cell(clean(group), "primary"), Cell(""), Cell(""), Cell(""), Cell(""))))
        falling = any(metric.goal == "min" for metric in leaves.values())
        order = sorted(leaves.items(), key=lambda item: (values.get(item[0], 0.0) * (-1 if falling else 1), item[0]))
        found += [_line(group, leaf, metric, scale) for leaf, metric in order]
    return found


def _line(group: str, leaf: str, metric: "MetricSummary", scale: float) -> Line:
    value = metric.shown
    text = f"{BASIS_SIGNS.get(metric.basis, '?')}{number(value)}" if value is not None else "NaN"
    cells = (
        Cell(f"  {clean(leaf)}"),
        Cell(text, "" if value is not None else "bad"),
        Cell(bar(abs(value) / scale, BAR_WIDTH) if value is not None else "", "primary"),
        Cell(f"{metric.shown_step:,}" if metric.shown_step is not None else "", "muted"),
        Cell(f"{metric.count:,}", "muted"),
    )
    return Line(f"{group}/{leaf}", cells)

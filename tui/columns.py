"""What the columns of the runs table are and how a run reads in each of them. Pure.

A column's key is `name`, `status`, …, `metric:NAME` (its best, at which step, on which basis), `last:NAME`,
`spark:NAME` or `param:NAME`.
"""

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from tui.marks import STATUS, VERDICT, mark
from tui.text import NOTHING, ago, clean, duration, number, time_left
from tui.widgets.table import Cell, Column

if TYPE_CHECKING:
    from registry.queries import MetricSummary, RunSummary
    from tui.facts import Group, RunsIndex

BASIS_SIGNS = {"measured": "", "sampled": "~", "estimated": "≈"}

_PLAIN = (
    Column("name", "Run", minimum=18, maximum=44, weight=1, sortable=True),
    Column("status", "Status", minimum=10, maximum=22, sortable=True),
    Column("experiment", "Experiment", minimum=6, maximum=20, sortable=True),
    Column("gates", "Gates", minimum=5, maximum=9),
    Column("copies", "Copies", minimum=6, maximum=9),
    Column("deployed", "Deployed", minimum=8, maximum=18),
    Column("started", "Started", align="right", minimum=7, maximum=10, sortable=True),
    Column("duration", "Took", align="right", minimum=6, maximum=9, sortable=True),
    Column("cost", "Cost", align="right", minimum=5, maximum=9),
    Column("tags", "Tags", minimum=4, maximum=24),
    Column("id", "Id", minimum=10, maximum=10),
    Column("source", "Source", minimum=6, maximum=14),
)
SORTS = {
    "started": "started", "ended": "ended", "duration": "how long it took", "name": "name", "status": "status",
    "experiment": "experiment",
}  # fmt: skip
PLAIN = {column.key: column for column in _PLAIN}


def column(key: str) -> Column:
    """Return the column that a key names."""
    kind, _, name = key.partition(":")
    if key in PLAIN:
        return PLAIN[key]
    title = clean(name)
    if kind == "metric":
        return Column(key, title, align="right", minimum=6, maximum=22, sortable=True)
    if kind == "last":
        return Column(key, f"{title} last", align="right", minimum=6, maximum=20, sortable=True)
    if kind == "spark":
        return Column(key, title, minimum=12, maximum=12)
    return Column(key, title, align="right", minimum=4, maximum=16, sortable=True)


GROUPS = {"": "not grouped", "experiment": "by experiment", "parent": "by parent", "seed": "by seed"}


def metrics_of(keys: Sequence[str]) -> tuple[str, ...]:
    """Return the metrics that columns show."""
    return tuple(dict.fromkeys(key.partition(":")[2] for key in keys if key.startswith(("metric:", "last:"))))


def default_keys(index: "RunsIndex") -> list[str]:
    """Return the columns to begin with, what matters most first: a narrow terminal shows only those."""
    keys = ["name", "status"]
    if index.primary is not None:
        keys.append(f"metric:{index.primary}")
    keys += ["gates", "copies"]
    if index.trend is not None:
        keys.append(f"spark:{index.trend}")
    keys += ["started", "duration"]
    if any(run.cost is not None for run in index.rows.values()):
        keys.append("cost")
    if index.n_experiments > 1:
        keys.append("experiment")
    other = next((name for name in index.metrics if name != index.primary), None)
    if other is not None:
        keys.append(f"metric:{other}")
    return [*keys, "deployed"]


def sort_key(column_key: str) -> str:
    """Return what the registry calls the order of a column."""
    kind, _, name = column_key.partition(":")
    return {"metric": name, "last": f"last:{name}", "param": f"params.{name}"}.get(kind, column_key)


def order_words(sort_by: str, descending: bool, *, default: bool) -> str:
    """Return the order as people say it: `by val/loss, best first`."""
    name = clean(sort_by.removeprefix("params."))
    if sort_by in ("started", "ended"):
        return f"{'newest' if descending else 'oldest'} first"
    if sort_by in ("name", "status", "experiment", "id", "source"):
        return f"by {name}, {'Z to A' if descending else 'A to Z'}"
    if sort_by == "duration" or sort_by.startswith(("params.", "last:")):
        return f"by {name.replace('last:', 'last ')}, {'largest' if descending else 'smallest'} first"
    return f"by {name}, {'best' if default else 'worst'} first"


def cells(run: "RunSummary", keys: Sequence[str], now: float, sparks: dict[tuple[str, str], str]) -> tuple[Cell, ...]:
    """Return one run as the cells of its row; `sparks` holds the trends by `(run id, metric)`."""
    return tuple(_cell(run, key, now, sparks) for key in keys)


def _cell(run: "RunSummary", key: str, now: float, sparks: dict[tuple[str, str], str]) -> Cell:
    if key in _MAKERS:
        return _MAKERS[key](run, now)
    kind, _, name = key.partition(":")
    if kind == "spark":
        return Cell(sparks.get((run.id, name), ""), "muted")
    if kind == "param":
        return Cell(clean(run.params[name]) if name in run.params else NOTHING, "" if name in run.params else "faint")
    metric = run.metrics.get(name)
    if metric is None:
        return Cell(NOTHING, "faint")
    return last_cell(metric) if kind == "last" else best_cell(metric)


def group_cells(group: "Group", keys: Sequence[str], *, folded: bool) -> tuple[Cell, ...]:
    """Return the heading of a group: its name, how many runs, mean ± standard deviation of each metric over them."""
    found = []
    for key in keys:
        kind, _, name = key.partition(":")
        if key == "name":
            found.append(Cell(f"{'▸' if folded else '▾'} {clean(group.label)}", "primary", f"  {len(group.ids)}"))
        elif kind in ("metric", "last") and name in group.spreads:
            spread = group.spreads[name]
            sd = f" ± {number(spread.sd, 2)}" if spread.sd is not None else ""
            found.append(Cell(number(spread.mean), "primary", sd))
        else:
            found.append(Cell(""))
    return tuple(found)


def best_cell(metric: "MetricSummary") -> Cell:
    """Return the best value with its step (`0.3124 @12`); a sign says that it was not measured."""
    sign = BASIS_SIGNS.get(metric.basis, "?")
    if metric.shown is None:
        return Cell("NaN" if metric.non_finite else NOTHING, "bad" if metric.non_finite else "faint")
    step = f" @{metric.shown_step:,}" if metric.shown_step is not None and metric.count > 1 else ""
    return Cell(f"{sign}{number(metric.shown)}", "bad" if not math.isfinite(metric.shown) else "", step)


def last_cell(metric: "MetricSummary") -> Cell:
    """Return the last value; one that is not finite is loud."""
    if metric.last is None:
        return Cell("NaN" if metric.count else NOTHING, "bad" if metric.count else "faint")
    return Cell(number(metric.last), "" if math.isfinite(metric.last) else "bad")


def progress(run: "RunSummary", now: float) -> tuple[float | None, float | None]:
    """Return `(share done, seconds left)` of a running run, None where it said no total or has no step yet.

    A series whose last step is one less than its count began at step 0. The time left assumes that the steps to come
    take as long as those so far did on average.
    """
    steps = [m.last_step + (m.count == m.last_step + 1) for m in run.metrics.values() if m.last_step is not None]
    if run.status != "running" or not run.total_steps or not steps:
        return None, None
    share = min(1.0, max(steps) / run.total_steps)
    elapsed = (run.heartbeat_at or now) - (run.started_at or now)
    return share, elapsed * (1 - share) / share if share > 0 and elapsed > 0 else None


def _name(run: "RunSummary", now: float) -> Cell:
    return Cell(clean(run.name), "strong", " ▲", "accent") if run.deployed_to else Cell(clean(run.name))


def _status(run: "RunSummary", now: float) -> Cell:
    state = mark(STATUS, run.status)
    share, left_s = progress(run, now)
    left = f" {time_left(left_s)}" if left_s else ""
    return Cell(f"{state}{f' {share:.0%}' if share is not None else ''}", state.tone, left)


def _gates(run: "RunSummary", now: float) -> Cell:
    n = sum(run.gates.values())
    if not n:
        return Cell(NOTHING, "faint")
    worst = next((v for v in ("fail", "unknown", "uncalibrated", "pass") if run.gates.get(v)), "unknown")
    state = mark(VERDICT, worst)
    return Cell(f"{state.symbol} {run.gates.get('pass', 0)}/{n}", state.tone)


def _copies(run: "RunSummary", now: float) -> Cell:
    if not run.n_artifacts:
        return Cell(NOTHING, "faint")
    kept = run.n_artifacts - run.n_unverified
    return Cell(f"{'!' if run.n_unverified else '✓'} {kept}/{run.n_artifacts}", "bad" if run.n_unverified else "ok")


def _deployed(run: "RunSummary", now: float) -> Cell:
    return Cell(f"▲ {clean(', '.join(run.deployed_to))}", "accent") if run.deployed_to else Cell("")


_MAKERS: "dict[str, Callable[[RunSummary, float], Cell]]" = {
    "name": _name,
    "status": _status,
    "experiment": lambda run, now: Cell(clean(run.experiment), "muted"),
    "gates": _gates,
    "copies": _copies,
    "deployed": _deployed,
    "started": lambda run, now: Cell(ago(run.started_at, now), "muted"),
    "duration": lambda run, now: Cell(duration(run.duration_s), "muted"),
    "cost": lambda run, now: Cell(NOTHING if run.cost is None else f"{run.cost:,.2f}", "muted"),
    "tags": lambda run, now: Cell(clean(", ".join(run.tags)), "muted"),
    "id": lambda run, now: Cell(run.id, "muted"),
    "source": lambda run, now: Cell(clean(run.source), "muted"),
}

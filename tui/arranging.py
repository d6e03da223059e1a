"""Between what the registry said and what a screen shows: groups, what differs, lines of output. Pure."""

import re
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from tui.charts import Curve
from tui.facts import Group
from tui.text import clean

if TYPE_CHECKING:
    from registry.comparison import Spread
    from registry.queries import MetricSummary, RunSummary

MACHINE = ("system/", "sys/", "gpu/", "time/", "perf/")
CURVE_POINTS = 3
SEED_PARAMS = ("seed", "random_seed", "data_seed", "seeds")
_ESCAPES = re.compile(r"\x1b(?:\[[0-?]*[ -/]*[@-~]|\][^\x07\x1b]*(?:\x07|\x1b\\)?|[@-Z\\^_])")


def is_machine(metric: str) -> bool:
    """Return whether a metric is about the machine and not about the model; such ones come last."""
    return metric.startswith(MACHINE)


def grouped(rows: "dict[str, RunSummary]", ids: Sequence[str], by: str) -> tuple[Group, ...]:
    """Return runs in groups, each where its first run stood: by experiment, parent, or all parameters but the seed."""
    from registry.comparison import group_by

    if not by:
        return ()
    runs = [rows[run_id] for run_id in ids if run_id in rows]
    if by == "seed":
        return tuple(
            Group(
                f"{found.runs[0].experiment}: {_shared(found.params)}", tuple(r.id for r in found.runs), found.metrics
            )
            for found in group_by(runs, SEED_PARAMS)
        )
    parents = {run.parent_id for run in runs if run.parent_id}
    members: dict[str, list[RunSummary]] = {}
    for run in runs:
        parent = run.parent_id or (run.id if run.id in parents else None)
        label = run.experiment if by == "experiment" else rows[parent].name if parent in rows else parent or "no parent"
        members.setdefault(label, []).append(run)
    return tuple(Group(label, tuple(run.id for run in found), _spreads(found)) for label, found in members.items())


def _spreads(runs: "list[RunSummary]") -> "dict[str, Spread]":
    from registry.comparison import spreads_of

    return spreads_of(runs)


def _shared(params: dict[str, Any]) -> str:
    return ", ".join(f"{key}={value}" for key, value in params.items()) or "no parameters"


def common_primary(rows: "Iterable[RunSummary]") -> str | None:
    """Return the metric by which most of the runs are judged."""
    named = Counter(metric.name for row in rows if (metric := row.primary()) is not None)
    return named.most_common(1)[0][0] if named else None


def common_trend(rows: "Iterable[RunSummary]") -> str | None:
    """Return the metric whose trend says most about most of the runs."""
    named = Counter(name for row in rows if (name := charted(row)) is not None and is_curve(row.metrics[name]))
    return named.most_common(1)[0][0] if named else None


def is_curve(metric: "MetricSummary") -> bool:
    """Return whether a metric has enough points to be drawn as a line."""
    return metric.count >= CURVE_POINTS


def charted(run: "RunSummary") -> str | None:
    """Return the name of the metric to draw of a run: the primary one, or a curve where that is measured but once."""
    primary = run.primary()
    if primary is not None and is_curve(primary):
        return primary.name
    curves = [name for name, metric in run.metrics.items() if is_curve(metric) and not is_machine(name)]
    curves.sort(key=lambda name: (run.metrics[name].goal is None, not is_held_out(name), name))
    return next(iter(curves), primary.name if primary is not None else next(iter(run.metrics), None))


def in_order_of_sight(run: "RunSummary") -> list[str]:
    """Return a run's metrics: the one it is drawn by, other curves, what was measured once or twice, the machine's."""
    first, metrics = charted(run), run.metrics
    return sorted(metrics, key=lambda name: (name != first, is_machine(name), not is_curve(metrics[name])))


def common_metrics(rows: "Iterable[RunSummary]") -> tuple[str, ...]:
    """Return the metrics of some runs, those that most of them have first, the machine's last."""
    n_runs = Counter(name for row in rows for name in row.metrics)
    return tuple(sorted(n_runs, key=lambda name: (is_machine(name), -n_runs[name], name)))


def is_held_out(metric: str) -> bool:
    """Return whether a metric's name says that it was measured on data the training did not see."""
    return any(word in metric.lower() for word in ("val", "eval", "test", "dev"))


def log_lines(text: str) -> tuple[str, ...]:
    """Return output as lines of text: escape sequences taken out, each line as its last carriage return left it."""
    plain = _ESCAPES.sub("", text)
    return tuple(clean(line.rstrip("\r").rpartition("\r")[2]) for line in plain.rstrip("\n").split("\n"))


def over_epochs(curves: tuple[Curve, ...], epoch: "MetricSummary | None") -> tuple[Curve, ...]:
    """Return curves over steps as curves over epochs, as the metric `epoch` ends (an epoch is taken to be steady)."""
    if epoch is None or not epoch.last_step or not epoch.last:
        return curves
    scale = epoch.last / epoch.last_step
    return tuple(
        replace(c, xs=tuple(x * scale for x in c.xs), bad_xs=tuple(x * scale for x in c.bad_xs)) for c in curves
    )


def differing(run: "RunSummary", baseline: "RunSummary | None") -> tuple[tuple[str, str, str], ...]:
    """Return `(parameter, the run's value, the baseline's value)` for those that differ; all without a baseline."""
    if baseline is None or baseline.id == run.id:
        return tuple((key, str(value), "") for key, value in run.params.items())
    keys = sorted({*run.params, *baseline.params})
    return tuple(
        (key, str(run.params.get(key, "–")), str(baseline.params.get(key, "–")))
        for key in keys
        if run.params.get(key) != baseline.params.get(key)
    )

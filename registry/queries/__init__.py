"""The read side: runs as immutable rows with an honest count. Lists, sorts and compares read the summary row of a
series; only `points` touches points.
"""

from registry.queries.detail import RunDetail, artifacts_of, gates_of, show_run
from registry.queries.lists import (
    NameCount,
    RunFilter,
    RunPage,
    list_runs,
    metric_goal,
    metric_names,
    param_names,
    run_ids,
    run_summary,
    totals,
)
from registry.queries.points import Column, Point, columns, history, points_after, series_id, sparks
from registry.queries.summaries import MetricSummary, RunSummary, run_cost

__all__ = [
    "Column",
    "MetricSummary",
    "NameCount",
    "Point",
    "RunDetail",
    "RunFilter",
    "RunPage",
    "RunSummary",
    "artifacts_of",
    "columns",
    "gates_of",
    "history",
    "list_runs",
    "metric_goal",
    "metric_names",
    "param_names",
    "points_after",
    "run_cost",
    "run_ids",
    "run_summary",
    "series_id",
    "show_run",
    "sparks",
    "totals",
]

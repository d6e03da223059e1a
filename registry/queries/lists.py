"""Which runs, in which order, and how many there are."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlmodel import Session

from registry import clock, filters
from registry.metrics import infer_goal
from registry.queries.statements import all_rows
from registry.queries.summaries import RunSummary, summaries
from registry.settings import Settings


@dataclass(frozen=True)
class RunPage:
    """Some of the runs that match: rows `offset` to `offset + len(rows)` of `n_matching`, of `n_total` in all."""

    rows: tuple[RunSummary, ...]
    n_matching: int
    n_total: int
    offset: int = 0


@dataclass(frozen=True)
class RunFilter:
    """Which runs are wanted; every condition must hold."""

    experiment: str | None = None
    statuses: tuple[str, ...] = ()
    tags: tuple[str, ...] = ()
    text: str | None = None
    parent: str | None = None
    ids: tuple[str, ...] | None = None
    deleted: bool = False
    expression: str | None = None

    def where(self) -> tuple[str, dict[str, Any]]:
        """Return the SQL condition and its values."""
        parts, values = ["r.deleted_at IS NOT NULL" if self.deleted else "r.deleted_at IS NULL"], {}
        if self.experiment is not None:
            parts.append("e.name = :experiment")
            values["experiment"] = self.experiment
        if self.parent is not None:
            parts.append("r.parent_id = :parent")
            values["parent"] = self.parent
        if self.text:
            parts.append("(lower(r.name) LIKE :text OR r.id LIKE :text OR lower(e.name) LIKE :text)")
            values["text"] = f"%{self.text.lower()}%"
        for name, wanted, sql in (
            ("status", self.statuses, "r.status IN ({})"),
            ("id", self.ids, "r.id IN ({})"),
        ):
            if wanted is not None and (wanted or name == "id"):
                parts.append(sql.format(", ".join(f":{name}{i}" for i in range(len(wanted))) or "NULL"))
                values |= {f"{name}{i}": value for i, value in enumerate(wanted)}
        if self.expression:
            condition, bound = filters.where(self.expression, clock.now())
            parts.append(condition)
            values |= bound
        for i, tag in enumerate(self.tags):
            parts.append(f"EXISTS (SELECT 1 FROM tag t WHERE t.run_id = r.id AND t.tag = :tag{i})")
            values[f"tag{i}"] = tag
        return " AND ".join(parts), values


_PLAIN_SORTS = {
    "duration": "coalesce(r.ended_at, r.heartbeat_at) - r.started_at",
    "started": "r.started_at",
    "ended": "r.ended_at",
    "name": "lower(r.name)",
    "status": "r.status",
    "experiment": "lower(e.name)",
    "id": "r.id",
}


def _order(session: Session, sort_by: str, descending: bool | None) -> tuple[str, str, dict[str, Any]]:
    """Return the JOIN, the ORDER BY and the values for a sort by a column, or by a metric's best or `last:` value."""
    if sort_by in _PLAIN_SORTS:
        down = sort_by in ("started", "ended") if descending is None else descending
        column = _PLAIN_SORTS[sort_by]
        return "", f"{column} IS NULL, {column} {'DESC' if down else 'ASC'}, r.id", {}
    if sort_by.startswith("params."):
        return _order_by_param(sort_by.removeprefix("params."), descending)
    name = sort_by.removeprefix("last:").removeprefix("best:")
    goal = metric_goal(session, name)
    column = "last_value" if sort_by.startswith("last:") or goal is None else f"{goal}_value"
    value = f"COALESCE(sm.{column}, so.{column})"
    join = (
        " LEFT JOIN metric_series sm ON sm.run_id = r.id AND sm.name = :sort AND sm.basis = 'measured'"
        " LEFT JOIN metric_series so ON so.run_id = r.id AND so.name = :sort AND so.basis ="
        " (SELECT max(b.basis) FROM metric_series b WHERE b.run_id = r.id AND b.name = :sort AND b.basis <> 'measured')"
    )
    down = goal != "min" if descending is None else descending
    return join, f"{value} IS NULL, {value} {'DESC' if down else 'ASC'}, r.id", {"sort": name}


def _order_by_param(key: str, descending: bool | None) -> tuple[str, str, dict[str, Any]]:
    """Sort numbers as numbers, before any text; runs without the param come last."""
    join = " LEFT JOIN param sp ON sp.run_id = r.id AND sp.key = :sort"
    is_number = "substr(sp.value, 1, 1) IN ('-', '0', '1', '2', '3', '4', '5', '6', '7', '8', '9')"
    number = f"CASE WHEN {is_number} THEN CAST(sp.value AS DOUBLE PRECISION) END"
    way = "DESC" if descending else "ASC"
    return join, f"sp.value IS NULL, {number} IS NULL, {number} {way}, sp.value {way}, r.id", {"sort": key}


def metric_goal(session: Session, name: str) -> str | None:
    """Return the goal of a metric across the registry: as any run defined it, else as its name says."""
    statement = text("SELECT goal FROM metric_definition WHERE name = :name AND goal IS NOT NULL LIMIT 1")
    defined = session.connection().execute(statement, {"name": name}).scalar()
    return str(defined) if defined else infer_goal(name)


def list_runs(
    session: Session,
    settings: Settings,
    wanted: RunFilter | None = None,
    *,
    sort_by: str = "started",
    descending: bool | None = None,
    limit: int | None = None,
    offset: int = 0,
    metrics: Collection[str] | None = None,
) -> RunPage:
    """Return the runs that match, newest first unless sorted otherwise.

    `sort_by` is started, ended, name, status, experiment, id, a metric's name (its best first) or `last:NAME`.
    `metrics` limits which metrics are loaded (None: all).
    """
    where, values = (wanted or RunFilter()).where()
    join, order, sort_values = _order(session, sort_by, descending)
    run = session.connection().execute
    source = "FROM run r JOIN experiment e ON e.id = r.experiment_id"
    n_matching = run(text(f"SELECT count(*) {source} WHERE {where}"), values).scalar() or 0
    n_total = run(text("SELECT count(*) FROM run WHERE deleted_at IS NULL")).scalar() or 0
    page = "" if limit is None else " LIMIT :limit OFFSET :offset"
    rows = run(
        text(f"SELECT r.*, e.name AS experiment {source}{join} WHERE {where} ORDER BY {order}{page}"),
        {**values, **sort_values, **({} if limit is None else {"limit": limit, "offset": offset})},
    ).all()
    return RunPage(tuple(summaries(session, settings, rows, metrics)), n_matching, n_total, offset)


def run_ids(
    session: Session,
    wanted: RunFilter | None = None,
    *,
    sort_by: str = "started",
    descending: bool | None = None,
) -> list[str]:
    """Return the ids of all runs that match, in order: what a windowed table pages over."""
    where, values = (wanted or RunFilter()).where()
    join, order, sort_values = _order(session, sort_by, descending)
    statement = text(
        f"SELECT r.id FROM run r JOIN experiment e ON e.id = r.experiment_id{join} WHERE {where} ORDER BY {order}"
    )
    return list(session.connection().execute(statement, {**values, **sort_values}).scalars())


@dataclass(frozen=True)
class NameCount:
    """A metric or a param and how many runs have it; `goal` is None for params and for metrics without one."""

    name: str
    n_runs: int
    goal: str | None = None


def metric_names(session: Session) -> list[NameCount]:
    """Return every metric, the most used first."""
    rows = all_rows(
        session, "SELECT name, count(DISTINCT run_id) AS n FROM metric_series GROUP BY name ORDER BY 2 DESC, 1"
    )
    defined = {
        row.name: row.goal
        for row in all_rows(session, "SELECT name, max(goal) AS goal FROM metric_definition GROUP BY name")
    }
    return [NameCount(row.name, row.n, defined.get(row.name) or infer_goal(row.name)) for row in rows]


def param_names(session: Session) -> list[NameCount]:
    """Return every param, the most used first."""
    rows = all_rows(session, "SELECT key, count(*) AS n FROM param GROUP BY key ORDER BY 2 DESC, 1")
    return [NameCount(row.key, row.n) for row in rows]


def run_summary(session: Session, settings: Settings, run_id: str) -> RunSummary:
    """Return the row of one run, deleted or not. Raises IndexError when there is none."""
    page = list_runs(session, settings, RunFilter(ids=(run_id,)))
    return (page.rows or list_runs(session, settings, RunFilter(ids=(run_id,), deleted=True)).rows)[0]


def totals(session: Session) -> dict[str, int]:
    """Return how many of everything there is."""
    names = {
        "runs": "SELECT count(*) FROM run WHERE deleted_at IS NULL",
        "running": "SELECT count(*) FROM run WHERE status = 'running' AND deleted_at IS NULL",
        "experiments": "SELECT count(*) FROM experiment",
        "points": "SELECT coalesce(sum(count), 0) FROM metric_series",
        "artifacts": "SELECT count(*) FROM artifact WHERE superseded_at IS NULL AND discarded_reason IS NULL",
        "remotes": "SELECT count(*) FROM remote WHERE removed_at IS NULL",
        "copies": "SELECT count(*) FROM copy",
        "datasets": "SELECT count(*) FROM dataset",
        "deployments": "SELECT count(*) FROM deployment WHERE until IS NULL",
    }
    return {name: int(session.connection().execute(text(sql)).scalar() or 0) for name, sql in names.items()}

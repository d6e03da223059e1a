"""The read side: runs as immutable rows with an honest count. Lists, sorts and compares read the summary row of a
series; only `history` and `columns` touch points.
"""

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import bindparam, text
from sqlmodel import Session, col, select

from registry import clock, filters
from registry.chains import chain_of
from registry.metrics import infer_goal
from registry.settings import Settings

_IDS_PER_QUERY = 5_000


@dataclass(frozen=True)
class MetricSummary:
    """One metric of one run on one basis. `best` follows the goal; without a goal there is no best."""

    name: str
    basis: str
    goal: str | None
    count: int
    non_finite: int
    last: float | None
    last_step: int | None
    best: float | None
    best_step: int | None
    unit: str | None = None
    primary: bool = False

    @property
    def shown(self) -> float | None:
        """The value a table shows: the best, the last where there is no best."""
        return self.best if self.goal else self.last

    @property
    def shown_step(self) -> int | None:
        """The step of the value a table shows."""
        return self.best_step if self.goal else self.last_step

    def as_json(self) -> dict[str, Any]:
        """Return the metric in the shape of the JSON contract."""
        return {
            "last": _finite(self.last),
            "last_step": self.last_step,
            "best": _finite(self.best),
            "best_step": self.best_step,
            "goal": self.goal,
            "basis": self.basis,
            "count": self.count,
            "non_finite": self.non_finite,
            "unit": self.unit,
        }


@dataclass(frozen=True)
class RunSummary:
    """One row of `ls`."""

    id: str
    name: str
    experiment: str
    status: str
    evidence: str
    started_at: float | None
    ended_at: float | None
    heartbeat_at: float | None
    source: str
    parent_id: str | None
    total_steps: int | None
    segment: int
    cost: float | None
    params: dict[str, Any] = field(default_factory=dict)
    metrics: dict[str, MetricSummary] = field(default_factory=dict)
    gates: dict[str, int] = field(default_factory=dict)
    n_artifacts: int = 0
    n_unverified: int = 0
    deployed_to: tuple[str, ...] = ()
    invalid: str | None = None
    tags: tuple[str, ...] = ()

    @property
    def duration_s(self) -> float | None:
        """How long the run took, up to its last sign of life."""
        end = self.ended_at or self.heartbeat_at
        return None if end is None or self.started_at is None else max(0.0, end - self.started_at)

    def primary(self) -> MetricSummary | None:
        """Return the metric the run is judged by: the one it named, else the likeliest by name."""
        for metric in self.metrics.values():
            if metric.primary:
                return metric
        ranked = sorted(self.metrics.values(), key=lambda metric: (_unlikely(metric), metric.name))
        return ranked[0] if ranked and ranked[0].goal else None

    def as_json(self) -> dict[str, Any]:
        """Return the run in the shape of the JSON contract."""
        primary = self.primary()
        return {
            "id": self.id,
            "name": self.name,
            "experiment": self.experiment,
            "status": self.status,
            "evidence": self.evidence,
            "started_at": clock.iso(self.started_at),
            "ended_at": clock.iso(self.ended_at),
            "heartbeat_at": clock.iso(self.heartbeat_at),
            "source": self.source,
            "parent": self.parent_id,
            "params": self.params,
            "metrics": {name: metric.as_json() for name, metric in self.metrics.items()},
            "primary_metric": primary.name if primary else None,
            "gates": {verdict: self.gates.get(verdict, 0) for verdict in ("pass", "fail", "unknown", "uncalibrated")},
            "artifacts": {"total": self.n_artifacts, "unverified": self.n_unverified},
            "deployed_to": list(self.deployed_to),
            "invalid": self.invalid,
            "tags": list(self.tags),
            "cost": self.cost,
        }


@dataclass(frozen=True)
class RunPage:
    """Some of the runs that match: rows `offset` to `offset + len(rows)` of `n_matching`, of `n_total` in all."""

    rows: tuple[RunSummary, ...]
    n_matching: int
    n_total: int
    offset: int = 0


@dataclass(frozen=True)
class Point:
    """One recorded value; `value` None stands for NaN, `elapsed_s` counts from the run's start."""

    step: int | None
    value: float | None
    elapsed_s: float | None
    segment: int


@dataclass(frozen=True)
class Column:
    """The points of one column of a chart: the least and the greatest finite value, and how many were not finite."""

    x: float
    low: float | None
    high: float | None
    n_points: int
    n_non_finite: int


def _finite(value: float | None) -> float | None:
    return value if value is not None and value - value == 0.0 else None


def _unlikely(metric: MetricSummary) -> tuple[int, int]:
    """Rank a metric as the primary one: validation before training, the machine's own last, a goal before none."""
    name = metric.name.lower()
    held_out = any(word in name for word in ("val", "eval", "test", "dev"))
    machine = name.startswith(("system/", "sys/", "gpu", "time/", "perf/"))
    return (0 if metric.goal else 1) + (4 if machine else 0), 0 if held_out else 1


def _grouped(rows: Iterable[Any]) -> dict[str, list[Any]]:
    groups: dict[str, list[Any]] = {}
    for row in rows:
        groups.setdefault(row.run_id, []).append(row)
    return groups


def _per_run(session: Session, sql: str, ids: Sequence[str], **values: Any) -> dict[str, list[Any]]:
    """Run a query that holds `run_id IN :ids` for all ids, in slices, and group its rows by run."""
    statement = text(sql).bindparams(bindparam("ids", expanding=True))
    if ":names" in sql:
        statement = statement.bindparams(bindparam("names", expanding=True))
    rows: list[Any] = []
    for start in range(0, len(ids), _IDS_PER_QUERY):
        rows += session.connection().execute(statement, {"ids": ids[start : start + _IDS_PER_QUERY], **values})
    return _grouped(rows)


# --- lists


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
    return RunPage(tuple(_summaries(session, settings, rows, metrics)), n_matching, n_total, offset)


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
    rows = _all(session, "SELECT name, count(DISTINCT run_id) AS n FROM metric_series GROUP BY name ORDER BY 2 DESC, 1")
    defined = {
        row.name: row.goal
        for row in _all(session, "SELECT name, max(goal) AS goal FROM metric_definition GROUP BY name")
    }
    return [NameCount(row.name, row.n, defined.get(row.name) or infer_goal(row.name)) for row in rows]


def param_names(session: Session) -> list[NameCount]:
    """Return every param, the most used first."""
    rows = _all(session, "SELECT key, count(*) AS n FROM param GROUP BY key ORDER BY 2 DESC, 1")
    return [NameCount(row.key, row.n) for row in rows]


def _summaries(
    session: Session, settings: Settings, rows: Sequence[Any], metrics: Collection[str] | None
) -> Iterable[RunSummary]:
    from registry.copies import unverified_counts
    from registry.lineage import invalid_reasons

    ids = [row.id for row in rows]
    params = _per_run(session, "SELECT run_id, key, value FROM param WHERE run_id IN :ids ORDER BY key", ids)
    series = _metrics_of(session, ids, metrics)
    gates = _per_run(
        session, "SELECT run_id, verdict, count(*) AS n FROM gate_result WHERE run_id IN :ids GROUP BY 1, 2", ids
    )
    tags = _per_run(session, "SELECT run_id, tag FROM tag WHERE run_id IN :ids ORDER BY tag", ids)
    deployed = _per_run(
        session, "SELECT run_id, target FROM deployment WHERE until IS NULL AND run_id IN :ids ORDER BY target", ids
    )
    artifacts = unverified_counts(session, ids, clock.now(), settings)
    invalid = invalid_reasons(session, ids)
    for row in rows:
        n_artifacts, n_unverified = artifacts.get(row.id, (0, 0))
        yield RunSummary(
            id=row.id,
            name=row.name,
            experiment=row.experiment,
            status=row.status,
            evidence=row.evidence,
            started_at=row.started_at,
            ended_at=row.ended_at,
            heartbeat_at=row.heartbeat_at,
            source=row.source,
            parent_id=row.parent_id,
            total_steps=row.total_steps,
            segment=row.segment,
            cost=run_cost(row, settings),
            params={param.key: json.loads(param.value) for param in params.get(row.id, ())},
            metrics=series.get(row.id, {}),
            gates={gate.verdict: gate.n for gate in gates.get(row.id, ())},
            n_artifacts=n_artifacts,
            n_unverified=n_unverified,
            deployed_to=tuple(deployment.target for deployment in deployed.get(row.id, ())),
            invalid=invalid.get(row.id),
            tags=tuple(tag.tag for tag in tags.get(row.id, ())),
        )


def run_cost(row: Any, settings: Settings) -> float | None:
    """Return what a run cost so far, None where no price is known for it or for its host."""
    host = settings.hosts.get(json.loads(row.host or "{}").get("name", "")) or settings.hosts.get("default")
    per_hour = row.cost_per_hour if row.cost_per_hour is not None else host.cost_per_hour if host else None
    end = row.ended_at or row.heartbeat_at
    if per_hour is None or row.started_at is None or end is None:
        return None
    return float(per_hour) * float(max(0.0, end - row.started_at)) / 3600.0


def _metrics_of(
    session: Session, ids: Sequence[str], names: Collection[str] | None
) -> dict[str, dict[str, MetricSummary]]:
    sql = (
        "SELECT s.run_id, s.name, s.basis, s.count, s.non_finite, s.last_value, s.last_step, s.min_value, s.min_step,"
        ' s.max_value, s.max_step, d.goal, d.unit, d."primary" AS is_primary FROM metric_series s'
        " LEFT JOIN metric_definition d ON d.run_id = s.run_id AND d.name = s.name WHERE s.run_id IN :ids"
    )
    if names is not None:
        if not names:
            return {}
        found = _per_run(session, f"{sql} AND s.name IN :names ORDER BY s.name, s.basis", ids, names=list(names))
    else:
        found = _per_run(session, f"{sql} ORDER BY s.name, s.basis", ids)
    return {run_id: _by_name(rows) for run_id, rows in found.items()}


def _by_name(rows: Sequence[Any]) -> dict[str, MetricSummary]:
    """Key the series of one run by name; beside a measured one, another basis stands as `name (basis)`."""
    by_name: dict[str, MetricSummary] = {}
    for row in sorted(rows, key=lambda row: (row.name, row.basis != "measured", row.basis)):
        metric = _metric_summary(row)
        by_name[row.name if row.name not in by_name else f"{row.name} ({row.basis})"] = metric
    return by_name


def _metric_summary(row: Any) -> MetricSummary:
    goal = row.goal or infer_goal(row.name)
    return MetricSummary(
        name=row.name,
        basis=row.basis,
        goal=goal,
        count=row.count,
        non_finite=row.non_finite,
        last=row.last_value,
        last_step=row.last_step,
        best=getattr(row, f"{goal}_value") if goal else None,
        best_step=getattr(row, f"{goal}_step") if goal else None,
        unit=row.unit,
        primary=bool(row.is_primary),
    )


def run_summary(session: Session, settings: Settings, run_id: str) -> RunSummary:
    """Return the row of one run, deleted or not. Raises IndexError when there is none."""
    page = list_runs(session, settings, RunFilter(ids=(run_id,)))
    return (page.rows or list_runs(session, settings, RunFilter(ids=(run_id,), deleted=True)).rows)[0]


# --- one run


@dataclass(frozen=True)
class RunDetail:
    """Everything `show` says of one run; the lists are in the shapes of the JSON contract."""

    summary: RunSummary
    command: list[str]
    cwd: str
    folder: str | None
    git: dict[str, Any] | None
    host: dict[str, Any]
    device: dict[str, Any]
    environment: list[str]
    exit_code: int | None
    artifacts: list[dict[str, Any]]
    gates: list[dict[str, Any]]
    datasets: list[dict[str, Any]]
    segments: list[dict[str, Any]]
    evaluations: list[dict[str, Any]]
    notes: list[dict[str, Any]]
    parent: dict[str, Any] | None
    children: list[dict[str, Any]]
    chain: list[dict[str, Any]]
    deployments: list[dict[str, Any]]

    def as_json(self) -> dict[str, Any]:
        """Return the run in the shape of the JSON contract."""
        described = {name: getattr(self, name) for name in self.__dataclass_fields__ if name != "summary"}
        return {**self.summary.as_json(), "gate_counts": self.summary.as_json()["gates"], **described}


def show_run(session: Session, settings: Settings, run_id: str) -> RunDetail:
    """Return everything about one run."""
    row = session.connection().execute(text("SELECT * FROM run WHERE id = :id"), {"id": run_id}).one()
    return RunDetail(
        summary=run_summary(session, settings, run_id),
        command=json.loads(row.command),
        cwd=row.cwd,
        folder=row.folder,
        git=json.loads(row.git) if row.git else None,
        host=json.loads(row.host),
        device=json.loads(row.device),
        environment=json.loads(row.environment),
        exit_code=row.exit_code,
        artifacts=artifacts_of(session, settings, run_id),
        gates=gates_of(session, run_id),
        datasets=_datasets_of(session, run_id),
        segments=_segments_of(session, run_id),
        evaluations=_evaluations_of(session, run_id),
        notes=_notes_of(session, run_id),
        parent=_parent_of(session, row.parent_id),
        children=_children_of(session, run_id),
        chain=[link.as_json() for link in chain_of(session, run_id)],
        deployments=_deployments_of(session, run_id),
    )


def _all(session: Session, sql: str, **values: Any) -> Sequence[Any]:
    return session.connection().execute(text(sql), values).all()


def artifacts_of(
    session: Session, settings: Settings, run_id: str, *, superseded: bool = False
) -> list[dict[str, Any]]:
    """Return a run's artifacts with their copies; those whose bytes were replaced only when asked for."""
    from registry.copies import artifact_custody

    rows = _all(
        session,
        "SELECT * FROM artifact WHERE run_id = :run_id"
        f"{'' if superseded else ' AND superseded_at IS NULL'} ORDER BY recorded_at, id",
        run_id=run_id,
    )
    custody = artifact_custody(session, [row.id for row in rows], clock.now(), settings)
    return [
        {
            "id": row.id,
            "role": row.role,
            "path": row.path,
            "kind": row.kind,
            "digest": row.digest,
            "size_bytes": row.size_bytes,
            "step": row.step,
            "recorded_at": clock.iso(row.recorded_at),
            "superseded_at": clock.iso(row.superseded_at),
            "verified_counting": custody[row.id].verified_counting,
            "copies": [copy.as_json() for copy in custody[row.id].copies],
        }
        for row in rows
    ]


def gates_of(session: Session, run_id: str) -> list[dict[str, Any]]:
    """Return the verdicts of a run's gates as they were last computed from the record, in their suite's order."""
    from registry.gate_facts import stored_json
    from registry.tables import GateResult

    order = (col(GateResult.suite), col(GateResult.position))
    return [
        stored_json(row) for row in session.exec(select(GateResult).where(GateResult.run_id == run_id).order_by(*order))
    ]


def _datasets_of(session: Session, run_id: str) -> list[dict[str, Any]]:
    rows = _all(
        session,
        "SELECT u.name, u.version, u.role, u.digest, u.override, d.state, d.reason, d.superseded_by FROM dataset_use u"
        " LEFT JOIN dataset d ON d.name = u.name AND d.version = u.version WHERE u.run_id = :id"
        " ORDER BY u.role, u.name, u.version",
        id=run_id,
    )
    return [{**row._mapping, "state": row.state or "unregistered"} for row in rows]


def _segments_of(session: Session, run_id: str) -> list[dict[str, Any]]:
    rows = _all(session, "SELECT * FROM segment WHERE run_id = :id ORDER BY number", id=run_id)
    later = [{**row._mapping, "at": clock.iso(row.at)} for row in rows]
    first = {"run_id": run_id, "number": 0, "at": None, "reason": "start"}
    return [first, *later]


def _evaluations_of(session: Session, run_id: str) -> list[dict[str, Any]]:
    rows = _all(
        session,
        "SELECT e.id, e.digest, e.subject, e.suite, e.step, e.basis, e.dataset, e.at, v.name, v.value, v.low, v.high,"
        " v.n FROM evaluation e JOIN evaluation_value v ON v.evaluation_id = e.id WHERE e.run_id = :id"
        " ORDER BY e.id, v.name",
        id=run_id,
    )
    found: dict[int, dict[str, Any]] = {}
    for row in rows:
        evaluation = found.setdefault(
            row.id,
            {name: getattr(row, name) for name in ("digest", "subject", "suite", "step", "basis", "dataset")}
            | {"at": clock.iso(row.at), "values": {}},
        )
        evaluation["values"][row.name] = {
            "value": _finite(row.value),
            "low": row.low,
            "high": row.high,
            "n": row.n,
        }
    return list(found.values())


def _notes_of(session: Session, run_id: str) -> list[dict[str, Any]]:
    rows = _all(session, 'SELECT at, level, text, step, "by" FROM note WHERE run_id = :id ORDER BY at, id', id=run_id)
    return [{**row._mapping, "at": clock.iso(row.at)} for row in rows]


def _children_of(session: Session, run_id: str) -> list[dict[str, Any]]:
    rows = _all(session, "SELECT id, name, status FROM run WHERE parent_id = :id ORDER BY started_at, id", id=run_id)
    return [dict(row._mapping) for row in rows]


def _parent_of(session: Session, parent_id: str | None) -> dict[str, Any] | None:
    rows = _all(session, "SELECT id, name, status FROM run WHERE id = :id", id=parent_id)
    return dict(rows[0]._mapping) if rows else None


def _deployments_of(session: Session, run_id: str) -> list[dict[str, Any]]:
    rows = _all(
        session,
        'SELECT target, since, until, "by", reason, overrides, action FROM deployment WHERE run_id = :id ORDER BY 2',
        id=run_id,
    )
    return [
        {
            **row._mapping,
            "since": clock.iso(row.since),
            "until": clock.iso(row.until),
            "overrides": json.loads(row.overrides),
        }
        for row in rows
    ]


# --- points


def series_id(session: Session, run_id: str, name: str, basis: str | None = None) -> int | None:
    """Return the series of a metric: of this basis, else the measured one, else any. `name (basis)` works too."""
    if basis is None and name.endswith(")") and " (" in name:
        plain, _, wanted = name[:-1].rpartition(" (")
        if (found := series_id(session, run_id, plain, wanted)) is not None:
            return found
    rows = _all(
        session,
        "SELECT id, basis FROM metric_series WHERE run_id = :run_id AND name = :name",
        run_id=run_id,
        name=name,
    )
    ranked = sorted(rows, key=lambda row: (row.basis != "measured", row.basis))
    return next((row.id for row in ranked if basis in (None, row.basis)), None)


def history(session: Session, run_id: str, name: str, basis: str | None = None) -> list[Point]:
    """Return every point of a metric in the order it was said."""
    found = series_id(session, run_id, name, basis)
    rows = _all(
        session,
        "SELECT step, value, elapsed_ms, segment FROM metric_point WHERE series_id = :id ORDER BY seq",
        id=found,
    )
    return [
        Point(row.step, row.value, None if row.elapsed_ms is None else row.elapsed_ms / 1000, row.segment)
        for row in rows
    ]


def points_after(session: Session, found_series_id: int, seq: int) -> list[tuple[int, int | None, float | None, float]]:
    """Return `(seq, step, value, elapsed_s)` of the points after `seq`: what a live chart has not seen yet."""
    rows = _all(
        session,
        "SELECT seq, step, value, elapsed_ms FROM metric_point WHERE series_id = :id AND seq > :seq ORDER BY seq",
        id=found_series_id,
        seq=seq,
    )
    return [(row.seq, row.step, row.value, (row.elapsed_ms or 0) / 1000) for row in rows]


def columns(
    session: Session, run_id: str, name: str, n_columns: int, *, x: str = "step", basis: str | None = None
) -> list[Column]:
    """Return a metric in at most `n_columns` columns with the least and greatest value of each: what a chart needs.

    `x` is `step` or `time` (seconds since the start); a point without a step stands at its place in the series.
    """
    found = series_id(session, run_id, name, basis)
    across = "elapsed_ms / 1000.0" if x == "time" else "COALESCE(step, seq)"
    bounds = _all(
        session, f"SELECT min({across}) AS low, max({across}) AS high FROM metric_point WHERE series_id = :id", id=found
    )[0]
    if bounds.low is None:
        return []
    width = (float(bounds.high) - float(bounds.low)) / max(1, n_columns) or 1.0
    rows = _all(
        session,
        f"SELECT {_whole(session, f'({across} - :low) / :width')} AS col, count(*) AS n,"
        " sum(CASE WHEN value IS NULL OR abs(value) > 1.7e308 THEN 1 ELSE 0 END) AS bad,"
        " min(CASE WHEN abs(value) <= 1.7e308 THEN value END) AS finite_low,"
        " max(CASE WHEN abs(value) <= 1.7e308 THEN value END) AS finite_high"
        " FROM metric_point WHERE series_id = :id GROUP BY 1 ORDER BY 1",
        id=found,
        low=float(bounds.low),
        width=width,
    )
    return [
        Column(float(bounds.low) + (row.col + 0.5) * width, row.finite_low, row.finite_high, row.n, row.bad)
        for row in rows
    ]


def _whole(session: Session, positive: str) -> str:
    """Return the SQL that cuts a positive number down to a whole one: a server's CAST would round it."""
    return f"CAST({positive} AS INTEGER)" if session.get_bind().dialect.name == "sqlite" else f"trunc({positive})"


_SPARKS = (
    "WITH RECURSIVE k(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM k WHERE i < :n - 1)"
    " SELECT s.run_id, s.basis, k.i, p.value FROM metric_series s CROSS JOIN k JOIN metric_point p"
    " ON p.series_id = s.id AND p.seq = CASE WHEN s.count <= :n THEN k.i ELSE k.i * (s.count - 1) / (:n - 1) END"
    " WHERE s.run_id IN :ids AND s.name = :name ORDER BY s.run_id, k.i"
)


def sparks(session: Session, ids: Sequence[str], name: str, n: int = 12) -> dict[str, list[float | None]]:
    """Return `n` (at least 2) evenly spaced values of a metric for each run; None for a value that is not finite.

    Of the measured basis, else of any. The cost does not depend on how long the series are.
    """
    found: dict[str, list[float | None]] = {}
    for run_id, rows in _per_run(session, _SPARKS, ids, name=name, n=n).items():
        bases = {row.basis for row in rows}
        basis = "measured" if "measured" in bases else min(bases)
        found[run_id] = [_finite(row.value) for row in rows if row.basis == basis]
    return found


# --- counts


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

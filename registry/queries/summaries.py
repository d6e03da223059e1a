"""A run as one immutable row: its metrics' summaries, never their points."""

import json
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlmodel import Session

from registry import clock
from registry.metrics import infer_goal
from registry.queries.statements import finite, per_run
from registry.settings import Settings


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
            "last": finite(self.last),
            "last_step": self.last_step,
            "best": finite(self.best),
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


def _unlikely(metric: MetricSummary) -> tuple[int, int]:
    """Rank a metric as the primary one: validation before training, the machine's own last, a goal before none."""
    name = metric.name.lower()
    held_out = any(word in name for word in ("val", "eval", "test", "dev"))
    machine = name.startswith(("system/", "sys/", "gpu", "time/", "perf/"))
    return (0 if metric.goal else 1) + (4 if machine else 0), 0 if held_out else 1


def summaries(
    session: Session, settings: Settings, rows: Sequence[Any], metrics: Collection[str] | None
) -> Iterable[RunSummary]:
    """Yield the summaries of rows of `run`, in their order; `metrics` limits which are loaded (None: all)."""
    from registry.copies import unverified_counts
    from registry.lineage import invalid_reasons

    ids = [row.id for row in rows]
    params = per_run(session, "SELECT run_id, key, value FROM param WHERE run_id IN :ids ORDER BY key", ids)
    series = _metrics_of(session, ids, metrics)
    gates = per_run(
        session, "SELECT run_id, verdict, count(*) AS n FROM gate_result WHERE run_id IN :ids GROUP BY 1, 2", ids
    )
    tags = per_run(session, "SELECT run_id, tag FROM tag WHERE run_id IN :ids ORDER BY tag", ids)
    deployed = per_run(
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
        found = per_run(session, f"{sql} AND s.name IN :names ORDER BY s.name, s.basis", ids, names=list(names))
    else:
        found = per_run(session, f"{sql} ORDER BY s.name, s.basis", ids)
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

"""Everything about one run, in the shapes of the JSON contract."""

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlmodel import Session, col, select

from registry import clock
from registry.chains import chain_of
from registry.queries.lists import run_summary
from registry.queries.statements import all_rows, finite
from registry.queries.summaries import RunSummary
from registry.settings import Settings


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


def artifacts_of(
    session: Session, settings: Settings, run_id: str, *, superseded: bool = False
) -> list[dict[str, Any]]:
    """Return a run's artifacts with their copies; those whose bytes were replaced only when asked for."""
    from registry.copies import artifact_custody

    rows = all_rows(
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
    rows = all_rows(
        session,
        "SELECT u.name, u.version, u.role, u.digest, u.override, d.state, d.reason, d.superseded_by FROM dataset_use u"
        " LEFT JOIN dataset d ON d.name = u.name AND d.version = u.version WHERE u.run_id = :id"
        " ORDER BY u.role, u.name, u.version",
        id=run_id,
    )
    return [{**row._mapping, "state": row.state or "unregistered"} for row in rows]


def _segments_of(session: Session, run_id: str) -> list[dict[str, Any]]:
    rows = all_rows(session, "SELECT * FROM segment WHERE run_id = :id ORDER BY number", id=run_id)
    later = [{**row._mapping, "at": clock.iso(row.at)} for row in rows]
    first = {"run_id": run_id, "number": 0, "at": None, "reason": "start"}
    return [first, *later]


def _evaluations_of(session: Session, run_id: str) -> list[dict[str, Any]]:
    rows = all_rows(
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
            "value": finite(row.value),
            "low": row.low,
            "high": row.high,
            "n": row.n,
        }
    return list(found.values())


def _notes_of(session: Session, run_id: str) -> list[dict[str, Any]]:
    rows = all_rows(
        session, 'SELECT at, level, text, step, "by" FROM note WHERE run_id = :id ORDER BY at, id', id=run_id
    )
    return [{**row._mapping, "at": clock.iso(row.at)} for row in rows]


def _children_of(session: Session, run_id: str) -> list[dict[str, Any]]:
    rows = all_rows(
        session, "SELECT id, name, status FROM run WHERE parent_id = :id ORDER BY started_at, id", id=run_id
    )
    return [dict(row._mapping) for row in rows]


def _parent_of(session: Session, parent_id: str | None) -> dict[str, Any] | None:
    rows = all_rows(session, "SELECT id, name, status FROM run WHERE id = :id", id=parent_id)
    return dict(rows[0]._mapping) if rows else None


def _deployments_of(session: Session, run_id: str) -> list[dict[str, Any]]:
    rows = all_rows(
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

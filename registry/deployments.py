"""Reading what is and what was deployed, and every other decision in the audit record."""

import json
from typing import Any

from sqlalchemy import text
from sqlmodel import Session, col, select

from registry import clock
from registry.settings import Settings
from registry.tables import Audit


def live_deployments(session: Session, settings: Settings) -> list[dict[str, Any]]:
    """Return what serves each target, in the shape of the JSON contract."""
    return [row for row in all_deployments(session, settings) if row["until"] is None]


def all_deployments(session: Session, settings: Settings, target: str | None = None) -> list[dict[str, Any]]:
    """Return every deployment there ever was, newest first, each target's live one first."""
    only = "" if target is None else " WHERE d.target = :target"
    rows = session.connection().execute(
        text(
            "SELECT d.*, r.name AS run_name, a.role, a.path, a.step FROM deployment d JOIN run r ON r.id = d.run_id"
            f" JOIN artifact a ON a.id = d.artifact_id{only} ORDER BY d.until IS NOT NULL, d.since DESC, d.id DESC"
        ),
        {} if target is None else {"target": target},
    )
    return [_as_json(row, settings) for row in rows]


def _as_json(row: Any, settings: Settings) -> dict[str, Any]:
    return {
        "target": row.target,
        "run": row.run_id,
        "run_name": row.run_name,
        "artifact": row.role,
        "artifact_id": row.artifact_id,
        "path": row.path,
        "step": row.step,
        "digest": row.digest,
        "since": clock.iso(row.since),
        "until": clock.iso(row.until),
        "by": row.by,
        "reason": row.reason,
        "overrides": json.loads(row.overrides),
        "checks": json.loads(row.checks),
        "health": row.health,
        "action": row.action,
        "same_domain_allowed": not settings.policy.require_other_domain,
    }


def decisions(session: Session, subject: str | None = None, limit: int | None = None) -> list[dict[str, Any]]:
    """Return the audit rows, newest first."""
    query = select(Audit).order_by(col(Audit.id).desc())
    if subject is not None:
        query = query.where(Audit.subject == subject)
    if limit is not None:
        query = query.limit(limit)
    return [
        {
            "id": row.id,
            "at": clock.iso(row.at),
            "at_s": row.at,
            "by": row.by,
            "action": row.action,
            "subject": row.subject,
            "details": json.loads(row.details),
            "hash": row.hash,
        }
        for row in session.exec(query)
    ]

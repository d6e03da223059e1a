"""What is true right now that a person should know. Alerts are derived from the record at every look, never stored;
an acknowledged one is hidden until it ends, a critical one never.
"""

import json
from collections.abc import Collection

from sqlalchemy import text
from sqlmodel import Session

from registry import audit, clock
from registry.alert import SEVERITIES, Alert
from registry.backup import backup_alerts
from registry.copies import custody_alerts
from registry.database import Database
from registry.dataset_views import dataset_alerts
from registry.errors import NotFoundError, UsageError
from registry.lineage import invalid_reasons
from registry.metric_alerts import metric_alerts
from registry.tables import Acknowledgement

CRASH_NEWS_S = 7 * 86_400.0


def current_alerts(db: Database, *, acknowledged: bool = False) -> list[Alert]:
    """Return what is wrong now, gravest first; acknowledged warnings only when asked for."""
    now = clock.now()
    with db.read() as session:
        found = [
            *custody_alerts(session, now, db.settings),
            *deployment_alerts(session),
            *dataset_alerts(session, now, db.settings, db.root),
            *metric_alerts(session, now, db.settings),
            *run_alerts(session, now),
            *backup_alerts(session, now, db.settings),
        ]
        seen = set() if acknowledged else _acknowledged(session)
    kept = [alert for alert in found if alert.severity == "critical" or (alert.code, alert.subject) not in seen]
    return sorted(kept, key=lambda alert: (SEVERITIES.index(alert.severity), alert.code, alert.subject))


def _acknowledged(session: Session) -> set[tuple[str, str]]:
    rows = session.connection().execute(text("SELECT code, subject FROM acknowledgement"))
    return {(row.code, row.subject) for row in rows}


def acknowledge(db: Database, code: str, subject: str, reason: str) -> None:
    """Record that a person has seen an alert. Raises UsageError without a reason, NotFoundError when there is none."""
    acknowledge_all(db, code, [subject], reason)


def acknowledge_all(db: Database, code: str, subjects: Collection[str], reason: str) -> None:
    """Record that a person has seen alerts of one code, all of them or none. Raises like `acknowledge`."""
    if not reason.strip():
        raise UsageError("an acknowledgement without a reason", hint='add --reason "why it may stay"')
    known = {alert.subject for alert in current_alerts(db, acknowledged=True) if alert.code == code}
    if gone := next((subject for subject in subjects if subject not in known), None):
        raise NotFoundError(f"no alert {code} about {gone!r}", hint="`registry alerts --json` names each subject")
    by = audit.who()
    with db.write() as session:
        for subject in subjects:
            session.add(Acknowledgement(code=code, subject=subject, at=clock.now(), by=by, reason=reason))
            audit.record(session, "acknowledge", subject, {"code": code, "reason": reason}, by=by)


def deployment_alerts(session: Session) -> list[Alert]:
    """Return what is wrong with what is deployed: overrides in force, a run that was declared invalid since."""
    rows = (
        session.connection()
        .execute(
            text("SELECT target, run_id, since, overrides, reason FROM deployment WHERE until IS NULL ORDER BY target")
        )
        .all()
    )
    invalid = invalid_reasons(session, [row.run_id for row in rows])
    found = []
    for row in rows:
        if row.run_id in invalid:
            found.append(
                Alert(
                    "critical",
                    "deployed-run-invalid",
                    row.target,
                    f"{row.target} serves {row.run_id}, which is invalid: {invalid[row.run_id]}",
                    row.since,
                    f"registry rollback {row.target}, or promote another run",
                )
            )
        if overrides := json.loads(row.overrides):
            found.append(
                Alert(
                    "warning",
                    "override-in-force",
                    row.target,
                    f"{row.target} serves {row.run_id} although {', '.join(overrides)} refused: {row.reason}",
                    row.since,
                    f"mend what refused and promote again without --override: registry promote {row.run_id}",
                )
            )
    return found


def run_alerts(session: Session, now: float) -> list[Alert]:
    """Return runs that died or cried out in the last days, and journals with lines that could not be read."""
    crashed = session.connection().execute(
        text(
            "SELECT id, name, evidence, ended_at FROM run WHERE status = 'crashed' AND deleted_at IS NULL"
            " AND coalesce(ended_at, started_at) > :after ORDER BY ended_at DESC LIMIT 100"
        ),
        {"after": now - CRASH_NEWS_S},
    )
    found = [
        Alert(
            "warning",
            "run-crashed",
            row.id,
            f"run {row.name} ({row.id}) crashed: {row.evidence}",
            row.ended_at,
            f"registry log {row.id}; then resume it, or: registry ack run-crashed {row.id} --reason …",
        )
        for row in crashed
    ]
    said = session.connection().execute(
        text(
            "SELECT n.run_id, r.name, n.text, n.at FROM note n JOIN run r ON r.id = n.run_id WHERE n.level = 'critical'"
            " AND r.deleted_at IS NULL AND n.at > :after ORDER BY n.at DESC LIMIT 100"
        ),
        {"after": now - CRASH_NEWS_S},
    )
    found += [
        Alert(
            "warning",
            "run-critical-note",
            row.run_id,
            f"run {row.name} ({row.run_id}): {row.text}",
            row.at,
            f"registry show {row.run_id}; then: registry ack run-critical-note {row.run_id} --reason …",
        )
        for row in said
    ]
    torn = session.connection().execute(
        text("SELECT path, run_id, bad_lines FROM journal_cursor WHERE bad_lines > 0 AND run_id IS NOT NULL ORDER BY 1")
    )
    found += [
        Alert(
            "info",
            "journal-torn-lines",
            row.run_id,
            f"{row.bad_lines} lines of {row.path} could not be read (a write was cut short)",
            None,
            f"look at the file; then: registry ack journal-torn-lines {row.run_id} --reason …",
        )
        for row in torn
    ]
    return found

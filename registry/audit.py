"""The append-only record of what people decided. Each row carries the hash of the row before it, so a row that was
changed or taken out is found by `verify_chain`."""

import getpass
import hashlib
import json
import os
import socket
from typing import Any

from sqlmodel import Session, col, select

from registry import clock
from registry.tables import Audit

GENESIS = "0" * 64


def who() -> str:
    """Return who acts: `user@host`."""
    try:
        user = os.environ.get("REGISTRY_USER") or getpass.getuser()
    except (KeyError, OSError):
        user = str(os.getuid())
    return f"{user}@{socket.gethostname()}"


def row_hash(previous: str, at: float, by: str, action: str, subject: str, details: str) -> str:
    """Return the sha256 over a row's content and the hash of the row before it."""
    content = json.dumps([previous, repr(at), by, action, subject, details], ensure_ascii=False)
    return hashlib.sha256(content.encode()).hexdigest()


def record(session: Session, action: str, subject: str, details: dict[str, Any], by: str | None = None) -> Audit:
    """Add a row in the caller's transaction."""
    last = session.exec(select(Audit).order_by(col(Audit.id).desc()).limit(1)).first()
    previous = last.hash if last else GENESIS
    at, text, by = clock.now(), json.dumps(details, sort_keys=True, ensure_ascii=False), by or who()
    row = Audit(
        at=at,
        by=by,
        action=action,
        subject=subject,
        details=text,
        previous_hash=previous,
        hash=row_hash(previous, at, by, action, subject, text),
    )
    session.add(row)
    session.flush()
    return row


def verify_chain(session: Session) -> str | None:
    """Return what is wrong with the first broken row of the chain, None when it is whole."""
    previous = GENESIS
    expected_id = None
    for row in session.exec(select(Audit).order_by(col(Audit.id))):
        if expected_id is not None and row.id != expected_id:
            return f"audit row {expected_id} is missing"
        if row.previous_hash != previous:
            return f"audit row {row.id} does not follow the row before it"
        if row.hash != row_hash(row.previous_hash, row.at, row.by, row.action, row.subject, row.details):
            return f"audit row {row.id} ({row.action} {row.subject}) was changed"
        previous, expected_id = row.hash, (row.id or 0) + 1
    return None

"""A run that comes from elsewhere: its id here, and how its points are taken back to be read anew."""

import hashlib

from sqlalchemy import text
from sqlmodel import Session


def run_id_of(foreign_id: str) -> str:
    """Return the id of the run with this identity elsewhere: the same one, whenever and wherever it is recorded."""
    return hashlib.sha256(foreign_id.encode()).hexdigest()[:10]


_FORGET = (
    "DELETE FROM point_origin WHERE series_id IN (SELECT id FROM metric_series WHERE run_id = :run)",
    "DELETE FROM metric_point WHERE series_id IN (SELECT id FROM metric_series WHERE run_id = :run)",
    "DELETE FROM metric_series WHERE run_id = :run",
    "DELETE FROM segment WHERE run_id = :run",
    "DELETE FROM evaluation_value WHERE evaluation_id IN (SELECT id FROM evaluation WHERE run_id = :run)",
    "DELETE FROM evaluation WHERE run_id = :run",
    "DELETE FROM note WHERE run_id = :run AND \"by\" = ''",
    "UPDATE run SET segment = 0 WHERE id = :run",
)


def forget_points(session: Session, run_id: str) -> None:
    """Take out everything that parsers said of a run's course; what people added to it stays."""
    for statement in _FORGET:
        session.connection().execute(text(statement), {"run": run_id})
    session.expire_all()

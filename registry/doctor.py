"""Is the registry itself well? Each check says what it found; none changes anything."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from sqlalchemy import text

from registry import audit, clock
from registry.catchup import unread_journals
from registry.database import Database
from registry.hashing import self_test

MAX_CLOCK_SKEW_S = 60.0
_ORPHANS = {
    "points without a series": (
        "SELECT count(*) FROM metric_point p WHERE NOT EXISTS (SELECT 1 FROM metric_series s WHERE s.id = p.series_id)"
    ),
    "series without a run": (
        "SELECT count(*) FROM metric_series s WHERE NOT EXISTS (SELECT 1 FROM run r WHERE r.id = s.run_id)"
    ),
    "artifacts without a file list": (
        "SELECT count(*) FROM artifact a WHERE NOT EXISTS (SELECT 1 FROM artifact_blob b WHERE b.artifact_id = a.id)"
    ),
    "series whose count is not their points": (
        "SELECT count(*) FROM metric_series s WHERE s.count <>"
        " (SELECT count(*) FROM metric_point p WHERE p.series_id = s.id)"
    ),
}


@dataclass(frozen=True)
class Finding:
    """One check of the registry: `pass`, `warning` or `fail`, and what was found."""

    check: str
    verdict: str
    words: str


def examine(db: Database) -> list[Finding]:
    """Run every check."""
    checks: list[Callable[[Database], Iterator[Finding]]] = [
        _file,
        _foreign_keys,
        _orphans,
        _audit_chain,
        _journals,
        _clock,
        _hashing,
        _copies,
        _remotes,
    ]
    return [finding for check in checks for finding in check(db)]


def _file(db: Database) -> Iterator[Finding]:
    if not db.is_sqlite:
        return
    with db.read() as session:
        said = [str(row[0]) for row in session.connection().execute(text("PRAGMA integrity_check(5)"))]
    well = said == ["ok"]
    yield Finding("file", "pass" if well else "fail", "SQLite's integrity check is clean" if well else "; ".join(said))


def _foreign_keys(db: Database) -> Iterator[Finding]:
    if not db.is_sqlite:
        return
    with db.read() as session:
        broken = session.connection().execute(text("PRAGMA foreign_key_check")).all()
    words = (
        f"{len(broken)} rows point to nothing, the first in {broken[0][0]}" if broken else "every row named is there"
    )
    yield Finding("foreign keys", "fail" if broken else "pass", words)


def _orphans(db: Database) -> Iterator[Finding]:
    with db.read() as session:
        counts = {name: session.connection().execute(text(sql)).scalar() or 0 for name, sql in _ORPHANS.items()}
    bad = [f"{count} {name}" for name, count in counts.items() if count]
    yield Finding("rows", "fail" if bad else "pass", "; ".join(bad) or "nothing is left hanging")


def _audit_chain(db: Database) -> Iterator[Finding]:
    with db.read() as session:
        broken = audit.verify_chain(session)
    yield Finding("audit chain", "fail" if broken else "pass", broken or "no decision was changed or taken out")


def _journals(db: Database) -> Iterator[Finding]:
    unread = unread_journals(db)
    with db.read() as session:
        bad = session.connection().execute(text("SELECT coalesce(sum(bad_lines), 0) FROM journal_cursor")).scalar()
    words = [f"{len(unread)} have a tail not read yet, the first {unread[0]}"] if unread else []
    words += [f"{bad} lines could not be read"] if bad else []
    yield Finding("journals", "warning" if words else "pass", "; ".join(words) or "all are read to their end")


def _clock(db: Database) -> Iterator[Finding]:
    with db.read() as session:
        latest = (
            session.connection()
            .execute(
                text(
                    "SELECT max(at) FROM (SELECT max(heartbeat_at) AS at FROM run UNION ALL SELECT max(at) FROM audit"
                    " UNION ALL SELECT max(ended_at) FROM copy_event) times"
                )
            )
            .scalar()
        )
    ahead_s = (latest or 0.0) - clock.now()
    if ahead_s > MAX_CLOCK_SKEW_S:
        words = f"something was recorded {clock.age(ahead_s)} in the future: a clock is or was wrong"
        yield Finding("clock", "fail", words)
    else:
        yield Finding("clock", "pass", "nothing was recorded in the future")


def _hashing(db: Database) -> Iterator[Finding]:
    try:
        self_test()
    except RuntimeError as error:
        yield Finding("hashing", "fail", str(error))
    else:
        yield Finding("hashing", "pass", "sha256 gives the known answers")


def _copies(db: Database) -> Iterator[Finding]:
    from registry.copies.record import refold

    with db.read() as session:
        wrong = refold(session)
    words = f"{len(wrong)} copies are not what their events come to" if wrong else "every copy is what its events say"
    yield Finding("copies", "fail" if wrong else "pass", words)


def _remotes(db: Database) -> Iterator[Finding]:
    from registry.copies import marker_findings

    for name, problem in marker_findings(db):
        yield Finding(f"remote {name}", "fail" if problem else "pass", problem or "is the place it was added as")

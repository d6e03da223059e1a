"""Verifying what is due, the least recently read first: by hand, within a budget, or for ever."""

import re
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import text
from sqlmodel import Session

from registry import clock, custody
from registry.copies.record import load_artifacts, load_places, rows_in
from registry.copies.remotes import connect
from registry.copies.transfer import Progress
from registry.copies.verify import check_copies
from registry.database import Database
from registry.errors import CheckFailedError, HoldfastError, NotFoundError, UnreachableError, UsageError
from registry.settings import Settings
from registry.tables import Copy

_UNITS = {"k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


@dataclass(frozen=True)
class Wanted:
    """Which copies to verify: of these runs, on this remote, only lapsed ones, only those read longer ago."""

    run_ids: list[str] | None = None
    remote: str | None = None
    stale: bool = False
    max_age_s: float | None = None


@dataclass(frozen=True)
class Budget:
    """How much a pass may do: bytes, or seconds."""

    n_bytes: int | None = None
    seconds: float | None = None


def parse_budget(words: str | None) -> Budget:
    """Return the budget of `50G` (bytes) or `2h` (time). Raises UsageError."""
    if words is None:
        return Budget()
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([KMGTkgt])i?[Bb]?\s*", words)
    if match:
        return Budget(n_bytes=int(float(match[1]) * _UNITS[match[2].lower()]))
    try:
        return Budget(seconds=clock.parse_duration(words))
    except ValueError:
        raise UsageError(f"not a budget: {words!r}", hint="write bytes as 50G, or a time as 2h") from None


@dataclass
class ScrubReport:
    """What a pass over copies found; a line for each copy that is not verified and each remote that was not reached."""

    n_wanted: int = 0
    n_read: int = 0
    n_verified: int = 0
    bad: list[dict[str, Any]] = field(default_factory=list)
    unreachable: list[dict[str, Any]] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return the report for `verify --json`."""
        return {
            "ok": not self.bad and not self.unreachable,
            "wanted": self.n_wanted,
            "read": self.n_read,
            "verified": self.n_verified,
            "bad": self.bad,
            "unreachable": self.unreachable,
        }

    def words(self) -> str:
        """Return the report in one line."""
        left = f", {self.n_wanted - self.n_read} left for another time" if self.n_read < self.n_wanted else ""
        return f"{self.n_verified} of {self.n_read} copies verified{left}"

    def lines(self) -> list[str]:
        """Return one line for each thing that is wrong."""
        bad = [f"{item['state']}: {item['path']} on {item['remote']}: {item['reason']}" for item in self.bad]
        return [*bad, *(f"unreachable: {item['remote']}: {item['reason']}" for item in self.unreachable)]

    def raise_if_bad(self) -> None:
        """Raise CheckFailedError when a copy is wrong, UnreachableError when only remotes were not reached."""
        codes = [item["code"] for item in (*self.bad, *self.unreachable)]
        if self.bad:
            raise CheckFailedError(
                f"{len(self.bad)} copies are not what they should be",
                hint="registry repair RUN puts right copies in their place, from the origin or another remote",
                reason_code=custody.gravest(codes),
            )
        if self.unreachable:
            raise UnreachableError(
                f"{len(self.unreachable)} remotes could not be verified", reason_code=custody.gravest(codes)
            )


def scrub(
    db: Database,
    wanted: Wanted,
    progress: Progress,
    *,
    budget: Budget | None = None,
    read_back: bool = False,
) -> ScrubReport:
    """Verify the copies that are wanted, remote by remote. Raises CheckFailedError when there is no copy at all."""
    now = clock.now()
    with db.read() as session:
        chosen = choose(session, wanted, now, db.settings)
        n_there = session.connection().execute(text("SELECT count(*) FROM copy WHERE trouble <> 'deleted'")).scalar()
    if not chosen and (not n_there or not (wanted.stale or wanted.max_age_s is not None)):
        raise CheckFailedError(
            "no copy to verify", hint="make one: registry copy RUN --to REMOTE",
            reason_code=custody.REASON_CODES["nothing"],
        )  # fmt: skip
    report = ScrubReport(n_wanted=len(chosen))
    within = _within(chosen, budget or Budget())
    stop_at = None if budget is None or budget.seconds is None else time.monotonic() + budget.seconds
    for remote_id in dict.fromkeys(copy.remote_id for copy in within):
        copies = [copy for copy in within if copy.remote_id == remote_id]
        _scrub_remote(db, remote_id, copies, progress, report, read_back, stop_at)
    return report


def choose(session: Session, wanted: Wanted, now: float, settings: Settings) -> list[Copy]:
    """Return the copies that are wanted, the least recently read first. Raises NotFoundError (no such remote)."""
    places = load_places(session)
    named = [place.id for place in places.values() if wanted.remote in (None, place.name)]
    if wanted.remote is not None and not named:
        raise NotFoundError(f"no remote {wanted.remote!r}", hint="registry remote ls shows those there are")
    sql = "SELECT * FROM copy WHERE trouble <> 'deleted' AND (put_at IS NOT NULL OR verified_at IS NOT NULL)"
    if wanted.run_ids is not None:
        artifacts = load_artifacts(session, run_ids=wanted.run_ids)
        digests = sorted({digest for artifact in artifacts for _, digest, _ in artifact.blobs})
        rows = rows_in(session, f"{sql} AND digest IN :ids", digests)
    else:
        rows = rows_in(session, f"{sql} AND remote_id IN :ids", named)
    chosen = [Copy(**row._mapping) for row in rows if row.remote_id in named]
    if wanted.stale:
        floors = {place.id: now - settings.policy.freshness.ttl_s(place.klass) for place in places.values()}
        chosen = [copy for copy in chosen if copy.trouble or (copy.verified_at or 0.0) < floors[copy.remote_id]]
    if wanted.max_age_s is not None:
        chosen = [copy for copy in chosen if (copy.verified_at or 0.0) < now - wanted.max_age_s]
    return sorted(chosen, key=lambda copy: (copy.verified_at or 0.0, copy.id))


def _within(copies: list[Copy], budget: Budget) -> list[Copy]:
    """Return the first copies that fit a budget of bytes; one at least, so that every copy has its turn."""
    if budget.n_bytes is None:
        return copies
    left = budget.n_bytes
    chosen: list[Copy] = []
    for copy in copies:
        left -= copy.size_bytes
        if left < 0 and chosen:
            break
        chosen.append(copy)
    return chosen


def _scrub_remote(
    db: Database,
    remote_id: str,
    copies: list[Copy],
    progress: Progress,
    report: ScrubReport,
    read_back: bool,
    stop_at: float | None,
) -> None:
    with db.read() as session:
        name = load_places(session)[remote_id].name
    try:
        with connect(db, name) as connected:
            progress.phase(f"verifying {name}:", len(copies), sum(copy.size_bytes for copy in copies))
            for start in range(0, len(copies), 64):
                if stop_at is not None and time.monotonic() > stop_at:
                    return
                part = copies[start : start + 64]
                checked = check_copies(db, connected, part, progress.meter, read_back=read_back, done=progress.done)
                report.n_read += len(part)
                for copy in part:
                    doubt = checked.doubt(copy)
                    report.n_verified += not doubt
                    if doubt:
                        assert copy.id is not None
                        report.bad.append(_bad(name, copy, doubt, checked.events[copy.id].error))
    except UnreachableError as error:
        report.unreachable.append(
            {"remote": name, "reason": error.message, "code": error.reason_code or custody.REASON_CODES["unreachable"]}
        )


_STATES = {"mismatch": "corrupt", "missing": "missing", "flaky": "flaky"}


def _bad(remote: str, copy: Copy, doubt: str, error: str) -> dict[str, Any]:
    state = _STATES.get(doubt, "unknown")
    code = custody.REASON_CODES.get(state, custody.REASON_CODES["unreachable"])
    return {
        "remote": remote,
        "path": copy.path,
        "digest": copy.digest,
        "state": state,
        "reason": error or doubt,
        "code": code,
    }


def watch_copies(
    db: Database, wanted: Wanted, every_s: float, progress: Progress, *, tell: Callable[[str], None]
) -> None:
    """Verify whatever lapses, again and again, until interrupted; says what is wrong as it is found."""
    from registry.catchup import catch_up

    while True:
        try:
            catch_up(db)
            for line in scrub(db, wanted, progress).lines():
                tell(line)
        except HoldfastError as error:
            if error.reason_code != custody.REASON_CODES["nothing"]:
                tell(error.message)
        if progress.meter.stopped.wait(every_s):
            return

"""The permit and the call: nothing destroys a machine but a command that was given a fresh permit.

The registry backed up -> copies pinned -> permit on the disk -> everything looked at once more -> permit marked used,
on the disk -> the call -> its outcome written down. A permit is used once, and never after it expired.
"""

import json
import os
import secrets
import socket
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass

from registry import audit, clock, custody
from registry.copies.proof import REFUSED
from registry.copies.transfer import Progress
from registry.database import Database
from registry.errors import NotFoundError, RefusedError, UsageError
from registry.guard.release import Judgement, Release
from registry.tables import Artifact, Permit

OUTCOMES = ("released", "failed")


@dataclass(frozen=True)
class Outcome:
    """How the call ended: released, failed, or unknown; and the exit code to pass on."""

    permit: str
    word: str
    exit_code: int
    note: str = ""


def let_go(db: Database, release: Release, judgement: Judgement, command: Sequence[str], progress: Progress) -> Outcome:
    """Run the command that gives the machine back, with a permit, and record how it ended.

    Raises RefusedError when the judgement has blockers, when anything moved since, or when the permit expired.
    """
    if not judgement.ok:
        raise refusal(judgement)
    _back_up(db, release, judgement, progress)
    permit_id, expires_at = _issue(db, release, judgement, command)
    release.still_ok(judgement)
    if clock.now() >= expires_at:
        raise RefusedError("the permit expired before it was used", hint="run the guard again", reason_code=REFUSED)
    _mark(db, permit_id, used=True)
    outcome = _call(command, permit_id)
    _mark(db, permit_id, outcome=outcome.word)
    return outcome


def refusal(judgement: Judgement) -> RefusedError:
    """Return the refusal that lists every reason."""
    lines = [f"{item.subject}: {item.reason}{_whose(judgement, item.run)}" for item in judgement.blockers]
    return RefusedError(
        f"{judgement.machine} stays: {len(lines)} reasons against letting it go",
        details=lines,
        payload=judgement.as_json(),
        reason_code=custody.gravest([item.code for item in judgement.blockers]),
        hint="copy what is named (registry keep, registry copy), or say what may be lost (--ignore, --destroy)",
    )


def _whose(judgement: Judgement, run: str | None) -> str:
    """Say of a reason that it comes from a run that was not asked about."""
    if run is None or run in judgement.runs:
        return ""
    return f" (run {run}, which would go too; `registry rm {run}` if it does not matter)"


def _back_up(db: Database, release: Release, judgement: Judgement, progress: Progress) -> None:
    """Put the registry itself where the copies are, when it would go with the machine."""
    names = sorted({release.prover.places[proof.place_id].name for proof in release.prover.all_proofs()})
    if judgement.machine != socket.gethostname() or not names:
        return
    from registry.backup import make_backup

    progress.phase("backing up the registry:", 1, 0)
    backup = make_backup(db, names[0], progress)
    judgement.notes.append(f"the registry was backed up to {names[0]} ({backup.digest[:12]}…)")


def _issue(db: Database, release: Release, judgement: Judgement, command: Sequence[str]) -> tuple[str, float]:
    """Pin the copies of the proof and commit a permit; returns its id and until when it holds."""
    permit_id, now = secrets.token_hex(8), clock.now()
    proofs, wish = release.prover.all_proofs(), release.wish
    ttl_s = db.settings.policy.freshness.ttl_s("release")
    expires_at = custody.permit_expiry(now, proofs, ttl_s, clock.parse_duration(db.settings.guard.permit))
    if expires_at <= now:
        raise RefusedError(
            "reading the copies took longer than a proof holds",
            hint="raise release in [policy.freshness] of registry.toml",
            reason_code=REFUSED,
        )
    release.prover.pin(permit_id, expires_at)
    permit = Permit(
        id=permit_id,
        subject=f"release {judgement.machine}",
        runs=json.dumps(judgement.runs),
        proof=json.dumps(
            {
                "command": list(command),
                "copies": [[item.copy_id, item.digest, item.verified_at, item.token] for item in proofs],
                "ignored": judgement.ignored,
                "ignores": [[item.pattern, item.reason] for item in wish.ignores],
                "accept_single": wish.accept_single,
                "destroyed": judgement.destroyed,
                "reason": wish.reason,
            }
        ),
        issued_at=now,
        expires_at=expires_at,
        by=audit.who(),
    )
    with db.write() as session:
        for artifact_id in judgement.destroyed:
            artifact = session.get(Artifact, artifact_id)
            assert artifact is not None
            artifact.discarded_reason = wish.reason
            audit.record(session, "destroy", artifact.digest, {"path": artifact.path, "reason": wish.reason})
        audit.record(session, "permit", permit.subject, {"permit": permit_id, "runs": judgement.runs})
        session.add(permit)
    return permit_id, expires_at


def _mark(db: Database, permit_id: str, *, used: bool = False, outcome: str | None = None) -> None:
    with db.write() as session:
        permit = session.get(Permit, permit_id)
        assert permit is not None
        if used:
            permit.used_at = clock.now()
        if outcome:
            permit.outcome, permit.outcome_at = outcome, clock.now()
            audit.record(session, "release", permit.subject, {"permit": permit_id, "outcome": outcome})
        session.add(permit)


def _call(command: Sequence[str], permit_id: str) -> Outcome:
    """Run the command. REGISTRY_PERMIT tells it the permit, so that a script can insist on one."""
    try:
        code = subprocess.call(list(command), env={**os.environ, "REGISTRY_PERMIT": permit_id})
    except OSError as error:
        return Outcome(permit_id, "failed", 127, f"cannot start {command[0]!r}: {error.strerror}; nothing was released")
    except KeyboardInterrupt:
        return Outcome(permit_id, "unknown", 130)
    if code == 0:
        return Outcome(permit_id, "released", 0)
    return Outcome(permit_id, "unknown", 128 - code) if code < 0 else Outcome(permit_id, "failed", code)


def settle(db: Database, permit_id: str, outcome: str) -> None:
    """Write down how a release ended that nobody saw end. Raises NotFoundError, UsageError."""
    if outcome not in OUTCOMES:
        raise UsageError(f"outcome {outcome!r}", hint=f"write {' or '.join(OUTCOMES)}")
    with db.write() as session:
        permit = session.get(Permit, permit_id)
        if permit is None or permit.used_at is None:
            raise NotFoundError(
                f"no release {permit_id!r} was begun", hint="`registry alerts` names those that are open"
            )
        permit.outcome, permit.outcome_at = outcome, clock.now()
        session.add(permit)
        audit.record(session, "settle", permit.subject, {"permit": permit_id, "outcome": outcome})

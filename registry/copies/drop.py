"""Dropping copies: only what is proven elsewhere now, by the same proof that releases a machine.

Copies read back elsewhere -> those pinned -> nobody else's pin on ours -> intent on the disk -> looked once more ->
removed -> written down. Two that drop at the same time from two places see each other's pins, and both stay.
"""

import json
import secrets
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from sqlmodel import Session, col, select

from registry import audit, clock, custody
from registry.copies.claims import claimed_by_others, lines_of, needed_by_backups
from registry.copies.pins import pinned_by_others
from registry.copies.proof import REFUSED, Prover
from registry.copies.record import ArtifactFacts, append_events, find_remote, load_artifacts, load_copies
from registry.copies.remotes import Connected, connect
from registry.copies.transfer import Progress, copy_id
from registry.custody import Blocker, Event, Need
from registry.database import Database
from registry.errors import HoldfastError, NotFoundError, RefusedError
from registry.hashing import digest_file
from registry.tables import Artifact, Copy, Permit, RunRow


@dataclass
class DropReport:
    """What was dropped, and what stays and why."""

    dropped: list[str] = field(default_factory=list)
    n_bytes: int = 0
    stays: list[str] = field(default_factory=list)


def drop_copies(
    db: Database,
    artifacts: Sequence[ArtifactFacts],
    remote_name: str,
    *,
    accept_single: bool = False,
    progress: Progress | None = None,
) -> DropReport:
    """Remove the copies of artifacts from a remote, those that are provably safe without.

    Raises NotFoundError (no copies there), RefusedError when none may go (all reasons), UnreachableError.
    """
    with db.read() as session:
        remote = find_remote(session, remote_name)
        digests = sorted({digest for artifact in artifacts for _, digest, _ in artifact.blobs})
        copies = {
            digest: copy
            for digest, copy in load_copies(session, remote.id, digests).items()
            if copy.trouble != "deleted"
        }
        holders = _holders(load_artifacts(session), set(copies))
        session.expunge_all()
    if not copies:
        raise NotFoundError(f"{remote_name} holds no copy of them", hint="registry where RUN shows where they are")
    with connect(db, remote_name) as connected, Prover(db, progress) as prover:
        not_counting = {remote.id: "it is to be dropped there"}
        if any(_must_be_elsewhere(db, artifact) for artifact in holders):
            not_counting |= prover.not_elsewhere(prover.origins_of(holders))
        needs = _strictest(prover.needs_of(holders), set(copies))
        blockers = prover.prove(needs, not_counting, accept_single=accept_single)
        report = DropReport(stays=[f"{item.subject}: {item.reason}" for item in blockers])
        backups = needed_by_backups(connected.store, copies)
        report.stays += [f"{copies[digest].path}: backup {by[:12]}… needs it" for digest, by in backups.items()]
        kept = {*_digests_of(blockers, needs), *backups}
        going = [copy for digest, copy in copies.items() if digest not in kept]
        if not going:
            raise RefusedError(f"nothing may be dropped from {remote_name}", details=report.stays, reason_code=REFUSED)
        _Drop(db, connected, prover, report).run(going)
    return report


def _must_be_elsewhere(db: Database, artifact: ArtifactFacts) -> bool:
    rule = db.settings.policy.rule_for(artifact.experiment, artifact.role, deployed=artifact.deployed)
    return bool(rule.require_other_domain)


def _holders(everything: Sequence[ArtifactFacts], digests: set[str]) -> list[ArtifactFacts]:
    """Return every artifact, of whatever run, that needs one of these blobs."""
    return [artifact for artifact in everything if any(digest in digests for _, digest, _ in artifact.blobs)]


def _strictest(needs: Sequence[Need], digests: set[str]) -> list[Need]:
    """Return one need for each of these blobs: that of the artifact that asks for the most copies."""
    by_digest: dict[str, Need] = {}
    for need in needs:
        other = by_digest.get(need.digest)
        if need.digest in digests and (other is None or need.num_copies > other.num_copies):
            by_digest[need.digest] = need
    return list(by_digest.values())


def _digests_of(blockers: Sequence[Blocker], needs: Sequence[Need]) -> set[str]:
    blocked = {(blocker.run, blocker.subject) for blocker in blockers}
    return {need.digest for need in needs if (need.run, need.subject) in blocked}


class _Drop:
    """The deed: intent, a last look, removal, record."""

    def __init__(self, db: Database, connected: Connected, prover: Prover, report: DropReport) -> None:
        self._db = db
        self._connected = connected
        self._prover = prover
        self._report = report

    def run(self, going: Sequence[Copy]) -> None:
        """Remove copies that were proven elsewhere. Raises RefusedError when somebody else relies on them."""
        permit_id = secrets.token_hex(8)
        self._prover.pin(permit_id, self._issue(permit_id, going))
        try:
            self._refuse_pinned(permit_id, going)
            self._refuse_claimed(going)
            self._note(going, "delete_intent")
            self._prover.look_again()
            for copy in going:
                self._connected.store.remove(copy.path)
            self._note(going, "deleted")
        except HoldfastError as error:
            self._settle(permit_id, "refused" if isinstance(error, RefusedError) else "failed")
            raise
        finally:
            self._prover.unpin(permit_id)
        self._settle(permit_id, "dropped")
        self._take_back_claims({copy.digest for copy in going})
        self._connected.store.write_sums()
        self._report.dropped = [copy.path for copy in going]
        self._report.n_bytes = sum(copy.size_bytes for copy in going)

    def _issue(self, permit_id: str, going: Sequence[Copy]) -> float:
        now, proofs = clock.now(), self._prover.all_proofs()
        settings = self._db.settings
        expires_at = custody.permit_expiry(
            now, proofs, settings.policy.freshness.ttl_s("release"), clock.parse_duration(settings.guard.permit)
        )
        proof = {"copies": [[item.copy_id, item.digest, item.verified_at, item.token] for item in proofs]}
        with self._db.write() as session:
            permit = Permit(
                id=permit_id,
                subject=f"drop from {self._connected.place.name}",
                runs=json.dumps([copy.digest for copy in going]),
                proof=json.dumps(proof),
                issued_at=now,
                expires_at=expires_at,
                used_at=now,
                by=audit.who(),
            )
            session.add(permit)
            audit.record(session, "permit", permit.subject, {"permit": permit_id, "copies": len(going)})
        return expires_at

    def _refuse_pinned(self, permit_id: str, going: Sequence[Copy]) -> None:
        held = pinned_by_others(self._connected.store, permit_id, [copy.digest for copy in going])
        if held:
            raise RefusedError(
                f"{len(held)} copies on {self._connected.place.name} are pinned by permit {next(iter(held.values()))}",
                hint="another release or drop relies on them; try again when it is done",
                reason_code=REFUSED,
            )

    def _refuse_claimed(self, going: Sequence[Copy]) -> None:
        """Refuse blobs that a run of another registry, which shares the place, has there too."""
        held = claimed_by_others(self._connected.store, self._our_runs(), [copy.digest for copy in going])
        if held:
            raise RefusedError(
                f"run {next(iter(held.values()))} of another registry keeps {len(held)} of these files there",
                hint="drop them from where that registry is",
                reason_code=REFUSED,
            )

    def _our_runs(self) -> set[str]:
        with self._db.read() as session:
            return set(session.exec(select(RunRow.id)))

    def _take_back_claims(self, digests: set[str]) -> None:
        """Take the dropped blobs out of what our runs say they keep there."""
        store, ours = self._connected.store, self._our_runs()
        for key in store.keys("index"):
            if Path(key).stem in ours:
                lines = lines_of(store, key)
                kept = [line for line in lines if line.split(" ", 1)[0] not in digests]
                if kept != lines:
                    store.write_small(key, "".join(kept).encode())

    def _note(self, going: Sequence[Copy], kind: str) -> None:
        now = clock.now()
        with self._db.write() as session:
            happened = [(copy_id(copy), Event(kind, now, now, "ok")) for copy in going]
            append_events(session, self._connected.place, happened)

    def _settle(self, permit_id: str, outcome: str) -> None:
        with self._db.write() as session:
            permit = session.get(Permit, permit_id)
            assert permit is not None
            permit.outcome, permit.outcome_at = outcome, clock.now()
            session.add(permit)
            audit.record(session, "drop", permit.subject, {"permit": permit_id, "outcome": outcome})


def drop_origins(
    db: Database, artifacts: Sequence[ArtifactFacts], *, accept_single: bool = False, progress: Progress | None = None
) -> DropReport:
    """Remove the files of artifacts where they were made, those whose copies are proven elsewhere.

    Raises RefusedError when none may go (all reasons), NotFoundError when none is here.
    """
    here = [artifact for artifact in artifacts if (db.root / artifact.path).exists() and artifact.dropped_at is None]
    if not here:
        raise NotFoundError("none of these artifacts is here")
    report = DropReport()
    with db.read() as session:
        digests = {digest for artifact in here for _, digest, _ in artifact.blobs}
        holders = _holders(load_artifacts(session), digests)
    with Prover(db, progress) as prover:
        needs = _strictest(prover.needs_of(holders), digests)
        blockers = prover.prove(needs, prover.not_elsewhere(prover.origins_of(holders)), accept_single=accept_single)
        kept = _digests_of(blockers, needs)
        report.stays = [f"{item.subject}: {item.reason}" for item in blockers]
        going = [artifact for artifact in here if not any(digest in kept for _, digest, _ in artifact.blobs)]
        if not going:
            raise RefusedError("nothing may be dropped here", details=report.stays, reason_code=REFUSED)
        prover.look_again()
        for artifact in going:
            _remove_origin(db, artifact, report)
    return report


def _remove_origin(db: Database, artifact: ArtifactFacts, report: DropReport) -> None:
    """Remove an artifact's files, each only while it is what was recorded."""
    path = db.root / artifact.path
    files = [(path, artifact.digest)] if artifact.kind != "tree" else [
        (path / name, digest) for name, digest, _ in artifact.blobs[:-1]
    ]  # fmt: skip
    changed = [file for file, digest in files if digest_file(file)[0] != digest]
    if changed:
        report.stays.append(f"{changed[0]}: it was changed since it was recorded")
        return
    with db.write() as session:
        same = select(Artifact).where(Artifact.path == artifact.path, Artifact.digest == artifact.digest)
        for row in session.exec(same):
            row.dropped_at = clock.now()
            session.add(row)
        audit.record(session, "drop here", artifact.path, {"digest": artifact.digest, "run": artifact.run_id})
    for file, _ in files:
        file.unlink()
        report.dropped.append(str(file))
    report.n_bytes += artifact.size_bytes


def troubled(session: Session, run_ids: Sequence[str] | None, remote_id: str | None) -> dict[str, list[ArtifactFacts]]:
    """Return by remote id the artifacts that have a copy there which is wrong, missing, or half dropped."""
    query = select(Copy).where(col(Copy.trouble).in_(("corrupt", "quarantined", "missing", "unreadable", "deleting")))
    if remote_id is not None:
        query = query.where(Copy.remote_id == remote_id)
    wrong: dict[str, set[str]] = {}
    for copy in session.exec(query):
        wrong.setdefault(copy.remote_id, set()).add(copy.digest)
    artifacts = load_artifacts(session, run_ids=run_ids)
    found = {place: _holders(artifacts, digests) for place, digests in wrong.items()}
    return {place: holders for place, holders in found.items() if holders}

"""May this machine go? Every question is asked now, every unknown is a no, and only a fresh permit lets the call out.

The order is fixed: runs ended and journals read -> output folders swept -> files hashed again -> copies read back ->
the registry backed up -> permit on the disk -> places and files looked at once more -> the call -> its outcome.
"""

import json
import os
import secrets
import socket
import subprocess
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlmodel import Session, col, select

from registry import audit, catchup, clock, custody
from registry.copies.pins import write_pin
from registry.copies.record import ArtifactFacts, load_artifacts, load_copies, load_places, origin_of
from registry.copies.remotes import Connected, connect
from registry.copies.transfer import Progress, copy_id
from registry.copies.verify import check_copies
from registry.custody import REASON_CODES, Blocker, Need, Place, Proof
from registry.database import Database
from registry.errors import HoldfastError, NotFoundError, RefusedError, UsageError
from registry.guard.sweep import Ignored, Inventory, Known, Machine, Root, sweep
from registry.places import JOURNAL_NAME, OUTPUT_NAME
from registry.remotes.base import blob_key
from registry.tables import Artifact, JournalCursor, Permit, RunRow

CLOCK_SLACK_S = 0.1
"""File times come from the kernel's coarse clock, which lags the one that runs are stamped with by a tick or two."""


@dataclass(frozen=True)
class Wish:
    """What a person asks of the guard beside the runs."""

    run_ids: tuple[str, ...] | None
    roots: tuple[str, ...] = ()
    ignores: tuple[Ignored, ...] = ()
    destroy: tuple[str, ...] = ()
    reason: str = ""
    accept_single: bool = False


@dataclass
class Judgement:
    """What the guard found: blockers (none: it may go), the runs it is about, the proof, what was left out and why."""

    machine: str
    runs: list[str] = field(default_factory=list)
    blockers: list[Blocker] = field(default_factory=list)
    proofs: list[Proof] = field(default_factory=list)
    ignored: dict[str, int] = field(default_factory=dict)
    destroyed: list[int] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    n_files: int = 0
    n_blobs: int = 0

    @property
    def ok(self) -> bool:
        """Whether nothing stands against it."""
        return not self.blockers

    def block(self, run: str | None, subject: str, reason: str, code: str) -> None:
        """Add one reason against."""
        self.blockers.append(Blocker(run, subject, reason, REASON_CODES[code]))

    def as_json(self) -> dict[str, Any]:
        """Return the judgement in the shape of the JSON contract."""
        return {
            "ok": self.ok,
            "machine": self.machine,
            "runs": self.runs,
            "blockers": [
                {"run": item.run, "subject": item.subject, "reason": item.reason, "code": item.code}
                for item in self.blockers
            ],
            "code": custody.gravest([item.code for item in self.blockers]),
            "files_swept": self.n_files,
            "blobs_proven": self.n_blobs if self.ok else 0,
            "ignored": self.ignored,
            "notes": self.notes,
        }


class Release:
    """One attempt to release a machine: `judge` it, then `let_go` with the permit that a clean judgement gives."""

    def __init__(self, db: Database, machine: Machine, wish: Wish, progress: Progress | None = None) -> None:
        self._db = db
        self._machine = machine
        self._wish = wish
        self._progress = progress or Progress()
        self._places: dict[str, Place] = {}
        self._stack = ExitStack()
        self._connected: dict[str, Connected] = {}
        if (wish.destroy or wish.ignores) and not wish.reason.strip():
            raise UsageError("why may these files be lost?", hint='add --reason "…"')

    def __enter__(self) -> "Release":
        return self

    def __exit__(self, *_: object) -> None:
        self._stack.close()

    # --- the judgement

    def judge(self) -> Judgement:
        """Ask every question and return the answers. Raises NotFoundError, UsageError (a wish that means nothing)."""
        catchup.catch_up(self._db)
        judgement = Judgement(self._machine.name)
        with self._db.read() as session:
            runs = self._runs(session)
            self._places = load_places(session)
            artifacts = load_artifacts(session, run_ids=[run.id for run in runs])
            everything = load_artifacts(session)
            cursors = {row.run_id: row for row in session.exec(select(JournalCursor))}
            others = self._others(session, runs)
        judgement.runs = [run.id for run in runs]
        self._question_runs(judgement, runs, others, cursors)
        inventory = self._sweep(runs, artifacts, everything)
        judgement.blockers += inventory.blockers
        judgement.ignored, judgement.n_files = inventory.ignored, inventory.n_files
        wanted = self._without_destroyed(judgement, self._with_bystanders(artifacts, everything, inventory))
        self._question_artifacts(judgement, runs, wanted)
        self._prove(judgement, wanted)
        return judgement

    def _runs(self, session: Session) -> list[RunRow]:
        query = select(RunRow).order_by(col(RunRow.started_at), RunRow.id)
        if self._wish.run_ids is not None:
            return list(session.exec(query.where(col(RunRow.id).in_(self._wish.run_ids))))
        released = {run_id for row in session.exec(select(Permit).where(Permit.outcome == "released"))
                    if row.subject.startswith("release ") for run_id in json.loads(row.runs)}  # fmt: skip
        here = [
            run
            for run in session.exec(query.where(col(RunRow.deleted_at).is_(None)))
            if _host_of(run) == self._machine.name and run.id not in released
        ]
        if not here:
            raise NotFoundError(
                f"no run of {self._machine.name} is recorded", hint="registry ls; name the runs, or --host"
            )
        return here

    def _others(self, session: Session, runs: Sequence[RunRow]) -> list[RunRow]:
        """Return the runs that still write on this machine, beside those asked about."""
        asked = {run.id for run in runs}
        running = session.exec(select(RunRow).where(RunRow.status == "running", col(RunRow.deleted_at).is_(None)))
        return [run for run in running if run.id not in asked and _host_of(run) == self._machine.name]

    def _question_runs(
        self, judgement: Judgement, runs: Sequence[RunRow], others: Sequence[RunRow], cursors: dict[str | None, Any]
    ) -> None:
        """Rule 1: nothing is active, and every journal was read to its end."""
        for run in (*runs, *others):
            if run.status in ("running", "queued"):
                judgement.block(run.id, f"run {run.name}", f"is still {run.status} on {self._machine.name}", "refused")
        for run in runs:
            if run.folder is None or run.source != "journal":
                continue
            journal = str(self._machine.root / run.folder / JOURNAL_NAME)
            n_bytes, cursor = self._machine.size_of(journal), cursors.get(run.id)
            if n_bytes is None:
                judgement.block(run.id, journal, "is not there, so the record may not be whole", "inventory")
            elif cursor is None or cursor.offset != n_bytes:
                judgement.block(run.id, journal, "was not read to its end", "changed")

    # rule 2: what is there is what is recorded

    def _sweep(
        self, runs: Sequence[RunRow], artifacts: Sequence[ArtifactFacts], everything: Sequence[ArtifactFacts]
    ) -> Inventory:
        root = self._machine.root
        registered = dict(item for artifact in everything for item in self._files_of(artifact))
        kept = "kept by the registry's own backup"
        left_alone = {str(root / name): kept for name in ("runs.db", "runs.db-wal", "runs.db-shm", "registry.toml")}
        mine = {run.folder for run in runs}
        with self._db.read() as session:
            folders = [folder for folder in session.exec(select(RunRow.folder)) if folder]
        for folder in folders:
            left_alone |= {str(root / folder / name): kept for name in (JOURNAL_NAME, OUTPUT_NAME)}
            if folder not in mine:
                left_alone[str(root / folder)] = "the folder of another run"
        settings = [Ignored(item.pattern, item.reason) for item in self._db.settings.guard.ignore]
        known = Known(registered, [*settings, *self._wish.ignores], left_alone)
        return sweep(self._machine, self.roots(runs, artifacts), known)

    def _files_of(self, artifact: ArtifactFacts) -> list[tuple[str, str]]:
        """Return the absolute paths of an artifact's files on the machine, with their digests."""
        path = self._machine.root / artifact.path
        if artifact.kind != "tree":
            return [(str(path), artifact.digest)]
        return [(str(path / name), digest) for name, digest, _ in artifact.blobs[:-1]]

    def roots(self, runs: Sequence[RunRow], artifacts: Sequence[ArtifactFacts]) -> list[Root]:
        """Return the folders to sweep: what each run declared, its own folder, those of its artifacts, and whatever
        was written below its working folder since it began."""
        found: list[Root] = []
        for run in runs:
            began_at = (run.started_at or 0.0) - CLOCK_SLACK_S
            wide = _and_above(run.cwd) | _and_above(str(self._machine.root))
            declared = {*json.loads(run.roots or "[]"), *self._wish.roots}
            for path in sorted(declared):
                found.append(_root(run.id, path, "a declared output folder", wide, began_at, must_exist=True))
            if run.folder:
                found.append(Root(run.id, str(self._machine.root / run.folder), "the run's own folder"))
            for artifact in artifacts:
                if artifact.run_id == run.id:
                    path = self._machine.root / artifact.path
                    folder = path if artifact.kind == "tree" else path.parent
                    found.append(_root(run.id, str(folder), "where its artifacts are", wide, began_at))
            if run.cwd:
                found.append(Root(run.id, run.cwd, "written since the run began", began_at))
        return found

    def _with_bystanders(
        self, artifacts: Sequence[ArtifactFacts], everything: Sequence[ArtifactFacts], inventory: Inventory
    ) -> list[ArtifactFacts]:
        """Return the runs' artifacts, and those of other runs that lie in the same folders: they would go too."""
        mine = {artifact.id for artifact in artifacts}
        seen = [
            artifact
            for artifact in everything
            if artifact.id not in mine and any(path in inventory.seen for path, _ in self._files_of(artifact))
        ]
        return [*artifacts, *seen]

    def _without_destroyed(self, judgement: Judgement, artifacts: Sequence[ArtifactFacts]) -> list[ArtifactFacts]:
        """Leave out what a person said, by digest and with a reason, may be lost."""
        for words in self._wish.destroy:
            prefix = words.removeprefix("sha256:")
            matching = {artifact.digest for artifact in artifacts if artifact.digest.startswith(prefix)}
            if len(prefix) < 6 or len(matching) != 1:
                raise UsageError(
                    f"--destroy {words!r} means {len(matching)} artifacts",
                    hint="write sha256: and at least 6 digits of one digest, as `registry where RUN` shows it",
                )
            judgement.destroyed += [artifact.id for artifact in artifacts if artifact.digest in matching]
        return [artifact for artifact in artifacts if artifact.id not in judgement.destroyed]

    # rule 3: every file is what was recorded, and is elsewhere

    def _question_artifacts(
        self, judgement: Judgement, runs: Sequence[RunRow], artifacts: Sequence[ArtifactFacts]
    ) -> None:
        for run in runs:
            recorded = [artifact for artifact in artifacts if artifact.run_id == run.id]
            if not recorded and not judgement.destroyed:
                judgement.block(
                    run.id, f"run {run.name}", "nothing was recorded of what it made: empty is not safe", "nothing"
                )
        for artifact in artifacts:
            if artifact.dropped_at is None:
                self._hash_again(judgement, artifact)

    def _hash_again(self, judgement: Judgement, artifact: ArtifactFacts) -> None:
        files = self._files_of(artifact)
        for (path, digest), content in zip(files, self._machine.contents([path for path, _ in files]), strict=True):
            if content.missing:
                judgement.block(artifact.run_id, path, "is recorded, but not there", "inventory")
            elif content.error:
                judgement.block(artifact.run_id, path, content.error, "changed")
            elif content.digest != digest:
                judgement.block(artifact.run_id, path, "was changed since it was recorded", "changed")

    def _prove(self, judgement: Judgement, artifacts: Sequence[ArtifactFacts]) -> None:
        """Read copies back, place by place, until every blob has as many as it needs."""
        needs = self._needs(artifacts)
        judgement.n_blobs = len({need.digest for need in needs})
        not_counting = self._not_counting(artifacts)
        proofs: dict[str, list[Proof]] = {}
        doubts: dict[str, list[str]] = {}
        for place in sorted(self._places.values(), key=lambda place: place.name):
            if place.id in not_counting:
                continue
            lacking = custody.missing_proofs(needs, proofs, self._places, not_counting)
            subjects = {(blocker.run, blocker.subject) for blocker in lacking}
            digests = sorted({need.digest for need in needs if (need.run, need.subject) in subjects})
            if digests:
                self._read_place(place, digests, proofs, doubts)
        digest_of = {(need.run, need.subject): need.digest for need in needs}
        for blocker in custody.missing_proofs(
            needs, proofs, self._places, not_counting, accept_single=self._wish.accept_single
        ):
            why = doubts.get(digest_of[blocker.run, blocker.subject], [])
            code = REASON_CODES["unreachable"] if why else blocker.code
            judgement.blockers.append(Blocker(blocker.run, blocker.subject, "; ".join([blocker.reason, *why]), code))
        judgement.proofs = [proof for found in proofs.values() for proof in found]

    def _needs(self, artifacts: Sequence[ArtifactFacts]) -> list[Need]:
        needs = []
        for artifact in artifacts:
            rule = self._db.settings.policy.rule_for(artifact.experiment, artifact.role, deployed=artifact.deployed)
            for name, digest, _ in artifact.blobs:
                subject = artifact.path if artifact.kind != "tree" else f"{artifact.path}/{name or '(manifest)'}"
                needs.append(
                    Need(artifact.run_id, subject, digest, rule.min_copies, rule.num_copies or rule.min_copies)
                )
        return needs

    def _not_counting(self, artifacts: Sequence[ArtifactFacts]) -> dict[str, str]:
        """Return the places whose copies go with the machine, or fail with it, and why."""
        origins = {origin_of(artifact, self._db.root, self._db.settings) for artifact in artifacts}
        reasons: dict[str, str] = {}
        for place in self._places.values():
            found = [reason for origin in origins if (reason := custody.why_not_elsewhere(place, origin))]
            if place.host == self._machine.name and not custody.outlives_machine(place):
                found.append(f"it is on {self._machine.name} itself")
            if place.trust == "dead":
                found.append("it was declared dead")
            if found:
                reasons[place.id] = found[0]
        return reasons

    def _read_place(
        self, place: Place, digests: Sequence[str], proofs: dict[str, list[Proof]], doubts: dict[str, list[str]]
    ) -> None:
        with self._db.read() as session:
            copies = [
                copy
                for copy in load_copies(session, place.id, digests).values()
                if copy.trouble != "deleted" and (copy.put_at is not None or copy.verified_at is not None)
            ]
        if not copies:
            return
        self._progress.phase(f"reading {place.name}:", len(copies), sum(copy.size_bytes for copy in copies))
        try:
            connected = self._stack.enter_context(connect(self._db, place.name))
            self._connected[place.id] = connected
            checked = check_copies(
                self._db, connected, copies, self._progress.meter, read_back=place.trust == "untrusted"
            )
        except HoldfastError as error:
            for copy in copies:
                doubts.setdefault(copy.digest, []).append(error.message)
            return
        for copy in copies:
            doubt = checked.doubt(copy)
            if doubt:
                doubts.setdefault(copy.digest, []).append(f"{place.name}: {doubt}")
                continue
            standing = checked.standings[copy_id(copy)]
            assert standing.verified_at is not None
            proof = Proof(copy_id(copy), place.id, copy.digest, standing.verified_at, standing.token)
            proofs.setdefault(copy.digest, []).append(proof)

    # the permit and the call

    def let_go(self, judgement: Judgement, command: Sequence[str]) -> "Outcome":
        """Back up the registry, commit a permit, look once more, run the command, and record how it ended.

        Raises RefusedError when the judgement has blockers, when anything moved since, or when the permit expired.
        """
        if not judgement.ok:
            raise refusal(judgement)
        self._back_up(judgement)
        permit_id, expires_at = self._issue(judgement, command)
        self._look_again(judgement)
        if clock.now() >= expires_at:
            raise RefusedError(
                "the permit expired before it could be used", hint="run the guard again", reason_code=REFUSED
            )
        self._mark(permit_id, used=True)
        outcome = _call(command, permit_id)
        self._mark(permit_id, outcome=outcome.word)
        return outcome

    def _back_up(self, judgement: Judgement) -> None:
        """Put the registry itself where the copies are, when it would go with the machine."""
        if self._machine.name != socket.gethostname() or not judgement.proofs:
            return
        from registry.backup import make_backup

        names = sorted({self._places[proof.place_id].name for proof in judgement.proofs})
        self._progress.phase("backing up the registry", 1, 0)
        backup = make_backup(self._db, names[0], self._progress)
        judgement.notes.append(f"the registry was backed up to {names[0]} ({backup.digest[:12]}…)")

    def _issue(self, judgement: Judgement, command: Sequence[str]) -> tuple[str, float]:
        permit_id, now = secrets.token_hex(8), clock.now()
        settings = self._db.settings
        release_ttl_s = settings.policy.freshness.ttl_s("release")
        permit_s = clock.parse_duration(settings.guard.permit)
        expires_at = custody.permit_expiry(now, judgement.proofs, release_ttl_s, permit_s)
        if expires_at <= now:
            raise RefusedError(
                "reading the copies took longer than a proof holds",
                hint="raise release in [policy.freshness] of registry.toml",
                reason_code=REFUSED,
            )
        self._pin(judgement.proofs, permit_id, expires_at)
        proof = {
            "command": list(command),
            "copies": [[item.copy_id, item.digest, item.verified_at, item.token] for item in judgement.proofs],
            "ignored": judgement.ignored,
            "ignores": [[item.pattern, item.reason] for item in self._wish.ignores],
            "accept_single": self._wish.accept_single,
            "destroyed": judgement.destroyed,
            "reason": self._wish.reason,
        }
        with self._db.write() as session:
            permit = Permit(
                id=permit_id,
                subject=f"release {self._machine.name}",
                runs=json.dumps(judgement.runs),
                proof=json.dumps(proof),
                issued_at=now,
                expires_at=expires_at,
                by=audit.who(),
            )
            session.add(permit)
            for artifact_id in judgement.destroyed:
                artifact = session.get(Artifact, artifact_id)
                assert artifact is not None
                artifact.discarded_reason = self._wish.reason
                audit.record(session, "destroy", artifact.digest, {"path": artifact.path, "reason": self._wish.reason})
            audit.record(session, "permit", permit.subject, {"permit": permit_id, "runs": judgement.runs})
        return permit_id, expires_at

    def _pin(self, proofs: Sequence[Proof], permit_id: str, expires_at: float) -> None:
        """Leave word at every place of the proof that these copies must stay, for other registries to see."""
        for place_id, connected in self._connected.items():
            digests = sorted({proof.digest for proof in proofs if proof.place_id == place_id})
            if digests:
                write_pin(connected.store, permit_id, expires_at, digests)

    def _look_again(self, judgement: Judgement) -> None:
        """See that every place of the proof is still itself and every copy untouched. Raises RefusedError."""
        for place_id, connected in self._connected.items():
            proofs = [proof for proof in judgement.proofs if proof.place_id == place_id]
            name = connected.place.name
            try:
                identity = connected.store.marker_id()
                found = connected.store.find_all([blob_key(proof.digest) for proof in proofs])
            except HoldfastError as error:
                raise RefusedError(f"{name} went silent: {error.message}", reason_code=REFUSED) from error
            moved = [
                proof.digest
                for proof in proofs
                if blob_key(proof.digest) not in found or found[blob_key(proof.digest)].token != proof.token
            ]
            if identity != place_id or moved:
                what = f"{len(moved)} copies on {name} changed" if moved else f"{name} is another place"
                raise RefusedError(f"{what} since they were read", hint="run the guard again", reason_code=REFUSED)

    def _mark(self, permit_id: str, *, used: bool = False, outcome: str | None = None) -> None:
        with self._db.write() as session:
            permit = session.get(Permit, permit_id)
            assert permit is not None
            if used:
                permit.used_at = clock.now()
            if outcome:
                permit.outcome, permit.outcome_at = outcome, clock.now()
                audit.record(session, "release", permit.subject, {"permit": permit_id, "outcome": outcome})
            session.add(permit)


REFUSED = REASON_CODES["refused"]


@dataclass(frozen=True)
class Outcome:
    """How the call ended: released, failed, or unknown; and the exit code to pass on."""

    permit: str
    word: str
    exit_code: int


def _call(command: Sequence[str], permit_id: str) -> Outcome:
    """Run the command that gives the machine back. It is told the permit's id, so that it can insist on one."""
    try:
        code = subprocess.call(list(command), env={**os.environ, "REGISTRY_PERMIT": permit_id})
    except OSError as error:
        raise NotFoundError(f"cannot start {command[0]!r}: {error.strerror}", hint="nothing was released") from None
    except KeyboardInterrupt:
        return Outcome(permit_id, "unknown", 130)
    if code == 0:
        return Outcome(permit_id, "released", 0)
    return Outcome(permit_id, "unknown" if code < 0 else "failed", 128 - code if code < 0 else code)


def refusal(judgement: Judgement) -> RefusedError:
    """Return the refusal that lists every reason."""
    lines = [f"{item.subject}: {item.reason}" for item in judgement.blockers]
    return RefusedError(
        f"{judgement.machine} stays: {len(lines)} reasons against letting it go",
        details=lines,
        payload=judgement.as_json(),
        reason_code=custody.gravest([item.code for item in judgement.blockers]),
        hint="copy what is named (registry keep, registry copy), or name what may be lost (--ignore, --destroy)",
    )


def settle(db: Database, permit_id: str, outcome: str) -> None:
    """Write down how a release ended that nobody saw end. Raises NotFoundError, UsageError."""
    if outcome not in ("released", "failed"):
        raise UsageError(f"outcome {outcome!r}", hint="write released or failed")
    with db.write() as session:
        permit = session.get(Permit, permit_id)
        if permit is None or permit.used_at is None:
            raise NotFoundError(
                f"no release {permit_id!r} was begun", hint="`registry alerts` names those that are open"
            )
        permit.outcome, permit.outcome_at = outcome, clock.now()
        session.add(permit)
        audit.record(session, "settle", permit.subject, {"permit": permit_id, "outcome": outcome})


def _host_of(run: RunRow) -> str:
    return str(json.loads(run.host or "{}").get("name", ""))


def _and_above(path: str) -> set[str]:
    """Return a folder and those above it: too wide to be somebody's output folder."""
    return {path, *map(str, Path(path).parents)} if path else set()


def _root(run: str, path: str, why: str, wide: Iterable[str], began_at: float, *, must_exist: bool = False) -> Root:
    if path in wide:
        return Root(run, path, "written since the run began", began_at, must_exist)
    return Root(run, path, why, None, must_exist)

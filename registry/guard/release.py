"""May this machine go? Every question is asked now, and every unknown is a no.

Runs ended and journals read to their end -> output folders swept -> files hashed again -> copies read back elsewhere.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlmodel import Session, col, or_, select

from registry import catchup, custody
from registry.copies.proof import Prover
from registry.copies.record import ArtifactFacts, load_artifacts
from registry.copies.transfer import Progress
from registry.custody import REASON_CODES, Blocker
from registry.database import Database
from registry.errors import NotFoundError, RefusedError, UsageError
from registry.guard.sweep import Ignored, Inventory, Known, Machine, Root, sweep
from registry.places import DATABASE_NAME, JOURNAL_NAME, OUTPUT_NAME
from registry.settings import SETTINGS_NAME
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
    """One attempt to release a machine: `judge` it; a clean judgement is what a permit is given for."""

    def __init__(self, db: Database, machine: Machine, wish: Wish, progress: Progress | None = None) -> None:
        self._db = db
        self._machine = machine
        self.wish = wish
        self._progress = progress or Progress()
        self.prover = Prover(db, self._progress)
        if (wish.destroy or wish.ignores) and not wish.reason.strip():
            raise UsageError("why may these files be lost?", hint='add --reason "…"')

    def __enter__(self) -> "Release":
        self.prover.__enter__()
        return self

    def __exit__(self, *error: Any) -> None:
        self.prover.__exit__(*error)

    # --- the judgement

    def judge(self) -> Judgement:
        """Ask every question and return the answers. Raises NotFoundError, UsageError (a wish that means nothing)."""
        judgement = Judgement(self._machine.name)
        runs = self._load(judgement)
        inventory = self._inventory = self._sweep(runs)
        judgement.blockers += inventory.blockers
        judgement.ignored, judgement.n_files = inventory.ignored, inventory.n_files
        wanted = self._without_destroyed(judgement, self._artifacts)
        self._question_artifacts(judgement, runs, wanted)
        self._prove(judgement, wanted)
        return judgement

    def _load(self, judgement: Judgement) -> list[RunRow]:
        """Read the record to its end and question the runs; returns those that were asked about."""
        catchup.catch_up(self._db)
        with self._db.read() as session:
            runs = self._runs(session)
            artifacts = load_artifacts(session, run_ids=[run.id for run in runs])
            self._artifacts = self._with_bystanders(artifacts, load_artifacts(session))
            cursors = {row.run_id: row for row in session.exec(select(JournalCursor))}
            self._neighbours = self._other_runs(session, runs)
        judgement.runs = [run.id for run in runs]
        self._question_runs(judgement, runs, self._neighbours, cursors)
        return runs

    def _runs(self, session: Session) -> list[RunRow]:
        query = select(RunRow).order_by(col(RunRow.started_at), RunRow.id)
        if self.wish.run_ids is not None:
            return list(session.exec(query.where(col(RunRow.id).in_(self.wish.run_ids))))
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

    def _other_runs(self, session: Session, runs: Sequence[RunRow]) -> list[RunRow]:
        """Return the runs of this machine that were not asked about: what they left here would go too."""
        asked = {run.id for run in runs}
        everything = session.exec(select(RunRow).where(col(RunRow.deleted_at).is_(None)))
        return [run for run in everything if run.id not in asked and _host_of(run) == self._machine.name]

    def _question_runs(
        self, judgement: Judgement, runs: Sequence[RunRow], neighbours: Sequence[RunRow], cursors: dict[str | None, Any]
    ) -> None:
        """Rule 1: nothing is active, the runs are of this machine, and every journal was read to its end."""
        for run in (*runs, *neighbours):
            if run.status in ("running", "queued"):
                judgement.block(run.id, f"run {run.name}", f"is still {run.status} on {self._machine.name}", "refused")
        for run in runs:
            if _host_of(run) not in ("", self._machine.name):
                words = f"was made on {_host_of(run)}, and this looks at {self._machine.name}"
                hint = f"registry guard --host {_host_of(run)}, or the guard on that machine"
                judgement.block(run.id, f"run {run.name}", f"{words}: {hint}", "inventory")
            if run.folder is None or run.source != "journal":
                continue
            journal = str(self._machine.root / run.folder / JOURNAL_NAME)
            n_bytes, cursor = self._machine.size_of(journal), cursors.get(run.id)
            if n_bytes is None:
                judgement.block(run.id, journal, "is not there, so the record may not be whole", "inventory")
            elif cursor is None or cursor.offset != n_bytes:
                judgement.block(run.id, journal, "was not read to its end", "changed")

    # rule 2: what is there is what is recorded

    def _sweep(self, runs: Sequence[RunRow]) -> Inventory:
        root = self._machine.root
        there = [artifact for artifact in self._artifacts if artifact.is_at_origin]
        registered = dict(item for artifact in there for item in self._files_of(artifact))
        kept = "kept by the registry's own backup"
        database = self._db.path.name if self._db.is_sqlite else DATABASE_NAME
        names = [SETTINGS_NAME, *(f"{database}{suffix}" for suffix in ("", "-wal", "-shm", "-journal"))]
        left_alone = {str(root / name): kept for name in names}
        with self._db.read() as session:
            left_alone |= self._given_up(session)
        for run in (*runs, *self._neighbours):
            if run.folder:
                left_alone |= {str(root / run.folder / name): kept for name in (JOURNAL_NAME, OUTPUT_NAME)}
        settings = [Ignored(item.pattern, item.reason) for item in self._db.settings.guard.ignore]
        known = Known(registered, [*settings, *self.wish.ignores], left_alone)
        return sweep(self._machine, self.roots(runs, self._artifacts), known)

    def _given_up(self, session: Session) -> dict[str, str]:
        """Return the paths of what people said need not be kept: discarded artifacts, and all of removed runs."""
        given_up = {
            str(self._machine.root / folder): "the folder of a run that was removed"
            for folder in session.exec(select(RunRow.folder).where(col(RunRow.deleted_at).is_not(None)))
            if folder
        }
        query = (
            select(Artifact.path, Artifact.discarded_reason)
            .join(RunRow, col(RunRow.id) == Artifact.run_id)
            .where(or_(col(Artifact.discarded_reason).is_not(None), col(RunRow.deleted_at).is_not(None)))
        )
        for path, reason in session.exec(query):
            given_up[str(self._machine.root / path)] = reason or "of a run that was removed"
        return given_up

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
            declared = {*json.loads(run.roots or "[]"), *self.wish.roots}
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
        for run in self._neighbours:
            if run.folder:
                found.append(Root(run.id, str(self._machine.root / run.folder), f"the folder of run {run.name}"))
        return found

    def _with_bystanders(
        self, artifacts: Sequence[ArtifactFacts], everything: Sequence[ArtifactFacts]
    ) -> list[ArtifactFacts]:
        """Return the runs' artifacts, and those of any other run that are on the machine: they would go too."""
        mine = {artifact.id for artifact in artifacts}
        others = [item for item in everything if item.id not in mine and self._machine.holds(item)]
        return [*artifacts, *others]

    def _without_destroyed(self, judgement: Judgement, artifacts: Sequence[ArtifactFacts]) -> list[ArtifactFacts]:
        """Leave out what a person said, by digest and with a reason, may be lost."""
        for words in self.wish.destroy:
            prefix = words.removeprefix("sha256:")
            matching = {artifact.digest for artifact in artifacts if artifact.digest.startswith(prefix)}
            if len(prefix) < 6 or len(matching) != 1:
                raise UsageError(
                    f"--destroy {words!r} means {len(matching)} artifacts",
                    hint="write sha256: and at least 6 digits of one digest, as `registry where RUN` shows it",
                )
            judgement.destroyed += [artifact.id for artifact in artifacts if artifact.digest in matching]
            for artifact in artifacts:
                if artifact.digest in matching and artifact.deployed:
                    reason = "is deployed, and what serves is not destroyed: registry rollback first"
                    judgement.block(artifact.run_id, artifact.path, reason, "refused")
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
            if artifact.is_at_origin:
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
        """Read copies back that do not go with the machine until every blob has as many as it needs."""
        needs = self.prover.needs_of(artifacts)
        judgement.n_blobs = len({need.digest for need in needs})
        not_counting = self.prover.not_elsewhere({self._machine.origin(artifact) for artifact in artifacts})
        for place in self.prover.places.values():
            if place.host in self._machine.names and not custody.outlives_machine(place):
                not_counting.setdefault(place.id, f"it is on {self._machine.name} itself")
        judgement.blockers += self.prover.prove(needs, not_counting, accept_single=self.wish.accept_single)

    def still_ok(self, judgement: Judgement) -> None:
        """Look once more, right before the call: at runs, folders, places and copies. Raises RefusedError."""
        now = Judgement(self._machine.name)
        again = self._sweep(self._load(now))
        for path, looks in sorted(again.recorded.items()):
            if looks != self._inventory.recorded.get(path):
                now.block(None, path, "was changed", "changed")
        new = [blocker for blocker in (*now.blockers, *again.blockers) if blocker not in judgement.blockers]
        if new or now.runs != judgement.runs:
            what = f"{new[0].subject} {new[0].reason}" if new else "a run"
            raise RefusedError(
                f"{what}: it came while the copies were read",
                hint="run the guard again",
                reason_code=new[0].code if new else custody.REASON_CODES["changed"],
            )
        self.prover.look_again()


def _host_of(run: RunRow) -> str:
    return str(json.loads(run.host or "{}").get("name", ""))


def _and_above(path: str) -> set[str]:
    """Return a folder and those above it: too wide to be somebody's output folder."""
    return {path, *map(str, Path(path).parents)} if path else set()


def _root(run: str, path: str, why: str, wide: Iterable[str], began_at: float, *, must_exist: bool = False) -> Root:
    if path in wide:
        return Root(run, path, "written since the run began", began_at, must_exist)
    return Root(run, path, why, None, must_exist)

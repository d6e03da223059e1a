"""Runs of other trackers. An importer only reads its source; `record` writes each run once, however often it is asked.

An importer turns a source into `ForeignRun`s: the events of one run under the identity it has over there.
"""

import hashlib
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from sqlmodel import Session, select

from registry import clock, events, hashing
from registry.database import Database
from registry.errors import HoldfastError
from registry.ingest.runs import forget_points, run_id_of
from registry.projection import Projector
from registry.tables import LogCursor


@dataclass(frozen=True)
class ForeignFile:
    """A file or folder that a run over there points to; hashed when the run is recorded."""

    path: Path
    role: str = "checkpoint"
    step: int | None = None


@dataclass(frozen=True)
class ForeignRun:
    """One run of another tracker.

    `foreign_id` is its identity over there (`mlflow:5c2a…`), `events` are its facts in order and begin with a Start
    whose `run` stays empty: `record` fills it in.
    """

    foreign_id: str
    events: list[events.AnyEvent]
    files: list[ForeignFile] = field(default_factory=list)
    part: str = ""
    """Names the source where several sources speak of one run: each is remembered, and the run made of all of them."""


class Importer(Protocol):
    """One kind of source."""

    @property
    def name(self) -> str:
        """What the source is called."""

    def recognises(self, source: Path) -> bool:
        """Return whether `source` (a file or folder) is of this kind; reads little and never writes."""

    def read(self, source: Path) -> Iterator[ForeignRun]:
        """Yield the runs in `source`. Raises UsageError for a source that is broken."""


@dataclass(frozen=True)
class Recorded:
    """What recording one foreign run came to; `verdict` is `new`, `changed` or `unchanged`."""

    foreign_id: str
    run_id: str
    name: str
    verdict: str
    n_points: int
    n_artifacts: int
    missing: list[str]


def record(db: Database, runs: Iterable[ForeignRun], *, dry_run: bool = False) -> list[Recorded]:
    """Record foreign runs, one transaction each; a run that did not change since it was last recorded is left alone."""
    return [_record_one(db, run, dry_run=dry_run) for run in runs]


def _record_one(db: Database, run: ForeignRun, *, dry_run: bool) -> Recorded:
    start = run.events[0]
    assert isinstance(start, events.Start)
    run_id = run_id_of(run.foreign_id)
    start.run, start.foreign_id, start.source = run_id, run.foreign_id, "import"
    artifacts, missing = hash_files(run.files, start.at)
    batch: list[events.AnyEvent] = [run.events[0], *artifacts, *run.events[1:]]
    parts = _parts(db, run, batch) if run.part else {}
    if parts:
        from registry.importers.markdown.emit import merge

        batch = merge([events.decode(line.encode()) for line in lines] for _, lines in sorted(parts.items()))
    digest = hashlib.sha256(b"".join(events.encode(event) for event in batch)).hexdigest()
    n_points = sum(len(event.v) for event in batch if isinstance(event, events.Metrics))
    n_points += sum(len(event.metrics) for event in batch if isinstance(event, events.Evaluation))
    with db.read() as session:
        known = _cursor(session, run.foreign_id)
    verdict = "new" if known is None else "unchanged" if known.head_digest == digest else "changed"
    if verdict != "unchanged" and not dry_run:
        batch += [events.Note(at=start.at, level="warning", text=f"missing: {path}") for path in missing]
        with db.write(durable=False) as session:
            _replace(session, db, run.foreign_id, run_id, batch, digest, parts)
    return Recorded(run.foreign_id, run_id, start.name, verdict, n_points, len(artifacts), missing)


def _parts(db: Database, run: ForeignRun, batch: list[events.AnyEvent]) -> dict[str, list[str]]:
    """Return what every source said of a run so far, as journal lines by source, with what this one says now."""
    with db.read() as session:
        cursor = _cursor(session, run.foreign_id)
        before: dict[str, list[str]] = json.loads(cursor.state).get("parts", {}) if cursor else {}
    return {**before, run.part: [events.encode(event).decode() for event in batch]}


def _cursor(session: Session, foreign_id: str) -> LogCursor | None:
    return session.exec(select(LogCursor).where(LogCursor.path == foreign_id)).first()


def _replace(
    session: Session,
    db: Database,
    foreign_id: str,
    run_id: str,
    batch: list[events.AnyEvent],
    digest: str,
    parts: dict[str, list[str]],
) -> None:
    cursor = _cursor(session, foreign_id) or LogCursor(path=foreign_id, format="import")
    forget_points(session, run_id)
    projector = Projector(session, is_sqlite=db.is_sqlite)
    projector.apply(run_id, batch)
    projector.flush()
    cursor.run_id, cursor.head_digest, cursor.read_at = run_id, digest, clock.now()
    cursor.state = json.dumps({"parts": parts})
    session.add(cursor)


def hash_files(files: Iterable[ForeignFile], at: float) -> tuple[list[events.AnyEvent], list[str]]:
    """Return an Artifact event for each file that could be hashed, and for the others the reason why not."""
    found: list[events.AnyEvent] = []
    missing = []
    for file in files:
        try:
            frozen = hashing.freeze(file.path)
        except HoldfastError as error:
            missing.append(error.message)
            continue
        found.append(
            events.Artifact(
                at=at,
                role=file.role,
                path=str(file.path.absolute()),
                digest=frozen.digest,
                size_bytes=frozen.size_bytes,
                step=file.step,
                kind=frozen.kind,
                files=[events.ArtifactFile(one.path, one.digest, one.size_bytes) for one in frozen.files],
            )
        )
    return found, missing

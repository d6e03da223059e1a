"""Recording what a run made but did not say: one more event in its journal, as if it had said it."""

from collections.abc import Sequence
from pathlib import Path

from registry import catchup, clock, events
from registry.database import Database
from registry.errors import NotFoundError, UsageError
from registry.hashing import Frozen, freeze
from registry.journal import append_event
from registry.places import JOURNAL_NAME
from registry.tables import RunRow


def keep_files(db: Database, run: RunRow, paths: Sequence[Path], role: str, step: int | None = None) -> list[Frozen]:
    """Hash files or folders and record them as artifacts of a run, whether it still runs or has ended.

    Raises UsageError (role), NotFoundError (a missing file, or a run without a journal here), RefusedError,
    SourceChangedError; nothing is recorded then.
    """
    if role not in events.ROLES:
        raise UsageError(f"--role {role!r}", hint=f"write {', '.join(events.ROLES)}")
    journal = None if run.folder is None else db.root / run.folder / JOURNAL_NAME
    if journal is None or not journal.is_file():
        raise NotFoundError(f"run {run.id} has no journal here", hint="record its files where it ran")
    frozen = [freeze(path) for path in paths]
    for path, found in zip(paths, frozen, strict=True):
        absolute = path.absolute()
        stored = absolute.relative_to(db.root) if absolute.is_relative_to(db.root) else absolute
        event = events.Artifact(
            at=clock.now(),
            role=role,
            path=stored.as_posix(),
            digest=found.digest,
            size_bytes=found.size_bytes,
            step=step,
            kind=found.kind,
            files=[events.ArtifactFile(file.path, file.digest, file.size_bytes) for file in found.files],
        )
        append_event(journal, event)
    catchup.catch_up(db)
    return frozen

"""Copying a run's artifacts while it goes on: each checkpoint soon after it was recorded, the rest when it ends.

The training is never waited for and never made to wait: this reads its journal and its finished files, no more.
"""

import time
from collections.abc import Callable, Sequence

from registry import catchup, clock
from registry.copies.overview import custody_of
from registry.copies.record import ArtifactFacts, find_remote, load_artifacts
from registry.copies.transfer import Progress, copy_artifacts
from registry.database import Database
from registry.errors import HoldfastError, UnreachableError
from registry.tables import RunRow

LAST_TRIES = 3


def follow(
    db: Database,
    run_id: str,
    remote: str,
    *,
    every_s: float = 2.0,
    progress: Progress | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> list[HoldfastError]:
    """Copy what a run records to a remote until the run has ended and everything is there.

    While it goes on only what failed at two looks in a row is told: a checkpoint may just be on its way to the next.
    Returns the error of each artifact that could not be copied in the end. Raises NotFoundError (no such remote).
    """
    with db.read() as session:
        find_remote(session, remote)
    n_last, before, told = 0, set[str](), set[str]()
    while True:
        over = _has_ended(db, run_id)
        catchup.catch_up(db)
        failures = _copy_new(db, run_id, remote, progress or Progress())
        lines = {str(error) for error in failures}
        for line in sorted((lines & before) - told):
            told.add(line)
            tell(line)
        before = lines
        n_last += over
        if over and (not failures or n_last >= LAST_TRIES):
            return failures
        time.sleep(every_s)


def _has_ended(db: Database, run_id: str) -> bool:
    with db.read() as session:
        run = session.get(RunRow, run_id)
        return run is not None and run.status not in ("running", "queued")


def _copy_new(db: Database, run_id: str, remote: str, progress: Progress) -> list[HoldfastError]:
    failures: list[HoldfastError] = []
    for artifact in _not_there(db, run_id, remote):
        try:
            report = copy_artifacts(db, [artifact], remote, progress=progress, jobs=1)
            failures += [error for _, error in report.failures]
        except HoldfastError as error:
            failures.append(error)
            if isinstance(error, UnreachableError):
                break  # whatever else there is would wait for the same silence
    return failures


def _not_there(db: Database, run_id: str, remote: str) -> Sequence[ArtifactFacts]:
    """Return the run's artifacts that have no verified copy on the remote, those recorded first in front."""
    with db.read() as session:
        artifacts = load_artifacts(session, run_ids=[run_id])
        found = custody_of(session, artifacts, clock.now(), db.settings)
    return [
        artifact
        for artifact in artifacts
        if not any(copy.remote == remote and copy.state == "verified" for copy in found[artifact.id].copies)
    ]

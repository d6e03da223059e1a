"""Copying a run's artifacts while it goes on: each checkpoint soon after it was recorded, the rest when it ends.

The training is never waited for and never made to wait: this reads its journal and its finished files, no more.
"""

import threading
import time
from collections.abc import Callable, Sequence

from registry import catchup, clock
from registry.copies.overview import custody_of
from registry.copies.record import ArtifactFacts, find_remote, load_artifacts
from registry.copies.transfer import Progress, copy_artifacts
from registry.database import Database, open_database
from registry.errors import HoldfastError
from registry.tables import RunRow

LAST_TRIES = 3
LAST_PAUSE_S = 1.0


def follow(
    db: Database,
    run_id: str,
    remote: str,
    *,
    every_s: float = 5.0,
    progress: Progress | None = None,
    ended: threading.Event | None = None,
    tell: Callable[[str], None] = lambda line: None,
) -> list[str]:
    """Copy what a run records to a remote until the run has ended and everything is there.

    `ended` (when given) says that nothing more will be recorded, whatever the record says of the run. Returns one
    line for each artifact that could not be copied in the end. Raises NotFoundError for an unknown remote.
    """
    with db.read() as session:
        find_remote(session, remote)
    ended = ended or threading.Event()
    n_last, said = 0, set[str]()
    while True:
        over = ended.is_set() or _has_ended(db, run_id)
        catchup.catch_up(db)
        failures = _copy_new(db, run_id, remote, progress or Progress())
        for line in failures:
            if line not in said:
                said.add(line)
                tell(line)
        n_last += over
        if over and (not failures or n_last >= LAST_TRIES):
            return failures
        if over:
            time.sleep(min(every_s, LAST_PAUSE_S))
        else:
            ended.wait(every_s)


def _has_ended(db: Database, run_id: str) -> bool:
    with db.read() as session:
        run = session.get(RunRow, run_id)
        return run is not None and run.status not in ("running", "queued")


def _copy_new(db: Database, run_id: str, remote: str, progress: Progress) -> list[str]:
    failures = []
    for artifact in _not_there(db, run_id, remote):
        try:
            report = copy_artifacts(db, [artifact], remote, progress=progress, jobs=1)
            failures += [f"{label}: {error}" for label, error in report.failures]
        except HoldfastError as error:
            failures.append(f"{artifact.label}: {error}")
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


class Follower:
    """`follow` in a thread of its own, for whoever runs a command: start it, go on, and `finish` at the end."""

    def __init__(self, address: str | None, run_id: str, remote: str) -> None:
        self._address = address
        self._run_id = run_id
        self._remote = remote
        self._ended = threading.Event()
        self._failures: list[str] = []
        self._thread = threading.Thread(target=self._work, name=f"copy-{run_id}", daemon=True)
        self._thread.start()

    def _work(self) -> None:
        try:
            db = open_database(self._address, create=True)
            try:
                self._failures = follow(db, self._run_id, self._remote, ended=self._ended)
            finally:
                db.close()
        except HoldfastError as error:
            self._failures = [str(error)]

    def finish(self) -> list[str]:
        """Wait until everything that was recorded is copied; returns a line for each artifact that is not."""
        self._ended.set()
        self._thread.join()
        return self._failures

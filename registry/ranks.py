"""Several processes of one training (torchrun, accelerate): one run. Rank 0 records; of the others what only they know
is kept: their notes, their machine's metrics, and the error that ended them. Standard library only.

The processes agree on the run without talking: under `registry run` by its id, else by the launcher they all stem from.
"""

import hashlib
import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from registry import events, hosts, journal, places
from registry.run import Run

MACHINE_PREFIX = "system/"
FOLDER_WAIT_S = 10.0
POLL_S = 0.05


def rank() -> int:
    """Return the place of this process among those of one training, 0 for a process on its own."""
    try:
        return int(os.environ.get("RANK", "0")) if int(os.environ.get("WORLD_SIZE", "1")) > 1 else 0
    except ValueError:
        return 0


def common_run_id() -> str | None:
    """Return the id that all processes of this training on this machine find for their run; None for one on its own.

    It is made of the launcher's process and its start, so that a worker that the launcher starts again goes on with
    the same run.
    """
    if int(os.environ.get("WORLD_SIZE", "1") or 1) <= 1 or "RANK" not in os.environ:
        return None
    launcher = hosts.this_process(os.getppid())
    parts = [launcher[key] for key in ("name", "boot_id", "pid", "pid_started")]
    parts += [os.environ.get(name, "") for name in ("MASTER_ADDR", "MASTER_PORT", "TORCHELASTIC_RUN_ID")]
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:10]


class RankRun(Run):
    """The run as a process of another rank than 0 sees it: the same methods, and almost nothing is written."""

    def __init__(self, address: str, run_id: str, number: int, name: str, experiment: str) -> None:
        self.id, self.name, self.experiment = run_id, name, experiment
        self.root = places.root_folder(address)
        self.status = "running"
        self.rank = number
        self.address = address
        self._inner = True
        self._step = -1
        self._artifacts: dict[str, str] = {}

    @property
    def folder(self) -> Path:  # type: ignore[override]
        """The run's folder, once rank 0 has written the start. Raises FileNotFoundError when it does not come."""
        deadline = time.monotonic() + FOLDER_WAIT_S
        while True:
            found = places.find_run_folder(places.runs_folder(self.address), self.id)
            if found is not None and _has_begun(found / places.JOURNAL_NAME):
                return found
            if time.monotonic() > deadline:
                raise FileNotFoundError(f"rank 0 made no folder for run {self.id}")
            time.sleep(POLL_S)

    def log(self, metrics: Mapping[str, Any], step: int | None = None, *, basis: str | None = None) -> None:
        """Record the machine's metrics under this rank's name; rank 0 records the others."""
        own = {
            f"{MACHINE_PREFIX}rank{self.rank}/{name.removeprefix(MACHINE_PREFIX)}": value
            for name, value in metrics.items()
            if name.startswith(MACHINE_PREFIX)
        }
        if own:
            super()._log_checked(own, step, basis)  # type: ignore[arg-type]

    def log_evaluation(self, artifact: str | None = None, *_: Any, **__: Any) -> None:
        """Nothing: rank 0 judges the weights, which are the same everywhere."""

    def sync(self) -> None:
        """Nothing waits here: what is written is written at once."""

    def finish(self, status: str = "finished", *, exit_code: int | None = None, evidence: str = "") -> None:
        """End this process's part; what went wrong is noted, how the run ended is for rank 0 to say."""
        if self.status == "running" and status != "finished":
            self._append(events.Note(at=time.time(), text=f"{status}: {evidence}", level="error"))
        self.status = status

    def _append(self, event: events.Event) -> None:
        if isinstance(event, events.Note) and event.level != "tag":
            event.text = f"rank {self.rank}: {event.text}"
        elif not isinstance(event, events.Metrics):
            return
        try:
            journal.append_event(self.folder / places.JOURNAL_NAME, event)
        except OSError as error:
            self._complain(f"rank {self.rank}: {error}")


def _has_begun(path: Path) -> bool:
    """Return whether a journal has its first line, the start, so that ours cannot come before it."""
    try:
        return path.stat().st_size > 0
    except OSError:
        return False

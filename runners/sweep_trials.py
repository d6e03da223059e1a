"""Trials of a sweep as processes of their own. What became of one is read from its journal, never from its exit alone:
a worker that died without a word goes on from its last checkpoint, or begins anew, or is recorded as crashed.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

from registry import events, places
from runners.sweep_space import Trial

TAIL_LINES = 20
RESUME_STATE = Path("checkpoints", "resume.pt")
"""What a training goes on from, in its run's folder."""


@dataclass(frozen=True)
class Plan:
    """What all trials of a sweep share."""

    family: str
    preset: str
    overrides: tuple[str, ...]
    experiment: str
    parent_id: str
    address: str
    threads: int
    retries: int
    max_time: str | None = None
    gates: str | None = None


@dataclass(frozen=True)
class Ended:
    """What became of a trial: its last run, `finished`, `failed`, `killed` or `crashed`, and in how many attempts."""

    trial: Trial
    run_id: str | None
    status: str
    attempts: int
    said: str


@dataclass
class Workers:
    """Runs trials, `jobs` at a time. `stop` asks those that run to end in good order and begins no more."""

    plan: Plan
    jobs: int
    ended: Callable[[Ended], None]
    _live: set["subprocess.Popen[str]"] = field(init=False, default_factory=set)
    _lock: threading.Lock = field(init=False, default_factory=threading.Lock)
    stopping: threading.Event = field(init=False, default_factory=threading.Event)

    def run(self, trials: Sequence[Trial]) -> list[Ended]:
        """Run all trials and return what became of each that was begun, in their order."""
        with ThreadPoolExecutor(self.jobs, "trial") as pool:
            return [ended for ended in pool.map(self._trial, trials) if ended is not None]

    def stop(self) -> None:
        """Send SIGTERM to the trials that run."""
        self.stopping.set()
        with self._lock:
            for process in self._live:
                with contextlib.suppress(ProcessLookupError):
                    process.send_signal(signal.SIGTERM)

    def _trial(self, trial: Trial) -> Ended | None:
        if self.stopping.is_set():
            return None
        attempt, resume = 0, None
        while True:
            attempt += 1
            code, said = self._attempt(command(self.plan, trial, resume))
            run_id, folder = find_run(self.plan, trial)
            status = how_it_ended(folder, code)
            if status != "crashed" or attempt > self.plan.retries or self.stopping.is_set():
                ended = Ended(trial, run_id, status, attempt, said)
                self.ended(ended)
                return ended
            resume = run_id if folder and (folder / RESUME_STATE).exists() else None

    def _attempt(self, words: list[str]) -> tuple[int, str]:
        """Run a process to its end; returns its code and the last line it said on stderr."""
        hidden = ("REGISTRY_RUN_ID", "REGISTRY_RUN_NAME", "REGISTRY_EXPERIMENT")
        environment = {key: value for key, value in os.environ.items() if key not in hidden}
        environment |= {"REGISTRY_DB": self.plan.address, "REGISTRY_PARENT_ID": self.plan.parent_id}
        with self._lock:
            process = subprocess.Popen(
                words,
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.PIPE,
                text=True,
                errors="replace",
                env=environment,
                start_new_session=True,
            )
            self._live.add(process)
        assert process.stderr is not None
        with process.stderr:
            tail = deque((line.strip() for line in process.stderr), TAIL_LINES)
        code = process.wait()
        with self._lock:
            self._live.discard(process)
        return code, next((line for line in tail if line.startswith("registry: ")), tail[-1] if tail else "")


def name_of(plan: Plan, trial: Trial) -> str:
    """Return the name of a trial's run: it says which sweep it belongs to, and what it changes."""
    return f"{plan.parent_id[:4]}-{trial.number:03d} {trial.label}"[:200]


def command(plan: Plan, trial: Trial, resume: str | None = None) -> list[str]:
    """Return the command line of a trial, or of going on with the run `resume`."""
    words = [sys.executable, "-m", "registry", "train"]
    words += ["--max-time", plan.max_time] if plan.max_time else []
    if resume:
        return [*words, "--resume", resume]
    words += [plan.family, "--preset", plan.preset, "--name", name_of(plan, trial), "--experiment", plan.experiment]
    words += ["--gates", plan.gates] if plan.gates else []
    for text in overrides_of(plan, trial):
        words += ["--set", text]
    return words


def overrides_of(plan: Plan, trial: Trial) -> tuple[str, ...]:
    """Return every `key=value` of a trial: the threads of its share, what all have, what is its own."""
    return (f"threads={plan.threads}", *plan.overrides, *trial.overrides)


def find_run(plan: Plan, trial: Trial) -> tuple[str | None, Path | None]:
    """Return the id and the folder of the trial's newest run, (None, None) when it never began one."""
    newest: tuple[float, str | None, Path | None] = (0.0, None, None)
    runs = places.runs_folder(plan.address)
    for path in runs.glob(f"{plan.parent_id[:4]}-{trial.number:03d}_*/{places.JOURNAL_NAME}"):
        with open(path, "rb") as file:
            start = events.decode(file.readline())
        if isinstance(start, events.Start) and start.parent == plan.parent_id and start.at > newest[0]:
            newest = (start.at, start.run, path.parent)
    return newest[1:]


def how_it_ended(folder: Path | None, code: int) -> str:
    """Return the status in the journal's last end; without one `crashed` for a process a signal took, else `failed`."""
    if folder is not None:
        for line in reversed((folder / places.JOURNAL_NAME).read_bytes().splitlines()):
            if line.startswith(b'{"t":"resume"'):
                break
            if line.startswith(b'{"t":"end"'):
                event = events.decode(line)
                return event.status if isinstance(event, events.End) else "crashed"
    return "failed" if folder is None and code > 0 else "crashed"

"""A trial of a sweep is a process of its own, wherever it runs. What became of one is read from its journal, never from
its exit alone: a process that died without a word goes on from its last checkpoint, or begins anew, or is recorded as
crashed.
"""

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import IO

from registry import events, journal, places
from runners.launch.worker import end_with_parent
from runners.sweep_space import Trial

TAIL_BYTES = 4_096
LOOK_S = 0.5
RESUME_STATE = Path("checkpoints", "resume.pt")
"""What a training goes on from, in its run's folder."""
STOPPED = "stopped"


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
    """What became of a trial: its last run, how it ended, and in how many attempts.

    The status is `finished`, `failed`, `killed`, `crashed`, or `stopped` for one that a rule of the sweep ended early.
    """

    trial: Trial
    run_id: str | None
    status: str
    attempts: int
    said: str


class Attempt:
    """One process that trains a trial: begins it, or goes on with the run that an earlier attempt left."""

    def __init__(self, plan: Plan, trial: Trial, *, tied: bool = False) -> None:
        """Begin; `tied` to the thread that begins it, the process is killed when that is gone."""
        self.plan, self.trial = plan, trial
        run_id, folder = find_run(plan, trial)
        resume = run_id if folder and (folder / RESUME_STATE).exists() else None
        self._errors: IO[bytes] = tempfile.TemporaryFile()  # noqa: SIM115
        hidden = ("REGISTRY_RUN_ID", "REGISTRY_RUN_NAME", "REGISTRY_EXPERIMENT")
        environment = {key: value for key, value in os.environ.items() if key not in hidden}
        environment |= {"REGISTRY_DB": plan.address, "REGISTRY_PARENT_ID": plan.parent_id}
        self._process = subprocess.Popen(
            command(plan, trial, resume),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=self._errors,
            env=environment,
            start_new_session=True,
            preexec_fn=partial(end_with_parent, signal.SIGKILL) if tied else None,
        )

    def wait(self, seconds: float) -> bool:
        """Wait for the end, at most so long; returns whether it has come."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(seconds)
        return self._process.returncode is not None

    def end(self, why: str = "") -> None:
        """Ask the training to end between two steps, with a checkpoint; the reason goes into its journal."""
        _, folder = find_run(self.plan, self.trial)
        if why and folder is not None:
            journal.append_event(folder / places.JOURNAL_NAME, events.Note(at=time.time(), text=f"stopped: {why}"))
        self._process.send_signal(signal.SIGTERM)

    def outcome(self, attempts: int, why: str = "") -> Ended:
        """Return what became of the trial; `why` it was asked to end, "" for nobody asked."""
        run_id, folder = find_run(self.plan, self.trial)
        status = how_it_ended(folder, self._process.returncode)
        said = self._last_words()
        if why and status == "killed":
            status, said = STOPPED, why
        return Ended(self.trial, run_id, status, attempts, said)

    def _last_words(self) -> str:
        """Return the complaint of the process, else the last line it said on stderr."""
        with self._errors as file:
            file.seek(max(0, file.seek(0, os.SEEK_END) - TAIL_BYTES))
            lines = [line.strip() for line in file.read().decode("utf-8", "replace").splitlines() if line.strip()]
        return next((line for line in lines if line.startswith("registry: ")), lines[-1] if lines else "")


def run_attempt(attempt: Attempt, number: int, should_end: Callable[[], str | None]) -> Ended:
    """Wait for the end of the `number`-th attempt and return what became of it.

    `should_end` gives None, or the reason for which the training must end now ("" for a person's wish).
    """
    asked: str | None = None
    while not attempt.wait(LOOK_S):
        if asked is None and (asked := should_end()) is not None:
            attempt.end(asked)
    return attempt.outcome(number, asked or "")


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
            line = file.readline()
        start = events.decode(line) if line.endswith(b"\n") else None
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

"""What takes a while and changes something: copy, verify, ask the guard. One thread a job; it reports in messages.

A job that is cancelled stops at the next block of bytes; what it did by then is recorded by the registry itself. One
that does not even get to the next block is left behind when the dashboard ends.
"""

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

from textual.message import Message

from tui.faults import explained
from tui.messages import JobEnded, JobProgressed

if TYPE_CHECKING:
    from registry.copies.transfer import Progress

REPORT_EVERY_S = 0.1
FAREWELL_S = 2.0
"""How long the end of the dashboard waits for jobs that were told to stop."""


@dataclass(frozen=True)
class JobState:
    """How far a job is: bytes `done` of `total` in the phase `what`."""

    title: str
    what: str = ""
    done: int = 0
    total: int = 0

    @property
    def share(self) -> float | None:
        """How much of the phase is done, None when that cannot be told."""
        return min(1.0, self.done / self.total) if self.total else None


Start = Callable[[Callable[[], None]], threading.Thread]
"""What begins a thread."""


class Work(Protocol):
    """What a job does: it gets a `Reporter` and returns what came of it, in words."""

    def __call__(self, reporter: "Reporter") -> tuple[str, ...]:
        """Do it."""
        ...


class Reporter:
    """Tells the app how far a job is, at most ten times a second; every method may be called from any thread."""

    def __init__(self, title: str, post: Callable[[Message], bool]) -> None:
        self.state = JobState(title)
        self.stopped = threading.Event()
        self._post = post
        self._lock = threading.Lock()
        self._told_at = 0.0

    def phase(self, words: str, n_files: int, n_bytes: int) -> None:
        """A new phase begins: `words` about so many files and bytes."""
        self._set(replace(self.state, what=f"{words} {n_files:,} files", done=0, total=n_bytes), at_once=True)

    def advance(self, n_bytes: int) -> None:
        """So many bytes more are done."""
        with self._lock:
            state = replace(self.state, done=self.state.done + n_bytes)
        self._set(state)

    def _set(self, state: JobState, *, at_once: bool = False) -> None:
        with self._lock:
            self.state = state
            due = at_once or time.monotonic() - self._told_at >= REPORT_EVERY_S
            if due:
                self._told_at = time.monotonic()
        if due:
            self._post(JobProgressed(state))

    def progress(self) -> "Progress":
        """Return what the registry's transfers report to."""
        from registry.copies.transfer import Progress
        from registry.remotes.base import Meter

        return Progress(Meter(report=self.advance, stopped=self.stopped), self.phase)


class Jobs:
    """The jobs of a session."""

    def __init__(
        self, post: Callable[[Message], bool], start: Callable[[Callable[[], None]], threading.Thread]
    ) -> None:
        self._post = post
        self._start = start
        self._running: dict[str, Reporter] = {}
        self._threads: dict[str, threading.Thread] = {}

    @property
    def running(self) -> tuple[str, ...]:
        """The titles of what is going on."""
        return tuple(self._running)

    @property
    def newest(self) -> JobState | None:
        """How far the job is that was begun last, of those going on."""
        reporter = next(reversed(list(self._running.values())), None)
        return reporter.state if reporter is not None else None

    def begin(self, title: str, work: Work) -> bool:
        """Begin a job unless the same one is going on already; its end arrives as `JobEnded`."""
        if title in self._running:
            return False
        reporter = self._running[title] = Reporter(title, self._post)
        self._post(JobProgressed(reporter.state))
        self._threads[title] = self._start(lambda: self._run(reporter, work))
        return True

    def _run(self, reporter: Reporter, work: Work) -> None:
        title = reporter.state.title
        try:
            ended = JobEnded(title, work(reporter))
        except KeyboardInterrupt:
            ended = JobEnded(title, ("stopped; what was done by then is recorded",))
        except Exception as error:
            ended = JobEnded(title, error=explained(error))
        finally:
            self._running.pop(title, None)
        self._post(ended)

    def cancel(self) -> str | None:
        """Stop the newest job that was not told to stop yet; return its title, None when there is none."""
        for title, reporter in reversed(list(self._running.items())):
            if not reporter.stopped.is_set():
                reporter.stopped.set()
                return title
        return None

    def stop_all(self) -> None:
        """Stop everything, and wait a moment for what is at a block of bytes: the dashboard ends."""
        for reporter in list(self._running.values()):
            reporter.stopped.set()
        until = time.monotonic() + FAREWELL_S
        for title in self.running:
            if title in self._threads:
                self._threads[title].join(max(0.0, until - time.monotonic()))

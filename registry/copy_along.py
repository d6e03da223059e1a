"""Copying what a run makes while it is being made: for each remote a process of its own, of low priority.

The run never waits for it and ends as it ends, whatever becomes of the copies. It outlives us: what was recorded is
copied even when the training, or this process, was killed.
"""

import contextlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Sequence

LOW_PRIORITY = 5
PATIENCE_S = 2.0
"""Only a longer wait for the copies is worth a word."""


def require_remotes(address: str, names: Sequence[str]) -> None:
    """Raise NotFoundError, which names those there are, for a remote that is not known: before hours went by."""
    if not names:
        return
    from registry.copies.record import find_remote
    from registry.database import open_database

    db = open_database(address, create=True)
    try:
        with db.read() as session:
            for name in names:
                find_remote(session, name)
    finally:
        db.close()


def _lower(pid: int) -> None:
    """Let everything else go first; a process that has ended already needs no priority."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, pid, max(LOW_PRIORITY, os.getpriority(os.PRIO_PROCESS, 0)))


class CopyAlong:
    """`registry copy RUN --to REMOTE --follow` for each remote. Start it, go on, and `finish` at the end."""

    def __init__(self, address: str = "", run_id: str = "", remotes: Sequence[str] = ()) -> None:
        self._run_id = run_id
        self._problems: list[str] = []
        self._copying: dict[str, subprocess.Popen[bytes]] = {}
        command = [sys.executable, "-P", "-m", "registry", "--db", address, "-q", "copy", run_id, "--follow", "--to"]
        for remote in remotes:
            try:
                process = subprocess.Popen(
                    [*command, remote], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, start_new_session=True
                )
                self._copying[remote] = process
                _lower(process.pid)
            except OSError as error:
                self._problems.append(f"copying to {remote} could not be started: {error.strerror}")

    def finish(self, tell: Callable[[str], None]) -> list[str]:
        """Wait until all that was recorded is copied; returns a line for each remote where some of it is not.

        KeyboardInterrupt ends the copying in good order; what was done by then stays done.
        """
        try:
            self._wait(tell)
        except KeyboardInterrupt:
            for process in self._copying.values():
                process.send_signal(signal.SIGINT)
            for process in self._copying.values():
                process.wait()
            tell(f"copying was interrupted; go on with: {self._again(*self._copying)}")
            raise
        lacking = [remote for remote, process in self._copying.items() if process.returncode]
        return [
            *self._problems,
            *(f"not all of it has a verified copy on {remote}; try again: {self._again(remote)}" for remote in lacking),
        ]

    def _wait(self, tell: Callable[[str], None]) -> None:
        told = False
        for remote, process in self._copying.items():
            try:
                process.wait(0.0 if told else PATIENCE_S)
            except subprocess.TimeoutExpired:
                tell(f"run {self._run_id} has ended; copying the rest of it to {remote} (Ctrl-C stops that)")
                told = True
                process.wait()

    def _again(self, *remotes: str) -> str:
        return "; ".join(f"registry copy {self._run_id} --to {remote}" for remote in remotes)

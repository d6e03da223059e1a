"""`registry run -- CMD`: any command becomes a run. Its output reaches the terminal unchanged and `output.log`, its
signals and exit code are passed on, and the artifacts it declared are hashed when it is done.
"""

import errno
import fcntl
import glob
import os
import pty
import signal
import struct
import subprocess
import sys
import termios
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import BinaryIO

from registry import events, places
from registry.copy_along import CopyAlong, require_remotes
from registry.errors import HoldfastError, NotFoundError, UsageError
from registry.hashing import stat_token
from registry.run import Run
from registry.starting import describe_start, new_run_id, start_run

_FORWARDED = {
    signal.SIGINT,
    signal.SIGTERM,
    signal.SIGHUP,
    signal.SIGQUIT,
    signal.SIGUSR1,
    signal.SIGUSR2,
    signal.SIGCONT,
}
_WAITED = _FORWARDED | {signal.SIGCHLD, signal.SIGWINCH}
_SENT_BY_KERNEL = 0x80
_LOOK_INTERVAL_S = 0.5
_STILL_S = 2.0
"""A file that a glob names is taken for whole when it was the same for so long and nobody has it open for writing."""
_BLOCK_BYTES = 1 << 16
EVIDENCE_BYTES = 4_096


@dataclass(frozen=True)
class Declared:
    """What a wrapped command is said to be: names, inputs, the files it will leave behind."""

    command: list[str]
    name: str | None = None
    experiment: str = "default"
    params: dict[str, object] = field(default_factory=dict)
    suite: tuple[str, str] | None = None
    artifacts: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    allow_data: str = ""
    tags: tuple[str, ...] = ()
    parent: str | None = None
    roots: tuple[str, ...] = ()
    cost_per_hour: float | None = None
    copy_to: tuple[str, ...] = ()


@dataclass(frozen=True)
class Outcome:
    """How it went: the run, the exit code to pass on, what could not be kept of what was declared, and the copying
    that may still go on."""

    run_id: str
    exit_code: int
    problems: tuple[str, ...]
    copying: CopyAlong = field(default_factory=CopyAlong)


def run_command(address: str, declared: Declared) -> Outcome:
    """Run the command as a recorded run of the registry at `address` and return how it went.

    With `copy_to`, what the artifact globs name is recorded as soon as it holds still, and copied in the background.
    Raises UsageError when there is no command, NotFoundError for a remote that is not known, or when the command
    cannot be started (the run is recorded failed).
    """
    if not declared.command:
        raise UsageError("no command to run", hint="registry run -- python train.py")
    for pattern in declared.artifacts:
        split_role(pattern)
    require_remotes(address, declared.copy_to)
    old_mask = signal.pthread_sigmask(signal.SIG_BLOCK, _WAITED)
    try:
        run = _open_run(address, declared)
        return _supervise(run, address, declared, old_mask)
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, old_mask)


def _open_run(address: str, declared: Declared) -> Run:
    run_id = new_run_id()
    start = describe_start(
        run_id,
        name=declared.name or os.environ.get("REGISTRY_RUN_NAME") or default_name(declared.command),
        experiment=declared.experiment,
        command=declared.command,
        params=declared.params,
        tags=declared.tags,
        parent=declared.parent,
        cost_per_hour=declared.cost_per_hour,
        roots=[*declared.roots, *(fixed_part(split_role(pattern)[1]) for pattern in declared.artifacts)],
    )
    run = start_run(address, start)
    if declared.suite:
        run._append(events.Gates(at=time.time(), suite=declared.suite[0], text=declared.suite[1]))
    for reference in declared.datasets:
        run.use_dataset(reference, allow=declared.allow_data)
    return run


def default_name(command: Sequence[str]) -> str:
    """Return a name for a command: its script rather than its interpreter."""
    if len(command) == 1:
        return Path(command[0]).name
    script = next((word for word in command[1:] if not word.startswith("-") and " " not in word), command[0])
    return Path(script).stem or Path(command[0]).name


def fixed_part(pattern: str) -> Path:
    """Return the folder of a glob before its first wildcard."""
    parts: list[str] = []
    for part in Path(pattern).parts[:-1]:
        if any(letter in part for letter in "*?["):
            break
        parts.append(part)
    return Path(*parts) if parts else Path()


# --- the process


def _supervise(run: Run, address: str, declared: Declared, old_mask: set[int | signal.Signals]) -> Outcome:
    environment = {**os.environ, "REGISTRY_RUN_ID": run.id, "REGISTRY_DB": _absolute(address)}
    with open(run.folder / places.OUTPUT_NAME, "ab", buffering=0) as kept:
        streams = _streams()
        try:
            process = subprocess.Popen(
                declared.command,
                stdout=streams.child_out,
                stderr=streams.child_err,
                env=environment,
                preexec_fn=lambda: signal.pthread_sigmask(signal.SIG_SETMASK, old_mask),
            )
        except OSError as error:
            streams.close()
            run.finish("failed", exit_code=127, evidence=f"cannot start {declared.command[0]}: {error.strerror}")
            raise NotFoundError(
                f"cannot start {declared.command[0]!r}: {error.strerror}", hint="is it installed, and on PATH?"
            ) from None
        pumps = streams.start(kept)
        copying = CopyAlong(_absolute(address), run.id, declared.copy_to)
        watch = CheckpointWatch(run, declared.artifacts) if declared.copy_to else None
        code = _wait(process, streams)
        for pump in pumps:
            pump.join()
    if watch:
        watch.finish()
    problems = keep_artifacts(run, declared.artifacts)
    status, evidence = _ending(code, run.folder / places.OUTPUT_NAME)
    run.finish(status, exit_code=code if code >= 0 else 128 - code, evidence=evidence)
    passed_on = code if code >= 0 else 128 - code
    return Outcome(run.id, passed_on or (1 if problems else 0), tuple(problems), copying)


def _absolute(address: str) -> str:
    """Return the registry's address as a command finds it from any folder."""
    return address if places.is_server(address) else str(Path(address).expanduser().resolve())


def _wait(process: "subprocess.Popen[bytes]", streams: "_Streams") -> int:
    """Pass signals on until the process has ended; returns its return code (negative: the signal that ended it).

    A thread that does not block SIGCHLD may swallow it, so the process is looked at now and then too.
    """
    while True:
        info = signal.sigtimedwait(_WAITED, _LOOK_INTERVAL_S)
        number = signal.Signals(info.si_signo) if info else signal.SIGCHLD
        if info is None or number == signal.SIGCHLD:
            if process.poll() is not None:
                return process.returncode
        elif number == signal.SIGWINCH:
            streams.resize()
        elif not (info.si_code == _SENT_BY_KERNEL and number in (signal.SIGINT, signal.SIGQUIT)):
            process.send_signal(number)


def _ending(code: int, output: Path) -> tuple[str, str]:
    """Return the status and the evidence of a return code."""
    if code == 0:
        return "finished", "exit code 0"
    if code < 0:
        return "killed", f"signal {signal.Signals(-code).name}"
    said = last_line(output)
    return "failed", f"exit code {code}" + (f": {said}" if said else "")


def last_line(output: Path) -> str:
    """Return the last line with words in it of an output file, "" when there is none."""
    with open(output, "rb") as file:
        size = file.seek(0, os.SEEK_END)
        file.seek(max(0, size - EVIDENCE_BYTES))
        lines = file.read().decode("utf-8", "replace").replace("\r", "\n").splitlines()
    return next((line.strip()[:300] for line in reversed(lines) if line.strip()), "")


class _Streams:
    """The child's stdout and stderr: a pseudo-terminal when ours is one (so progress bars live), else two pipes."""

    def __init__(self, sources: list[tuple[int, int]], child_out: int, child_err: int, *, terminal: bool) -> None:
        self.sources, self.child_out, self.child_err, self.terminal = sources, child_out, child_err, terminal

    def start(self, kept: BinaryIO) -> list[threading.Thread]:
        """Close the child's ends and begin to copy what it says."""
        for descriptor in {self.child_out, self.child_err}:
            os.close(descriptor)
        pumps = [threading.Thread(target=_pump, args=(*source, kept), daemon=True) for source in self.sources]
        for pump in pumps:
            pump.start()
        return pumps

    def resize(self) -> None:
        """Give the child's terminal the size of ours."""
        if self.terminal:
            _copy_window_size(self.sources[0][0])

    def close(self) -> None:
        """Give every descriptor back (nothing was started)."""
        for descriptor in {self.child_out, self.child_err, *(source for source, _ in self.sources)}:
            os.close(descriptor)


def _streams() -> _Streams:
    if sys.stdout.isatty() and sys.stderr.isatty():
        ours, childs = pty.openpty()
        attributes = termios.tcgetattr(childs)
        attributes[1] &= ~termios.OPOST
        termios.tcsetattr(childs, termios.TCSANOW, attributes)
        _copy_window_size(ours)
        return _Streams([(ours, 1)], childs, childs, terminal=True)
    out_read, out_write = os.pipe()
    err_read, err_write = os.pipe()
    return _Streams([(out_read, 1), (err_read, 2)], out_write, err_write, terminal=False)


def _copy_window_size(descriptor: int) -> None:
    try:
        size = fcntl.ioctl(sys.stdout.fileno(), termios.TIOCGWINSZ, struct.pack("HHHH", 0, 0, 0, 0))
        fcntl.ioctl(descriptor, termios.TIOCSWINSZ, size)
    except OSError:
        pass


def _pump(source: int, target: int, kept: BinaryIO) -> None:
    """Copy until the end; a terminal that went away, or a full disk, never stops the child."""
    targets: list[Callable[[bytes], object]] = [lambda block: _write_all(target, block), kept.write]
    while True:
        try:
            block = os.read(source, _BLOCK_BYTES)
        except OSError as error:
            if error.errno != errno.EIO:
                raise
            block = b""
        if not block:
            break
        for write in list(targets):
            try:
                write(block)
            except OSError:
                targets.remove(write)
    os.close(source)


def _write_all(descriptor: int, block: bytes) -> None:
    view = memoryview(block)
    while view:
        view = view[os.write(descriptor, view) :]


# --- what it leaves behind


def split_role(pattern: str) -> tuple[str | None, str]:
    """Return the role and the glob of `ROLE=GLOB`, or None and the glob. Raises UsageError for an empty glob."""
    role, equals, rest = pattern.partition("=")
    if equals and role in events.ROLES:
        pattern = rest
    else:
        role = ""
    if not pattern:
        raise UsageError("an empty --artifact", hint="write --artifact 'checkpoints/*.pt' or --artifact best=FILE")
    return role or None, pattern


def role_of(path: Path) -> str:
    """Return the role that a file's name tells: best, last, log, config, report, else checkpoint."""
    name = path.name.lower()
    for role in ("best", "last"):
        if role in name:
            return role
    by_suffix = {
        ".log": "log", ".txt": "log", ".yaml": "config", ".yml": "config", ".toml": "config", ".json": "config",
        ".md": "report", ".html": "report", ".pdf": "report",
    }  # fmt: skip
    return by_suffix.get(path.suffix.lower(), "checkpoint")


def keep_artifacts(run: Run, patterns: Sequence[str]) -> list[str]:
    """Hash and record what the patterns name; returns one line for each that could not be kept."""
    problems = []
    for pattern in patterns:
        role, wanted = split_role(pattern)
        paths = sorted(glob.glob(wanted, recursive=True))
        if not paths:
            problems.append(f"--artifact {wanted}: nothing there, so nothing was kept")
        for path in map(Path, paths):
            try:
                run.log_artifact(path, role or role_of(path))
            except HoldfastError as error:
                problems.append(f"--artifact {wanted}: {error}")
    for problem in problems:
        run.note(problem, level="warning")
    return problems


class CheckpointWatch:
    """Records what globs name while the command goes on: each file or folder once it holds still."""

    def __init__(self, run: Run, patterns: Sequence[str]) -> None:
        self._run = run
        self._patterns = patterns
        self._seen: dict[Path, object] = {}
        self._recorded: dict[Path, tuple[str, object]] = {}
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="checkpoints", daemon=True)
        self._thread.start()

    def finish(self) -> None:
        """Stop looking; what rolled out of a glob, for newer files that are there, needs no copy any more."""
        self._over.set()
        self._thread.join()
        there = {pattern for path, (pattern, _) in self._recorded.items() if os.path.lexists(path)}
        for path, (pattern, _) in self._recorded.items():
            if pattern in there and not os.path.lexists(path):
                self._run.log_removed(path)

    def _work(self) -> None:
        while not self._over.wait(_STILL_S):
            for pattern in self._patterns:
                role, wanted = split_role(pattern)
                for path in map(Path, sorted(glob.glob(wanted, recursive=True))):
                    self._look(path, role or role_of(path), pattern)

    def _look(self, path: Path, role: str, pattern: str) -> None:
        before, now = self._seen.get(path), _appearance(path)
        self._seen[path] = now
        if now is None or now != before or self._recorded.get(path) == (pattern, now):
            return
        try:
            self._run.log_artifact(path, role)
        except (HoldfastError, OSError):
            return  # it is looked at again, and told at the end if it still cannot be kept
        self._recorded[path] = (pattern, now)


def _appearance(path: Path) -> object:
    """Return what changes when a file, or any file of a folder, is written; None when it cannot be told."""
    try:
        files = [path, *sorted(path.rglob("*"))] if path.is_dir() else [path]
        return [(str(file), stat_token(file.lstat())) for file in files]
    except OSError:
        return None

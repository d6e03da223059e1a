"""A command on a worker of a cluster: there `registry run` itself records it, in the registry's folder, which workers
must share (one machine, or a network file system). Ray and Slurm differ only in how the worker comes about.
"""

import ctypes
import json
import os
import signal
import socket
import subprocess
import sys
from functools import partial
from pathlib import Path

from registry import events, places
from registry.errors import HoldfastError
from registry.wrapper import Declared

_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1


def shared_address(address: str) -> str:
    """Return the registry's address as every worker finds it."""
    return address if places.is_server(address) else str(Path(address).resolve())


def run_words(address: str, declared: Declared) -> list[str]:
    """Return the arguments of `registry` on the worker: `run` with everything that was declared."""
    words = ["--db", address, "run", "--experiment", declared.experiment]
    words += ["--name", declared.name] if declared.name else []
    words += ["--gates", str(_suite_file(address, *declared.suite))] if declared.suite else []
    words += [word for text in declared.artifacts for word in ("--artifact", text)]
    words += [word for text in declared.datasets for word in ("--dataset", text)]
    words += ["--allow-data", declared.allow_data] if declared.allow_data else []
    words += [word for text in declared.tags for word in ("--tag", text)]
    words += [word for root in declared.roots for word in ("--root", root)]
    words += [word for key, value in declared.params.items() for word in ("--param", f"{key}={json.dumps(value)}")]
    words += [word for remote in declared.copy_to for word in ("--copy-to", remote)]
    words += ["--cost-per-hour", str(declared.cost_per_hour)] if declared.cost_per_hour is not None else []
    return [*words, "--", *declared.command]


def _suite_file(address: str, name: str, text: str) -> Path:
    """Write a gate suite where the worker finds it, and return the file."""
    path = places.root_folder(address) / ".holdfast" / f"{name}.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def work(words: list[str], cwd: str, warning: signal.Signals | None = None) -> tuple[int, str, int]:
    """Run `registry …` on the worker; returns its exit code, and the host and the pid that its run will name.

    The process gets SIGTERM when the worker that began it is gone, or is warned with the signal `warning`.
    """
    environment = {key: value for key, value in os.environ.items() if key != "REGISTRY_RUN_ID"}
    process = subprocess.Popen(
        [sys.executable, "-m", "registry", *words],
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        preexec_fn=partial(end_with_parent, signal.SIGTERM),
    )
    if warning is not None:
        signal.signal(warning, lambda *_: process.terminate())
    return process.wait(), socket.gethostname(), process.pid


def end_with_parent(number: signal.Signals) -> None:
    """Ask the kernel to send this process a signal when the thread that began it is gone; for `preexec_fn`."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, number)


def find_run(address: str, declared: Declared, since: float, host: str | None = None, pid: int | None = None) -> str:
    """Return the id of the newest run of this command that began `since`, by this process where it is known.

    Raises HoldfastError when there is none.
    """
    newest: tuple[float, str] | None = None
    for path in places.runs_folder(address).glob(f"*/{places.JOURNAL_NAME}"):
        if path.stat().st_mtime < since:
            continue
        with open(path, "rb") as file:
            line = file.readline()
        if not line.startswith(b'{"t":"start"'):
            continue
        start = events.decode(line)
        if not isinstance(start, events.Start) or start.command != declared.command or start.at < since:
            continue
        theirs = pid is None or (start.host.get("name"), start.host.get("pid")) == (host, pid)
        if theirs and (newest is None or start.at > newest[0]):
            newest = (start.at, start.run)
    if newest is None:
        raise HoldfastError("the worker recorded no run", hint="workers must share the registry's folder")
    return newest[1]

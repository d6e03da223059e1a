"""Which process on which machine wrote a run, and whether it still lives. Standard library only."""

import os
import platform
import socket
from pathlib import Path
from typing import Any


def _read(path: str) -> str:
    try:
        return Path(path).read_text().strip()
    except OSError:
        return ""


def _process_started(pid: int) -> str:
    """Return the kernel's start time of a process (clock ticks since boot), "" when there is none."""
    stat = _read(f"/proc/{pid}/stat")
    fields = stat.rpartition(")")[2].split()
    if len(fields) < 20 or fields[0] in ("Z", "X"):
        return ""
    return fields[19]


def _pid_namespace() -> str:
    try:
        return os.readlink("/proc/self/ns/pid")
    except OSError:
        return ""


def this_process(pid: int | None = None) -> dict[str, Any]:
    """Return what identifies a process of this machine for as long as the machine is up."""
    pid = pid or os.getpid()
    return {
        "name": socket.gethostname(),
        "pid": pid,
        "pid_started": _process_started(pid),
        "pid_namespace": _pid_namespace(),
        "boot_id": _read("/proc/sys/kernel/random/boot_id"),
        "platform": platform.platform(),
        "python": platform.python_version(),
    }


def is_alive(host: dict[str, Any]) -> bool | None:
    """Return whether the process that `this_process` described lives; None when that cannot be told from here."""
    here = this_process()
    if not host.get("boot_id") or host.get("name") != here["name"]:
        return None
    if host["boot_id"] != here["boot_id"]:
        return False
    if host.get("pid_namespace") != here["pid_namespace"]:
        return None
    return bool(host.get("pid_started")) and _process_started(int(host["pid"])) == host["pid_started"]

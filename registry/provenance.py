"""Where a run came from: git state, device, environment names. Never the values of environment variables."""

import os
import subprocess
from pathlib import Path
from typing import Any

_GIT_TIMEOUT_S = 5.0
_OURS = ("REGISTRY_", "PATH", "HOME", "PWD", "OLDPWD", "SHLVL", "_", "TERM")


def _git(cwd: Path, *arguments: str) -> str | None:
    try:
        done = subprocess.run(
            ["git", "-C", str(cwd), *arguments],
            capture_output=True,
            text=True,
            timeout=_GIT_TIMEOUT_S,
            stdin=subprocess.DEVNULL,
            env={**os.environ, "GIT_OPTIONAL_LOCKS": "0"},
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() if done.returncode == 0 else None


def git_state(cwd: Path) -> dict[str, Any] | None:
    """Return `{commit, branch, dirty}` of the working tree around `cwd`; None outside git or before a first commit.

    `dirty` is None when git did not answer in time.
    """
    commit = _git(cwd, "rev-parse", "HEAD")
    if commit is None:
        return None
    changes = _git(cwd, "status", "--porcelain", "--untracked-files=no")
    return {
        "commit": commit,
        "branch": _git(cwd, "rev-parse", "--abbrev-ref", "HEAD") or "",
        "dirty": None if changes is None else bool(changes),
    }


def device() -> dict[str, Any]:
    """Return what the machine computes on, from what the system itself says (no torch needed)."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    described: dict[str, Any] = {"cpu": _cpu_name(), "cores": cores}
    gpus = sorted(Path("/proc/driver/nvidia/gpus").glob("*/information"))
    if gpus:
        described["gpus"] = [_gpu_name(path) for path in gpus]
    return described


def _cpu_name() -> str:
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return "unknown"


def _gpu_name(information: Path) -> str:
    for line in information.read_text(errors="replace").splitlines():
        if line.startswith("Model:"):
            return line.partition(":")[2].strip()
    return "NVIDIA GPU"


def environment_names() -> list[str]:
    """Return the names (never the values) of the environment variables that a run could have read."""
    return sorted(name for name in os.environ if not name.startswith(_OURS))

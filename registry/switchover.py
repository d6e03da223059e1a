"""Hand a verified file to what serves it: run the target's command, then wait until its health address answers.

Whatever goes wrong raises before anything is recorded, so the previous deployment stands.
"""

import os
import signal
import subprocess
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path

POLL_INTERVAL_S = 0.2
_TAIL_CHARACTERS = 300


class SwitchFailedError(Exception):
    """The command or the health check did not succeed."""


@dataclass(frozen=True)
class Switch:
    """What is to be done: a shell command, and an address that must answer with success; None for neither."""

    command: str | None
    timeout_s: float
    health_url: str | None
    health_timeout_s: float
    environment: dict[str, str] = field(default_factory=dict)
    cwd: Path = Path()


def switch(wanted: Switch) -> str:
    """Do it and return the health: `ok`, or `unknown` when there is no address to ask. Raises SwitchFailedError."""
    if wanted.command:
        _run(wanted)
    if wanted.health_url is None:
        return "unknown"
    _wait_for_health(wanted.health_url, wanted.health_timeout_s)
    return "ok"


def _run(wanted: Switch) -> None:
    assert wanted.command is not None
    process = subprocess.Popen(
        wanted.command,
        shell=True,
        cwd=wanted.cwd,
        env={**os.environ, **wanted.environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )
    try:
        said, _ = process.communicate(timeout=wanted.timeout_s)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise SwitchFailedError(f"`{wanted.command}` did not end within {wanted.timeout_s:g} s") from None
    if process.returncode != 0:
        tail = " ".join(said.decode("utf-8", "replace").split())[-_TAIL_CHARACTERS:]
        raise SwitchFailedError(f"`{wanted.command}` ended with {process.returncode}{f': {tail}' if tail else ''}")


def _wait_for_health(url: str, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while True:
        problem = _ask(url)
        if problem is None:
            return
        if time.monotonic() >= deadline:
            raise SwitchFailedError(f"{url} was not healthy within {timeout_s:g} s: {problem}")
        time.sleep(POLL_INTERVAL_S)


def _ask(url: str) -> str | None:
    """Return None when the address answers with success, else what it said."""
    if not url.startswith(("http://", "https://")):
        raise SwitchFailedError(f"health_url {url!r} is no http address")
    try:
        with urllib.request.urlopen(url, timeout=5.0) as answer:
            return None if 200 <= answer.status < 300 else f"status {answer.status}"
    except urllib.error.HTTPError as error:
        return f"status {error.code}"
    except (OSError, ValueError) as error:
        return str(getattr(error, "reason", error))


def check_health(url: str | None) -> str:
    """Return `ok`, `failing` or `unknown` (no address) for what serves now."""
    if url is None:
        return "unknown"
    return "ok" if _ask(url) is None else "failing"

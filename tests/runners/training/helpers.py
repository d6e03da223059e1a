"""What the tests of trainings ask of a run's folder."""

import hashlib
import os
import signal
from pathlib import Path

from registry import events
from registry.places import JOURNAL_NAME
from runners.training.loop import Loop


def journal(folder: Path) -> list[events.AnyEvent]:
    """Return every event of a run."""
    return [events.decode(line) for line in (folder / JOURNAL_NAME).read_bytes().splitlines()]


def of_kind(folder: Path, kind: type) -> list:
    """Return the events of one kind."""
    return [event for event in journal(folder) if isinstance(event, kind)]


def digest(path: Path) -> str:
    """Return the sha256 of a file."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def recorded_digest(folder: Path, role: str) -> str:
    """Return the digest under which the newest artifact of a role was recorded."""
    return next(event.digest for event in reversed(of_kind(folder, events.Artifact)) if event.role == role)


def stop_at(step: int, monkeypatch) -> None:
    """Send this process SIGTERM while a training makes a step."""

    def show(loop: Loop, text: str) -> None:
        if loop.current == step:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Loop, "show", show)

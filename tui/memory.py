"""What the dashboard remembers between sessions, per registry: columns, order, groups, theme. It is a person's
own, so it lies in their state folder, not beside the record; when it cannot be read or written, all works without it.
"""

import json
import os
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

FILE_NAME = "dashboard.json"


@dataclass(frozen=True)
class Memory:
    """What is remembered of one registry."""

    columns: tuple[str, ...] = ()
    sort_by: str = "started"
    descending: bool | None = None
    group: str = ""
    theme: str = ""


def state_file() -> Path:
    """Return where it lies: $XDG_STATE_HOME/holdfast, by default ~/.local/state/holdfast."""
    state = os.environ.get("XDG_STATE_HOME")
    return (Path(state) if state else Path.home() / ".local" / "state") / "holdfast" / FILE_NAME


def _read_all(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def recall(url: str) -> Memory:
    """Return what is remembered of a registry, the defaults where there is nothing or it makes no sense."""
    stored = _read_all(state_file()).get(url)
    if not isinstance(stored, dict):
        return Memory()
    columns = stored.get("columns")
    kept = {
        field.name: stored[field.name]
        for field in fields(Memory)
        if field.name != "columns" and isinstance(stored.get(field.name), str | bool)
    }
    named = tuple(key for key in columns if isinstance(key, str)) if isinstance(columns, list) else ()
    return Memory(columns=named, **kept)


def remember(url: str, memory: Memory) -> bool:
    """Remember it; a crash leaves the old file or the new one. Returns False when it cannot be written."""
    path = state_file()
    everything = {**_read_all(path), url: asdict(memory)}
    draft = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        draft.write_text(json.dumps(everything, indent=1))
        draft.replace(path)
    except OSError:
        return False
    return True

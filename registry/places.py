"""Where things are: the registry's address, its root folder, the journals. Standard library only, so it is quick."""

import os
import re
from pathlib import Path

from registry.errors import UsageError

DATABASE_NAME = "runs.db"
JOURNAL_NAME = "journal.jsonl"
OUTPUT_NAME = "output.log"


def nearest_database(start: Path | None = None) -> Path | None:
    """Return the nearest existing `runs.db` in `start` or a folder above it, or None."""
    folder = (start or Path.cwd()).resolve()
    for candidate in (folder, *folder.parents):
        path = candidate / DATABASE_NAME
        if path.is_file():
            return path
    return None


def registry_url(explicit: str | None = None) -> str:
    """Return the registry's address: explicit, else REGISTRY_DB, else the nearest runs.db upward, else ./runs.db.

    A plain path stays a path; anything with `://` is a database URL.
    """
    chosen = explicit or os.environ.get("REGISTRY_DB")
    if chosen:
        return chosen.removeprefix("sqlite:///")
    return str(nearest_database() or Path.cwd() / DATABASE_NAME)


def is_server(url: str) -> bool:
    """Return whether `url` names a database server rather than a file."""
    return "://" in url


def root_folder(url: str) -> Path:
    """Return the folder that holds `runs/` and `registry.toml`: beside runs.db, or the working folder for a server."""
    if is_server(url):
        return Path(os.environ.get("REGISTRY_ROOT") or Path.cwd()).resolve()
    return Path(url).expanduser().resolve().parent


def runs_folder(url: str) -> Path:
    """Return the folder in which each run has its own folder with a journal."""
    return root_folder(url) / "runs"


def folder_name(name: str, run_id: str) -> str:
    """Return the name of a run's folder: what the file system takes of the run's name, and the id."""
    safe = re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._-")[:80] or "run"
    return f"{safe}-{run_id}"


def find_run_folder(runs: Path, run_id: str) -> Path | None:
    """Return the folder of the run with this id below `runs`, or None."""
    if not re.fullmatch(r"[0-9a-z]{4,32}", run_id):
        raise UsageError(f"not a run id: {run_id!r}", hint="an id is hexadecimal digits, as `registry ls` shows them")
    return next((path for path in sorted(runs.glob(f"*-{run_id}")) if path.is_dir()), None)

"""Where things are: the registry's address, its root folder, the journals. Standard library only, so it is quick."""

import os
from pathlib import Path

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

"""What exported runs are called on a disk."""

import re

from registry.exporters.rows import ExportedRun


def folder_name(run: ExportedRun) -> str:
    """Return a name for a run's folder: what a file system takes of its name, and its id."""
    safe = re.sub(r"[^A-Za-z0-9._-]+", "_", run.row.name).strip("._-")[:80] or "run"
    return f"{safe}-{run.row.id}"

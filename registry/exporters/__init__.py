"""Runs leave the registry: tables for people, files for programs, stores for other trackers.

Exporting never writes to the registry, and a value leaves as it was recorded.
"""

import os
import tempfile
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from sqlmodel import Session

from registry.database import Database
from registry.errors import UsageError
from registry.exporters.jsons import to_json, to_jsonl
from registry.exporters.mlflow import to_mlflow
from registry.exporters.rows import ExportedRun, exported_runs
from registry.exporters.tables import to_csv, to_latex, to_markdown
from registry.exporters.tfevents import to_tfevents

Texts = Callable[[Iterable[ExportedRun]], Iterator[str]]
TEXTS: dict[str, Texts] = {
    "json": to_json,
    "jsonl": to_jsonl,
    "csv": to_csv,
    "md": to_markdown,
    "tex": to_latex,
}
STORES = {"tfevents": to_tfevents, "mlflow": to_mlflow}


def export_text(session: Session, run_ids: list[str], target: str) -> Iterator[str]:
    """Yield runs as text of one of the kinds in TEXTS, part by part."""
    return TEXTS[target](exported_runs(session, run_ids))


def export_store(db: Database, run_ids: list[str], target: str, path: Path) -> None:
    """Write runs as another tracker's store: a folder of event files, or an MLflow database. Raises UsageError."""
    try:
        with db.read() as session:
            STORES[target](exported_runs(session, run_ids), path)
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from None


def export_file(db: Database, run_ids: list[str], target: str, path: Path) -> None:
    """Write runs to a file; it is there whole or not at all. Raises UsageError when it cannot be written."""
    try:
        descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    except OSError as error:
        raise UsageError(f"cannot write {path}: {error.strerror}") from None
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8", newline="") as file, db.read() as session:
            for part in export_text(session, run_ids, target):
                file.write(part)
        Path(name).chmod(0o644)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise

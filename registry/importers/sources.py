"""`registry import SOURCE`: which kind of source it is, and what comes of it."""

from dataclasses import dataclass, field, replace
from pathlib import Path

from registry.database import Database
from registry.errors import NotFoundError, UsageError
from registry.importers import Importer, Recorded, record
from registry.importers.folders import import_folder, points_by_run
from registry.importers.markdown import MarkdownImporter, explain, understand
from registry.importers.mlflow_database import MlflowDatabase
from registry.importers.stores import is_sqlite
from registry.importers.trackio import Trackio
from registry.ingest.preview import scratch_registry
from registry.settings import Settings

FOLDER = "logs"


@dataclass
class Imported:
    """What came of one source: its kind, its runs, and (for a dry run of a report) what was understood of it."""

    source: Path
    kind: str
    runs: list[Recorded] = field(default_factory=list)
    explanation: list[str] = field(default_factory=list)


def importers() -> list[Importer]:
    """Return the importers, in the order in which they are asked; the report comes last, it takes any text."""
    return [MlflowDatabase(), Trackio(), MarkdownImporter()]


def import_source(db: Database, source: Path) -> Imported:
    """Record the runs of one source.

    Raises NotFoundError when it is not there, UsageError when it holds no runs of a kind that is known.
    """
    importer = _importer_of(source)
    runs = import_folder(db, source) if importer is None else record(db, importer.read(source))
    return Imported(source, FOLDER if importer is None else importer.name, _some(source, runs))


def foresee_source(known: Database | None, source: Path, settings: Settings) -> Imported:
    """Return what `import_source` would record beside what `known` holds; only a scratch registry is written.

    Raises as `import_source` does.
    """
    importer = _importer_of(source)
    with scratch_registry(settings) as scratch:
        imported = import_source(scratch, source)
    points = {} if known is None else points_by_run(known)
    imported.runs = [replace(run, verdict=_verdict(points.get(run.run_id), run.n_points)) for run in imported.runs]
    if isinstance(importer, MarkdownImporter):
        imported.explanation = explain(understand(source))
    return imported


def _verdict(n_known: int | None, n_points: int) -> str:
    return "new" if n_known is None else "unchanged" if n_known == n_points else "changed"


def _importer_of(source: Path) -> Importer | None:
    """Return the importer of a file, None for a folder or a log, which the engine reads."""
    if not source.exists():
        raise NotFoundError(f"no file or folder {source}")
    if source.is_dir():
        return None
    importer = next((one for one in importers() if one.recognises(source)), None)
    if importer is None and is_sqlite(source):
        raise UsageError(f"{source} is a database, but neither MLflow's nor trackio's")
    return importer


def _some(source: Path, runs: list[Recorded]) -> list[Recorded]:
    if not runs:
        hint = f"`registry watch --preview {source}` shows why"
        raise UsageError(f"{source} holds no runs that are known here", hint=hint)
    return runs

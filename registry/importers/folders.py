"""Folders and files of other tools' runs: the log engine reads them, and what they point to is hashed.

MLflow's `mlruns/`, W&B's run folders, event files, DVCLive, Sacred, Trainer states, Lightning, Ultralytics, CSV.
"""

import json
import re
from pathlib import Path

from sqlmodel import Session, select

from registry import events
from registry.database import Database
from registry.importers import ForeignFile, Recorded, hash_files
from registry.importers.mlflow_database import local_path, role_of
from registry.ingest.engine import Engine
from registry.ingest.group import Candidate
from registry.projection import Projector
from registry.tables import LogCursor, MetricSeries, Note, RunRow

_CHECKPOINT = re.compile(r"checkpoint-(\d+)")
_STEPS = (re.compile(r"(?:step|iter)[=_-]?(\d+)", re.IGNORECASE), re.compile(r"epoch[=_-]?(\d+)", re.IGNORECASE))
_WEIGHTS = frozenset({"ckpt", "pt", "pth", "safetensors", "bin", "h5", "keras", "onnx", "pdparams", "npz", "joblib"})
_FOLDERS = ("checkpoints", "weights", "artifacts", "models", "")


def import_folder(db: Database, source: Path) -> list[Recorded]:
    """Record the runs below `source`; asked again, only what is new is added. Raises NotFoundError."""
    engine = Engine(db, source="import")
    before = points_by_run(db)
    look = engine.look([source], settle=True)
    recorded = []
    for candidate, run_id in engine.found([source]):
        with db.write(durable=False) as session:
            recorded.append(_record_files(session, db, candidate, run_id, before, is_new=run_id in look.new_runs))
    return recorded


def points_by_run(db: Database) -> dict[str, int]:
    """Return how many points each run has."""
    with db.read() as session:
        found = dict.fromkeys(session.exec(select(RunRow.id)), 0)
        for run_id, count in session.exec(select(MetricSeries.run_id, MetricSeries.count)):
            found[run_id] += count
        return found


def _record_files(
    session: Session, db: Database, candidate: Candidate, run_id: str, before: dict[str, int], *, is_new: bool
) -> Recorded:
    """Hash what a run points to, record what is new of it, and say what is missing."""
    row = session.get(RunRow, run_id)
    assert row is not None
    at = row.started_at or 0.0
    artifacts, missing = hash_files(_files(candidate, _pointers(session, candidate)), at)
    said = set(session.exec(select(Note.text).where(Note.run_id == run_id)))
    notes = [events.Note(at=at, level="warning", text=f"missing: {one}") for one in missing]
    projector = Projector(session, is_sqlite=db.is_sqlite)
    projector.apply(run_id, [*artifacts, *(note for note in notes if note.text not in said)])
    projector.flush()
    counts = select(MetricSeries.count).where(MetricSeries.run_id == run_id)
    n_points = sum(session.exec(counts))
    verdict = "new" if is_new else "changed" if n_points != before.get(run_id, 0) else "unchanged"
    return Recorded(candidate.foreign_id, run_id, row.name, verdict, n_points, len(artifacts), missing)


def _pointers(session: Session, candidate: Candidate) -> list[ForeignFile]:
    """Return the files that the run's own documents name."""
    found = []
    for state in session.exec(select(LogCursor.state).where(LogCursor.candidate == candidate.key)):
        for role, place, step in json.loads(state).get("facts", {}).get("pointers", []):
            path = local_path(place)
            if path is not None:
                found.append(ForeignFile(path if path.is_absolute() else Path(candidate.key, path), role, step))
    return found


def _files(candidate: Candidate, pointed: list[ForeignFile]) -> list[ForeignFile]:
    """Return what a run's folder holds by custom (checkpoints, weights, artifacts), and what its documents point to.

    An artifact folder that moved along with the run is taken where it is now.
    """
    home = Path(candidate.key)
    found: dict[Path, ForeignFile] = {}
    for folder in _FOLDERS:
        place = home / folder
        if place.is_dir():
            for path in sorted(place.iterdir()):
                if not path.is_symlink() and (file := _file(path, folder)) is not None:
                    found[path] = file
    for file in pointed:
        beside = home / file.path.name
        moved_here = beside != file.path and beside.exists()
        listed = any(known.is_relative_to(file.path) for known in found)
        if not moved_here and not listed:
            found[file.path] = file
    return list(found.values())


def _file(path: Path, folder: str) -> ForeignFile | None:
    name = path.name
    if path.is_dir():
        checkpoint = _CHECKPOINT.fullmatch(name)
        if checkpoint:
            return ForeignFile(path, "checkpoint", int(checkpoint[1]))
        return ForeignFile(path, role_of(name)) if folder == "artifacts" and any(path.iterdir()) else None
    if path.suffix.lstrip(".").lower() not in _WEIGHTS and folder != "artifacts":
        return None
    step = next((found for pattern in _STEPS if (found := pattern.search(name))), None)
    role = role_of(name)
    return ForeignFile(
        path, "checkpoint" if role == "report" and folder != "artifacts" else role, step and int(step[1])
    )

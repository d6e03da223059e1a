"""MLflow's SQLite store (`mlflow.db`): runs, metrics, parameters, tags, data sets, and registered models whose files
are gone."""

import math
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlparse

from registry import events
from registry.importers import ForeignFile, ForeignRun
from registry.importers.stores import Store, is_sqlite, open_store
from registry.ingest.runs import run_id_of

_END = {"FINISHED": "finished", "FAILED": "failed", "KILLED": "killed"}
_RUN_COLUMNS = [
    "run_uuid", "name", "status", "start_time", "end_time", "artifact_uri", "experiment_id", "source_name", "user_id",
]  # fmt: skip


class MlflowDatabase:
    """An MLflow database file."""

    name = "mlflow database"

    def recognises(self, source: Path) -> bool:
        """Return whether `source` is a SQLite file with MLflow's tables."""
        if not is_sqlite(source):
            return False
        with open_store(source) as store:
            return {"run_uuid", "lifecycle_stage"} <= store.tables.get("runs", set()) and "metrics" in store.tables

    def read(self, source: Path) -> Iterator[ForeignRun]:
        """Yield every run that was not deleted. Raises UsageError for a broken database."""
        with open_store(source) as store:
            experiments = dict(store.rows("experiments", ["experiment_id", "name"]))
            models = _registered_models(store)
            active = "WHERE lifecycle_stage = 'active' ORDER BY start_time, run_uuid"
            for row in list(store.rows("runs", _RUN_COLUMNS, active)):
                yield _foreign_run(store, dict(zip(_RUN_COLUMNS, row, strict=True)), experiments, models)


def _foreign_run(
    store: Store, row: dict[str, Any], experiments: dict[Any, str], models: dict[str, list[tuple[str, str]]]
) -> ForeignRun:
    run_uuid = row["run_uuid"]
    of_run = "WHERE run_uuid = ?"
    tags = dict(store.rows("tags", ["key", "value"], of_run, (run_uuid,)))
    params = dict(store.rows("params", ["key", "value"], of_run, (run_uuid,)))
    params |= {f"tags.{key}": value for key, value in tags.items() if not key.startswith("mlflow.")}
    started_at = (row["start_time"] or 0) / 1000.0
    parent = tags.get("mlflow.parentRunId")
    start = events.Start(
        at=started_at,
        run="",
        name=row["name"] or tags.get("mlflow.runName") or run_uuid,
        experiment=experiments.get(row["experiment_id"]) or "default",
        params=params,
        command=[row["source_name"]] if row["source_name"] else [],
        git={"commit": tags["mlflow.source.git.commit"]} if "mlflow.source.git.commit" in tags else None,
        parent=run_id_of(f"mlflow:{parent}") if parent else None,
    )
    found: list[events.AnyEvent] = [start, *_metrics(store, run_uuid), *_datasets(store, run_uuid, started_at)]
    if tags.get("mlflow.note.content"):
        found.append(events.Note(at=started_at, text=tags["mlflow.note.content"]))
    files = []
    for title, source in models.get(run_uuid, []):
        path = local_path(source)
        if path is not None and path.exists():
            files.append(ForeignFile(path))
        else:
            found.append(events.Note(at=started_at, level="warning", text=f"{title}: its files are not at {source}"))
    if row["status"] in _END:
        ended_at = (row["end_time"] or row["start_time"] or 0) / 1000.0
        found.append(events.End(at=ended_at, status=_END[row["status"]], evidence=f"mlflow.db: status {row['status']}"))
    return ForeignRun(f"mlflow:{run_uuid}", found, files + artifact_files(row["artifact_uri"]))


def _metrics(store: Store, run_uuid: str) -> Iterator[events.Metrics | events.Note]:
    """Yield the points in the order of time; MLflow stores NaN as a flag, and infinities as the largest numbers."""
    columns = ["key", "value", "timestamp", "step", "is_nan"]
    current: events.Metrics | None = None
    has_limits = False
    for key, value, timestamp, step, is_nan in store.rows(
        "metrics", columns, "WHERE run_uuid = ? ORDER BY timestamp, step, key", (run_uuid,)
    ):
        at = timestamp / 1000.0
        number = math.nan if is_nan else float(value)
        if abs(number) >= sys.float_info.max:
            number, has_limits = math.copysign(math.inf, number), True
        if current is None or (current.at, current.s) != (at, step) or key in current.v:
            if current is not None:
                yield current
            current = events.Metrics(at=at, v={}, s=step)
        current.v[key] = events.wire_number(number)
    if current is not None:
        yield current
        if has_limits:
            yield events.Note(
                at=current.at, text="MLflow cannot store infinities: its largest numbers are read as such"
            )


def _datasets(store: Store, run_uuid: str, at: float) -> Iterator[events.UseDataset]:
    of_run = "WHERE destination_id = ? AND source_type = 'DATASET'"
    for input_uuid, dataset_uuid in list(store.rows("inputs", ["input_uuid", "source_id"], of_run, (run_uuid,))):
        tags = dict(store.rows("input_tags", ["name", "value"], "WHERE input_uuid = ?", (input_uuid,)))
        for name, digest in store.rows("datasets", ["name", "digest"], "WHERE dataset_uuid = ?", (dataset_uuid,)):
            yield events.UseDataset(at=at, name=name, version=digest, role=tags.get("mlflow.data.context") or "train")


def _registered_models(store: Store) -> dict[str, list[tuple[str, str]]]:
    """Return, by run, what its registered model versions are called and where their files should be."""
    found: dict[str, list[tuple[str, str]]] = {}
    columns = ["name", "version", "current_stage", "source", "run_id"]
    for name, version, stage, source, run_id in store.rows("model_versions", columns):
        if run_id and source:
            in_stage = f", stage {stage}" if stage and stage != "None" else ""
            found.setdefault(run_id, []).append((f"model {name} version {version}{in_stage}", source))
    return found


def local_path(uri: str | None) -> Path | None:
    """Return the path of a `file:` URI or of a plain path; None for any other address."""
    if not uri:
        return None
    parsed = urlparse(uri)
    if parsed.scheme == "file":
        return Path(unquote(parsed.path))
    return Path(uri) if not parsed.scheme else None


def artifact_files(uri: str | None) -> list[ForeignFile]:
    """Return the files and folders right below a run's artifact folder, the folder itself where it is missing."""
    folder = local_path(uri)
    if folder is None:
        return []
    if not folder.is_dir():
        return [ForeignFile(folder, "report")]
    return [ForeignFile(path, role_of(path.name)) for path in sorted(folder.iterdir()) if not path.is_symlink()]


_ROLES = (
    ("best", "best"), ("last", "last"), ("model", "checkpoint"), ("ckpt", "checkpoint"), ("checkpoint", "checkpoint"),
    ("weights", "checkpoint"), (".pt", "checkpoint"), (".safetensors", "checkpoint"), ("config", "config"),
    ("args", "config"), ("params", "config"), (".log", "log"),
)  # fmt: skip


def role_of(name: str) -> str:
    """Return the role that a file's name speaks of."""
    return next((role for word, role in _ROLES if word in name.lower()), "report")

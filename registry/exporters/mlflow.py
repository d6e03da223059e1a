"""MLflow's SQLite store, so that one may leave freely: `mlflow ui --backend-store-uri sqlite:///FILE`.

The file has MLflow's schema as it was at one early revision; any MLflow from 1.0 on brings it up to its own when it
first opens it.
"""

import hashlib
import json
import math
import sqlite3
import sys
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from registry.errors import UsageError
from registry.exporters.rows import ExportedRun

REVISION = "181f10493468"
_SCHEMA = """
CREATE TABLE alembic_version (
    version_num VARCHAR(32) NOT NULL, CONSTRAINT alembic_version_pkc PRIMARY KEY (version_num));
CREATE TABLE experiments (
    experiment_id INTEGER NOT NULL, name VARCHAR(256) NOT NULL, artifact_location VARCHAR(256),
    lifecycle_stage VARCHAR(32),
    CONSTRAINT experiment_pk PRIMARY KEY (experiment_id), UNIQUE (name),
    CONSTRAINT experiments_lifecycle_stage CHECK (lifecycle_stage IN ('active', 'deleted')));
CREATE TABLE runs (
    run_uuid VARCHAR(32) NOT NULL, name VARCHAR(250), source_type VARCHAR(20), source_name VARCHAR(500),
    entry_point_name VARCHAR(50), user_id VARCHAR(256), status VARCHAR(20), start_time BIGINT, end_time BIGINT,
    source_version VARCHAR(50), lifecycle_stage VARCHAR(20), artifact_uri VARCHAR(200), experiment_id INTEGER,
    CONSTRAINT run_pk PRIMARY KEY (run_uuid), FOREIGN KEY(experiment_id) REFERENCES experiments (experiment_id),
    CONSTRAINT source_type CHECK (source_type IN ('NOTEBOOK', 'JOB', 'LOCAL', 'UNKNOWN', 'PROJECT')),
    CONSTRAINT runs_lifecycle_stage CHECK (lifecycle_stage IN ('active', 'deleted')));
CREATE TABLE tags (
    "key" VARCHAR(250) NOT NULL, value VARCHAR(250), run_uuid VARCHAR(32) NOT NULL,
    CONSTRAINT tag_pk PRIMARY KEY ("key", run_uuid), FOREIGN KEY(run_uuid) REFERENCES runs (run_uuid));
CREATE TABLE params (
    "key" VARCHAR(250) NOT NULL, value VARCHAR(250) NOT NULL, run_uuid VARCHAR(32) NOT NULL,
    CONSTRAINT param_pk PRIMARY KEY ("key", run_uuid), FOREIGN KEY(run_uuid) REFERENCES runs (run_uuid));
CREATE TABLE metrics (
    "key" VARCHAR(250) NOT NULL, value FLOAT NOT NULL, timestamp BIGINT NOT NULL, run_uuid VARCHAR(32) NOT NULL,
    step BIGINT DEFAULT '0' NOT NULL, is_nan BOOLEAN DEFAULT '0' NOT NULL,
    CONSTRAINT metric_pk PRIMARY KEY ("key", timestamp, step, run_uuid, value, is_nan),
    FOREIGN KEY(run_uuid) REFERENCES runs (run_uuid));
"""
_STATUS = {"finished": "FINISHED", "failed": "FAILED", "crashed": "FAILED", "killed": "KILLED", "queued": "SCHEDULED"}
_FOREIGN = "mlflow:"
MAX_PARAM_CHARS = 8000


def to_mlflow(runs: Iterable[ExportedRun], path: Path) -> None:
    """Write runs into a new MLflow database. Raises UsageError when there is a file already."""
    if path.exists():
        raise UsageError(f"{path} is there already", hint="name a new file: an MLflow store is never written over")
    connection = sqlite3.connect(path)
    try:
        connection.executescript(_SCHEMA)
        connection.execute("INSERT INTO alembic_version VALUES (?)", (REVISION,))
        experiments = {"Default": 0}
        connection.execute("INSERT INTO experiments VALUES (0, 'Default', NULL, 'active')")
        for run in runs:
            _write_run(connection, run, experiments)
        connection.commit()
    except BaseException:
        connection.close()
        path.unlink(missing_ok=True)
        raise
    connection.close()


def _write_run(connection: sqlite3.Connection, run: ExportedRun, experiments: dict[str, int]) -> None:
    row = run.row
    experiment_id = experiments.get(run.experiment)
    if experiment_id is None:
        experiment_id = experiments[run.experiment] = len(experiments)
        connection.execute("INSERT INTO experiments VALUES (?, ?, NULL, 'active')", (experiment_id, run.experiment))
    run_uuid = mlflow_id(row.id, row.foreign_id)
    columns = "run_uuid, name, user_id, source_type, source_name, status, start_time, end_time"
    columns += ", lifecycle_stage, experiment_id"
    values = (
        run_uuid, row.name, "", "LOCAL", "".join(json.loads(row.command)[:1])[:500], _STATUS.get(row.status, "RUNNING"),
        _ms(row.started_at), _ms(row.ended_at), "active", experiment_id,
    )  # fmt: skip
    connection.execute(f"INSERT INTO runs ({columns}) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", values)
    params = ((key[:250], _text(value), run_uuid) for key, value in run.params.items())
    connection.executemany('INSERT OR IGNORE INTO params ("key", value, run_uuid) VALUES (?, ?, ?)', params)
    tags = [
        ("mlflow.runName", row.name),
        ("holdfast.id", row.id),
        *((f"holdfast.tag.{tag}", "true") for tag in run.tags),
    ]
    connection.executemany(
        'INSERT OR IGNORE INTO tags ("key", value, run_uuid) VALUES (?, ?, ?)',
        ((key[:250], value, run_uuid) for key, value in tags),
    )
    connection.executemany(
        'INSERT OR IGNORE INTO metrics ("key", value, timestamp, step, is_nan, run_uuid) VALUES (?, ?, ?, ?, ?, ?)',
        _metrics(run, run_uuid),
    )


def _metrics(run: ExportedRun, run_uuid: str) -> Iterator[tuple[Any, ...]]:
    """Yield rows; MLflow keeps NaN as a flag and infinities as the largest numbers."""
    for series in run.series:
        for place, point in enumerate(series.points()):
            is_nan = math.isnan(point.value)
            value = 0.0 if is_nan else max(-sys.float_info.max, min(sys.float_info.max, point.value))
            step = place if point.step is None else point.step
            yield series.name[:250], value, _ms(point.at) or 0, step, is_nan, run_uuid


def mlflow_id(run_id: str, foreign_id: str | None) -> str:
    """Return the id of a run in MLflow: the one it came with, else one made of its id here."""
    if foreign_id and foreign_id.startswith(_FOREIGN):
        return foreign_id.removeprefix(_FOREIGN)
    return hashlib.sha256(run_id.encode()).hexdigest()[:32]


def _ms(at: float | None) -> int | None:
    return None if at is None else int(at * 1000)


def _text(value: Any) -> str:
    return (value if isinstance(value, str) else json.dumps(value))[:MAX_PARAM_CHARS]

"""What is known of the data sets, for lists, `show`, `impact` and alerts. It reads the record and changes nothing."""

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import String, bindparam, text
from sqlmodel import Session, col, select

from registry import clock
from registry.alert import Alert
from registry.data_policy import RegisteredFile, changed_files, parse_reference
from registry.datasets import as_registered, find_dataset, unknown_dataset
from registry.hashing import stat_token
from registry.lineage import BadData, Use, chains_of, inherited_reasons, invalid_reasons, own_reasons
from registry.settings import Settings
from registry.tables import Dataset, DatasetCheck, DatasetFile

UNREGISTERED = "unregistered"


def _rows(session: Session, sql: str, **values: Any) -> list[Any]:
    return list(session.connection().execute(text(sql), values))


def list_datasets(session: Session) -> list[dict[str, Any]]:
    """Return every data set version, also those that runs used and nobody registered, by name and version."""
    n_runs = {
        (row.name, row.version): row.n
        for row in _rows(
            session, "SELECT name, version, count(DISTINCT run_id) AS n FROM dataset_use GROUP BY name, version"
        )
    }
    sizes = {
        row.dataset_id: row
        for row in _rows(
            session,
            "SELECT dataset_id, count(*) AS n_files, sum(size_bytes) AS size_bytes FROM dataset_file"
            " GROUP BY dataset_id",
        )
    }
    found = {}
    for row in session.exec(select(Dataset)):
        size = sizes.get(row.id)
        found[row.name, row.version] = {
            **_head(row),
            "n_files": size.n_files if size else 0,
            "size_bytes": int(size.size_bytes) if size else 0,
            "n_runs": n_runs.get((row.name, row.version), 0),
        }
    for (name, version), n in n_runs.items():
        found.setdefault((name, version), {**_unregistered(name, version), "n_files": 0, "size_bytes": 0, "n_runs": n})
    return [found[key] for key in sorted(found)]


def _head(row: Dataset) -> dict[str, Any]:
    return {
        "reference": f"{row.name}@{row.version}",
        "name": row.name,
        "version": row.version,
        "state": row.state,
        "reason": row.reason,
        "superseded_by": row.superseded_by,
        "digest": row.digest,
        "n_records": row.n_records,
        "added_at": clock.iso(row.added_at),
        "changed_at": clock.iso(row.changed_at),
    }


def _unregistered(name: str, version: str) -> dict[str, Any]:
    empty = ("reason", "superseded_by", "digest", "n_records", "added_at", "changed_at")
    head = {"reference": f"{name}@{version}", "name": name, "version": version, "state": UNREGISTERED}
    return {**head, **dict.fromkeys(empty)}


def show_dataset(session: Session, root: Path, reference: str) -> dict[str, Any]:
    """Return all that is known of one version: its files as they are now, its last checks, who used it.

    Raises NotFoundError.
    """
    row = find_dataset(session, reference)
    changed = changed_files(root, as_registered(session, row))
    files = session.exec(
        select(DatasetFile).where(DatasetFile.dataset_id == row.id).order_by(col(DatasetFile.path))
    ).all()
    return {
        **_head(row),
        "changed": changed,
        "files": [
            {
                "path": file.path,
                "split": file.split,
                "digest": file.digest,
                "size_bytes": file.size_bytes,
                "n_records": file.n_records,
            }
            for file in files
        ],
        "checks": last_checks(session, row),
        "runs": impact(session, reference)["runs"],
    }


def last_checks(session: Session, row: Dataset) -> list[dict[str, Any]]:
    """Return the outcomes of a data set's last validation."""
    rows = session.exec(
        select(DatasetCheck).where(DatasetCheck.dataset_id == row.id).order_by(col(DatasetCheck.id))
    ).all()
    last = rows[-1].run_id if rows else None
    return [
        {
            "name": check.name,
            "kind": check.kind,
            "verdict": check.verdict,
            "n_checked": check.n_checked,
            "n_violations": check.n_violations,
            "at": clock.iso(check.at),
            "run": check.run_id,
            **json.loads(check.report),
        }
        for check in rows
        if check.run_id == last
    ]


# --- what hangs on a data set


def impact(session: Session, reference: str) -> dict[str, Any]:
    """Return everything downstream of a data set version: runs, their verdicts, numbers, reports, deployments.

    Whether it was declared bad already or not. Raises NotFoundError for a version that nobody registered or used.
    """
    name, version = parse_reference(reference)
    row = session.exec(select(Dataset).where(Dataset.name == name, Dataset.version == version)).first()
    reasons = _reasons(session, reference, row)
    if row is None and not reasons:
        raise unknown_dataset(session, reference)
    ids = sorted(reasons)
    runs = _runs(session, ids, reasons)
    return {
        **(_head(row) if row else _unregistered(name, version)),
        "runs": runs,
        "deployments": [
            {"target": d.target, "run": d.run_id, "since": clock.iso(d.since), "until": clock.iso(d.until)}
            for d in _by_run(session, "SELECT * FROM deployment WHERE run_id IN :ids ORDER BY since", ids)
        ],
        "reports": [
            {"run": a.run_id, "path": a.path, "digest": a.digest}
            for a in _by_run(
                session, "SELECT * FROM artifact WHERE role = 'report' AND run_id IN :ids ORDER BY id", ids
            )
        ],
        "n_gate_verdicts": sum(sum(run["gates"].values()) for run in runs),
        "n_metrics": sum(run["n_metrics"] for run in runs),
    }


def _reasons(session: Session, reference: str, row: Dataset | None) -> Mapping[str, str]:
    """Return how each run hangs on a data set, as if it had been declared bad."""
    name, version = parse_reference(reference)
    bad = {reference: BadData(reference, row.state if row else UNREGISTERED, (row.reason if row else "") or "")}
    uses = [
        Use(use.run_id, reference, use.role)
        for use in _rows(
            session, "SELECT run_id, role FROM dataset_use WHERE name = :n AND version = :v", n=name, v=version
        )
    ]
    evaluated = _rows(
        session,
        "SELECT DISTINCT run_id FROM evaluation"
        " WHERE subject IS NULL AND (dataset = :r OR substr(dataset, 1, :k) = :s)",
        r=reference,
        k=len(reference) + 1,
        s=f"{reference}:",
    )
    uses += [Use(row.run_id, reference, "eval") for row in evaluated]
    own = own_reasons(uses, bad)
    return {**inherited_reasons(own, chains_of(session, own)), **own}


def _by_run(session: Session, sql: str, ids: list[str]) -> list[Any]:
    statement = text(sql).bindparams(bindparam("ids", expanding=True, type_=String))
    return list(session.connection().execute(statement, {"ids": ids}))


def _runs(session: Session, ids: list[str], reasons: Mapping[str, str]) -> list[dict[str, Any]]:
    gates: dict[str, dict[str, int]] = {}
    for row in _by_run(
        session, "SELECT run_id, verdict, count(*) AS n FROM gate_result WHERE run_id IN :ids GROUP BY 1, 2", ids
    ):
        gates.setdefault(row.run_id, {})[row.verdict] = row.n
    metrics = {
        row.run_id: row.n
        for row in _by_run(
            session, "SELECT run_id, count(*) AS n FROM metric_series WHERE run_id IN :ids GROUP BY run_id", ids
        )
    }
    rows = _by_run(
        session,
        "SELECT r.id, r.name, r.status, e.name AS experiment FROM run r JOIN experiment e ON e.id = r.experiment_id"
        " WHERE r.id IN :ids ORDER BY r.started_at, r.id",
        ids,
    )
    return [
        {
            "id": row.id,
            "name": row.name,
            "experiment": row.experiment,
            "status": row.status,
            "how": reasons[row.id],
            "gates": gates.get(row.id, {}),
            "n_metrics": metrics.get(row.id, 0),
        }
        for row in rows
    ]


# --- alerts


def dataset_alerts(session: Session, now: float, settings: Settings, root: Path) -> list[Alert]:
    """Return what is wrong with the data: files that changed, running runs on bad data, bytes that do not match."""
    return [*_changed_alerts(session, root), *_running_alerts(session), *_mismatch_alerts(session)]


def _changed_alerts(session: Session, root: Path) -> list[Alert]:
    """Compare size and times only: a file is hashed when a run wants to use it, not at every look."""
    found = []
    rows = _rows(
        session,
        "SELECT d.name, d.version, f.path, f.digest, f.stat_token FROM dataset_file f"
        " JOIN dataset d ON d.id = f.dataset_id WHERE d.state IN ('valid', 'unchecked')"
        " ORDER BY d.name, d.version, f.path",
    )
    for row in rows:
        problem = _touched(root, RegisteredFile(row.path, row.digest, row.stat_token))
        if problem:
            reference = f"{row.name}@{row.version}"
            hint = f"registry dataset validate {reference} reads it again; changed data is a new version"
            found.append(Alert("warning", "dataset-changed", reference, f"{row.path} {problem}", None, hint))
    return found


def _touched(root: Path, file: RegisteredFile) -> str:
    try:
        status = os.stat(root / file.path)
    except OSError as error:
        return f"cannot be read: {error.strerror}"
    return "" if stat_token(status) == file.stat_token else "was touched since it was hashed"


def _running_alerts(session: Session) -> list[Alert]:
    reasons = invalid_reasons(session)
    if not reasons:
        return []
    running = _by_run(
        session, "SELECT id, started_at FROM run WHERE status = 'running' AND id IN :ids", sorted(reasons)
    )
    return [
        Alert(
            "warning", "running-on-bad-data", row.id, reasons[row.id], row.started_at, "stop it, and train on good data"
        )
        for row in running
    ]


def _mismatch_alerts(session: Session) -> list[Alert]:
    """Return runs that say they read other bytes than were registered under that name and version."""
    rows = _rows(
        session,
        "SELECT u.run_id, u.name, u.version, u.at FROM dataset_use u JOIN dataset d"
        " ON d.name = u.name AND d.version = u.version"
        " WHERE u.digest IS NOT NULL AND d.digest IS NOT NULL AND u.digest <> d.digest"
        " AND NOT EXISTS (SELECT 1 FROM dataset_file f WHERE f.dataset_id = d.id AND f.digest = u.digest)",
    )
    return [
        Alert(
            "warning",
            "dataset-other-bytes",
            row.run_id,
            f"read {row.name}@{row.version}, but not the bytes that are registered under it",
            row.at,
            "find out which data it was; changed data is a new version",
        )
        for row in rows
    ]

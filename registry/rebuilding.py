"""`registry rebuild`: runs.db made anew. What the journals say is projected again; what they cannot say (copies,
deployments, data sets, decisions, runs read from foreign logs) is carried over from the old file where it can be read.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sqlalchemy import Table, insert, select, text
from sqlmodel import Session, SQLModel

from registry import clock, places
from registry.catchup import catch_up, project_journal
from registry.database import Database, open_database
from registry.errors import HoldfastError, UsageError

_CARRIED = (
    "meta", "remote", "copy", "copy_event", "permit", "dataset", "dataset_file", "dataset_check", "acknowledgement",
    "audit",
)  # fmt: skip
_OF_FOREIGN_RUNS = (
    "run", "tag", "note", "param", "metric_definition", "metric_series", "metric_point", "point_origin", "segment",
    "evaluation", "evaluation_value", "artifact", "artifact_blob", "dataset_use", "run_suite", "gate_result",
)  # fmt: skip
_IDS = {"series_id": "metric_series", "evaluation_id": "evaluation", "artifact_id": "artifact"}


@dataclass
class Report:
    """What was made, and what became of the old file."""

    path: Path
    n_runs: int = 0
    n_points: int = 0
    n_journals: int = 0
    kept: Path | None = None
    warnings: list[str] = field(default_factory=list)


def rebuild(url: str | None = None, to: str | None = None) -> Report:
    """Make the registry anew and put it in the old one's place (or at `to`); the old file is kept beside it.

    Raises UsageError for a database server without `to`: a server is never overwritten.
    """
    address = places.registry_url(url)
    if places.is_server(address) and to is None:
        raise UsageError(
            "this registry is a database server, which is never overwritten",
            hint="registry rebuild --to NEW.db, then registry --db NEW.db migrate --to an empty database",
        )
    old_path = Path(places.root_folder(address), places.DATABASE_NAME) if places.is_server(address) else Path(address)
    old_path = old_path.resolve()
    new_path = Path(to).resolve() if to else old_path.with_name(f"{old_path.name}.rebuilding")
    for path in _with_sidecars(new_path):
        path.unlink(missing_ok=True)
    report = Report(new_path)
    new = open_database(str(new_path), create=True)
    try:
        _fill(new, address, report)
        with new.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
    finally:
        new.close()
    if to is None:
        report.kept = _swap(old_path, new_path)
        report.path = old_path
    return report


def _with_sidecars(path: Path) -> list[Path]:
    return [path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")]


def _swap(old_path: Path, new_path: Path) -> Path | None:
    """Put the new file in the place of the old one, which is kept with the time in its name."""
    kept = None
    if old_path.exists():
        stamp = (clock.iso(clock.now()) or "")[:19].replace(":", "").replace("-", "")
        kept = old_path.with_name(f"{old_path.name}.before-{stamp}")
        for path in _with_sidecars(old_path):
            if path.exists():
                path.rename(kept.with_name(path.name.replace(old_path.name, kept.name)))
    for path in _with_sidecars(new_path)[1:]:
        path.unlink(missing_ok=True)
    new_path.replace(old_path)
    return kept


def _fill(new: Database, old_address: str, report: Report) -> None:
    old = _open_old(old_address, report)
    journals = set(_journals_of(old)) if old else set()
    report.n_points = catch_up(new)
    report.n_points += sum(project_journal(new, path) for path in sorted(journals) if path.exists())
    if old is not None:
        with old.read() as source, new.write() as target:
            _carry_over(source, target)
        old.close()
    with new.read() as session:
        report.n_runs = session.connection().execute(text("SELECT count(*) FROM run")).scalar() or 0
        report.n_journals = session.connection().execute(text("SELECT count(*) FROM journal_cursor")).scalar() or 0


def _open_old(address: str, report: Report) -> Database | None:
    path = Path(address)
    if not places.is_server(address) and (not path.exists() or path.stat().st_size == 0):
        return None
    try:
        old = open_database(address, readonly=True)
        if not old.is_sqlite:
            return old
        with old.read() as session:
            if (said := session.connection().execute(text("PRAGMA integrity_check(1)")).scalar()) != "ok":
                report.warnings.append(f"the old registry is damaged ({said}); what can be read of it is carried over")
        return old
    except HoldfastError as error:
        report.warnings.append(f"nothing was carried over from the old registry: {error.message}")
        return None


def _journals_of(old: Database) -> list[Path]:
    with old.read() as session:
        rows = session.connection().execute(text("SELECT path FROM journal_cursor WHERE run_id IS NOT NULL")).all()
    return [old.root / row.path for row in rows]


def _rows(session: Session, table: Table, run_ids: Iterable[str] | None = None) -> list[dict[str, Any]]:
    query = select(table)
    if run_ids is not None:
        query = query.where(table.c.id.in_(run_ids) if table.name == "run" else table.c.run_id.in_(run_ids))
    return [dict(row._mapping) for row in session.connection().execute(query)]


def _put(session: Session, table: Table, rows: list[dict[str, Any]]) -> None:
    if rows:
        session.connection().execute(insert(table), rows)


def _carry_over(source: Session, target: Session) -> None:
    tables = SQLModel.metadata.tables
    target.connection().execute(text("DELETE FROM meta"))
    for name in _CARRIED:
        _put(target, tables[name], _rows(source, tables[name]))
    _carry_foreign_runs(source, target)
    _carry_what_people_said(source, target)
    _carry_deployments(source, target)


def _carry_foreign_runs(source: Session, target: Session) -> None:
    """Copy the runs that came from foreign logs, with new numbers for their series, evaluations and artifacts."""
    tables = SQLModel.metadata.tables
    have = {row.id for row in target.connection().execute(select(tables["run"].c.id))}
    runs = [row for row in _rows(source, tables["run"]) if row["id"] not in have]
    ids = [row["id"] for row in runs]
    if not ids:
        return
    _carry_experiments(source, target, runs)
    suites = _rows(source, tables["gate_suite"])
    known = {row.digest for row in target.connection().execute(select(tables["gate_suite"].c.digest))}
    _put(target, tables["gate_suite"], [row for row in suites if row["digest"] not in known])
    numbers: dict[str, dict[int, int]] = {}
    for name in _OF_FOREIGN_RUNS:
        table = tables[name]
        by_run = name == "run" or "run_id" in table.c
        rows = runs if name == "run" else _rows(source, table, ids) if by_run else _children(source, table, numbers)
        _put(target, table, _renumbered(target, table, rows, numbers))
    _put(target, tables["log_cursor"], _rows(source, tables["log_cursor"]))


def _carry_experiments(source: Session, target: Session, runs: list[dict[str, Any]]) -> None:
    table = SQLModel.metadata.tables["experiment"]
    names = {row["id"]: row for row in _rows(source, table)}
    have = {row["name"]: row["id"] for row in _rows(target, table)}
    for run in runs:
        old = names[run["experiment_id"]]
        if old["name"] not in have:
            result = target.connection().execute(insert(table), {k: v for k, v in old.items() if k != "id"})
            assert result.inserted_primary_key is not None
            have[old["name"]] = result.inserted_primary_key[0]
        run["experiment_id"] = have[old["name"]]


def _children(source: Session, table: Table, numbers: dict[str, dict[int, int]]) -> list[dict[str, Any]]:
    column = next(name for name in _IDS if name in table.c)
    wanted = list(numbers.get(_IDS[column], {}))
    query = select(table).where(table.c[column].in_(wanted))
    return [dict(row._mapping) for row in source.connection().execute(query)]


def _renumbered(
    target: Session, table: Table, rows: list[dict[str, Any]], numbers: dict[str, dict[int, int]]
) -> list[dict[str, Any]]:
    """Give rows with a number of their own the next free ones, and point their children to them."""
    if table.name in _IDS.values() or table.name == "note":
        start = target.connection().execute(text(f"SELECT coalesce(max(id), 0) FROM {table.name}")).scalar() or 0
        numbers[table.name] = {row["id"]: start + place for place, row in enumerate(rows, start=1)}
        for row in rows:
            row["id"] = numbers[table.name][row["id"]]
    for column, owner in _IDS.items():
        if column in table.c:
            for row in rows:
                row[column] = numbers.get(owner, {}).get(row[column], row[column])
    return rows


def _carry_what_people_said(source: Session, target: Session) -> None:
    """Copy tags, notes, removals and prices that people gave to runs."""
    tables = SQLModel.metadata.tables
    have = {row.id for row in target.connection().execute(select(tables["run"].c.id))}
    tags = {(row["run_id"], row["tag"]) for row in _rows(target, tables["tag"])}
    wanted = [row for row in _rows(source, tables["tag"]) if (row["run_id"], row["tag"]) not in tags]
    _put(target, tables["tag"], [row for row in wanted if row["run_id"] in have])
    notes = [{k: v for k, v in row.items() if k != "id"} for row in _rows(source, tables["note"]) if row["by"]]
    known = {(row["run_id"], row["at"], row["text"]) for row in _rows(target, tables["note"])}
    fresh = [note for note in notes if (note["run_id"], note["at"], note["text"]) not in known]
    _put(target, tables["note"], [note for note in fresh if note["run_id"] in have])
    run = tables["run"]
    for row in _rows(source, run):
        if row["id"] in have and (row["deleted_at"] or row["cost_per_hour"] is not None):
            values = {"deleted_at": row["deleted_at"], "cost_per_hour": row["cost_per_hour"]}
            target.connection().execute(run.update().where(run.c.id == row["id"]).values(**values))


def _carry_deployments(source: Session, target: Session) -> None:
    """Copy deployments, each tied to the same bytes of the same run."""
    tables = SQLModel.metadata.tables
    old = {row["id"]: row for row in _rows(source, tables["artifact"])}
    new: dict[tuple[str, str], int] = {}
    for row in _rows(target, tables["artifact"]):
        new[row["run_id"], row["digest"]] = row["id"]
    for row in _rows(source, tables["deployment"]):
        artifact = old[row["artifact_id"]]
        number = new.get((artifact["run_id"], artifact["digest"]))
        if number is None:
            _put(target, tables["artifact"], [{k: v for k, v in artifact.items() if k != "id"}])
            number = target.connection().execute(text("SELECT max(id) FROM artifact")).scalar()
        _put(target, tables["deployment"], [{**row, "artifact_id": number}])

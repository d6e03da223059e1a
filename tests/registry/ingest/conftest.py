"""A registry, and a way to look at what the engine put into it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import col, select

from registry.database import Database, open_database
from registry.exporters import exported_runs
from registry.ingest.engine import Engine
from registry.tables import RunRow

Series = dict[str, list[tuple[int | None, float]]]


class Registry:
    """A real registry and an engine; every question is asked of the tables."""

    def __init__(self, folder: Path) -> None:
        self.db: Database = open_database(str(folder / "runs.db"), create=True)

    def look(self, *roots: Path, settle: bool = True) -> int:
        """Look once with a fresh engine, as a new process would; returns the new points."""
        return Engine(self.db).look(roots, settle=settle).n_points

    def runs(self) -> dict[str, RunRow]:
        with self.db.read() as session:
            rows = session.exec(select(RunRow).order_by(col(RunRow.name))).all()
            session.expunge_all()
        return {row.name: row for row in rows}

    def run(self) -> RunRow:
        """The only run."""
        (row,) = self.runs().values()
        return row

    def dump(self) -> dict[str, tuple[str, dict[str, Any], Series]]:
        """Every run by name: its status, parameters and series."""
        rows = self.runs()
        with self.db.read() as session:
            exported = list(exported_runs(session, [row.id for row in rows.values()]))
            return {
                run.row.name: (
                    run.row.status,
                    run.params,
                    {one.name: [(point.step, point.value) for point in one.points()] for one in run.series},
                )
                for run in exported
            }

    def series(self, name: str | None = None) -> Series:
        """The series of the run with this name, or of the only one."""
        dump = self.dump()
        (found,) = [value for key, value in dump.items() if name is None or key == name]
        return found[2]


@pytest.fixture
def registry(tmp_path: Path) -> Iterator[Registry]:
    made = Registry(tmp_path)
    yield made
    made.db.close()


@pytest.fixture
def logs(tmp_path: Path) -> Path:
    folder = tmp_path / "logs"
    folder.mkdir()
    return folder

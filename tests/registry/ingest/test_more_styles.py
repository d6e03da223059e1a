"""What programs in the world write, read in one look as a user would: every series that a log holds, and nothing from
files that hold none."""

import math
import re
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import col, select

from registry.exporters import exported_runs
from registry.tables import RunRow
from tests.registry.ingest.conftest import Registry
from tests.registry.ingest.styles import ANY, CASES, NEGATIVES, Case, Point

Found = list[tuple[str, str, dict[str, list[Point]]]]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Found]:
    """Every case written into a folder of its own, and read: its runs as (name, status, series)."""
    home = tmp_path_factory.mktemp("styles")
    registry = Registry(home)
    folders = [write(case, home / "logs" / f"{number:03d}") for number, case in enumerate([*CASES, *NEGATIVES])]
    looks = [registry.look(folder) for folder in folders]
    assert sum(looks) > 0
    assert registry.look(*folders) == 0, "a second look adds nothing"
    read: dict[str, Found] = {case.name: [] for case in [*CASES, *NEGATIVES]}
    with registry.db.read() as session:
        rows = session.exec(select(RunRow).order_by(col(RunRow.id))).all()
        by_id = {row.id: row for row in rows}
        for run in exported_runs(session, list(by_id)):
            series = {one.name: [(point.step, point.value) for point in one.points()] for one in run.series}
            key = by_id[run.row.id].foreign_id or ""
            number = int(re.search(r"/logs/(\d{3})(?:/|$)", key)[1])  # type: ignore[index]
            read[[*CASES, *NEGATIVES][number].name].append((run.row.name, run.row.status, series))
    registry.db.close()
    return read


def write(case: Case, folder: Path) -> Path:
    for name, content in case.files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def same(got: Point, wanted: Point) -> bool:
    step, value = got
    close = value == pytest.approx(wanted[1]) or (math.isnan(value) and math.isnan(wanted[1]))
    return close and wanted[0] in (ANY, step)


def fits(points: list[Point], expected: Any) -> bool:
    count, first, last = expected
    return len(points) == count and same(points[0], first) and same(points[-1], last)


@pytest.mark.parametrize("case", CASES, ids=[case.name for case in CASES])
def test_what_a_program_writes_is_read(case: Case, found: dict[str, Found]) -> None:
    runs = found[case.name]
    for name, expected in case.series.items():
        there = {other: points for _run, _status, series in runs for other, points in series.items()}
        alike = {other: points for other, points in there.items() if plain(other).endswith(plain(name))}
        assert any(fits(points, expected) for points in alike.values()), (
            f"{name}: {expected} is not in {alike or there}"
        )
    assert runs or not case.series
    assert case.status in ("", runs[0][1] if runs else "")
    assert case.n_runs in (None, len(runs))


@pytest.mark.parametrize("case", NEGATIVES, ids=[case.name for case in NEGATIVES])
def test_a_file_without_metrics_gives_nothing(case: Case, found: dict[str, Found]) -> None:
    assert found[case.name] == []


def plain(name: str) -> str:
    return re.sub(r"[^a-z0-9]", "", name.lower())

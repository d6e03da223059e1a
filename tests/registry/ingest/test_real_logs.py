"""Real logs of public projects with hand-checked truth, where their folder is at hand (HOLDFAST_LOGS, or
`../shared/logs` beside the repository); skipped where it is not. Nothing of them is part of this project."""

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select

from registry.exporters import exported_runs
from registry.exporters.jsons import to_json
from registry.tables import RunRow
from tests.registry.ingest.conftest import Registry

HERE = Path(__file__).resolve()
LOGS = Path(os.environ.get("HOLDFAST_LOGS") or HERE.parents[4] / "shared" / "logs")
CASES = sorted(path.name for path in LOGS.iterdir() if (path / "expected.json").exists()) if LOGS.is_dir() else []
NEVER_FED = shutil.ignore_patterns("expected.json", "SOURCES.json")
DEADLINE_S = 60.0

pytestmark = pytest.mark.skipif(not CASES, reason="no folder of real logs")


def copy_of(case: str, folder: Path) -> Path:
    """A copy of a case's logs without its truth, with the times of their files."""
    return Path(shutil.copytree(LOGS / case, folder / case, ignore=NEVER_FED))


def score(case: str, registry: Registry, folder: Path) -> str:
    """Return what the scorer says of the record."""
    with registry.db.read() as session:
        ids = [row.id for row in session.exec(select(RunRow))]
        (folder / "dump.json").write_text("".join(to_json(exported_runs(session, ids))))
    command = [sys.executable, str(LOGS / "score.py"), str(LOGS / case), str(folder / "dump.json")]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.mark.parametrize("case", CASES)
def test_every_series_and_status_of_a_real_case(case: str, registry: Registry, tmp_path: Path) -> None:
    logs = copy_of(case, tmp_path)
    registry.look(logs)

    said = score(case, registry, tmp_path)

    assert "MISS" not in said, said
    assert "STATUS" not in said, said
    expected = json.loads((LOGS / case / "expected.json").read_text())
    n_runs = len(registry.runs())
    assert n_runs in (expected.get("runs_accept") or [len(expected["runs"])])
    assert registry.look(logs) == 0, "a second look adds nothing"


def pieces(data: bytes, rng: random.Random, n_most: int) -> list[bytes]:
    """Cut bytes at random places, sometimes after one byte."""
    if len(data) < 200:
        return [data]
    cuts = sorted({rng.randrange(1, len(data)) for _ in range(rng.randrange(1, n_most))})
    cuts += [cuts[-1] + 1] if cuts and cuts[-1] + 1 < len(data) else []
    edges = [0, *sorted(set(cuts)), len(data)]
    return [data[start:end] for start, end in pairwise(edges)]


def numbers(registry: Registry) -> dict[str, Any]:
    """All series of all runs, NaN made comparable."""
    return {
        name: {metric: [(step, repr(value)) for step, value in points] for metric, points in series.items()}
        for name, (_status, _params, series) in registry.dump().items()
    }


@pytest.mark.parametrize("case", [case for case in CASES if not case.startswith("09")])
def test_written_in_pieces_it_comes_to_the_same(case: str, registry: Registry, tmp_path: Path) -> None:
    """Each file is written in random pieces with a look by a new engine between them."""
    rng = random.Random(case)
    whole = copy_of(case, tmp_path / "whole")
    once = Registry(tmp_path / "whole")
    once.look(whole)
    expected = numbers(once)
    once.db.close()

    files = {path.relative_to(whole): path.read_bytes() for path in sorted(whole.rglob("*")) if path.is_file()}
    queue = [(name, piece) for name, data in files.items() for piece in pieces(data, rng, 6)]
    if not any("tfevents" in str(name) for name in files):
        order = [name for name, _piece in queue]
        rng.shuffle(order)
        waiting = {name: [piece for other, piece in queue if other == name] for name in files}
        queue = [(name, waiting[name].pop(0)) for name in order]
    live = tmp_path / case
    for name, piece in queue:
        path = live / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "ab") as file:
            file.write(piece)
        registry.look(live, settle=rng.random() < 0.3)
    registry.look(live)

    assert numbers(registry) == expected


def test_a_watcher_that_is_killed_and_started_again_misses_nothing(registry: Registry, tmp_path: Path) -> None:
    """`registry watch` runs for real, dies by SIGKILL while logs are written, and is started again."""
    rng = random.Random(5)
    cases = [case for case in CASES if case[:2] in ("01", "07", "12", "13", "14", "16")]
    whole, live = tmp_path / "whole", tmp_path / "live"
    for case in cases:
        copy_of(case, whole)
    once = Registry(tmp_path / "whole")
    once.look(whole)
    expected = numbers(once)
    once.db.close()
    found = [path for case in cases for path in (whole / case).rglob("*") if path.is_file()]
    files = {path.relative_to(whole): path.read_bytes() for path in found}
    queue = [(name, piece) for name, data in sorted(files.items()) for piece in pieces(data, rng, 5)]
    live.mkdir()

    watcher = start_watcher(live, tmp_path)
    for number, (name, piece) in enumerate(queue):
        path = live / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(path, "ab") as file:
            file.write(piece)
        if number % (len(queue) // 4) == len(queue) // 8:
            wait_for_a_commit(registry)
            watcher.send_signal(signal.SIGKILL)
            watcher.wait()
            watcher = start_watcher(live, tmp_path)
    watcher.kill()
    watcher.wait()
    registry.look(live)

    assert numbers(registry) == expected


def start_watcher(folder: Path, home: Path) -> "subprocess.Popen[bytes]":
    command = [sys.executable, "-m", "registry", "--db", str(home / "runs.db"), "-q", "watch", str(folder)]
    return subprocess.Popen(command, cwd=home, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


def wait_for_a_commit(registry: Registry) -> None:
    """Wait until the watcher has committed something since now."""
    before, end = registry.db.data_version(), time.monotonic() + DEADLINE_S
    while registry.db.data_version() == before:
        assert time.monotonic() < end, "the watcher recorded nothing"
        time.sleep(0.02)

"""What every benchmark needs: medians over repetitions, one table at the end, a JSON file with the machine in it.

CPU time is the steady figure on a busy machine; ratios inside one run are the result, not the absolute numbers.
"""

import argparse
import json
import os
import platform
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

RESULTS = Path(__file__).parent / "results"


@dataclass(frozen=True)
class Row:
    """One figure beside the goal or the peer it is held against; `ratio` is ours divided by theirs."""

    what: str
    ours: float
    unit: str
    goal: str = ""
    peer: str = ""
    theirs: float | None = None

    @property
    def ratio(self) -> float | None:
        return self.ours / self.theirs if self.theirs else None


def arguments(description: str) -> argparse.Namespace:
    """Return `--reps` and `--quick` (small sizes, to see that it runs)."""
    parser = argparse.ArgumentParser(description=description)
    parser.add_argument("--reps", type=int, default=5)
    parser.add_argument("--quick", action="store_true")
    return parser.parse_args()


def median_of(reps: int, measure: Callable[[], float]) -> float:
    """Return the median of several measurements."""
    return statistics.median(measure() for _ in range(reps))


def wall_and_cpu(work: Callable[[], object]) -> tuple[float, float]:
    """Return the wall and the CPU seconds of one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


@contextmanager
def folder() -> Iterator[Path]:
    """Yield an empty folder on the disk that users use, and stand in it."""
    before = Path.cwd()
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR"), ignore_cleanup_errors=True) as name:
        os.chdir(name)
        try:
            yield Path(name)
        finally:
            os.chdir(before)


def report(name: str, rows: list[Row], **more: object) -> None:
    """Print the table and keep it in `benchmarks/results/NAME.json`."""
    from rich.console import Console
    from rich.table import Table

    table = Table(title=name, title_justify="left")
    for head in ("what", "ours", "unit", "goal", "peer", "theirs", "ours / theirs"):
        table.add_column(head, justify="right" if head in ("ours", "theirs", "ours / theirs") else "left")
    for row in rows:
        theirs = "" if row.theirs is None else f"{row.theirs:,.4g}"
        ratio = "" if row.ratio is None else f"{row.ratio:.3g}"
        table.add_row(row.what, f"{row.ours:,.4g}", row.unit, row.goal, row.peer, theirs, ratio)
    Console(width=150).print(table)
    RESULTS.mkdir(exist_ok=True)
    found = {
        "name": name,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()},
        "rows": [{**asdict(row), "ratio": row.ratio} for row in rows],
        **more,
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(found, indent=2) + "\n")

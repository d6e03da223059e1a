"""What every benchmark needs: medians over repetitions, one table at the end, a JSON file with the machine in it.

CPU time is the steady figure on a busy machine; ratios inside one run are the result, not the absolute numbers.
"""

import argparse
import json
import os
import platform
import re
import resource
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

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

    @property
    def reached(self) -> bool | None:
        """Whether the figure reaches its goal: `<= 3`, `>= 500,000`, the number itself, or `<= 1/3 x` of the peer's.

        None without a goal, or without the peer that it speaks of.
        """
        found = re.match(r"(<=|>=)?\s*([\d,.]*\d)(?:/(\d+))?( x)?", self.goal)
        value = self.ratio if found and found[4] else self.ours
        if found is None or value is None:
            return None
        limit = float(found[2].replace(",", "")) / float(found[3] or 1)
        return {"<=": value <= limit, ">=": value >= limit, None: value == limit}[found[1]]


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


def cpu_of(words: list[str], **options: Any) -> float:
    """Return the CPU seconds of a command and of what it starts and waits for, its output thrown away."""
    before = _children_s()
    subprocess.run(words, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, **options)
    return _children_s() - before


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


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


def show(title: str, rows: list[tuple[str, Row]]) -> None:
    """Print a table of rows, each with the benchmark it is of ("" for the one of the title)."""
    from rich.console import Console
    from rich.table import Table

    heads = ["what", "ours", "unit", "goal", "reached", "peer", "theirs", "ours / theirs"]
    heads = ["benchmark", *heads] if any(name for name, _ in rows) else heads
    table = Table(title=title, title_justify="left")
    for head in heads:
        table.add_column(head, justify="right" if head in ("ours", "theirs", "ours / theirs") else "left")
    for name, row in rows:
        theirs = "" if row.theirs is None else f"{row.theirs:,.4g}"
        ratio = "" if row.ratio is None else f"{row.ratio:.3g}"
        reached = {None: "", True: "✓ yes", False: "✗ no"}[row.reached]
        cells = [row.what, f"{row.ours:,.4g}", row.unit, row.goal, reached, row.peer, theirs, ratio]
        table.add_row(*([name, *cells] if len(heads) > len(cells) else cells))
    Console(width=170).print(table)


def report(name: str, rows: list[Row], **more: object) -> None:
    """Print the table and keep it in `benchmarks/results/NAME.json`."""
    show(name, [("", row) for row in rows])
    RESULTS.mkdir(exist_ok=True)
    found = {
        "name": name,
        "date": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": {"cores": os.cpu_count(), "python": platform.python_version(), "system": platform.platform()},
        "rows": [{**asdict(row), "ratio": row.ratio} for row in rows],
        **more,
    }
    (RESULTS / f"{name}.json").write_text(json.dumps(found, indent=2) + "\n")

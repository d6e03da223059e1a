"""How fast the dashboard is, against its goals: `python benchmarks/tui.py [--quick] [--soak SECONDS]`.

CPU time of the whole process (all threads), medians of several tries; the terminal is Textual's headless driver. First
paint and runs on screen are measured in a fresh interpreter, from its start, its imports included.
"""

import argparse
import asyncio
import os
import random
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from harness import Row, report

ROOT = Path(__file__).parents[1]
sys.path[:0] = [str(ROOT)]
N_METRICS = 20

FIRST_PAINT = """
import asyncio, sys, time
from tui.app import Dashboard

class Timed(Dashboard):
    async def on_ready(self):
        self.painted_s = time.process_time()
        self.run_worker(self.wait_for_runs())

    async def wait_for_runs(self):
        while not self.screen.index.ids:
            await asyncio.sleep(0.005)
        self.exit((self.painted_s, time.process_time(), time.monotonic() - float(sys.argv[2])))

print(*Timed(sys.argv[1]).run(headless=True, size=(140, 40)))
"""


def make_runs(folder: Path, n_runs: int, n_metrics: int = N_METRICS) -> str:
    """Make a registry of `n_runs` runs with a summary of each metric, written as rows; return its address."""
    from registry.database import open_database

    db = open_database(str(folder / "runs.db"), create=True)
    rng = random.Random(7)
    with db.write(durable=False) as session:
        driver = session.connection().connection.driver_connection
        driver.execute("INSERT INTO experiment (id, name, created_at) VALUES (1, 'bench', 0)")
        runs = [(f"{k:010x}", f"run-{k:06}", 1, "finished", 1.79e9 + k, 1.79e9 + k + 3600) for k in range(n_runs)]
        insert_rows(driver, "run", ("id", "name", "experiment_id", "status", "started_at", "ended_at"), runs)
        series, points = [], []
        for k in range(n_runs):
            for m in range(n_metrics):
                value = rng.random()
                series.append((k * n_metrics + m + 1, f"{k:010x}", f"val/m{m}" if m else "val/loss", 3, value, value))
                points += [(k * n_metrics + m + 1, s, s, value + s) for s in range(3)] if k < 200 else []
        columns = ("id", "run_id", "name", "count", "min_value", "last_value")
        insert_rows(driver, "metric_series", columns, series)
        driver.executemany(
            "INSERT INTO metric_point (series_id, seq, step, value, elapsed_ms, segment) VALUES (?, ?, ?, ?, 0, 0)",
            points,
        )
    db.close()
    return str(folder / "runs.db")


_EMPTY = {
    "command": "[]", "roots": "[]", "host": "{}", "device": "{}", "environment": "[]", "basis": "measured",
    "source": "journal",
}  # fmt: skip


def insert_rows(driver, table: str, columns: tuple[str, ...], rows: list[tuple]) -> None:
    """Insert rows, the columns not named here filled with what an empty record has."""
    described = driver.execute(f"PRAGMA table_info({table})").fetchall()
    needed = [
        (name, kind)
        for _, name, kind, notnull, _, is_key in described
        if (notnull or name in _EMPTY) and name not in columns and not is_key
    ]
    extra = tuple(_EMPTY.get(name, "" if "CHAR" in kind or "TEXT" in kind else 0) for name, kind in needed)
    names = (*columns, *(name for name, _ in needed))
    marks = ", ".join("?" * len(names))
    driver.executemany(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})", [row + extra for row in rows])


def first_paint(url: str, tries: int) -> list[float]:
    """Return medians in seconds: CPU until the first picture, CPU and wall until the runs are on the screen."""
    found = []
    for _ in range(tries):
        words = [sys.executable, "-c", FIRST_PAINT, url, str(time.monotonic())]
        done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, check=True)
        found.append(tuple(map(float, done.stdout.split()[-3:])))
    return [statistics.median(column) for column in zip(*found, strict=True)]


async def opened(url: str, work):
    """Open the dashboard over a registry, wait for its runs, and do `work(app, pilot)`."""
    from tui.app import Dashboard

    app = Dashboard(url)
    async with app.run_test(size=(140, 40)) as pilot:
        while app.status is None or not app.screen.index.ids or app.screen.is_busy:
            await pilot.pause(0.05)
        return await work(app, pilot)


async def key_press(app, pilot) -> float:
    """Return the median CPU seconds of a key press that moves the cursor, the drawing included."""
    from textual import events

    await pilot.press("m")
    found = []
    for key in ["down"] * 30 + ["pagedown"] * 30:
        before = time.process_time()
        app.screen.table.post_message(events.Key(key, None))
        await asyncio.sleep(0)
        await pilot._wait_for_screen()
        found.append(time.process_time() - before)
    return statistics.median(found)


async def live_update(app, pilot) -> float:
    """Return the median CPU seconds from noticing a change to the new rows being drawn."""
    found = []
    for _ in range(8):
        app.screen.is_stale = True
        before = time.process_time()
        app.screen.catch_up()
        while app.screen.is_busy:
            await asyncio.sleep(0.001)
        await pilot._wait_for_screen()
        found.append(time.process_time() - before)
    return statistics.median(found)


def memory_mb() -> float:
    """Return this process's resident memory now."""
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return pages * resource.getpagesize() / 1e6


def in_child(function: str, *words: str) -> list[float]:
    """Run one of the measurements in a process of its own, so that none warms up another."""
    done = subprocess.run(
        [sys.executable, __file__, "--measure", function, *words], capture_output=True, text=True, cwd=ROOT, check=True
    )
    return [float(word) for word in done.stdout.split()]


def million_points(folder: Path) -> tuple[float, float]:
    """Return the CPU seconds of the first and (median) of later drawings of a series of a million points."""
    from registry.database import open_database
    from tui.charts import Look, draw
    from tui.snapshots import Store

    url = make_runs(folder, 1, 1)
    db = open_database(url)
    with db.write(durable=False) as session:
        driver = session.connection().connection.driver_connection
        driver.execute("DELETE FROM metric_point")
        rng = random.Random(3)
        driver.executemany(
            "INSERT INTO metric_point (series_id, seq, step, value, elapsed_ms, segment) VALUES (1, ?, ?, ?, ?, 0)",
            ((k, k, rng.random() + 1e5 / (k + 1e5), k) for k in range(1_000_000)),
        )
    db.close()
    store = Store(url)
    store.poll()
    found = []
    for k in range(10):
        before = time.process_time()
        (curve,) = store.curves([(f"{0:010x}", "run")], "val/loss", 120 + k)
        assert draw((replace(curve, colour="#56b4e9"),), 130, 30, Look())
        found.append(time.process_time() - before)
    return found[0], statistics.median(found[1:])


def add_artifacts(url: str, n_artifacts: int) -> None:
    """Record artifacts of the newest runs, each without a copy."""
    from registry.database import open_database

    db = open_database(url)
    with db.write(durable=False) as session:
        driver = session.connection().connection.driver_connection
        ids = [row[0] for row in driver.execute("SELECT id FROM run ORDER BY started_at DESC LIMIT ?", (n_artifacts,))]
        columns = ("run_id", "role", "path", "digest", "size_bytes", "recorded_at", "kind")
        rows = [(k, "best", f"runs/{k}/best.safetensors", f"{n:064x}", 1000, 1.79e9, "file") for n, k in enumerate(ids)]
        insert_rows(driver, "artifact", columns, rows)
    db.close()


def questions(url: str) -> list[float]:
    """Return median CPU seconds: list by best, top 50, a history, compare 10; custody and alerts with artifacts."""
    from registry import queries
    from registry.comparison import compare
    from tui.snapshots import Store

    store = Store(url)
    store.poll()

    def of(work, tries: int = 9) -> float:
        found = []
        for _ in range(tries + 1):
            before = time.process_time()
            work()
            found.append(time.process_time() - before)
        return statistics.median(found[1:])

    settings = store.db.settings
    with store.db.read() as session:
        newest = queries.run_ids(session)[:10]
        wanted = queries.RunFilter(ids=tuple(newest))
        medians = [
            of(lambda: queries.run_ids(session, sort_by="val/loss")),
            of(lambda: queries.list_runs(session, settings, sort_by="val/loss", limit=50, metrics=("val/loss",))),
            of(lambda: queries.history(session, f"{0:010x}", "val/loss")),
            of(lambda: compare(list(queries.list_runs(session, settings, wanted).rows))),
        ]
    add_artifacts(url, 5_000)
    return [*medians, of(lambda: store.custody(False)), of(store.status)]


def soak(folder: Path, seconds: float) -> tuple[float, ...]:
    """Replay 100 updates a second; return memory (MB) and the median lag of the event loop (s), early and late."""
    import registry

    url = str(folder / "runs.db")
    run = registry.init("soak", "watched", db=url, total_steps=int(seconds * 100))

    async def watch(app, pilot):
        lags, early, began, step = [], 0.0, time.monotonic(), 0
        while (elapsed := time.monotonic() - began) < seconds:
            while step < elapsed * 100:
                run.log({"val/loss": 1 / (step + 1), "train/loss": 0.5}, step=step)
                step += 1
            asked = time.monotonic()
            await asyncio.sleep(0.01)
            lags.append(time.monotonic() - asked - 0.01)
            if not early and elapsed > seconds / 4:
                early = memory_mb()
        quarter = len(lags) // 4
        return early, memory_mb(), statistics.median(lags[:quarter]), statistics.median(lags[-quarter:])

    run.log({"val/loss": 1.0}, step=0)
    found = asyncio.run(opened(url, watch))
    run.finish()
    return found


def measure(what: str, words: list[str]) -> list[float]:
    """Do one measurement in this process."""
    if what == "keys":
        return [asyncio.run(opened(words[0], key_press))]
    if what == "update":
        return [asyncio.run(opened(words[0], live_update)), memory_mb()]
    if what == "questions":
        return questions(words[0])
    if what == "chart":
        return list(million_points(Path(words[0])))
    return list(soak(Path(words[0]), float(words[1])))


def rows_of(folder: Path, scale: int, soak_s: float) -> Iterator[Row]:
    """Measure one after the other."""
    for part in ("many", "most", "chart", "soak"):
        (folder / part).mkdir()
    many = make_runs(folder / "many", 10_000 // scale)
    most = make_runs(folder / "most", 100_000 // scale, 2)
    paint, on_screen, wall = first_paint(many, 5)
    yield Row("first paint, CPU", paint * 1e3, "ms", "<= 300")
    yield Row("runs on screen, CPU", on_screen * 1e3, "ms", "<= 1000")
    yield Row("runs on screen, wall", wall * 1e3, "ms", "<= 1000")
    yield Row(f"key press at {100_000 // scale:,} runs, CPU", in_child("keys", most)[0] * 1e3, "ms", "<= 10")
    update, memory = in_child("update", many)
    yield Row("live update, CPU", update * 1e3, "ms", "<= 50")
    yield Row(f"memory at {10_000 // scale:,} runs x {N_METRICS} metrics", memory, "MB", "<= 120")
    first, later = in_child("chart", str(folder / "chart"))
    yield Row("chart of 1,000,000 points, first time, CPU", first * 1e3, "ms", "<= 80")
    yield Row("chart of 1,000,000 points, from then on, CPU", later * 1e3, "ms", "<= 50")
    goals = ("<= 20", "<= 2", "<= 1", "<= 5", "", "")
    what = ("all runs by a metric's best", "the best 50 with their rows", "one history", "compare 10 runs",
            "custody of 5,000 artifacts without a copy", "alerts about them")  # fmt: skip
    for name, found_s, goal in zip(what, in_child("questions", many), goals, strict=True):
        yield Row(f"{name}, CPU", found_s * 1e3, "ms", goal)
    if soak_s:
        early, late, lag_early, lag_late = in_child("soak", str(folder / "soak"), str(soak_s))
        what = f"100 updates a second for {soak_s:g} s"
        yield Row(f"{what}: memory gained after the first quarter", late - early, "MB", "<= 5")
        yield Row(f"{what}: median lag, first quarter", lag_early * 1e3, "ms")
        yield Row(f"{what}: median lag, last quarter", lag_late * 1e3, "ms")


def main() -> None:
    """Measure, print the table and keep it."""
    options = argparse.ArgumentParser()
    options.add_argument("--quick", action="store_true", help="a tenth of the runs; nothing is kept")
    options.add_argument("--soak", type=float, default=0.0, metavar="SECONDS")
    options.add_argument("--measure", nargs="+", help=argparse.SUPPRESS)
    wanted = options.parse_args()
    if wanted.measure:
        print(*measure(wanted.measure[0], wanted.measure[1:]))
        return
    with tempfile.TemporaryDirectory() as name:
        os.environ["XDG_STATE_HOME"] = str(Path(name) / "state")
        found = []
        for row in rows_of(Path(name), 10 if wanted.quick else 1, wanted.soak):
            print(f"{row.what}: {row.ours:,.1f} {row.unit} {row.goal}", flush=True)
            found.append(row)
    if not wanted.quick:
        report("tui", found)


if __name__ == "__main__":
    main()

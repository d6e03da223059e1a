"""How fast the dashboard is, against its goals: `python benchmarks/tui.py [--quick] [--soak SECONDS]`.

CPU seconds of this process (all threads), medians of several tries; the terminal is Textual's headless driver. First
paint is measured in a fresh interpreter, from its start.
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
from dataclasses import replace
from pathlib import Path

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
        self.exit((self.painted_s, time.monotonic() - float(sys.argv[2])))

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
        for _, name, kind, notnull, _, _ in described
        if (notnull or name in _EMPTY) and name not in columns
    ]
    extra = tuple(_EMPTY.get(name, "" if "CHAR" in kind or "TEXT" in kind else 0) for name, kind in needed)
    names = (*columns, *(name for name, _ in needed))
    marks = ", ".join("?" * len(names))
    driver.executemany(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({marks})", [row + extra for row in rows])


def first_paint(url: str, tries: int) -> tuple[float, float]:
    """Return the median CPU seconds until the first picture and wall seconds until the runs are on the screen."""
    found = []
    for _ in range(tries):
        words = [sys.executable, "-c", FIRST_PAINT, url, str(time.monotonic())]
        done = subprocess.run(words, capture_output=True, text=True, cwd=ROOT, check=True)
        found.append(tuple(map(float, done.stdout.split()[-2:])))
    return statistics.median(cpu for cpu, _ in found), statistics.median(wall for _, wall in found)


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


def soak(folder: Path, seconds: float) -> tuple[float, float, float]:
    """Replay 100 updates a second; return memory (MB) early and late, and the worst lag of the event loop (s)."""
    import registry

    url = str(folder / "runs.db")
    run = registry.init("soak", "watched", db=url, total_steps=int(seconds * 100))

    async def watch(app, pilot):
        worst, early, began, step = 0.0, 0.0, time.monotonic(), 0
        while (elapsed := time.monotonic() - began) < seconds:
            while step < elapsed * 100:
                run.log({"val/loss": 1 / (step + 1), "train/loss": 0.5}, step=step)
                step += 1
            asked = time.monotonic()
            await asyncio.sleep(0.01)
            worst = max(worst, time.monotonic() - asked - 0.01)
            if not early and elapsed > seconds / 4:
                early = memory_mb()
        return early, memory_mb(), worst

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
    if what == "chart":
        return list(million_points(Path(words[0])))
    return list(soak(Path(words[0]), float(words[1])))


def line(name: str, value: float, unit: str, goal: float) -> None:
    """Print one line of the table."""
    print(f"| {name} | {value:,.1f} {unit} | {goal:g} {unit} | {'met' if value <= goal else 'MISSED'} |", flush=True)


def main() -> None:
    """Print the table."""
    options = argparse.ArgumentParser()
    options.add_argument("--quick", action="store_true", help="a tenth of the runs")
    options.add_argument("--soak", type=float, default=0.0, metavar="SECONDS")
    options.add_argument("--measure", nargs="+")
    wanted = options.parse_args()
    if wanted.measure:
        print(*measure(wanted.measure[0], wanted.measure[1:]))
        return
    scale = 10 if wanted.quick else 1
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        os.environ["XDG_STATE_HOME"] = str(folder / "state")
        for part in ("many", "most", "chart", "soak"):
            (folder / part).mkdir()
        many = make_runs(folder / "many", 10_000 // scale)
        most = make_runs(folder / "most", 100_000 // scale, 2)
        print(f"| {10_000 // scale:,} runs x {N_METRICS} metrics; keys at {100_000 // scale:,} | measured | goal | |")
        print("|---|---|---|---|")
        cpu, wall = first_paint(many, 5)
        line("first paint, CPU", cpu * 1e3, "ms", 300)
        line("runs on screen, wall", wall * 1e3, "ms", 1000)
        line("key press, CPU", in_child("keys", most)[0] * 1e3, "ms", 10)
        update, memory = in_child("update", many)
        line("live update, CPU", update * 1e3, "ms", 50)
        line("memory", memory, "MB", 120)
        first, later = in_child("chart", str(folder / "chart"))
        line("1,000,000 points, first drawing, CPU", first * 1e3, "ms", 400)
        line("1,000,000 points, later drawings, CPU", later * 1e3, "ms", 50)
        if wanted.soak:
            early, late, worst = in_child("soak", str(folder / "soak"), str(wanted.soak))
            line(f"soak {wanted.soak:g} s: memory gained", late - early, "MB", 5)
            line(f"soak {wanted.soak:g} s: worst lag", worst * 1e3, "ms", 300)


if __name__ == "__main__":
    main()

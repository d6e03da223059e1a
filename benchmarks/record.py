"""The record: what a log() costs, how fast journals become rows, how fast lists, sorts and compares answer, start-up.

Goals and the peers' figures are in PERFORMANCE terms: log p50 <= 3 us (<= 25 us when called each 5 ms), fold
>= 500,000 points/s and >= 60 % of the driver's own executemany in the same run, list and sort 10,000 runs <= 20 ms.
"""

import json
import resource
import sqlite3
import statistics
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

from harness import Row, arguments, folder, median_of, report, wall_and_cpu

import registry
from registry import catchup, journal, queries
from registry.comparison import compare
from registry.database import open_database
from registry.settings import Settings

N_METRICS, N_STEPS = 20, 100
METRICS = ["val/loss", *(f"m{i:02d}" for i in range(1, N_METRICS))]


def logging_rows(n: int, reps: int) -> list[Row]:
    """Cost of one `Run.log` call: flat out, each 5 ms, and the CPU per point."""
    with folder():
        run = registry.init(name="bench")
        one, twenty = {"loss": 0.123456}, dict.fromkeys(METRICS, 0.123456)
        flat = median_of(reps, lambda: _p50(run, one, n, 0.0))
        paced = _p50(run, one, min(n, 400), 0.005)
        cpu_one = median_of(reps, lambda: _cpu(run, one, n)) / n
        cpu_twenty = median_of(reps, lambda: _cpu(run, twenty, n // 20)) / n
        run.finish()
        size = next(Path("runs").glob("*/journal.jsonl")).stat().st_size
        n_points = reps * n * 2 + min(n, 400) + reps * (n // 20) * 20
    return [
        Row("log() p50, flat out", flat * 1e6, "us", "<= 3", "one write() of a JSON line", 1.5),
        Row("log() p50, one each 5 ms", paced * 1e6, "us", "<= 25", "one write() of a JSON line", 15.0),
        Row("CPU a point, one a call", cpu_one * 1e6, "us", "<= 3"),
        Row("CPU a point, twenty a call", cpu_twenty * 1e6, "us", "<= 3"),
        Row("journal, all of the above", size / n_points, "bytes/point", "<= 65"),
    ]


def _p50(run: registry.Run, values: dict[str, float], n: int, gap_s: float) -> float:
    taken = []
    for _ in range(n):
        if gap_s:
            time.sleep(gap_s)
        began = time.perf_counter()
        run.log(values)
        taken.append(time.perf_counter() - began)
    return statistics.median(taken)


def _cpu(run: registry.Run, values: dict[str, float], n: int) -> float:
    def work() -> None:
        for _ in range(n):
            run.log(values)

    return wall_and_cpu(work)[1]


CRASH = """
import os, registry
run = registry.init(name="crash")
step = 0
while True:
    run.log({"loss": 1.0}, step=step)
    os.write(1, b"x")
    step += 1
"""


def crash_rows() -> list[Row]:
    """Points that a process was told were logged and that are gone after SIGKILL."""
    with folder():
        process = subprocess.Popen([sys.executable, "-c", CRASH], stdout=subprocess.PIPE)
        assert process.stdout is not None
        told = len(process.stdout.read(20_000))
        process.kill()
        told += len(process.stdout.read())
        process.wait()
        db = open_database(create=True)
        kept = catchup.catch_up(db)
        db.close()
    return [Row("points lost at SIGKILL", max(0, told - kept), "points", "0")]


def folding_rows(n: int, reps: int) -> list[Row]:
    """Journal -> rows, against the driver's own executemany into the same table, and the size of a point."""
    rates, drivers, sizes = [], [], []
    for _ in range(reps):
        with folder():
            run = registry.init(name="fold")
            for step in range(n):
                run.log({"loss": 1.0 / (step + 1)}, step=step)
            run.finish()
            db = open_database(create=True)
            empty = _size()
            _, cpu = wall_and_cpu(partial(catchup.catch_up, db))
            db.close()
            rates.append(n / cpu)
            sizes.append((_size() - empty) / n)
            drivers.append(n / _executemany(n))
    ours, theirs = statistics.median(rates), statistics.median(drivers)
    return [
        Row("journal to rows", ours, "points/s CPU", ">= 500,000, >= 0.6 of the driver", "sqlite3 executemany", theirs),
        Row("runs.db", statistics.median(sizes), "bytes/point", "<= 24"),
    ]


def _size() -> int:
    with sqlite3.connect("runs.db") as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    return Path("runs.db").stat().st_size


def _executemany(n: int) -> float:
    rows = [(1, i, i, 1.0 / (i + 1), i, 0) for i in range(n)]
    connection = sqlite3.connect("driver.db", isolation_level=None)
    connection.execute("PRAGMA journal_mode=WAL")
    connection.execute("PRAGMA synchronous=NORMAL")
    connection.execute(
        "CREATE TABLE p (series_id INT, seq INT, step INT, value REAL, elapsed_ms INT, segment INT,"
        " PRIMARY KEY (series_id, seq)) WITHOUT ROWID"
    )
    connection.execute("BEGIN")
    _, cpu = wall_and_cpu(lambda: connection.executemany("INSERT INTO p VALUES (?, ?, ?, ?, ?, ?)", rows))
    connection.execute("COMMIT")
    connection.close()
    return cpu


def visible_row(n: int) -> Row:
    """From a line appended to its point in runs.db, read in a loop as the dashboard does."""
    with folder():
        run = registry.init(name="live")
        db = open_database(create=True)
        catchup.catch_up(db)
        path = run.folder / "journal.jsonl"
        taken = []
        for step in range(n):
            began = time.perf_counter()
            run.log({"loss": 1.0}, step=step)
            catchup.project_journal(db, path)
            taken.append(time.perf_counter() - began)
        run.finish()
        db.close()
    return Row("line written to point visible, p50", statistics.median(taken) * 1e3, "ms", "<= 5")


def reading_rows(n_runs: int, reps: int) -> list[Row]:
    """Lists, sorts and compares inside the process, and the start-up of commands on the same registry."""
    with folder():
        _make_runs(n_runs)
        db = open_database()
        settings = Settings()

        def listed(**how: object) -> float:
            with db.read() as session:
                return wall_and_cpu(lambda: queries.list_runs(session, settings, **how))[1] * 1e3

        def ids_sorted() -> float:
            with db.read() as session:
                return wall_and_cpu(lambda: queries.run_ids(session, sort_by="val/loss"))[1] * 1e3

        def history() -> float:
            with db.read() as session:
                return wall_and_cpu(lambda: queries.history(session, first, "val/loss"))[1] * 1e3

        def compared() -> float:
            with db.read() as session:
                page = queries.list_runs(session, settings, sort_by="val/loss", limit=10)
                return wall_and_cpu(lambda: compare(page.rows))[1] * 1e3

        with db.read() as session:
            first = queries.run_ids(session)[0]
        one = partial(listed, sort_by="val/loss", limit=50, metrics=["val/loss"])
        every = partial(listed, sort_by="val/loss", limit=50)
        label = f"{n_runs:,} runs x {N_METRICS} metrics"
        peer = ("MLflow, 1,000 runs", 13_000.0)
        rows = [
            Row(f"sort by best, all ids ({label})", median_of(reps, ids_sorted), "ms CPU", "<= 20", *peer),
            Row("top 50 by best, with 1 metric", median_of(reps, one), "ms CPU", "<= 2"),
            Row("top 50 by best, with all metrics", median_of(reps, every), "ms CPU"),
            Row(f"history of {N_STEPS} points", median_of(reps, history), "ms CPU", "<= 1"),
            Row("compare 10 runs x 20 metrics", median_of(reps, compared), "ms CPU", "<= 5"),
        ]
        db.close()
        for words, goal in (("--version", "<= 120"), ("ls", "<= 700"), ("ls --json", "")):
            rows.append(Row(f"registry {words}", _start_up(words.split(), reps), "ms CPU", goal))
    return rows


def _make_runs(n_runs: int) -> None:
    """Write `n_runs` journals and project them."""
    for i in range(n_runs):
        run_id = f"{i:010x}"
        place = Path("runs") / f"r{i}-{run_id}"
        place.mkdir(parents=True)
        lines = [f'{{"t":"start","at":{i + 1}.0,"run":"{run_id}","name":"r{i}","params":{{"lr":0.{i % 7}1}}}}\n']
        for step in range(N_STEPS):
            values = dict.fromkeys(METRICS, (i * 7919 + step * 31) % 1000 / 1000)
            lines.append(f'{{"t":"m","at":{i + 1}.{step:03d},"v":{json.dumps(values)},"s":{step}}}\n')
        lines.append(f'{{"t":"end","at":{i + 2}.0,"status":"finished"}}\n')
        (place / "journal.jsonl").write_text("".join(lines))
    db = open_database(create=True)
    catchup.catch_up(db)
    db.close()


def _start_up(words: list[str], reps: int) -> float:
    def once() -> float:
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, "-m", "registry", *words], stdout=subprocess.DEVNULL, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        return (after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime) * 1e3

    return median_of(reps, once)


def main() -> None:
    chosen = arguments(__doc__ or "")
    scale = 20 if chosen.quick else 1
    rows = logging_rows(100_000 // scale, chosen.reps)
    rows += crash_rows()
    rows += folding_rows(1_000_000 // scale, min(chosen.reps, 3))
    rows.append(visible_row(2_000 // scale))
    rows += reading_rows(10_000 // scale, chosen.reps)
    report("record", rows, fsync_interval_s=journal.FSYNC_INTERVAL_S)


if __name__ == "__main__":
    main()

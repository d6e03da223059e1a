"""Logs into the record: MB/s and lines/s for each format beside `wc -l`, `json` and a bare expression; how soon a line
that was written is visible in `runs.db`; memory while a log of 1 GB is read.

CPU time is the figure; the peers run on the same bytes in the same run.
"""

import json
import os
import random
import re
import resource
import sqlite3
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from harness import Row, arguments, folder, report

from registry.database import open_database
from registry.ingest.engine import Engine

BARE = re.compile(r"step (\d+) loss: ([-+.\deE]+) lr: ([-+.\deE]+) grad_norm: ([-+.\deE]+)")
LATENCY_LINES = 200
LATENCY_PAUSE_S = 0.03


def written(kind: str, n: int) -> Iterator[str]:
    """Yield the lines of a training of `n` steps as one kind of program writes them."""
    rng = random.Random(1)
    if kind == "csv":
        yield "step,loss,lr,grad_norm"
    for i in range(n):
        loss, lr, norm = 10 / (i + 1) + rng.random() / 50, 1e-3 * (1 - i / n), rng.random()
        at = f"2026-01-01 {i // 3600 % 24:02d}:{i // 60 % 60:02d}:{i % 60:02d}"
        yield {
            "key: value": f"{at},123 - INFO - step {i} loss: {loss:.6f} lr: {lr:.6e} grad_norm: {norm:.4f}",
            "json lines": f'{{"step": {i}, "loss": {loss:.6f}, "lr": {lr:.6e}, "grad_norm": {norm:.4f}}}',
            "csv": f"{i},{loss:.6f},{lr:.6e},{norm:.4f}",
            "hugging face": f"{{'loss': {loss:.4f}, 'grad_norm': {norm:.4f}, 'learning_rate': {lr:.6e}, "
            f"'epoch': {i / n:.2f}}}",
            "tqdm": f"\r{i * 100 // n:3d}%|████      | {i}/{n} [00:10<00:10, 9.51it/s, loss={loss:.4f}, "
            f"norm={norm:.4f}]",
            "step:n/N": f"step:{i}/{n} train_loss:{loss:.4f} train_time:{i}ms step_avg:{norm:.2f}ms",
            "megatron": f" [{at}] iteration {i:8d}/ {n:8d} | consumed samples: {i * 8:12d} | learning rate: {lr:.3E} | "
            f"lm loss: {loss:.6E} | grad norm: {norm:.3f} |",
            "1 metric in 10 lines": f"step {i} loss: {loss:.6f} lr: {lr:.6e} grad_norm: {norm:.4f}"
            if i % 10 == 0
            else f"{at} fetched a batch of {i % 64} sequences from shard {i % 9}",
        }[kind]


KINDS = ("key: value", "json lines", "csv", "hugging face", "tqdm", "step:n/N", "megatron", "1 metric in 10 lines")
SUFFIX = {"json lines": "jsonl", "csv": "csv"}


def cpu_of(work: Callable[[], object]) -> float:
    """Return the CPU seconds of one call, its children's included."""
    before = time.process_time() + _children_s()
    work()
    return time.process_time() + _children_s() - before


def _children_s() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def format_rows(kind: str, n_lines: int) -> list[Row]:
    """What one kind of log costs, beside its peers on the same file."""
    with folder() as root:
        path = root / "logs" / f"train.{SUFFIX.get(kind, 'log')}"
        path.parent.mkdir()
        path.write_text("\n".join(written(kind, n_lines)) + "\n")
        n_megabytes = path.stat().st_size / 1e6
        db = open_database(str(root / "runs.db"), create=True)
        n_points = 0

        def read() -> None:
            nonlocal n_points
            n_points = Engine(db).look([path.parent], settle=True).n_points

        cpu_s = cpu_of(read)
        db.close()
        peer, theirs_s = _peer(kind, path)
    rows = [
        Row(f"{kind}: log to runs.db", n_megabytes / cpu_s, "MB/s CPU", "", peer, n_megabytes / theirs_s),
        Row(f"{kind}: lines", n_lines / cpu_s, "lines/s CPU"),
    ]
    goal = "" if kind in ("tqdm", "1 metric in 10 lines") else ">= 300,000"
    return [*rows, Row(f"{kind}: points", n_points / cpu_s, "points/s CPU", goal)]


def _peer(kind: str, path: Path) -> tuple[str, float]:
    if kind == "json lines":
        return "json.loads a line", cpu_of(lambda: [json.loads(line) for line in path.open()])
    if kind == "key: value":
        return "one expression a line", cpu_of(lambda: [BARE.search(line) for line in path.open()])
    return "wc -l", cpu_of(lambda: subprocess.run(["wc", "-l", str(path)], check=True, stdout=subprocess.DEVNULL))


def driver_rows(n_points: int) -> list[Row]:
    """The bare driver's rate of inserting the same points, which nothing that records them can pass."""
    with folder() as root:
        store = sqlite3.connect(root / "bare.db")
        store.execute("PRAGMA journal_mode=WAL")
        columns = "series INT, seq INT, step INT, value REAL, at INT, segment INT, PRIMARY KEY (series, seq)"
        store.execute(f"CREATE TABLE p ({columns}) WITHOUT ROWID")
        points = [(i % 3, i // 3, i // 3, 1.0 / (i + 1), i, 0) for i in range(n_points)]

        def insert() -> None:
            store.executemany("INSERT INTO p VALUES (?,?,?,?,?,?)", points)
            store.commit()

        cpu_s = cpu_of(insert)
        store.close()
    return [Row("bare driver, executemany", n_points / cpu_s, "points/s CPU")]


def latency_rows(n_lines: int) -> list[Row]:
    """How long after `write` returns a point can be read from `runs.db` by another process: the real watcher runs."""
    with folder() as root:
        logs = root / "logs"
        logs.mkdir()
        log = open(logs / "train.log", "a", buffering=1)  # noqa: SIM115 (closed below, after the watcher)
        for i in range(10):
            log.write(f"step {i} loss: {1 / (i + 1):.6f}\n")
        command = [sys.executable, "-m", "registry", "--db", str(root / "runs.db"), "-q", "watch", str(logs)]
        watcher = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            store = _wait_for_store(root / "runs.db")
            waits_ms = [_wait_ms(log, store, i) for i in range(10, 10 + n_lines)]
        finally:
            watcher.terminate()
            watcher.wait()
            log.close()
    waits_ms.sort()
    return [
        Row("line written -> visible, p50", statistics.median(waits_ms), "ms", "<= 5"),
        Row("line written -> visible, p99", waits_ms[int(0.99 * len(waits_ms))], "ms", "<= 50"),
    ]


def _wait_for_store(path: Path) -> sqlite3.Connection:
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if path.exists():
            store = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
            try:
                if (store.execute("SELECT max(last_step) FROM metric_series").fetchone()[0] or 0) >= 9:
                    return store
            except sqlite3.OperationalError:
                store.close()
        time.sleep(0.05)
    raise TimeoutError("the watcher recorded nothing")


def _wait_ms(log: object, store: sqlite3.Connection, step: int) -> float:
    time.sleep(LATENCY_PAUSE_S)
    log.write(f"step {step} loss: {1 / (step + 1):.6f}\n")  # type: ignore[attr-defined]
    began = time.perf_counter()
    while store.execute("SELECT last_step FROM metric_series").fetchone()[0] < step:
        if time.perf_counter() - began > 10:
            raise TimeoutError(f"step {step} did not come")
    return (time.perf_counter() - began) * 1e3


def memory_rows(n_bytes: int) -> list[Row]:
    """The most memory that reading one long log takes, in a process of its own."""
    with folder() as root:
        path = root / "logs" / "train.log"
        path.parent.mkdir()
        block = "\n".join(_among_words(200_000)) + "\n"
        with open(path, "w") as file:
            for _ in range(max(1, n_bytes // len(block))):
                file.write(block)
        n_megabytes = path.stat().st_size / 1e6
        began = time.perf_counter()
        told = subprocess.run(
            [sys.executable, __file__, "--read", str(root)], check=True, capture_output=True, text=True
        )
        wall_s = time.perf_counter() - began
    peak_mb, cpu_s = map(float, told.stdout.split())
    return [
        Row(f"memory on a log of {n_megabytes:,.0f} MB", peak_mb, "MiB", "<= 150"),
        Row("the same log: rate", n_megabytes / cpu_s, "MB/s CPU"),
        Row("the same log: wall", wall_s, "s"),
    ]


def _among_words(n: int) -> Iterator[str]:
    """Yield a log that is mostly words, as long ones are: warnings, paths, traces; one line in twenty is a metric."""
    words = (
        "UserWarning: the operator is slow on this device and falls back to the host, see the notes of the release. "
    )
    for i in range(n):
        yield f"step {i} loss: {1 / (i + 1):.6f} lr: 1.000000e-03" if i % 20 == 0 else f"worker {i % 8}: {words * 3}"


def read_alone(root: Path) -> None:
    """Read the logs below `root`; print the peak of memory in MiB and the CPU seconds."""
    db = open_database(str(root / "runs.db"), create=True)
    began = time.process_time()
    Engine(db).look([root / "logs"], settle=True)
    print(peak_mib(), time.process_time() - began)
    db.close()


def peak_mib() -> float:
    """Return the most memory that this process had, in MiB; `getrusage` would count the one that started it too."""
    status = Path("/proc/self/status")
    if not status.exists():
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
    assert found is not None
    return int(found[1]) / 1024


def main() -> None:
    """Measure everything and write results/ingest.json."""
    if "--read" in sys.argv:
        read_alone(Path(sys.argv[2]))
        return
    options = arguments(__doc__ or "")
    n_lines, n_bytes = (20_000, 30_000_000) if options.quick else (100_000, 1_000_000_000)
    rows = [row for kind in KINDS for row in format_rows(kind, n_lines)]
    rows += driver_rows(3 * n_lines) + latency_rows(50 if options.quick else LATENCY_LINES) + memory_rows(n_bytes)
    report("ingest", rows, n_lines=n_lines, load=os.getloadavg()[0])


if __name__ == "__main__":
    main()

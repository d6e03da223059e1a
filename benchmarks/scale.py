"""How cost grows: journals looked at, runs that write at once, points in one registry, bytes to verify. What two cores
allow is measured; docs/scale.md does the arithmetic from there.
"""

import hashlib
import os
import time
from pathlib import Path

from harness import Row, arguments, folder, median_of, report

import registry
from registry import catchup, events, places
from registry.database import Database, open_database


def write_journals(n_runs: int, n_steps: int, root: Path) -> list[Path]:
    """Write the journals of `n_runs` finished runs with 10 metrics at `n_steps` steps each; returns them."""
    paths = []
    for number in range(n_runs):
        run_id = f"{number:010x}"
        path = root / "runs" / f"r-{run_id}" / places.JOURNAL_NAME
        path.parent.mkdir(parents=True)
        at = 1_700_000_000.0
        lines = [events.encode(events.Start(at=at, run=run_id, name=f"r{number}"))]
        values: dict[str, events.Number] = {f"m{i}": 0.5 + i for i in range(10)}
        lines += [events.encode(events.Metrics(at=at + step, v=values, s=step)) for step in range(n_steps)]
        lines.append(events.encode(events.End(at=at + n_steps, status="finished")))
        path.write_bytes(b"".join(lines))
        paths.append(path)
    return paths


def timed(work: object) -> float:
    """Return the wall seconds of one call."""
    began = time.perf_counter()
    work()  # type: ignore[operator]
    return time.perf_counter() - began


def journal_rows(n_runs: int) -> list[Row]:
    """What a command pays to look at journals that have nothing new, and when each has one new line."""
    with folder() as root:
        paths = write_journals(n_runs, 1, root)
        db = open_database(create=True)
        first = timed(lambda: catchup.catch_up(db))
        idle = median_of(5, lambda: timed(lambda: catchup.catch_up(db)))
        for path in paths:
            with open(path, "ab") as file:
                file.write(events.encode(events.Metrics(at=1_700_000_100.0, v={"m0": 1.0}, s=2)))
        moved = timed(lambda: catchup.catch_up(db))
        db.close()
    return [
        Row(f"{n_runs:,} journals: first reading", first / n_runs * 1e3, "ms each"),
        Row(f"{n_runs:,} journals: look, nothing new", idle * 1e3, "ms"),
        Row(f"{n_runs:,} journals: each has one new line", moved / n_runs * 1e3, "ms each"),
    ]


def point_rows(n_points: int) -> list[Row]:
    """How fast points come in, how large the file is, and what a list costs afterwards."""
    n_runs = 20
    with folder() as root:
        write_journals(n_runs, n_points // 10 // n_runs, root)
        db = open_database(create=True)
        seconds = timed(lambda: catchup.catch_up(db))
        with db.engine.connect() as connection:
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")
        size = os.stat(root / "runs.db").st_size
        listed = median_of(5, lambda: timed(lambda: list_once(db)))
        db.close()
    return [
        Row(f"{n_points:,} points: fold", n_points / seconds, "points/s", ">= 500,000"),
        Row(f"{n_points:,} points: runs.db", size / n_points, "bytes/point", "<= 24"),
        Row(f"{n_points:,} points: list {n_runs} runs", listed * 1e3, "ms"),
    ]


def list_once(db: Database) -> None:
    """List the newest runs with their metrics."""
    registry.Registry(db).runs()


def hash_row() -> Row:
    """How fast one core hashes."""
    block = os.urandom(1 << 20)

    def work() -> float:
        hashed = hashlib.sha256()
        return timed(lambda: [hashed.update(block) for _ in range(512)])

    return Row("sha256 of one core", 0.5 * 1.073741824 / median_of(3, work), "GB/s")


if __name__ == "__main__":
    options = arguments(__doc__ or "")
    sizes = ((10, 100), (1_000, 10_000)) if options.quick else ((100, 1_000, 5_000), (10_000, 100_000, 1_000_000))
    measured = [row for n in sizes[0] for row in journal_rows(n)]
    measured += [row for n in sizes[1] for row in point_rows(n)]
    report("scale", [*measured, hash_row()])

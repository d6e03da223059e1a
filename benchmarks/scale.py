"""How cost grows from 1 to 10 to 100 times: journals looked at, runs that write at once, points in one registry,
artifacts of one run, bytes to verify. CPU time throughout. The plot of it is drawn in the terminal and kept in
docs/pictures/growth.png; docs/scale.md does the arithmetic from there.
"""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

from harness import Row, arguments, folder, median_of, report, wall_and_cpu

import registry
from registry import catchup, events, places, queries
from registry.database import Database, open_database

PICTURE = Path(__file__).parents[1] / "docs" / "pictures" / "growth.png"


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


def timed(work: Callable[[], object]) -> float:
    """Return the CPU seconds of one call."""
    return wall_and_cpu(work)[1]


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
        listed = median_of(3, lambda: timed(lambda: newest(db)))
        db.close()
    return [
        Row(f"{n_runs:,} journals: first reading", first / n_runs * 1e3, "ms CPU each"),
        Row(f"{n_runs:,} journals: look, nothing new", idle * 1e3, "ms CPU"),
        Row(f"{n_runs:,} journals: each has one new line", moved / n_runs * 1e3, "ms CPU each"),
        Row(f"{n_runs:,} runs: the 20 newest with their metrics", listed * 1e3, "ms CPU"),
    ]


def point_rows(n_points: int, *, whole: bool) -> list[Row]:
    """How fast points come in, how large the file is, and what a list costs afterwards; goals hold for the `whole`."""
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
        Row(f"{n_points:,} points: fold", n_points / seconds, "points/s CPU", ">= 500,000" if whole else ""),
        Row(f"{n_points:,} points: runs.db", size / n_points, "bytes/point", "<= 24" if whole else ""),
        Row(f"{n_points:,} points: list {n_runs} runs", listed * 1e3, "ms CPU"),
    ]


def list_once(db: Database) -> None:
    """List all runs with their metrics."""
    registry.Registry(db).runs()


def newest(db: Database) -> None:
    """Ask for the first page of the newest runs, as a dashboard does."""
    with db.read() as session:
        queries.list_runs(session, db.settings, queries.RunFilter(), limit=20)


def artifact_rows(n_artifacts: int) -> list[Row]:
    """What recording artifacts costs, and what it costs to say which copies there are of them."""
    with folder() as root:
        run = registry.init(name="many")
        paths = [root / "out" / f"{number}.bin" for number in range(n_artifacts)]
        paths[0].parent.mkdir()
        for number, path in enumerate(paths):
            path.write_bytes(number.to_bytes(4, "big") * 256)
        logged = timed(lambda: [run.log_artifact(path, role="checkpoint") for path in paths])
        run.finish()
        with registry.open() as record:
            record.runs()
            shown = median_of(3, lambda: timed(lambda: record.run(run.id)))
    return [
        Row(f"{n_artifacts:,} artifacts: hash and record", logged / n_artifacts * 1e3, "ms CPU each"),
        Row(f"{n_artifacts:,} artifacts: show the run", shown * 1e3, "ms CPU"),
    ]


def hash_row() -> Row:
    """How fast one core hashes."""
    block = os.urandom(1 << 20)

    def work() -> float:
        hashed = hashlib.sha256()
        return timed(lambda: [hashed.update(block) for _ in range(512)])

    return Row("sha256 of one core", 0.5 * 1.073741824 / median_of(3, work), "GB/s")


CURVES = (
    ("journals: look, nothing new", "look at journals"),
    ("runs: the 20 newest with their metrics", "20 newest runs"),
    ("points: list 20 runs", "list, by points"),
    ("artifacts: show the run", "show, by artifacts"),
)


def curves(rows: list[Row]) -> dict[str, list[tuple[float, float]]]:
    """Return how often the size of the smallest, and how often its cost, for each thing that grows."""
    found: dict[str, list[tuple[float, float]]] = {}
    for ending, label in CURVES:
        sized = [(float(row.what.split()[0].replace(",", "")), row.ours) for row in rows if row.what.endswith(ending)]
        found[label] = [(size / sized[0][0], cost / sized[0][1]) for size, cost in sized]
    return found


def draw(found: dict[str, list[tuple[float, float]]], picture: Path | None) -> None:
    """Draw the curves in the terminal and, where there is a file for it, as a picture."""
    import plotext

    plotext.clear_figure()
    plotext.theme("clear")
    plotext.plot_size(90, 24)
    for label, points in found.items():
        plotext.plot(*zip(*points, strict=True), label=label, marker="braille")
    plotext.xscale("log")
    plotext.yscale("log")
    plotext.title("cost (times the smallest) by size (times the smallest)")
    plotext.show()
    if picture is None:
        return
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4.2), dpi=120)
    for label, points in found.items():
        axes.loglog(*zip(*points, strict=True), marker="o", label=label)
    axes.loglog([1, 100], [1, 100], "--", color="grey", label="as much more as there is more")
    axes.set_xlabel("size, times the smallest")
    axes.set_ylabel("CPU time, times the smallest")
    axes.legend(frameon=False)
    figure.tight_layout()
    figure.savefig(picture)


if __name__ == "__main__":
    options = arguments(__doc__ or "")
    n_runs = (10, 100) if options.quick else (100, 1_000, 10_000)
    n_points = (1_000, 10_000) if options.quick else (10_000, 100_000, 1_000_000)
    n_artifacts = (10, 100) if options.quick else (10, 100, 1_000)
    measured = [row for n in n_runs for row in journal_rows(n)]
    measured += [row for n in n_points for row in point_rows(n, whole=n >= 1_000_000)]
    measured += [row for n in n_artifacts for row in artifact_rows(n)]
    report("scale", [*measured, hash_row()])
    draw(curves(measured), None if options.quick else PICTURE)

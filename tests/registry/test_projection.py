"""Journals become rows exactly once, whoever reads them, however often they are interrupted."""

import json
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import registry
from registry import catchup, clock, events, journal
from registry.database import open_database
from tests.registry.rows import rows

POINTS = "SELECT r.name, s.name, p.seq, p.step, p.value, p.segment FROM metric_point p JOIN metric_series s"
POINTS += " ON s.id = p.series_id JOIN run r ON r.id = s.run_id ORDER BY 1, 2, 3"


def points():
    return rows(POINTS)


def journals(folder=Path("runs")):
    return sorted(folder.glob("*/journal.jsonl"))


def record_some(name, n=100):
    with registry.init(name=name, params={"n": n}) as run:
        for step in range(n):
            run.log({"loss": 1.0 / (step + 1), "acc": float(step)}, step=step)
    return run


def test_reading_again_adds_nothing():
    record_some("a")
    db = open_database(create=True)
    assert catchup.catch_up(db) == 200
    before = points()
    assert catchup.catch_up(db) == 0
    assert points() == before
    db.close()


def test_reading_on_while_it_grows_gives_the_same_as_reading_once(monkeypatch):
    monkeypatch.setattr(catchup, "CHUNK_BYTES", 300)
    run = registry.init(name="grows")
    db = open_database(create=True)
    for step in range(200):
        run.log({"loss": float(step)}, step=step)
        if step % 17 == 0:
            catchup.catch_up(db)
    run.finish()
    catchup.catch_up(db)
    db.close()
    assert [row[3] for row in points()] == list(range(200))


READER = """
from registry.database import open_database
from registry.catchup import catch_up
db = open_database(create=True)
import sys
for _ in range(60):
    catch_up(db)
"""
WRITER = """
import registry, sys
with registry.init(name=sys.argv[1]) as run:
    for step in range(5_000):
        run.log({"loss": float(step)}, step=step)
"""


def test_two_writers_and_three_readers_at_once_lose_and_double_nothing(own_folder):
    open_database(create=True).close()
    started = [subprocess.Popen([sys.executable, "-c", WRITER, f"w{i}"], cwd=own_folder) for i in range(2)]
    started += [
        subprocess.Popen([sys.executable, "-c", READER], cwd=own_folder, stderr=subprocess.PIPE) for _ in range(3)
    ]
    said = [process.communicate(timeout=150)[1] for process in started]
    assert [process.returncode for process in started] == [0] * 5, said
    db = open_database()
    catchup.catch_up(db)
    db.close()
    assert [(row[0], row[3]) for row in points()] == [(f"w{i}", step) for i in range(2) for step in range(5_000)]


def test_a_reader_killed_in_the_middle_leaves_whole_transactions(own_folder):
    record_some("big", 20_000)
    open_database(create=True).close()
    script = "from registry import catchup; catchup.CHUNK_BYTES = 20_000\n" + READER
    for _ in range(4):
        process = subprocess.Popen([sys.executable, "-c", script], cwd=own_folder)
        deadline = time.monotonic() + 30
        seen = len(points())
        while time.monotonic() < deadline and len(points()) == seen and process.poll() is None:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
        process.wait()
        got = [row for row in points() if row[1] == "loss"]
        assert [row[3] for row in got] == list(range(len(got)))
    db = open_database()
    catchup.catch_up(db)
    db.close()
    assert len(points()) == 40_000


TABLES = (
    "SELECT id, name, status, evidence, started_at, ended_at, heartbeat_at, exit_code, command, segment FROM run",
    "SELECT run_id, key, value FROM param",
    "SELECT run_id, tag FROM tag",
    "SELECT run_id, name, basis, count, non_finite, first_value, last_value, min_value, min_step, max_value, max_step"
    " FROM metric_series",
    "SELECT s.run_id, s.name, p.seq, p.step, p.value, p.elapsed_ms, p.segment FROM metric_point p"
    " JOIN metric_series s ON s.id = p.series_id",
    "SELECT run_id, number, at, reason FROM segment",
    "SELECT run_id, role, path, digest, size_bytes, step, superseded_at FROM artifact",
    "SELECT a.run_id, b.path, b.digest FROM artifact_blob b JOIN artifact a ON a.id = b.artifact_id",
    "SELECT e.run_id, e.digest, e.subject, e.step, v.name, v.value, v.low FROM evaluation e"
    " JOIN evaluation_value v ON v.evaluation_id = e.id",
    "SELECT run_id, name, version, role FROM dataset_use",
    "SELECT run_id, suite, suite_digest FROM run_suite",
    "SELECT run_id, suite, name, verdict, observed FROM gate_result",
    'SELECT path, run_id, "offset", bad_lines FROM journal_cursor',
)


def contents(address=None):
    return {sql: sorted(rows(sql, address), key=repr) for sql in TABLES}


def test_rebuild_gives_the_same_tables_from_the_journals(cli, own_folder, record_engine, monkeypatch):
    suite = 'name = "mine"\n[[gate]]\nname = "good"\nmetric = "acc"\nop = ">="\nthreshold = 0.5\n'
    (own_folder / "mine.toml").write_text(suite)
    with registry.init(name="full", params={"lr": 0.1}, tags=["t"], gates="mine.toml") as run:
        for step in (0, 1, 2, 1, 2):
            run.log({"loss": 1.0 / (step + 1), "odd": float("nan")}, step=step)
        (own_folder / "best.bin").write_bytes(b"weights")
        run.log_artifact("best.bin", role="best", step=2)
        run.log_evaluation(artifact="best", metrics={"acc": 0.7}, intervals={"acc": (0.6, 0.8)})
        run.log_evaluation(subject="constant", metrics={"acc": 0.1}, suite="mine")
        run.use_dataset("d@1")
    record_some("other", 50)
    cli("ls")
    cli("tag", "full", "kept")
    cli("note", "full", "looks good")
    cli("dataset", "add", "d@1", "mine.toml")
    before = contents()
    said = cli("rebuild", "--yes", *(["--to", "new.db"] if record_engine == "postgresql" else []))
    assert "2 runs" in said.out
    if record_engine == "postgresql":
        assert "never overwritten" in cli("rebuild", "--yes", code=2).err
        monkeypatch.setenv("REGISTRY_DB", "new.db")
    assert contents() == before
    assert [note["text"] for note in cli("show", "full", "--json").json["notes"]] == ["looks good"]
    assert cli("history", "--json").json
    assert cli("doctor").code == 0


@pytest.mark.file_only
def test_rebuild_works_when_the_old_file_is_garbage(cli, own_folder):
    record_some("a", 10)
    cli("ls")
    for name in ("runs.db-wal", "runs.db-shm"):
        Path(name).unlink(missing_ok=True)
    Path("runs.db").write_bytes(b"this is no database" * 1000)
    assert "is not a database" in cli("ls", code=1).err
    said = cli("rebuild", "--yes")
    assert "nothing was carried over" in said.err
    assert len(points()) == 20
    assert list(own_folder.glob("runs.db.before-*"))


def test_a_run_whose_process_died_is_crashed_at_the_next_look(python, cli):
    process = python(
        "import registry, time; r = registry.init(name='dies'); r.log({'a': 1.0}); print(1, flush=True); time.sleep(60)"
    )
    process.stdout.readline()
    assert cli("ls", "--json").json[0]["status"] == "running"
    process.kill()
    process.wait()
    row = cli("ls", "--json").json[0]
    assert row["status"] == "crashed" and "is gone and said nothing" in row["evidence"]


def test_a_run_on_another_host_is_crashed_when_its_heartbeat_stops_and_lives_when_it_beats_again(cli, own_folder):
    start = events.Start(at=clock.now(), run="abcdef0123", name="far", host={"name": "gpu1", "boot_id": "x", "pid": 1})
    folder = own_folder / "runs" / "far-abcdef0123"
    folder.mkdir(parents=True)
    journal.append_event(folder / "journal.jsonl", start)
    assert cli("ls", "--json").json[0]["status"] == "running"
    with clock.frozen(clock.now() + 600):
        assert cli("ls", "--json").json[0]["status"] == "crashed"
        journal.append_event(folder / "journal.jsonl", events.Heartbeat(at=clock.now()))
        assert cli("ls", "--json").json[0]["status"] == "running"


@pytest.mark.file_only
def test_a_moved_project_is_the_same_record(cli, own_folder, monkeypatch):
    record_some("a", 10)
    cli("ls")
    shutil.move(str(journals()[0].parent), str(own_folder / "runs" / "renamed-folder"))
    assert len(cli("ls", "--json").json) == 1
    assert len(points()) == 20
    moved = own_folder / "elsewhere"
    moved.mkdir()
    for name in ("runs.db", "runs"):
        shutil.move(str(own_folder / name), str(moved / name))
    monkeypatch.chdir(moved)
    assert len(cli("ls", "--json").json) == 1
    assert len(points()) == 20


def test_the_copy_of_a_journal_is_not_read_as_a_second_run(cli, own_folder):
    record_some("a", 10)
    cli("ls")
    shutil.copytree(journals()[0].parent, own_folder / "runs" / "copy-of-it")
    assert len(cli("ls", "--json").json) == 1
    assert len(points()) == 20


@pytest.mark.parametrize("torn", [b"not json\n", b'{"t":"m"}\n', b"\xff\xfe\n", b'{"t":"unheard-of","at":1}\n'])
def test_a_line_that_cannot_be_read_is_counted_and_told(cli, torn):
    record_some("a", 5)
    path = journals()[0]
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:3], torn, *lines[3:]]))
    assert cli("ls", "--json").json[0]["metrics"]["loss"]["count"] == 5
    codes = [alert["code"] for alert in cli("alerts", "--json").json]
    assert "journal-torn-lines" in codes


def test_every_value_reaches_json_as_json(cli):
    with registry.init(name="odd") as run:
        run.log({"loss": float("nan"), "acc": float("inf")}, step=0)
    row = json.loads(cli("show", "odd", "--json").out, parse_constant=lambda word: pytest.fail(f"bare {word} in JSON"))
    assert row["metrics"]["loss"]["last"] is None and row["metrics"]["loss"]["non_finite"] == 1

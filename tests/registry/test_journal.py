"""What a process was told is logged, is logged: whatever happens to it next."""

import json
import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import registry
from registry import events, journal
from registry.record import open as open_record


def journal_of(folder: Path) -> Path:
    return next((folder / "runs").glob("*/journal.jsonl"))


ENDLESS = """
import registry, sys
run = registry.init(experiment="kill", name="victim")
step = 0
while True:
    run.log({"loss": 1.0 / (step + 1), "acc": step * 0.5}, step=step)
    sys.stdout.write(f"{step}\\n")
    sys.stdout.flush()
    step += 1
"""


def test_kill_minus_nine_in_the_middle_of_a_logging_loop_loses_nothing(python, own_folder):
    process = python(ENDLESS)
    lines = [process.stdout.readline() for _ in range(2_000)]
    process.send_signal(signal.SIGKILL)
    rest, _ = process.communicate()
    told = [int(line) for line in (*lines, *rest.split("\n")) if line.strip()]
    with open_record_after(own_folder) as record:
        points = record.history("victim", "loss")
        assert len(points) >= len(told) >= 2_000
        assert [step for step, _ in points] == list(range(len(points)))
        assert all(value == 1.0 / (step + 1) for step, value in points)
        assert record.run("victim")["status"] == "crashed"


def open_record_after(folder: Path) -> registry.Registry:
    from registry.database import open_database

    open_database(str(folder / "runs.db"), create=True).close()
    return open_record(str(folder / "runs.db"))


def test_one_log_call_is_one_write(own_folder):
    run = registry.init(name="one")
    written = []

    def write(descriptor: int, line: bytes) -> int:
        written.append(line)
        return os.write(descriptor, line)

    run._journal._write = write
    run.log({"a": 1.5, "b": 2}, step=3)
    run.log({"a": float("nan")}, step=4)
    run.finish()
    assert [line.count(b"\n") for line in written[:2]] == [1, 1]
    assert [events.decode(line.rstrip()).v for line in written[:2]] == [{"a": 1.5, "b": 2}, {"a": "NaN"}]


def test_nan_and_infinities_survive_the_trip(own_folder, cli):
    with registry.init(name="odd") as run:
        for step, value in enumerate([1.0, math.nan, math.inf, -math.inf, 2.0]):
            run.log({"loss": value}, step=step)
    with open_record_after(own_folder) as record:
        values = [value for _, value in record.history("odd", "loss")]
        metric = record.run("odd")["metrics"]["loss"]
    assert values == [1.0, None, math.inf, -math.inf, 2.0]
    assert metric["non_finite"] == 3 and metric["best"] == 1.0 and metric["count"] == 5


def test_a_torn_last_line_waits_and_does_not_swallow_the_next(own_folder):
    with registry.init(name="torn") as run:
        run.log({"loss": 1.0}, step=0)
    path = journal_of(own_folder)
    whole = path.read_bytes()
    path.write_bytes(whole + b'{"t":"m","at":1.0,"v":{"lo')
    with open_record_after(own_folder) as record:
        assert len(record.history("torn", "loss")) == 1
        writer = journal.JournalWriter(path, lambda message: None)
        writer.append(events.encode(events.Metrics(at=2.0, v={"loss": 0.5}, s=1)))
        writer.close()
        assert [value for _, value in record.history("torn", "loss")] == [1.0, 0.5]


def test_a_full_disk_never_stops_training_and_what_waited_is_written_later(own_folder):
    script = """
import registry, resource, signal, sys
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
run = registry.init(name="full")
for step in range(50):
    run.log({"loss": float(step)}, step=step)
size = run._journal.path.stat().st_size
soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
resource.setrlimit(resource.RLIMIT_FSIZE, (size + 30, hard))
for step in range(50, 150):
    run.log({"loss": float(step)}, step=step)
resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
run.log({"loss": 150.0}, step=150)
run.finish()
print("trained to the end")
"""
    done = subprocess.run([sys.executable, "-c", script], cwd=own_folder, capture_output=True, text=True)
    assert done.stdout == "trained to the end\n", done.stderr
    assert done.stderr.count("recording waits in memory, training goes on") >= 1
    with open_record_after(own_folder) as record:
        assert [step for step, _ in record.history("full", "loss")] == list(range(151))
        assert record.run("full")["status"] == "finished"


def test_the_journal_is_on_the_disk_within_about_a_second(own_folder, monkeypatch):
    synced = []
    monkeypatch.setattr(journal.os, "fsync", lambda fd: synced.append(time.monotonic()))
    run = registry.init(name="sync")
    synced.clear()
    began = time.monotonic()
    run.log({"a": 1.0}, step=0)
    deadline = began + 10 * journal.FSYNC_INTERVAL_S
    while not synced and time.monotonic() < deadline:
        time.sleep(0.02)
    assert synced
    run.finish()


def test_every_event_survives_encoding():
    said = [
        events.Start(at=1.0, run="a1", name="n", params={"lr": 0.1, "deep": {"x": [1, None]}}, tags=["t"]),
        events.Metrics(at=2.0, v={"a": 1.5, "b": "NaN"}, s=3, b="sampled"),
        events.Artifact(
            at=3.0, role="best", path="w", digest="0" * 64, size_bytes=1, files=[events.ArtifactFile("w", "0" * 64, 1)]
        ),
        events.Evaluation(at=4.0, metrics={"m": 1.0}, digest="0" * 64, intervals={"m": (0.5, 1.5)}),
        events.End(at=5.0, status="finished", exit_code=0),
    ]
    assert [events.decode(events.encode(event).rstrip()) for event in said] == said
    assert events.decode_lines(b"".join(map(events.encode, said))) == said


def test_fields_of_a_newer_version_do_not_stop_an_older_reader():
    line = json.dumps({"t": "m", "at": 1.0, "v": {"a": 1}, "s": 2, "future": True}).encode()
    assert events.decode(line) == events.Metrics(at=1.0, v={"a": 1}, s=2)


@pytest.mark.parametrize("offset_lines", [0, 1, 5])
def test_reading_on_from_any_line_gives_the_rest(tmp_path, offset_lines):
    lines = [f'{{"n":{i}}}\n'.encode() for i in range(10)]
    path = tmp_path / "journal"
    path.write_bytes(b"".join(lines) + b'{"unfinished')
    start = sum(map(len, lines[:offset_lines]))
    assert journal.read_whole_lines(path, start, 7) != b""
    got = b""
    while chunk := journal.read_whole_lines(path, start + len(got), 16):
        got += chunk
    assert got == b"".join(lines[offset_lines:])

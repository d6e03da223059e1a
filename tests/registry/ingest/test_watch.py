"""`registry watch`: journals of other processes and foreign logs become runs, once and live."""

import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import registry as holdfast
from registry.database import open_database
from registry.ingest.engine import Engine, Look
from registry.ingest.watch import watch
from tests.registry.ingest.conftest import Registry

DEADLINE_S = 30.0


def until(condition: Callable[[], bool]) -> None:
    """Wait until a condition holds, at most DEADLINE_S."""
    end = time.monotonic() + DEADLINE_S
    while not condition():
        assert time.monotonic() < end, "it did not happen in time"
        time.sleep(0.01)


def test_json_lines_become_a_run(cli: Callable[..., Any], logs: Path) -> None:
    lines = [json.dumps({"step": step, "loss": 1 / step, "val/acc": step / 10}) for step in range(1, 6)]
    (logs / "resnet.jsonl").write_text("\n".join(lines) + "\n")

    said = cli("watch", logs, "--once", "--json").json

    assert (said["points"], len(said["new_runs"])) == (10, 1)
    (run,) = cli("export", "--all", "--to", "json").json["runs"]
    assert run["name"] == "resnet"
    assert run["metrics"]["loss"] == [[1, 1.0], [2, 0.5], [3, 1 / 3], [4, 0.25], [5, 0.2]]
    assert run["status"] == "unknown"


def test_pairs_with_a_step_become_a_run(cli: Callable[..., Any], logs: Path) -> None:
    rows = [f"2026-01-02 10:00:{n:02} INFO epoch={n} train_loss={1 / n:.4f} lr: 1e-3" for n in range(1, 5)]
    (logs / "train.log").write_text("\n".join(rows) + "\n")

    cli("watch", logs, "--once")

    (run,) = cli("export", "--all").json["runs"]
    assert run["metrics"]["train_loss"] == [[1, 1.0], [2, 0.5], [3, 0.3333], [4, 0.25]]
    assert [value for _step, value in run["metrics"]["lr"]] == [0.001] * 4


def test_a_second_look_adds_nothing(cli: Callable[..., Any], logs: Path) -> None:
    (logs / "a.jsonl").write_text("".join(f'{{"step": {n}, "loss": 0.5}}\n' for n in range(5)))

    assert cli("watch", logs, "--once", "--json").json["points"] == 5
    assert cli("watch", logs, "--once", "--json").json["points"] == 0


def test_journals_of_other_processes_are_read(cli: Callable[..., Any], tmp_path: Path) -> None:
    """A run recorded into another registry's folder shows up here, and is not taken for a foreign log as well."""
    other = tmp_path / "machine"
    script = (
        "import registry\n"
        "with registry.init(name='elsewhere') as run:\n"
        "    [run.log({'loss': 1.0 / (n + 1)}, step=n) for n in range(7)]\n"
    )
    subprocess.run([sys.executable, "-c", script], check=True, env={**_plain(), "REGISTRY_DB": str(other / "runs.db")})

    cli("watch", other, "--once")

    (run,) = cli("export", "--all").json["runs"]
    assert (run["name"], run["status"], len(run["metrics"]["loss"])) == ("elsewhere", "finished", 7)


def _plain() -> dict[str, str]:
    import os

    return {name: value for name, value in os.environ.items() if not name.startswith("REGISTRY_")}


def test_a_missing_folder_is_one_clear_line(cli: Callable[..., Any]) -> None:
    said = cli("watch", "nowhere", "--once", code=4)
    assert "nowhere" in said.err
    assert cli("watch", code=2).err.startswith("registry: no folder to watch")


def test_lines_are_recorded_while_they_are_written(registry: Registry, logs: Path) -> None:
    """The watcher sees each line soon after it was written, also in a folder that did not exist when it began."""
    stop = threading.Event()
    looks: list[Look] = []
    complaints: list[str] = []
    engine = Engine(registry.db)
    watcher = threading.Thread(
        target=watch,
        args=(engine, [logs]),
        kwargs={"rescan_interval_s": 0.5, "stop": stop, "told": looks.append, "complain": complaints.append},
    )
    watcher.start()
    try:
        folder = logs / "later"
        folder.mkdir()
        with open(folder / "run.jsonl", "w", buffering=1) as log:
            for step in range(20):
                log.write(json.dumps({"step": step, "loss": float(step)}) + "\n")
                if step >= 3:
                    until(lambda step=step: len(_loss(registry)) == step + 1)
        assert registry.run().status == "running"
    finally:
        stop.set()
        watcher.join(DEADLINE_S)
    assert not watcher.is_alive()
    assert _loss(registry) == [(step, float(step)) for step in range(20)]
    assert sum(look.n_points for look in looks) == 20
    assert complaints == []


def _loss(registry: Registry) -> list[tuple[int | None, float]]:
    dump = registry.dump()
    return next(iter(dump.values()))[2].get("loss", []) if dump else []


def test_a_watcher_never_touches_a_run_it_does_not_own(tmp_path: Path, logs: Path) -> None:
    """Our own journals below the folder stay the journals' business."""
    with holdfast.init(name="mine", db=str(tmp_path / "runs.db")) as run:
        run.log({"loss": 1.0}, step=1)
    db = open_database(str(tmp_path / "runs.db"), create=True)
    try:
        assert Engine(db).look([tmp_path], settle=True).n_points == 1
        assert Engine(db).look([tmp_path], settle=True).n_points == 0
    finally:
        db.close()

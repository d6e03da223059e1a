"""Other trackers' stores are taken over whole, once, without a word written to them; what they lost is said first."""

import json
import math
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select

from registry.importers.sources import import_source
from registry.tables import Artifact, Note
from tests.registry.ingest.conftest import Registry


def mlflow_run(root: Path, run_id: str, *, artifact_uri: str, status: int = 3) -> Path:
    """A run in MLflow's file store, as MLflow writes it."""
    run = root / "1" / run_id
    (run / "metrics" / "val").mkdir(parents=True)
    (run / "params").mkdir()
    (run / "tags").mkdir()
    (root / "1" / "meta.yaml").write_text("experiment_id: '1'\nname: fruit\nlifecycle_stage: active\n")
    (run / "meta.yaml").write_text(
        f"artifact_uri: {artifact_uri}\nend_time: 1700000009000\nlifecycle_stage: active\nrun_id: {run_id}\n"
        f"run_name: apple\nrun_uuid: {run_id}\nstart_time: 1700000000000\nstatus: {status}\n"
    )
    (run / "metrics" / "loss").write_text("1700000000001 0.5 0\n1700000000002 nan 1\n1700000000003 0.25 2 set abc\n")
    (run / "metrics" / "val" / "acc").write_text("1700000000003 0.75 2\n")
    (run / "params" / "lr").write_text("0.1")
    (run / "tags" / "team").write_text("red")
    return run


def test_mlruns_with_files_there_and_files_gone(registry: Registry, tmp_path: Path) -> None:
    here = mlflow_run(tmp_path / "mlruns", "a" * 32, artifact_uri=f"file://{tmp_path}/mlruns/1/{'a' * 32}/artifacts")
    (here / "artifacts").mkdir()
    (here / "artifacts" / "model.pt").write_bytes(b"weights")
    mlflow_run(tmp_path / "mlruns", "b" * 32, artifact_uri="/gone/artifacts", status=4)
    before = sorted((path, path.stat().st_mtime_ns) for path in (tmp_path / "mlruns").rglob("*"))

    imported = import_source(registry.db, tmp_path / "mlruns")

    (good, bad) = sorted(imported.runs, key=lambda run: run.foreign_id)
    assert (good.n_artifacts, good.missing) == (1, [])
    assert (bad.n_artifacts, bad.missing) == (0, ["no file /gone/artifacts"])
    with registry.db.read() as session:
        (artifact,) = session.exec(select(Artifact)).all()
        assert "missing: no file /gone/artifacts" in list(session.exec(select(Note.text)))
        statuses = {row.foreign_id: (row.name, row.status) for row in registry.runs().values()}
    assert (artifact.role, artifact.size_bytes) == ("checkpoint", 7)
    assert statuses["mlflow:" + "b" * 32] == ("apple", "failed")
    assert sorted((path, path.stat().st_mtime_ns) for path in (tmp_path / "mlruns").rglob("*")) == before
    again = import_source(registry.db, tmp_path / "mlruns")
    assert {run.verdict for run in again.runs} == {"unchanged"}


def test_mlruns_values_keep_their_third_field(registry: Registry, tmp_path: Path) -> None:
    mlflow_run(tmp_path / "mlruns", "a" * 32, artifact_uri="s3://bucket/x")

    import_source(registry.db, tmp_path / "mlruns")

    (status, params, series) = registry.dump()["apple"]
    assert (status, params) == ("finished", {"lr": "0.1", "tags.team": "red"})
    assert [step for step, _value in series["loss"]] == [0, 1, 2]
    assert math.isnan(series["loss"][1][1])
    assert series["val/acc"] == [(2, 0.75)]


def trackio_store(path: Path) -> None:
    with sqlite3.connect(path) as store:
        store.executescript(
            "CREATE TABLE metrics (id INTEGER PRIMARY KEY, timestamp TEXT, run_name TEXT, step INTEGER, metrics TEXT);"
            "CREATE TABLE configs (run_name TEXT, config TEXT, created_at TEXT);"
        )
        rows = [{"loss": 0.5, "val": {"acc": 0.1}}, {"loss": "NaN"}, {"loss": "Infinity", "note": "text"}]
        for step, row in enumerate(rows):
            stamp = f"2026-01-01T00:00:0{step}+00:00"
            values = (stamp, "kiwi", step, json.dumps(row).encode())
            store.execute("INSERT INTO metrics (timestamp, run_name, step, metrics) VALUES (?, ?, ?, ?)", values)
        config = json.dumps({"lr": 0.1, "_Created": "2026-01-01T00:00:00+00:00"})
        store.execute("INSERT INTO configs VALUES ('kiwi', ?, '')", (config,))
    store.close()


def test_trackio(registry: Registry, tmp_path: Path) -> None:
    """An older store without run ids; NaN and infinities are words there."""
    trackio_store(tmp_path / "fruit.db")

    (run,) = import_source(registry.db, tmp_path / "fruit.db").runs

    assert (run.foreign_id, run.verdict, run.n_points) == ("trackio:fruit/kiwi", "new", 4)
    (status, params, series) = registry.dump()["kiwi"]
    assert (status, params) == ("unknown", {"lr": 0.1})
    assert math.isnan(series["loss"][1][1])
    assert series["loss"][2] == (2, math.inf)
    assert series["val/acc"] == [(0, 0.1)]
    with sqlite3.connect(tmp_path / "fruit.db") as store:
        row = (json.dumps({"loss": 0.125}).encode(),)
        store.execute(
            "INSERT INTO metrics (timestamp, run_name, step, metrics) VALUES ('2026-01-01', 'kiwi', 3, ?)", row
        )
    store.close()
    (again,) = import_source(registry.db, tmp_path / "fruit.db").runs
    assert (again.verdict, len(registry.series("kiwi")["loss"])) == ("changed", 4)


def test_sacred(registry: Registry, tmp_path: Path) -> None:
    folder = tmp_path / "sacred" / "7"
    folder.mkdir(parents=True)
    (folder / "run.json").write_text(
        '{"status": "INTERRUPTED", "start_time": "2026-01-01T00:00:00", "heartbeat": "2026-01-01T00:01:00", '
        '"experiment": {"name": "fruit", "mainfile": "train.py"}, "host": {"hostname": "box"}, '
        '"artifacts": ["gone.pt"], "result": null}'
    )
    (folder / "config.json").write_text('{"seed": 3, "optim": {"lr": 0.1}}')
    (folder / "metrics.json").write_text(
        '{"loss": {"steps": [0, 1], "timestamps": ["2026-01-01T00:00:01", "2026-01-01T00:00:02"],'
        ' "values": [NaN, 0.5]}}'
    )

    (run,) = import_source(registry.db, tmp_path / "sacred").runs

    (status, params, series) = registry.dump()["7"]
    assert (status, params) == ("killed", {"optim.lr": 0.1, "seed": 3})
    assert series["loss"][1] == (1, 0.5)
    assert run.missing == [f"no file {folder}/gone.pt"]


def test_event_files_of_torch(registry: Registry, tmp_path: Path) -> None:
    """Scalars, several at once, hyperparameters and a histogram, as torch's writer writes them."""
    pytest.importorskip("tensorboard")
    numpy = pytest.importorskip("numpy")
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(tmp_path / "tb" / "run1")) as writer:
        for step in range(4):
            writer.add_scalar("loss", 1 / (step + 1), step)
            writer.add_scalar("bad", math.nan, step)
        writer.add_histogram("weights", numpy.array([1.0, 2.0]), 0)
        writer.add_text("words", "none", 0)
        writer.add_hparams({"lr": 0.5, "bn": True}, {"hparam/acc": 0.75}, run_name=".")

    import_source(registry.db, tmp_path / "tb")

    dump = registry.dump()
    (_status, params, series) = dump["run1"]
    assert [step for step, _value in series["loss"]] == [0, 1, 2, 3]
    assert series["loss"][3][1] == pytest.approx(0.25)
    assert "weights" not in series
    assert "words/text_summary" not in series
    assert params == {"lr": 0.5, "bn": True}


def test_damaged_event_files_lose_only_what_is_damaged(registry: Registry, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from torch.utils.tensorboard import SummaryWriter

    with SummaryWriter(str(tmp_path / "tb")) as writer:
        for step in range(50):
            writer.add_scalar("loss", step, step)
    (path,) = (tmp_path / "tb").iterdir()
    damaged = bytearray(path.read_bytes())
    damaged[600:640] = bytes(40)
    path.write_bytes(bytes(damaged[:-5]))

    import_source(registry.db, tmp_path / "tb")

    found = registry.series()["loss"]
    assert 45 <= len(found) <= 48
    assert found[-1] == (48, 48.0)
    with registry.db.read() as session:
        assert any("damaged" in text for text in session.exec(select(Note.text)))


def test_checkpoints_of_lightning_and_ultralytics_and_a_lost_best(registry: Registry, tmp_path: Path) -> None:
    lightning = tmp_path / "runs" / "version_0"
    (lightning / "checkpoints").mkdir(parents=True)
    (lightning / "metrics.csv").write_text("epoch,step,train_loss\n0,9,0.5\n1,19,0.25\n")
    (lightning / "hparams.yaml").write_text("lr: 0.1\nmodel: !!python/object:torch.nn.Module\n  a: 1\n")
    (lightning / "checkpoints" / "epoch=1-step=20.ckpt").write_bytes(b"ckpt")
    yolo = tmp_path / "runs" / "train1"
    (yolo / "weights").mkdir(parents=True)
    (yolo / "results.csv").write_text("  epoch,  train/box_loss,  metrics/mAP50(B)\n  0,  1.5,  0.25\n")
    (yolo / "args.yaml").write_text("model: yolov8n.pt\nepochs: 3\n")
    (yolo / "weights" / "best.pt").write_bytes(b"best")
    trainer = tmp_path / "runs" / "hf"
    (trainer / "checkpoint-2").mkdir(parents=True)
    (trainer / "checkpoint-2" / "model.safetensors").write_bytes(b"weights")
    (trainer / "checkpoint-2" / "trainer_state.json").write_text(
        '{"global_step": 2, "max_steps": 2, "best_model_checkpoint": "/lost/checkpoint-1", "log_history": '
        '[{"step": 1, "loss": 0.5}, {"step": 2, "loss": 0.4}]}'
    )

    runs = {run.name: run for run in import_source(registry.db, tmp_path / "runs").runs}

    assert {name: run.n_artifacts for name, run in runs.items()} == {"version_0": 1, "train1": 1, "hf": 1}
    assert runs["hf"].missing == ["no file /lost/checkpoint-1"]
    with registry.db.read() as session:
        found = {(row.role, row.step) for row in session.exec(select(Artifact))}
    assert found == {("checkpoint", 20), ("best", None), ("checkpoint", 2)}


def test_a_dry_run_makes_nothing(cli: Callable[..., Any], tmp_path: Path) -> None:
    mlflow_run(tmp_path / "mlruns", "a" * 32, artifact_uri="/gone")

    (run,) = cli("import", "mlruns", "--dry-run", "--json").json

    assert (run["name"], run["verdict"], run["n_points"], run["missing"]) == ("apple", "new", 4, ["no file /gone"])
    assert not (tmp_path / "runs.db").exists()


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "no file or folder"), (b"", "holds no runs"), (b"SQLite format 3\0" + b"x" * 200, "cannot read")],
)
def test_a_source_that_is_none_is_one_clear_line(
    cli: Callable[..., Any], tmp_path: Path, content: bytes | None, words: str
) -> None:
    if content is not None:
        (tmp_path / "source.db").write_bytes(content)
    said = cli("import", "source.db", code=None)
    assert said.code in (2, 4)
    assert words in said.err


def test_another_database_is_refused(cli: Callable[..., Any], tmp_path: Path) -> None:
    with sqlite3.connect(tmp_path / "other.db") as other:
        other.execute("CREATE TABLE cats (name TEXT)")
    other.close()
    assert "neither MLflow's nor trackio's" in cli("import", "other.db", code=2).err

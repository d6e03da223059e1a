"""What leaves the registry is what was recorded, and the tools it leaves for can open it."""

import csv
import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import registry
from registry.cli.ingest import TARGETS
from registry.exporters import STORES, TEXTS


@pytest.fixture
def two_runs() -> None:
    for name, status in (("good & 100%", "finished"), ("bad|one", "failed")):
        run = registry.init(
            name=name, experiment="fruit_1", params={"lr": 0.1, "deep": {"n": 3}, "words": "a_b"}, tags=["t"]
        )
        for step in range(3):
            run.log({"val/loss": 1 / (step + 1), "odd": math.nan if step else -math.inf}, step=step)
        run.log({"coverage": 0.5}, step=2, basis="sampled")
        run.finish(status)


def test_the_targets_of_the_command_are_those_there_are() -> None:
    assert set(TARGETS) == set(TEXTS) | set(STORES)


def test_json(cli: Callable[..., Any], two_runs: None) -> None:
    found = cli("export", "--all", "--to", "json").json["runs"]

    by_name = {run["name"]: run for run in found}
    good = by_name["good & 100%"]
    assert {"id", "name", "experiment", "status", "params", "metrics"} <= good.keys()
    assert good["metrics"]["val/loss"] == [[0, 1.0], [1, 0.5], [2, 1 / 3]]
    assert good["metrics"]["odd"] == [[0, None], [1, None], [2, None]]
    assert good["metrics"]["coverage@sampled"] == [[2, 0.5]]
    assert by_name["bad|one"]["status"] == "failed"


def test_jsonl_keeps_what_is_not_finite_as_words(cli: Callable[..., Any], two_runs: None) -> None:
    lines = [json.loads(line) for line in cli("export", "--all", "--to", "jsonl").out.splitlines()]

    odd = [line["value"] for line in lines if line.get("metric") == "odd"]
    assert odd == ["-Infinity", "NaN", "NaN"] * 2


def test_csv(cli: Callable[..., Any], two_runs: None, tmp_path: Path) -> None:
    cli("export", "--all", "--to", "csv", "--output", "out.csv")

    rows = list(csv.DictReader(io.StringIO((tmp_path / "out.csv").read_text())))
    assert len(rows) == 14
    assert {row["name"] for row in rows} == {"good & 100%", "bad|one"}


def test_markdown_and_latex_escape_what_would_break_them(cli: Callable[..., Any], two_runs: None) -> None:
    table = cli("export", "--all", "--to", "md").out
    assert "bad\\|one" in table
    assert "0.3333 @ 2" in table
    latex = cli("export", "--all", "--to", "tex").out
    assert "good \\& 100\\%" in latex
    assert latex.count("\\\\") == 3


def test_tensorboard_opens_the_event_files(cli: Callable[..., Any], two_runs: None, tmp_path: Path) -> None:
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
    from tensorboard.plugins.hparams import plugin_data_pb2

    cli("export", "--all", "--to", "tfevents", "--output", "tb")

    folders = sorted((tmp_path / "tb").iterdir())
    assert len(folders) == 2
    events = EventAccumulator(str(next(folder for folder in folders if folder.name.startswith("good"))))
    events.Reload()
    assert set(events.Tags()["scalars"]) == {"val/loss", "odd", "coverage@sampled"}
    assert [(event.step, event.value) for event in events.Scalars("val/loss")] == [
        (0, 1.0),
        (1, 0.5),
        (2, pytest.approx(1 / 3)),
    ]
    assert math.isnan(events.Scalars("odd")[1].value)
    content = events.SummaryMetadata("_hparams_/session_start_info").plugin_data.content
    known = plugin_data_pb2.HParamsPluginData.FromString(content).session_start_info
    assert known.hparams["lr"].number_value == 0.1
    assert known.hparams["words"].string_value == "a_b"


def test_mlflow_opens_the_database(cli: Callable[..., Any], two_runs: None, tmp_path: Path) -> None:
    """The real MLflow brings the schema up to its own and reads every run, parameter and point."""
    pytest.importorskip("mlflow")
    from tests.registry.ingest.test_front_doors import run_script

    cli("export", "--all", "--to", "mlflow", "--output", "mlflow.db")

    script = """
import json, mlflow
mlflow.set_tracking_uri("sqlite:///mlflow.db")
client = mlflow.MlflowClient()
found = []
for experiment in client.search_experiments():
    for run in client.search_runs([experiment.experiment_id]):
        history = client.get_metric_history(run.info.run_id, "val/loss")
        odd = client.get_metric_history(run.info.run_id, "odd")
        found.append([experiment.name, run.info.run_name, run.info.status, run.data.params,
                      [[point.step, point.value] for point in history], [repr(point.value) for point in odd]])
print(json.dumps(found), file=open("found.json", "w"))
"""
    run_script("", script, tmp_path)
    found = {run[1]: run for run in json.loads((tmp_path / "found.json").read_text())}
    good = found["good & 100%"]
    assert good[:3] == ["fruit_1", "good & 100%", "FINISHED"]
    assert good[3] == {"lr": "0.1", "deep": '{"n": 3}', "words": "a_b"}
    assert good[4] == [[0, 1.0], [1, 0.5], [2, 1 / 3]]
    assert "nan" in good[5]
    assert found["bad|one"][2] == "FAILED"


def test_there_and_back_again(cli: Callable[..., Any], two_runs: None, tmp_path: Path) -> None:
    """A registry exported to MLflow and imported into an empty one holds the same numbers."""
    before = {run["name"]: run["metrics"]["val/loss"] for run in cli("export", "--all").json["runs"]}
    cli("export", "--all", "--to", "mlflow", "--output", "mlflow.db")

    cli("--db", "other/runs.db", "import", "mlflow.db")

    after = {
        run["name"]: run["metrics"]["val/loss"] for run in cli("--db", "other/runs.db", "export", "--all").json["runs"]
    }
    assert after == before


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["export"], "name runs, or say --all"),
        (["export", "--all", "latest"], "name runs, or say --all"),
        (["export", "--all", "--to", "xls"], "cannot export to 'xls'"),
        (["export", "--all", "--to", "mlflow"], "--to mlflow writes files"),
        (["export", "--all", "--to", "csv", "--output", "no/such/folder/x.csv"], "cannot write"),
    ],
)
def test_bad_words_are_one_clear_line(cli: Callable[..., Any], two_runs: None, words: list[str], said: str) -> None:
    assert said in cli(*words, code=2).err


def test_an_mlflow_store_is_never_written_over(cli: Callable[..., Any], two_runs: None, tmp_path: Path) -> None:
    (tmp_path / "mlflow.db").write_bytes(b"precious")
    assert "is there already" in cli("export", "--all", "--to", "mlflow", "--output", "mlflow.db", code=2).err
    assert (tmp_path / "mlflow.db").read_bytes() == b"precious"

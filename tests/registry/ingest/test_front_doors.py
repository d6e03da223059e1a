"""The front doors for scripts, each against the library it stands in for: what that library would have kept is here."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from registry.importers.sources import import_source
from tests.registry.ingest.conftest import Registry

SHIM_SCRIPT = """
import math
wandb.init(project="proj", name="first", config={"lr": 0.1, "model": {"depth": 3}}, tags=["a"])
for step in range(5):
    wandb.log({"loss": 1.0 / (step + 1), "nested": {"acc": step / 10}})
wandb.log({"late": 1.5}, step=9)
wandb.log({"same": 2.5}, step=9)
wandb.log({"bad": math.nan}, commit=False)
wandb.log({"done": 1})
wandb.config.update({"epochs": 5})
wandb.finish()
"""
MLFLOW_SCRIPT = """
mlflow.set_experiment("proj")
with mlflow.start_run(run_name="first"):
    mlflow.log_params({"lr": 0.1, "depth": 3})
    for step in range(5):
        mlflow.log_metrics({"loss": 1.0 / (step + 1), "val/acc": step / 10}, step=step)
    mlflow.log_metric("odd", float("nan"), step=2)
    mlflow.set_tag("phase", "one")
"""
Dump = dict[str, Any]


def run_script(head: str, script: str, folder: Path, **environment: str) -> None:
    """Run a script in a process of its own, as its user would."""
    plain = {
        name: value for name, value in os.environ.items() if not name.startswith(("REGISTRY_", "WANDB_", "MLFLOW_"))
    }
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", head + script],
        cwd=folder,
        env={**plain, **environment},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def exported(cli: Callable[..., Any], db: Path | None = None) -> Dump:
    where = ["--db", db] if db else []
    (run,) = cli(*where, "export", "--all", "--to", "json").json["runs"]
    return run


def numbers(run: Dump) -> dict[str, list[list[Any]]]:
    return {name: points for name, points in run["metrics"].items() if name not in ("_step", "_runtime")}


def test_wandb_script_with_one_changed_import(cli: Callable[..., Any], tmp_path: Path) -> None:
    run_script("import registry.integrations.wandb as wandb\n", SHIM_SCRIPT, tmp_path)

    run = exported(cli)
    assert (run["name"], run["experiment"], run["status"], run["tags"]) == ("first", "proj", "finished", ["a"])
    assert run["params"]["lr"] == 0.1
    assert run["params"]["epochs"] == 5
    assert numbers(run)["loss"] == [[step, 1.0 / (step + 1)] for step in range(5)]
    assert numbers(run)["nested.acc"][4] == [4, 0.4]
    assert numbers(run)["late"] == [[9, 1.5]]
    assert numbers(run)["bad"] == [[9, None]]


def test_wandb_itself_would_have_kept_the_same(cli: Callable[..., Any], registry: Registry, tmp_path: Path) -> None:
    """The same script against W&B, offline; its `.wandb` file, read by us, holds the series that the shim recorded."""
    pytest.importorskip("wandb")
    ours, theirs = tmp_path / "ours", tmp_path / "theirs"
    ours.mkdir()
    theirs.mkdir()
    run_script("import registry.integrations.wandb as wandb\n", SHIM_SCRIPT, ours, REGISTRY_DB=str(ours / "runs.db"))
    run_script("import wandb\n", SHIM_SCRIPT, theirs, WANDB_MODE="offline", WANDB_SILENT="true", WANDB_DIR=str(theirs))

    registry.look(theirs)

    (_name, (status, params, series)) = registry.dump().popitem()
    shim = exported(cli, ours / "runs.db")
    assert status == shim["status"] == "finished"
    assert params["lr"] == shim["params"]["lr"]
    assert params["model.depth"] == 3
    theirs_plain = {
        name: [[step, None if value != value else value] for step, value in points] for name, points in series.items()
    }
    assert theirs_plain == numbers(shim)


def test_wandb_media_are_told_of_and_passed_over(cli: Callable[..., Any], tmp_path: Path) -> None:
    script = (
        "wandb.init()\nwandb.log({'loss': 1.0, 'picture': wandb.Image('x.png'), 'word': 'text'})\nwandb.watch(None)\n"
    )
    run_script("import registry.integrations.wandb as wandb\n", script, tmp_path)

    assert numbers(exported(cli)) == {"loss": [[0, 1.0]]}
    notes = " ".join(note["text"] for note in cli("show", "latest", "--json").json["notes"])
    assert "picture: media are not recorded" in notes
    assert "word: a str is not recorded" in notes


def test_a_failed_wandb_script_is_failed(cli: Callable[..., Any], tmp_path: Path) -> None:
    script = "with wandb.init() as run:\n    run.log({'loss': 1.0})\n    raise ValueError('boom')\n"
    with pytest.raises(AssertionError, match="boom"):
        run_script("import registry.integrations.wandb as wandb\n", script, tmp_path)
    assert exported(cli)["status"] == "failed"


def test_mlflow_script_with_one_changed_import(cli: Callable[..., Any], tmp_path: Path) -> None:
    run_script("import registry.integrations.mlflow as mlflow\n", MLFLOW_SCRIPT, tmp_path)

    run = exported(cli)
    assert (run["name"], run["experiment"], run["status"]) == ("first", "proj", "finished")
    assert run["params"] == {"depth": 3, "lr": 0.1, "tags.phase": "one"}
    assert run["metrics"]["val/acc"] == [[step, step / 10] for step in range(5)]
    assert run["metrics"]["odd"] == [[2, None]]


def test_mlflow_itself_would_have_kept_the_same(cli: Callable[..., Any], registry: Registry, tmp_path: Path) -> None:
    """The same script against MLflow's SQLite store, imported, gives the series that the shim recorded."""
    pytest.importorskip("mlflow")
    ours = tmp_path / "ours"
    ours.mkdir()
    run_script(
        "import registry.integrations.mlflow as mlflow\n", MLFLOW_SCRIPT, ours, REGISTRY_DB=str(ours / "runs.db")
    )
    store = tmp_path / "mlflow.db"
    run_script(f"import mlflow\nmlflow.set_tracking_uri('sqlite:///{store}')\n", MLFLOW_SCRIPT, tmp_path)

    imported = import_source(registry.db, store)

    assert (imported.kind, [run.verdict for run in imported.runs]) == ("mlflow database", ["new"])
    (status, params, series) = registry.dump()["first"]
    shim = exported(cli, ours / "runs.db")
    assert status == shim["status"]
    assert params["lr"] == "0.1"
    plain = {
        name: [[step, None if value != value else value] for step, value in points] for name, points in series.items()
    }
    assert plain == shim["metrics"]
    assert [run.verdict for run in import_source(registry.db, store).runs] == ["unchanged"]


TRAINER_SCRIPT = """
import torch
from transformers import Trainer, TrainingArguments, PretrainedConfig, PreTrainedModel
from registry.integrations.transformers import RegistryCallback

class Config(PretrainedConfig):
    model_type = "tiny"

class Tiny(PreTrainedModel):
    config_class = Config
    def __init__(self, config):
        super().__init__(config)
        self.line = torch.nn.Linear(4, 1)
        self.post_init()
    def forward(self, x=None, labels=None):
        out = self.line(x)
        return {"loss": ((out - labels) ** 2).mean(), "logits": out}

torch.set_num_threads(1)
rows = [{"x": torch.randn(4), "labels": torch.randn(1)} for _ in range(16)]
arguments = TrainingArguments(output_dir="out", max_steps=8, logging_steps=2, save_steps=4, eval_strategy="steps",
    eval_steps=4, report_to=[], per_device_train_batch_size=4, use_cpu=True, disable_tqdm=True)
trainer = Trainer(model=Tiny(Config()), args=arguments, train_dataset=rows, eval_dataset=rows,
                  callbacks=[RegistryCallback(name="tiny", experiment="hf")])
trainer.train()
trainer.evaluate()
"""


def test_a_real_trainer_records_itself(cli: Callable[..., Any], tmp_path: Path) -> None:
    """The callback's record and the Trainer's own `trainer_state.json` say the same."""
    pytest.importorskip("transformers")
    pytest.importorskip("torch")
    run_script("", TRAINER_SCRIPT, tmp_path)

    run = exported(cli)
    state = json.loads((tmp_path / "out" / "checkpoint-8" / "trainer_state.json").read_text())
    logged = [[entry["step"], entry["loss"]] for entry in state["log_history"] if "loss" in entry]
    assert (run["name"], run["experiment"], run["status"]) == ("tiny", "hf", "finished")
    assert [step for step, _loss in run["metrics"]["train/loss"]] == [2, 4, 6, 8]
    for (step, ours), (their_step, theirs) in zip(run["metrics"]["train/loss"], logged, strict=True):
        assert step == their_step
        assert ours == pytest.approx(float(theirs), abs=1e-3)
    assert [step for step, _loss in run["metrics"]["eval/loss"]] == [4, 8, 8]
    assert run["params"]["max_steps"] == 8
    shown = cli("show", "latest", "--json").json
    assert [(artifact["role"], artifact["step"]) for artifact in shown["artifacts"]] == [
        ("checkpoint", 4),
        ("checkpoint", 8),
    ]


LIGHTNING_SCRIPT = """
import torch, lightning
from torch.utils.data import DataLoader, TensorDataset
from lightning.pytorch.callbacks import ModelCheckpoint
from registry.integrations.lightning import RegistryLogger

class Tiny(lightning.LightningModule):
    def __init__(self, width=4):
        super().__init__()
        self.save_hyperparameters()
        self.line = torch.nn.Linear(width, 1)
    def training_step(self, batch, _):
        loss = self.line(batch[0]).pow(2).mean()
        self.log("train/loss", loss)
        return loss
    def validation_step(self, batch, _):
        self.log("val/loss", self.line(batch[0]).pow(2).mean())
    def configure_optimizers(self):
        return torch.optim.SGD(self.parameters(), 0.01)

torch.set_num_threads(1)
data = DataLoader(TensorDataset(torch.randn(16, 4)), batch_size=4)
trainer = lightning.Trainer(max_epochs=2, accelerator="cpu", log_every_n_steps=2, enable_progress_bar=False,
    enable_model_summary=False, logger=RegistryLogger(experiment="pl", name="tiny"),
    callbacks=[ModelCheckpoint(dirpath="kept", monitor="val/loss", save_last=True)])
trainer.fit(Tiny(), data, data)
trainer.validate(ckpt_path="best", dataloaders=data)
"""


def test_a_real_lightning_trainer_records_itself(cli: Callable[..., Any], tmp_path: Path) -> None:
    pytest.importorskip("lightning")
    run_script("", LIGHTNING_SCRIPT, tmp_path)

    run = exported(cli)
    assert (run["name"], run["experiment"], run["status"], run["params"]["width"]) == ("tiny", "pl", "finished", 4)
    assert [step for step, _loss in run["metrics"]["train/loss"]] == [1, 3, 5, 7]
    assert len(run["metrics"]["val/loss"]) == 3
    roles = {artifact["role"] for artifact in cli("show", "latest", "--json").json["artifacts"]}
    assert roles == {"best", "last"}

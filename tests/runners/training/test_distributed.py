"""Several processes train one model: the loss of one process, one record, one set of checkpoints, one end."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import registry
from registry import events
from registry.errors import UsageError
from runners.training import distributed
from runners.training.checkpoints import load_state, load_weights
from runners.training.loop import Control
from tests.runners.training.helpers import of_kind, recorded_digest
from tests.runners.training.toy import ToySettings, train

ROOT = Path(__file__).parents[3]
SCRIPT = """
import sys
from runners.training.start import resume_family, train_family
from tests.runners.training.toy import FAMILY, ToySettings
settings = ToySettings(seed=3, threads=1, checkpoint_every=5, device="cpu", dropout=0.0, **eval(sys.argv[1]))
train_family(FAMILY, settings, variant="plain", preset="cpu", name="two")
"""
TWO = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "train.py"]


def _start(**settings: object) -> "subprocess.Popen[str]":
    Path("train.py").write_text(SCRIPT)
    environment = os.environ | {"OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}
    return subprocess.Popen([*TWO, repr(settings)], stderr=subprocess.PIPE, text=True, env=environment)


def _folder() -> Path:
    (folder,) = Path("runs").glob("two-*")
    return folder


def test_two_processes_end_where_one_does() -> None:
    process = _start()
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0, said
    with registry.init(name="one") as run:
        train(ToySettings(seed=3, threads=1, checkpoint_every=5, device="cpu", dropout=0.0), run, Control())
    losses = [
        [event.v["train/loss"] for event in of_kind(folder, events.Metrics) if "train/loss" in event.v]
        for folder in (_folder(), run.folder)
    ]
    assert len(losses[0]) == 20 and losses[0] == pytest.approx(losses[1], rel=1e-4)
    for role in ("best", "last"):
        name = f"checkpoints/{role}.safetensors"
        together, alone = load_weights(_folder() / name)[0], load_weights(run.folder / name)[0]
        assert all(torch.allclose(together[key], alone[key], atol=1e-5) for key in alone)
    assert recorded_digest(_folder(), "last") is not None
    (end,) = of_kind(_folder(), events.End)
    assert (end.status, end.evidence) == ("finished", "all 20 steps made")


def test_a_signal_to_one_process_ends_all_at_the_same_step_with_a_good_checkpoint() -> None:
    process = _start(steps=10**6)
    deadline = time.monotonic() + 100.0
    while time.monotonic() < deadline and process.poll() is None:
        journals = list(Path("runs").glob("two-*/journal.jsonl"))
        if journals and journals[0].read_text().count("train/loss") > 20:
            break
        time.sleep(0.05)
    pid = of_kind(_folder(), events.Start)[0].host["pid"]
    os.kill(pid, signal.SIGTERM)
    _, said = process.communicate(timeout=60)
    assert process.returncode == 0, said
    (end,) = of_kind(_folder(), events.End)
    state = load_state(_folder())
    assert end.status == "killed" and f"SIGTERM at step {state['step']}" in end.evidence
    assert 20 < state["step"] < 10**6


@pytest.mark.parametrize(("n", "world"), [(16, 1), (16, 2), (5, 2), (7, 3), (1, 4)])
def test_every_row_is_somebodys_and_all_have_as_many(n: int, world: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", str(world))
    shares = []
    for rank in range(world):
        monkeypatch.setenv("RANK", str(rank))
        shares.append(distributed.own_rows(n).tolist())
    assert {row for share in shares for row in share} == set(range(n))
    assert len({len(share) for share in shares}) == 1 and len(shares[0]) == -(-n // world)


def test_a_rank_without_its_launcher_is_told_in_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    for key, value in {"RANK": "0", "WORLD_SIZE": "2"}.items():
        monkeypatch.setenv(key, value)
    with pytest.raises(UsageError, match="process 0 of 2 cannot meet the others") as caught:
        distributed.join(torch.device("cpu"))
    assert "\n" not in str(caught.value) and "torchrun" in str(caught.value)


@pytest.mark.parametrize("environment", [{}, {"WORLD_SIZE": "4"}, {"RANK": "0", "WORLD_SIZE": "many"}])
def test_without_a_launcher_one_process_trains_alone(
    environment: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for key, value in environment.items():
        monkeypatch.setenv(key, value)
    assert distributed.world_size() == 1 and distributed.is_writer()
    distributed.join(torch.device("cpu"))
    assert distributed.agree("SIGTERM") == "SIGTERM" and distributed.average(0.5, torch.device("cpu")) == 0.5

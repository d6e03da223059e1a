"""Resuming equals the straight run; stopping leaves a good checkpoint; a loss that is not finite ruins nothing."""

from pathlib import Path
from typing import Any

import pytest
import torch

import registry
from registry import events
from registry.errors import CheckFailedError, UsageError
from runners.training.checkpoints import NotFiniteError, load_state, load_weights
from runners.training.loop import Control, random_state, set_random_state
from runners.training.start import train_family
from runners.training.stopping import Stop
from tests.runners.training.helpers import digest, of_kind, recorded_digest
from tests.runners.training.toy import FAMILY, ToySettings, train

SETTINGS = ToySettings(seed=3, threads=1, checkpoint_every=5, device="cpu")


class StopAt(Stop):
    """Asks to stop after so many looks, as a signal at that step would."""

    def __init__(self, step: int) -> None:
        super().__init__()
        self.looks_left = step

    @property
    def reason(self) -> str:
        self.looks_left -= 1
        return "SIGTERM" if self.looks_left <= 0 else ""


def _straight(settings: ToySettings = SETTINGS) -> Path:
    with registry.init(name="straight") as run:
        train(settings, run, Control())
    return run.folder


def _files(folder: Path) -> dict[str, str]:
    return {role: digest(folder / "checkpoints" / f"{role}.safetensors") for role in ("best", "last")}


@pytest.mark.parametrize("stopped_after", [1, 4, 5, 7, 19])
def test_a_stopped_and_resumed_training_makes_the_same_bytes(stopped_after: int) -> None:
    with registry.init(name="stopped") as run:
        train(SETTINGS, run, Control(stop=StopAt(stopped_after)))
    assert load_state(run.folder)["step"] == stopped_after
    with registry.init(id=run.id, resume="must") as resumed:
        train(SETTINGS, resumed, Control(resume=load_state(run.folder)))
    assert _files(run.folder) == _files(_straight())


def test_seeds_matter_and_repeat() -> None:
    other = ToySettings(seed=4, threads=1, checkpoint_every=5, device="cpu")
    assert _files(_straight()) == _files(_straight()) != _files(_straight(other))


def test_the_best_is_kept_not_the_last() -> None:
    folder = _straight()
    _, about = load_weights(folder / "checkpoints" / "best.safetensors")
    losses = {event.s: event.v["train/loss"] for event in of_kind(folder, events.Metrics) if "train/loss" in event.v}
    best_step = min((value, step) for step, value in losses.items() if step < 10)[1]
    assert about["step"] == best_step < 20
    assert about["criterion"] == "train/loss"
    assert recorded_digest(folder, "best") == digest(folder / "checkpoints" / "best.safetensors")


def test_early_stopping_says_so() -> None:
    settings = ToySettings(threads=1, checkpoint_every=50, device="cpu", patience=3)
    outcome = train_family(FAMILY, settings, variant="plain", preset="cpu")
    assert outcome.status == "finished"
    assert "early stop: no better train/loss in 3 evaluations" in outcome.evidence
    assert outcome.step < 20
    assert load_state(outcome.folder)["step"] == outcome.step


def test_nan_stops_the_run_with_an_alert_and_keeps_the_last_good_weights() -> None:
    settings = ToySettings(threads=1, checkpoint_every=50, device="cpu", nan_at=8)
    with pytest.raises(NotFiniteError, match="the loss is nan"):
        train_family(FAMILY, settings, variant="plain", preset="cpu", name="sick")
    folder = next(Path("runs").glob("sick-*"))
    end = of_kind(folder, events.End)[-1]
    assert (end.status, end.evidence) == ("failed", "the loss is nan")
    alert = next(note for note in of_kind(folder, events.Note) if note.level == "critical")
    assert "at step 8; the weights of step 7 are kept" in alert.text
    tensors, about = load_weights(folder / "checkpoints" / "last.safetensors")
    assert about["step"] == 7 and all(torch.isfinite(tensor).all() for tensor in tensors.values())


def test_the_maximum_time_ends_a_run_in_good_order() -> None:
    settings = ToySettings(threads=1, checkpoint_every=10**6, device="cpu", steps=10**6)
    outcome = train_family(FAMILY, settings, variant="plain", preset="cpu", max_time_s=0.3)
    assert outcome.status == "finished"
    assert outcome.evidence.startswith("maximum time of 0.3 s at step")
    assert 0 < outcome.step < 10**6
    assert load_state(outcome.folder)["step"] == outcome.step


def test_the_walk_before_the_first_step_changes_nothing_and_proves_the_disk() -> None:
    with registry.init(name="r") as run:
        train(SETTINGS, run, Control(stop=StopAt(1)))
    steps = [event.step for event in of_kind(run.folder, events.Artifact) if event.role == "last"]
    assert steps[0] == 0


def test_weights_that_come_back_changed_stop_the_training_before_it_begins(monkeypatch: pytest.MonkeyPatch) -> None:
    from runners.training import loop

    def damaged(path: Path) -> tuple[dict[str, Any], dict[str, Any]]:
        tensors, about = load_weights(path)
        return {name: tensor + 1 for name, tensor in tensors.items()}, about

    monkeypatch.setattr(loop, "load_weights", damaged)
    with registry.init(name="r") as run, pytest.raises(CheckFailedError, match="read back differ"):
        train(SETTINGS, run, Control())


def test_a_state_of_other_parts_is_refused() -> None:
    folder = _straight()
    state = load_state(folder)
    state["parts"]["ghost"] = {}
    with registry.init(name="r") as run, pytest.raises(UsageError, match="ghost"):
        train(SETTINGS, run, Control(resume=state))


def test_the_states_of_all_generators_come_back() -> None:
    import random

    import numpy as np

    def draw() -> tuple[float, float, float]:
        return random.gauss(0, 1), float(np.random.randn()), float(torch.randn(()))

    draw()
    before = random_state()
    first = draw(), draw()
    set_random_state(before)
    assert (draw(), draw()) == first


def test_a_disk_that_is_full_for_a_while_costs_a_checkpoint_and_one_full_at_the_end_fails_the_run(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from runners.training import checkpoints

    really_write, n_written = checkpoints.write_durably, 0

    def full_at_times(path: Path, content: bytes) -> None:
        nonlocal n_written
        n_written += path.name == "last.safetensors"
        if path.name == "last.safetensors" and n_written in full:
            raise OSError(28, "No space left on device")
        really_write(path, content)

    monkeypatch.setattr(checkpoints, "write_durably", full_at_times)
    full = {3}
    outcome = train_family(FAMILY, SETTINGS, variant="plain", preset="cpu", name="once")
    warnings = [note.text for note in of_kind(outcome.folder, events.Note) if note.level == "warning"]
    assert outcome.status == "finished" and len(warnings) == 1
    assert "step 10 could not be kept: No space left on device; the one before it stays" in warnings[0]
    assert load_weights(outcome.folder / "checkpoints" / "last.safetensors")[1]["step"] == 20

    n_written, full = 0, {5}
    with pytest.raises(CheckFailedError, match="step 20 could not be kept") as caught:
        train_family(FAMILY, SETTINGS, variant="plain", preset="cpu", name="end")
    assert "resume" in caught.value.hint
    folder = next(Path("runs").glob("end-*"))
    assert of_kind(folder, events.End)[-1].status == "failed" and load_state(folder)["step"] == 15
    assert recorded_digest(folder, "last") == digest(folder / "checkpoints" / "last.safetensors")

"""Many models trained at once are what each would have become alone; a sick one is named and moves nothing."""

import dataclasses
from pathlib import Path

import pytest
import torch

import registry
from registry import events
from runners.ternary_vae import FAMILY, coverage, evaluate, study
from runners.ternary_vae.many import ManyVaes
from runners.ternary_vae.operations import make_task
from runners.ternary_vae.settings import Settings
from runners.ternary_vae.train import train
from runners.training.checkpoints import NotFiniteError, load_state, load_weights
from runners.training.loop import Control
from runners.training.machine import prepare
from runners.training.start import train_family
from runners.training.stopping import Stop
from tests.runners.training.helpers import digest, journal, of_kind

TINY = (
    "epochs=1", "batch_size=2048", "threads=1", "device=cpu", "uniformity_draws=64", "uniformity_from=0.3",
    "activation=0.3", "n_evaluations=1", "evaluation_draws=195000", "cross_injection=0.2",
)  # fmt: skip
N_STEPS = 8


class StopAt(Stop):
    """A SIGTERM, or another reason to stop, after so many steps."""

    def __init__(self, step: int, word: str = "SIGTERM") -> None:
        super().__init__()
        self.looks_left, self.word = step, word

    @property
    def reason(self) -> str:
        self.looks_left -= 1
        return self.word if self.looks_left <= 0 else ""


def _settings(*more: str) -> Settings:
    return FAMILY.build("calibrated", "smoke", (*TINY, *more))


def _last_of(settings: Settings, name: str, stop_at: int = N_STEPS) -> tuple[Path, dict[str, torch.Tensor]]:
    with registry.init(name=name) as run:
        train(settings, run, Control(stop=StopAt(stop_at)))
    return run.folder, load_weights(run.folder / "checkpoints" / "last.safetensors")[0]


def test_each_model_becomes_what_it_would_have_become_alone() -> None:
    _, together = _last_of(_settings("n_models=3", "seed=5"), "together")
    for index, seed in enumerate((5, 6, 7)):
        _, alone = _last_of(_settings(f"seed={seed}"), f"alone-{seed}")
        for name, tensor in alone.items():
            assert torch.allclose(together[f"model.{name}"][index], tensor, atol=2e-4), f"seed {seed}: {name}"


def test_rows_of_a_study_differ_only_in_what_they_say() -> None:
    settings = _settings("study=ablation", "n_models=2")
    machine = prepare(settings)
    members = [member.settings for member in study.members_of(settings)]
    trained = list(dict.fromkeys(map(study.as_trained, members)))
    assert len(members) == 2 * len(study.STUDIES["ablation"]) and len(trained) == len(members) - 2
    many = ManyVaes(trained, [make_task(own.seed) for own in trained], N_STEPS, machine)
    first = {name: tensor.detach().clone() for name, tensor in many.weights.items()}
    assert all(torch.equal(tensor[0], tensor[index]) for tensor in first.values() for index in range(0, 12, 2))
    for step in range(1, N_STEPS + 1):
        many.step(step)
    moved = many.weights["model.vaes.A.decoder.out.bias"]
    assert len(moved[0::2].unique(dim=0)) == len(trained) // 2, "two rows of seed 0 ended in the same weights"


def test_stopped_and_resumed_all_models_are_the_same_bytes() -> None:
    settings = _settings("n_models=2", "checkpoint_every=3")
    straight, _ = _last_of(settings, "straight")
    with registry.init(name="stopped") as run:
        train(settings, run, Control(stop=StopAt(4)))
    with registry.init(id=run.id, resume="must") as resumed:
        train(settings, resumed, Control(stop=StopAt(N_STEPS - 4), resume=load_state(run.folder)))
    name = "checkpoints/last.safetensors"
    assert digest(run.folder / name) == digest(straight / name)


@pytest.mark.parametrize("n_models", [1, 2])
def test_time_that_ends_before_the_first_look_leaves_a_checkpoint_and_no_judgement(n_models: int) -> None:
    with registry.init(name="short") as run:
        train(_settings(f"n_models={n_models}"), run, Control(stop=StopAt(2, "maximum time")))
    assert load_state(run.folder)["step"] == 2
    assert not of_kind(run.folder, events.Evaluation) and not list(Path("runs").glob("short-calibrated*"))


def test_a_model_that_is_not_finite_is_named_and_stays_where_it_was() -> None:
    settings = _settings()
    machine = prepare(settings)
    members = [dataclasses.replace(settings, seed=seed) for seed in (0, 1)]
    healthy = ManyVaes(members[:1], [make_task(0)], N_STEPS, machine)
    many = ManyVaes(members, [make_task(0), make_task(1)], N_STEPS, machine)
    with torch.no_grad():
        many.weights["model.vaes.B.decoder.out.bias"][1, 0] = float("nan")
    for step in (1, 2):
        many.step(step)
        healthy.step(step)
    assert many.is_bad.tolist() == [False, True]
    with pytest.raises(NotFiniteError, match=r"1 of 2 models is not finite by step 2 \(seeds \[1\]\)"):
        study.refuse_sick(many, 2)
    for name, tensor in many.weights.items():
        assert torch.allclose(tensor[0], healthy.weights[name][0], atol=1e-5)
        assert torch.isfinite(tensor[1]).sum() >= tensor[1].numel() - 1


def test_every_seed_is_a_run_and_the_parent_holds_the_worst(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(coverage, "KS", (50_000, 195_000))
    monkeypatch.setattr(evaluate, "N_REPEATS", 1)
    settings = _settings("n_models=2", "seed=3")
    outcome = train_family(FAMILY, settings, variant="calibrated", preset="smoke", name="two")
    assert outcome.status == "finished"
    children = {seed: next(Path("runs").glob(f"two-calibrated-s{seed}-*")) for seed in (3, 4)}
    scores = {}
    for seed, folder in children.items():
        start = journal(folder)[0]
        assert isinstance(start, events.Start) and start.parent == outcome.run_id and start.params["seed"] == seed
        assert (folder / "checkpoints" / "best.safetensors").exists()
        scores[seed] = next(event.metrics for event in of_kind(folder, events.Evaluation) if event.digest)
    (worst,) = [event.metrics for event in of_kind(outcome.folder, events.Evaluation) if event.digest]
    name = "coverage_argmax@50000/A"
    assert worst[name] == min(scores[3][name], scores[4][name])
    assert worst["beta_max_jump"] == max(own["beta_max_jump"] for own in scores.values())
    assert "seed_sd/coverage_eff@50000/A" in worst
    table = (outcome.folder / "table.md").read_text()
    assert table.count("\n") == 3 and "| calibrated | 2 |" in table


@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a GPU")
def test_a_captured_step_is_the_step_itself() -> None:
    settings = _settings("device=cuda", "precision=fp32")
    machine = prepare(settings)
    captured, plain = (ManyVaes([settings], [make_task(0)], N_STEPS, machine) for _ in range(2))
    captured.step(1)
    plain.load_state_dict(captured.state_dict())
    ids, weights, sizes, phases = plain.inputs(2)
    torch.cuda.manual_seed(7)
    captured.step(2)
    torch.cuda.manual_seed(7)
    plain.optimiser.param_groups[0]["lr"].fill_(phases[0].learning_rate)
    plain.move(ids, plain.shared_noise(ids.shape[1], sizes), weights)
    for name, tensor in plain.weights.items():
        assert torch.allclose(captured.weights[name], tensor, atol=1e-5), name

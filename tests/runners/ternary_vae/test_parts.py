"""The data is split without a leak, the model has the published sizes, the schedules are what the record says."""

import dataclasses
import itertools
import math

import pytest
import torch

from runners.ternary_vae import FAMILY
from runners.ternary_vae.calibrate import fit_biases
from runners.ternary_vae.evaluate import criterion, evaluate, exact_on_shuffled
from runners.ternary_vae.model import DualVae, PlainDecoder, kl_per_dim, sample_latent
from runners.ternary_vae.objective import (
    RecipeController,
    calibrated_loss,
    collision_excess,
    draw_noise,
    recipe_loss,
    weights_at,
)
from runners.ternary_vae.operations import (
    N_OPERATIONS,
    all_operations,
    as_input,
    ids_of,
    make_task,
    split_operations,
    trits_of,
)
from runners.ternary_vae.schedule import activation_step, phase_at
from runners.ternary_vae.settings import Settings

CALIBRATED = FAMILY.build("calibrated", "cpu")
RECIPE = FAMILY.build("v5.5", "gpu")


def test_ids_and_trits_are_one_to_one() -> None:
    ids = torch.arange(N_OPERATIONS)
    assert torch.equal(ids_of(trits_of(ids)), ids)
    assert all_operations().unique(dim=0).shape == (N_OPERATIONS, 9)
    assert set(as_input(all_operations()).unique().tolist()) == {-1.0, 0.0, 1.0}


@pytest.mark.parametrize("seed", [0, 1, 42])
def test_the_split_shares_no_operation_and_its_digest_names_it(seed: int) -> None:
    split = split_operations(seed)
    assert split.n_shared() == 0
    assert len(torch.cat([split.train, split.val, split.test]).unique()) == N_OPERATIONS
    assert split.digest() == split_operations(seed).digest() != split_operations(seed + 1).digest()


@pytest.mark.parametrize("seed", [0, 7])
def test_no_commutative_operation_is_shown_where_they_are_held_out(seed: int) -> None:
    split = split_operations(seed, "commutative")
    tables = trits_of(split.test).unflatten(-1, (3, 3))
    assert torch.equal(tables, tables.transpose(-1, -2)) and len(split.test) == 3**6
    assert split.n_shared() == 0 and len(split.train) == len(split_operations(seed).train)
    assert len(torch.cat([split.train, split.val, split.test]).unique()) == N_OPERATIONS


def test_permuted_targets_are_other_operations() -> None:
    targets = make_task(3, targets="permuted").targets
    assert torch.equal(ids_of(targets).sort().values, torch.arange(N_OPERATIONS))
    assert (ids_of(targets) == torch.arange(N_OPERATIONS)).sum() < 10
    assert torch.equal(make_task(3).targets, all_operations())


def test_a_leak_is_counted() -> None:
    split = split_operations(0)
    leaky = dataclasses.replace(split, test=torch.cat([split.test, split.train[:5], split.val[:2]]))
    assert leaky.n_shared() == 7


def test_the_published_sizes() -> None:
    model = DualVae()
    sizes = {name: sum(p.numel() for p in vae.parameters()) for name, vae in model.vaes.items()}
    assert sizes == {"A": 50_203, "B": 117_499}
    assert sum(p.numel() for p in model.statenet.parameters()) == 1_068
    assert sum(p.numel() for p in model.parameters()) == 168_770


def test_kl_of_known_gaussians() -> None:
    mean, log_variance = torch.tensor([0.0, 1.0, 0.0]), torch.tensor([0.0, 0.0, math.log(4.0)])
    assert kl_per_dim(mean, log_variance).tolist() == pytest.approx([0.0, 0.5, 0.5 * (4 - 1 - math.log(4))])
    assert torch.equal(sample_latent(mean, log_variance, temperature=0.0), mean)


def test_the_collision_term_is_zero_for_even_logits_and_large_for_one_operation() -> None:
    assert float(collision_excess(torch.zeros(64, 9, 3))) == pytest.approx(0.0, abs=1e-5)
    one = torch.zeros(64, 9, 3)
    one[..., 0] = 50.0
    assert float(collision_excess(one)) == pytest.approx(N_OPERATIONS - 1, rel=1e-4)


def test_the_collision_term_estimates_what_it_says() -> None:
    torch.manual_seed(0)
    logits = torch.randn(4, 9, 3).repeat_interleave(500, 0)[torch.randperm(2000)]
    p = logits.softmax(-1).double()
    joint = p[:, 0]
    for trit in range(1, 9):
        joint = (p[:, trit, :, None] * joint[:, None, :]).flatten(1)
    truth = N_OPERATIONS * float(joint.mean(0).square().sum()) - 1.0
    assert float(collision_excess(logits)) == pytest.approx(truth, rel=0.1)


def test_calibration_evens_out_the_trits_and_says_what_it_changed() -> None:
    torch.manual_seed(1)
    decoder = PlainDecoder()
    decoder.out.bias.data[::3] += 0.3
    before = decoder.out.bias.detach().clone()
    change = fit_biases(decoder, seed=0)
    assert change.shape == (27,)
    assert torch.allclose(decoder.out.bias.detach() - before, change)
    drawn = decoder(torch.randn(50_000, 16)).argmax(-1)
    for value in range(3):
        assert (drawn == value).float().mean(0).sub(1 / 3).abs().max() < 0.02


def test_the_recipe_jumps_where_the_record_says_it_jumped() -> None:
    total = 106 * 10
    betas = [phase_at(RECIPE, step, total).beta_b for step in range(1, total + 1)]
    jumps = [late - early for early, late in itertools.pairwise(betas)]
    assert max(jumps) == pytest.approx(0.212, abs=5e-4)
    assert jumps.index(max(jumps)) + 2 == activation_step(RECIPE, total) == 501
    assert phase_at(RECIPE, 1, total).learning_rate == pytest.approx(1e-3)
    assert phase_at(RECIPE, total, total).learning_rate == pytest.approx(5e-4)
    assert phase_at(RECIPE, 1, total).mixing == pytest.approx(0.1)


def test_our_schedule_has_no_jump_and_ends_where_it_should() -> None:
    total = 2480
    phases = [phase_at(CALIBRATED, step, total) for step in range(1, total + 1)]
    for name in ("beta_a", "beta_b"):
        values = [getattr(phase, name) for phase in phases]
        assert values[0] == 0.0 and values[-1] == pytest.approx(CALIBRATED.beta)
        assert max(abs(b - a) for a, b in itertools.pairwise(values)) <= 0.005
    first_b = next(step for step, phase in enumerate(phases, start=1) if phase.beta_b > 0)
    assert first_b in (activation_step(CALIBRATED, total), activation_step(CALIBRATED, total) + 1)
    assert min(phase.learning_rate for phase in phases) > 0


@pytest.mark.parametrize("settings", [CALIBRATED, RECIPE], ids=["calibrated", "v5.5"])
def test_every_weight_of_both_autoencoders_gets_a_gradient(settings: Settings) -> None:
    model, trits = DualVae(), all_operations()[torch.randperm(N_OPERATIONS)[:64]]
    phase = phase_at(settings, 2400, 2480)
    if settings.recipe == "v5.5":
        loss, parts = recipe_loss(model, as_input(trits), trits, phase, settings, RecipeController())
    else:
        noise = draw_noise(64, settings, phase, torch.device("cpu"))
        loss, parts = calibrated_loss(model, as_input(trits), trits, noise, weights_at(settings, phase))
    loss.backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.vaes.parameters())
    trained = settings.statenet == "trained"
    assert all((p.grad is not None) == trained for p in model.statenet.parameters())
    assert parts["train/kl/A"] >= 16 * settings.free_bits - 1e-4


def test_the_other_latent_comes_without_its_gradient() -> None:
    settings = dataclasses.replace(CALIBRATED, cross_injection=0.5, statenet="off", uniformity=0.0, beta=0.0)
    model, trits = DualVae(), all_operations()[:64]
    phase = phase_at(settings, 2480, 2480)
    model.vaes["B"].decoder.requires_grad_(False)
    noise = draw_noise(64, settings, phase, torch.device("cpu"))
    loss, _ = calibrated_loss(model, as_input(trits), trits, noise, weights_at(settings, phase))
    only_a = torch.autograd.grad(loss, model.vaes["A"].decoder.parameters(), retain_graph=True)
    assert all(gradient.abs().sum() > 0 for gradient in only_a)
    assert phase.mixing == pytest.approx(0.5, abs=1e-3)


def test_exactness_comes_before_coverage_in_what_is_called_best() -> None:
    values = {"exact_val/A": 1.0, "exact_val/B": 1.0, "coverage_eff@50000/A": 0.6, "coverage_eff@50000/B": 0.9}
    assert criterion(values) == 0.6
    assert criterion(values | {"exact_val/B": 0.999, "coverage_eff@50000/A": 0.99}) < 0.0


def test_an_untrained_model_fails_everything_and_a_shuffled_answer_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runners.ternary_vae.coverage.KS", (10_000, 50_000))
    torch.manual_seed(0)
    model, task = DualVae(), make_task(0)
    metrics, intervals, counts = evaluate(model, task, 50_000)
    for name in "AB":
        assert metrics[f"exact_test/{name}"] < 0.01
        assert metrics[f"coverage_argmax@50000/{name}"] < 0.5
        assert counts[f"exact_test/{name}"] == len(task.split.test)
        low, high = intervals[f"coverage_argmax@50000/{name}"]
        assert low <= metrics[f"coverage_argmax@50000/{name}"] <= high
    assert metrics["holdout_leak"] == 0
    assert exact_on_shuffled(model.vaes["A"], task.split.test) < 0.02

"""The twelve tests tell an ideal model from a broken one, and a validation is recorded against the weights."""

from pathlib import Path

import pytest
import torch

from registry.errors import CheckFailedError, UsageError
from registry.gates import load_suite_text, parse_suite
from runners.ternary_vae import checks, coverage, evaluate
from runners.ternary_vae.__main__ import main
from runners.ternary_vae.checks import TESTS, Anew, Subject, measure
from runners.ternary_vae.controls import broken_pair, control_scores, ideal_pair
from runners.ternary_vae.model import VAES
from runners.ternary_vae.operations import N_OPERATIONS, all_operations, as_input, make_task
from runners.ternary_vae.settings import Settings
from runners.ternary_vae.validate import SUITE, require_recorded, resized, series_of, train_anew, verdicts
from runners.training.machine import prepare

TASK = make_task(0)


@pytest.fixture(scope="module")
def scores() -> dict[str, checks.Metrics]:
    return control_scores(TESTS)


def test_every_gate_of_the_suite_tells_the_ideal_from_the_broken(scores: dict[str, checks.Metrics]) -> None:
    suite = parse_suite(load_suite_text(SUITE)[1], SUITE)
    measured = {name for own in scores.values() for name in own}
    assert {gate.metric for gate in suite.gates} <= measured
    ideal, broken = (verdicts(scores[name], scores) for name in ("ideal", "broken"))
    assert set(ideal.values()) == {"pass"}
    counted = {gate.metric for gate in suite.gates if gate.controls}
    assert {broken[metric] for metric in counted} == {"fail"}


def test_the_ideal_pair_is_exact_and_as_good_as_throwing_fair_dice() -> None:
    vae = ideal_pair().vaes["A"]
    assert evaluate.exact_share(vae, torch.arange(N_OPERATIONS)) == 1.0
    count = coverage.count_distinct(evaluate.prior_decoder(vae, 5))[coverage.HEADLINE_K]
    assert abs(coverage.excess(count, coverage.HEADLINE_K)) < 4.0


def test_the_published_holdout_was_mostly_trained_on_and_ours_was_not() -> None:
    subject = Subject(ideal_pair(), TASK, {}, TASK.split.digest())
    assert checks.holdout(subject)["holdout_trained_share"] == pytest.approx(0.8, abs=0.05)
    found = checks.true_holdout(subject)
    assert found["true_holdout_shared"] == 0.0 and found["true_holdout_is_recorded"] == 1.0
    other = Subject(ideal_pair(), make_task(1), {}, TASK.split.digest())
    assert checks.true_holdout(other)["true_holdout_is_recorded"] == 0.0


def test_noise_that_crosses_the_middle_between_two_trits_costs_exactness() -> None:
    found = checks.cold_shift(Subject(ideal_pair(), TASK, {}, ""))
    assert found["cold_shift@0.1/A"] == 1.0 > found["cold_shift@0.3/A"]


def test_a_jump_of_a_recorded_kl_weight_is_found_in_either_vae() -> None:
    smooth, jumping = [(1, 0.0), (2, 0.01)], [(1, 0.0), (2, 0.0), (3, 0.212)]
    found = checks.kl_annealing(Subject(ideal_pair(), TASK, {"beta/A": smooth, "beta/B": jumping}, ""))
    assert found == {"beta_jump/A": 0.01, "beta_jump/B": 0.212}


def test_stalls_and_falls_are_told_by_the_weaker_of_the_two() -> None:
    rising = [(step, 0.1 * step) for step in range(1, 9)]
    stalled = [(step, min(0.5, 0.1 * step) - 0.2 * (step == 7)) for step in range(1, 9)]
    series = {"coverage_eff@50000/A": rising, "coverage_eff@50000/B": stalled}
    found = checks.early_plateau(Subject(ideal_pair(), TASK, series, ""))
    assert found["plateau_at"] == 5 / 8 and found["plateau_fall"] == pytest.approx(0.2)
    gap = checks.phase_sync(Subject(ideal_pair(), TASK, series, ""))
    assert gap["phase_gap"] == pytest.approx(0.3)


def test_a_leak_through_permuted_targets_is_caught() -> None:
    honest, leaking = make_task(3, targets="permuted"), make_task(3)
    for task, share in ((honest, 0.0), (leaking, 1.0)):
        found = checks.holdout_shuffle(Anew({"permuted": [(ideal_pair(), task)]}))
        assert found["shuffled_exact/A"] == pytest.approx(share, abs=0.01)


def test_looks_are_not_mixed_with_the_judgement_at_the_end() -> None:
    from registry import events

    name = "coverage_eff@50000/A"
    lines = [events.Metrics(0.0, {name: 0.9}, 5, "sampled"), events.Metrics(1.0, {name: 0.8}, 5, "measured")]
    assert series_of(lines) == {name: [(5, 0.9)]}


def test_models_are_trained_anew_for_what_needs_them_and_no_more() -> None:
    texts = {"epochs": 1, "batch_size": 8192, "n_evaluations": 1, "threads": 1, "device": "cpu", "checkpoint_every": 9}
    base = resized(Settings(**texts, n_models=4), "own")
    assert base.n_models == 1 and base.epochs == 1
    machine = prepare(base)
    anew = train_anew(("holdout_shuffle", "novel_operations", "seed_variance"), base, 2, machine)
    assert {label: len(group) for label, group in anew.models.items()} == {"permuted": 1, "commutative": 1, "seeds": 2}
    found = measure(("seed_variance", "holdout_shuffle"), Subject(broken_pair(), TASK, {}, ""), anew)
    assert found["validate/seed_sd/A"] > 0.0 and found["validate/shuffled_exact/B"] < 0.01
    x = as_input(all_operations()[:64])
    first, second = (model.vaes["A"].encoder(x)[0] for model, _ in anew.models["seeds"])
    assert not torch.equal(first, second) and set(VAES) == {"A", "B"}


@pytest.mark.parametrize(
    ("claim", "draws", "code", "said"),
    [
        ("99.42%", "50000", 1, "impossible"),
        ("0.9942", "50000", 1, "impossible"),
        ("19569", "195000", 0, "efficiency 0.994"),
        ("82%", "10000", 1, "a uniform sampler reaches 7841"),
        ("17,017", "50000", 0, "86.46% of at most 92.12%"),
        ("nonsense", "50000", 2, "is no coverage"),
        ("-3", "50000", 2, "is no coverage"),
        ("nan", "50000", 2, "is no coverage"),
        ("0.5", "0", 2, "no draws"),
    ],
)
def test_a_claimed_coverage_is_held_against_the_bound(
    claim: str, draws: str, code: int, said: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["claim", f"--draws={draws}", "--", claim]) == code
    captured = capsys.readouterr()
    assert said in captured.out + captured.err and (captured.out + captured.err).count("\n") == 1


def test_weights_that_changed_since_they_were_recorded_are_not_validated(tmp_path: Path) -> None:
    require_recorded("a" * 64, "a" * 64, tmp_path)
    with pytest.raises(CheckFailedError, match="is not what the run recorded: bbbbbbbbbb is not aaaaaaaaaa"):
        require_recorded("b" * 64, "a" * 64, tmp_path)


def test_wrong_words_are_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "nobody"]) == 4
    assert main(["validate", "nobody", "--seeds", "1"]) == 2
    assert capsys.readouterr().err.count("\n") == 2
    with pytest.raises(UsageError):
        coverage.read_claim("86%%")

"""5CAT tells a predictor that knows from those that do not, and its controls prove it on the very data."""

import numpy as np
import pytest
import torch

from runners.lvm import fivecat, predictors
from runners.lvm.evaluate import Dataset, measure, open_dataset, score, surroundings
from runners.lvm.fivecat_v1 import measure_v1
from runners.lvm.pages import Bank
from runners.lvm.resampling import PageBootstrap
from runners.lvm.settings import LvmSettings


@pytest.fixture(scope="module")
def rotation() -> Dataset:
    torch.set_num_threads(1)
    settings = LvmSettings(n_documents=150, document_length=24, dimensions=32)
    return open_dataset(settings, torch.device("cpu"))


def test_the_oracle_wins_every_test_and_the_ignorant_win_none(rotation):
    scores = surroundings(rotation).scores
    oracle = scores["oracle"]
    assert oracle["margin"].value > 0.3 and oracle["forward"].value > 0.3
    assert oracle["r1"].value == 1.0 and oracle["rollout"].value == pytest.approx(1.0, abs=1e-3)
    assert oracle["skill_cosine"].low > 0 and oracle["skill_r5"].low > 0
    assert oracle["order_shuffle"].value > 0.9
    for name in ("constant", "copy_last", "shuffled"):
        ignorant = scores[name]
        assert ignorant["skill_cosine"].value <= 0
        assert ignorant["skill_r5"].low <= 0
        assert ignorant["margin"].value < 0.02
        assert ignorant["rollout_repeat"].value > 0.9 or name == "shuffled"


def test_the_notebooks_version_fails_the_oracle_and_passes_the_constant(rotation):
    knowing = predictors.controls(rotation.pages, rotation.parts["train"])
    oracle = measure_v1(rotation.pages, rotation.parts["test"], knowing["oracle"])
    constant = measure_v1(rotation.pages, rotation.parts["test"], knowing["constant"])
    assert oracle["margin"] < -0.2 < constant["margin"]
    assert oracle["rollout"] < 0.6
    assert constant["mini_r5"] > 0.60


def test_no_answer_comes_from_the_inputs(rotation):
    pages, rows = rotation.pages, rotation.parts["test"][:50]
    bank = pages.bank(rows)
    inputs = pages.context(rows)
    for index in range(len(rows)):
        candidates = bank.vectors[index][bank.is_candidate[index]]
        assert not any((candidates == one).all(1).any() for one in inputs[index])
        assert torch.equal(bank.vectors[index, bank.target_column[index]], pages.at(rows)[index])


def test_a_tie_is_worth_half_and_a_lone_candidate_is_not_asked():
    vectors, columns = torch.zeros(2, 3, 2), torch.tensor([0, 0])
    bank = Bank(vectors, torch.tensor([[True, True, True], [True, False, False]]), columns)
    rank, chance = fivecat.rank_of_target(torch.zeros(2, 3), bank)
    assert rank[0] == 2.0 and rank[1].isnan()
    assert chance[0] == 1.0 and chance[1].isnan()


def test_a_score_that_is_not_a_number_is_no_rank():
    bank = Bank(torch.zeros(1, 2, 2), torch.ones(1, 2, dtype=torch.bool), torch.tensor([0]))
    assert fivecat.rank_of_target(torch.tensor([[float("nan"), 0.0]]), bank)[0].isnan()


def test_intervals_widen_when_windows_of_a_page_agree():
    rng = np.random.default_rng(0)
    pages = np.repeat(np.arange(20), 50)
    together = np.repeat(rng.normal(size=20), 50)
    apart = rng.permutation(together)
    wide = PageBootstrap(pages).estimate([together])
    narrow = PageBootstrap(pages).estimate([apart])
    assert wide and narrow
    assert wide.value == pytest.approx(narrow.value)
    assert wide.high - wide.low > 3 * (narrow.high - narrow.low)


def test_the_interval_covers_the_truth_about_nineteen_times_in_twenty():
    rng = np.random.default_rng(1)
    pages = np.repeat(np.arange(40), 5)
    hits = 0
    for _ in range(60):
        values = np.repeat(rng.normal(0.3, 1.0, 40), 5) + rng.normal(0, 0.2, 200)
        found = PageBootstrap(pages).estimate([values])
        hits += found is not None and found.low <= 0.3 <= found.high
    assert 50 <= hits <= 60


def test_a_predictor_without_skill_has_no_standing_out_of_domain(rotation):
    rivals = surroundings(rotation).rivals
    constant = predictors.controls(rotation.pages, rotation.parts["train"])["constant"]
    scores = score(rotation, measure(rotation, constant), rivals)
    assert scores.get("bins_delta") is None or scores["bins_delta"].value == 1.0

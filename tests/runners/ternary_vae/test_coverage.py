"""Coverage has a definition, a bound that no sampler beats, and claims above it are refused."""

import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from registry.errors import CheckFailedError
from runners.ternary_vae import coverage
from runners.ternary_vae.evaluate import coverage_metrics
from runners.ternary_vae.operations import N_OPERATIONS


@pytest.mark.parametrize(
    ("k", "percent", "sd"),
    [(10_000, 39.834, 33), (19_683, 63.213, 44), (50_000, 92.116, 33), (100_000, 99.378, 11), (195_000, 99.995, 1)],
)
def test_the_published_table_of_the_uniform_bound(k: int, percent: float, sd: float) -> None:
    assert 100 * coverage.uniform_expectation(k) / N_OPERATIONS == pytest.approx(percent, abs=6e-4)
    assert coverage.uniform_sd(k) == pytest.approx(sd, abs=0.6)


@given(st.integers(1, 3), st.integers(1, 5))
def test_the_bound_is_the_mean_over_all_outcomes_of_small_cases(n: int, k: int) -> None:
    counts = [len(set(draws)) for draws in itertools.product(range(n), repeat=k)]
    mean = sum(counts) / len(counts)
    assert coverage.uniform_expectation(k, n) == pytest.approx(mean) if n > 1 else mean == 1
    if n > 1:
        variance = sum((count - mean) ** 2 for count in counts) / len(counts)
        assert coverage.uniform_sd(k, n) == pytest.approx(math.sqrt(variance), abs=1e-6)


@given(st.integers(1, 1_000_000))
def test_nothing_above_k_or_above_all_operations_is_ever_possible(k: int) -> None:
    assert coverage.most_possible(k) <= min(k, N_OPERATIONS)


def test_the_famous_impossible_number_is_refused() -> None:
    with pytest.raises(CheckFailedError, match="16140 distinct operations from 10000 draws is impossible"):
        coverage.check_claim(0.82 * N_OPERATIONS, 10_000)
    coverage.check_claim(0.8646 * N_OPERATIONS, 50_000)


def test_counts_are_of_one_stream_and_name_their_k() -> None:
    drawn: list[torch.Tensor] = []

    def decode(n: int) -> torch.Tensor:
        drawn.append(torch.randint(100, (n,)))
        return drawn[-1]

    counts = coverage.count_distinct(decode, (10, 60_000, 30))
    stream = torch.cat(drawn)
    assert counts == {k: len(set(stream[:k].tolist())) for k in (10, 30, 60_000)}


def test_a_sampler_that_lists_operations_is_caught() -> None:
    position = itertools.count(step=1)

    def listing(n: int) -> torch.Tensor:
        return torch.tensor([next(position) % N_OPERATIONS for _ in range(n)])

    with pytest.raises(CheckFailedError, match="impossible"):
        coverage_metrics([coverage.count_distinct(listing, (10_000,))])


def test_spread_of_a_known_generator() -> None:
    spread = coverage.measure_spread(lambda n: torch.arange(n) % 4, 40_000)
    assert spread.perplexity == pytest.approx(4, rel=1e-6)
    assert spread.effective == pytest.approx(4, rel=1e-3)
    assert spread.n_missing == N_OPERATIONS - 4
    assert spread.most_likely == pytest.approx(N_OPERATIONS / 4)

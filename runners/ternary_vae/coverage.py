"""Coverage with its definition in its name, and what no generator can reach.

`coverage_argmax@K`: draw z_1..z_K ~ N(0, I), decode by argmax, count distinct operations, divide by 19,683. The best
any sampler of independent draws can expect is the uniform one's; a claim above it is refused as impossible.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from registry.errors import CheckFailedError, UsageError
from runners.ternary_vae.operations import N_OPERATIONS

KS = (10_000, 19_683, 50_000, 100_000, 195_000)
HEADLINE_K = 50_000
TOLERANCE_SD = 5.0
_BLOCK = 50_000

Decode = Callable[[int], Tensor]
"""Given a number of draws, returns that many operation ids."""


def uniform_expectation(k: int, n: int = N_OPERATIONS) -> float:
    """Return the distinct operations that k uniform draws are expected to hit: n(1 - (1 - 1/n)^k)."""
    return -n * math.expm1(k * math.log1p(-1.0 / n))


def uniform_sd(k: int, n: int = N_OPERATIONS) -> float:
    """Return the standard deviation of that number (classical occupancy: Feller I, chapter II.11)."""
    miss_one = math.exp(k * math.log1p(-1.0 / n))
    miss_two = (1.0 - 2.0 / n) ** k
    return math.sqrt(max(0.0, n * (n - 1) * miss_two + n * miss_one - (n * miss_one) ** 2))


def most_possible(k: int) -> float:
    """Return the number of distinct operations above which a claim for k independent draws is not believed."""
    return min(k, N_OPERATIONS, uniform_expectation(k) + TOLERANCE_SD * uniform_sd(k))


def excess(n_unique: float, k: int) -> float:
    """Return by how many standard deviations a count exceeds the uniform expectation; above 5 it is impossible."""
    return (n_unique - uniform_expectation(k)) / max(uniform_sd(k), 1.0)


def efficiency(n_unique: float, k: int) -> float:
    """Return distinct operations over what a uniform sampler would be expected to hit: comparable across k."""
    return n_unique / uniform_expectation(k)


def check_claim(n_unique: float, k: int) -> None:
    """Raise CheckFailedError for a coverage no sampler of k independent draws can have."""
    if n_unique > most_possible(k):
        raise CheckFailedError(
            f"{n_unique:.0f} distinct operations from {k} draws is impossible: a uniform sampler reaches "
            f"{uniform_expectation(k):.0f} ± {uniform_sd(k):.0f}",
            hint="count distinct operations of independent draws, and name the number of draws",
        )


def read_claim(text: str) -> float:
    """Return the distinct operations that `86.46%`, `0.8646` or `17017` claim. Raises UsageError."""
    number, percent, rest = text.strip().partition("%")
    try:
        value = float(number.replace(",", ""))
    except ValueError:
        value = math.nan
    if rest or not 0.0 <= value < math.inf:
        raise UsageError(f"{text!r} is no coverage", hint="write 86.46%, 0.8646 or 17017")
    if percent:
        return value / 100.0 * N_OPERATIONS
    return value if number.strip().replace(",", "").isdecimal() else value * N_OPERATIONS


def count_distinct(decode: Decode, ks: tuple[int, ...] = (HEADLINE_K,)) -> dict[int, int]:
    """Return the distinct operations among the first k ids of one stream, for each k of `ks` (ascending)."""
    seen = torch.zeros(N_OPERATIONS, dtype=torch.bool)
    counts, drawn = {}, 0
    for k in sorted(ks):
        while drawn < k:
            size = min(_BLOCK, k - drawn)
            seen[decode(size).cpu()] = True
            drawn += size
        counts[k] = int(seen.sum())
    return counts


@dataclass(frozen=True)
class Spread:
    """How evenly a generator spreads over the operations, from many draws."""

    perplexity: float
    effective: float
    """1 / sum p^2, corrected for the finite number of draws: the size of a uniform set with as many collisions."""
    n_missing: int
    most_likely: float
    """Probability of the commonest operation times 19,683; 1 for a uniform generator."""


def measure_spread(decode: Decode, n_draws: int) -> Spread:
    """Return the spread of a generator over the operations, from `n_draws` draws."""
    counts = torch.zeros(N_OPERATIONS, dtype=torch.int64)
    for start in range(0, n_draws, _BLOCK):
        ids = decode(min(_BLOCK, n_draws - start)).cpu()
        counts += torch.bincount(ids, minlength=N_OPERATIONS)
    p = counts.double() / n_draws
    entropy = -(p[p > 0] * p[p > 0].log()).sum()
    collision = (counts * (counts - 1)).sum().double() / (n_draws * (n_draws - 1))
    return Spread(
        perplexity=float(entropy.exp()),
        effective=float(1.0 / collision) if collision > 0 else float(N_OPERATIONS),
        n_missing=int((counts == 0).sum()),
        most_likely=float(p.max() * N_OPERATIONS),
    )

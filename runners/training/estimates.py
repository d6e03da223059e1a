"""What a score is worth: a value with its 95 % interval and the number of cases behind it, and how it is recorded."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from registry.run import Run

Z_95 = 1.959963984540054


@dataclass(frozen=True)
class Estimate:
    """A value with its 95 % interval and the number of cases behind it."""

    value: float
    low: float
    high: float
    n: int


def wilson(hits: Sequence[float]) -> Estimate:
    """Return a mean with its 95 % interval: Wilson's score interval, of a proportion or of scores between 0 and 1.

    Wilson, J. Am. Stat. Assoc. 22 (1927) 209-212. For scores that are not 0 or 1 it is conservative.
    """
    n = len(hits)
    mean = sum(hits) / n
    centre = (mean + Z_95**2 / (2 * n)) / (1 + Z_95**2 / n)
    half = Z_95 / (1 + Z_95**2 / n) * math.sqrt(mean * (1 - mean) / n + Z_95**2 / (4 * n**2))
    return Estimate(mean, min(mean, max(0.0, centre - half)), max(mean, min(1.0, centre + half)), n)


def record_estimates(run: Run, family: str, scores: Mapping[str, Estimate], **whose: Any) -> None:
    """Record scores as `FAMILY/NAME` with their intervals and counts, of an artifact or of a subject."""
    named = {f"{family}/{name}": estimate for name, estimate in scores.items()}
    run.log_evaluation(
        metrics={name: estimate.value for name, estimate in named.items()},
        intervals={name: (estimate.low, estimate.high) for name, estimate in named.items()},
        counts={name: estimate.n for name, estimate in named.items()},
        **whose,
    )

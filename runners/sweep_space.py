"""Which trials a sweep makes: every point of the grid, times random draws, times seeds. Pure; the same words, the same
trials.
"""

import itertools
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass

from registry.errors import UsageError

MAX_TRIALS = 10_000
LOG_RATIO = 100.0
"""A range whose ends are positive and at least this far apart is drawn evenly in its logarithm (1e-4..1e-2)."""


@dataclass(frozen=True)
class Trial:
    """One training of a sweep: its number from 1, what it changes, its seed."""

    number: int
    values: tuple[tuple[str, str], ...]
    seed: int

    @property
    def overrides(self) -> tuple[str, ...]:
        """The `key=value` texts that make it, its seed among them."""
        return (*(f"{key}={value}" for key, value in self.values), f"seed={self.seed}")

    @property
    def label(self) -> str:
        """What tells it from the others, for people."""
        return " ".join((*(f"{key}={value}" for key, value in self.values), f"seed={self.seed}"))


def trials_of(
    grid: Sequence[str], ranges: Sequence[str], *, draws: int, seeds: int, draw_seed: int = 0
) -> tuple[Trial, ...]:
    """Return the trials of `k=v1,v2` grids and `k=lo..hi` ranges, each with the seeds 0 to `seeds` - 1.

    Raises UsageError for words that are neither, a key named twice, or more than MAX_TRIALS.
    """
    axes = [_axis(text) for text in grid]
    bounds = [_bounds(text) for text in ranges]
    keys = [key for key, _ in axes] + [key for key, *_ in bounds]
    twice = next((key for key in keys if keys.count(key) > 1), None)
    if twice or (seeds > 1 and "seed" in keys):
        raise UsageError(f"{twice or 'seed'} is named twice", hint="one --grid, --random or --seeds for each setting")
    n_trials = math.prod(len(values) for _, values in axes) * (draws if bounds else 1) * seeds
    if n_trials > MAX_TRIALS:
        raise UsageError(f"{n_trials:,} trials", hint=f"a sweep has at most {MAX_TRIALS:,}; sweep fewer values")
    generator = random.Random(draw_seed)
    points = [
        tuple((key, value) for (key, _), value in zip(axes, chosen, strict=True))
        + tuple((key, _draw(generator, low, high)) for key, low, high in bounds)
        for chosen in itertools.product(*(values for _, values in axes))
        for _ in range(draws if bounds else 1)
    ]
    pairs = [(point, seed) for point in points for seed in range(seeds)]
    return tuple(_trial(number, point, seed) for number, (point, seed) in enumerate(pairs, start=1))


def _trial(number: int, point: tuple[tuple[str, str], ...], seed: int) -> Trial:
    own = dict(point)
    chosen = int(own.pop("seed")) if "seed" in own else seed
    return Trial(number, tuple(own.items()), chosen)


def _axis(text: str) -> tuple[str, list[str]]:
    key, equals, listed = text.partition("=")
    values = [value.strip() for value in listed.split(",")]
    if not (key.strip() and equals and all(values)):
        raise UsageError(f"--grid {text!r}", hint="write --grid learning_rate=1e-3,3e-3")
    if key.strip() == "seed" and not all(value.isdigit() for value in values):
        raise UsageError(f"--grid {text!r}", hint="seeds are whole numbers")
    if len(set(values)) < len(values):
        raise UsageError(f"--grid {text!r} names a value twice", hint="--seeds N repeats a trial with other seeds")
    return key.strip(), values


def _bounds(text: str) -> tuple[str, float | int, float | int]:
    key, equals, span = text.partition("=")
    low, dots, high = span.partition("..")
    try:
        bounds = _number(low), _number(high)
    except ValueError:
        bounds = (1, 0)
    if not (key.strip() and equals and dots) or key.strip() == "seed" or not bounds[0] < bounds[1]:
        raise UsageError(f"--random {text!r}", hint="write --random learning_rate=1e-4..1e-2, the lower number first")
    return key.strip(), *bounds


def _number(text: str) -> float | int:
    try:
        return int(text)
    except ValueError:
        value = float(text)
        if not math.isfinite(value):
            raise ValueError(text) from None
        return value


def _draw(generator: random.Random, low: float | int, high: float | int) -> str:
    """Return a value between two bounds: whole when both are, evenly in the logarithm over a wide positive range."""
    wide = low > 0 and high / low >= LOG_RATIO
    value = math.exp(generator.uniform(math.log(low), math.log(high))) if wide else generator.uniform(low, high)
    if isinstance(low, int) and isinstance(high, int):
        return str(round(value) if wide else generator.randint(low, high))
    return f"{min(max(value, low), high):.6g}"

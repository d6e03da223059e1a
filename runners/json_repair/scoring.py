"""How near a repaired text is to the document that was broken: does it parse, is it the same value, how alike are they.

Values are compared type by type (1 is not 1.0, nor True); the order of an object's keys does not count.
"""

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from runners.json_repair.grammar import strict_loads
from runners.training.estimates import Z_95, Estimate, wilson

MAX_ALIGNED_ITEMS = 60
"""Longer arrays are compared item by item at the same place instead of aligned."""


@dataclass(frozen=True)
class Score:
    """Whether a repaired text parses, whether its value is the original's, and how alike the two are (0 to 1)."""

    parses: bool
    exact: bool
    similarity: float


def score(original: str, repaired: str) -> Score:
    """Return the score of a repaired text beside the original document."""
    try:
        value = strict_loads(repaired)
    except ValueError:
        return Score(parses=False, exact=False, similarity=0.0)
    wanted = strict_loads(original)
    exact = same_value(wanted, value)
    return Score(parses=True, exact=exact, similarity=1.0 if exact else similarity(wanted, value))


def same_value(one: Any, other: Any) -> bool:
    """Return whether two JSON values are equal, types included and the order of keys left aside."""
    return _frozen(one) == _frozen(other)


def similarity(one: Any, other: Any) -> float:
    """Return the share of nodes (values and keys) that two trees have in common: Dice's coefficient, 0 to 1.

    Of two unequal strings the part they begin with alike counts, as a share of the longer one.
    """
    return 2 * _common(one, other) / (_size(one) + _size(other))


def macro(groups: Sequence[Sequence[float]]) -> Estimate:
    """Return the mean of the groups' means, with its 95 % interval (normal, from the variance within each group)."""
    estimates = [wilson(group) for group in groups]
    mean = sum(one.value for one in estimates) / len(estimates)
    variance = sum(((one.high - one.low) / (2 * Z_95)) ** 2 for one in estimates) / len(estimates) ** 2
    half = Z_95 * math.sqrt(variance)
    return Estimate(mean, max(0.0, mean - half), min(1.0, mean + half), sum(one.n for one in estimates))


def _frozen(value: Any) -> str:
    return json.dumps(value, sort_keys=True)


def _size(value: Any) -> int:
    if isinstance(value, dict):
        return 1 + sum(1 + _size(item) for item in value.values())
    if isinstance(value, list):
        return 1 + sum(map(_size, value))
    return 1


def _common(one: Any, other: Any) -> float:
    if isinstance(one, dict) and isinstance(other, dict):
        return 1 + sum(1 + _common(one[key], other[key]) for key in one.keys() & other.keys())
    if isinstance(one, list) and isinstance(other, list):
        if max(len(one), len(other)) > MAX_ALIGNED_ITEMS:
            return 1 + sum(_common(a, b) for a, b in zip(one, other, strict=False))
        return 1 + _aligned(one, other)
    if isinstance(one, str) and isinstance(other, str) and one != other:
        return _shared_beginning(one, other) / max(len(one), len(other))
    return float(type(one) is type(other) and one == other)


def _shared_beginning(one: str, other: str) -> int:
    """Return how many characters two strings begin with alike."""
    for place, (a, b) in enumerate(zip(one, other, strict=False)):
        if a != b:
            return place
    return min(len(one), len(other))


def _aligned(one: list[Any], other: list[Any]) -> float:
    """Return the most that two arrays have in common when items are matched in order, with items left out."""
    row = [0.0] * (len(other) + 1)
    for a in one:
        before = row
        row = [0.0]
        for place, b in enumerate(other):
            row.append(max(row[-1], before[place + 1], before[place] + _common(a, b)))
    return row[-1]

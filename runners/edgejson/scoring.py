"""How good is an answer? Pure functions: text out of a model, the expected answer and its schema in, scores out."""

import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from runners.edgejson.checks import validator
from runners.edgejson.forms import flat
from runners.edgejson.schema import Schema, broken
from runners.training.estimates import Estimate, wilson

METRICS = ("json_valid", "json_exact", "field_f1_top", "leaf_f1", "schema_ok", "math_ok", "compliance_legacy")
N_REPLICATES = 2000
_NOTHING = object()


def extract(text: str) -> Any:
    """Return the first JSON object in a text, whatever stands around it. Raises ValueError when there is none."""
    start = text.find("{")
    if start < 0:
        raise ValueError("no object in the answer")
    return json.JSONDecoder().raw_decode(text, start)[0]


def same(one: Any, other: Any) -> bool:
    """Return whether two JSON values are equal: 1 and 1.0 are, true and 1 are not; the order of keys is nothing."""
    if isinstance(one, bool) or isinstance(other, bool):
        return one is other
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(same, one, other))
    return bool(one == other)


def score(text: str, expected: Mapping[str, Any], schema: Schema) -> dict[str, float]:
    """Return the scores of one answer, each from 0 to 1; see METRICS.

    `math_ok` asks that all invariants hold, of an answer that satisfies its JSON Schema; `compliance_legacy` is what
    the published evaluation calls compliance: the expected keys are there, each with a value of the expected type.
    """
    try:
        answer = extract(text)
    except (ValueError, RecursionError):
        return dict.fromkeys(METRICS, 0.0)
    fits = validator(schema, True).is_valid(answer)
    return {
        "json_valid": 1.0,
        "json_exact": float(same(answer, dict(expected))),
        "field_f1_top": _f1(answer.items(), expected.items()),
        "leaf_f1": _f1(flat(answer), flat(expected)),
        "schema_ok": float(fits),
        "math_ok": float(fits and not broken(schema, answer)),
        "compliance_legacy": float(all(type(answer.get(key)) is type(value) for key, value in expected.items())),
    }


def _f1(answered: Iterable[tuple[Any, Any]], expected: Iterable[tuple[Any, Any]]) -> float:
    """Return F1 of (field, value) pairs; a value counts only when it is exactly right."""
    mine, theirs = (dict(pairs) for pairs in (answered, expected))
    right = sum(same(value, theirs.get(field, _NOTHING)) for field, value in mine.items())
    return 2 * right / (len(mine) + len(theirs)) if mine or theirs else 1.0


def paired_gain(mine: Sequence[float], theirs: Sequence[float], seed: int = 0) -> Estimate:
    """Return the mean difference of two scores of the same rows, with its bootstrap interval over rows."""
    differences = np.subtract(mine, theirs)
    drawn = np.random.default_rng([seed, 21]).integers(len(differences), size=(N_REPLICATES, len(differences)))
    low, high = np.percentile(differences[drawn].mean(1), (2.5, 97.5))
    return Estimate(float(differences.mean()), float(low), float(high), len(differences))


def summarise(scores: Sequence[Mapping[str, float]], groups: Mapping[str, Sequence[str]]) -> dict[str, Estimate]:
    """Return every metric over all rows, and JSONExact by group (`json_exact/simple`, `json_exact/rating`).

    `groups` holds one name a row for each way of grouping.
    """
    found = {metric: wilson([one[metric] for one in scores]) for metric in METRICS}
    for names in groups.values():
        for name in Counter(names):
            own = [one["json_exact"] for one, group in zip(scores, names, strict=True) if group == name]
            found[f"json_exact/{name}"] = wilson(own)
    return found

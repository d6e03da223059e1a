"""The checks' own test: rows are broken on purpose, one way for each check, which must find every one of them."""

import random
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

from runners.edgejson.checks import CHECKS, SELF_TEST, Finding, Result, validate
from runners.edgejson.rows import TEST, TRAIN, Row

N_ROWS = 20
_FOREIGN = "zzqx"

Value = dict[str, Any]


def self_test(rows: Sequence[Row], seed: int = 0) -> Result:
    """Break up to 20 rows for each check (for those of the whole set: the set), and report what was not found."""
    whole = [row for row in rows if row.is_whole]
    result = Result(SELF_TEST, "broken rows are found by the check they break", 0)
    for check in CHECKS:
        rng = random.Random(f"{seed}/{check}")
        if check in _BREAK_SET:
            _try_set(check, whole, rng, result)
        else:
            _try_rows(check, whole, rng, result)
    return result


def _try_rows(check: str, rows: Sequence[Row], rng: random.Random, result: Result) -> None:
    """Break one row at a time in place, all in one set, and look for each of them."""
    able = [row for row in rows if _BREAK_ROW[check](row, rng) is not None]
    chosen = rng.sample(able, min(N_ROWS, len(able)))
    mutants = {(row.file, row.number): replace(row, value=_BREAK_ROW[check](row, rng)) for row in chosen}
    found = validate(list(mutants.values()), [check])[0].rows()
    result.n_checked += len(mutants)
    missed = [row for key, row in mutants.items() if key not in found]
    result.findings += [Finding(row, f"{check} did not find what was broken for it", check) for row in missed]
    if not mutants:
        result.findings.append(Finding(None, f"{check}: no row could be broken for it", check))


def _try_set(check: str, rows: Sequence[Row], rng: random.Random, result: Result) -> None:
    before = len(validate(rows, [check])[0].findings)
    after = len(validate(_BREAK_SET[check](rows, rng), [check])[0].findings)
    result.n_checked += 1
    if after <= before:
        result.findings.append(Finding(None, f"{check} found no more in a broken set ({before} and {after})", check))


# --- breaking a row; None where it cannot be broken so


def _without_answer(row: Row, rng: random.Random) -> Value | None:
    return {**(row.value or {}), "expected_output": None}


def _wrong_type(row: Row, rng: random.Random) -> Value | None:
    assert row.schema
    needed = [one.name for one in row.schema.fields if not one.optional and one.name in row.answer]
    return _with_answer(row, {**row.answer, rng.choice(needed): None}) if needed else None


def _wrong_number(row: Row, rng: random.Random) -> Value | None:
    """Change a number that an invariant reads, such that it no longer holds."""
    assert row.schema
    names = {
        name for invariant in row.schema.invariants if invariant.topic == "totals" for name in invariant.rule.fields
    }
    numbers = sorted(name for name in names if isinstance(row.answer.get(name), int | float))
    if not numbers:
        return None
    name = rng.choice(numbers)
    return _with_answer(row, {**row.answer, name: round(row.answer[name] * 2 + 10, 2)})


def _foreign_value(row: Row, rng: random.Random) -> Value | None:
    texts = sorted(name for name, value in row.answer.items() if isinstance(value, str))
    return _with_answer(row, {**row.answer, rng.choice(texts): _FOREIGN}) if texts else None


def _half_prompt(row: Row, rng: random.Random) -> Value | None:
    return {**(row.value or {}), "prompt": row.prompt[: len(row.prompt) // 2]}


def _without_label(row: Row, rng: random.Random) -> Value | None:
    return {**(row.value or {}), rng.choice(("complexity", "source")): None}


def _very_long(row: Row, rng: random.Random) -> Value | None:
    return _with_answer(row, {**row.answer, "extra": " ".join([_FOREIGN] * 600)})


def _with_answer(row: Row, answer: Value) -> Value:
    return {**(row.value or {}), "expected_output": answer}


_BREAK_ROW: dict[str, Callable[[Row, random.Random], Value | None]] = {
    "V1": _without_answer,
    "V2": _wrong_type,
    "V3": _wrong_number,
    "V6": _foreign_value,
    "V7": _half_prompt,
    "V9": _without_label,
    "V10": _very_long,
}


# --- breaking a set


def _few_tests(rows: Sequence[Row], rng: random.Random) -> list[Row]:
    """Leave three test rows of the schema that has most."""
    schema = _most_common(rows, TEST)
    own = [row for row in rows if row.split == TEST and row.schema and row.schema.id == schema]
    return [row for row in rows if row not in own[3:]]


def _little_training(rows: Sequence[Row], rng: random.Random) -> list[Row]:
    """Leave one training row of the schema that has most, and more than one schema."""
    schema = _most_common(rows, TRAIN)
    own = [row for row in rows if row.split == TRAIN and row.schema and row.schema.id == schema]
    return [row for row in rows if row not in own[1:]]


def _trained_tests(rows: Sequence[Row], rng: random.Random) -> list[Row]:
    """Put twenty training rows among the tests, under other ids."""
    train = [row for row in rows if row.split == TRAIN]
    twins = [
        replace(row, split=TEST, file="leaked", value={**(row.value or {}), "id": "leaked"}) for row in train[:N_ROWS]
    ]
    return [*rows, *twins]


def _most_common(rows: Sequence[Row], split: str) -> str:
    names = [row.schema.id for row in rows if row.schema and row.split == split]
    return max(sorted(set(names)), key=names.count, default="")


_BREAK_SET: dict[str, Callable[[Sequence[Row], random.Random], list[Row]]] = {
    "V4": _few_tests,
    "V5": _little_training,
    "V8": _trained_tests,
}

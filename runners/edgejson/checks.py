"""Is this data fit to train and to test on? Eleven checks, each of which must also be shown to find what it looks for.

| check | asks |
| --- | --- |
| V1 parse | every row is JSON with its fields |
| V2 schema | every answer satisfies its JSON Schema, formats included |
| V3 invariants | sums, dates and ratios are right, to 0.02 |
| V4 count | every schema has at least 10 test rows |
| V5 balance | a schema's share of train and of test differ by no more than a factor of 2 |
| V6 grounded | every value of an answer is said in its prompt, or follows from an invariant |
| V7 readable | a parser without a model gets at least 99 % of the answers back |
| V8 leak | no test row is, or nearly is, a training row |
| V9 labels | complexity and source are there and right |
| V10 length | prompt and answer fit the token budget |
| V11 self-test | rows that were broken on purpose are found by the check they break |

V11 is in `mutate`; `python -m runners.edgejson.validate` makes all of them.
"""

import hashlib
import json
import re
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import jsonschema

from runners.edgejson import rules
from runners.edgejson.forms import flat, said
from runners.edgejson.kinds import KINDS
from runners.edgejson.rows import TEST, TRAIN, Row
from runners.edgejson.schema import COMPLEXITIES, Leaf, Schema, broken, json_schema, leaves

MIN_TEST_ROWS = 10
MAX_SHARE_RATIO = 2.0
MIN_READABLE = 0.99
MIN_SHINGLE_LIKENESS = 0.9
MAX_ANSWER_TOKENS = 512
MAX_TOKENS = 1024
GENERATED = "holdfast-"
"""Sources that begin so are ours: their answers are held to the closed JSON Schema."""
_COMMON_SHINGLE = 50
_UUID = re.compile(r"\b[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}\b")


@dataclass(frozen=True)
class Finding:
    """Something a check found: the row (None for the set as a whole), what is wrong, and a word to count it by."""

    row: Row | None
    message: str
    topic: str = ""
    rule: str = ""
    """The invariant that does not hold, as `schema.name`."""


@dataclass
class Result:
    """What one check found; a check that allows a few findings passes all the same (`allowed`)."""

    id: str
    title: str
    n_checked: int
    findings: list[Finding] = field(default_factory=list)
    allowed: int = 0
    warnings: list[str] = field(default_factory=list)

    @property
    def passed(self) -> bool:
        """Whether there was something to look at and no more was wrong with it than is allowed."""
        return self.n_checked > 0 and len(self.findings) <= self.allowed

    def rows(self, topic: str = "", split: str = "") -> set[tuple[str, int]]:
        """Return the rows that were found, of a topic and a split when they are given."""
        return {
            (one.row.file, one.row.number)
            for one in self.findings
            if one.row and topic in ("", one.topic) and split in ("", one.row.split)
        }


def validate(rows: Sequence[Row], only: Iterable[str] = ()) -> list[Result]:
    """Make the checks V1 to V10, or those named, and return what each found."""
    wanted = set(only) or set(CHECKS)
    return [make(check, title, rows) for check, (title, make) in CHECKS.items() if check in wanted]


# --- of each row


def _parse(check: str, title: str, rows: Sequence[Row]) -> Result:
    result = Result(check, title, len(rows))
    for row in rows:
        needed = {"id": str, "schema_id": str, "prompt": str, "expected_output": dict}
        wrong = [name for name, kind in needed.items() if not isinstance((row.value or {}).get(name), kind)]
        if row.value is None:
            result.findings.append(Finding(row, row.error))
        elif wrong:
            result.findings.append(Finding(row, f"no good {', '.join(wrong)}"))
        elif row.schema is None:
            result.findings.append(Finding(row, f"unknown schema {row.value['schema_id']!r}"))
    return result


def _schema(check: str, title: str, rows: Sequence[Row]) -> Result:
    whole = [row for row in rows if row.is_whole]
    result = Result(check, title, len(whole))
    for row in whole:
        assert row.schema and row.value
        closed = str(row.value.get("source", "")).startswith(GENERATED)
        for error in validator(row.schema, closed).iter_errors(row.answer):
            result.findings.append(Finding(row, f"{error.json_path}: {error.message[:120]}"))
    return result


_validators: dict[tuple[str, bool], jsonschema.Draft202012Validator] = {}


def validator(schema: Schema, closed: bool) -> jsonschema.Draft202012Validator:
    """Return the JSON Schema validator of a schema, formats checked."""
    kind = jsonschema.Draft202012Validator
    made = _validators.get((schema.id, closed))
    if made is None:
        made = _validators[schema.id, closed] = kind(
            json_schema(schema, closed=closed), format_checker=kind.FORMAT_CHECKER
        )
    return made


def _invariants(check: str, title: str, rows: Sequence[Row]) -> Result:
    whole = [row for row in rows if row.is_whole]
    result = Result(check, title, len(whole))
    for row in whole:
        assert row.schema
        for invariant in broken(row.schema, row.answer):
            name = f"{row.schema.id}.{invariant.name}"
            message = f"{name} does not hold: {invariant.rule.text[:90]}"
            result.findings.append(Finding(row, message, invariant.topic, name))
    for schema in {row.schema.id: row.schema for row in whole if row.schema}.values():
        if not schema.invariants and (why := _could_be_related(schema)):
            result.warnings.append(f"{schema.id} declares no invariant, and has {why}")
    return result


def _could_be_related(schema: Schema) -> str:
    """Return which fields of a schema might depend on each other: two or more numbers, or two or more dates."""
    kinds = [one.kind for one in leaves(schema.fields) if isinstance(one, Leaf)]
    n_numbers = sum(KINDS[kind].json_schema.get("type") in ("number", "integer") for kind in kinds)
    n_dates = sum(kind in ("date", "datetime") for kind in kinds)
    return f"{n_numbers} numbers" if n_numbers > 1 else f"{n_dates} dates" if n_dates > 1 else ""


def _grounded(check: str, title: str, rows: Sequence[Row]) -> Result:
    whole = [row for row in rows if row.is_whole]
    result = Result(check, title, len(whole))
    for row in whole:
        if missing := absent_values(row):
            result.findings.append(Finding(row, f"not in the prompt: {', '.join(missing[:3])}"))
    return result


def absent_values(row: Row) -> list[str]:
    """Return the paths of values that the prompt does not say and no invariant gives."""
    assert row.schema
    prompt = " ".join(row.prompt.split()).casefold()
    numbers = {float(word) for word in re.findall(r"-?\d+(?:\.\d+)?", prompt)}
    derived = {name for invariant in row.schema.invariants for name in invariant.rule.fields}
    missing = []
    for path, value in flat(row.answer):
        if isinstance(value, int | float) and not isinstance(value, bool):
            there = float(value) in numbers or str(path[0]) in derived
        else:
            there = value is None or " ".join(said(value).split()).casefold() in prompt
        if not there:
            missing.append(".".join(map(str, path)))
    return missing


def _readable(check: str, title: str, rows: Sequence[Row]) -> Result:
    whole = [row for row in rows if row.is_whole]
    result = Result(check, title, len(whole), allowed=int(len(whole) * (1 - MIN_READABLE)))
    for row in whole:
        assert row.schema
        if rules.parse(row.schema, document_of(row)) != row.answer:
            result.findings.append(Finding(row, "a parser of labels and values reads something else"))
    return result


def document_of(row: Row) -> str:
    """Return the document of a prompt: without the line of fields that ours begin with."""
    assert row.schema
    first, _, rest = row.prompt.partition("\n")
    return rest if first.startswith(f"{row.schema.id}: ") and rest else row.prompt


def _labels(check: str, title: str, rows: Sequence[Row]) -> Result:
    result = Result(check, title, len(rows))
    for row in rows:
        value = row.value or {}
        if value.get("complexity") not in COMPLEXITIES or (row.schema and value["complexity"] != row.schema.complexity):
            result.findings.append(Finding(row, f"complexity is {value.get('complexity')!r}", "complexity"))
        elif not value.get("source"):
            result.findings.append(Finding(row, "no source", "source"))
    return result


def estimate_tokens(text: str) -> int:
    """Return about how many tokens a text is: one a digit and sign, one for four letters."""
    words = re.findall(r"[A-Za-z]+|\S", text)
    return sum(-(-len(word) // 4) for word in words)


def over_budget(prompt: str, answer: Mapping[str, Any]) -> tuple[str, str] | None:
    """Return what is too long, in a word and in words, when a row does not fit the token budget."""
    n_answer = estimate_tokens(json.dumps(answer, separators=(",", ":"), ensure_ascii=False))
    n_both = n_answer + estimate_tokens(prompt)
    if n_answer > MAX_ANSWER_TOKENS:
        return "answer", f"the answer is about {n_answer} tokens, over {MAX_ANSWER_TOKENS}"
    if n_both > MAX_TOKENS:
        return "both", f"prompt and answer are about {n_both} tokens, over {MAX_TOKENS}"
    return None


def _length(check: str, title: str, rows: Sequence[Row]) -> Result:
    whole = [row for row in rows if row.is_whole]
    result = Result(check, title, len(whole))
    for row in whole:
        if too_long := over_budget(row.prompt, row.answer):
            result.findings.append(Finding(row, too_long[1], too_long[0]))
    return result


# --- of the set as a whole


def _count(check: str, title: str, rows: Sequence[Row]) -> Result:
    counts = Counter(row.schema.id for row in rows if row.schema and row.split == TEST)
    schemas = sorted({row.schema.id for row in rows if row.schema})
    few = [(name, counts[name]) for name in schemas if counts[name] < MIN_TEST_ROWS]
    findings = [Finding(None, f"{name} has {n} test rows, fewer than {MIN_TEST_ROWS}") for name, n in few]
    return Result(check, title, len(schemas), findings)


def _balance(check: str, title: str, rows: Sequence[Row]) -> Result:
    counts = {
        split: Counter(row.schema.id for row in rows if row.schema and row.split == split) for split in (TRAIN, TEST)
    }
    totals = {split: sum(counter.values()) for split, counter in counts.items()}
    schemas = sorted(counts[TRAIN].keys() | counts[TEST].keys())
    result = Result(check, title, len(schemas) if all(totals.values()) else 0)
    for name in schemas if all(totals.values()) else ():
        train, test = (counts[split][name] / totals[split] for split in (TRAIN, TEST))
        ratio = train / test if test else float("inf")
        if not 1 / MAX_SHARE_RATIO <= ratio <= MAX_SHARE_RATIO:
            message = f"{name} is {train:.1%} of train and {test:.1%} of test: a ratio of {ratio:.2f}"
            result.findings.append(Finding(None, message))
    return result


def _leak(check: str, title: str, rows: Sequence[Row]) -> Result:
    by_schema: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        if row.is_whole and row.schema:
            by_schema[row.schema.id].append(row)
    result = Result(check, title, sum(row.split == TEST for same in by_schema.values() for row in same))
    for same in by_schema.values():
        result.findings += _leaks_among(same)
    return result


def _leaks_among(rows: Sequence[Row]) -> Iterator[Finding]:
    """Yield the test rows of one schema that are training rows, or nearly: by masked shingles, nine in ten the same."""
    train = [row for row in rows if row.split == TRAIN]
    answers = {_digest(row.answer): row for row in train}
    shingles = [_shingles(row) for row in train]
    holders: dict[str, list[int]] = defaultdict(list)
    for index, found in enumerate(shingles):
        for shingle in found:
            holders[shingle].append(index)
    for row in (row for row in rows if row.split == TEST):
        if twin := answers.get(_digest(row.answer)):
            yield Finding(row, f"the same answer as line {twin.number} of {twin.file}", "exact")
            continue
        own = _shingles(row)
        near = {index for shingle in own if len(holders[shingle]) <= _COMMON_SHINGLE for index in holders[shingle]}
        for index in near:
            likeness = len(own & shingles[index]) / max(1, len(own | shingles[index]))
            if likeness >= MIN_SHINGLE_LIKENESS:
                yield Finding(row, f"{likeness:.0%} like line {train[index].number} of {train[index].file}", "near")
                break


def _digest(answer: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(answer, sort_keys=True).encode()).hexdigest()


def _shingles(row: Row) -> frozenset[str]:
    """Return the values of an answer with their paths, UUIDs masked: rows that differ in those are alike."""
    return frozenset(f"{'.'.join(map(str, path))}={_masked(said(value))}" for path, value in flat(row.answer))


def _masked(text: str) -> str:
    """Return a text with every UUID as one sign."""
    return _UUID.sub("#", text)


Check = Callable[[str, str, Sequence[Row]], Result]
CHECKS: dict[str, tuple[str, Check]] = {
    "V1": ("every row is JSON with its fields", _parse),
    "V2": ("answers satisfy their JSON Schema", _schema),
    "V3": ("sums, dates and ratios are right", _invariants),
    "V4": (f"at least {MIN_TEST_ROWS} test rows of every schema", _count),
    "V5": (f"shares of train and test within a factor of {MAX_SHARE_RATIO:g}", _balance),
    "V6": ("every value is said in the prompt", _grounded),
    "V7": (f"a parser reads {MIN_READABLE:.0%} back", _readable),
    "V8": ("no test row was trained on", _leak),
    "V9": ("complexity and source are there", _labels),
    "V10": ("prompt and answer fit the budget", _length),
}
SELF_TEST = "V11"

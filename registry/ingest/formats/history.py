"""JSON documents that hold series: a list of objects, one per epoch; lists by name; objects by epoch number."""

import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any

from registry.ingest import gate
from registry.ingest.counters import STEP_KEYS
from registry.ingest.formats.documents import DocumentFormat
from registry.ingest.numbers import as_metric
from registry.ingest.objects import eval_prefix, object_values, qualified
from registry.ingest.records import Record, State, Values

MIN_LENGTH = 2
MAX_DEPTH = 3
_EPOCH_KEY = re.compile(r"(?:epoch|step|iter|iteration|ep)?[_ -]?(\d{1,9})", re.IGNORECASE)
_WRAPPERS = frozenset({
    "history", "epochs", "logs", "log", "metrics", "results", "records", "data", "entries", "training_history", "steps",
    "training", "training_log", "train_history", "log_history", "scalars",
})  # fmt: skip


def records(name: str, document: Any) -> list[Record] | None:
    """Return the values of every series in a document, None when it holds none."""
    found = list(_series(document, "", 0))
    if not found or not any(gate.is_strong(key) for record in found if type(record) is Values for key in record.values):
        return None
    return found


def _series(document: Any, prefix: str, depth: int) -> Iterator[Record]:
    if isinstance(document, list):
        yield from _from_objects(document, prefix)
    elif isinstance(document, dict) and document:
        if (numbered := _numbered(document)) is not None:
            yield from _from_objects(numbered, prefix)
        elif (columns := _columns(document)) is not None:
            yield from _from_columns(columns, prefix)
            rest = {
                key: value for key, value in document.items() if isinstance(value, dict | list) and key not in columns
            }
            yield from _inner(rest, prefix, depth)
        else:
            yield from _inner(document, prefix, depth)


def _inner(document: dict[Any, Any], prefix: str, depth: int) -> Iterator[Record]:
    if depth >= MAX_DEPTH:
        return
    for key, value in document.items():
        if isinstance(value, dict | list) and value:
            name = str(key).lower()
            inner = prefix if name in _WRAPPERS else f"{prefix}{eval_prefix(name) or f'{key}/'}"
            yield from _series(value, inner, depth + 1)


def _from_objects(rows: list[Any], prefix: str) -> Iterator[Record]:
    """A list of objects that count; without a counter the place in the list counts, from 1."""
    if len(rows) < MIN_LENGTH or not all(isinstance(row, dict) for row in rows):
        return
    state: State = {}
    steps = []
    found: list[Record] = []
    counted = any(str(key).lower() in STEP_KEYS for key in rows[0])
    if not counted and not _speak_of_training(rows[0]):
        return
    for number, row in enumerate(rows, start=1):
        values, others = object_values(state, row, 0)
        if values.step is None and not counted:
            values.step = number
        values.values = {qualified(prefix, name): value for name, value in values.values.items()}
        steps.append(values.step)
        found += [*others, values]
    whole = [step for step in steps if step is not None]
    rising = sum(later >= earlier for earlier, later in pairwise(whole))
    if len(set(whole)) >= MIN_LENGTH and rising >= 0.8 * (len(whole) - 1):
        yield from found


def _speak_of_training(row: dict[Any, Any]) -> bool:
    """Return whether a row that does not count is one of metrics: half of its numbers have names that metrics have."""
    names = [str(key) for key, value in row.items() if as_metric(value) is not None or isinstance(value, dict)]
    strong = [name for name in names if gate.is_strong(name) or name.lower() in _WRAPPERS or eval_prefix(name.lower())]
    return 2 * len(strong) >= len(names) and "id" not in row


def _numbered(document: dict[Any, Any]) -> list[dict[str, Any]] | None:
    """Return the rows of `{"1": {…}, "2": {…}}` or `{"epoch_1": {…}}` with their number as `step`."""
    rows = []
    for key, value in document.items():
        match = _EPOCH_KEY.fullmatch(str(key))
        if match is None or not isinstance(value, dict):
            return None
        rows.append({**value, "step": int(match[1])})
    return rows if len(rows) >= MIN_LENGTH else None


def _columns(document: dict[Any, Any]) -> dict[str, list[Any]] | None:
    """Return the lists of numbers of a document, if they are as long as each other or as a list that counts."""
    lists = {
        str(key): value
        for key, value in document.items()
        if isinstance(value, list)
        and len(value) >= MIN_LENGTH
        and all(as_metric(one) is not None or one is None for one in value)
    }
    return lists if lists and any(gate.is_strong(key) for key in lists) else None


def _from_columns(columns: dict[str, list[Any]], prefix: str) -> Iterator[Record]:
    counting = next((key for wanted in STEP_KEYS for key in columns if key.lower() == wanted), None)
    steps = columns.get(counting, []) if counting else []
    for key, numbers in columns.items():
        if key == counting:
            continue
        for place, one in enumerate(numbers):
            number = as_metric(one)
            if number is not None:
                counted = as_metric(steps[place]) if place < len(steps) else None
                step = place + 1 if counted is None else int(counted)
                yield Values(0, {qualified(prefix, key): number}, step, axis="epoch")


FORMAT = DocumentFormat(
    name="json history",
    records=records,
    files="history.json, *.json",
    example='[{"epoch": 1, "loss": 0.5}, …] or {"loss": [0.5, 0.4], "val_loss": [0.6, 0.5]}',
    step="`step`, `epoch`, … , else the place in the list",
)

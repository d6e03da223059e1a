"""The generic layer: `name: value` lists on a line that counts, or below a header that does, of whatever program.

Nothing here is certain, so what is read goes through the gate: the same shape must come again with a step that moves.
"""

import re

from registry.ingest import gate, numbers
from registry.ingest.counters import Counter, counters, running_step, trailing_counter
from registry.ingest.naming import MODE_LINE, MODE_WORD, named, tidy
from registry.ingest.objects import NEVER
from registry.ingest.records import Line, Record, State, Total, Values
from registry.ingest.templates import Lesson

MAX_CHARS = 8192
MAX_LONE_CHARS = 200
MAX_REST_CHARS = 16
CERTAIN_FIELDS = 4
NAME = "generic"
_HEADER_REST = re.compile(
    r"[\s\-=*#:|.\[\](){}>/]*(?:of \d+|start\w*|begin\w*|\.{3}|training|learning|summary|results?)?[\s\-=*#:|.]*",
    re.IGNORECASE,
)
_COLUMNS = re.compile(r"\s{0,20}(\d{1,18})(?:\s{1,20}|\s?[,;]\s?)([-+.\w]{1,40})\s{0,20}")
_BARS = str.maketrans(dict.fromkeys("│┃║┆┊¦•·»→⇒", "|"))
_ASIDE = re.compile(r"\([^()]{0,80}\)")
_PREPOSITION = re.compile(r"\s(?:at|after|for|in|of|on|@)\s{1,3}$")
_WITHIN = frozenset({"batch", "batches", "leading", "trailing"})
_GLOBAL = frozenset({"global_step", "num_updates", "nupdates", "total_timesteps", "num_timesteps"})


def read(state: State, line: Line) -> list[Record] | None:
    """`name: value` lists on a line that counts, or after a header line that does; None for any other line."""
    text = line.text if len(line.text) <= MAX_CHARS else line.text[:MAX_CHARS]
    if not text.isascii():
        text = text.translate(_BARS)
    if columns := _COLUMNS.fullmatch(text):
        return _two_columns(state, line, columns)
    found = counters(text)
    fields = _fields(text, found)
    if not fields:
        return _header(state, line, text, found)
    if not found:
        if not _nothing_else(text, fields, strictly=not _in_block(state, line)):
            return None
        found = trailing_counter(text) if state.get("axis") == "epoch" else []
    return _said(state, line, text, found, fields)


def _two_columns(state: State, line: Line, columns: re.Match[str]) -> list[Record] | None:
    """A count and a number on a line, in a file that is named for a metric: `loss.txt`."""
    name = str(state.get("name", "")).rsplit(".", 1)[0]
    value = numbers.to_number(columns[2])
    if value is None or not gate.is_strong(name):
        return None
    record = Values(line.offset, {name: value}, int(columns[1]), line.at)
    return list(believe(state, gate.admit(state, f"two columns: {name}", record))) or []


def _header(state: State, line: Line, text: str, found: list[Counter]) -> list[Record] | None:
    """A line that only counts, or only names a part of the run, speaks for the lines below it."""
    if found and _is_header(text, found):
        state["step"], state["axis"] = step_of(state, found)
        state["epoch"] = state["step"] if state["axis"] == "epoch" else None
        state["mode"], state["indent"] = "", _indent(line.raw)
        return _totals(found)
    if not found and len(text) <= 60 and (mode := MODE_LINE.fullmatch(text)):
        state["mode"] = mode[1].lower()
        return []
    if "best iteration" in text.lower():
        state["recall"] = True
    return None


def _said(
    state: State, line: Line, text: str, found: list[Counter], fields: list[numbers.Field]
) -> list[Record] | None:
    """Return the values of a line that was understood, once its shape is believed."""
    step, axis = step_of(state, found) if found else (state.get("step"), state.get("axis", "step"))
    if found:
        if state.pop("recall", False) and step < state.get("step", 0):
            return []
        if not _within_header(state, found):
            state["step"], state["axis"], state["mode"] = step, axis, ""
            state["epoch"] = None
    if not (state.get("n_believed") or len(fields) >= CERTAIN_FIELDS or _seem_metrics(text, fields)):
        return None
    names = named(text, fields, "" if found else state.get("mode", ""))
    values = {name: fields[place].value for name, place in names.items()}
    counted = "/".join(counter.name for counter in found) or "sticky"
    record = Values(line.offset, values, step, line.at, axis)
    if found and state.get("said") == [step, values]:
        return []
    state["said"] = [step, values]
    shape = f"{counted}: {', '.join(values)[:400]}"
    if found and not _within_header(state, found) and state.get("shapes", {}).get(shape) == gate.BELIEVED:
        places = [(name, fields[place].number) for name, place in names.items()]
        fine = next((counter for counter in found if counter.axis != "epoch"), found[0])
        line.lesson = Lesson(found, places, axis, shape, f"line:{fine.name}", NAME, bool(_totals(found)))
    admitted = gate.admit(state, shape, record, sure=bool(found) and known(state, record))
    return [*_totals(found), *believe(state, admitted)] if admitted else []


def _seem_metrics(text: str, fields: list[numbers.Field]) -> bool:
    """Return whether one of the numbers has a colon or an equals sign before it, or a name that metrics have."""
    signed = any(sign in text[field.start : field.number[0]] for field in fields for sign in ":=")
    return signed or any(gate.is_strong(field.name) for field in fields)


def _nothing_else(text: str, fields: list[numbers.Field], *, strictly: bool) -> bool:
    """Return whether a line without a counter is nothing but named numbers, one of them a known metric.

    In a block below a header (not `strictly`) any name will do.
    """
    if strictly and not any(gate.is_strong(field.name) for field in fields):
        return False
    kept, position = [], 0
    for field in sorted(fields, key=lambda field: field.start):
        kept.append(text[position : field.start])
        position = max(position, field.number[1])
    rest = text[field.start + len(field.name) : field.number[0]] if len(fields) == 1 else ""
    words = MODE_WORD.sub("", _ASIDE.sub("", "".join(kept) + text[position:]))
    left = re.sub(r"[\W_]+", "", words)
    return len(left) <= MAX_REST_CHARS and len(rest) <= 48


def _in_block(state: State, line: Line) -> bool:
    """Return whether a line stands deeper than the header above it."""
    return "indent" in state and _indent(line.raw) > state["indent"]


def _indent(raw: str) -> int:
    return len(raw) - len(raw.lstrip())


def _fields(text: str, found: list[Counter]) -> list[numbers.Field]:
    """Return the named numbers of a line without those that are its counters, times and the like."""
    for counter in found:
        start = _before_preposition(text, counter.start)
        filler = " " if start < counter.start else ";"
        text = f"{text[:start]}{filler * (counter.end - start)}{text[counter.end :]}"
    lists = [field for field in numbers.list_fields(text) if gate.is_strong(field.name)] if "[" in text else []
    fields = lists or numbers.signed_fields(text)
    if found or (not fields and len(text) <= MAX_LONE_CHARS and gate.is_strong(text)):
        rest = text
        for field in fields:
            rest = f"{rest[: field.start]}{';' * (field.number[1] - field.start)}{rest[field.number[1] :]}"
        fields = sorted([*fields, *numbers.spaced_fields(rest)], key=lambda field: field.start)
    return [field for field in tidy(fields) if field.name.lower() not in NEVER and not _is_time(field.name)]


def _before_preposition(text: str, start: int) -> int:
    """`Average loss at step 20: 4.3`: the words `at step 20` stand within a name."""
    found = _PREPOSITION.search(text, max(0, start - 8), start)
    return found.start() if found else start


def _is_time(name: str) -> bool:
    lower = name.lower()
    return lower.startswith(("eta", "remaining")) or lower.endswith(("remaining", " eta", "_eta"))


def _is_header(text: str, found: list[Counter]) -> bool:
    rest = text
    for counter in reversed(found):
        rest = rest[: counter.start] + rest[counter.end :]
    return len(rest) <= 80 and bool(_HEADER_REST.fullmatch(rest))


def _within_header(state: State, found: list[Counter]) -> bool:
    """Return whether a line counts within the epoch that a header above it names."""
    return (
        len(found) == 1 and found[0].name in _WITHIN and found[0].total is not None and state.get("epoch") is not None
    )


def step_of(state: State, found: list[Counter]) -> tuple[int, str]:
    """Return the step and axis of a line's counters: the finest one, made to run on over epochs."""
    epoch = next((counter for counter in found if counter.axis == "epoch"), None)
    fine = next((counter for counter in found if counter.name in _GLOBAL), None)
    fine = fine or next((counter for counter in found if counter.axis != "epoch"), None)
    if fine is None:
        assert epoch is not None
        return epoch.n, "epoch"
    if epoch is not None:
        return running_step(state, f"line:{fine.name}", epoch.n, fine.n, fine.total), fine.axis
    if _within_header(state, found):
        return running_step(state, f"line:{fine.name}", state["epoch"], fine.n, fine.total), fine.axis
    return fine.n, fine.axis


def _totals(found: list[Counter]) -> list[Record]:
    """Return the end that a counter announces; one that is counted within epochs announces none."""
    if len(found) == 1 and found[0].total is not None and found[0].name not in _WITHIN:
        return [Total(found[0].total, found[0].axis)]
    return []


def known(state: State, values: Values) -> bool:
    """Return whether most of the names were believed already on the same axis."""
    names = state.get("names", {})
    n_known = sum(1 for name in values.values if names.get(name) == values.axis)
    return 2 * n_known >= len(values.values)


def believe(state: State, admitted: list[Values]) -> list[Values]:
    """Keep the axis of each name that was believed, and return the values."""
    names = state.setdefault("names", {})
    for values in admitted:
        for name in values.values:
            names[name] = values.axis
    return admitted

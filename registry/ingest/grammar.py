"""A house style as one regular expression: named groups are metrics, the step is on the line or kept from before.

Users write the same in registry.toml. Group names: `step`, `epoch` and `total` count; `name` and `value` are one pair
(`part` goes before names); any other group is a metric, with `__` for `/`. A line that names no step belongs to the
last step named.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

import msgspec

from registry.ingest import numbers
from registry.ingest.counters import Counter, running_step, whole_step
from registry.ingest.naming import named
from registry.ingest.objects import NEVER
from registry.ingest.records import Line, Record, State, Total, Values
from registry.ingest.templates import Lesson

MAX_GRAMMAR_CHARS = 8192
_COUNTS = frozenset({"step", "epoch", "total", "name", "value", "part"})


class Grammar(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """One line of a house style.

    `line` is searched in the message; `hint` is a text that such a line always holds (it makes the search cheap).
    `rest` says what follows the match: nothing, `pairs` (`loss: 0.5, lr=1e-3`), `words` (`loss 0.5, lr 1e-3`) or
    `sections` (`[train] loss=0.5, [valid] loss=0.6`); `around` are pairs before the match and after it.
    `prefix` is put before the names. `axis` is what the step counts.
    """

    line: str
    hint: str = ""
    rest: str = ""
    prefix: str = ""
    axis: str = "step"


@dataclass(frozen=True)
class LineFormat:
    """A text format: `feed` returns the records of a line that is its own, None for any other line.

    `settle` gives out what waited for a next line when the file is at rest.
    """

    name: str
    hints: tuple[str, ...]
    feed: Callable[[State, Line], list[Record] | None]
    files: str
    example: str
    step: str
    end: str = "none"
    version: int = 1
    settle: Callable[[State], list[Record]] | None = None


def compiled(
    name: str, grammars: list[Grammar], *, files: str, example: str, step: str, end: str = "none"
) -> LineFormat:
    """Return the format that a list of grammars is; the first that matches takes the line.

    Raises re.error for a broken expression.
    """
    table = [(grammar, re.compile(grammar.line)) for grammar in grammars]
    hints = tuple(dict.fromkeys(grammar.hint for grammar in grammars))

    def feed(state: State, line: Line) -> list[Record] | None:
        text = line.text[:MAX_GRAMMAR_CHARS]
        for grammar, pattern in table:
            if grammar.hint in text and (found := pattern.search(text)):
                return _records(state, name, grammar, found, line)
        return None

    return LineFormat(name, () if "" in hints else hints, feed, files, example, step, end)


def _records(state: State, name: str, grammar: Grammar, found: re.Match[str], line: Line) -> list[Record]:
    groups = {key: text.strip() for key, text in found.groupdict().items() if text is not None}
    records: list[Record] = []
    _count(state, name, grammar, groups, records)
    values = _values(grammar, groups)
    values |= _prefixed(grammar.prefix, _rest(grammar.rest, line.text, found))
    if values:
        axis = grammar.axis if "step" in groups or "epoch" in groups else state.get("axis", grammar.axis)
        records.append(Values(line.offset, values, state.get("step"), line.at, axis))
        line.lesson = _lesson(name, grammar, found, line, axis)
    return records


def _lesson(name: str, grammar: Grammar, found: re.Match[str], line: Line, axis: str) -> Lesson | None:
    """Return how a line was understood where that is plain: what counts, and numbers that follow as pairs."""
    counts = {key: found.span(key) for key in ("step", "epoch", "total") if found.groupdict().get(key)}
    named_groups = {key for key, text in found.groupdict().items() if text is not None} - counts.keys()
    if grammar.rest not in ("pairs", "around") or named_groups or not counts.keys() & {"step", "epoch"}:
        return None
    before = _pairs(line.text[: found.start()], 0) if grammar.rest == "around" else []
    fields = [*before, *_pairs(line.text, found.end())]
    if len({field.name for field in fields}) < len(fields):
        return None
    counters = []
    for key, kind in (("epoch", "epoch" if "step" in counts else axis), ("step", axis)):
        if key in counts:
            total = counts.get("total") if key == "step" or "step" not in counts else None
            n_total = int(line.text[slice(*total)]) if total else None
            counters.append(Counter(kind, key, 0, n_total, 0, 0, counts[key], total))
    places = [(grammar.prefix + field.name, field.number) for field in fields]
    return Lesson(counters, places, axis, "", f"line:{name}", name, len(counters) == 1)


def _count(state: State, name: str, grammar: Grammar, groups: dict[str, str], records: list[Record]) -> None:
    """Keep the step that the line names; a step that begins anew each epoch is made to run on."""
    step, epoch, total = (whole_step(numbers.to_number(groups.get(key, ""))) for key in ("step", "epoch", "total"))
    if step is None and epoch is None:
        return
    if step is None or epoch is None:
        state["step"] = epoch if step is None else step
    else:
        state["step"] = running_step(state, f"line:{name}", epoch, step, total)
    state["axis"] = grammar.axis
    if total is not None and (epoch is None or step is None):
        records.append(Total(total, grammar.axis))


def _values(grammar: Grammar, groups: dict[str, str]) -> dict[str, float]:
    values: dict[str, float] = {}
    if "name" in groups and (number := numbers.to_number(groups.get("value", ""))) is not None:
        values[" ".join(groups["name"].split())] = number
    for key, text in groups.items():
        if key not in _COUNTS and (number := numbers.to_number(text)) is not None:
            values[key.replace("__", "/")] = number
    part = f"{groups['part'].lower()}/" if "part" in groups else ""
    return _prefixed(grammar.prefix + part, values)


def _rest(kind: str, text: str, found: re.Match[str]) -> dict[str, float]:
    """Return what stands behind (or around) the match."""
    if kind == "pairs":
        return _by_name(_pairs(text, found.end()))
    if kind == "around":
        return _by_name(_pairs(text[: found.start()], 0)) | _by_name(_pairs(text, found.end()))
    if kind == "words":
        return numbers.spaced_pairs(text, found.end())
    if kind == "sections":
        rest = text[found.end() :]
        fields = numbers.signed_fields(rest)
        return {name: fields[place].value for name, place in named(rest, fields).items()}
    return {}


def _pairs(text: str, start: int) -> list[numbers.Field]:
    """Return the pairs behind a match that are not the time that is left."""
    return [field for field in numbers.signed_fields(text, start) if field.name.lower() not in NEVER]


def _by_name(fields: list[numbers.Field]) -> dict[str, float]:
    return {field.name: field.value for field in fields}


def _prefixed(prefix: str, values: dict[str, float]) -> dict[str, float]:
    return {prefix + name: value for name, value in values.items()} if prefix else values

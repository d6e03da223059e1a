"""Lines like one that was understood are read by one expression made of it: the same words, other numbers.

A shortcut, never another answer: a template takes a line only where the words, the gaps and the kinds of numbers are
those of its model, and does to the state what reading the line word by word does. It is forgotten with its block.
"""

import re
from dataclasses import dataclass
from itertools import pairwise
from operator import itemgetter
from typing import Any

import msgspec

from registry.ingest.counters import Counter, running_step
from registry.ingest.gate import BELIEVED
from registry.ingest.prefixes import dated, unix_seconds, unix_time
from registry.ingest.records import Line, Record, State, Total, Values

MIN_SEEN = 3
MAX_TEMPLATES = 48
MAX_LINE_CHARS = 2000
MAX_PREFIX_CHARS = 80
_NUMBER = r"([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)"
_PLAIN = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_LIKE_A_STAMP = re.compile(r"\d\d[-/:]\d\d[-/:]\d\d")
_LOOSE = re.compile(r"(?<![A-Za-z_\d])\d+|[ ]{2,}")

Span = tuple[int, int]


@dataclass(frozen=True)
class Lesson:
    """How one line was understood; spans count in the line's message.

    `shape` is its shape at the gate (empty: a format's own line, which needs none), `key` where a counter that begins
    anew each epoch is kept, `source` what to count the line under, `ends` whether its total is the run's end.
    """

    counters: list[Counter]
    fields: list[tuple[str, Span]]
    axis: str
    shape: str
    key: str
    source: str
    ends: bool


class _Template:
    """One kind of line."""

    def __init__(self, line: Line, lesson: Lesson) -> None:
        self.lesson = lesson
        self.names = [name for name, _span in lesson.fields]
        self.believed = dict.fromkeys(self.names, lesson.axis)
        prefix = len(line.raw) - len(line.text)
        stamp = dated(line.raw[:prefix])
        epoch = next((counter for counter in lesson.counters if counter.axis == "epoch"), None)
        fine = next((counter for counter in lesson.counters if counter.axis != "epoch"), None)
        spans: list[tuple[Span, str, str]] = [(span, _NUMBER, f"v{n}") for n, (_name, span) in enumerate(lesson.fields)]
        for counter, name in ((epoch, "epoch"), (fine, "fine")):
            if counter is not None:
                spans.append((counter.digits, r"(\d{1,18})", name))
        counting = fine or epoch
        if counting is not None and counting.total_digits is not None:
            spans.append((counting.total_digits, r"(\d{1,18})", "total"))
        spans = [((start + prefix, end + prefix), pattern, name) for (start, end), pattern, name in spans]
        if stamp is not None:
            spans.append((stamp, f"({_loose(line.raw[slice(*stamp)], as_wide=True)})", "at"))
        spans.sort()
        self.pattern = re.compile(_expression(line.raw, spans, prefix))
        at = {name: place for place, (_span, _pattern, name) in enumerate(spans)}
        places = [at[f"v{n}"] for n in range(len(self.names))]
        self.values = itemgetter(*places) if len(places) > 1 else lambda groups, place=places[0]: (groups[place],)
        self.at, self.epoch, self.fine, self.total = at.get("at"), at.get("epoch"), at.get("fine"), at.get("total")

    def feed(self, state: State, offset: int, groups: tuple[str, ...]) -> list[Record] | None:
        """Return the records of a line that this template fits, None where the state asks for a closer look."""
        lesson = self.lesson
        if lesson.shape and (state["shapes"].get(lesson.shape) != BELIEVED or "recall" in state):
            return None
        if lesson.shape and state.get("epoch") is not None and self.epoch is None:
            return None  # it stands below the heading of an epoch, and counts within it
        values = dict(zip(self.names, map(float, self.values(groups)), strict=True))
        step = self._step(state, groups)
        at = state.get("at")
        if self.at is not None and (said := unix_time(groups[self.at])) is not None:
            state["at"] = at = said
        state["step"], state["axis"] = step, lesson.axis
        if lesson.shape:
            state["mode"], state["epoch"] = "", None
            if state.get("said") == [step, values]:
                return []
            state["said"] = [step, values]
            state["names"].update(self.believed)
        used = state["used"]
        used[lesson.source] = used.get(lesson.source, 0) + 1
        state["n_believed"] += 1
        record = Values(offset, values, step, at, lesson.axis)
        if lesson.ends and self.total is not None:
            return [Total(int(groups[self.total]), lesson.axis), record]
        return [record]

    def _step(self, state: State, groups: tuple[str, ...]) -> int:
        if self.fine is None:
            assert self.epoch is not None
            return int(groups[self.epoch])
        if self.epoch is None:
            return int(groups[self.fine])
        total = int(groups[self.total]) if self.total is not None else None
        return running_step(state, self.lesson.key, int(groups[self.epoch]), int(groups[self.fine]), total)


@dataclass(frozen=True)
class ObjectLesson:
    """How one JSON object was understood: the key that counts, and which key became which metric.

    `words` are its only strings, by key: the part of the run that it speaks of.
    """

    step: str
    time: str | None
    names: list[tuple[str, str]]
    axis: str
    shape: str
    words: dict[str, str]
    source: str


class _Plan:
    """Objects with the same keys and the same kinds of values."""

    def __init__(self, lesson: ObjectLesson) -> None:
        self.lesson = lesson
        self.believed = dict.fromkeys((name for _key, name in lesson.names), lesson.axis)

    def feed(self, state: State, offset: int, found: dict[str, Any]) -> list[Record] | None:
        """Return the values of an object, None where the state or its words ask for a closer look."""
        lesson = self.lesson
        if state["shapes"].get(lesson.shape) != BELIEVED:
            return None
        if any(found[key] != word for key, word in lesson.words.items()):
            return None
        step = found[lesson.step]
        at = state.get("at")
        if lesson.time is not None:
            at = unix_seconds(found[lesson.time]) or at
        values = {name: float(found[key]) for key, name in lesson.names}
        state["names"].update(self.believed)
        used = state["used"]
        used[lesson.source] = used.get(lesson.source, 0) + 1
        state["n_believed"] += 1
        return [Values(offset, values, step, at, lesson.axis)]


class Templates:
    """The templates learned from one block of a file."""

    def __init__(self) -> None:
        self._by_start: dict[str, list[_Template]] = {}
        self._plans: dict[Any, _Plan] = {}
        self._seen: dict[Any, int] = {}
        self._n = 0

    def feed(self, state: State, offset: int, raw: str) -> list[Record] | None:
        """Return the records of a line that a template fits, None for any other line."""
        if self._plans and raw[:1] == "{":
            found = plain_object(raw)
            plan = None if found is None else self._plans.get(_kind(found))
            return None if plan is None or found is None else plan.feed(state, offset, found)
        for template in self._by_start.get(raw[:1], ()):
            fit = template.pattern.fullmatch(raw)
            if fit is not None:
                return template.feed(state, offset, fit.groups())
        return None

    def learn(self, line: Line) -> None:
        """Make a template of a line that was understood, once lines like it have come a few times."""
        lesson = line.lesson
        if lesson is None or self._n >= MAX_TEMPLATES:
            return
        if isinstance(lesson, ObjectLesson):
            found = plain_object(line.raw)
            if found is not None and _fits(lesson, found):
                self._n += 1
                self._plans[_kind(found)] = _Plan(lesson)
            return
        if not _is_plain(line, lesson):
            return
        kind = (lesson.shape, lesson.source, tuple(name for name, _span in lesson.fields), len(line.text) // 4)
        seen = self._seen[kind] = self._seen.get(kind, 0) + 1
        if seen >= MIN_SEEN:
            self._n += 1
            self._by_start.setdefault(line.raw[:1], []).insert(0, _Template(line, lesson))


def plain_object(raw: str) -> dict[str, Any] | None:
    """Return the JSON object that a whole line is, None for anything else."""
    try:
        found = msgspec.json.decode(raw)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        return None
    return found if type(found) is dict else None


def _kind(found: dict[str, Any]) -> tuple[tuple[str, ...], tuple[type, ...]]:
    return tuple(found), tuple(map(type, found.values()))


def _fits(lesson: ObjectLesson, found: dict[str, Any]) -> bool:
    """Return whether an object is plain enough to be read by its keys: numbers, and the words that the lesson knows."""
    kinds = {key: type(value) for key, value in found.items()}
    words = {key for key, kind in kinds.items() if kind is str}
    small = all(abs(value) < 1e300 for value in found.values() if type(value) is int)
    return (
        kinds.get(lesson.step) is int
        and words == lesson.words.keys()
        and small
        and set(kinds.values()) <= {int, float, str, bool, type(None)}
        and all(kinds.get(key) in (int, float) for key, _name in lesson.names)
    )


def _is_plain(line: Line, lesson: Lesson) -> bool:
    """Return whether nothing in a line needs a closer look: no rank, plain numbers, no parts that overlap."""
    if (
        line.rank is not None
        or len(line.raw) > MAX_LINE_CHARS
        or not line.raw.endswith(line.text)
        or not lesson.counters
    ):
        return False
    prefix = line.raw[: len(line.raw) - len(line.text)]
    if dated(prefix) is None and _LIKE_A_STAMP.search(line.raw[:MAX_PREFIX_CHARS]):
        return False  # a stamp of no day there is: the next one may be right
    spans = [span for _name, span in lesson.fields]
    spans += [counter.digits for counter in lesson.counters]
    spans += [counter.total_digits for counter in lesson.counters if counter.total_digits]
    spans.sort()
    apart = all(before[1] <= after[0] for before, after in pairwise(spans))
    plain = all(_PLAIN.fullmatch(line.text, *span) for span in spans)
    return (
        apart
        and plain
        and len(lesson.counters) <= 2
        and len({c.axis == "epoch" for c in lesson.counters}) == len(lesson.counters)
    )


def _expression(raw: str, spans: list[tuple[Span, str, str]], prefix: int) -> str:
    """Return the expression of a line; what stands before its message keeps its width, as stamps do."""
    parts, position = [], 0
    for (start, end), pattern, _name in sorted([*spans, ((prefix, prefix), "", "")]):
        parts += [_loose(raw[position:start], as_wide=start <= prefix), pattern]
        position = end
    return "".join([*parts, _loose(raw[position:])])


def _loose(text: str, *, as_wide: bool = False) -> str:
    """Return an expression for the words of a text: other digits, and other widths of its wide gaps, fit as well.

    With `as_wide` a number must have as many digits.
    """
    parts, position = [], 0
    for found in _LOOSE.finditer(text):
        digits = rf"\d{{{len(found[0])}}}" if as_wide else r"\d+"
        parts += [re.escape(text[position : found.start()]), digits if found[0][0] != " " else " {2,}"]
        position = found.end()
    return "".join([*parts, re.escape(text[position:])])

"""Gate suites read from TOML. A suite that could be misread is refused: every key, word and number is checked, and the
complaint names the file, the line, the gate and the nearest right word.
"""

import difflib
import math
import os
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

from registry.errors import NotFoundError, UsageError
from registry.events import BASES, GOALS
from registry.gates.suite import BASELINE, CHANGES, COMPARISONS, PLACES, Baseline, Control, Gate, Stage, Suite

SUITES_FOLDER = Path(__file__).parent.parent / "suites"

# --- finding suites


def shipped_suites() -> list[str]:
    """Return the names of the suites that come with the program."""
    return sorted(path.stem for path in SUITES_FOLDER.glob("*.toml"))


def load_suite_text(source: str | os.PathLike[str]) -> tuple[str, str]:
    """Return the name and the text of a suite, checked: a TOML file, or the name of a shipped suite.

    Raises NotFoundError when it is neither, UsageError when the suite is not right.
    """
    path = Path(source)
    shipped = SUITES_FOLDER / f"{path.name.removesuffix('.toml')}.toml"
    if not path.is_file():
        if path.is_dir() or path.parent != Path() or not shipped.is_file():
            raise _no_such_suite(path)
        path = shipped
    try:
        text = path.read_bytes().decode("utf-8")
    except UnicodeDecodeError:
        raise UsageError(f"{path} is not UTF-8 text", hint="save the suite as UTF-8") from None
    except OSError as error:
        raise UsageError(f"cannot read {path}: {error.strerror}") from None
    return parse_suite(text, str(path)).name, text


def _no_such_suite(path: Path) -> NotFoundError:
    names = shipped_suites()
    near = difflib.get_close_matches(path.name.removesuffix(".toml"), names, n=1)
    hint = f"did you mean {near[0]}?" if near else f"shipped suites: {', '.join(names)}"
    return NotFoundError(f"no gate suite {str(path)!r}", hint=hint)


# --- reading one


@lru_cache(maxsize=256)
def parse_suite(text: str, source: str = "suite") -> Suite:
    """Return the suite that a TOML text describes; `source` names it in complaints and, without `name`, is its name.

    Raises UsageError that says where and what is wrong.
    """
    try:
        tables = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise UsageError(f"{source} is not TOML: {error}") from None
    return _Reader(text, source).suite(tables)


_SUITE_KEYS = ("name", "description", "defaults", "gate", "stage", "control", "baseline")
_DEFAULT_KEYS = ("on", "basis", "required", "interval", "split", "controls")
_GATE_KEYS = (
    "name", "metric", "op", "threshold", *CHANGES, "against", "stage", "split", "on", "basis", "goal", "required",
    "advisory", "interval", "controls", "why",
)  # fmt: skip
_STAGE_KEYS = ("name", "set", "max_retries", "retry", "fallback")
_CONTROL_KEYS = ("name", "must", "command", "why")
_BASELINE_KEYS = ("name", "why")


@dataclass(frozen=True)
class _Place:
    """A table of the file, to be named in complaints."""

    kind: str
    number: int
    name: str = ""

    def __str__(self) -> str:
        if not self.number:
            return f"[{self.kind}]" if self.kind else "the suite"
        return f"{self.kind} {self.number} ({self.name})" if self.name else f"{self.kind} {self.number}"


class _Reader:
    """Reads one suite; every method raises UsageError with the place of the first mistake."""

    def __init__(self, text: str, source: str) -> None:
        self._lines = text.splitlines()
        self._source = source

    def suite(self, tables: dict[str, Any]) -> Suite:
        top = _Place("", 0)
        self._known(tables, _SUITE_KEYS, top)
        defaults = self._table(tables, "defaults", top)
        self._known(defaults, _DEFAULT_KEYS, _Place("defaults", 0))
        controls = tuple(self._control(*item) for item in self._items(tables, "control", _CONTROL_KEYS))
        baselines = tuple(self._baseline(*item) for item in self._items(tables, "baseline", _BASELINE_KEYS))
        stages = tuple(self._stage(*item) for item in self._items(tables, "stage", _STAGE_KEYS))
        gates = []
        for table, place in self._items(tables, "gate", _GATE_KEYS):
            gate = self._gate({**defaults, **table}, place, [control.name for control in controls])
            self._refer(gate, place, [stage.name for stage in stages], [base.name for base in baselines])
            gates.append(gate)
        if not gates:
            raise self._wrong("has no gate", top, hint="a suite is made of [[gate]] tables")
        self._unique([(gate.stage, gate.name) for gate in gates], "gate")
        for kind, names in (("control", controls), ("baseline", baselines), ("stage", stages)):
            self._unique([item.name for item in names], kind)
        name = self._text(tables, "name", top) or Path(self._source).stem
        return Suite(name, tuple(gates), stages, controls, baselines, self._text(tables, "description", top))

    # --- the tables

    def _gate(self, table: dict[str, Any], place: _Place, controls: list[str]) -> Gate:
        metric = self._text(table, "metric", place)
        if not metric:
            raise self._wrong("names no metric", place, hint='add metric = "val/loss"')
        op, threshold = self._requirement(table, place)
        split = self._text(table, "split", place)
        gate = Gate(
            name=self._text(table, "name", place) or (f"{metric} ({split})" if split else metric),
            metric=metric,
            op=op,
            threshold=threshold,
            stage=self._text(table, "stage", place),
            split=split,
            on=self._choice(table, "on", PLACES, place) or "checkpoint",
            basis=self._bases(table, place),
            goal=self._choice(table, "goal", GOALS, place),
            required=self._required(table, place),
            interval=self._flag(table, "interval", place, False),
            against=self._text(table, "against", place) or ("@production" if op in CHANGES else ""),
            controls=self._controls(table, place, controls),
            why=self._text(table, "why", place),
        )
        if gate.against and op not in CHANGES:
            raise self._wrong(
                "has `against` but asks for no change", place, "against", hint=f"add {CHANGES[0]} = NUMBER, or drop it"
            )
        if gate.interval and op == "==":
            raise self._wrong("asks an interval to equal a number", place, "interval", hint='use op = "between"')
        return gate

    def _requirement(self, table: dict[str, Any], place: _Place) -> tuple[str, float | tuple[float, float]]:
        changes = [key for key in CHANGES if key in table]
        if len(changes) + ("op" in table or "threshold" in table) != 1:
            raise self._wrong(
                "must ask for exactly one thing", place, hint=f"op with threshold, or {CHANGES[0]}, or {CHANGES[1]}"
            )
        if changes:
            return changes[0], self._number(table[changes[0]], changes[0], place)
        op = self._choice(table, "op", COMPARISONS, place)
        if op is None or "threshold" not in table:
            raise self._wrong("needs both op and threshold", place, hint='for example op = ">=" and threshold = 0.02')
        threshold = table["threshold"]
        if op != "between":
            return op, self._number(threshold, "threshold", place)
        if not isinstance(threshold, list) or len(threshold) != 2:
            raise self._wrong("asks for `between` without two numbers", place, "threshold", hint="write [low, high]")
        low, high = (self._number(number, "threshold", place) for number in threshold)
        if low > high:
            raise self._wrong(f"has its bounds the wrong way round: [{low:g}, {high:g}]", place, "threshold")
        return op, (low, high)

    def _control(self, table: dict[str, Any], place: _Place) -> Control:
        must = self._choice(table, "must", ("pass", "fail"), place)
        if must is None:
            raise self._wrong("does not say what its answer is", place, hint='add must = "pass" or must = "fail"')
        command = self._words(table, "command", place)
        return Control(self._named(table, place), must, command, self._text(table, "why", place))

    def _baseline(self, table: dict[str, Any], place: _Place) -> Baseline:
        return Baseline(self._named(table, place), self._text(table, "why", place))

    def _stage(self, table: dict[str, Any], place: _Place) -> Stage:
        retries = table.get("max_retries", 0)
        if isinstance(retries, bool) or not isinstance(retries, int) or retries < 0:
            raise self._wrong(
                f"has max_retries = {retries!r}", place, "max_retries", hint="write a whole number, 0 or more"
            )
        retry = self._table(table, "retry", place)
        for key, change in retry.items():
            if isinstance(change, str) and re.match(r"[+\-*]", change) and not _CHANGE.fullmatch(change):
                raise self._wrong(f"has retry {key} = {change!r}", place, "retry", hint='write "+0.05", "-0.1" or "*2"')
        if retry and not retries:
            raise self._wrong("says how to retry but not how often", place, "retry", hint="add max_retries")
        return Stage(
            name=self._named(table, place),
            set=self._table(table, "set", place),
            max_retries=retries,
            retry=retry,
            fallback=self._table(table, "fallback", place),
        )

    def _refer(self, gate: Gate, place: _Place, stages: list[str], baselines: list[str]) -> None:
        if gate.stage and gate.stage not in stages:
            raise self._unknown(gate.stage, stages, "stage", place, "stage")
        name = gate.against.removeprefix(BASELINE)
        if name != gate.against and name not in baselines:
            raise self._unknown(name, baselines, "baseline", place, "against")

    # --- the values

    def _items(
        self, tables: dict[str, Any], kind: str, keys: tuple[str, ...]
    ) -> Iterable[tuple[dict[str, Any], _Place]]:
        items = tables.get(kind, [])
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise self._wrong(f"has {kind} as one value", _Place("", 0), kind, hint=f"write [[{kind}]] tables")
        for number, table in enumerate(items, start=1):
            name = table.get("name") or table.get("metric") or ""
            place = _Place(kind, number, str(name))
            self._known(table, keys, place)
            yield table, place

    def _known(self, table: dict[str, Any], keys: tuple[str, ...], place: _Place) -> None:
        for key in table:
            if key not in keys:
                raise self._unknown(key, keys, "key", place, key)

    def _typed(self, table: dict[str, Any], key: str, kind: type, what: str, place: _Place) -> Any:
        value = table.get(key)
        if value is not None and not isinstance(value, kind):
            raise self._wrong(f"has {key} = {value!r}", place, key, hint=f"write {what}")
        return value

    def _text(self, table: dict[str, Any], key: str, place: _Place) -> str:
        return str(self._typed(table, key, str, "a text in quotes", place) or "").strip()

    def _flag(self, table: dict[str, Any], key: str, place: _Place, default: bool) -> bool:
        value = self._typed(table, key, bool, "true or false", place)
        return default if value is None else bool(value)

    def _table(self, table: dict[str, Any], key: str, place: _Place) -> dict[str, Any]:
        return dict(self._typed(table, key, dict, "a table: {name = value}", place) or {})

    def _named(self, table: dict[str, Any], place: _Place) -> str:
        name = self._text(table, "name", place)
        if not name:
            raise self._wrong("has no name", place)
        return name

    def _number(self, value: Any, key: str, place: _Place) -> float:
        if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
            raise self._wrong(f"has {key} = {value!r}", place, key, hint="write a number")
        return float(value)

    def _choice(self, table: dict[str, Any], key: str, words: tuple[str, ...], place: _Place) -> str | None:
        value = table.get(key)
        if value is not None and value not in words:
            raise self._unknown(str(value), words, key, place, key)
        return value

    def _words(self, table: dict[str, Any], key: str, place: _Place) -> tuple[str, ...]:
        value = table.get(key, [])
        words = [value] if isinstance(value, str) else value
        if not isinstance(words, list) or not all(isinstance(word, str) and word for word in words):
            raise self._wrong(f"has {key} = {value!r}", place, key, hint="write a list of texts")
        return tuple(words)

    def _bases(self, table: dict[str, Any], place: _Place) -> tuple[str, ...]:
        words = self._words(table, "basis", place) or ("measured",)
        if words == ("any",):
            return BASES
        for word in words:
            if word not in BASES:
                raise self._unknown(word, (*BASES, "any"), "basis", place, "basis")
        return words

    def _required(self, table: dict[str, Any], place: _Place) -> bool:
        advisory = self._flag(table, "advisory", place, False)
        if advisory and table.get("required") is True:
            raise self._wrong("is both required and advisory", place, "advisory")
        return self._flag(table, "required", place, True) and not advisory

    def _controls(self, table: dict[str, Any], place: _Place, known: list[str]) -> tuple[str, ...]:
        if "controls" not in table:
            return tuple(known)
        words = self._words(table, "controls", place)
        for word in words:
            if word not in known:
                raise self._unknown(word, known, "control", place, "controls")
        return words

    def _unique(self, names: list[Any], kind: str) -> None:
        for number, name in enumerate(names, start=1):
            if name in names[: number - 1]:
                shown = name[1] if isinstance(name, tuple) else name
                raise self._wrong("has the name of another", _Place(kind, number, shown), "name")

    # --- the complaints

    def _unknown(self, word: str, words: Iterable[str], what: str, place: _Place, key: str) -> UsageError:
        known = list(words)
        near = _same_letters(word, known) or difflib.get_close_matches(word, known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known) or 'none'}"
        return self._wrong(f"has an unknown {what} {word!r}", place, key, hint=hint)

    def _wrong(self, what: str, place: _Place, key: str = "", *, hint: str = "") -> UsageError:
        line = self._line_of(place, key)
        where = f"{self._source}, line {line}" if line else self._source
        return UsageError(f"{where}: {place} {what}", hint=hint)

    def _line_of(self, place: _Place, key: str) -> int | None:
        """Return the line on which `key` of the table stands, else the table's own, None when it is not written so."""
        header = re.compile(rf"\s*\[{{1,2}}\s*{re.escape(place.kind)}\s*\]{{1,2}}") if place.kind else None
        wanted = max(place.number, 1) if header else 0
        seen, start = 0, None
        for number, line in enumerate(self._lines, start=1):
            if header and header.match(line):
                seen += 1
                start = number if seen == wanted else start
            inside = seen == wanted
            if inside and key and re.match(rf"\s*(\[{{1,2}}\s*)?[\"']?{re.escape(key)}[\"']?\s*(=|\])", line):
                return number
        return start


_CHANGE = re.compile(r"[+\-*]\s*\d+(\.\d+)?([eE][+-]?\d+)?")


def _same_letters(word: str, known: list[str]) -> list[str]:
    """Return known words of the same letters in another order (`=>` for `>=`)."""
    return [other for other in known if sorted(other) == sorted(word)]

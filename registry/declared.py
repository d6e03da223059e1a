"""TOML files that people write (gate suites, data set checks): whatever could be misread is refused with one line that
names the file, the line, the table and the nearest right word.
"""

import difflib
import math
import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from registry.errors import UsageError


@dataclass(frozen=True)
class Place:
    """A table of the file, to be named in complaints; `number` counts from 1 within its kind, 0: the only one."""

    kind: str = ""
    number: int = 0
    name: str = ""

    def __str__(self) -> str:
        if not self.number:
            return f"[{self.kind}]" if self.kind else "the file"
        return f"{self.kind} {self.number} ({self.name})" if self.name else f"{self.kind} {self.number}"


class Declared:
    """The text of such a file; every method raises UsageError with the place of the mistake."""

    def __init__(self, text: str, source: str) -> None:
        self._lines = text.splitlines()
        self.source = source
        try:
            self.tables = tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise UsageError(f"{source} is not TOML: {error}") from None

    # --- tables

    def items(self, kind: str) -> list[tuple[dict[str, Any], Place]]:
        """Return the `[[kind]]` tables, each with its place."""
        items = self.tables.get(kind, [])
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise self.wrong(f"has {kind} as one value", Place(), kind, hint=f"write [[{kind}]] tables")
        places = (Place(kind, number, self._name_of(item)) for number, item in enumerate(items, start=1))
        return list(zip(items, places, strict=True))

    @staticmethod
    def _name_of(table: dict[str, Any]) -> str:
        name = table.get("name") or table.get("metric") or ""
        return name if isinstance(name, str) else ""

    def known(self, table: dict[str, Any], keys: Iterable[str], place: Place) -> None:
        """Refuse keys that nobody knows."""
        known = list(keys)
        for key in table:
            if key not in known:
                raise self.unknown(key, known, "key", place, key)

    def unique(self, names: Iterable[Any], kind: str) -> None:
        """Refuse two tables of one name."""
        seen = set()
        for number, name in enumerate(names, start=1):
            if name in seen:
                shown = name[-1] if isinstance(name, tuple) else name
                raise self.wrong("has the name of another", Place(kind, number, shown), "name")
            seen.add(name)

    # --- values

    def text(self, table: dict[str, Any], key: str, place: Place) -> str:
        """Return a text, empty when it is not there."""
        return str(self._typed(table, key, str, "a text in quotes", place) or "").strip()

    def named(self, table: dict[str, Any], place: Place) -> str:
        """Return the name of a table that must have one."""
        name = self.text(table, "name", place)
        if not name:
            raise self.wrong("has no name", place)
        return name

    def flag(self, table: dict[str, Any], key: str, place: Place, default: bool) -> bool:
        """Return true or false."""
        value = self._typed(table, key, bool, "true or false", place)
        return default if value is None else bool(value)

    def table(self, table: dict[str, Any], key: str, place: Place) -> dict[str, Any]:
        """Return an inner table, empty when it is not there."""
        return dict(self._typed(table, key, dict, "a table: {name = value}", place) or {})

    def number(self, table: dict[str, Any], key: str, place: Place) -> float:
        """Return a number that must be there."""
        return self.is_number(table.get(key), key, place)

    def is_number(self, value: Any, key: str, place: Place) -> float:
        """Return `value` if it is a number."""
        if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
            raise self.wrong(f"has {key} = {value!r}", place, key, hint="write a number")
        return float(value)

    def count(self, table: dict[str, Any], key: str, place: Place, default: int) -> int:
        """Return a whole number, 0 or more."""
        value = table.get(key, default)
        if isinstance(value, bool) or not isinstance(value, int) or value < 0:
            raise self.wrong(f"has {key} = {value!r}", place, key, hint="write a whole number, 0 or more")
        return value

    def choice(self, table: dict[str, Any], key: str, words: tuple[str, ...], place: Place) -> str | None:
        """Return one of the known words, None when the key is not there."""
        value = table.get(key)
        if value is not None and value not in words:
            raise self.unknown(str(value), words, key, place, key)
        return value

    def words(self, table: dict[str, Any], key: str, place: Place) -> tuple[str, ...]:
        """Return a list of texts; a single text is a list of one."""
        value = table.get(key, [])
        words = [value] if isinstance(value, str) else value
        if not isinstance(words, list) or not all(isinstance(word, str) and word for word in words):
            raise self.wrong(f"has {key} = {value!r}", place, key, hint="write a list of texts")
        return tuple(words)

    def _typed(self, table: dict[str, Any], key: str, kind: type, what: str, place: Place) -> Any:
        value = table.get(key)
        if value is not None and not isinstance(value, kind):
            raise self.wrong(f"has {key} = {value!r}", place, key, hint=f"write {what}")
        return value

    # --- complaints

    def unknown(self, word: str, words: Iterable[str], what: str, place: Place, key: str) -> UsageError:
        """Return the complaint about a word that is none of `words`, with the nearest of them."""
        known = list(words)
        turned_round = [other for other in known if sorted(other) == sorted(word) and not word.isalpha()]
        near = turned_round or difflib.get_close_matches(word, known, n=1, cutoff=0.5)
        hint = f"did you mean {near[0]!r}?" if near else f"known: {', '.join(known) or 'none'}"
        return self.wrong(f"has an unknown {what} {word!r}", place, key, hint=hint)

    def wrong(self, what: str, place: Place, key: str = "", *, hint: str = "") -> UsageError:
        """Return a complaint about a place of the file."""
        line = self._line_of(place, key)
        where = f"{self.source}, line {line}" if line else self.source
        return UsageError(f"{where}: {place} {what}", hint=hint)

    def _line_of(self, place: Place, key: str) -> int | None:
        """Return the line on which `key` of the table stands, else the table's own, None when it is not written so."""
        header = re.compile(rf"\s*\[{{1,2}}\s*{re.escape(place.kind)}\s*\]{{1,2}}") if place.kind else None
        assignment = re.compile(rf"\s*(\[{{1,2}}\s*)?[\"']?{re.escape(key)}[\"']?\s*(=|\])")
        wanted = max(place.number, 1) if header else 0
        n_seen, start = 0, None
        for number, line in enumerate(self._lines, start=1):
            if header and header.match(line):
                n_seen += 1
                start = number if n_seen == wanted else start
            if key and n_seen == wanted and assignment.match(line):
                return number
        return start

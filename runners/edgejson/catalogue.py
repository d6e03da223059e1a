"""The 25 schemas, read from `catalogue.toml`; its head says how a field is written."""

import re
import tomllib
from pathlib import Path
from typing import Any

from registry.checks.expression import compile_rule
from runners.edgejson.kinds import KINDS
from runners.edgejson.schema import Field, Group, Invariant, Items, Leaf, Schema, Values

TOPICS = ("totals", "aggregates", "dates", "ranges")
MOST = 3
_TOKEN = re.compile(r"\s*(-?\d+\.\.-?\d+|\*\d+|\w+|[?,\[\]{}()|])")


class _Reader:
    """Reads the fields of one schema. Raises ValueError for what it does not understand."""

    def __init__(self, text: str) -> None:
        self._tokens = _TOKEN.findall(text)
        if re.sub(r"\s+", "", text) != "".join(self._tokens):
            raise ValueError(f"not understood: {text}")

    def fields(self, end: str = "") -> tuple[Field, ...]:
        """Return the fields up to a closing bracket."""
        found: list[Field] = []
        while self._tokens and self._tokens[0] != end:
            found.append(self._field())
            if self._tokens and self._tokens[0] == ",":
                self._tokens.pop(0)
        return tuple(found)

    def _field(self) -> Field:
        name, optional = self._tokens.pop(0), self._take("?")
        if self._take("("):
            choices = self._until(")")
            return Leaf(name, "choice", optional, tuple(word for word in choices if word != "|"))
        if self._take("{"):
            inner = self.fields("}")
            self._tokens.pop(0)
            return Group(name, inner, optional)
        if self._take("["):
            return self._list(name, optional)
        kind = self._kind(self._tokens.pop(0))
        low, high = self._range()
        return Leaf(name, kind, optional, low=low, high=high)

    def _list(self, name: str, optional: bool) -> Field:
        if self._tokens[1] == "]":
            kind = self._kind(self._tokens.pop(0))
            self._tokens.pop(0)
            return Values(name, kind, optional, self._most())
        inner = self.fields("]")
        self._tokens.pop(0)
        return Items(name, inner, optional, self._most())

    def _kind(self, word: str) -> str:
        if word not in KINDS:
            raise ValueError(f"no kind of value {word!r}")
        return word

    def _range(self) -> tuple[float, float]:
        if self._tokens and ".." in self._tokens[0]:
            low, high = self._tokens.pop(0).split("..")
            return float(low), float(high)
        return 1, 100

    def _most(self) -> int:
        return int(self._tokens.pop(0)[1:]) if self._tokens and self._tokens[0][0] == "*" else MOST

    def _take(self, token: str) -> bool:
        if self._tokens and self._tokens[0] == token:
            self._tokens.pop(0)
            return True
        return False

    def _until(self, end: str) -> list[str]:
        index = self._tokens.index(end)
        found, self._tokens = self._tokens[:index], self._tokens[index + 1 :]
        return found


def read_schema(name: str, table: dict[str, Any]) -> Schema:
    """Return the schema that a table declares. Raises ValueError or UsageError for what is not understood."""
    invariants = [
        Invariant(rule, topic, compile_rule(" ".join(text.split())))
        for topic in TOPICS
        for rule, text in table.get(topic, {}).items()
    ]
    return Schema(name, table["title"], table["complexity"], _Reader(table["fields"]).fields(), tuple(invariants))


_TABLES = tomllib.loads(Path(__file__).with_name("catalogue.toml").read_text(encoding="utf-8"))
SCHEMAS: dict[str, Schema] = {name: read_schema(name, table) for name, table in _TABLES.items()}

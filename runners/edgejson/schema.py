"""What a schema is: its fields, how hard it is, and what must be true between its fields.

A schema is the one source of the JSON Schema that answers are held to, of the labels a text is read by, and of the
values that are drawn. Invariants are rules in the registry's own language, evaluated by code that drew nothing.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from registry.checks.expression import MissingFieldError, Rule, RuleError
from runners.edgejson.kinds import KINDS

SIMPLE, MEDIUM, COMPLEX = "simple", "medium", "complex"
COMPLEXITIES = (SIMPLE, MEDIUM, COMPLEX)


@dataclass(frozen=True)
class Leaf:
    """One value; `kind` names what it is (see `kinds`), `choices` are its only values when there are any."""

    name: str
    kind: str
    optional: bool = False
    choices: tuple[str, ...] = ()
    low: float = 1
    high: float = 100


@dataclass(frozen=True)
class Values:
    """A list of plain values."""

    name: str
    kind: str
    optional: bool = False
    most: int = 3


@dataclass(frozen=True)
class Group:
    """An object within the object."""

    name: str
    fields: tuple["Field", ...]
    optional: bool = False


@dataclass(frozen=True)
class Items:
    """A list of objects."""

    name: str
    fields: tuple["Field", ...]
    optional: bool = False
    most: int = 3


Field = Leaf | Values | Group | Items


@dataclass(frozen=True)
class Invariant:
    """Something that must be true of an answer; its `topic` is totals, aggregates, dates or ranges.

    `totals` are the sums that the published set of this benchmark declares itself.
    """

    name: str
    topic: str
    rule: Rule


@dataclass(frozen=True)
class Schema:
    """One kind of document."""

    id: str
    title: str
    complexity: str
    fields: tuple[Field, ...]
    invariants: tuple[Invariant, ...] = ()


def json_schema(schema: Schema, *, closed: bool) -> dict[str, Any]:
    """Return the JSON Schema (draft 2020-12) of a schema's answers.

    A closed one allows no other fields, and asks for every needed one however deep; an open one, for sets that others
    made, asks for those at the top alone.
    """
    described = _object(schema.fields, closed)
    described["required"] = [field.name for field in schema.fields if not field.optional]
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", **described}


def _object(fields: tuple[Field, ...], closed: bool) -> dict[str, Any]:
    described: dict[str, Any] = {
        "type": "object",
        "properties": {field.name: _property(field, closed) for field in fields},
    }
    if not closed:
        return described
    needed = [field.name for field in fields if not field.optional]
    return {**described, "required": needed, "additionalProperties": False}


def _property(field: Field, closed: bool) -> dict[str, Any]:
    if isinstance(field, Leaf):
        return {"enum": list(field.choices)} if field.choices else dict(KINDS[field.kind].json_schema)
    if isinstance(field, Values):
        return {"type": "array", "items": dict(KINDS[field.kind].json_schema)}
    if isinstance(field, Group):
        return _object(field.fields, closed)
    return {"type": "array", "items": _object(field.fields, closed)}


def leaves(fields: tuple[Field, ...]) -> Iterator[Leaf | Values]:
    """Yield every field that holds plain values, however deep."""
    for field in fields:
        if isinstance(field, Leaf | Values):
            yield field
        else:
            yield from leaves(field.fields)


def outline(fields: tuple[Field, ...]) -> str:
    """Return the fields as one line: `a, b?, items[x, y?]`; a question mark marks what may be missing."""
    parts = []
    for field in fields:
        inner = "" if isinstance(field, Leaf) else "[]"
        if isinstance(field, Group):
            inner = f"{{{outline(field.fields)}}}"
        elif isinstance(field, Items):
            inner = f"[{outline(field.fields)}]"
        parts.append(f"{field.name}{inner}{'?' if field.optional else ''}")
    return ", ".join(parts)


def broken(schema: Schema, answer: Mapping[str, Any]) -> list[Invariant]:
    """Return the invariants that an answer breaks; one that cannot be asked of this answer is broken too."""
    found = []
    for invariant in schema.invariants:
        try:
            holds = invariant.rule.holds(answer)
        except (MissingFieldError, RuleError):
            holds = False
        if not holds:
            found.append(invariant)
    return found

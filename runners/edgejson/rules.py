"""The baseline without a model: a parser of labels and values that knows the schema. Stands beside every model's score.

It reads the four forms of `forms`, and lists whose items carry no mark: there a new item begins when a label comes
again, or an earlier field of the schema. What it cannot read it leaves out.
"""

import json
import re
from dataclasses import dataclass, field
from typing import Any

from runners.edgejson.forms import WITHIN, label
from runners.edgejson.kinds import KINDS
from runners.edgejson.schema import Field, Group, Items, Leaf, Schema, Values

_SENTENCE = re.compile(r"The (.+?) is (.+?)\.(?= The |$)", re.DOTALL)
_PAIR = re.compile(r"([\w.]+)=(\"(?:[^\"\\]|\\.)*\"|\S+)")


def parse(schema: Schema, text: str) -> dict[str, Any]:
    """Return what a text says of the fields of a schema."""
    lines = text.strip("\n").split("\n")
    if lines[-1].startswith("| "):
        cells = (line.strip("| ").split(" | ", 1) for line in lines[1:])
        return _from_pairs(schema, [(cell[0].split(" / "), cell[1]) for cell in cells if len(cell) == 2])
    if len(lines) == 1 and (pairs := _PAIR.findall(text)):
        return _from_pairs(schema, [(_dotted(path), _unquoted(value)) for path, value in pairs])
    if len(lines) == 1:
        return _from_pairs(schema, [(path.split(WITHIN)[::-1], value) for path, value in _SENTENCE.findall(text)])
    return _from_lines(schema, lines)


def _unquoted(text: str) -> str:
    """Return what stands between quotes; a text whose quotes do not close as it is."""
    try:
        return str(json.loads(text)) if text.startswith('"') else text
    except ValueError:
        return text


def _dotted(path: str) -> list[str]:
    """Return the steps of `items.1.price`: `items 1`, `price`."""
    return re.sub(r"\.(\d+)(?=\.|$)", r" \1", path).split(".")


def typed(one: Leaf | Values, text: str) -> Any:
    """Return a text as the type of its field; the text itself where it is not of that type."""
    kind = KINDS[one.kind].json_schema["type"]
    try:
        if kind == "integer":
            return int(text)
        if kind == "number":
            return int(text) if re.fullmatch(r"-?\d+", text) else float(text)
    except ValueError:
        return text
    if kind == "boolean" and text.lower() in ("true", "false"):
        return text.lower() == "true"
    return text


def _by_label(fields: tuple[Field, ...]) -> dict[str, Field]:
    return {_key(one.name): one for one in fields}


def _key(words: str) -> str:
    return words.replace("_", " ").strip().lower()


# --- forms that name the whole path of each value


def _from_pairs(schema: Schema, pairs: list[tuple[list[str], str]]) -> dict[str, Any]:
    answer: dict[str, Any] = {}
    for path, text in pairs:
        _place(schema.fields, answer, path, text)
    return answer


def _place(fields: tuple[Field, ...], owner: dict[str, Any], path: list[str], text: str) -> None:
    """Put a value where its path says; a path that the schema does not have is passed over."""
    step, known = path[0], _by_label(fields)
    name, _, number = step.rpartition(" ")
    one = known.get(_key(step)) or (known.get(_key(name)) if number.isdigit() else None)
    if isinstance(one, Leaf):
        owner[one.name] = typed(one, text)
    elif isinstance(one, Values):
        owner.setdefault(one.name, []).append(typed(one, text))
    elif isinstance(one, Group) and len(path) > 1:
        _place(one.fields, owner.setdefault(one.name, {}), path[1:], text)
    elif isinstance(one, Items) and len(path) > 1:
        items = owner.setdefault(one.name, [])
        while len(items) < int(number):
            items.append({})
        _place(one.fields, items[int(number) - 1], path[1:], text)


# --- forms that nest by indentation


@dataclass
class _Open:
    """An object that is being read: its fields, where it goes, the indentation of its lines, the last field seen."""

    fields: tuple[Field, ...]
    owner: dict[str, Any]
    indent: int
    last: int = -1
    items: list[Any] | None = None
    values: Values | None = None
    known: dict[str, tuple[int, Field]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.known = {_key(label(one.name)): (index, one) for index, one in enumerate(self.fields)}


def _from_lines(schema: Schema, lines: list[str]) -> dict[str, Any]:
    top = _Open(schema.fields, {}, 0)
    stack, last = [top], (top.owner, "")
    for line in filter(str.strip, lines):
        marked = line.lstrip().startswith("- ")
        indent = len(line) - len(line.lstrip()) + (2 if marked else 0)
        content = line.strip()[2:] if marked else line.strip()
        while len(stack) > 1 and indent < stack[-1].indent:
            stack.pop()
        if marked:
            stack[-1].indent = indent
        read = _read_line(stack, content, marked)
        if read:
            last = read
        elif last[1] and indent == 0 and isinstance(last[0].get(last[1]), str) and not _is_frame(content):
            last[0][last[1]] += f"\n{content}"
    return top.owner


def _is_frame(content: str) -> bool:
    """Return whether a line belongs to the request rather than to the document."""
    return content.startswith("Please extract")


def _read_line(stack: list[_Open], content: str, marked: bool) -> tuple[dict[str, Any], str] | None:
    """Take in one line; returns owner and name of a text that the next line may continue, None for no field."""
    here = stack[-1]
    if here.values is not None:
        here.owner[here.values.name].append(typed(here.values, content))
        return here.owner, ""
    words, colon, text = content.partition(":")
    found = here.known.get(_key(words)) if colon else None
    if found is None:
        return None
    index, one = found
    if here.items is not None and (marked or one.name in here.owner or index < here.last or not here.items):
        here.owner = {}
        here.items.append(here.owner)
    here.last = index
    return _take(stack, here, one, text.strip())


def _take(stack: list[_Open], here: _Open, one: Field, text: str) -> tuple[dict[str, Any], str]:
    deeper = here.indent + 2
    if isinstance(one, Leaf):
        here.owner[one.name] = typed(one, text)
        return here.owner, one.name
    if isinstance(one, Group):
        here.owner[one.name] = {}
        stack.append(_Open(one.fields, here.owner[one.name], deeper))
    elif isinstance(one, Values):
        here.owner[one.name] = []
        stack.append(_Open((), here.owner, deeper, values=one))
    else:
        here.owner[one.name] = []
        stack.append(_Open(one.fields, {}, deeper, items=here.owner[one.name]))
    return here.owner, ""

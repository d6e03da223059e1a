"""How an answer is said as text: four surface forms, each of which says every value once and unambiguously.

| form | looks like |
| --- | --- |
| list | `Unit Price: 12.5`, nested by indentation, `- ` before every item |
| log | `line_items.1.unit_price=12.5`, one line, quotes around what has spaces |
| table | a Markdown table of labels and values |
| prose | `The unit price within line items 1 is 12.5.` |

The last is held out: no training text is in it, so that it shows what was learnt beyond the forms seen.
"""

import json
import random
from collections.abc import Callable, Iterator
from typing import Any

from runners.edgejson.schema import Schema

TRAINED_FORMS = ("list", "log", "table")
HELD_OUT_FORM = "prose"
FORMS = (*TRAINED_FORMS, HELD_OUT_FORM)

WITHIN = " within "
"""Between the names of a path in prose; no field's name has the word."""

Path = tuple[str | int, ...]
"""Names, and positions from 1 in lists."""


def label(name: str) -> str:
    """Return a field's name as people write it: `unit_price` -> `Unit Price`."""
    return name.replace("_", " ").title()


def said(value: Any) -> str:
    """Return a plain value as text: as JSON, but for the quotes of a text."""
    return value if isinstance(value, str) else json.dumps(value)


def flat(value: Any, path: Path = ()) -> Iterator[tuple[Path, Any]]:
    """Yield every plain value with its path."""
    if isinstance(value, dict):
        for name, inner in value.items():
            yield from flat(inner, (*path, name))
    elif isinstance(value, list):
        for number, inner in enumerate(value, start=1):
            yield from flat(inner, (*path, number))
    else:
        yield path, value


def steps(path: Path) -> list[str]:
    """Return a path's names as words, each with its position when it has one: `line items 1`, `unit price`."""
    words: list[str] = []
    for part in path:
        if isinstance(part, int):
            words[-1] += f" {part}"
        else:
            words.append(part.replace("_", " "))
    return words


def render(schema: Schema, answer: dict[str, Any], form: str, rng: random.Random) -> str:
    """Return the text that says an answer in a form; the fields at the top stand in random order."""
    names = list(answer)
    rng.shuffle(names)
    return _RENDER[form](schema, {name: answer[name] for name in names})


def _list(schema: Schema, answer: dict[str, Any]) -> str:
    return "\n".join([schema.title, "", *_lines(answer, "")])


def _lines(owner: dict[str, Any], indent: str) -> Iterator[str]:
    for name, value in owner.items():
        if isinstance(value, dict):
            yield f"{indent}{label(name)}:"
            yield from _lines(value, indent + "  ")
        elif isinstance(value, list):
            yield f"{indent}{label(name)}:"
            for item in value:
                yield from _item(item, indent + "  ")
        else:
            yield f"{indent}{label(name)}: {said(value)}"


def _item(item: Any, indent: str) -> Iterator[str]:
    if not isinstance(item, dict):
        yield f"{indent}- {said(item)}"
        return
    for number, line in enumerate(_lines(item, indent + "  ")):
        yield line if number else f"{indent}- {line.removeprefix(indent + '  ')}"


def _log(schema: Schema, answer: dict[str, Any]) -> str:
    pairs = (f"{'.'.join(map(str, path))}={_quoted(said(value))}" for path, value in flat(answer))
    return f"{schema.id}: {' '.join(pairs)}"


def _quoted(text: str) -> str:
    return json.dumps(text) if " " in text else text


def _table(schema: Schema, answer: dict[str, Any]) -> str:
    rows = (f"| {' / '.join(map(label, steps(path)))} | {said(value)} |" for path, value in flat(answer))
    return "\n".join([f"| {schema.title} | |", *rows])


def _prose(schema: Schema, answer: dict[str, Any]) -> str:
    sentences = (f"The {WITHIN.join(reversed(steps(path)))} is {said(value)}." for path, value in flat(answer))
    return f"{schema.title}. {' '.join(sentences)}"


_RENDER: dict[str, Callable[[Schema, dict[str, Any]], str]] = {
    "list": _list,
    "log": _log,
    "table": _table,
    "prose": _prose,
}

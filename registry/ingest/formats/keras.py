"""Keras' `fit` on a terminal: `Epoch 1/5`, then a bar whose last redraw holds the epoch's values."""

import re

from registry.ingest import numbers
from registry.ingest.grammar import LineFormat
from registry.ingest.records import Line, Record, State, Total, Values

_HEADER = re.compile(r"\s*Epoch (\d{1,18})/(\d{1,18})\s*")
_BAR = re.compile(r"\s*(\d{1,18})/(\d{1,18}|Unknown)\s+[\[━─ ]")
_VALUES = re.compile(r" - (?=[A-Za-z_][\w ]{0,60}: )")
_PLAIN = re.compile(r"\s*(?:\d+/\d+ - )?\d+s - (?=[A-Za-z_]\w{0,60}: )")


def feed(state: State, line: Line) -> list[Record] | None:
    """Return the values of an epoch's last redraw (those before it are running means), nothing for other redraws."""
    kept = state.get("keras")
    if found := _HEADER.fullmatch(line.text):
        state["keras"] = {"epoch": int(found[1]), "total": int(found[2]), "done": False}
        state["step"], state["axis"] = int(found[1]), "epoch"
        return []
    if kept is None:
        return None
    bar = _BAR.match(line.text)
    if bar is None and not _PLAIN.match(line.text):
        return None
    if bar is not None and bar[1] != bar[2]:
        return []
    start = _VALUES.search(line.text)
    values = numbers.pairs(line.text, start.start()) if start else {}
    values.pop("ETA", None)
    if not values or kept["done"] == sorted(values):
        return []
    fresh = values if not kept["done"] else {name: value for name, value in values.items() if name not in kept["done"]}
    kept["done"] = sorted(values)
    total = [Total(kept["total"], "epoch")] if kept["epoch"] == kept["total"] else []
    return [Values(line.offset, fresh, kept["epoch"], line.at, "epoch"), *total] if fresh else []


FORMAT = LineFormat(
    name="keras",
    hints=("Epoch ", " - ", "/"),
    feed=feed,
    files="*.log, *.txt",
    example="Epoch 1/5 ⏎ 469/469 [====] - 2s 4ms/step - loss: 0.25 - accuracy: 0.93 - val_loss: 0.14",
    step="`Epoch n/N`",
    end="last epoch complete",
)

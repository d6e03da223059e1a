"""Keras' `fit` on a terminal: `Epoch 1/5`, then a bar whose last redraw holds the epoch's values.

Redraws are running means, so the values of a bar are held until another line follows it. A bar that begins anew below
the same header is an evaluation.
"""

import re

from registry.ingest import numbers
from registry.ingest.grammar import LineFormat
from registry.ingest.records import Line, Record, State, Total, Values

_HEADER = re.compile(r"\s*Epoch (\d{1,18})/(\d{1,18})\s*")
_BAR = re.compile(r"\s*(\d{1,18})/(\d{1,18}|Unknown)\s+(?:[\[━─ ]|-(?= \d))")
_VALUES = re.compile(r" - (?=[A-Za-z_][\w ]{0,60}: )")
_PLAIN = re.compile(r"\s*\d+s(?: \d+[mu]?s/(?:step|epoch|sample))? - (?=[A-Za-z_]\w{0,60}: )")


def feed(state: State, line: Line) -> list[Record] | None:
    """Return the values of the bar above a line that is no redraw of it; None for a line that is not Keras'."""
    kept = state.get("keras")
    if found := _HEADER.fullmatch(line.text):
        records = _release(state, kept) if kept else []
        state["keras"] = {"epoch": int(found[1]), "total": int(found[2]), "n": 0, "prefix": "", "said": []}
        state["step"], state["axis"] = int(found[1]), "epoch"
        return records
    if kept is None:
        return None
    bar = _BAR.match(line.text)
    if bar is None and not _PLAIN.match(line.text):
        return None
    return _redraw(state, kept, line, bar)


def _redraw(state: State, kept: State, line: Line, bar: re.Match[str] | None) -> list[Record]:
    n = int(bar[1]) if bar else kept["n"] + 1
    records: list[Record] = []
    if n < kept["n"]:
        records = _release(state, kept)
        kept["prefix"], kept["said"] = "evaluate/", []
    kept["n"] = n
    kept["whole"] = bar is None or bar[1] == bar[2]
    start = _VALUES.search(line.text)
    values = numbers.pairs(line.text, start.start()) if start else {}
    values.pop("ETA", None)
    if values:
        kept["held"] = [line.offset, line.at, values]
    return records


def _release(state: State, kept: State) -> list[Record]:
    """Give out what the last redraw showed and was not given out before."""
    held = kept.pop("held", None)
    if held is None:
        return []
    offset, at, values = held
    fresh = {kept["prefix"] + name: value for name, value in values.items() if name not in kept["said"]}
    kept["said"] += list(values)
    total = [Total(kept["total"], "epoch")] if kept["epoch"] == kept["total"] else []
    return [Values(offset, fresh, kept["epoch"], at, "epoch"), *total] if fresh else []


def settle(state: State) -> list[Record]:
    """The file is at rest: give out a bar that is complete."""
    kept = state.get("keras")
    return _release(state, kept) if kept and kept.get("whole") else []


FORMAT = LineFormat(
    name="keras",
    hints=("Epoch ", " - ", "/"),
    feed=feed,
    settle=settle,
    files="*.log, *.txt",
    example="Epoch 1/5 ⏎ 469/469 [====] - 2s 4ms/step - loss: 0.25 - accuracy: 0.93 - val_loss: 0.14",
    step="`Epoch n/N`",
    end="last epoch complete",
)

"""The blocks that Trainers print at the end: `***** eval metrics *****`, then `  eval_loss = 1.23` lines."""

import re

from registry.ingest.grammar import LineFormat
from registry.ingest.numbers import to_number
from registry.ingest.records import Ended, Line, Record, State, Values

_HEADER = re.compile(r"\*{3,} ?(train|eval|test|predict) metrics ?\*{3,}", re.IGNORECASE)
_VALUE = re.compile(r"\s*([A-Za-z_][\w@./-]{0,80})\s+=\s+(\S{1,40})\s*")


def feed(state: State, line: Line) -> list[Record] | None:
    """Return the values of a block; they repeat what a series or a result file may hold, so they only fill in."""
    if found := _HEADER.search(line.text):
        state["block"] = found[1].lower()
        return [Ended(line.offset, "finished", line.text.strip())] if found[1].lower() == "train" else []
    if not state.get("block"):
        return None
    found = _VALUE.fullmatch(line.text)
    if found is None:
        state["block"] = ""
        return None
    number = to_number(found[2])
    if number is None or found[1] in ("epoch", "step"):
        return []
    return [Values(line.offset, {found[1]: number}, None, line.at, "final")]


FORMAT = LineFormat(
    name="trainer block",
    hints=("metrics", " = "),
    feed=feed,
    files="*.log",
    example="***** eval metrics ***** ⏎   eval_loss = 1.2345",
    step="none: last values",
    end="`***** train metrics *****`",
)

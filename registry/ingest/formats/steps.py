"""`step:12/5100 train_loss:3.27 train_time:143ms step_avg:11.97ms`: modded-nanogpt and scripts like it."""

import re

from registry.ingest.grammar import LineFormat
from registry.ingest.records import Line, Record, State, Total, Values

_LINE = re.compile(r"\s*step:\s*(\d{1,18})/(\d{1,18}) ")
_PAIR = re.compile(r"(?<!\S)([A-Za-z_][\w/.-]{0,80}):([-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|nan|inf))(?:ms|s|%)?(?=\s|$)")


def feed(state: State, line: Line) -> list[Record] | None:
    """Return the values of a `step:n/N` line; the time of the first steps may be `nanms`."""
    found = _LINE.match(line.text)
    if found is None:
        return None
    values = {name: float(value) for name, value in _PAIR.findall(line.text, found.end())}
    if not values:
        return None
    records: list[Record] = [Values(line.offset, values, int(found[1]), line.at)]
    kept = state.setdefault("steps", {})
    if kept.get("total") != (total := int(found[2])):
        kept["total"] = total
        records.append(Total(total))
    return records


FORMAT = LineFormat(
    name="step:n/N",
    hints=("step:",),
    feed=feed,
    files="*.txt, *.log",
    example="step:12/5100 train_loss:3.2774 train_time:143ms step_avg:11.97ms",
    step="`step:n/N`",
    end="n = N",
)

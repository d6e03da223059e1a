"""OLMo's console: a header `[step=1/20,epoch=0]`, then one indented `name=value` a line."""

import re

from registry.ingest.grammar import LineFormat
from registry.ingest.numbers import to_number
from registry.ingest.records import Line, Record, State, Total, Values

_HEADER = re.compile(r"\[step=(\d{1,18})(?:/(\d{1,18}))?(?:,epoch=\d+)?\]")
_VALUE = re.compile(r" {4}([^\s=][^=]{0,200}?)=(\S{1,40})")


def feed(state: State, line: Line) -> list[Record] | None:
    """Return the value of a line in a block, nothing for a header; a line without the indent ends the block."""
    kept = state.get("olmo")
    if found := _HEADER.fullmatch(line.text.strip()):
        state["olmo"] = {"step": int(found[1].replace(",", "")), "open": True}
        return [Total(int(found[2]))] if found[2] else []
    if kept is None or not kept["open"]:
        return None
    found = _VALUE.fullmatch(line.raw.rstrip())
    number = to_number(found[2]) if found else None
    if found is None or number is None:
        kept["open"] = line.raw.startswith("    ")
        return None
    return [Values(line.offset, {found[1]: number}, kept["step"], line.at)]


FORMAT = LineFormat(
    name="olmo",
    hints=("[step=", "="),
    feed=feed,
    files="train.log, output.log",
    example="[step=1/20,epoch=0] ⏎     train/CrossEntropyLoss=11.24 ⏎     throughput/total_tokens=2,097,152",
    step="header",
    end="n = N; signal lines of torch elastic",
)

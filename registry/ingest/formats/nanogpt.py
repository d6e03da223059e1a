"""nanoGPT's and llm.c's lines; validation loss on a line of its own belongs to the step before it."""

import re

from registry.ingest import numbers
from registry.ingest.grammar import LineFormat
from registry.ingest.records import Line, Record, State, Total, Values

_NANO = re.compile(r"(?:step|iter) (\d{1,18}): (?=(?:train )?loss )")
_LLMC = re.compile(r"step\s+(\d{1,18})/(\d{1,18}) \| (?=(?:train )?loss )")
_SHORT = re.compile(r"s:(\d{1,18}) (?=(?:tel|trl|eval|eql):)")
_SHORT_PAIR = re.compile(r"(tel|trl|eval|lr|norm):([-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|nan|inf))(?=\s|$)")
_LONE = re.compile(r"\s*(val loss|test loss|HellaSwag)[: ]\s*(?:\d+/\d+ = )?(\S+)\s*")
_SHORT_NAMES = {"trl": "train_loss", "tel": "val_loss", "eval": "hellaswag"}
_WORDS = re.compile(r"([A-Za-z][A-Za-z_ ]{0,30}?) ([-+]?(?:\d+\.?\d*(?:[eE][-+]?\d+)?|nan|inf))(?=[\s,%m(|)]|$)")
_PARENS = re.compile(r"\([^()]{0,40}\)")


def feed(state: State, line: Line) -> list[Record] | None:
    """Return the values of one line."""
    text = line.text
    kept = state.setdefault("nanogpt", {})
    for pattern in (_NANO, _LLMC):
        if found := pattern.match(text):
            kept["step"] = int(found[1])
            values = {name: float(value) for name, value in _WORDS.findall(_PARENS.sub("", text[found.end() :]))}
            total = [Total(int(found[2]))] if pattern is _LLMC else []
            return [*total, Values(line.offset, values, kept["step"], line.at)]
    if found := _SHORT.match(text):
        pairs = _SHORT_PAIR.findall(text, found.end())
        values = {_SHORT_NAMES.get(name, name): float(value) for name, value in pairs}
        return [Values(line.offset, values, int(found[1]), line.at)]
    if "step" in kept and (found := _LONE.fullmatch(text)):
        number = numbers.to_number(found[2])
        return [Values(line.offset, {found[1]: number}, kept["step"], line.at)] if number is not None else None
    return None


FORMAT = LineFormat(
    name="nanogpt",
    hints=("loss", "s:", "HellaSwag"),
    feed=feed,
    files="*.log, *.txt, main.log",
    example="step 500: train loss 1.5312, val loss 1.7348 ⏎ iter 500: loss 1.5201, time 143.22ms, mfu 12.10%",
    step="`step n`, `iter n`",
)

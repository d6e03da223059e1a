"""fairseq's `simple` log: inner lines `epoch 001:    100 / 1234 loss=…, num_updates=100`, summaries divided by `|`."""

import re

from registry.ingest import numbers
from registry.ingest.grammar import LineFormat
from registry.ingest.records import Line, Record, State, Values

_INNER = re.compile(r"epoch (\d{3,}):\s+\d+ / \d+ ")
_SUMMARY = re.compile(
    r"(?:^|\| )epoch (\d{1,18}) \| (?:(valid) on '([^']{1,80})' subset \| )?|^(train|valid) \| epoch (\d{1,18}) \| "
)
_COUNT = re.compile(r"\bnum_updates[= ](\d{1,18})")


def feed(state: State, line: Line) -> list[Record] | None:
    """Return the values of an inner line, or of a train or valid summary (`train/…`, `valid/…`)."""
    text = line.text
    counted = _COUNT.search(text)
    if counted is None:
        return None
    step = int(counted[1])
    if found := _INNER.search(text):
        values = numbers.pairs(text, found.end())
        return [Values(line.offset, _metrics(values), step, line.at)]
    if found := _SUMMARY.search(text):
        is_valid = bool(found[2]) or found[4] == "valid" or "valid on" in text
        start = text.find("subset | ") + 9 if "subset | " in text else found.end()
        values = numbers.spaced_pairs(text, start)
        prefix = "valid/" if is_valid else "train/"
        return [Values(line.offset, {prefix + name: value for name, value in _metrics(values).items()}, step, line.at)]
    return None


def _metrics(values: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in values.items() if name not in ("num_updates", "epoch")}


FORMAT = LineFormat(
    name="fairseq",
    hints=("num_updates",),
    feed=feed,
    files="train.log",
    example="… | INFO | train_inner | epoch 001:    100 / 1234 loss=5.6, ppl=48.5, num_updates=100, lr=1e-05",
    step="`num_updates`",
    end="`done training in … seconds`",
)

"""Tables of words and numbers in columns, whose header begins with a counter: fastai, skorch, spaCy."""

import re

from registry.ingest import gate
from registry.ingest.counters import whole_step
from registry.ingest.grammar import LineFormat
from registry.ingest.numbers import to_number
from registry.ingest.records import Line, Record, State, Values

_FIRST = {"epoch": "epoch", "epochs": "epoch", "ep": "epoch", "e": "epoch", "step": "step", "iter": "step",
          "iteration": "step", "round": "round"}  # fmt: skip
_GAP = re.compile(r"\s{2,}|\t+")
_RULER = re.compile(r"[\s\-=+|]+")
_SKIPPED = frozenset({"time", "dur", "duration", "elapsed", "eta"})
MAX_COLUMNS = 40


def feed(state: State, line: Line) -> list[Record] | None:
    """Return the values of a row, nothing for a header or a ruler; a line of another width closes the table."""
    cells = [cell for cell in _GAP.split(line.raw.strip(" |")) if cell]
    columns = state.get("word_table")
    if _is_header(cells):
        state["word_table"] = cells
        return []
    if columns is None:
        return None
    if _RULER.fullmatch(line.raw):
        return []
    if len(cells) != len(columns) or to_number(cells[0]) is None:
        state["word_table"] = None
        return None
    row = dict(zip(columns, cells, strict=True))
    counting = "#" if "#" in row else columns[0]
    step = whole_step(to_number(row[counting]))
    if step is None:
        return None
    values = {
        name: number
        for name, cell in row.items()
        if name not in (counting, columns[0])
        and name.lower() not in _SKIPPED
        and (number := to_number(cell)) is not None
    }
    axis = "step" if counting == "#" else _FIRST[counting.lower()]
    return [Values(line.offset, values, step, line.at, axis)] if values else None


def _is_header(cells: list[str]) -> bool:
    return (
        3 <= len(cells) <= MAX_COLUMNS
        and cells[0].lower() in _FIRST
        and len(set(cells)) == len(cells)
        and all(to_number(cell) is None and len(cell) <= 40 for cell in cells)
        and any(gate.is_strong(cell) for cell in cells[1:])
    )


FORMAT = LineFormat(
    name="word table",
    hints=("  ", "\t"),
    feed=feed,
    files="*.log, *.txt",
    example="epoch     train_loss  valid_loss  accuracy  time ⏎ 0         0.170000    0.020000    0.993     00:12",
    step="the first column (spaCy: `#`)",
)

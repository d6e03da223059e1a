"""Tables printed row by row: columns parted by wide gaps (fastai, skorch, spaCy, Chainer) or by bars (MATLAB, rich,
tabulate). A header whose first column counts opens one; a two-column table of names and numbers holds last values.
"""

import re

from registry.ingest import gate
from registry.ingest.counters import axis_of, whole_step
from registry.ingest.grammar import LineFormat
from registry.ingest.numbers import to_number
from registry.ingest.records import Line, Record, State, Values

_COUNTERS = frozenset({
    "epoch", "epochs", "ep", "e", "step", "steps", "iter", "iters", "iteration", "round", "it",
    "global step", "global_step", "generation", "gen", "episode", "batch", "#", "training step", "update", "updates",
    "n_iter", "timestep", "timesteps",
})  # fmt: skip
_GAP = re.compile(r"\s{2,}|\t+")
_BARS = re.compile(r"\s*[|│┃║]\s*")
_RULER = re.compile(r"[\s\-=+|:_.─━│┃┏┓┗┛┡┩┢┪┠┨┯┷┳┻╇╈├┤┬┴┼╭╮╰╯╔╗╚╝╠╣═║╪╞╡]{3,}")
_VALUED_HEADER = re.compile(r"\s*[|│┃]\s*(?:test|validate|val|runningstage\S*)\s?metric\s*[|│┃]", re.IGNORECASE)
_VALUE = re.compile(r"[=:]|\d/\d")
_SKIPPED = frozenset({"time", "dur", "duration", "elapsed", "eta", "time elapsed", "elapsed_time", "remaining time"})
MAX_COLUMNS = 40
MAX_ROW_CHARS = 4000
MAX_LINES_BETWEEN = 40


def feed(state: State, line: Line) -> list[Record] | None:
    """Return the values of a row, nothing for a header or a ruler; a table without rows for long is closed."""
    if len(line.raw) > MAX_ROW_CHARS:
        return None
    cells = _cells(line.raw)
    table = state.get("word_table")
    if _opens(cells):
        state["word_table"] = {"columns": cells, "rows": 0, "idle": 0}
        return []
    if _VALUED_HEADER.match(line.raw):
        state["word_table"] = {"columns": ["", ""], "rows": 0, "idle": 0}
        return []
    if table is None:
        return _single_row(state, line, cells)
    if _RULER.fullmatch(line.raw):
        return []
    records = _row(table, cells, line) if len(cells) == len(table["columns"]) else None
    table["idle"] = table["idle"] + 1 if records is None else 0
    if table["idle"] > MAX_LINES_BETWEEN:
        state["word_table"] = None
    return records


def _cells(raw: str) -> list[str]:
    text = raw.strip()
    if text[:1] in "|│┃║" and text[-1:] in "|│┃║" and len(text) > 2:
        return _BARS.split(text)[1:-1]
    return [cell for cell in _GAP.split(text.strip(" |")) if cell] if "  " in text or "\t" in text else [text]


def _row(table: State, cells: list[str], line: Line) -> list[Record] | None:
    columns = table["columns"]
    if columns[0] == "":
        number = to_number(cells[1])
        name = cells[0].strip()
        return [Values(line.offset, {name: number}, None, line.at, "final")] if number is not None and name else None
    if table["rows"] == 0 and "" in cells and all(to_number(cell) is None for cell in cells):
        table["columns"] = [f"{column} {cell}".strip() for column, cell in zip(columns, cells, strict=True)]
        return []
    row = dict(zip(columns, cells, strict=True))
    counting = _counting(columns)
    step = whole_step(to_number(row[counting]))
    if step is None:
        return None
    table["rows"] += 1
    values = {
        name: number
        for name, cell in row.items()
        if name.lower() not in _COUNTERS
        and name.lower() not in _SKIPPED
        and (number := to_number(cell.rstrip("%"))) is not None
    }
    axis = "step" if counting == "#" else axis_of({"e": "epoch"}.get(counting.lower(), counting))
    return [Values(line.offset, values, step, line.at, axis)] if values else None


def _counting(columns: list[str]) -> str:
    """Return the column that counts finest: spaCy's `#` and MATLAB's `Iteration` before the epoch."""
    fine = [
        name for name in columns[:3] if name.lower() in _COUNTERS and axis_of(name.lower()) != "epoch" and name != "E"
    ]
    return str(fine[0] if fine else columns[0])


def _opens(cells: list[str]) -> bool:
    """Return whether cells are a header: a counter, then names, one of them a known metric, and no value among them."""
    if not 2 <= len(cells) <= MAX_COLUMNS or not _has_metric(cells):
        return False
    counts = cells[0].lower() in _COUNTERS and len(set(cells)) == len(cells)
    plain = all(to_number(cell) is None and len(cell) <= 40 and not _VALUE.search(cell) for cell in cells)
    return plain and (counts or _is_tall(cells))


def _is_tall(cells: list[str]) -> bool:
    """MATLAB's header: its columns are told apart only by the second row."""
    return len(cells) >= 4 and [cell.lower() for cell in cells[:2]] == ["epoch", "iteration"]


def _has_metric(cells: list[str]) -> bool:
    return any(gate.is_strong(cell) for cell in cells[1:]) or "Mini-batch" in cells


def _single_row(state: State, line: Line, cells: list[str]) -> list[Record] | None:
    """`| AP | AP50 | AP75 |`, a ruler, one row of numbers: an evaluation at the step of the log."""
    head = state.get("row_head")
    barred = line.raw.lstrip()[:1] == "|" and len(cells) >= 3
    if head and _RULER.fullmatch(line.raw):
        return []
    if not barred:
        state.pop("row_head", None)
        return None
    cells_as_numbers = [to_number(cell) for cell in cells]
    if head and len(head) == len(cells) and None not in cells_as_numbers:
        state.pop("row_head")
        values = {name: number for name, number in zip(head, cells_as_numbers, strict=True) if number is not None}
        return [Values(line.offset, values, state.get("step"), line.at, state.get("axis", "step"))]
    is_head = len(set(cells)) == len(cells) and all(cell and to_number(cell) is None for cell in cells)
    if is_head and 2 * sum(map(gate.is_strong, cells)) >= len(cells):
        state["row_head"] = cells
        return []
    state.pop("row_head", None)
    return None


FORMAT = LineFormat(
    name="word table",
    hints=("  ", "\t", "|", "│", "┃", "---", "===", "━━━"),
    feed=feed,
    files="*.log, *.txt",
    example="epoch     train_loss  valid_loss  accuracy  time ⏎ 0         0.170000    0.020000    0.993     00:12",
    step="the first column (spaCy: `#`)",
)

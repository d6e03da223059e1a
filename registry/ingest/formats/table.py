"""CSV and TSV with a header and a column that counts: Lightning, Ultralytics, SB3, Keras, timm, and one's own.

A results table (no column that counts, or one that does not move) is no series. Blank cells are no values.
"""

import csv
import re

from registry.ingest import decode, gate, numbers
from registry.ingest.counters import EPOCH_KEYS, axis_of, running_step, step_key, whole_step
from registry.ingest.fileformat import FileFormat
from registry.ingest.objects import EVAL_MODES, MODE_KEYS, NEVER, TRAIN_MODES, eval_prefix, qualified
from registry.ingest.records import Record, State, Values

MAX_COLUMNS = 5000
MAX_ROW_CHARS = 1 << 18
MAX_CELL_CHARS = 200
MAX_HELD_ROWS = 3
_NAME_COLUMNS = frozenset({"metric", "name", "tag", "key", "metric_name"})
_TIME_COLUMNS = frozenset({"timestamp", "_timestamp", "wall_time", "walltime", "wall time"})
_DECIMAL_COMMA = re.compile(r"[-+]?\d{1,18},\d{1,18}")
_KNOWN_FILE = re.compile(
    r"(?:^|[_\-.])(?:metrics?|history|hist|results?|progress|log|logs|training|train|val|losses|loss|curves?|epochs?|scalars)(?=[_\-.]|$)",
    re.IGNORECASE,
)


def sniff(head: str) -> str | None:
    """Return the delimiter of a table with a header of names and, where it has come, a row with a number."""
    lines = [line for line in head.splitlines() if line.strip()][:2]
    if not lines:
        return None
    for delimiter in (",", "\t", ";"):
        names = split_row(lines[0], delimiter)
        if len(names) < 2 or len(names) > MAX_COLUMNS or not _is_header(names):
            continue
        if len(lines) < 2:
            return delimiter
        row = split_row(lines[1], delimiter)
        if len(row) == len(names) and any(numbers.to_number(cell) is not None for cell in row):
            return delimiter
    return None


def split_row(line: str, delimiter: str) -> list[str]:
    """Return the cells of one row, without the spaces and quotes around them; none of a row that is too long."""
    if len(line) > MAX_ROW_CHARS:
        return []
    if '"' not in line:
        return [cell.strip() for cell in line.split(delimiter)]
    try:
        return [cell.strip() for cell in next(csv.reader([line], delimiter=delimiter, skipinitialspace=True), [])]
    except csv.Error:
        return []


def _is_header(names: list[str]) -> bool:
    if names and numbers.to_number(names[-1]) is not None:
        return False
    filled = [name for name in names if name]
    return (
        len(filled) >= len(names) - 1
        and len(filled) > 0
        and all(len(name) <= MAX_CELL_CHARS and numbers.to_number(name) is None for name in filled)
        and all(re.search(r"[A-Za-z%]", name) and not re.search(r"[{}=<>]", name) for name in filled)
    )


def start(name: str) -> State:
    """Return the state of a table whose file has this name: a known name makes a column of row numbers credible."""
    return {"known_file": bool(_KNOWN_FILE.search(name))}


def read(state: State, buffer: bytes, base: int, *, last: bool) -> tuple[list[Record], int]:
    """Read the whole rows of `buffer`."""
    lines, consumed = decode.take_lines(buffer, base, state.get("encoding", "utf-8"), last=last)
    records: list[Record] = []
    for offset, line in lines:
        if "delimiter" not in state:
            state["delimiter"] = sniff(line) or ","
        records += _row(state, offset, split_row(line, state["delimiter"]))
    return records, consumed


def _row(state: State, offset: int, cells: list[str]) -> list[Record]:
    columns = state.get("columns")
    if columns is None or (len(cells) > 1 and cells != columns["names"] and _is_header(cells)):
        if not _is_header(cells):
            state["n_missed"] = state.get("n_missed", 0) + 1
            return []
        state["columns"] = _columns(cells)
        return []
    if len(cells) != len(columns["names"]) or cells == columns["names"]:
        state["n_missed"] = state.get("n_missed", 0) + (cells != columns["names"])
        return []
    if state["delimiter"] == ";":
        cells = [cell.replace(",", ".") if _DECIMAL_COMMA.fullmatch(cell) else cell for cell in cells]
    state["n_rows"] = state.get("n_rows", 0) + 1
    values = _values(state, columns, cells, offset)
    return list(_admit(state, columns, values)) if values is not None and values.values else []


def _columns(names: list[str]) -> State:
    """Return what the columns are: the one that counts, the epoch, the mode, the long format's name and value."""
    lower = [name.lower() for name in names]
    keys = {key: str(index) for index, key in reversed(list(enumerate(lower)))}
    counting = step_key(keys)
    index_column = 0 if lower[0] in ("", "unnamed: 0", "index") else None
    chosen = int(counting) if counting is not None else index_column
    return {
        "names": names,
        "step": chosen,
        "axis": axis_of(lower[chosen]) if chosen is not None else "step",
        "epoch": next((lower.index(key) for key in EPOCH_KEYS if key in lower), None),
        "mode": next((lower.index(key) for key in MODE_KEYS if key in lower), None),
        "time": next((lower.index(key) for key in _TIME_COLUMNS if key in lower), None),
        "long": next((lower.index(key) for key in _NAME_COLUMNS if key in lower), None) if "value" in lower else None,
    }


def _values(state: State, columns: State, cells: list[str], offset: int) -> Values | None:
    step = state["n_rows"] if columns["step"] is None else whole_step(numbers.to_number(cells[columns["step"]]))
    if step is None:
        return None
    axis = columns["axis"]
    mode = cells[columns["mode"]].lower() if columns["mode"] is not None else ""
    prefix = eval_prefix(mode) if mode in EVAL_MODES or mode in TRAIN_MODES else f"{mode}/" if mode else ""
    if columns["step"] is not None and columns["epoch"] not in (None, columns["step"]):
        key = columns["names"][columns["step"]].lower()
        epoch = whole_step(numbers.to_number(cells[columns["epoch"]]))
        if key in ("iter", "iteration", "batch", "it", "steps") and epoch is not None:
            step = running_step(state, f"row:{prefix}", epoch, step if step >= 0 else _last_of(state, f"row:{prefix}"))
    at = numbers.to_number(cells[columns["time"]]) if columns["time"] is not None else None
    if at is not None:
        at = at / 1000.0 if at > 1e11 else at if at > 1e8 else None
    return Values(offset, _numbers(columns, cells, prefix), step, at, axis)


def _last_of(state: State, key: str) -> int:
    """Return the count that stands for the end of an epoch, which sentence-transformers writes as -1."""
    return int(state.get(key, {"n": 0})["n"])


def _numbers(columns: State, cells: list[str], prefix: str) -> dict[str, float]:
    names = columns["names"]
    if columns["long"] is not None:
        number = numbers.to_number(cells[[name.lower() for name in names].index("value")])
        return {qualified(prefix, cells[columns["long"]]): number} if number is not None else {}
    skipped = {columns[key] for key in ("step", "epoch", "mode", "time")}
    values = {}
    for index, (name, cell) in enumerate(zip(names, cells, strict=True)):
        if cell and index not in skipped and name.lower() not in NEVER:
            number = numbers.to_number(cell)
            if number is not None:
                values[qualified(prefix, name)] = number
    return values


def _admit(state: State, columns: State, values: Values) -> list[Values]:
    """Rows wait until the column that counts has moved twice; a table without one only counts by its file's name."""
    if columns["step"] is None and not (state.get("known_file") and any(map(gate.is_strong, values.values))):
        state["reason"] = "no column that counts (step, iter, epoch …): a results table is no series"
        return []
    if "sure" not in columns:
        columns["sure"] = _sure(columns)
    return gate.admit(state, f"columns by {columns['axis']}", values, sure=columns["sure"])


def _sure(columns: State) -> bool:
    """Return whether the header alone says that this is a training log: a counter first, and known names."""
    others = [name for index, name in enumerate(columns["names"]) if index != columns["step"]]
    n_strong = sum(map(gate.is_strong, others))
    lower = {name.lower() for name in columns["names"]}
    own = {"time/total_timesteps", "metrics/map50(b)", "lr/pg0"} & lower or {"epoch", "step"} <= lower
    return columns["step"] is not None and n_strong > 0 and bool(own)


FORMAT = FileFormat(
    name="table",
    version=1,
    read=read,
    settle=gate.settle,
    start=start,
    files="*.csv, *.tsv",
    example="epoch,train_loss,val_loss ⏎ 1,0.8286,0.8076",
    step="the best of: step, total_timesteps, iteration, … , epoch",
)

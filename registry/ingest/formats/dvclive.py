"""DVCLive's `plots/metrics/**/<name>.tsv`: the path is the metric's name."""

from registry.ingest import decode
from registry.ingest.counters import whole_step
from registry.ingest.fileformat import FileFormat
from registry.ingest.numbers import to_number
from registry.ingest.records import Record, State, Values


def read(state: State, buffer: bytes, base: int, *, last: bool) -> tuple[list[Record], int]:
    """Read whole lines: a header with `step`, perhaps `timestamp` (ms), and the value in the last column."""
    lines, consumed = decode.take_lines(buffer, base)
    records: list[Record] = []
    for offset, line in lines:
        cells = line.split("\t")
        columns = state.get("columns")
        if columns is None:
            state["columns"] = cells
            continue
        row = dict(zip(columns, cells, strict=False))
        number = to_number(cells[-1]) if len(cells) == len(columns) else None
        if number is None:
            state["n_missed"] = state.get("n_missed", 0) + 1
            continue
        stamp = to_number(row.get("timestamp", ""))
        step = whole_step(to_number(row.get("step", "")))
        records.append(Values(offset, {state["metric"]: number}, step, stamp / 1000.0 if stamp else None))
    return records, consumed


FORMAT = FileFormat(
    name="dvclive series",
    version=1,
    read=read,
    torn_tail=False,
    files="dvclive/plots/metrics/**/*.tsv",
    example="step⇥loss ⏎ 0⇥0.4962",
    step="`step`",
)

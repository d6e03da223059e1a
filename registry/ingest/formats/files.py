"""The table of file formats, and how much the values of each are trusted when two files carry the same series."""

from registry.ingest import decode, text
from registry.ingest.fileformat import FileFormat
from registry.ingest.formats import (
    documents,
    dvclive,
    final_values,
    history,
    mlflow,
    parameters,
    sacred,
    table,
    tensorboard,
    trainer_state,
    wandb,
)
from registry.ingest.grammar import LineFormat
from registry.ingest.records import Ended, Record, State

DOCUMENTS = (trainer_state.FORMAT, sacred.METRICS, sacred.RUN, history.FORMAT, final_values.FORMAT)


def read_text(
    state: State, buffer: bytes, base: int, *, last: bool, extra: tuple[LineFormat, ...] = ()
) -> tuple[list[Record], int]:
    """Read the whole lines of a text log; `extra` are the user's own formats, asked first."""
    lines, consumed = decode.take_lines(buffer, base, state.get("encoding", "utf-8"), last=last)
    if state.pop("in_long_line", False) and lines:
        lines = lines[1:]
    records: list[Record] = []
    for (_offset, line), found in zip(lines, text.feed_all(state, lines, extra), strict=True):
        if found:
            records += found
            state["recent"] = line
    if len(state.get("recent", "")) > 400:
        state["recent"] = state["recent"][-400:]
    return records, consumed


def _read_end(state: State, buffer: bytes, base: int, *, last: bool) -> tuple[list[Record], int]:
    """Read a log whose metrics stand elsewhere: only what it says of the end counts."""
    records, consumed = read_text(state, buffer, base, last=last)
    return [record for record in records if type(record) is Ended], consumed


TEXT = FileFormat(
    name="text",
    version=1,
    read=read_text,
    settle=text.settle,
    files="*.log, *.txt, *.out, *.jsonl, …",
    example="see the table of line formats",
    step="see the table of line formats",
)
END_OF_TEXT = FileFormat(
    name="end of text", version=1, read=_read_end, files="output.log beside a .wandb file", example="-", step="-"
)
DOCUMENT = FileFormat(
    name="json document",
    version=1,
    read=documents.reader(DOCUMENTS),
    whole=True,
    start=lambda name: {"name": name},
    files="*.json",
    example="see the table of documents",
    step="see the table of documents",
)
FILE_FORMATS: dict[str, FileFormat] = {
    form.name: form
    for form in (
        TEXT,
        END_OF_TEXT,
        table.FORMAT,
        DOCUMENT,
        parameters.FORMAT,
        tensorboard.FORMAT,
        wandb.FORMAT,
        mlflow.META,
        mlflow.METRIC,
        mlflow.PARAM,
        mlflow.TAG,
        dvclive.FORMAT,
    )
}
_TRUST = {"wandb": 90, "mlflow metric": 80, "dvclive series": 80, "table": 70, "json document": 65, "tensorboard": 60}


def trust_of(kind: str, name: str) -> int:
    """Return the trust in a format's values: full precision before rounded, JSON lines before words."""
    if kind == "text":
        return 50 if name.endswith((".json", ".jsonl")) else 40
    return _TRUST.get(kind, 30)

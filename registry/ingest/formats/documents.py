"""A file that is one JSON document: read whole, whenever it changes, by the first kind that knows its shape.

A document that does not parse (it is being written) is left until it does.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from registry.ingest import decode, jsontext
from registry.ingest.records import Record, State

MAX_DOCUMENT_BYTES = 64 << 20


@dataclass(frozen=True)
class DocumentFormat:
    """A kind of JSON document: `records` returns what it says, None when the document is of another kind.

    It gets the file's name without folders, and the decoded document.
    """

    name: str
    records: Callable[[str, Any], list[Record] | None]
    files: str
    example: str
    step: str
    end: str = "none"


def decode_document(buffer: bytes) -> Any:
    """Return the decoded JSON document; bare NaN and Infinity are allowed. Raises ValueError for anything else."""
    encoding = decode.encoding_of(buffer[:4096])
    return jsontext.loads(buffer.decode(encoding, "strict").lstrip("\ufeff"))


def reader(kinds: tuple[DocumentFormat, ...]) -> Callable[..., tuple[list[Record], int]]:
    """Return the reading function of documents of these kinds, asked in order."""

    def read(state: State, buffer: bytes, base: int, *, last: bool) -> tuple[list[Record], int]:
        if not last or base or len(buffer) > MAX_DOCUMENT_BYTES:
            return [], 0
        try:
            document = decode_document(buffer)
        except ValueError:
            state["reason"] = "no complete JSON document"
            return [], 0
        state.pop("reason", None)
        for kind in kinds:
            records = kind.records(state["name"], document)
            if records is not None:
                state["used"] = {kind.name: len(records)}
                return records, len(buffer)
        state["reason"] = "a JSON document without series"
        return [], len(buffer)

    return read

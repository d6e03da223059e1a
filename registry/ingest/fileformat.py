"""What a file format is: a pure function from its state and the next bytes to records and the bytes they took."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from registry.ingest.records import Record, State


class Read(Protocol):
    """Parse `buffer`, which stands at byte `base` of the file; with `last`, no more bytes will come."""

    def __call__(self, state: State, buffer: bytes, base: int, *, last: bool) -> tuple[list[Record], int]:
        """Return the records and the number of bytes that need not be read again."""


def _no_settle(_state: State) -> Sequence[Record]:
    return []


def _start(_name: str) -> State:
    return {}


@dataclass(frozen=True)
class FileFormat:
    """A kind of file.

    `whole`: the file is one document, read again from its start whenever it changes. `settle` gives out what waited
    for more evidence when the file is at rest. `torn_tail`: an unterminated last line may be taken when the file is at
    rest. `rank`: of two files with the same series the one with the higher rank keeps it.
    """

    name: str
    version: int
    read: Read
    files: str
    example: str
    step: str
    end: str = "none"
    whole: bool = False
    settle: Callable[[State], Sequence[Record]] = _no_settle
    start: Callable[[str], State] = _start
    torn_tail: bool = True
    rank: int = 50

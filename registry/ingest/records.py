"""What a parser may say of a log. A parser is a pure function of its state and a line; its state is plain JSON."""

from typing import Any, Literal

import msgspec

State = dict[str, Any]
"""Everything a parser remembers between two lines; survives `json.dumps` and `json.loads` unchanged."""


class Values(msgspec.Struct, gc=False):
    """Measured values that belong together.

    `offset` is the byte in the file at which they stand, `step` their counter (None: the log names none), `at` unix
    seconds (None: the log does not say), `axis` what the counter counts: `step`, `epoch`, `bar` (a progress bar
    redrawn), `final` (a last value that some other file may have as a series), or a word of the log's own.
    """

    offset: int
    values: dict[str, float]
    step: int | None = None
    at: float | None = None
    axis: str = "step"


class Inputs(msgspec.Struct):
    """Parameters of the run."""

    values: dict[str, Any]


class Ended(msgspec.Struct):
    """A line that says how the run, or one of its processes, ended.

    `binding`: a tracker's own word for it, which no later line takes back.
    """

    offset: int
    status: Literal["finished", "failed", "killed", "running"]
    evidence: str
    binding: bool = False


class Total(msgspec.Struct, gc=False):
    """The step at which the run will be complete."""

    steps: int
    axis: str = "step"


class Identity(msgspec.Struct):
    """What the log calls its run."""

    name: str | None = None
    experiment: str | None = None
    started_at: float | None = None
    command: list[str] = []
    git: dict[str, Any] | None = None
    host: str | None = None
    tags: list[str] = []


class Remark(msgspec.Struct):
    """Something a person should know about the log."""

    text: str
    level: str = "info"


class Pointer(msgspec.Struct):
    """A file or folder of the run that the log names: its role, where it should be, the step it was taken at."""

    role: str
    place: str
    step: int | None = None


Record = Values | Inputs | Ended | Total | Identity | Remark | Pointer


class Line:
    """One logical line: `text` without its prefix, and what the prefix said; `lesson` is how it was understood."""

    __slots__ = ("at", "lesson", "offset", "rank", "raw", "text")

    def __init__(self, offset: int, raw: str, text: str, at: float | None = None, rank: int | None = None) -> None:
        self.offset = offset
        self.raw = raw
        self.text = text
        self.at = at
        self.rank = rank
        self.lesson: Any = None

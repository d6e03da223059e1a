"""What a run can say: one struct per kind of event, one JSON object per journal line.

Every fact about a run enters the record as one of these, whoever wrote it (a training process, a wrapper, a log
parser), and is read back by `registry.projection` alone. Non-finite numbers travel as "NaN", "Infinity", "-Infinity".
"""

import math
from typing import Any

import msgspec

Number = float | int | str
"""A metric value on the wire: a JSON number, or one of the three words for a non-finite one."""

NON_FINITE = {"NaN": math.nan, "Infinity": math.inf, "-Infinity": -math.inf}
BASES = ("measured", "sampled", "estimated")
GOALS = ("min", "max")
ROLES = ("checkpoint", "best", "last", "log", "config", "report")
END_STATUSES = ("finished", "failed", "killed", "crashed", "unknown", "stalled")


class Event(msgspec.Struct, tag_field="t", omit_defaults=True, forbid_unknown_fields=False):
    """Base of all events; `at` is unix seconds."""

    at: float


class Start(Event, tag="start"):
    """A process began the run."""

    run: str
    name: str
    experiment: str = "default"
    params: dict[str, Any] = {}
    command: list[str] = []
    cwd: str = ""
    git: dict[str, Any] | None = None
    host: dict[str, Any] = {}
    device: dict[str, Any] = {}
    environment: list[str] = []
    tags: list[str] = []
    parent: str | None = None
    source: str = "journal"
    foreign_id: str | None = None
    total_steps: int | None = None
    roots: list[str] = []
    cost_per_hour: float | None = None


class Resume(Event, tag="resume"):
    """Another process continues the run; a new segment begins."""

    run: str
    host: dict[str, Any] = {}
    command: list[str] = []
    reason: str = "resume"


class Params(Event, tag="params"):
    """Inputs of the run, learnt after its start."""

    values: dict[str, Any]


class Metrics(Event, tag="m", gc=False):
    """Measured values at one step (None: the log names no step)."""

    v: dict[str, Number]
    s: int | None = None
    b: str | None = None


class Define(Event, tag="define"):
    """How a metric is to be read: its goal, its basis, its unit."""

    name: str
    goal: str | None = None
    basis: str | None = None
    unit: str | None = None
    primary: bool = False


class ArtifactFile(msgspec.Struct, omit_defaults=True):
    """One file of an artifact tree."""

    path: str
    digest: str
    size_bytes: int


class Artifact(Event, tag="artifact"):
    """A file or a tree that the run produced, already hashed."""

    role: str
    path: str
    digest: str
    size_bytes: int
    step: int | None = None
    kind: str = "file"
    files: list[ArtifactFile] = []
    metadata: dict[str, Any] = {}


class Removed(Event, tag="removed"):
    """The run's own program threw away a file that was recorded as an artifact: a rolling checkpoint, say."""

    path: str


class Evaluation(Event, tag="evaluation"):
    """Values that belong to one artifact (by digest), or to a named control or baseline when `subject` is set."""

    metrics: dict[str, Number]
    digest: str | None = None
    step: int | None = None
    basis: str | None = None
    suite: str | None = None
    subject: str | None = None
    intervals: dict[str, tuple[float, float]] = {}
    counts: dict[str, int] = {}
    dataset: str | None = None


class UseDataset(Event, tag="dataset"):
    """The run reads this version of a data set; `override` says why, where the policy refused it."""

    name: str
    version: str
    role: str = "train"
    digest: str | None = None
    override: str = ""


class Gates(Event, tag="gates"):
    """A gate suite applies to the run; the whole text travels, so the record stands alone."""

    suite: str
    text: str


class Heartbeat(Event, tag="h"):
    """The process lives."""


class Note(Event, tag="note"):
    """Something a person should know about the run."""

    text: str
    level: str = "info"
    step: int | None = None


class End(Event, tag="end"):
    """How the run, or one process inside a wrapped run (`inner`), ended, and the evidence."""

    status: str
    exit_code: int | None = None
    evidence: str = ""
    inner: bool = False


AnyEvent = (
    Start
    | Resume
    | Params
    | Metrics
    | Define
    | Artifact
    | Removed
    | Evaluation
    | UseDataset
    | Gates
    | Heartbeat
    | Note
    | End
)

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[AnyEvent] = msgspec.json.Decoder(AnyEvent)


def wire_number(value: float) -> Number:
    """Return `value` as it stands in JSON: itself, or the word for NaN and the infinities."""
    if math.isfinite(value):
        return value
    return "NaN" if math.isnan(value) else "Infinity" if value > 0 else "-Infinity"


def plain_number(value: Number) -> float:
    """Return the float that a wire number stands for. Raises KeyError for any other word."""
    return NON_FINITE[value] if isinstance(value, str) else float(value)


def encode(event: Event) -> bytes:
    """Return the journal line of an event, newline included; letters that UTF-8 cannot hold are spelt out."""
    try:
        return _encoder.encode(event) + b"\n"
    except UnicodeEncodeError:
        return _encoder.encode(_spelt_out(msgspec.to_builtins(event))) + b"\n"


def _spelt_out(value: Any) -> Any:
    if isinstance(value, str):
        return value.encode("utf-8", "backslashreplace").decode()
    if isinstance(value, dict):
        return {_spelt_out(key): _spelt_out(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_spelt_out(item) for item in value]
    return value


def decode(line: bytes) -> AnyEvent:
    """Return the event of one journal line. Raises msgspec.MsgspecError (a ValueError) for anything else."""
    return _decoder.decode(line)


def decode_lines(lines: bytes) -> list[AnyEvent]:
    """Return the events of whole journal lines. Raises as `decode` does when one of them is torn or unknown."""
    return _decoder.decode_lines(lines)

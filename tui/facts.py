"""What the screens are given to show: frozen snapshots, made by `snapshots` in a worker thread, never changed."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tui.charts import Curve
from tui.widgets.chart import Figure

if TYPE_CHECKING:
    from registry.alert import Alert
    from registry.comparison import Comparison, Spread
    from registry.copies.overview import ArtifactCustody
    from registry.queries import MetricSummary, RunSummary


@dataclass(frozen=True)
class RunsQuery:
    """Which runs are wanted, and in what order."""

    filter: str = ""
    sort_by: str = "started"
    descending: bool | None = None
    group: str = ""


@dataclass(frozen=True)
class Group:
    """Runs that belong together, in the order of the list, and the spread of each metric over them."""

    label: str
    ids: tuple[str, ...]
    spreads: "dict[str, Spread]"


@dataclass(frozen=True)
class RunsIndex:
    """The runs that match, in order, and of the loaded rows what they have in common."""

    query: RunsQuery
    ids: tuple[str, ...] = ()
    n_total: int = 0
    metrics: tuple[str, ...] = ()
    """The metrics of the loaded rows, the most common first."""
    n_experiments: int = 0
    primary: str | None = None
    """The metric by which most of the runs are judged."""
    trend: str | None = None
    """The metric that most of the runs drew the longest curve of, of those they may be judged by."""
    goal: str | None = None
    """The goal of the metric that the runs are sorted by, if it has one."""
    rows: "dict[str, RunSummary]" = field(default_factory=dict)
    """The rows of the first page, or of all where there are groups."""
    groups: "tuple[Group, ...]" = ()


@dataclass(frozen=True)
class Names:
    """Everything runs can be sorted by and shown with: metrics and parameters, the most used first."""

    metrics: tuple[str, ...] = ()
    params: tuple[str, ...] = ()


@dataclass(frozen=True)
class Status:
    """What the bars of every screen say."""

    alerts: "tuple[Alert, ...]" = ()
    n_running: int = 0
    n_runs: int = 0


@dataclass(frozen=True)
class Opened:
    """The registry is open: where it is, and what registry.toml says about keys."""

    url: str
    keys: dict[str, str]


@dataclass(frozen=True)
class Preview:
    """One run beside the table: its row, the curves of one metric, what differs from the baseline, what to know."""

    run_id: str
    metric: str | None
    curves: tuple[Curve, ...]
    summary: "RunSummary"
    differing: tuple[tuple[str, str, str], ...] = ()


@dataclass(frozen=True)
class LogTail:
    """The end of a run's output, cleaned; `note` says why there is none."""

    lines: tuple[str, ...] = ()
    n_hidden_bytes: int = 0
    note: str = ""


@dataclass(frozen=True)
class Compared:
    """Runs side by side: params and metrics, the verdict of each gate per run, and one chart."""

    comparison: "Comparison"
    gates: dict[str, tuple[str, ...]]
    tones: dict[str, str]
    n_gone: int = 0


@dataclass(frozen=True)
class RemoteState:
    """One remote: what it is, what the last look at it found, what it holds."""

    name: str
    url: str
    domain: str
    klass: str
    trust: str
    probe: str
    probed_at: float | None
    n_copies: int
    size_bytes: int


@dataclass(frozen=True)
class Custody:
    """Where the copies are: remotes, artifacts with their copies, and how many there are in all."""

    remotes: tuple[RemoteState, ...]
    artifacts: "tuple[ArtifactCustody, ...]"
    n_artifacts: int
    n_unsafe: int
    require_other_domain: bool
    free_bytes: dict[str, int | None]


@dataclass(frozen=True)
class DatasetSnapshot:
    """One data set version: all that is known of it (None: it is not registered), and what hangs on it."""

    about: dict[str, Any] | None
    impact: dict[str, Any]


@dataclass(frozen=True)
class Live:
    """What runs now, and what ended last."""

    runs: "tuple[RunSummary, ...]"
    last_ended: "RunSummary | None"


@dataclass(frozen=True)
class LiveRun:
    """One running run: a chart, all its metrics, the end of its output."""

    run_id: str
    figure: Figure
    metrics: "tuple[MetricSummary, ...]"
    log: LogTail

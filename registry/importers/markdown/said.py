"""What a report says of which runs, before it becomes events: numbers, targets, dates, statuses, what was left out."""

from dataclasses import dataclass, field

from registry.importers.markdown.cells import Target, Value, plain, verdict_of
from registry.importers.markdown.encoding import Repaired
from registry.importers.markdown.names import MetricName, dates_in


@dataclass(frozen=True)
class Said:
    """One number that a report gives for a run, or for a baseline (`subject`)."""

    metric: MetricName
    value: Value
    line: int
    step: int | None = None
    basis: str | None = None
    subject: str | None = None
    category: str = ""
    n: int | None = None
    is_course: bool = False


@dataclass(frozen=True)
class Wanted:
    """A target that a report names for a metric of a run."""

    metric: MetricName
    target: Target


@dataclass
class ReportedRun:
    """A run as a report speaks of it."""

    name: str
    at: float | None = None
    is_at_exact: bool = False
    status: str = ""
    status_words: list[str] = field(default_factory=list)
    params: dict[str, str] = field(default_factory=dict)
    datasets: list[tuple[str, str, str]] = field(default_factory=list)
    said: list[Said] = field(default_factory=list)
    wanted: list[Wanted] = field(default_factory=list)

    def dated(self, text: str, year: int | None) -> None:
        """Take the first date of a text as the run's, unless a more exact one is known."""
        for at, is_exact in dates_in(text, year)[:1]:
            if self.at is None or (is_exact and not self.is_at_exact):
                self.at, self.is_at_exact = at, is_exact

    def judged(self, text: str) -> None:
        """Take a status cell as what the report thinks of the run."""
        words = plain(text)
        if words and words not in self.status_words:
            self.status_words.append(words)
        self.status = self.status or verdict_of(text)


@dataclass(frozen=True)
class LeftOut:
    """Something that looked like a result and was not taken, and why."""

    line: int
    text: str
    why: str


@dataclass(frozen=True)
class Report:
    """A whole report."""

    title: str
    experiment: str
    at: float | None
    status: str
    encoding: Repaired
    runs: list[ReportedRun]
    left_out: list[LeftOut]

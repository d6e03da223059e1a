"""The alert bar in few words: alerts of one kind are counted, the artifacts without a copy come first. Pure."""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from tui.marks import SEVERITY
from tui.text import count

if TYPE_CHECKING:
    from registry.alert import Alert
    from registry.queries import RunSummary

FIRST = "artifact-no-verified-copy"
_PHRASES = {
    FIRST: ("artifact has no verified copy", "artifacts have no verified copy"),
    "run-crashed": ("run crashed", "runs crashed"),
    "metric-not-finite": ("metric is not finite", "metrics are not finite"),
    "metric-collapsed": ("metric collapsed", "metrics collapsed"),
    "best-too-early": ("run was best early on", "runs were best early on"),
    "checkpoint-not-best": ("kept checkpoint is not the best", "kept checkpoints are not the best"),
    "bases-disagree": ("metric differs by its basis", "metrics differ by their basis"),
    "copy-corrupt": ("place holds wrong bytes", "places hold wrong bytes"),
    "copy-missing": ("place lost copies", "places lost copies"),
    "copy-stale": ("place was not read for long", "places were not read for long"),
    "copy-unverified": ("place has unverified copies", "places have unverified copies"),
    "copies-same-failure-domain": (
        "artifact would be lost with its copies",
        "artifacts would be lost with their copies",
    ),
    "artifact-too-few-copies": ("artifact has too few copies", "artifacts have too few copies"),
    "override-in-force": ("override is in force", "overrides are in force"),
    "deployed-run-invalid": ("deployed run is invalid", "deployed runs are invalid"),
    "remote-unreachable": ("remote is unreachable", "remotes are unreachable"),
    "remote-foreign": ("remote is another place", "remotes are other places"),
    "dataset-changed": ("data set changed on disk", "data sets changed on disk"),
    "running-on-bad-data": ("run reads bad data", "runs read bad data"),
    "journal-torn-lines": ("journal has torn lines", "journals have torn lines"),
}


@dataclass(frozen=True)
class Kind:
    """Alerts of one severity and code, and what they say together."""

    severity: str
    code: str
    alerts: "tuple[Alert, ...]"

    @property
    def n(self) -> int:
        """How many things they are about; one alert may stand for many."""
        return sum(_n_in(alert) for alert in self.alerts)

    @property
    def sentence(self) -> str:
        """All of them in one sentence."""
        phrase, n = _PHRASES.get(self.code), self.n
        if n == 1 and (phrase is None or self.code not in (FIRST, "run-crashed")):
            return self.alerts[0].message
        if phrase is None:
            return f"{self.alerts[0].message} (and {n - 1} like it)" if n > 1 else self.alerts[0].message
        return count(n, *phrase)

    @property
    def hint(self) -> str:
        """What ends all of them, or the first of them when each has its own end."""
        hints = {_ABOUT_ALL.sub(r"\1--all", alert.hint) for alert in self.alerts}
        return hints.pop() if len(hints) == 1 and len(self.alerts) > 1 else self.alerts[0].hint


_ABOUT_ALL = re.compile(r"\b(registry (?:copy|verify|repair) )[0-9a-f]{10,}\b")
_NUMBER_FIRST = re.compile(r"([\d,]+) (?:more )?artifacts ")


def _n_in(alert: "Alert") -> int:
    """Return how many things an alert is about: one, or the number it begins with when it stands for the rest."""
    found = _NUMBER_FIRST.match(alert.message) if alert.subject in ("more", "policy") else None
    return int(found[1].replace(",", "")) if found else 1


def n_alerts(alerts: "Sequence[Alert]") -> int:
    """Return how many alerts there are, those that are only counted included."""
    return sum(_n_in(alert) if alert.subject == "more" else 1 for alert in alerts)


def kinds(alerts: "Sequence[Alert]") -> list[Kind]:
    """Return the alerts by severity and code, the most urgent first."""
    found: dict[tuple[str, str], list[Alert]] = {}
    for alert in alerts:
        found.setdefault((alert.severity, alert.code), []).append(alert)
    order = list(SEVERITY)
    ordered = sorted(found, key=lambda kind: (order.index(kind[0]), kind[1] != FIRST))
    return [Kind(severity, code, tuple(found[severity, code])) for severity, code in ordered]


def headlines(alerts: "Sequence[Alert]") -> tuple[tuple[str, str], ...]:
    """Return `(severity, sentence)` for each kind of alert, in the order of urgency."""
    return tuple((kind.severity, kind.sentence) for kind in kinds(alerts))


def about_run(alerts: "Sequence[Alert]", run: "RunSummary") -> "tuple[Alert, ...]":
    """Return the alerts about one run, its artifacts, its metrics, and what it serves."""
    subjects = {run.id, *run.deployed_to}
    return tuple(alert for alert in alerts if alert.subject.partition(" ")[0] in subjects)

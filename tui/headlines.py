"""The alert bar in few words: alerts of one kind are counted, the artifacts without a copy come first. Pure."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from tui.marks import SEVERITY
from tui.text import count

if TYPE_CHECKING:
    from registry.alert import Alert

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
    "copies-same-failure-domain": ("set of copies would be lost together", "sets of copies would be lost together"),
    "override-in-force": ("override is in force", "overrides are in force"),
    "deployed-run-invalid": ("deployed run is invalid", "deployed runs are invalid"),
    "remote-unreachable": ("remote is unreachable", "remotes are unreachable"),
    "remote-foreign": ("remote is another place", "remotes are other places"),
    "dataset-changed": ("data set changed on disk", "data sets changed on disk"),
    "running-on-bad-data": ("run reads bad data", "runs read bad data"),
    "journal-torn-lines": ("journal has torn lines", "journals have torn lines"),
}


def headlines(alerts: "Sequence[Alert]") -> tuple[tuple[str, str], ...]:
    """Return `(severity, sentence)` for each kind of alert, in the order of urgency."""
    by_kind: dict[tuple[str, str], list[Alert]] = {}
    for alert in alerts:
        by_kind.setdefault((alert.severity, alert.code), []).append(alert)
    order = list(SEVERITY)
    kinds = sorted(by_kind, key=lambda kind: (order.index(kind[0]), kind[1] != FIRST))
    return tuple((severity, _sentence(code, by_kind[severity, code])) for severity, code in kinds)


def n_of(alerts: "Sequence[Alert]") -> int:
    """Return how many things alerts of one kind are about; one of them may stand for many more."""
    more = next(
        (found for alert in alerts if alert.subject == "more" and (found := _AND_MORE.match(alert.message))), None
    )
    return len(alerts) if more is None else len(alerts) - 1 + int(more[1].replace(",", ""))


_AND_MORE = re.compile(r"([\d,]+) more ")


def _sentence(code: str, same: "Sequence[Alert]") -> str:
    phrase = _PHRASES.get(code)
    if len(same) == 1 and (phrase is None or code not in (FIRST, "run-crashed")):
        return same[0].message
    if phrase is None:
        return f"{same[0].message} (and {len(same) - 1} like it)"
    n = n_of(same)
    return count(n, *phrase)

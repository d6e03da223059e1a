"""What the alerts screen says: one line a kind, its alerts below it when it is unfolded. Pure."""

import re
from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING

from textual.content import Content

from tui.headlines import Kind, n_alerts
from tui.marks import SEVERITY, mark
from tui.text import ago, clean, count
from tui.theme import content_style
from tui.widgets.table import Cell, Column, Line

if TYPE_CHECKING:
    from registry.alert import Alert

MOST_OPEN = 4
"""A kind with more alerts than this begins folded: what is below it must stay in sight."""
COLUMNS = (
    Column("severity", "Severity", minimum=10, maximum=10),
    Column("message", "What", minimum=20, maximum=200, weight=1),
    Column("since", "Since", align="right", minimum=6, maximum=8),
)
_WORDS = {"critical": ("critical", "critical"), "warning": ("warning", "warnings"), "info": ("note", "notes")}
_RUN_FOLDER = re.compile(r"^\w+ runs/[^/\s]+/")
"""The list leaves it out: the message names the run anyway, and the detail has the whole path."""


def kind_key(kind: Kind) -> str:
    """Return the key of the line of a kind."""
    return f"kind:{kind.severity}:{kind.code}"


def is_folded(kind: Kind, turned: Collection[str]) -> bool:
    """Return whether a kind shows only its own line; `turned` are those a person folded or unfolded."""
    return (len(kind.alerts) > MOST_OPEN) != (kind_key(kind) in turned)


def caption(kinds: Sequence[Kind], *, acknowledged: bool) -> Content:
    """Return how many alerts there are of each severity."""
    numbers = {
        severity: sum(n_alerts(kind.alerts) for kind in kinds if kind.severity == severity) for severity in SEVERITY
    }
    parts = [
        Content.styled(f" {count(n, *_WORDS[severity])} ", f"bold {content_style(SEVERITY[severity].tone)}")
        for severity, n in numbers.items()
        if n
    ]
    if acknowledged:
        parts.append(Content.styled(" with acknowledged ones", "$text-muted"))
    return Content("").join(parts) if parts else Content.styled(" no alerts", "bold")


def lines(kinds: Sequence[Kind], turned: Collection[str], now: float) -> list[Line]:
    """Return one line a kind that has several alerts, and one an alert where its kind is not folded."""
    found = []
    for kind in kinds:
        if len(kind.alerts) == 1:
            found.append(_alert(kind.alerts[0], now, indent=""))
            continue
        folded = is_folded(kind, turned)
        found.append(_heading(kind, now, folded=folded))
        if not folded:
            found += [_alert(alert, now, indent="  ") for alert in kind.alerts]
    return found


def _heading(kind: Kind, now: float, *, folded: bool) -> Line:
    state = mark(SEVERITY, kind.severity)
    since = min((alert.since for alert in kind.alerts if alert.since is not None), default=None)
    cells = (
        Cell(str(state), state.tone),
        Cell(f"{'▸' if folded else '▾'} {clean(kind.sentence)}", "strong"),
        Cell(ago(since, now), "muted"),
    )
    return Line(kind_key(kind), cells)


def alert_key(alert: "Alert") -> str:
    """Return the key of the line of an alert."""
    return f"alert:{alert.severity}:{alert.code}:{alert.subject}"


def _alert(alert: "Alert", now: float, indent: str) -> Line:
    state = mark(SEVERITY, alert.severity)
    message = indent + _RUN_FOLDER.sub("", clean(alert.message))
    cells = (Cell("" if indent else str(state), state.tone), Cell(message), Cell(ago(alert.since, now), "muted"))
    return Line(alert_key(alert), cells)


def detail(severity: str, code: str, message: str, hint: str) -> Content:
    """Return an alert or a kind in full, with what ends it."""
    state = mark(SEVERITY, severity)
    head = Content.styled(f"{state} ", f"bold {content_style(state.tone)}") + Content.styled(clean(code), "$text-muted")
    do = Content.styled("do: ", "$text-muted") + Content.styled(clean(hint), "$text-accent")
    return Content("\n").join([head, Content(clean(message)), do])

"""What the deployments screen says. Pure: rows in the shape of the JSON contract in, lines and text out."""

from collections.abc import Sequence
from typing import Any

from textual.content import Content

from tui.marks import HEALTH, VERDICT, mark
from tui.text import clean, short_digest
from tui.theme import content_style
from tui.widgets.table import Cell, Column, Line

COLUMNS = (
    Column("target", "Target", minimum=10, maximum=20),
    Column("state", "State", minimum=8, maximum=12),
    Column("run", "Run", minimum=14, maximum=40, weight=1),
    Column("since", "Since (UTC)", minimum=16, maximum=16),
    Column("overrides", "Overrides", minimum=9, maximum=24),
    Column("health", "Health", minimum=9, maximum=13),
    Column("by", "By", minimum=8, maximum=24, weight=1),
    Column("artifact", "Artifact", minimum=8, maximum=24),
)


def lines(deployments: Sequence[dict[str, Any]]) -> list[Line]:
    """Return one line a deployment; what is over is quiet."""
    found = []
    for at, row in enumerate(deployments):
        live = row["until"] is None
        health = mark(HEALTH, row["health"])
        overrides = ", ".join(row["overrides"])
        cells = (
            Cell(clean(row["target"]), "accent" if live else "muted"),
            Cell("▲ live" if live else "· ended", "accent" if live else "muted"),
            Cell(clean(row["run_name"]), "strong" if live else "muted", f"  {row['run']}"),
            Cell(row["since"][:16].replace("T", " "), "" if live else "muted"),
            Cell(f"! {clean(overrides)}" if overrides else "", "warn" if live else "muted"),
            Cell(str(health) if live else "", health.tone),
            Cell(clean(row["by"]), "muted"),
            Cell(clean(row["artifact"]), "muted", f"  {short_digest(row['digest'])}"),
        )
        found.append(Line(str(at), cells))
    return found


def detail(row: dict[str, Any]) -> Content:
    """Return one deployment in full: what, by whom, why, and the checks as they were."""
    until = f" until {row['until'][:16].replace('T', ' ')}" if row["until"] else ""
    head = f"{clean(row['run_name'])} ({row['run']}) as {clean(row['target'])}"
    lines = [Content.styled(head, "bold") + f"  {clean(row['action'])} by {clean(row['by'])}{until}"]
    lines.append(
        Content.styled(f"{clean(row['artifact'])} {clean(row['path'])}  sha256 {row['digest']}", "$text-muted")
    )
    if row["reason"]:
        lines.append(Content(f"because {clean(row['reason'])}"))
    if row.get("same_domain_allowed") and row["until"] is None:
        lines.append(Content.styled("! registry.toml lets copies on the same disk count", "$text-warning"))
    marks = []
    for check in row["checks"]:
        state = mark(VERDICT, check["verdict"])
        marks.append(Content.styled(f"{state.symbol} {clean(check['check'])}", content_style(state.tone)))
    lines.append(Content("  ").join(marks))
    return Content("\n").join(lines)

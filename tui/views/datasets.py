"""What the data sets screen says. Pure."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from textual.content import Content

from tui.marks import DATASET, STATUS, VERDICT, mark
from tui.text import NOTHING, clean, count, size
from tui.theme import content_style
from tui.views.run import styled_mark
from tui.widgets.table import Cell, Column, Line

if TYPE_CHECKING:
    from tui.facts import DatasetSnapshot

MAX_EXAMPLES, MAX_RUNS = 3, 30
COLUMNS = (
    Column("reference", "Data set", minimum=16, maximum=44, weight=1),
    Column("state", "State", minimum=11, maximum=14),
    Column("runs", "Runs", align="right", minimum=5, maximum=8),
    Column("records", "Records", align="right", minimum=7, maximum=12),
    Column("size", "Size", align="right", minimum=8, maximum=9),
    Column("reason", "Why", minimum=8, maximum=60, weight=1),
)


def lines(datasets: Sequence[dict[str, Any]]) -> list[Line]:
    """Return one line a version."""
    found = []
    for row in datasets:
        state = mark(DATASET, row["state"])
        bad = row["state"] in ("invalid", "deprecated")
        cells = (
            Cell(clean(row["reference"])),
            Cell(str(state), state.tone),
            Cell(f"{row['n_runs']:,}"),
            Cell(f"{row['n_records']:,}" if row["n_records"] is not None else NOTHING, "muted"),
            Cell(size(row["size_bytes"]) if row["n_files"] else NOTHING, "muted"),
            Cell(clean(row["reason"] or ""), "bad" if bad else "muted"),
        )
        found.append(Line(row["reference"], cells, struck=row["state"] == "invalid"))
    return found


def detail(snapshot: "DatasetSnapshot") -> Content:
    """Return one version: its state, its checks with examples of what broke them, and what hangs on it."""
    about, impact = snapshot.about, snapshot.impact
    state = mark(DATASET, impact["state"])
    blocks = [Content.styled(clean(impact["reference"]), "bold") + "  " + styled_mark(state)]
    if impact["reason"]:
        blocks.append(Content.styled(clean(impact["reason"]), content_style(state.tone)))
    if impact["superseded_by"]:
        blocks.append(Content(f"use {clean(impact['superseded_by'])} instead"))
    if about is not None:
        blocks.append(_checks(about))
    blocks.append(_impact(impact))
    return Content("\n\n").join(blocks)


def _checks(about: dict[str, Any]) -> Content:
    title = [Content.styled("Checks", "bold $text-primary")]
    if about["changed"]:
        title.append(Content.styled(f"✗ changed on disk: {clean(', '.join(about['changed']))}", "$text-error"))
    if not about["checks"]:
        return Content("\n").join([*title, Content.styled("never validated", "$text-muted")])
    return Content("\n").join([*title, *(line for check in about["checks"] for line in _check(check))])


def _check(check: dict[str, Any]) -> list[Content]:
    state = mark(VERDICT, check["verdict"])
    said = (
        f"{check['n_violations']:,} of {check['n_checked']:,}" if check["n_violations"] else f"{check['n_checked']:,}"
    )
    head = Content.styled(f"{state.symbol} {clean(check['name'])}", content_style(state.tone))
    lines = [head + Content.styled(f"  {said}", "$text-muted")]
    for example in list(check.get("examples") or ())[:MAX_EXAMPLES]:
        lines.append(Content.styled(f"    {clean(_example(example))}", "$text-muted"))
    return lines


def _example(example: object) -> str:
    if isinstance(example, dict):
        return "  ".join(f"{key} {value}" for key, value in example.items())
    return str(example)


def _impact(impact: dict[str, Any]) -> Content:
    runs, deployments = impact["runs"], impact["deployments"]
    said = f"{count(len(runs), 'run')}, {count(impact['n_metrics'], 'metric')}, "
    said += f"{count(impact['n_gate_verdicts'], 'gate verdict')}, {count(len(impact['reports']), 'report')}"
    lines = [Content.styled("What hangs on it", "bold $text-primary"), Content.styled(said, "$text-muted")]
    for deployment in deployments:
        live = "serves" if deployment["until"] is None else "served"
        text = f"▲ {live} {clean(deployment['target'])}: {deployment['run']}"
        lines.append(Content.styled(text, "$text-accent" if deployment["until"] is None else "$text-muted"))
    for at, run in enumerate(runs[:MAX_RUNS]):
        branch = "└─ " if at == min(len(runs), MAX_RUNS) - 1 else "├─ "
        state = mark(STATUS, run["status"])
        line = Content(branch + clean(run["name"])) + "  " + styled_mark(state)
        lines.append(line + Content.styled(f"  {clean(run['how'])}", "$text-muted"))
    if len(runs) > MAX_RUNS:
        lines.append(Content.styled(f"and {len(runs) - MAX_RUNS:,} more", "$text-muted"))
    return Content("\n").join(lines)

"""What the custody screen says: remotes, artifacts with their copies, one artifact in full. Pure."""

from pathlib import PurePath
from typing import TYPE_CHECKING

from textual.content import Content

from tui.marks import COPY, Mark, mark
from tui.text import NOTHING, ago, clean, count, size
from tui.theme import content_style
from tui.views.run import copy_line
from tui.widgets.table import Cell, Column, Line

if TYPE_CHECKING:
    from registry.copies.overview import ArtifactCustody
    from tui.facts import Custody

PROBE = {
    "ok": Mark("✓", "reached", "ok"),
    "unreachable": Mark("?", "unreachable", "warn"),
    "foreign": Mark("✗", "another place", "bad"),
}
REMOTE_COLUMNS = (
    Column("name", "Remote", minimum=8, maximum=18),
    Column("probe", "Last look", minimum=10, maximum=16),
    Column("age", "When", align="right", minimum=5, maximum=7),
    Column("domain", "Fails with", minimum=10, maximum=24, weight=1),
    Column("class", "Class", minimum=9, maximum=9),
    Column("copies", "Copies", align="right", minimum=6, maximum=9),
    Column("size", "Holds", align="right", minimum=8, maximum=9),
    Column("free", "Free", align="right", minimum=8, maximum=9),
    Column("url", "Place", minimum=12, maximum=60, weight=1),
)
ARTIFACT_COLUMNS = (
    Column("state", "Copies", minimum=12, maximum=18),
    Column("artifact", "Artifact", minimum=16, maximum=60, weight=1),
    Column("run", "Run", minimum=12, maximum=30, weight=1),
    Column("read", "Last read", align="right", minimum=9, maximum=9),
    Column("where", "Where", minimum=10, maximum=30, weight=1),
    Column("size", "Size", align="right", minimum=8, maximum=9),
)


def caption(custody: "Custody", *, everything: bool) -> Content:
    """Return how many artifacts there are, how many are shown, and whether the policy is content with one disk."""
    n_shown = len(custody.artifacts)
    if not custody.n_artifacts:
        return Content("")
    if everything:
        said = f" {count(custody.n_artifacts, 'artifact')}"
        if n_shown < custody.n_artifacts:
            said = f" {n_shown:,} of {count(custody.n_artifacts, 'artifact')}, those that lack copies first"
        parts = [Content.styled(said, "bold")]
    else:
        said = f" {custody.n_unsafe:,} of {count(custody.n_artifacts, 'artifact')} without a verified copy that counts"
        parts = [Content.styled(said, "bold $text-error" if custody.n_unsafe else "bold $text-success")]
        if n_shown < custody.n_unsafe:
            parts.append(Content.styled(f"  the newest {n_shown:,} are listed", "$text-muted"))
    if not custody.require_other_domain:
        parts.append(Content.styled("  copies on the same disk count here (registry.toml)", "$text-warning"))
    return Content("").join(parts)


def remote_lines(custody: "Custody", now: float) -> list[Line]:
    """Return one line a remote."""
    lines = []
    for remote in custody.remotes:
        state = mark(PROBE, remote.probe)
        if remote.trust == "dead":
            state = Mark("✗", "declared dead", "bad")
        free = custody.free_bytes.get(remote.name)
        cells = (
            Cell(clean(remote.name), "strong"),
            Cell(str(state), state.tone),
            Cell(ago(remote.probed_at, now), "muted"),
            Cell(clean(remote.domain)),
            Cell(remote.klass, "muted"),
            Cell(f"{remote.n_copies:,}"),
            Cell(size(remote.size_bytes), "muted"),
            Cell(size(free) if free is not None else NOTHING, "muted"),
            Cell(clean(remote.url), "muted"),
        )
        lines.append(Line(remote.name, cells))
    return lines


def artifact_lines(custody: "Custody", now: float) -> list[Line]:
    """Return one line an artifact: what counts, where, and when it was last read back."""
    return [Line(str(item.artifact.id), _cells(item, now)) for item in custody.artifacts]


def _cells(item: "ArtifactCustody", now: float) -> tuple[Cell, ...]:
    artifact = item.artifact
    read = [copy.verified_at for copy in item.copies if copy.verified_at]
    where = ", ".join(f"{mark(COPY, copy.state).symbol} {clean(copy.remote)}" for copy in item.copies)
    return (
        state_cell(item),
        Cell(
            clean(artifact.role),
            "accent" if artifact.deployed else "strong",
            f"  {clean(PurePath(artifact.path).name)}",
        ),
        Cell(clean(artifact.run_name)),
        Cell(f"{ago(max(read), now)}" if read else "never", "muted" if read else "bad"),
        Cell(where or NOTHING, "muted"),
        Cell(size(artifact.size_bytes), "muted"),
    )


def state_cell(item: "ArtifactCustody") -> Cell:
    """Return how many copies count of how many the policy wants, or what is wrong."""
    wanted = max(item.min_copies, item.num_copies)
    if item.verified_counting >= wanted:
        return Cell(f"✓ {item.verified_counting} of {wanted}", "ok")
    if item.safe:
        return Cell(f"! {item.verified_counting} of {wanted}", "warn")
    if not item.copies:
        return Cell("✗ no copy", "bad")
    if item.n_verified:
        return Cell("✗ same disk", "bad")
    worst = mark(COPY, item.copies[0].state)
    return Cell(str(worst), worst.tone)


def detail(item: "ArtifactCustody") -> Content:
    """Return one artifact in full: each of its copies, and what the policy asks for."""
    artifact = item.artifact
    cell = state_cell(item)
    head = Content.styled(f"{cell.text}  ", f"bold {content_style(cell.tone)}")
    lines = [head + Content(f"{clean(artifact.role)} {clean(artifact.path)} of {clean(artifact.run_name)}")]
    lines += [copy_line(copy.as_json()) for copy in item.copies]
    if not item.copies:
        lines.append(Content("no copy anywhere: if this disk dies, it is gone"))
    asks = f"the policy asks for {item.min_copies}"
    asks += f", better {item.num_copies}" if item.num_copies > item.min_copies else ""
    lines.append(Content.styled(f"{item.verified_counting} verified copies count; {asks}", "$text-muted"))
    return Content("\n").join(lines)

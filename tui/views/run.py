"""What the run screen says: overview, gates, artifacts, events, lineage. Pure: a `RunDetail` in, text and lines out."""

from typing import TYPE_CHECKING, Any

from rich.cells import cell_len
from textual.content import Content

from registry import clock
from tui.columns import BASIS_SIGNS, progress
from tui.marks import COPY, DATASET, STATUS, VERDICT, Mark, mark
from tui.text import NOTHING, ago, bar, clean, count, duration, fit, number, short_digest, size
from tui.theme import content_style
from tui.widgets.table import Cell, Column, Line

if TYPE_CHECKING:
    from registry.queries import RunDetail

LABEL_WIDTH = 12
ROOT_WIDTH = 30

GATE_COLUMNS = (
    Column("gate", "Gate", minimum=14, maximum=40, weight=1),
    Column("verdict", "Verdict", minimum=9, maximum=14),
    Column("observed", "Observed", align="right", minimum=8, maximum=16),
    Column("target", "Target", minimum=8, maximum=18),
    Column("metric", "Metric", minimum=8, maximum=28),
    Column("step", "Step", align="right", minimum=5, maximum=9),
)
ARTIFACT_COLUMNS = (
    Column("role", "Role", minimum=6, maximum=12),
    Column("copies", "Copies", minimum=10, maximum=20),
    Column("path", "File", minimum=14, maximum=60, weight=1),
    Column("size", "Size", align="right", minimum=8, maximum=10),
    Column("step", "Step", align="right", minimum=5, maximum=9),
    Column("digest", "Sha256", minimum=12, maximum=12),
)
EVENT_COLUMNS = (
    Column("at", "When", align="right", minimum=8, maximum=12),
    Column("kind", "What", minimum=8, maximum=12),
    Column("text", "", minimum=20, maximum=200, weight=1),
)


def styled_mark(state: Mark) -> Content:
    """Return a mark in its tone."""
    return Content.styled(str(state), content_style(state.tone))


def _field(label: str, value: Content | str) -> Content:
    return Content.styled(label.ljust(LABEL_WIDTH), "$text-muted") + value


def title(detail: "RunDetail", now: float) -> Content:
    """Return the line above the tabs: name, state, progress, id."""
    run = detail.summary
    parts = [
        Content.styled(f" {clean(run.name)}", "bold"),
        styled_mark(mark(STATUS, run.status)),
        Content.styled(f"{run.id}  {clean(run.experiment)}", "$text-muted"),
    ]
    share, left_s = progress(run, now)
    if share is not None:
        left = f", {duration(left_s)} left" if left_s else ""
        parts.insert(2, Content.styled(f"{bar(share, 10)} {share:.0%}{left}", "$text-primary"))
    if run.deployed_to:
        parts.append(Content.styled(f"▲ {clean(', '.join(run.deployed_to))}", "$text-accent"))
    return Content("  ").join(parts)


# --- overview


def overview(detail: "RunDetail", now: float) -> tuple[Content, Content]:
    """Return the overview in two halves: how it stands and what it achieved; what went in and where it came from."""
    left = [_standing(detail, now), _targets(detail), _best(detail)]
    right = [_params(detail), _data(detail), _origin(detail)]
    return _blocks(left), _blocks(right)


def _blocks(blocks: list[Content | None]) -> Content:
    return Content("\n\n").join([block for block in blocks if block is not None])


def _block(heading: str, lines: list[Content]) -> Content:
    return Content("\n").join([Content.styled(heading, "bold $text-primary"), *lines])


def _standing(detail: "RunDetail", now: float) -> Content:
    run = detail.summary
    lines = [_field("status", styled_mark(mark(STATUS, run.status)) + Content(f"  {clean(run.evidence)}"))]
    if run.invalid:
        lines.append(_field("invalid", Content.styled(f"✗ {clean(run.invalid)}", "$text-error")))
    lines.append(_field("started", f"{_moment(run.started_at)}  {ago(run.started_at, now)} ago, took {_took(detail)}"))
    if run.status == "running":
        lines.append(_field("heartbeat", f"{ago(run.heartbeat_at, now)} ago"))
    if run.segment:
        lines.append(_field("segments", f"{run.segment + 1}: it was resumed, or a step went back"))
    if run.cost is not None:
        lines.append(_field("cost", f"{run.cost:,.2f}"))
    if run.tags:
        lines.append(_field("tags", clean(", ".join(run.tags))))
    return _block("Run", lines)


def _took(detail: "RunDetail") -> str:
    return duration(detail.summary.duration_s)


def _moment(at: float | None) -> str:
    iso = clock.iso(at)
    return f"{iso[:10]} {iso[11:19]} UTC" if iso else NOTHING


def _targets(detail: "RunDetail") -> Content | None:
    if not detail.gates:
        return None
    suites = {gate["suite"] for gate in detail.gates}
    names = [clean(gate["name"] if len(suites) == 1 else _gate_name(gate)) for gate in detail.gates]
    width = min(36, max(map(cell_len, names)))
    n_pass = sum(gate["verdict"] == "pass" for gate in detail.gates)
    said = f"{clean(next(iter(suites)))}, " if len(suites) == 1 else ""
    lines = [Content.styled(f"{said}{n_pass} of {len(detail.gates)} pass", "$text-muted")]
    for gate, name in zip(detail.gates, names, strict=True):
        state = mark(VERDICT, gate["verdict"])
        lines.append(
            Content.styled(f"{state.symbol} {state.word.ljust(5)} ", content_style(state.tone))
            + Content(f"{fit(name, width)} {number(gate['observed']).rjust(9)}")
            + Content.styled(f"  {_target(gate)}", "$text-muted")
        )
    return _block("Targets and what was achieved", lines)


def _gate_name(gate: dict[str, Any]) -> str:
    return f"{gate['suite']}/{gate['name']}"


def _target(gate: dict[str, Any]) -> str:
    threshold = gate["threshold"]
    text = number(threshold) if isinstance(threshold, int | float) else clean(threshold)
    return f"{clean(gate['op'])} {text}"


def _best(detail: "RunDetail") -> Content | None:
    metrics = [m for m in detail.summary.metrics.values() if not m.name.startswith(("system/", "sys/"))]
    if not metrics:
        return None
    width = min(34, max(cell_len(clean(metric.name)) for metric in metrics))
    lines = []
    for metric in metrics:
        at = f" @{metric.shown_step:,}" if metric.shown_step is not None else ""
        basis = "" if metric.basis == "measured" else f"  {metric.basis}"
        bad = f"  {count(metric.non_finite, 'value')} not finite" if metric.non_finite else ""
        lines.append(
            Content(fit(clean(metric.name), width))
            + Content.styled(f"  {BASIS_SIGNS.get(metric.basis, '?')}{number(metric.shown)}".rjust(12), "bold")
            + Content.styled(f"{at}{basis}".ljust(8), "$text-muted")
            + Content.styled(f"  last {number(metric.last)}", "$text-muted")
            + Content.styled(bad, "$text-error")
        )
    return _block("Metrics, best by their goal", lines)


def _params(detail: "RunDetail") -> Content | None:
    params = detail.summary.params
    if not params:
        return None
    width = min(26, max(cell_len(clean(key)) for key in params))
    lines = [Content.styled(fit(clean(key), width), "$text-muted") + f"  {clean(v)}" for key, v in params.items()]
    return _block("Parameters", lines)


def _data(detail: "RunDetail") -> Content | None:
    if not detail.datasets:
        return None
    lines = []
    for use in detail.datasets:
        state = mark(DATASET, use["state"])
        why = f"  {clean(use['reason'])}" if use.get("reason") else ""
        reference = clean(f"{use['name']}@{use['version']}")
        lines.append(Content.styled(use["role"].ljust(8), "$text-muted") + reference + "  " + styled_mark(state) + why)
    return _block("Data", lines)


def _origin(detail: "RunDetail") -> Content:
    lines = []
    if detail.command:
        lines.append(_field("command", clean(" ".join(detail.command))))
    lines.append(_field("folder", clean(detail.cwd)))
    if detail.git:
        commit, branch = str(detail.git.get("commit", ""))[:12], detail.git.get("branch") or ""
        dirty = {True: "  with changes that are not committed", None: "  perhaps changed"}.get(
            detail.git.get("dirty"), ""
        )
        lines.append(_field("git", Content(clean(f"{commit} {branch}")) + Content.styled(dirty, "$text-warning")))
    device, host = detail.device, detail.host
    if device:
        gpus = ", ".join(map(str, device.get("gpus", [])))
        lines.append(_field("device", clean(gpus or f"{device.get('cpu', '')}, {device.get('cores', '?')} cores")))
    if host:
        lines.append(
            _field("host", clean(f"{host.get('name', '')}  pid {host.get('pid', '?')}  {host.get('python', '')}"))
        )
    if detail.exit_code is not None:
        lines.append(_field("exit code", str(detail.exit_code)))
    if detail.environment:
        lines.append(_field("environment", f"{count(len(detail.environment), 'variable')} (names only)"))
    return _block("Where it came from", lines)


# --- gates, artifacts


def gate_lines(detail: "RunDetail") -> list[Line]:
    """Return one line a gate; optional ones are quieter."""
    lines = []
    for gate in detail.gates:
        state = mark(VERDICT, gate["verdict"])
        step = f"{gate['step']:,}" if gate["step"] is not None else ""
        sign = BASIS_SIGNS.get(gate["basis"] or "measured", "?")
        cells = (
            Cell(clean(_gate_name(gate)), "" if gate["required"] else "muted"),
            Cell(str(state), state.tone),
            Cell(f"{sign}{number(gate['observed'])}"),
            Cell(_target(gate)),
            Cell(clean(gate["metric"]), "muted"),
            Cell(step, "muted"),
        )
        lines.append(Line(_gate_name(gate), cells))
    return lines


def gate_detail(gate: dict[str, Any]) -> Content:
    """Return one gate in full: its verdict and the reason."""
    state = mark(VERDICT, gate["verdict"])
    stage = f"  stage {clean(gate['stage'])}" if gate["stage"] else ""
    required = "required" if gate["required"] else "informational, it refuses nothing"
    interval = f"  [{number(gate['low'])}, {number(gate['high'])}]" if gate["low"] is not None else ""
    head = styled_mark(state) + Content(
        f"  {clean(gate['metric'])} {_target(gate)}  observed {number(gate['observed'])}"
    )
    return Content("\n").join(
        [head + interval, Content(clean(gate["reason"])), Content.styled(f"{required}{stage}", "$text-muted")]
    )


def artifact_lines(detail: "RunDetail") -> list[Line]:
    """Return one line an artifact with the state of its copies."""
    lines = []
    for artifact in detail.artifacts:
        cells = (
            Cell(clean(artifact["role"]), "strong"),
            copies_cell(artifact),
            Cell(clean(artifact["path"])),
            Cell(size(artifact["size_bytes"]), "muted"),
            Cell(f"{artifact['step']:,}" if artifact["step"] is not None else "", "muted"),
            Cell(short_digest(artifact["digest"]), "muted"),
        )
        lines.append(Line(str(artifact["id"]), cells))
    return lines


def copies_cell(artifact: dict[str, Any]) -> Cell:
    """Return how many copies of an artifact count, or what is wrong with those there are."""
    n = artifact["verified_counting"]
    if n:
        return Cell(f"✓ {n} verified", "ok")
    if not artifact["copies"]:
        return Cell("✗ no copy", "bad")
    worst = artifact["copies"][0]
    state = mark(COPY, worst["state"])
    return Cell("! does not count", "warn") if worst["state"] == "verified" else Cell(str(state), state.tone)


def artifact_detail(artifact: dict[str, Any], now: float) -> Content:
    """Return one artifact in full: each of its copies with state, age and reason."""
    lines = [
        Content.styled(clean(artifact["path"]), "bold"),
        Content.styled(f"sha256 {artifact['digest']}", "$text-muted"),
    ]
    if not artifact["copies"]:
        lines.append(Content.styled("✗ no copy anywhere: if this disk dies, it is gone", "$text-error"))
    for copy in artifact["copies"]:
        lines.append(copy_line(copy))
    return Content("\n").join(lines)


def copy_line(copy: dict[str, Any]) -> Content:
    """Return one copy: remote, state, when it was read back, whether it counts and why not."""
    state = mark(COPY, copy["state"])
    read = f"read back {copy['verified_at'][:16].replace('T', ' ')} UTC" if copy["verified_at"] else "never read back"
    counts = Content("") if copy["counts"] else Content.styled("  does not count", "$text-warning")
    why = Content.styled(f"  {clean(copy['reason'])}", "$text-muted") if copy["reason"] else Content("")
    head = Content.styled(f"{state.symbol} {state.word.ljust(11)}", content_style(state.tone))
    return head + Content(f"{clean(copy['remote'])} ({clean(copy['domain'])})  ") + read + counts + why


# --- events, lineage


def event_lines(detail: "RunDetail") -> list[Line]:
    """Return what happened to the run in the order of time: its start, segments, artifacts, notes, its end."""
    run = detail.summary
    happened: list[tuple[str, str, str, str]] = [(clock.iso(run.started_at) or "", "start", "it began", "muted")]
    for segment in detail.segments:
        if segment["at"]:
            text = f"segment {segment['number']}: {segment['reason']}"
            if segment.get("metric"):
                text += f" of {segment['metric']}, from step {segment['from_step']} back to {segment['to_step']}"
            happened.append((segment["at"], "segment", text, "warn"))
    for artifact in detail.artifacts:
        text = f"{artifact['role']}  {artifact['path']}  {size(artifact['size_bytes'])}"
        happened.append((artifact["recorded_at"], "artifact", text, ""))
    for evaluation in detail.evaluations:
        what = evaluation["subject"] or short_digest(evaluation["digest"])
        values = ", ".join(f"{name} {number(found['value'])}" for name, found in evaluation["values"].items())
        happened.append((evaluation["at"], "evaluation", f"{what}: {values}", ""))
    for note in detail.notes:
        tone = {"warning": "warn", "error": "bad"}.get(note["level"], "")
        happened.append((note["at"], note["level"], note["text"], tone))
    for deployment in detail.deployments:
        happened.append((deployment["since"], "deployed", f"to {deployment['target']} by {deployment['by']}", "accent"))
    if run.ended_at:
        happened.append(
            (clock.iso(run.ended_at) or "", "end", f"{run.status}: {run.evidence}", mark(STATUS, run.status).tone)
        )
    started = run.started_at or 0.0
    return [_event(at, kind, text, tone, started, k) for k, (at, kind, text, tone) in enumerate(sorted(happened))]


def _event(at: str, kind: str, text: str, tone: str, started: float, number_in_order: int) -> Line:
    from datetime import datetime

    moment = datetime.fromisoformat(at).timestamp() if at else started
    cells = (Cell(f"+{duration(moment - started)}", "muted"), Cell(clean(kind), tone), Cell(clean(text)))
    return Line(str(number_in_order), cells)


def lineage(detail: "RunDetail") -> Content:
    """Return where the run comes from and what came of it: parent, children, data, artifacts, deployments."""
    run = detail.summary
    lines = []
    indent = ""
    if detail.parent:
        lines.append(_relative(detail.parent))
        indent = "└─ "
    here = Content(indent) + Content.styled(clean(run.name), "bold") + "  " + styled_mark(mark(STATUS, run.status))
    lines.append(here)
    pad = " " * len(indent)
    branches: list[Content] = []
    for use in detail.datasets:
        state = mark(DATASET, use["state"])
        what = clean(f"{use['name']}@{use['version']}")
        branches.append(
            Content.styled(f"reads ({clean(use['role'])}) ", "$text-muted") + what + "  " + styled_mark(state)
        )
    for artifact in detail.artifacts:
        cell = copies_cell(artifact)
        made = Content.styled("made ", "$text-muted") + clean(f"{artifact['role']} {artifact['path']}")
        branches.append(made + "  " + Content.styled(cell.text, content_style(cell.tone)))
    for deployment in detail.deployments:
        until = f" until {deployment['until'][:10]}" if deployment.get("until") else ", now"
        said = f"{deployment['target']} since {deployment['since'][:10]}{until}"
        branches.append(Content.styled("serves ", "$text-muted") + Content.styled(clean(said), "$text-accent"))
    links = {link["run_id"]: link for link in detail.chain}
    for child in detail.children:
        beside = _link(links[child["id"]]) if child["id"] in links else Content.styled("child ", "$text-muted")
        branches.append(beside + _relative(child))
    for at, branch in enumerate(branches):
        lines.append(Content(pad + ("└─ " if at == len(branches) - 1 else "├─ ")) + branch)
    return Content("\n").join(lines)


def _link(link: dict[str, Any]) -> Content:
    """Return one attempt of a chain of stages: which, whether its gates let it go on, and what it changed."""
    passed, total = link["gates"].get("pass", 0), sum(link["gates"].values())
    verdict = Content.styled("✓ passed", "$text-success") if link["passed"] else Content.styled("✗ held", "$text-error")
    changes = ", ".join(f"{key} {before}→{after}" for key, (before, after) in sorted(link["changed"].items()))
    stage = Content.styled("stage ", "$text-muted") + Content.styled(clean(str(link["stage"])), "bold")
    words = f" try {link['attempt']}  gates {passed}/{total}{f'  {clean(changes)}' if changes else ''}  "
    return stage + Content(" ") + verdict + Content.styled(words, "$text-muted")


def _relative(run: dict[str, Any]) -> Content:
    state = mark(STATUS, run["status"])
    return Content(f"{clean(run['name'])}  ") + styled_mark(state) + Content.styled(f"  {run['id']}", "$text-muted")

"""Reading runs: `ls`, `show`, `log`."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from registry import clock
from registry.cli.context import context
from registry.cli.output import number, out, size, word

if TYPE_CHECKING:
    from rich.text import Text

    from registry.queries import MetricSummary, RunDetail, RunPage, RunSummary

DEFAULT_LIMIT = 50


def ls(
    experiment: Annotated[str | None, typer.Option("--experiment", "-e", help="Only this experiment.")] = None,
    status: Annotated[list[str] | None, typer.Option(help="Only this status. Repeatable.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="Only runs with this tag. Repeatable.")] = None,
    find: Annotated[str | None, typer.Option("--find", help="Only runs whose name or id holds this.")] = None,
    expression: Annotated[
        str | None,
        typer.Option("--filter", metavar="EXPR", help="Only runs that match: 'val/loss<0.3 params.lr>1e-3 tag:good'."),
    ] = None,
    sort_by: Annotated[
        str, typer.Option(help="started, ended, name, status, experiment, a metric (its best), or last:METRIC.")
    ] = "started",
    sort_order: Annotated[str | None, typer.Option(metavar="asc|desc", help="Direction of the sort.")] = None,
    columns: Annotated[str | None, typer.Option(help="Metrics to show, separated by commas.")] = None,
    limit: Annotated[int | None, typer.Option("--limit", "-n", min=0, help="At most this many (0: all).")] = None,
    deleted: Annotated[bool, typer.Option("--deleted", help="Show removed runs instead.")] = False,
) -> None:
    """List the runs, newest first, with the best value of each metric and the step it was reached at."""
    from registry.queries import RunFilter, list_runs

    options = context()
    wanted = RunFilter(
        experiment=experiment,
        statuses=tuple(status or ()),
        tags=tuple(tag or ()),
        text=find,
        deleted=deleted,
        expression=expression,
    )
    limit = (0 if options.json else DEFAULT_LIMIT) if limit is None else limit
    db = options.db()
    with db.read() as session:
        page = list_runs(
            session, db.settings, wanted, sort_by=sort_by, descending=descending(sort_order), limit=limit or None
        )
    if options.json:
        out.json([run.as_json() for run in page.rows])
    else:
        _print_page(page, [name for name in (columns or "").split(",") if name])


def descending(sort_order: str | None) -> bool | None:
    """Return what `--sort-order` asks for, None when it is left to the column. Raises UsageError."""
    from registry.errors import UsageError

    if sort_order not in (None, "asc", "desc"):
        raise UsageError(f"--sort-order {sort_order!r}", hint="write asc or desc")
    return None if sort_order is None else sort_order == "desc"


def _print_page(page: "RunPage", columns: list[str]) -> None:
    if not page.rows:
        out.line("no runs yet: registry run -- python train.py" if not page.n_total else "no run matches")
        return
    names = columns or _likely_columns(page)
    costs = ["cost"] if any(run.cost is not None for run in page.rows) else []
    heads = ["id", "name", "experiment", "status", "started", *names, "gates", "copies", *costs, "deployed"]
    rows = [_row(run, names, with_cost=bool(costs)) for run in page.rows]
    out.table(heads, rows, numeric=[*names, *costs], foot=_count(page))


def _count(page: "RunPage") -> str:
    shown = f"{len(page.rows)} of {page.n_matching:,} runs"
    return shown if page.n_matching == page.n_total else f"{shown} that match, {page.n_total:,} in all"


def _likely_columns(page: "RunPage") -> list[str]:
    """Return the two or three metrics that most runs are judged by."""
    counts: dict[str, int] = {}
    for run in page.rows:
        primary = run.primary()
        for metric in run.metrics.values():
            if metric.goal:
                counts[metric.name] = counts.get(metric.name, 0) + (5 if metric is primary else 1)
    return sorted(sorted(counts, key=lambda name: (-counts[name], name))[:3])


def best_cell(metric: "MetricSummary | None", precision: int = 4) -> "Text":
    """Return a metric for a table: its best and the step, `≈` when it was not measured, what was not finite."""
    from rich.text import Text

    if metric is None:
        return Text("·", style="dim")
    cell = Text("" if metric.basis == "measured" else "≈")
    cell.append(number(metric.shown, precision))
    if metric.shown_step is not None and metric.count > 1:
        cell.append(f"@{metric.shown_step}", style="dim")
    if metric.non_finite:
        cell.append(f" ({metric.non_finite} not finite)", style="red")
    return cell


def _row(run: "RunSummary", names: list[str], *, with_cost: bool) -> list[Any]:
    from rich.text import Text

    name = Text(run.name, style="strike" if run.invalid else "")
    return [
        Text(run.id, style="cyan"),
        name,
        run.experiment,
        word(run.status),
        (clock.iso(run.started_at) or "")[:16].replace("T", " "),
        *(best_cell(run.metrics.get(metric)) for metric in names),
        gates_cell(run.gates),
        copies_cell(run.n_artifacts, run.n_unverified),
        *(["" if run.cost is None else f"{run.cost:.2f}"] if with_cost else []),
        Text(("INVALID " if run.invalid else "") + ", ".join(run.deployed_to), style="red" if run.invalid else "green"),
    ]


def gates_cell(gates: dict[str, int]) -> "Text":
    """Return `4/5` gates passed, with the colour of the worst verdict."""
    from rich.text import Text

    total = sum(gates.values())
    if not total:
        return Text("·", style="dim")
    passed = gates.get("pass", 0)
    style = "green" if passed == total else "red" if gates.get("fail") else "yellow"
    return Text(f"{passed}/{total} {'✓' if passed == total else '✗' if gates.get('fail') else '?'}", style=style)


def copies_cell(total: int, unverified: int) -> "Text":
    """Return how many artifacts have no verified copy elsewhere."""
    from rich.text import Text

    if not total:
        return Text("·", style="dim")
    if unverified:
        return Text(f"! {unverified} of {total} without", style="yellow")
    return Text(f"✓ {total}", style="green")


def show(
    run: Annotated[str, typer.Argument(metavar="RUN", help="id, name, @target, latest or best:METRIC.")],
    trace: Annotated[
        str | None,
        typer.Option("--trace", metavar="METRIC[@STEP]", help="Where this value stands in the log it came from."),
    ] = None,
) -> None:
    """Show everything about one run: metrics, gates, artifacts and their copies, data sets, how it ended."""
    from registry.queries import show_run
    from registry.selectors import select_run

    options = context()
    db = options.db()
    if trace is not None:
        from registry.cli.trace import show_trace

        with db.read() as session:
            show_trace(session, select_run(session, run).id, trace)
        return
    with db.read() as session:
        detail = show_run(session, db.settings, select_run(session, run).id)
    if options.json:
        out.json(detail.as_json())
    else:
        _print_detail(detail)


def _print_detail(detail: "RunDetail") -> None:
    run = detail.summary
    out.line(f"{run.name}  {run.id}", style="bold")
    for label, value in _facts(detail):
        out.line(f"  {label:<11}{value}")
    if run.invalid:
        out.line(f"  INVALID    {run.invalid}", style="bold red")
    _print_metrics(run)
    _print_gates(detail.gates)
    _print_artifacts(detail.artifacts)
    if detail.datasets:
        rows = [(d["role"], f"{d['name']}@{d['version']}", word(d["state"]), d["reason"]) for d in detail.datasets]
        out.table(["role", "data set", "state", "reason"], rows, title="Data sets")
    if detail.chain:
        _print_chain(detail.chain)
    elif detail.children:
        children = [(child["id"], child["name"], word(child["status"])) for child in detail.children]
        out.table(["id", "name", "status"], children, title="Children")
    for note in detail.notes[-10:]:
        out.line(f"  {note['level']}: {note['text']}", style="yellow" if note["level"] == "warning" else "dim")


def _print_chain(chain: list[dict[str, Any]]) -> None:
    """Draw the stages of a chain: each attempt with what it changed, and whether it went on."""
    rows = [
        (
            link["run_id"],
            f"{'→ ' if link['attempt'] == 1 else '↻ '}{link['stage']}",
            link["attempt"],
            word(link["status"]),
            word("pass" if link["passed"] else "fail"),
            gates_cell(link["gates"]),
            ", ".join(f"{key} {before} → {after}" for key, (before, after) in link["changed"].items()),
        )
        for link in chain
    ]
    out.table(["id", "stage", "try", "status", "went on", "gates", "changed"], rows, title="Stages", numeric=["try"])


def _facts(detail: "RunDetail") -> list[tuple[str, str]]:
    run, git = detail.summary, detail.git
    took = "" if run.duration_s is None else f", took {clock.age(run.duration_s)}"
    facts = [
        ("experiment", run.experiment),
        ("status", f"{run.status}{f' ({run.evidence})' if run.evidence else ''}"),
        ("started", f"{clock.iso(run.started_at) or 'unknown'}{took}"),
        ("command", " ".join(detail.command)),
        ("git", f"{git['commit'][:12]}{' with changes' if git['dirty'] else ''}" if git else "no repository"),
        ("machine", f"{detail.host.get('name', 'unknown')}, {detail.device.get('cpu', 'unknown')}"),
        ("params", "  ".join(f"{key}={value}" for key, value in run.params.items())),
        ("tags", ", ".join(run.tags)),
        ("deployed", ", ".join(run.deployed_to)),
        ("segments", f"{len(detail.segments)} (it began anew)" if len(detail.segments) > 1 else ""),
        ("cost", "" if run.cost is None else f"{run.cost:.2f}"),
    ]
    return [(label, value) for label, value in facts if value]


def _print_metrics(run: "RunSummary") -> None:
    rows = [
        (
            name,
            best_cell(metric, 6),
            number(metric.last, 6) if metric.count else "",
            metric.last_step,
            metric.goal or "",
            metric.basis,
            f"{metric.count:,}",
        )
        for name, metric in run.metrics.items()
    ]
    if rows:
        heads = ["metric", "best@step", "last", "step", "goal", "basis", "points"]
        out.table(heads, rows, title="Metrics", numeric=["best@step", "last", "step", "points"])


def threshold_text(gate: dict[str, Any]) -> str:
    """Return a gate's requirement: `>= 0.02`, `between 0.1 and 0.2`."""
    wanted = gate["threshold"]
    if isinstance(wanted, list):
        return f"{gate['op']} {' and '.join(number(value) for value in wanted)}"
    return f"{gate['op']} {number(wanted)}"


def _print_gates(gates: list[dict[str, Any]]) -> None:
    from registry.cli.gates import beside_words, observed_words

    rows = [
        (
            f"{gate['suite']}{'/' + gate['stage'] if gate['stage'] else ''}",
            gate["name"] if gate["required"] else f"{gate['name']} (advisory)",
            gate["metric"],
            threshold_text(gate),
            observed_words(gate["observed"], gate["low"], gate["high"], gate["basis"]),
            gate["step"],
            word(gate["verdict"]),
            ", ".join(beside_words(score["name"], score["value"], score["must"]) for score in gate["beside"]),
            gate["reason"],
        )
        for gate in gates
    ]
    if rows:
        heads = ["suite", "gate", "metric", "target", "achieved", "step", "verdict", "beside it", "why"]
        out.table(heads, rows, title="Gates", numeric=["achieved", "step"])


def _print_artifacts(artifacts: list[dict[str, Any]]) -> None:
    rows = [
        (
            artifact["role"],
            artifact["path"],
            artifact["digest"][:12],
            size(artifact["size_bytes"]),
            artifact["step"],
            ", ".join(f"{copy['remote']}: {copy['state']}" for copy in artifact["copies"]) or "no copy anywhere else",
        )
        for artifact in artifacts
    ]
    if rows:
        heads = ["role", "path", "sha256", "size", "step", "copies"]
        out.table(heads, rows, title="Artifacts", numeric=["size", "step"])


def log(
    run: Annotated[str, typer.Argument(metavar="RUN", help="id, name, @target, latest or best:METRIC.")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until the run ends.")] = False,
    lines: Annotated[int, typer.Option("--lines", "-n", min=0, help="At most the last N lines (0: all).")] = 0,
) -> None:
    """Print what a run said (`output.log`); a run without one shows its notes."""
    from registry import places
    from registry.selectors import select_run

    db = context().db()
    with db.read() as session:
        found = select_run(session, run)
        run_id, path = found.id, db.root / (found.folder or "") / places.OUTPUT_NAME
    if found.folder is None or not path.exists():
        out.warn(f"run {run_id} kept no output; `registry show {run_id}` has its notes")
        return
    for block in _output_blocks(path, lines, follow, run_id):
        out.raw(block)


def _output_blocks(path: Any, lines: int, follow: bool, run_id: str) -> Any:
    """Yield the bytes of an output file, then what is added until the run ends."""
    import time

    from registry.catchup import catch_up
    from registry.tables import RunRow

    db = context().db()
    with open(path, "rb") as file:
        if lines:
            file.seek(_offset_of_last_lines(path, lines))
        while True:
            while block := file.read(1 << 16):
                yield block
            if not follow:
                return
            catch_up(db)
            with db.read() as session:
                row = session.get(RunRow, run_id)
            follow = row is not None and row.status == "running"
            if follow:
                time.sleep(0.3)


def _offset_of_last_lines(path: Any, lines: int) -> int:
    """Return where the last `lines` lines begin, reading the file backwards."""
    with open(path, "rb") as file:
        end = file.seek(0, 2)
        position, tail = end, b""
        while position > 0 and tail.count(b"\n") <= lines:
            position = max(0, position - (1 << 16))
            file.seek(position)
            tail = file.read(end - position)
    parts = tail.rstrip(b"\n").split(b"\n")
    kept = b"\n".join(parts[-lines:])
    return position + tail.rstrip(b"\n").rfind(kept) if kept else position

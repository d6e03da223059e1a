"""Runs side by side: `compare`, `diff`."""

from typing import TYPE_CHECKING, Annotated

import typer

from registry.cli.context import context
from registry.cli.output import number, out

if TYPE_CHECKING:
    from rich.text import Text

    from registry.comparison import Cell, Comparison, Group
    from registry.queries import RunSummary

Runs = Annotated[list[str], typer.Argument(metavar="RUN…", help="ids, names, @target, latest or best:METRIC.")]


def compare(
    runs: Annotated[list[str] | None, typer.Argument(metavar="RUN…", help="Runs (default: the newest ten).")] = None,
    experiment: Annotated[str | None, typer.Option("--experiment", "-e", help="All runs of this experiment.")] = None,
    only_changed: Annotated[bool, typer.Option("--only-changed", help="Leave out what is the same in all.")] = False,
    sort_by: Annotated[str | None, typer.Option(help="A metric (its best), last:METRIC, started, name.")] = None,
    sort_order: Annotated[str | None, typer.Option(metavar="asc|desc", help="Direction of the sort.")] = None,
    columns: Annotated[str | None, typer.Option(help="Params and metrics to show, separated by commas.")] = None,
    precision: Annotated[int, typer.Option(min=1, max=17, help="Significant digits.")] = 4,
    baseline: Annotated[str | None, typer.Option(metavar="RUN", help="Show differences to this run.")] = None,
    best: Annotated[bool, typer.Option("--best/--last", help="The best value by goal, or the last.")] = True,
    group_by: Annotated[
        str | None, typer.Option(help="One row for runs that differ only in this param (seed): mean ± sd, n.")
    ] = None,
    md: Annotated[bool, typer.Option("--md", help="Print Markdown.")] = False,
    csv: Annotated[bool, typer.Option("--csv", help="Print CSV, full precision, one row a run.")] = False,
) -> None:
    """Compare runs: the params that differ, each metric's best@step, the gates; `*` marks the best."""
    from registry import comparison as side_by_side

    chosen, baseline_id = _chosen(runs or [], experiment, sort_by, sort_order, baseline)
    names = [name for name in (columns or "").split(",") if name]
    if group_by:
        _print_groups(side_by_side.group_by(chosen, group_by.split(","), last=not best), names, precision, md, csv)
        return
    found = side_by_side.compare(
        chosen, baseline_id=baseline_id, last=not best, only_changed=only_changed, columns=names
    )
    if context().json:
        out.json(found.as_json())
    elif csv:
        out.text(side_by_side.as_csv(*side_by_side.plain_rows(found)))
    elif md:
        out.text(side_by_side.as_markdown(*side_by_side.rows_of(found, precision)))
    else:
        _print(found, precision)


def _chosen(
    words: list[str], experiment: str | None, sort_by: str | None, sort_order: str | None, baseline: str | None
) -> "tuple[list[RunSummary], str | None]":
    """Return the runs to compare, in the order asked for, and the baseline's id."""
    from registry.cli.runs import descending
    from registry.errors import NotFoundError
    from registry.queries import RunFilter, list_runs
    from registry.selectors import select_run, select_runs

    db = context().db()
    with db.read() as session:
        named = [run.id for run in select_runs(session, words)]
        baseline_id = select_run(session, baseline).id if baseline else None
        if baseline_id and named and baseline_id not in named:
            named.insert(0, baseline_id)
        wanted = RunFilter(ids=tuple(named)) if named else RunFilter(experiment=experiment)
        limit = None if named or experiment else 10
        page = list_runs(
            session,
            db.settings,
            wanted,
            sort_by=sort_by or "started",
            descending=descending(sort_order),
            limit=limit,
        )
    if not page.rows:
        raise NotFoundError("no runs to compare", hint="`registry ls` shows what there is")
    rows = list(page.rows)
    if named and sort_by is None:
        rows.sort(key=lambda run: named.index(run.id))
    return rows, baseline_id


def _print(found: "Comparison", precision: int) -> None:
    from registry.comparison import gates_text, param_text

    rows = [["status", *(run.status for run in found.runs)]]
    if any(run.invalid for run in found.runs):
        rows.append(["INVALID", *(run.invalid or "" for run in found.runs)])
    rows += [[name, *map(param_text, values)] for name, values in found.params.items()]
    table: list[list[object]] = [list(row) for row in rows]
    for name, cells in found.metrics.items():
        arrow = {"min": " ↓", "max": " ↑"}.get(found.goals.get(name) or "", "")
        table.append([f"{name}{arrow}", *(cell_words(cell, precision) for cell in cells)])
    table.append(["gates", *(gates_text(run) for run in found.runs)])
    heads = ["", *(f"{run.name}\n{run.id}{' (baseline)' if run.id == found.baseline_id else ''}" for run in found.runs)]
    out.table(heads, table, foot="* best   ↓ less is better   ↑ more is better   ≈ not measured   value@step")


def cell_words(cell: "Cell | None", precision: int) -> "Text":
    """Return a cell with its colours: the best bold, better green and worse red against the baseline."""
    from rich.text import Text

    from registry.comparison import cell_text

    if cell is None:
        return Text("·", style="dim")
    style = "bold" if cell.is_best else ""
    if cell.better is not None:
        style = f"{style} {'green' if cell.better else 'red'}".strip()
    return Text(cell_text(cell, precision), style=style)


def _print_groups(groups: "list[Group]", names: list[str], precision: int, md: bool, csv: bool) -> None:
    from registry.comparison import as_csv, as_markdown

    metrics = names or sorted({name for group in groups for name in group.metrics})
    if context().json:
        out.json(
            [
                {
                    "runs": [run.id for run in group.runs],
                    "params": group.params,
                    "metrics": {name: vars(spread) for name, spread in group.metrics.items()},
                }
                for group in groups
            ]
        )
        return
    heads = ["runs", "n", *metrics]
    rows = [
        [group.runs[0].name, str(len(group.runs)), *(_spread_text(group, name, precision) for name in metrics)]
        for group in groups
    ]
    if md or csv:
        out.text(as_markdown(heads, rows) if md else as_csv(heads, rows))
    else:
        out.table(heads, rows, numeric=["n", *metrics])


def _spread_text(group: "Group", name: str, precision: int) -> str:
    spread = group.metrics.get(name)
    if spread is None:
        return ""
    mean = number(spread.mean, precision)
    return f"{mean} (n=1)" if spread.sd is None else f"{mean} ± {number(spread.sd, 2)} (n={spread.n})"


def diff(
    a: Annotated[str, typer.Argument(metavar="A", help="The run to start from.")],
    b: Annotated[str, typer.Argument(metavar="B", help="The run to compare with it.")],
    precision: Annotated[int, typer.Option(min=1, max=17, help="Significant digits.")] = 4,
) -> None:
    """Show only what differs between two runs; differences are B against A."""
    from registry import comparison as side_by_side
    from registry.selectors import select_run

    with context().db().read() as session:
        base = select_run(session, a).id
    chosen, _ = _chosen([a, b], None, None, None, None)
    found = side_by_side.compare(chosen, baseline_id=base, only_changed=True)
    if context().json:
        out.json(found.as_json())
    else:
        _print(found, precision)

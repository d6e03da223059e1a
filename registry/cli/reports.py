"""Documents: `report compare`, `report leaderboard`, `report card`, `report session`."""

from pathlib import Path
from typing import Annotated

import typer

from registry.cli.context import context
from registry.cli.output import out

report = typer.Typer(
    help="Documents in Markdown, made from the record alone.", no_args_is_help=True, rich_markup_mode=None
)

Out = Annotated[Path | None, typer.Option("--out", "-o", metavar="FILE.md", help="Write it there instead.")]


def _deliver(document: str, path: Path | None) -> None:
    """Write a document to a file, as it is to a pipe, and drawn to a terminal."""
    import sys

    from registry.errors import UsageError

    if path is not None:
        try:
            path.write_text(document)
        except OSError as error:
            raise UsageError(f"cannot write {path}: {error.strerror}") from None
        if not context().quiet:
            out.warn(f"written to {path}")
    elif context().json:
        out.json({"markdown": document})
    elif sys.stdout.isatty():
        from rich.markdown import Markdown

        out.show(Markdown(document))
    else:
        out.text(document)


@report.command("compare")
def compare(
    runs: Annotated[list[str], typer.Argument(metavar="RUN…", help="ids, names, @target, latest or best:METRIC.")],
    baseline: Annotated[str | None, typer.Option(metavar="RUN", help="Show differences to this run.")] = None,
    to: Out = None,
) -> None:
    """Runs side by side: what differs, best@step of each metric, gates, cost, what is not to be relied on."""
    from registry.queries import RunFilter, list_runs
    from registry.reports.tables import compare_report
    from registry.selectors import select_run, select_runs

    db = context().db()
    with db.read() as session:
        ids = [run.id for run in select_runs(session, runs)]
        baseline_id = select_run(session, baseline).id if baseline else None
        if baseline_id and baseline_id not in ids:
            ids.insert(0, baseline_id)
        page = list_runs(session, db.settings, RunFilter(ids=tuple(ids)))
        ordered = sorted(page.rows, key=lambda run: ids.index(run.id))
        document = compare_report(session, ordered, baseline_id)
    _deliver(document, to)


@report.command("leaderboard")
def leaderboard(
    experiment: Annotated[str, typer.Option("--experiment", "-e", help="The experiment whose runs are ranked.")],
    metric: Annotated[str | None, typer.Option(help="Rank by this metric (default: the experiment's own).")] = None,
    to: Out = None,
) -> None:
    """The runs of an experiment, ranked by the best of a metric; invalid runs are listed, not ranked."""
    from registry.reports.tables import leaderboard_report

    db = context().db()
    with db.read() as session:
        document = leaderboard_report(session, db.settings, experiment, metric)
    _deliver(document, to)


@report.command("card")
def card(
    run: Annotated[str, typer.Argument(metavar="RUN", help="id, name, @target, latest or best:METRIC.")],
    to: Out = None,
) -> None:
    """The model card of a run: data and their states, gates, basis of each number, copies, known limits."""
    from registry.alerts import current_alerts
    from registry.reports.card import card_report
    from registry.selectors import select_run

    db = context().db()
    alerts = current_alerts(db, acknowledged=True)
    with db.read() as session:
        document = card_report(session, db.settings, select_run(session, run).id, alerts)
    _deliver(document, to)


@report.command("session")
def session_(
    since: Annotated[str, typer.Option(metavar="24h|DATE", help="24h, 7d, today, or a date.")] = "24h",
    to: Out = None,
) -> None:
    """What ran, what passed, what was decided and deployed, what is at risk, and what it cost since a time."""
    from registry.alerts import current_alerts
    from registry.reports import session as session_reports

    db = context().db()
    begin = session_reports.since(since)
    alerts = current_alerts(db)
    with db.read() as session:
        document = session_reports.session_report(session, db.settings, begin, alerts)
    _deliver(document, to)

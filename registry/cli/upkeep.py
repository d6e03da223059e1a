"""The registry itself: `init`, `status`, `doctor`, `rebuild`, `migrate`."""

from typing import Annotated

import typer

from registry.cli.context import context
from registry.cli.output import out, word


def init() -> None:
    """Make a registry here (`runs.db`), or bring an old one up to date."""
    db = context().db(create=True)
    out.line(f"✓ registry at {db.shown}", style="green")


def status() -> None:
    """Say in a few lines what there is, what runs, what serves, and what is at risk."""
    from registry.alert import SEVERITIES
    from registry.alerts import current_alerts
    from registry.deployments import live_deployments
    from registry.queries import totals

    options = context()
    db = options.db()
    found = current_alerts(db)
    with db.read() as session:
        counts, deployed = totals(session), live_deployments(session, db.settings)
    if options.json:
        severities = {name: sum(alert.severity == name for alert in found) for name in SEVERITIES}
        out.json({"registry": db.shown, "totals": counts, "deployments": deployed, "alerts": severities})
        return
    out.line(f"registry {db.shown}", style="bold")
    out.line(
        f"  {counts['runs']:,} runs in {counts['experiments']:,} experiments, {counts['running']:,} running, "
        f"{counts['points']:,} points"
    )
    out.line(f"  {counts['artifacts']:,} artifacts, {counts['copies']:,} copies on {counts['remotes']:,} remotes")
    for row in deployed:
        overridden = f", overriding {', '.join(row['overrides'])}" if row["overrides"] else ""
        out.line(f"  {row['target']} serves {row['run_name']} ({row['run']}) since {row['since'][:16]}{overridden}")
    if not db.settings.policy.require_other_domain:
        why = f": {db.settings.policy.why}" if db.settings.policy.why else ""
        out.line(f"  copies on the artifact's own file system count here{why}", style="yellow")
    for alert in found[:5]:
        line = word(alert.severity)
        line.append(f"  {alert.message}")
        out.show(line)
    if len(found) > 5:
        out.line(f"  and {len(found) - 5} more: registry alerts", style="dim")


def doctor() -> int:
    """Check the registry itself: its file, rows, unread journals, audit chain, clock, remotes. Exit code 1 if ill."""
    from registry.doctor import examine

    options = context()
    findings = examine(options.db())
    if options.json:
        out.json([vars(finding) for finding in findings])
    else:
        out.table(["check", "verdict", "what was found"], [(f.check, word(f.verdict), f.words) for f in findings])
    return 1 if any(finding.verdict == "fail" for finding in findings) else 0


def rebuild(
    to: Annotated[
        str | None, typer.Option(metavar="FILE", help="Where to (default: beside the old one, which is kept).")
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Make the registry anew from the journals; the old one is kept, and what people decided is carried over."""
    from registry.cli.output import confirm
    from registry.rebuilding import rebuild as make_anew

    confirm("make runs.db anew from the journals? (the old file is kept)", yes)
    report = make_anew(context().db_url, to)
    out.line(f"✓ {report.path}: {report.n_runs:,} runs, {report.n_points:,} points from {report.n_journals:,} journals")
    if report.kept:
        out.line(f"  the old registry is {report.kept}")
    for line in report.warnings:
        out.warn(line)


def migrate(
    to: Annotated[
        str | None,
        typer.Option(metavar="URL", help="Move the record there: postgresql+psycopg://… or a file; must be empty."),
    ] = None,
) -> None:
    """Bring the registry's schema up to date, or move the whole record to another database with --to."""
    from registry.migrations import HEAD

    options = context()
    db = options.db()
    if to is None:
        out.line(f"✓ {db.shown} has schema {HEAD}", style="green")
        return
    from registry.moving import move

    moved = move(db, to)
    if options.json:
        out.json({"address": moved.address, "rows": moved.n_rows})
        return
    out.table(["table", "rows, there and here"], [(name, f"{n:,}") for name, n in moved.n_rows.items()])
    out.line(f"✓ the record is at {moved.address}", style="green")
    out.line(f"  {db.shown} is unchanged; from now on use REGISTRY_DB={moved.address}", style="dim")

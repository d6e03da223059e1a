"""Warnings: `alerts`, `ack`."""

from typing import Annotated, Any

import typer

from registry import clock
from registry.cli.context import context
from registry.cli.output import out, word


def alerts(
    watch: Annotated[bool, typer.Option("--watch", help="Go on, and print what is new.")] = False,
    everything: Annotated[bool, typer.Option("--all", help="Show acknowledged ones too.")] = False,
) -> None:
    """List what is wrong right now, what it is about, and what to type to end it."""
    from registry.alerts import current_alerts

    options = context()
    db = options.db()
    found = current_alerts(db, acknowledged=everything)
    if options.json:
        out.json([alert.as_json() for alert in found])
    else:
        _print(found)
    if watch:
        _watch({(alert.code, alert.subject) for alert in found})


def _print(found: list[Any]) -> None:
    if not found:
        out.line("✓ nothing to warn of", style="green")
        return
    rows = [
        (
            word(alert.severity),
            alert.code,
            alert.message,
            "" if alert.since is None else clock.age(clock.now() - alert.since),
            alert.hint,
        )
        for alert in found
    ]
    out.table(["severity", "code", "what", "for", "to end it"], rows)


def _watch(known: set[tuple[str, str]]) -> None:
    """Print alerts as they come and go, until interrupted."""
    import time

    from registry.alerts import current_alerts

    while True:
        time.sleep(2.0)
        found = current_alerts(context().db())
        fresh = [alert for alert in found if (alert.code, alert.subject) not in known]
        now = {(alert.code, alert.subject) for alert in found}
        for code, subject in sorted(known - now):
            out.line(f"✓ over: {code} {subject}", style="green")
        for alert in fresh:
            out.line(f"{alert.severity}: {alert.message}  ({alert.hint})")
        known = now


def ack(
    code: Annotated[str, typer.Argument(metavar="CODE", help="The alert's code.")],
    subject: Annotated[str, typer.Argument(metavar="SUBJECT", help="What it is about, as `alerts --json` says it.")],
    reason: Annotated[str, typer.Option(help="Why it may stay.")],
) -> None:
    """Say that an alert was seen and may stay, and why. A critical one stays visible all the same."""
    from registry import alerts as alert_record

    alert_record.acknowledge(context().db(), code, subject, reason)
    out.line(f"acknowledged: {code} {subject}")

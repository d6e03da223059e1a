"""Deployment: `promote`, `rollback`, `deployments`, `history`."""

import json
from typing import TYPE_CHECKING, Annotated, Any

import typer

from registry import clock
from registry.cli.context import context
from registry.cli.output import out, word

if TYPE_CHECKING:
    from registry.promotion import Proposal

Target = Annotated[str, typer.Option("--to", metavar="TARGET", help="What it shall serve.")]


def promote(
    run: Annotated[str, typer.Argument(metavar="RUN", help="id, name, @target, latest or best:METRIC.")],
    to: Target = "production",
    artifact: Annotated[str | None, typer.Option(metavar="ROLE", help="Which one (default: the target's).")] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Judge only; change nothing.")] = False,
    override: Annotated[
        list[str] | None, typer.Option(metavar="CHECK", help="Let it pass although this check refuses. Repeatable.")
    ] = None,
    reason: Annotated[str, typer.Option(help="Why; an override needs one.")] = "",
) -> int:
    """Deploy a run's artifact: every check holds and it happens whole, or every reason why not is listed."""
    from registry import promotion
    from registry.selectors import select_run

    options = context()
    db = options.db()
    with db.read() as session:
        run_id = select_run(session, run).id
    wanted = override or []
    if dry_run:
        proposal = promotion.propose(db, run_id, to, role=artifact, overrides=wanted)
        _print_proposal(proposal)
        return 0 if proposal.ok else 3
    proposal = promotion.promote(db, run_id, to, role=artifact, overrides=wanted, reason=reason)
    _print_done(proposal, "serves")
    return 0


def _print_proposal(proposal: "Proposal") -> None:
    if context().json:
        out.json(proposal.as_json())
        return
    rows = [(check.check, word(check.verdict), check.reason) for check in proposal.checks]
    title = f"{proposal.run_name} ({proposal.run_id}) to {proposal.target}"
    out.table(["check", "verdict", "reason"], rows, title=title)
    out.line("it may be promoted" if proposal.ok else "it would be refused", style="bold")


def _print_done(proposal: "Proposal", what: str) -> None:
    if context().json:
        out.json(proposal.as_json())
        return
    out.line(f"✓ {proposal.target} {what} {proposal.run_name} ({proposal.run_id})", style="bold green")
    out.line(f"  {proposal.role} {proposal.digest}")
    for check in proposal.checks:
        if check.verdict == "overridden":
            out.line(f"  ! {check.check} overridden: {check.reason}", style="magenta")


def rollback(
    target: Annotated[str, typer.Argument(metavar="TARGET", help="What shall go back.")],
    reason: Annotated[str, typer.Option(help="Why.")] = "",
) -> None:
    """Put back what a target served before; its bytes are read again first."""
    from registry import promotion

    proposal = promotion.rollback(context().db(), target, reason=reason)
    _print_done(proposal, "is back on")


def deployments() -> None:
    """List what serves each target, since when, by whom, and which checks were overridden for it."""
    from registry.deployments import live_deployments

    options = context()
    db = options.db()
    with db.read() as session:
        rows = live_deployments(session, db.settings)
    if options.json:
        out.json(rows)
    elif not rows:
        out.line("nothing is deployed: registry promote RUN --to production")
    else:
        _print_deployments(rows)


def _print_deployments(rows: list[dict[str, Any]]) -> None:
    out.table(
        ["target", "run", "artifact", "sha256", "since", "by", "overridden", "health"],
        [
            (
                row["target"],
                f"{row['run_name']} ({row['run']})",
                row["artifact"],
                row["digest"][:12],
                (row["since"] or "")[:16].replace("T", " "),
                row["by"],
                ", ".join(row["overrides"]),
                row["health"],
            )
            for row in rows
        ],
    )


def history(
    target: Annotated[str | None, typer.Argument(metavar="[TARGET]", help="Only what served this.")] = None,
    limit: Annotated[int, typer.Option("--limit", "-n", min=0, help="At most this many (0: all).")] = 50,
) -> None:
    """List every decision that was made, newest first: who, when, why, from what."""
    from registry.deployments import decisions

    options = context()
    with options.db().read() as session:
        rows = decisions(session, target, limit or None)
    if options.json:
        out.json(rows)
        return
    out.table(
        ["when", "by", "what", "subject", "why"],
        [
            (
                (clock.iso(row["at_s"]) or "")[:19].replace("T", " "),
                row["by"],
                row["action"],
                row["subject"],
                _about(row["details"]),
            )
            for row in rows
        ],
    )


def _about(details: dict[str, Any]) -> str:
    parts = [str(details["reason"])] if details.get("reason") else []
    parts += [f"{key} {details[key]}" for key in ("run", "from") if details.get(key)]
    parts += [f"overrode {', '.join(details['overrides'])}"] if details.get("overrides") else []
    return "; ".join(parts) or json.dumps(details, ensure_ascii=False)[:120]

"""Data sets: `dataset add`, `ls`, `show`, `validate`, `invalidate`, `deprecate`, `impact`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from registry.cli.context import context
from registry.cli.output import confirm, out, size, word

if TYPE_CHECKING:
    from registry.tables import Dataset
    from registry.validation import Validation

dataset = typer.Typer(
    help="Versions of data, what was checked, what was declared bad, and what hangs on it.",
    no_args_is_help=True,
    rich_markup_mode=None,
)

Reference = Annotated[str, typer.Argument(metavar="NAME@V", help="A data set version.")]
Reason = Annotated[str, typer.Option("--reason", help="What is wrong with it.")]
Instead = Annotated[str | None, typer.Option("--superseded-by", metavar="NAME@V", help="What to use instead.")]
Yes = Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")]
SHOWN_VIOLATIONS = 10


@dataset.command("add")
def add(
    reference: Reference,
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH…", help="Files or folders, perhaps SPLIT=PATH (train=data/a.jsonl).")
    ],
    checks: Annotated[
        Path | None, typer.Option(metavar="FILE.toml", help="The checks that `dataset validate` makes.")
    ] = None,
) -> None:
    """Register a version: hash its files, count their records. Its state is unchecked until it is validated."""
    from registry.datasets import add_dataset

    db = context().db(create=True)
    row = add_dataset(db, reference, paths, checks=checks)
    _say_state(row, "registered")


def _say_state(row: "Dataset", done: str) -> None:
    reference = f"{row.name}@{row.version}"
    if context().json:
        out.json({"reference": reference, "state": row.state, "digest": row.digest, "n_records": row.n_records})
        return
    counted = "" if row.n_records is None else f", {row.n_records:,} records"
    out.line(f"✓ {reference} {done}: {row.state}{counted}, sha256 {(row.digest or 'unknown')[:12]}", style="green")


@dataset.command("ls")
def list_all() -> None:
    """List the data set versions, also those that runs used and nobody registered."""
    from registry.dataset_views import list_datasets

    options = context()
    with options.db().read() as session:
        rows = list_datasets(session)
    if options.json:
        out.json(rows)
        return
    if not rows:
        out.line("no data sets yet: registry dataset add NAME@V PATH…")
        return
    out.table(
        ["data set", "state", "records", "files", "size", "runs", "reason"],
        [
            (
                row["reference"],
                word(row["state"]),
                "" if row["n_records"] is None else f"{row['n_records']:,}",
                row["n_files"] or "",
                size(row["size_bytes"]) if row["n_files"] else "",
                row["n_runs"] or "",
                _why(row),
            )
            for row in rows
        ],
        numeric=["records", "files", "size", "runs"],
    )


def _why(row: dict[str, Any]) -> str:
    instead = f"use {row['superseded_by']}" if row["superseded_by"] else ""
    return "; ".join(words for words in (row["reason"], instead) if words)


@dataset.command("show")
def show(reference: Reference) -> None:
    """Show one version: its files as they are now, what its last checks found, who used it."""
    from registry.dataset_views import show_dataset

    options = context()
    db = options.db()
    with db.read() as session:
        found = show_dataset(session, db.root, reference)
    if options.json:
        out.json(found)
        return
    _print_head(found)
    out.line(f"sha256 {found['digest'] or 'unknown'}", style="dim")
    for problem in found["changed"]:
        out.line(f"  {problem}", style="bold red")
    files = [(f["path"], f["split"], f["n_records"], size(f["size_bytes"]), f["digest"][:12]) for f in found["files"]]
    out.table(["file", "split", "records", "size", "sha256"], files, numeric=["records", "size"])
    for check in found["checks"]:
        _print_check(check["name"], check["verdict"], check["n_checked"], check["n_violations"], check["reason"])
        _print_violations(check["violations"], check["n_violations"])
    if found["runs"]:
        _print_runs(found["runs"])


def _print_check(name: str, verdict: str, n_checked: int, n_violations: int, reason: str) -> None:
    line = word(verdict)
    counts = f"{n_violations:,} violations in {n_checked:,}" if n_violations else f"{n_checked:,} looked at"
    line.append(f"  {name}: {reason or counts}", style="default")
    out.show(line)


def _print_violations(violations: list[dict[str, Any]], n_violations: int) -> None:
    for violation in violations[:SHOWN_VIOLATIONS]:
        where = f"{violation['file']}:{violation['record']} " if violation["record"] is not None else ""
        values = ", ".join(f"{name}={value}" for name, value in violation["values"].items())
        out.line(f"      {where}{violation['message']}{f' ({values})' if values else ''}")
    if n_violations > SHOWN_VIOLATIONS:
        out.line(f"      and {n_violations - SHOWN_VIOLATIONS:,} more", style="dim")


@dataset.command("validate")
def validate(
    reference: Reference,
    checks: Annotated[
        Path | None, typer.Option(metavar="FILE.toml", help="Declare these checks for it from now on.")
    ] = None,
    reinstate: Annotated[
        str, typer.Option(metavar="REASON", help="Trust it again although a person declared it bad, and why.")
    ] = "",
) -> int:
    """Make the declared checks of a version and set its state by them; every violation is in the report.

    Exit code 1 when it is not valid afterwards.
    """
    from registry.validation import validate_dataset

    options = context()
    validation = validate_dataset(options.db(), reference, checks=checks, reinstate=reinstate)
    if options.json:
        out.json(_validation_json(validation))
    else:
        _print_validation(validation)
    return 0 if validation.ok else 1


def _validation_json(validation: "Validation") -> dict[str, Any]:
    from dataclasses import asdict

    return {
        "reference": validation.reference,
        "state": validation.state,
        "reason": validation.reason,
        "run": validation.run_id,
        "report": str(validation.report),
        "checks": [asdict(outcome) for outcome in validation.outcomes],
    }


def _print_validation(validation: "Validation") -> None:
    from dataclasses import asdict

    for outcome in validation.outcomes:
        _print_check(outcome.name, outcome.verdict, outcome.n_checked, outcome.n_violations, outcome.reason)
        _print_violations([asdict(v) for v in outcome.violations[:SHOWN_VIOLATIONS]], outcome.n_violations)
    if not validation.is_declared:
        out.line("no checks are declared for it: only the built-in ones were made", style="yellow")
    line = word(validation.state)
    line.append(f"  {validation.reference}{f': {validation.reason}' if validation.reason else ''}", style="bold")
    out.show(line)
    out.line(f"the whole report: {validation.report}", style="dim")


@dataset.command("invalidate")
def invalidate(reference: Reference, reason: Reason = "", superseded_by: Instead = None, yes: Yes = False) -> None:
    """Declare a version invalid: every run, number and deployment that rests on it is flagged. Nothing is deleted."""
    _decide(reference, "invalid", reason, superseded_by, yes)


@dataset.command("deprecate")
def deprecate(reference: Reference, reason: Reason = "", superseded_by: Instead = None, yes: Yes = False) -> None:
    """Declare a version deprecated: what rests on it is flagged and not promoted any more."""
    _decide(reference, "deprecated", reason, superseded_by, yes)


def _decide(reference: str, state: str, reason: str, superseded_by: str | None, yes: bool) -> None:
    from registry.dataset_views import impact
    from registry.datasets import decide
    from registry.errors import UsageError

    options = context()
    db = options.db()
    if not reason.strip():
        raise UsageError(f"{reference} is declared {state} without a reason", hint='add --reason "what is wrong"')
    with db.read() as session:
        found = impact(session, reference)
    if found["runs"] and not yes and not options.json and _is_terminal():
        confirm(f"{len(found['runs'])} runs rest on {reference}; declare it {state}?", yes)
    row = decide(db, reference, state, reason, superseded_by=superseded_by)
    with db.read() as session:
        found = impact(session, reference)
    if options.json:
        out.json(found)
        return
    _say_state(row, "declared")
    _print_impact(found)


def _is_terminal() -> bool:
    import sys

    return sys.stdin.isatty() and sys.stderr.isatty()


@dataset.command("impact")
def show_impact(reference: Reference) -> None:
    """Show everything that rests on a version: runs, verdicts, numbers, reports, deployments."""
    from registry.dataset_views import impact

    options = context()
    with options.db().read() as session:
        found = impact(session, reference)
    if options.json:
        out.json(found)
        return
    _print_head(found)
    _print_impact(found)


def _print_head(found: dict[str, Any]) -> None:
    line = word(found["state"])
    line.append(f"  {found['reference']}{f': {_why(found)}' if _why(found) else ''}", style="bold")
    out.show(line)


def _print_impact(found: dict[str, Any]) -> None:
    _print_runs(found["runs"])
    for deployment in found["deployments"]:
        until = f" until {deployment['until']}" if deployment["until"] else ", still"
        out.line(f"  deployed: {deployment['run']} to {deployment['target']} since {deployment['since']}{until}")
    for report in found["reports"]:
        out.line(f"  report: {report['path']} of {report['run']}")
    from registry.reports.page import counted

    counts = (
        (len(found["runs"]), "run"),
        (found["n_gate_verdicts"], "gate verdict"),
        (found["n_metrics"], "metric"),
        (len(found["deployments"]), "deployment"),
        (len(found["reports"]), "report"),
    )
    out.line(f"{', '.join(counted(n, what) for n, what in counts)} resting on it")


def _print_runs(runs: list[dict[str, Any]]) -> None:
    rows = [(run["id"], run["name"], run["experiment"], word(run["status"]), run["how"]) for run in runs]
    out.table(["id", "run", "experiment", "status", "how"], rows)

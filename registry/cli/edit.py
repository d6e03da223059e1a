"""Small changes to runs: `tag`, `note`, `rm`, `restore-run`, `reap`. Nothing is ever deleted from the record."""

from typing import Annotated

import typer

from registry.cli.context import context
from registry.cli.output import out

Run = Annotated[str, typer.Argument(metavar="RUN", help="id, name, @target, latest or best:METRIC.")]


def tag(
    run: Run,
    tags: Annotated[list[str], typer.Argument(metavar="TAG…", help="Words; -WORD takes one off.")],
) -> None:
    """Give a run tags, or take them off: `registry tag RUN good -- -draft`."""
    from registry import audit
    from registry.selectors import select_run
    from registry.tables import Tag

    with context().db().write() as session:
        found = select_run(session, run)
        for name in tags:
            if name.startswith("-"):
                row = session.get(Tag, (found.id, name[1:]))
                if row is not None:
                    session.delete(row)
            else:
                session.merge(Tag(run_id=found.id, tag=name))
        audit.record(session, "tag", found.id, {"tags": tags})
        run_id = found.id
    out.line(f"{run_id}: {' '.join(tags)}")


def note(run: Run, text: Annotated[str, typer.Argument(metavar="TEXT", help="What is to be remembered.")]) -> None:
    """Write a note on a run."""
    from registry import audit, clock
    from registry.selectors import select_run
    from registry.tables import Note

    with context().db().write() as session:
        found = select_run(session, run)
        session.add(Note(run_id=found.id, at=clock.now(), level="note", text=text, by=audit.who()))
        audit.record(session, "note", found.id, {"text": text})
        run_id = found.id
    out.line(f"noted on {run_id}")


def rm(
    runs: Annotated[list[str], typer.Argument(metavar="RUN…", help="ids, names, latest.")],
    reason: Annotated[str, typer.Option(help="Why.")] = "",
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
) -> None:
    """Take runs out of the lists. Their record, files and copies stay; `restore-run` brings them back.

    Nobody watches over them any more: no warning asks for copies, and the guard lets a machine go with their files.
    """
    from registry.cli.output import confirm
    from registry.errors import RefusedError
    from registry.queries import run_summary
    from registry.selectors import select_runs

    db = context().db()
    with db.read() as session:
        found = [run_summary(session, db.settings, row.id) for row in select_runs(session, runs)]
    for summary in found:
        if summary.deployed_to:
            raise RefusedError(f"{summary.id} serves {', '.join(summary.deployed_to)}", hint="roll it back first")
        if summary.status == "running":
            raise RefusedError(f"{summary.id} is still running", hint="stop it first")
    confirm(f"remove {', '.join(f'{summary.name} ({summary.id})' for summary in found)} from the lists?", yes)
    _set_deleted([summary.id for summary in found], removed=True, reason=reason)
    out.line(f"removed {len(found)} from the lists; `registry restore-run ID` brings one back")


def restore_run(runs: Annotated[list[str], typer.Argument(metavar="RUN…", help="ids of removed runs.")]) -> None:
    """Bring removed runs back into the lists."""
    from registry.selectors import select_run

    with context().db().read() as session:
        ids = [select_run(session, words, deleted=True).id for words in runs]
    _set_deleted(ids, removed=False, reason="")
    out.line(f"restored {', '.join(ids)}")


def _set_deleted(ids: list[str], *, removed: bool, reason: str) -> None:
    from registry import audit, clock
    from registry.tables import RunRow

    with context().db().write() as session:
        for run_id in ids:
            row = session.get(RunRow, run_id)
            assert row is not None
            row.deleted_at = clock.now() if removed else None
            session.add(row)
            audit.record(session, "remove" if removed else "restore", run_id, {"reason": reason})


def reap(
    timeout: Annotated[str, typer.Option(help="Silence after which a run on another host counts as dead.")] = "2m",
) -> None:
    """Mark runs crashed whose process is gone or whose heartbeat stopped. Every look does this; reap says which."""
    from registry import catchup
    from registry.clock import parse_duration
    from registry.errors import UsageError

    try:
        timeout_s = parse_duration(timeout)
    except ValueError as error:
        raise UsageError(f"--timeout: {error}") from None
    db = context().db(reap=False)
    crashed = catchup.reap(db, timeout_s=timeout_s)
    if context().json:
        out.json(crashed)
    else:
        out.line(f"crashed: {', '.join(crashed)}" if crashed else "every running run is alive")

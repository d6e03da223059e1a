"""Releasing a machine: `guard RUN… -- CMD…`."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from registry.cli.context import context
from registry.cli.copies import All, choose_runs
from registry.cli.output import out

if TYPE_CHECKING:
    from registry.database import Database
    from registry.guard import Judgement, Machine, Outcome, Wish


def guard(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="RUN… -- CMD…", help="The runs, and behind -- the command that gives the machine back."),
    ] = None,
    everything: All = False,
    host: Annotated[
        str | None, typer.Option("--host", help="All runs of this machine, which is reached over SSH.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Ask every question, call nothing.")] = False,
    root: Annotated[
        list[Path] | None, typer.Option(metavar="DIR", help="One more output folder to sweep. Repeatable.")
    ] = None,
    ignore: Annotated[
        list[str] | None, typer.Option(metavar="PATTERN", help="Files that may be lost; needs --reason. Repeatable.")
    ] = None,
    destroy: Annotated[
        list[str] | None,
        typer.Option(metavar="sha256:PREFIX", help="An artifact that may be lost; needs --reason. Repeatable."),
    ] = None,
    reason: Annotated[str, typer.Option("--reason", help="Why something may be lost; recorded.")] = "",
    accept_single: Annotated[
        bool, typer.Option("--accept-single", help="Be content with min_copies instead of num_copies; recorded.")
    ] = False,
    settle: Annotated[
        str | None, typer.Option("--settle", metavar="PERMIT", help="Say how a release ended that nobody saw end.")
    ] = None,
    outcome: Annotated[str, typer.Option("--outcome", metavar="released|failed", help="With --settle.")] = "released",
) -> int:
    """Run the command that gives a machine back, only if nothing would be lost with it.

    Everything is looked at now: the runs have ended, their output folders hold nothing that is not recorded, every
    file is what was recorded, and enough copies elsewhere were read back during this call. What cannot be told is a
    no. The exit code is the command's, or 3 with every reason.
    """
    from registry.guard import Ignored, Wish
    from registry.guard import settle as write_down

    options = context()
    db = options.db()
    runs = (words or [])[: len(words or []) - len(options.after)]
    if settle:
        write_down(db, settle, outcome)
        out.line(f"{settle}: {outcome}")
        return 0
    wish = Wish(
        run_ids=None if host else _chosen(db, runs, everything),
        roots=tuple(str(path.resolve()) if not host else str(path) for path in root or ()),
        ignores=tuple(Ignored(pattern, reason) for pattern in ignore or ()),
        destroy=tuple(destroy or ()),
        reason=reason,
        accept_single=accept_single,
    )
    return _guard(db, host, wish, options.after, dry_run)


def _chosen(db: "Database", runs: list[str], everything: bool) -> tuple[str, ...] | None:
    chosen = choose_runs(db, runs, everything)
    return None if chosen is None else tuple(chosen)


def _guard(db: "Database", host: str | None, wish: "Wish", command: list[str], dry_run: bool) -> int:
    from registry.cli.transfer_view import transfer_view
    from registry.errors import UsageError
    from registry.guard import Release, let_go, refusal

    options = context()
    command = command or _known_command(db, host)
    if not dry_run and not command:
        raise UsageError(
            "no command to run",
            hint="registry guard RUN -- CMD…; release in [hosts.NAME] of registry.toml; or --dry-run to only ask",
        )
    with (
        contextlib.closing(_machine(db, host)) as machine,
        transfer_view(options) as progress,
        Release(db, machine, wish, progress) as release,
    ):
        _tell_price(db, machine.name)
        judgement = release.judge()
        if dry_run or not judgement.ok:
            if not options.json or judgement.ok:
                _tell(judgement)
            if not judgement.ok:
                raise refusal(judgement)
            return 0
        ended = let_go(db, release, judgement, command, progress)
    _tell_end(judgement, ended)
    return ended.exit_code


def _known_command(db: "Database", host: str | None) -> list[str]:
    """Return the command that registry.toml names for a machine."""
    import shlex
    import socket

    settings = db.settings.hosts.get(host or socket.gethostname())
    return shlex.split(settings.release) if settings and settings.release else []


def _machine(db: "Database", host: str | None) -> "Machine":
    from registry.guard import ThisMachine

    if host is None:
        return ThisMachine(db)
    from registry.guard.ssh import SshMachine

    return SshMachine(host, db)


def _tell_price(db: "Database", machine: str) -> None:
    """Say on stderr what the machine costs while it waits: a reason to hurry, never one to let go."""
    settings = db.settings.hosts.get(machine)
    if settings and settings.cost_per_hour and not context().quiet:
        out.warn(f"{machine} costs {settings.cost_per_hour:.2f} an hour while it waits")


def _tell(judgement: "Judgement") -> None:
    options = context()
    if options.json:
        out.json(judgement.as_json())
        return
    if options.quiet or not judgement.ok:
        return
    out.line(f"✓ {judgement.machine} may go: {judgement.n_blobs} files of {len(judgement.runs)} runs were read back"
             f" elsewhere just now", "green")  # fmt: skip
    out.line(f"  asked of {options.db().shown}; what other registries know of this machine was not looked at", "dim")
    for reason, n_files in sorted(judgement.ignored.items()):
        out.line(f"  {n_files} left out: {reason}", "dim")


def _tell_end(judgement: "Judgement", ended: "Outcome") -> None:
    options = context()
    if ended.note:
        out.warn(ended.note)
    if options.json:
        out.json({**judgement.as_json(), "permit": ended.permit, "outcome": ended.word, "exit_code": ended.exit_code})
    elif not options.quiet:
        for note in judgement.notes:
            out.line(note, "dim")
        style = "green" if ended.word == "released" else "bold yellow"
        out.line(f"{judgement.machine}: {ended.word} (permit {ended.permit})", style)

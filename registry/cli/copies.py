"""Copies of artifacts: `keep`, `copy`, `verify`, `where`, `fetch`, `repair`, `drop`."""

import contextlib
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from registry import clock
from registry.cli.context import context
from registry.cli.output import out, size, word

if TYPE_CHECKING:
    from registry.copies.record import ArtifactFacts
    from registry.copies.transfer import CopyReport
    from registry.database import Database

Runs = Annotated[list[str] | None, typer.Argument(metavar="RUN", help="Runs: id, name, @target, latest, best:METRIC.")]
All = Annotated[bool, typer.Option("--all", help="Every run.")]


def choose_runs(db: "Database", runs: list[str] | None, everything: bool) -> list[str] | None:
    """Return the ids of the runs that were named, None for all. Raises UsageError when neither was said."""
    from registry.errors import UsageError
    from registry.selectors import select_runs

    if bool(runs) == everything:
        raise UsageError("which runs?", hint="name them, or say --all")
    if everything:
        return None
    with db.read() as session:
        return [run.id for run in select_runs(session, runs or [])]


def copy(
    runs: Runs = None,
    to: Annotated[str, typer.Option("--to", metavar="REMOTE", help="Where to.")] = ...,  # type: ignore[assignment]
    everything: All = False,
    role: Annotated[list[str] | None, typer.Option(help="Only this role. Repeatable.")] = None,
    jobs: Annotated[int, typer.Option("--jobs", "-j", min=1, max=64, help="Transfers at a time.")] = 2,
    rate: Annotated[
        str | None, typer.Option("--rate", metavar="SIZE", help="At most this many bytes a second: 500k, 20M.")
    ] = None,
    read_back: Annotated[
        bool, typer.Option("--read-back", help="Read back through the network, not only on the remote's host.")
    ] = False,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Stay with one run: copy what it records until it has ended.")
    ] = False,
) -> None:
    """Copy the artifacts of runs to a remote, read every byte back, and record what was found.

    What is there already is read, not believed. An interrupted copy goes on where it stopped when it is run again.
    """
    from registry.cli.transfer_view import transfer_view
    from registry.copies.transfer import copy_artifacts

    options = context()
    db = options.db()
    run_ids = choose_runs(db, runs, everything)
    if follow:
        _follow(db, run_ids, to, rate)
        return
    artifacts = _artifacts(db, run_ids, role)
    with transfer_view(options, rate) as progress:
        report = copy_artifacts(db, artifacts, to, progress=progress, jobs=jobs, read_back=read_back)
    if options.json:
        out.json(_report_json(report))
    elif not options.quiet:
        put = f", {report.n_put} sent ({size(report.n_bytes_put)})" if report.n_put else ", nothing had to be sent"
        out.line(f"{report.n_verified} of {report.n_files} files verified on {report.remote}{put}")
    _raise_failures(report)


def _follow(db: "Database", run_ids: list[str] | None, remote: str, rate: str | None) -> None:
    from registry.cli.transfer_view import transfer_view
    from registry.copies.follow import follow
    from registry.errors import CheckFailedError, UnreachableError, UsageError

    if run_ids is None or len(run_ids) != 1:
        raise UsageError("--follow stays with one run", hint="registry copy RUN --to REMOTE --follow")
    with transfer_view(context(), rate) as progress:
        failures = follow(db, run_ids[0], remote, progress=progress, tell=_warn_if_heard)
    if failures:
        kind = UnreachableError if all(isinstance(error, UnreachableError) for error in failures) else CheckFailedError
        raise kind(
            f"not every artifact of run {run_ids[0]} has a verified copy on {remote}",
            details=[str(error) for error in failures],
            hint=f"registry copy {run_ids[0]} --to {remote} goes on",
        )


def _warn_if_heard(words: str) -> None:
    """Warn, and go on when the terminal that should show it is gone."""
    with contextlib.suppress(OSError):
        out.warn(words)


def _artifacts(
    db: "Database", run_ids: list[str] | None, roles: list[str] | None, *, superseded: bool = False
) -> "list[ArtifactFacts]":
    from registry.copies.record import load_artifacts, superseded_artifacts

    with db.read() as session:
        found = superseded_artifacts(session, run_ids) if superseded else load_artifacts(session, run_ids=run_ids)
    return [artifact for artifact in found if not roles or artifact.role in roles]


def _report_json(report: "CopyReport") -> dict[str, Any]:
    return {
        "ok": report.ok,
        "remote": report.remote,
        "files": report.n_files,
        "sent": report.n_put,
        "sent_bytes": report.n_bytes_put,
        "verified": report.n_verified,
        "failures": [
            {"subject": label, "reason": error.message, "code": error.reason_code} for label, error in report.failures
        ],
    }


def _raise_failures(report: "CopyReport") -> None:
    from registry import custody
    from registry.errors import CheckFailedError

    if report.ok:
        return
    details = [f"{label}: {error}" for label, error in report.failures]
    code = custody.gravest([error.reason_code or 18 for _, error in report.failures])
    raise CheckFailedError(
        f"{report.n_files - report.n_verified} of {report.n_files} files have no verified copy on {report.remote}",
        details=details,
        reason_code=code,
    )


def where(
    runs: Runs = None,
    everything: All = False,
) -> None:
    """Show where the copies of a run's artifacts are, in what state, and which of them count."""
    from registry.copies.overview import custody_of
    from registry.copies.record import load_artifacts
    from registry.errors import NotFoundError

    options = context()
    db = options.db()
    run_ids = choose_runs(db, runs, everything)
    with db.read() as session:
        artifacts = load_artifacts(session, run_ids=run_ids)
        found = custody_of(session, artifacts, clock.now(), db.settings)
    rows = [found[artifact.id] for artifact in artifacts]
    if options.json:
        out.json(
            [
                {
                    "run": item.artifact.run_id,
                    "role": item.artifact.role,
                    "digest": item.artifact.digest,
                    "path": item.artifact.path,
                    "size_bytes": item.artifact.size_bytes,
                    "verified_counting": item.verified_counting,
                    "min_copies": item.min_copies,
                    "copies": [copy.as_json() for copy in item.copies],
                }
                for item in rows
            ]
        )
        return
    if not rows:
        raise NotFoundError("no artifact was recorded", hint="record one: registry keep RUN PATH")
    for item in rows:
        artifact = item.artifact
        out.line(
            f"{artifact.role}  {artifact.path}  {size(artifact.size_bytes)}  sha256 {artifact.digest[:16]}…", "bold"
        )
        if not item.copies:
            out.line("  no copy", "bold red")
        for copy in item.copies:
            out.show(_copy_line(copy))
        wanted = (
            str(item.min_copies) if item.num_copies == item.min_copies else f"{item.min_copies} to {item.num_copies}"
        )
        verdict = f"  verified copies that count: {item.verified_counting}; the policy asks for {wanted}"
        out.line(verdict, "dim" if item.safe else "yellow")


def _copy_line(copy: Any) -> Any:
    from rich.text import Text

    line = Text("  ") + word(copy.state) + Text(f" on {copy.remote} ({copy.domain})")
    if copy.verified_at:
        line.append(f", read {clock.iso(copy.verified_at)}")
    if not copy.counts:
        line.append(", does not count", style="yellow")
    if copy.reason:
        line.append(f": {copy.reason}", style="yellow")
    return line


def verify(
    runs: Runs = None,
    everything: All = False,
    stale: Annotated[bool, typer.Option("--stale", help="Only copies whose verification has lapsed.")] = False,
    remote: Annotated[str | None, typer.Option("--remote", help="Only copies on this remote.")] = None,
    max_age: Annotated[
        str | None, typer.Option("--max-age", metavar="AGE", help="Only copies last read longer ago: 12h, 7d.")
    ] = None,
    budget: Annotated[
        str | None, typer.Option("--budget", metavar="SIZE|TIME", help="Stop after this much: 50G, 2h. Oldest first.")
    ] = None,
    read_back: Annotated[bool, typer.Option("--read-back", help="Read back through the network.")] = False,
    watch: Annotated[bool, typer.Option("--watch", help="Go on for ever: verify whatever lapses.")] = False,
    every: Annotated[str, typer.Option("--every", metavar="AGE", help="With --watch: how often to look.")] = "10m",
    rate: Annotated[
        str | None, typer.Option("--rate", metavar="SIZE", help="At most this many bytes a second.")
    ] = None,
) -> None:
    """Read copies back, the least recently read first, and record what was found. Nothing is moved or removed.

    Exit code 1 when a copy is not what it should be, 5 when a remote could not be reached.
    """
    from registry.cli.transfer_view import transfer_view
    from registry.copies.scrub import Wanted, parse_budget, scrub, watch_copies

    options = context()
    db = options.db()
    run_ids = None if not runs and (stale or remote or watch or max_age) else choose_runs(db, runs, everything)
    wanted = Wanted(run_ids, remote, stale or watch, None if max_age is None else clock.parse_duration(max_age))
    with transfer_view(options, rate) as progress:
        if watch:
            watch_copies(db, wanted, clock.parse_duration(every), progress, tell=out.warn)
            return
        report = scrub(db, wanted, progress, budget=parse_budget(budget), read_back=read_back)
    if options.json:
        out.json(report.as_json())
    elif not options.quiet:
        out.line(report.words())
        for line in report.lines():
            out.line(f"  {line}", "bold red")
    report.raise_if_bad()


def keep(
    run: Annotated[str, typer.Argument(metavar="RUN", help="The run that made them.")],
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", help="Files or folders.")],
    role: Annotated[str, typer.Option(help="checkpoint, best, last, log, config or report.")] = "checkpoint",
    step: Annotated[int | None, typer.Option(help="The step a checkpoint was taken at.")] = None,
) -> None:
    """Record files that a run made and did not name itself, so that they are kept like any artifact."""
    from registry.copies.keep import keep_files
    from registry.selectors import select_run

    options = context()
    db = options.db()
    with db.read() as session:
        row = select_run(session, run)
        session.expunge(row)
    for path, frozen in zip(paths, keep_files(db, row, paths, role, step), strict=True):
        if not options.quiet:
            out.line(f"{role} {path} of run {row.id}: {size(frozen.size_bytes)}, sha256 {frozen.digest[:16]}…")


def fetch(
    runs: Runs = None,
    everything: All = False,
    role: Annotated[list[str] | None, typer.Option(help="Only this role. Repeatable.")] = None,
    into: Annotated[Path | None, typer.Option("--into", help="Folder (default: where they were made).")] = None,
    rate: Annotated[
        str | None, typer.Option("--rate", metavar="SIZE", help="At most this many bytes a second.")
    ] = None,
) -> None:
    """Get artifacts back from the best remote that has them, hashed while they are read; wrong bytes are never kept."""
    from registry.cli.transfer_view import transfer_view
    from registry.copies.fetch import fetch_artifacts
    from registry.errors import CheckFailedError

    options = context()
    db = options.db()
    artifacts = _artifacts(db, choose_runs(db, runs, everything), role)
    with transfer_view(options, rate) as progress:
        report = fetch_artifacts(db, artifacts, into.resolve() if into else None, progress)
    if options.json:
        failures = [
            {"subject": name, "reason": error.message, "code": error.reason_code} for name, error in report.failures
        ]
        out.json({"ok": not failures, "fetched": [str(path) for path in report.fetched],
                  "there": [str(path) for path in report.there], "failures": failures})  # fmt: skip
    elif not options.quiet:
        for path in report.fetched:
            out.line(f"fetched {path}")
        if report.there:
            out.line(f"{len(report.there)} files were there already, and right", "dim")
    if report.failures:
        raise CheckFailedError(
            f"{len(report.failures)} files could not be fetched", details=[str(error) for _, error in report.failures]
        )


def repair(
    runs: Runs = None,
    everything: All = False,
    remote: Annotated[str | None, typer.Option("--remote", help="Only copies on this remote.")] = None,
) -> None:
    """Put right copies in the place of wrong or missing ones, from the origin or another remote that reads right.

    Wrong bytes are set aside in the remote's quarantine/, never removed.
    """
    from registry.cli.transfer_view import transfer_view
    from registry.copies.drop import troubled
    from registry.copies.record import find_remote, load_places
    from registry.copies.transfer import copy_artifacts

    options = context()
    db = options.db()
    run_ids = choose_runs(db, runs, everything)
    with db.read() as session:
        wrong = troubled(session, run_ids, find_remote(session, remote).id if remote else None)
        places = load_places(session)
    reports = []
    with transfer_view(options) as progress:
        for place_id, artifacts in wrong.items():
            if place_id in places:
                reports.append(copy_artifacts(db, artifacts, places[place_id].name, progress=progress, mend=True))
    if options.json:
        out.json([_report_json(report) for report in reports])
    elif not reports:
        out.line("nothing to repair: registry verify finds what is wrong")
    elif not options.quiet:
        for report in reports:
            out.line(
                f"{report.remote}: {report.n_put} files put again, {report.n_verified} of {report.n_files} verified"
            )
    for report in reports:
        _raise_failures(report)


def drop(
    runs: Runs = None,
    everything: All = False,
    remote: Annotated[
        str | None, typer.Option("--from", metavar="REMOTE", help="Remove the copies on this remote.")
    ] = None,
    here: Annotated[bool, typer.Option("--here", help="Remove the files where they were made instead.")] = False,
    role: Annotated[list[str] | None, typer.Option(help="Only this role. Repeatable.")] = None,
    superseded: Annotated[
        bool, typer.Option("--superseded", help="With --from: only what the runs replaced since, and nothing needs.")
    ] = False,
    accept_single: Annotated[
        bool, typer.Option("--accept-single", help="Be content with min_copies instead of num_copies elsewhere.")
    ] = False,
) -> None:
    """Remove copies, only those whose bytes were just read back from enough other places."""
    from registry.cli.transfer_view import transfer_view
    from registry.copies.drop import drop_copies, drop_origins
    from registry.errors import UsageError

    options = context()
    db = options.db()
    if here == bool(remote) or (here and superseded):
        raise UsageError("drop what?", hint="--from REMOTE, or --here for the files where they were made")
    artifacts = _artifacts(db, choose_runs(db, runs, everything), role, superseded=superseded)
    with transfer_view(options) as progress:
        if remote:
            report = drop_copies(db, artifacts, remote, accept_single=accept_single, progress=progress)
        else:
            report = drop_origins(db, artifacts, accept_single=accept_single, progress=progress)
    if options.json:
        out.json(
            {"ok": not report.stays, "dropped": report.dropped, "freed_bytes": report.n_bytes, "stays": report.stays}
        )
        return
    if not options.quiet:
        out.line(f"dropped {len(report.dropped)} files, {size(report.n_bytes)}")
        for line in report.stays:
            out.line(f"  stays: {line}", "yellow")

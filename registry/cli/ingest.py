"""`registry watch`, `import` and `export`: logs and other trackers' runs come in, runs go out."""

import threading
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from registry.cli.context import context
from registry.cli.output import out
from registry.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from registry.database import Database
    from registry.ingest.engine import Look
    from registry.settings import Settings


def watch(
    folders: Annotated[list[Path] | None, typer.Argument(metavar="DIR...", help="Folders (or files) to watch.")] = None,
    once: Annotated[bool, typer.Option("--once", help="Look once, then stop.")] = False,
    preview: Annotated[
        Path | None, typer.Option("--preview", metavar="FILE", help="Show what FILE would become; record nothing.")
    ] = None,
) -> None:
    """Turn the logs that other programs write below DIR into runs, live.

    Journals of runs recorded elsewhere are read too. Stop with Ctrl-C; nothing is lost and nothing recorded twice.
    """
    if preview is not None:
        from registry.cli.preview import show

        show(preview, as_json=context().json, db_url=context().db_url)
        return
    if not folders:
        raise UsageError("no folder to watch", hint="`registry watch DIR`, or `registry watch --preview FILE`")
    from registry.ingest.engine import Engine

    db = context().db(create=True)
    engine = Engine(db)
    if once:
        look = engine.look(folders, settle=True)
        _tell_once(look)
        return
    from registry.ingest.watch import watch as watch_folders

    if not context().quiet:
        out.warn(f"watching {', '.join(map(str, folders))}; stop with Ctrl-C")
    interval_s = db.settings.ingest.rescan_interval_s
    watch_folders(engine, folders, rescan_interval_s=interval_s, stop=threading.Event(), told=_tell, complain=out.warn)


def import_(
    sources: Annotated[list[Path], typer.Argument(metavar="SOURCE...", help="Stores, folders, logs, reports.")],
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Show what would be recorded; record nothing.")] = False,
) -> None:
    """Take over runs of other trackers: MLflow, W&B, TensorBoard, trackio, DVCLive, Sacred, Hugging Face, CSV, reports.

    The source is only read. Asked again, only what is new is recorded.
    """
    from registry.importers.sources import foresee_source, import_source

    if dry_run:
        known, settings = _what_is_known()
        imported = [foresee_source(known, source, settings) for source in sources]
    else:
        db = context().db(create=True)
        imported = [import_source(db, source) for source in sources]
    if context().json:
        out.json([{**asdict(run), "source": str(one.source), "kind": one.kind} for one in imported for run in one.runs])
        return
    for one in imported:
        for line in one.explanation:
            out.line(line)
        rows = [
            [run.run_id, run.name, run.verdict, f"{run.n_points:,}", run.n_artifacts, len(run.missing)]
            for run in one.runs
        ]
        heads = ["id", "name", "verdict", "points", "artifacts", "missing"]
        out.table(heads, rows, title=f"{one.source} ({one.kind})", numeric=heads[3:])
        for run in one.runs:
            for missing in run.missing:
                out.warn(f"{run.name}: missing: {missing}")


def _what_is_known() -> "tuple[Database | None, Settings]":
    """Return the registry if there is one, and its settings: a dry run makes none."""
    from registry.places import registry_url, root_folder
    from registry.settings import load_settings

    try:
        db = context().db()
    except NotFoundError:
        return None, load_settings(root_folder(registry_url(context().db_url)))
    return db, db.settings


TARGETS = ("json", "jsonl", "csv", "md", "tex", "tfevents", "mlflow")
STORES = ("tfevents", "mlflow")


def export(
    runs: Annotated[list[str] | None, typer.Argument(metavar="RUN...", help="Runs: id, name, @target, latest.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="Every run.")] = False,
    to: Annotated[str, typer.Option("--to", metavar="FORMAT", help=f"One of: {', '.join(TARGETS)}.")] = "json",
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Write here instead of to stdout.")] = None,
) -> None:
    """Write runs out, for people or for other programs."""
    if everything is bool(runs):
        raise UsageError("name runs, or say --all", hint="`registry export latest --to json`")
    if to not in TARGETS:
        raise UsageError(f"cannot export to {to!r}", hint=f"one of: {', '.join(TARGETS)}")
    if to in STORES and output is None:
        raise UsageError(f"--to {to} writes files", hint=f"`--output {'FOLDER' if to == 'tfevents' else 'FILE.db'}`")
    from registry.exporters import export_file, export_store, export_text
    from registry.queries import run_ids
    from registry.selectors import select_runs

    db = context().db()
    with db.read() as session:
        chosen = run_ids(session) if everything else [run.id for run in select_runs(session, runs or [])]
    if output is not None:
        (export_store if to in STORES else export_file)(db, chosen, to, output)
        return
    with db.read() as session:
        block: list[str] = []
        for part in export_text(session, chosen, to):
            block.append(part)
            if len(block) >= 1000:
                out.raw("".join(block).encode())
                block.clear()
        out.raw("".join(block).encode())


def _tell_once(look: "Look") -> None:
    if context().json:
        out.json(
            {
                "files": look.n_files,
                "points": look.n_points,
                "new_runs": look.new_runs,
                "changed_runs": look.changed_runs,
                "unreadable": look.unreadable,
            }
        )
        return
    out.line(
        f"{_count(look.n_files, 'file')}, {_count(look.n_points, 'new point')}, {_count(len(look.new_runs), 'new run')}"
    )
    _complain(look)


def _tell(look: "Look") -> None:
    if not context().quiet:
        for run_id in look.new_runs:
            out.line(f"new run {run_id}")
        for run_id in look.changed_runs:
            out.line(f"{run_id}: {_count(look.n_points, 'new point')}")
    _complain(look)


def _complain(look: "Look") -> None:
    for folder in look.unreadable:
        out.warn(f"cannot read {folder}")
    if look.truncated:
        out.warn("more files than one look takes: watch the folders one by one")


def _count(n: int, noun: str) -> str:
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"

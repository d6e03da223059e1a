"""How a run begins: `init()` opens a new one, goes on with an old one, or joins the one of the wrapper."""

import os
import secrets
import sys
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from registry import events, hosts, places, provenance
from registry.errors import NotFoundError, UsageError
from registry.plain import plain_params
from registry.run import Run

MAX_NAME_LENGTH = 200


def init(
    experiment: str | None = None,
    name: str | None = None,
    *,
    params: Mapping[str, Any] | None = None,
    gates: str | os.PathLike[str] | None = None,
    tags: Iterable[str] = (),
    resume: str = "never",
    id: str | None = None,
    parent: str | None = None,
    total_steps: int | None = None,
    roots: Iterable[str | os.PathLike[str]] = (),
    cost_per_hour: float | None = None,
    db: str | None = None,
) -> Run:
    """Open a run and return it; the first call that a training script makes.

    `experiment` and `name` default to REGISTRY_EXPERIMENT and REGISTRY_RUN_NAME. `gates` is a suite file or the name
    of a shipped suite. `resume` is `never`, `allow` or `must` and speaks of the run with this `id`. `roots` are the
    folders the run writes into (the guard sweeps them), `cost_per_hour` is what its machine costs. Inside
    `registry run -- …` the wrapper's run is joined.
    Raises UsageError for a wrong argument, NotFoundError for a run that should be there and is not.
    """
    if resume not in ("never", "allow", "must"):
        raise UsageError(f"resume={resume!r}", hint="write never, allow or must")
    address, suite = places.registry_url(db), load_suite(gates)
    inherited = os.environ.get("REGISTRY_RUN_ID")
    if "RANK" in os.environ:
        from registry import ranks

        shared = None if id or inherited else ranks.common_run_id()
        if ranks.rank() > 0:
            wanted = id or inherited or shared or new_run_id()
            other = ranks.RankRun(address, wanted, ranks.rank(), name or "", experiment or "default")
            _fail_on_unhandled_exception(other)
            return other
        id, resume = (shared, "allow") if shared else (id, resume)
    joined = inherited if id in (None, inherited) else None
    folder = _folder_to_continue(places.runs_folder(address), id, joined, resume)
    if folder is not None:
        run = _continue(folder, address, inner=bool(joined), params=params, tags=tags)
    else:
        run_id = id or new_run_id()
        start = describe_start(
            run_id,
            name=name or os.environ.get("REGISTRY_RUN_NAME") or f"run-{run_id[:4]}",
            experiment=experiment or os.environ.get("REGISTRY_EXPERIMENT") or "default",
            command=[sys.executable, *sys.argv],
            params=params,
            tags=tags,
            parent=parent or os.environ.get("REGISTRY_PARENT_ID"),
            total_steps=total_steps,
            roots=roots,
            cost_per_hour=cost_per_hour,
        )
        run = start_run(address, start)
    if suite:
        run._append(events.Gates(at=time.time(), suite=suite[0], text=suite[1]))
    _fail_on_unhandled_exception(run)
    return run


def _folder_to_continue(runs: Path, id: str | None, joined: str | None, resume: str) -> Path | None:
    """Return the folder of the run to join or to resume; None where a new one is to be made."""
    wanted = joined or id
    folder = places.find_run_folder(runs, wanted) if wanted else None
    if joined and folder is None:
        raise NotFoundError(f"REGISTRY_RUN_ID={joined}, but {runs} has no such run", hint="unset it to begin a new run")
    if folder is not None and not joined and resume == "never":
        raise UsageError(f"run {id} exists already", hint="pass resume='allow' to continue it")
    if folder is None and resume == "must":
        raise NotFoundError(f"no run {id} to resume in {runs}")
    return folder


def _continue(folder: Path, address: str, *, inner: bool, params: Mapping[str, Any] | None, tags: Iterable[str]) -> Run:
    """Go on with a run: inside the wrapper's (`inner`), or as a further process of one that ended."""
    run = Run(folder, _start_of(folder), address=address, inner=inner)
    if not inner:
        run._append(events.Resume(at=time.time(), run=run.id, host=hosts.this_process(), command=sys.argv))
    if params:
        run.log_params(params)
    for tag in tags:
        run.tag(tag)
    return run


def new_run_id() -> str:
    """Return a fresh run id: ten hexadecimal digits."""
    return secrets.token_hex(5)


def describe_start(
    run_id: str,
    *,
    name: str,
    experiment: str,
    command: list[str],
    params: Mapping[str, Any] | None = None,
    tags: Iterable[str] = (),
    parent: str | None = None,
    total_steps: int | None = None,
    roots: Iterable[str | os.PathLike[str]] = (),
    cost_per_hour: float | None = None,
    pid: int | None = None,
) -> events.Start:
    """Return the Start event of a run of this process (or of `pid`): its inputs and where it came from."""
    if len(name) > MAX_NAME_LENGTH or not name.strip():
        raise UsageError(f"run name of {len(name)} characters", hint=f"use 1 to {MAX_NAME_LENGTH}")
    return events.Start(
        at=time.time(),
        run=run_id,
        name=name,
        experiment=experiment,
        params=plain_params(params or {}),
        command=command,
        cwd=str(Path.cwd()),
        git=provenance.git_state(Path.cwd()),
        host=hosts.this_process(pid),
        device=provenance.device(),
        environment=provenance.environment_names(),
        tags=list(tags),
        parent=parent,
        total_steps=total_steps,
        roots=[str(Path(root).resolve()) for root in roots],
        cost_per_hour=cost_per_hour,
    )


def start_run(address: str, start: events.Start) -> Run:
    """Make the folder and the journal of a new run of the registry at `address`, and write its first event.

    An empty runs.db marks the folder as the registry's, so that commands and runs below it find it.
    """
    runs = places.runs_folder(address)
    folder = runs / places.folder_name(start.name, start.run)
    try:
        folder.mkdir(parents=True)
        if places.nearest_database(runs.parent) is None:
            (runs.parent / places.DATABASE_NAME).touch()
    except OSError as error:
        raise UsageError(
            f"cannot make {folder}: {error.strerror}",
            hint="record elsewhere: registry --db PATH, or REGISTRY_DB",
        ) from None
    run = Run(folder, start, address=address)
    run._append(start)
    run._journal.sync()
    return run


def _start_of(folder: Path) -> events.Start:
    """Return the first event of a run's journal. Raises UsageError when it has none."""
    path = folder / places.JOURNAL_NAME
    try:
        with open(path, "rb") as file:
            first = events.decode(file.readline())
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} cannot be continued: {error}") from None
    if not isinstance(first, events.Start):
        raise UsageError(f"{path} does not begin with the start of a run")
    return first


def load_suite(gates: str | os.PathLike[str] | None) -> tuple[str, str] | None:
    """Return the name and the text of a gate suite (a file or a shipped name), checked; None for None."""
    if gates is None:
        return None
    from registry.gates import load_suite_text

    return load_suite_text(gates)


_open_runs: list[Run] = []


def _fail_on_unhandled_exception(run: Run) -> None:
    """Mark the run failed when an exception ends the program; an exit without `finish()` proves nothing."""
    if not _open_runs:
        before: Callable[..., Any] = sys.excepthook

        def hook(kind: type[BaseException], error: BaseException, trace: TracebackType | None) -> None:
            for open_run in _open_runs:
                if open_run.status == "running":
                    open_run._finish_after(error)
            before(kind, error, trace)

        sys.excepthook = hook
    _open_runs.append(run)

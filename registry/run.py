"""The writer's side: `init()` opens a run, `Run` appends its events. Knows files and events, nothing of SQL.

`Run.log` is one `write()`; a thread puts the journal on the disk (fsync) every second and says every few seconds that
the process lives. A failing disk never stops the training; a wrong argument is told at once.
"""

import operator
import os
import re
import secrets
import sys
import threading
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from registry import events, hosts, journal, places, provenance
from registry.errors import MetricError, NotFoundError, UsageError

HEARTBEAT_INTERVAL_S = 10.0
MAX_NAME_LENGTH = 200


def new_run_id() -> str:
    """Return a fresh run id: ten hexadecimal digits."""
    return secrets.token_hex(5)


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


def folder_name(name: str, run_id: str) -> str:
    """Return the name of a run's folder: what the file system takes of the run's name, and the id."""
    safe = re.sub(r"[^A-Za-z0-9._-]+", "_", name).strip("._-")[:80] or "run"
    return f"{safe}-{run_id}"


def find_run_folder(runs: Path, run_id: str) -> Path | None:
    """Return the folder of the run with this id below `runs`, or None."""
    if not re.fullmatch(r"[0-9a-z]{4,32}", run_id):
        raise UsageError(f"not a run id: {run_id!r}", hint="an id is hexadecimal digits, as `registry ls` shows them")
    return next((path for path in sorted(runs.glob(f"*-{run_id}")) if path.is_dir()), None)


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
) -> "Run":
    """Open a run and return it; the first call that a training script makes.

    `experiment` and `name` default to REGISTRY_EXPERIMENT and REGISTRY_RUN_NAME. `gates` is a suite file or the name
    of a shipped suite. `resume` is `never`, `allow` or `must` and speaks of the run with this `id`. `roots` are the
    folders the run writes into (the guard sweeps them), `cost_per_hour` is what its machine costs. Inside
    `registry run -- …` the wrapper's run is joined.
    Raises UsageError for a wrong argument, NotFoundError for a run that should be there and is not.
    """
    if resume not in ("never", "allow", "must"):
        raise UsageError(f"resume={resume!r}", hint="write never, allow or must")
    address = places.registry_url(db)
    runs = places.runs_folder(address)
    suite = load_suite(gates)
    inherited = os.environ.get("REGISTRY_RUN_ID")
    if "RANK" in os.environ:
        from registry import ranks

        shared = None if id or inherited else ranks.common_run_id()
        if ranks.rank() > 0:
            wanted_id = id or inherited or shared or new_run_id()
            other = ranks.RankRun(address, wanted_id, ranks.rank(), name or "", experiment or "default")
            _fail_on_unhandled_exception(other)
            return other
        id, resume = (shared, "allow") if shared else (id, resume)
    joined = inherited if id is None else id if id == inherited else None
    wanted = joined or id
    folder = find_run_folder(runs, wanted) if wanted else None
    if joined and folder is None:
        raise NotFoundError(f"REGISTRY_RUN_ID={joined}, but {runs} has no such run", hint="unset it to begin a new run")
    if folder is not None and not joined and resume == "never":
        raise UsageError(f"run {id} exists already", hint="pass resume='allow' to continue it")
    if folder is None and resume == "must":
        raise NotFoundError(f"no run {id} to resume in {runs}")
    if folder is not None:
        run_id = str(wanted)
        run = Run(folder, _start_of(folder), address=address, inner=bool(joined))
        if not joined:
            run._append(events.Resume(at=time.time(), run=run_id, host=hosts.this_process(), command=sys.argv))
        if params:
            run.log_params(params)
        for tag in tags:
            run.tag(tag)
    else:
        run_id = id or new_run_id()
        name = name or os.environ.get("REGISTRY_RUN_NAME") or f"run-{run_id[:4]}"
        start = describe_start(
            run_id,
            name=name,
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
        params=_plain_params(params or {}),
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


def start_run(address: str, start: events.Start) -> "Run":
    """Make the folder and the journal of a new run of the registry at `address`, and write its first event.

    An empty runs.db marks the folder as the registry's, so that commands and runs below it find it.
    """
    runs = places.runs_folder(address)
    folder = runs / folder_name(start.name, start.run)
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


def _plain_params(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return params as JSON can hold them: numbers, text, lists and dicts stay, anything else becomes its text."""

    def plain(value: Any) -> Any:
        if value is None or isinstance(value, bool | int | str):
            return value
        if isinstance(value, float):
            return events.wire_number(value)
        if isinstance(value, Mapping):
            return {str(key): plain(item) for key, item in value.items()}
        if isinstance(value, list | tuple | set):
            return [plain(item) for item in value]
        return str(value)

    return {str(key): plain(value) for key, value in params.items()}


def load_suite(gates: str | os.PathLike[str] | None) -> tuple[str, str] | None:
    """Return the name and the text of a gate suite (a file or a shipped name), checked; None for None."""
    if gates is None:
        return None
    from registry.gates import load_suite_text

    return load_suite_text(gates)


def _number(name: str, value: Any) -> events.Number:
    """Return a metric value as it is written: bool and int as int, 0-d tensors and arrays as their number."""
    if isinstance(value, bool | int):
        return int(value)
    if isinstance(value, float):
        return events.wire_number(float(value))
    item = getattr(value, "item", None)
    if item is not None and getattr(value, "shape", ()) in ((), (1,)):
        return _number(name, item())
    shape = getattr(value, "shape", None)
    kind = f"a tensor of shape {tuple(shape)}" if shape is not None else f"{type(value).__name__} {value!r:.60}"
    raise MetricError(f"metric {name!r} is {kind}, not a number", hint="log a float, an int or a 0-d tensor")


class Run:
    """One execution, written down as it happens. Make it with `registry.init`; use it as a context manager."""

    def __init__(self, folder: Path, start: events.Start, *, address: str, inner: bool = False) -> None:
        self.id = start.run
        self.name = start.name
        self.experiment = start.experiment
        self.folder = folder
        self._address = address
        self.root = folder.parent.parent
        self.status = "running"
        self._inner = inner
        self._step = -1
        self._artifacts: dict[str, str] = {}
        self._journal = journal.JournalWriter(folder / places.JOURNAL_NAME, self._complain)
        self._encode = events._encoder.encode
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._keep_alive, name=f"registry-{start.run}", daemon=True)
        self._thread.start()

    def __repr__(self) -> str:
        return f"<Run {self.id} {self.name!r} {self.status}>"

    # --- what a training says

    def log(self, metrics: Mapping[str, Any], step: int | None = None, *, basis: str | None = None) -> None:
        """Record metric values at a step; without `step` at the one after the last.

        Values are floats, ints or 0-d tensors; NaN and infinities are kept. Raises MetricError for anything else,
        after the good values of the same call were recorded.
        """
        if step is None:
            step = self._step + 1
        elif type(step) is not int:
            step = self._plain_step(step)
        self._step = step
        for value in metrics.values():
            if type(value) is not float or value - value != 0.0:
                self._log_checked(metrics, step, basis)
                return
        event = events.Metrics(round(time.time(), 3), metrics, step, basis)  # type: ignore[arg-type]
        try:
            line = self._encode(event) + b"\n"
        except UnicodeEncodeError:
            line = events.encode(event)
        self._journal.append(line)

    def _log_checked(self, metrics: Mapping[str, Any], step: int, basis: str | None) -> None:
        good: dict[str, events.Number] = {}
        wrong: MetricError | None = None
        for name, value in metrics.items():
            try:
                good[str(name)] = _number(name, value)
            except MetricError as error:
                wrong = wrong or error
        if good:
            self._append(events.Metrics(at=round(time.time(), 3), v=good, s=step, b=basis))
        if wrong:
            raise wrong

    @staticmethod
    def _plain_step(step: Any) -> int:
        try:
            return operator.index(step)
        except TypeError:
            pass
        number = _number("step", step)
        if (isinstance(number, float) and not number.is_integer()) or isinstance(number, str):
            raise MetricError(f"step {step!r} is not a whole number", hint="log fractions as a metric of their own")
        return int(number)

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Record inputs that became known after the start."""
        self._append(events.Params(at=time.time(), values=_plain_params(params)))

    def define_metric(
        self,
        name: str,
        *,
        goal: str | None = None,
        basis: str | None = None,
        unit: str | None = None,
        primary: bool = False,
    ) -> None:
        """Say how a metric is to be read: `goal` min or max, `basis` measured, sampled or estimated, and its unit."""
        if goal not in (None, *events.GOALS):
            raise UsageError(f"goal={goal!r} of {name!r}", hint="write min or max")
        if basis not in (None, *events.BASES):
            raise UsageError(f"basis={basis!r} of {name!r}", hint="write measured, sampled or estimated")
        self._append(events.Define(at=time.time(), name=name, goal=goal, basis=basis, unit=unit, primary=primary))

    def log_artifact(
        self,
        path: str | os.PathLike[str],
        role: str = "checkpoint",
        *,
        step: int | None = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> str:
        """Hash a file or a folder, record it, and return its sha256 digest.

        Raises NotFoundError when it is missing, RefusedError for a symlink or an empty file or folder,
        SourceChangedError when it changes while it is read.
        """
        from registry.hashing import freeze

        frozen = freeze(Path(path))
        absolute = Path(os.path.abspath(path))
        stored = absolute.relative_to(self.root) if absolute.is_relative_to(self.root) else absolute
        self._append(
            events.Artifact(
                at=time.time(),
                role=role,
                path=stored.as_posix(),
                digest=frozen.digest,
                size_bytes=frozen.size_bytes,
                step=step,
                kind=frozen.kind,
                files=[events.ArtifactFile(f.path, f.digest, f.size_bytes) for f in frozen.files],
                metadata=_plain_params(metadata or {}),
            )
        )
        self._artifacts[role] = frozen.digest
        self.sync()
        return frozen.digest

    def log_evaluation(
        self,
        artifact: str | None = None,
        metrics: Mapping[str, Any] | None = None,
        *,
        step: int | None = None,
        basis: str | None = None,
        suite: str | None = None,
        subject: str | None = None,
        intervals: Mapping[str, tuple[float, float]] | None = None,
        counts: Mapping[str, int] | None = None,
        dataset: str | None = None,
    ) -> None:
        """Record values that belong to one artifact, named by its role or its digest.

        With `subject` they belong to a control or a baseline of a suite instead (`oracle`, `constant`, `copy_last`).
        `intervals` are confidence intervals `(low, high)`, `counts` the number of cases behind each value.
        """
        digest = self._artifacts.get(artifact, artifact) if artifact else None
        if digest is not None and not re.fullmatch(r"[0-9a-f]{64}", digest):
            raise NotFoundError(
                f"this run has no artifact {artifact!r} yet", hint="log_artifact it first, or pass its digest"
            )
        if digest is None and subject is None:
            raise UsageError("an evaluation of nothing", hint="pass artifact=ROLE, or subject=NAME for a control")
        self._append(
            events.Evaluation(
                at=time.time(),
                metrics={name: _number(name, value) for name, value in (metrics or {}).items()},
                digest=digest,
                step=step,
                basis=basis,
                suite=suite,
                subject=subject,
                intervals={name: (float(low), float(high)) for name, (low, high) in (intervals or {}).items()},
                counts=dict(counts or {}),
                dataset=dataset,
            )
        )

    def use_dataset(self, reference: str, role: str = "train", *, digest: str | None = None, allow: str = "") -> None:
        """Record that the run reads data set `NAME@VERSION`.

        Raises UsageError when no version is named, RefusedError when the registry knows the set and the policy does
        not let a run use it (invalid, never checked, changed on disk) and `allow` gives no reason to.
        """
        from registry.data_policy import require_usable

        name, at, version = reference.rpartition("@")
        if not (at and name and version):
            raise UsageError(f"data set {reference!r} names no version", hint="write NAME@VERSION")
        known = require_usable(self._address, [reference], self.experiment, allow=allow)[reference]
        self._append(
            events.UseDataset(
                at=time.time(),
                name=name,
                version=version,
                role=role,
                digest=digest or (known.digest if known else None),
                override=allow,
            )
        )

    def note(self, text: str, *, level: str = "info", step: int | None = None) -> None:
        """Record something that a person should know about the run."""
        self._append(events.Note(at=time.time(), text=text, level=level, step=step))

    def tag(self, tag: str) -> None:
        """Give the run a tag."""
        self._append(events.Note(at=time.time(), text=tag, level="tag"))

    def sync(self) -> None:
        """Put everything recorded so far on the disk (fsync)."""
        self._journal.sync()

    # --- how it ends

    def finish(self, status: str = "finished", *, exit_code: int | None = None, evidence: str = "") -> None:
        """End the run: finished, failed or killed. Ending twice does nothing."""
        if status not in events.END_STATUSES:
            raise UsageError(f"status {status!r}", hint="write finished, failed or killed")
        if self.status != "running":
            return
        self._append(
            events.End(
                at=time.time(),
                status=status,
                exit_code=exit_code,
                evidence=evidence or f"run.finish({status!r})",
                inner=self._inner,
            )
        )
        self.status = status
        self._stop.set()
        if threading.current_thread() is not self._thread:
            self._thread.join(timeout=5.0)
        self._journal.close()
        if self._journal.lost_lines:
            self._complain(
                f"{self._journal.lost_lines} lines of run {self.id} could not be recorded: the disk was full"
            )

    def __enter__(self) -> "Run":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if error is None:
            self.finish()
        else:
            self._finish_after(error)

    def _finish_after(self, error: BaseException) -> None:
        if isinstance(error, SystemExit) and error.code in (None, 0):
            self.finish(evidence="sys.exit(0)")
            return
        status = "killed" if isinstance(error, KeyboardInterrupt) else "failed"
        self.finish(status, evidence=f"{type(error).__name__}: {error}"[:500])

    # --- inside

    def _append(self, event: events.Event) -> None:
        if self.status != "running":
            raise UsageError(f"run {self.id} has ended ({self.status})", hint="registry.init(id=…, resume='allow')")
        self._journal.append(events.encode(event))

    def _keep_alive(self) -> None:
        beat_at = time.monotonic() + HEARTBEAT_INTERVAL_S
        while not self._stop.wait(journal.FSYNC_INTERVAL_S):
            if time.monotonic() >= beat_at:
                beat_at = time.monotonic() + HEARTBEAT_INTERVAL_S
                self._journal.append(events.encode(events.Heartbeat(at=round(time.time(), 3))))
            self._journal.sync()

    @staticmethod
    def _complain(message: str) -> None:
        print(f"registry: {message}", file=sys.stderr, flush=True)


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

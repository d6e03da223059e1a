"""The writer's side: a `Run` appends what happens to its journal. Knows files and events, nothing of SQL.

`Run.log` is one `write()`; a thread puts the journal on the disk (fsync) every second and says every few seconds that
the process lives. A failing disk never stops the training; a wrong argument is told at once.
"""

import contextlib
import operator
import os
import re
import sys
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from registry import events, journal, places
from registry.errors import MetricError, NotFoundError, UsageError
from registry.plain import metric_number, plain_params

HEARTBEAT_INTERVAL_S = 10.0
_DIGEST = re.compile("[0-9a-f]{64}")


class Run:
    """One execution, written down as it happens. Make it with `registry.init`; use it as a context manager."""

    def __init__(self, folder: Path, start: events.Start, *, address: str, inner: bool = False) -> None:
        self.id = start.run
        self.name = start.name
        self.experiment = start.experiment
        self.folder = folder
        self.address = address
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
                good[str(name)] = metric_number(name, value)
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
        number = metric_number("step", step)
        if (isinstance(number, float) and not number.is_integer()) or isinstance(number, str):
            raise MetricError(f"step {step!r} is not a whole number", hint="log fractions as a metric of their own")
        return int(number)

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Record inputs that became known after the start."""
        self._append(events.Params(at=time.time(), values=plain_params(params)))

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
        self._append(
            events.Artifact(
                at=time.time(),
                role=role,
                path=self._stored(path),
                digest=frozen.digest,
                size_bytes=frozen.size_bytes,
                step=step,
                kind=frozen.kind,
                files=[events.ArtifactFile(f.path, f.digest, f.size_bytes) for f in frozen.files],
                metadata=plain_params(metadata or {}),
            )
        )
        self._artifacts[role] = frozen.digest
        self.sync()
        return frozen.digest

    def log_removed(self, path: str | os.PathLike[str]) -> None:
        """Record that an artifact was thrown away by the program that made it: it needs no copy any more."""
        self._append(events.Removed(at=time.time(), path=self._stored(path)))

    def _stored(self, path: str | os.PathLike[str]) -> str:
        """Return how a path stands in the record: relative to the registry's folder when it lies below it."""
        absolute = Path(os.path.abspath(path))
        return (absolute.relative_to(self.root) if absolute.is_relative_to(self.root) else absolute).as_posix()

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
        digest = self._digest_of(artifact) if artifact else None
        if digest is not None and not _DIGEST.fullmatch(digest):
            raise NotFoundError(
                f"this run has no artifact {artifact!r} yet", hint="log_artifact it first, or pass its digest"
            )
        if digest is None and subject is None:
            raise UsageError("an evaluation of nothing", hint="pass artifact=ROLE, or subject=NAME for a control")
        self._append(
            events.Evaluation(
                at=time.time(),
                metrics={name: metric_number(name, value) for name, value in (metrics or {}).items()},
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

    def _digest_of(self, artifact: str) -> str:
        """Return the digest under a role, also of a process that wrote to this run before; else the words given."""
        if artifact not in self._artifacts and not _DIGEST.fullmatch(artifact):
            recorded: dict[str, str] = {}
            for line in (self.folder / places.JOURNAL_NAME).read_bytes().splitlines():
                with contextlib.suppress(ValueError):  # a torn line of a process that was killed
                    event = events.decode(line)
                    if isinstance(event, events.Artifact):
                        recorded[event.role] = event.digest
            self._artifacts = recorded | self._artifacts
        return self._artifacts.get(artifact, artifact)

    def use_dataset(self, reference: str, role: str = "train", *, digest: str | None = None, allow: str = "") -> None:
        """Record that the run reads data set `NAME@VERSION`.

        Raises UsageError when no version is named, RefusedError when the registry knows the set and the policy does
        not let a run use it (invalid, never checked, changed on disk) and `allow` gives no reason to.
        """
        from registry.data_policy import require_usable

        name, at, version = reference.rpartition("@")
        if not (at and name and version):
            raise UsageError(f"data set {reference!r} names no version", hint="write NAME@VERSION")
        known = require_usable(self.address, [reference], self.experiment, allow=allow)[reference]
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

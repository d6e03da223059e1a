"""Events -> rows. The offset of a journal and the rows made of it are committed in one transaction, so projecting is
exactly-once, whoever does it and however often it is interrupted.
"""

import json
import math
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

import msgspec
from sqlalchemy import text
from sqlmodel import Session, col, select

from registry import clock, events, hosts, journal, places
from registry.database import Database
from registry.tables import (
    Artifact,
    ArtifactBlob,
    DatasetUse,
    Evaluation,
    EvaluationValue,
    Experiment,
    GateSuite,
    JournalCursor,
    MetricDefinition,
    MetricSeries,
    Note,
    Param,
    RunRow,
    RunSuite,
    Segment,
    Tag,
)

CHUNK_BYTES = 8 << 20
HEARTBEAT_TIMEOUT_S = 120.0
MEASURED = "measured"

_INSERT_POINT = "INSERT INTO metric_point (series_id, seq, step, value, elapsed_ms, segment) VALUES (?, ?, ?, ?, ?, ?)"
_COPY_POINT = "COPY metric_point (series_id, seq, step, value, elapsed_ms, segment) FROM STDIN"
_SUMMARY_COLUMNS = (
    "count", "non_finite", "first_step", "first_value", "last_step", "last_value", "last_at",
    "min_step", "min_value", "max_step", "max_value", "segment",
)  # fmt: skip
_UPDATE_SERIES = text(
    f"UPDATE metric_series SET {', '.join(f'{name} = :{name}' for name in _SUMMARY_COLUMNS)} WHERE id = :id"
)


class _Series:
    """The summary of a series while it grows."""

    __slots__ = ("id", "changed", *_SUMMARY_COLUMNS)

    def __init__(self, row: MetricSeries) -> None:
        assert row.id is not None
        self.id = row.id
        self.changed = False
        for name in _SUMMARY_COLUMNS:
            setattr(self, name, getattr(row, name))

    def summary(self) -> dict[str, Any]:
        """Return the values of the row's summary columns, and its id."""
        values = {name: getattr(self, name) for name in _SUMMARY_COLUMNS}
        for name in ("first_value", "last_value"):
            if values[name] is not None and math.isnan(values[name]):
                values[name] = None
        return {"id": self.id, **values}


class _Live:
    """What the hot path needs of a run, as plain attributes; written back to its row at `flush`."""

    __slots__ = ("heartbeat_at", "row", "segment", "started_at")

    def __init__(self, row: RunRow) -> None:
        self.row = row
        self.segment = row.segment
        self.started_at = row.started_at
        self.heartbeat_at = row.heartbeat_at or 0.0

    def beat(self, at: float) -> None:
        """The run lived at `at`."""
        if at > self.heartbeat_at:
            self.heartbeat_at = at

    def write_back(self) -> None:
        """Put what changed into the row; a sign of life after a crash was noted means it runs after all."""
        self.row.segment = self.segment
        if self.heartbeat_at > (self.row.heartbeat_at or 0.0):
            self.row.heartbeat_at = self.heartbeat_at
            if self.row.status == "crashed":
                self.row.status, self.row.evidence, self.row.ended_at = "running", "", None


class Projector:
    """Applies events to the rows of runs, inside the caller's transaction.

    Call `apply` as often as wanted, then `flush` once before the commit; `touched` names the runs that changed.
    """

    def __init__(self, session: Session, *, is_sqlite: bool = True, folder: str | None = None) -> None:
        self._session = session
        self._is_sqlite = is_sqlite
        self._folder = folder
        self._runs: dict[str, _Live] = {}
        self._series: dict[str, dict[tuple[str, str | None], _Series]] = {}
        self._bases: dict[str, dict[str, str]] = {}
        self._points: list[tuple[Any, ...]] = []
        self._origins: list[dict[str, Any]] = []
        self.touched: set[str] = set()
        self._judge: set[str] = set()

    def apply(self, run_id: str, batch: Iterable[events.AnyEvent]) -> int:
        """Apply events of one run in their order; returns how many metric points they held."""
        before = len(self._points)
        n_points = 0
        self.touched.add(run_id)
        is_metrics, take_metrics = events.Metrics, self._metrics
        for event in batch:
            if type(event) is is_metrics:
                take_metrics(run_id, event)
                if len(self._points) >= 200_000:
                    n_points += len(self._points) - before
                    self._flush_points()
                    before = 0
            else:
                getattr(self, f"_on_{type(event).__name__.lower()}")(run_id, event)
        return n_points + len(self._points) - before

    def flush(self) -> None:
        """Write what is still held back, and judge the gates of the runs that changed."""
        self._flush_points()
        for live in self._runs.values():
            live.write_back()
        for by_name in self._series.values():
            changed = {series.id: series for series in by_name.values() if series.changed}.values()
            if changed:
                self._session.connection().execute(_UPDATE_SERIES, [series.summary() for series in changed])
            for series in changed:
                series.changed = False
        self._session.flush()
        if self.touched:
            try:
                from registry.gate_facts import refresh
            except ImportError:
                return

            refresh(self._session, sorted(self.touched))

    # --- metrics, the hot path

    def _metrics(self, run_id: str, event: events.Metrics) -> None:
        run = self._live(run_id)
        series_of = self._series.get(run_id)
        if series_of is None:
            series_of = self._load_series(run_id)
        at, step, basis = event.at, event.s, event.b
        elapsed_ms = int((at - (run.started_at or at)) * 1000.0)
        points = self._points
        for name, value in event.v.items():
            series = series_of.get((name, basis))
            if series is None:
                series = self._find_series(run_id, name, basis)
            if type(value) is str:
                value = events.NON_FINITE.get(value, math.nan)
            count = series.count
            if step is not None:
                if series.segment == run.segment:
                    if series.last_step is not None and step < series.last_step:
                        self._new_segment(run, at, "restart", name, series.last_step, step)
                        series.segment = run.segment
                else:
                    series.segment = run.segment
            if value - value == 0.0:  # type: ignore[operator]
                if series.min_value is None or value < series.min_value:
                    series.min_value, series.min_step = value, step
                if series.max_value is None or value > series.max_value:
                    series.max_value, series.max_step = value, step
                stored = value
            else:
                series.non_finite += 1
                stored = None if value != value else value
            if count == 0:
                series.first_step, series.first_value = step, value
            series.last_step, series.last_value, series.last_at = step, value, at
            points.append((series.id, count, step, stored, elapsed_ms, series.segment))
            if event.o is not None:
                self._origin(series.id, count, event.o)
            series.count = count + 1
            series.changed = True
        run.beat(at)

    def _origin(self, series_id: int, seq: int, origin: str) -> None:
        path, _, offset = origin.rpartition(":")
        self._origins.append({"series_id": series_id, "seq": seq, "path": path, "offset": int(offset)})

    def _flush_points(self) -> None:
        if self._points:
            driver = self._session.connection().connection.driver_connection
            assert driver is not None
            if self._is_sqlite:
                driver.executemany(_INSERT_POINT, self._points)
            else:
                with driver.cursor() as cursor, cursor.copy(_COPY_POINT) as copy:
                    for point in self._points:
                        copy.write_row(point)
            self._points.clear()
        if self._origins:
            statement = text(
                'INSERT INTO point_origin (series_id, seq, path, "offset") VALUES (:series_id, :seq, :path, :offset)'
            )
            self._session.connection().execute(statement, self._origins)
            self._origins = []

    def _load_series(self, run_id: str) -> dict[tuple[str, str | None], _Series]:
        self._session.flush()
        found: dict[tuple[str, str | None], _Series] = {}
        for row in self._session.exec(select(MetricSeries).where(MetricSeries.run_id == run_id)):
            found[row.name, row.basis] = _Series(row)
            self._session.expunge(row)
        self._series[run_id] = found
        definitions = self._session.exec(select(MetricDefinition).where(MetricDefinition.run_id == run_id))
        self._bases[run_id] = {row.name: row.basis for row in definitions if row.basis}
        return found

    def _find_series(self, run_id: str, name: str, basis: str | None) -> _Series:
        """Return the series of a metric on its basis (the event's own, else the defined one, else measured)."""
        series_of = self._series[run_id]
        true_basis = basis or self._bases[run_id].get(name, MEASURED)
        series = series_of.get((name, true_basis))
        if series is None:
            row = MetricSeries(run_id=run_id, name=name, basis=true_basis, segment=self._live(run_id).segment)
            self._session.add(row)
            self._session.flush()
            series = series_of[name, true_basis] = _Series(row)
            self._session.expunge(row)
        if basis is None:
            series_of[name, None] = series
        return series

    def _new_segment(
        self, run: _Live, at: float, reason: str, metric: str | None = None, from_step: int | None = None,
        to_step: int | None = None,
    ) -> None:  # fmt: skip
        run.segment += 1
        self._session.add(
            Segment(
                run_id=run.row.id,
                number=run.segment,
                at=at,
                reason=reason,
                metric=metric,
                from_step=from_step,
                to_step=to_step,
            )
        )

    # --- everything else, one method an event

    def _live(self, run_id: str) -> _Live:
        live = self._runs.get(run_id)
        if live is None:
            row = self._session.get(RunRow, run_id)
            if row is None:
                row = self._add_run(events.Start(at=clock.now(), run=run_id, name=f"run-{run_id[:4]}"))
            live = self._runs[run_id] = _Live(row)
        return live

    def _run(self, run_id: str) -> RunRow:
        return self._live(run_id).row

    def _experiment(self, name: str, at: float) -> int:
        row = self._session.exec(select(Experiment).where(Experiment.name == name)).first()
        if row is None:
            row = Experiment(name=name, created_at=at)
            self._session.add(row)
            self._session.flush()
        assert row.id is not None
        return row.id

    def _add_run(self, start: events.Start) -> RunRow:
        run = RunRow(
            id=start.run,
            name=start.name,
            experiment_id=self._experiment(start.experiment, start.at),
            status="running",
            folder=self._folder,
        )
        self._session.add(run)
        self._session.flush()
        return run

    def _on_start(self, run_id: str, event: events.Start) -> None:
        run = self._session.get(RunRow, run_id) or self._add_run(event)
        run.name, run.experiment_id = event.name, self._experiment(event.experiment, event.at)
        run.started_at = run.heartbeat_at = event.at
        run.status, run.evidence = "running", ""
        run.command, run.cwd = json.dumps(event.command), event.cwd
        run.git = json.dumps(event.git) if event.git else None
        run.host, run.device = json.dumps(event.host), json.dumps(event.device)
        run.environment, run.roots = json.dumps(event.environment), json.dumps(event.roots)
        run.parent_id, run.source, run.foreign_id = event.parent, event.source, event.foreign_id
        run.total_steps = event.total_steps
        run.folder = self._folder or run.folder
        self._session.flush()
        self._runs[run_id] = _Live(run)
        self._put_params(run_id, event.params)
        for tag in event.tags:
            self._session.merge(Tag(run_id=run_id, tag=tag))

    def _on_resume(self, run_id: str, event: events.Resume) -> None:
        live = self._live(run_id)
        self._new_segment(live, event.at, event.reason)
        live.beat(event.at)
        run = live.row
        run.status, run.evidence, run.ended_at, run.exit_code = "running", "", None, None
        if event.host:
            run.host = json.dumps(event.host)

    def _on_params(self, run_id: str, event: events.Params) -> None:
        self._put_params(run_id, event.values)

    def _put_params(self, run_id: str, values: dict[str, Any]) -> None:
        self._run(run_id)
        for key, value in values.items():
            self._session.merge(Param(run_id=run_id, key=key, value=json.dumps(value, ensure_ascii=False)))

    def _on_define(self, run_id: str, event: events.Define) -> None:
        self._run(run_id)
        row = self._session.get(MetricDefinition, (run_id, event.name)) or MetricDefinition(
            run_id=run_id, name=event.name
        )
        row.goal, row.basis = event.goal or row.goal, event.basis or row.basis
        row.unit, row.primary = event.unit or row.unit, event.primary or row.primary
        self._session.add(row)
        if event.basis:
            if run_id not in self._bases:
                self._load_series(run_id)
            self._bases[run_id][event.name] = event.basis
            self._series[run_id].pop((event.name, None), None)

    def _on_artifact(self, run_id: str, event: events.Artifact) -> None:
        self._run(run_id)
        same_place = select(Artifact).where(
            Artifact.run_id == run_id, Artifact.path == event.path, col(Artifact.superseded_at).is_(None)
        )
        for row in self._session.exec(same_place):
            if row.digest == event.digest and row.role == event.role and row.step == event.step:
                return
            if row.digest != event.digest or row.role == event.role:
                row.superseded_at = event.at
        artifact = Artifact(
            run_id=run_id,
            role=event.role,
            path=event.path,
            kind=event.kind,
            digest=event.digest,
            size_bytes=event.size_bytes,
            step=event.step,
            recorded_at=event.at,
            details=json.dumps(event.metadata),
        )
        self._session.add(artifact)
        self._session.flush()
        assert artifact.id is not None
        files = event.files or [events.ArtifactFile(Path(event.path).name, event.digest, event.size_bytes)]
        for file in files:
            self._session.add(
                ArtifactBlob(artifact_id=artifact.id, path=file.path, digest=file.digest, size_bytes=file.size_bytes)
            )

    def _on_evaluation(self, run_id: str, event: events.Evaluation) -> None:
        self._run(run_id)
        step = event.step
        if step is None and event.digest:
            found = select(Artifact.step).where(Artifact.run_id == run_id, Artifact.digest == event.digest)
            step = self._session.exec(found).first()
        row = Evaluation(
            run_id=run_id,
            digest=event.digest,
            subject=event.subject,
            suite=event.suite,
            step=step,
            basis=event.basis or MEASURED,
            dataset=event.dataset,
            at=event.at,
        )
        self._session.add(row)
        self._session.flush()
        assert row.id is not None
        for name, value in event.metrics.items():
            number = events.plain_number(value)
            low, high = event.intervals.get(name, (None, None))
            self._session.add(
                EvaluationValue(
                    evaluation_id=row.id,
                    name=name,
                    value=None if math.isnan(number) else number,
                    low=low,
                    high=high,
                    n=event.counts.get(name),
                )
            )
        if event.subject is None:
            self._metrics(run_id, events.Metrics(at=event.at, v=event.metrics, s=step, b=event.basis))

    def _on_usedataset(self, run_id: str, event: events.UseDataset) -> None:
        self._run(run_id)
        self._session.merge(
            DatasetUse(
                run_id=run_id,
                name=event.name,
                version=event.version,
                role=event.role,
                digest=event.digest,
                at=event.at,
            )
        )

    def _on_gates(self, run_id: str, event: events.Gates) -> None:
        import hashlib

        self._run(run_id)
        digest = hashlib.sha256(event.text.encode()).hexdigest()
        if self._session.get(GateSuite, digest) is None:
            self._session.add(GateSuite(digest=digest, name=event.suite, text=event.text, added_at=event.at))
            self._session.flush()
        self._session.merge(RunSuite(run_id=run_id, suite=event.suite, suite_digest=digest))

    def _on_heartbeat(self, run_id: str, event: events.Heartbeat) -> None:
        self._live(run_id).beat(event.at)

    def _on_note(self, run_id: str, event: events.Note) -> None:
        self._run(run_id)
        if event.level == "tag":
            self._session.merge(Tag(run_id=run_id, tag=event.text))
        else:
            self._session.add(Note(run_id=run_id, at=event.at, level=event.level, text=event.text, step=event.step))

    def _on_end(self, run_id: str, event: events.End) -> None:
        run = self._run(run_id)
        if event.inner:
            run.inner_status = event.status
            return
        run.status, run.exit_code, run.evidence = event.status, event.exit_code, event.evidence
        if event.status == "finished" and run.inner_status in ("failed", "killed"):
            run.status, run.evidence = run.inner_status, f"the run said {run.inner_status}; {event.evidence}"
        run.ended_at = run.heartbeat_at = event.at


# --- journals


def catch_up(db: Database) -> int:
    """Project every journal that has an unread tail and mark dead runs crashed; returns the points added.

    Does nothing on a registry that is open for reading only.
    """
    if db.readonly:
        return 0
    n_points = sum(project_journal(db, path) for path in unread_journals(db))
    reap(db)
    return n_points


def unread_journals(db: Database, extra: Iterable[Path] = ()) -> list[Path]:
    """Return the journals (below `runs/`, read before, or `extra`) that are longer than what was read of them."""
    with db.read() as session:
        cursors = {row.path: row for row in session.exec(select(JournalCursor))}
    paths = {stored_path(db, path): path for path in (*_journals_below(db.runs), *extra)}
    for stored in cursors:
        paths.setdefault(stored, db.root / stored)
    unread = []
    for stored, path in sorted(paths.items()):
        cursor = cursors.get(stored)
        try:
            size = os.stat(path).st_size
        except OSError:
            continue
        if size != (cursor.offset if cursor else 0):
            unread.append(path)
    return unread


def _journals_below(runs: Path) -> Iterator[Path]:
    try:
        with os.scandir(runs) as entries:
            folders = [entry.path for entry in entries]
    except OSError:
        return
    for folder in folders:
        yield Path(folder, places.JOURNAL_NAME)


def stored_path(db: Database, path: Path) -> str:
    """Return how a path stands in the record: relative to the registry's folder when it lies below it."""
    return path.relative_to(db.root).as_posix() if path.is_relative_to(db.root) else str(path)


def project_journal(db: Database, path: Path) -> int:
    """Project one journal from where it was left to its last whole line; returns the points added."""
    n_points = 0
    while True:
        added, more = _project_chunk(db, path)
        n_points += added
        if not more:
            return n_points


def _project_chunk(db: Database, path: Path) -> tuple[int, bool]:
    with db.write(durable=False) as session:
        cursor = _cursor(session, db, path)
        chunk = journal.read_whole_lines(path, cursor.offset, CHUNK_BYTES)
        if not chunk:
            return 0, False
        end = cursor.offset + len(chunk)
        batch, n_bad = _decode(chunk)
        if cursor.run_id is None:
            adopted = _adopt(session, db, cursor, batch[0] if batch else None, path)
            if adopted != "new":
                cursor.offset = end if adopted == "ignored" else cursor.offset
                return 0, True
        folder = stored_path(db, path.parent)
        projector = Projector(session, is_sqlite=db.is_sqlite, folder=folder)
        assert cursor.run_id is not None
        n_points = projector.apply(cursor.run_id, batch)
        projector.flush()
        cursor.offset, cursor.bad_lines, cursor.read_at = end, cursor.bad_lines + n_bad, clock.now()
        return n_points, True


def _decode(chunk: bytes) -> tuple[list[events.AnyEvent], int]:
    """Return the events of whole lines, and how many lines were torn or unknown."""
    try:
        return events.decode_lines(chunk), 0
    except (msgspec.MsgspecError, UnicodeDecodeError):
        pass
    batch, n_bad = [], 0
    for line in chunk.split(b"\n"):
        try:
            batch.append(events.decode(line))
        except (msgspec.MsgspecError, UnicodeDecodeError):
            n_bad += bool(line.strip())
    return batch, n_bad


def _cursor(session: Session, db: Database, path: Path) -> JournalCursor:
    stored = stored_path(db, path)
    query = select(JournalCursor).where(JournalCursor.path == stored)
    cursor = session.exec(query if db.is_sqlite else query.with_for_update()).first()
    status = os.stat(path)
    if cursor is None:
        cursor = JournalCursor(path=stored, inode=status.st_ino)
        session.add(cursor)
        session.flush()
    if status.st_size < cursor.offset and cursor.run_id is not None:
        session.add(
            Note(
                run_id=cursor.run_id,
                at=clock.now(),
                level="warning",
                text=f"journal {stored} became shorter ({cursor.offset} to {status.st_size} bytes); "
                "what was recorded stays",
            )
        )
        cursor.offset = status.st_size
    return cursor


def _adopt(session: Session, db: Database, cursor: JournalCursor, first: events.AnyEvent | None, path: Path) -> str:
    """Tie a journal to its run: `new`; `moved` when it was read before at another path, which is gone; `ignored` for
    a journal without a start and for the copy of one that is still there."""
    if not isinstance(first, events.Start | events.Resume):
        return "ignored"
    other = session.exec(
        select(JournalCursor).where(JournalCursor.run_id == first.run, JournalCursor.path != cursor.path)
    ).first()
    if other is None:
        cursor.run_id = first.run
        return "new"
    if (db.root / other.path).exists():
        return "ignored"
    cursor.run_id, cursor.offset, cursor.bad_lines = other.run_id, other.offset, other.bad_lines
    session.delete(other)
    run = session.get(RunRow, first.run)
    if run is not None:
        run.folder = stored_path(db, path.parent)
    return "moved"


def reap(db: Database, *, timeout_s: float = HEARTBEAT_TIMEOUT_S) -> list[str]:
    """Mark runs crashed whose process is gone, or which were silent for `timeout_s` where that cannot be told.

    Returns their ids. A run whose process said how it ended after all is left as it said.
    """
    now = clock.now()
    with db.read() as session:
        running = session.exec(select(RunRow).where(RunRow.status == "running", RunRow.source == "journal")).all()
        suspects = [(run.id, run.folder, _death(run, now, timeout_s)) for run in running]
    crashed = []
    for run_id, folder, evidence in suspects:
        if evidence is None:
            continue
        if folder is not None and (path := db.root / folder / places.JOURNAL_NAME).exists():
            project_journal(db, path)
        with db.write(durable=False) as session:
            run = session.get(RunRow, run_id)
            if run is not None and run.status == "running" and _death(run, now, timeout_s):
                run.status, run.evidence, run.ended_at = "crashed", evidence, run.heartbeat_at
                crashed.append(run_id)
    return crashed


def _death(run: RunRow, now: float, timeout_s: float) -> str | None:
    """Return the evidence that a run's process is gone, None while it may live."""
    host = json.loads(run.host)
    alive = hosts.is_alive(host)
    if alive is False:
        return f"process {host.get('pid')} on {host.get('name')} is gone and said nothing"
    silence_s = now - (run.heartbeat_at or run.started_at or now)
    if alive is None and silence_s > timeout_s:
        return f"no heartbeat from {host.get('name') or 'its host'} for {clock.age(silence_s)}"
    return None

"""Events -> rows: the one way in. Every fact about a run, from a journal or a foreign log, becomes rows here, inside
the transaction in which its reader moves the cursor.
"""

import json
import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any, cast

from sqlalchemy import text
from sqlmodel import Session, col, select

from registry import clock, events
from registry.gate_facts import refresh, refresh_suite
from registry.tables import (
    Artifact,
    ArtifactBlob,
    DatasetUse,
    Evaluation,
    EvaluationValue,
    Experiment,
    GateSuite,
    MetricDefinition,
    MetricSeries,
    Note,
    Param,
    RunRow,
    RunSuite,
    Segment,
    Tag,
)

MEASURED = "measured"
MAX_HELD_POINTS = 200_000

_INSERT_POINT = "INSERT INTO metric_point (series_id, seq, step, value, elapsed_ms, segment) VALUES (?, ?, ?, ?, ?, ?)"
_COPY_POINT = "COPY metric_point (series_id, seq, step, value, elapsed_ms, segment) FROM STDIN"
_SUMMARY_COLUMNS = (
    "count", "non_finite", "non_finite_step", "first_step", "first_value", "last_step", "last_value", "last_at",
    "min_step", "min_value", "max_step", "max_value", "segment",
)  # fmt: skip
_UPDATE_SERIES = text(
    f"UPDATE metric_series SET {', '.join(f'{name} = :{name}' for name in _SUMMARY_COLUMNS)} WHERE id = :id"
)


@dataclass(slots=True)
class _Series:
    """The summary of a series while it grows; the columns of MetricSeries, as plain attributes."""

    id: int
    count: int
    non_finite: int
    non_finite_step: int | None
    first_step: int | None
    first_value: float | None
    last_step: int | None
    last_value: float | None
    last_at: float | None
    min_step: int | None
    min_value: float | None
    max_step: int | None
    max_value: float | None
    segment: int
    changed: bool = False

    @classmethod
    def of(cls, row: MetricSeries) -> "_Series":
        """Return the summary that a row holds."""
        assert row.id is not None
        return cls(row.id, *(getattr(row, name) for name in _SUMMARY_COLUMNS))

    def take_non_finite(self, value: float, step: int | None) -> float | None:
        """Count a NaN or an infinity; returns what SQLite can keep of it (NaN is NULL there)."""
        if self.non_finite == 0:
            self.non_finite_step = step
        self.non_finite += 1
        return None if math.isnan(value) else value

    def summary(self) -> dict[str, Any]:
        """Return the values of the row's summary columns, and its id; NaN is stored as NULL."""
        values = {name: getattr(self, name) for name in ("id", *_SUMMARY_COLUMNS)}
        for name in ("first_value", "last_value"):
            if values[name] is not None and math.isnan(values[name]):
                values[name] = None
        return values


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
        self.touched: set[str] = set()
        self._calibrated: set[str] = set()

    def apply(self, run_id: str, batch: Iterable[events.AnyEvent]) -> int:
        """Apply events of one run in their order; returns how many metric points they held."""
        n_points = 0
        self.touched.add(run_id)
        for kind, some in groupby(batch, key=type):
            if kind is events.Metrics:
                n_points += self._metrics(run_id, cast(Iterator[events.Metrics], some))
            else:
                on = getattr(self, f"_on_{kind.__name__.lower()}")
                for event in some:
                    on(run_id, event)
        return n_points

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
            refresh(self._session, sorted(self.touched))
        for suite in sorted(self._calibrated):
            refresh_suite(self._session, suite)

    # --- metrics, the hot path

    def _metrics(self, run_id: str, batch: Iterable[events.Metrics], *, evaluated: bool = False) -> int:
        """Take metric events of one run in their order; returns how many points they held.

        The hot path: what does not change from event to event is looked up once.
        """
        run, points, series_of = self._live(run_id), self._points, self._series.get(run_id)
        if series_of is None:
            series_of = self._load_series(run_id)
        started_at, segment, latest, n_points = run.started_at, run.segment, 0.0, -len(points)
        for event in batch:
            at, step, basis = event.at, event.s, event.b
            elapsed_ms = int((at - (started_at or at)) * 1000.0)
            if at > latest:
                latest = at
            for name, wire in event.v.items():
                series = series_of.get((name, basis))
                if series is None:
                    series = self._find_series(run_id, name, basis)
                value = events.NON_FINITE.get(wire, math.nan) if isinstance(wire, str) else wire
                count, last_step, is_newest = series.count, series.last_step, True
                if step is not None:
                    if last_step is not None and step < last_step:
                        is_newest = not evaluated
                        if is_newest and series.segment == segment:
                            self._new_segment(run, at, "restart", name, last_step, step)
                            segment = run.segment
                    series.segment = segment
                if value - value == 0.0:
                    stored: float | None = value
                    if series.min_value is None or value < series.min_value:
                        series.min_value, series.min_step = value, step
                    if series.max_value is None or value > series.max_value:
                        series.max_value, series.max_step = value, step
                else:
                    stored = series.take_non_finite(value, step)
                if count == 0:
                    series.first_step, series.first_value = step, value
                if is_newest:
                    series.last_step, series.last_value, series.last_at = step, value, at
                points.append((series.id, count, step, stored, elapsed_ms, series.segment))
                series.count = count + 1
                series.changed = True
            if len(points) >= MAX_HELD_POINTS:
                n_points += len(points)
                self._flush_points()
        run.beat(latest)
        return n_points + len(points)

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

    def _load_series(self, run_id: str) -> dict[tuple[str, str | None], _Series]:
        self._session.flush()
        found: dict[tuple[str, str | None], _Series] = {}
        for row in self._session.exec(select(MetricSeries).where(MetricSeries.run_id == run_id)):
            found[row.name, row.basis] = _Series.of(row)
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
            series = series_of[name, true_basis] = _Series.of(row)
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
        run.total_steps, run.cost_per_hour = event.total_steps, event.cost_per_hour
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

    def _on_removed(self, run_id: str, event: events.Removed) -> None:
        self._run(run_id)
        there = select(Artifact).where(
            Artifact.run_id == run_id, Artifact.path == event.path, col(Artifact.superseded_at).is_(None)
        )
        for row in self._session.exec(there):
            row.superseded_at = event.at

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
            basis=event.basis,
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
        if event.subject is not None:
            if event.suite:
                self._calibrated.add(event.suite)
        else:
            self._metrics(run_id, [events.Metrics(at=event.at, v=event.metrics, s=step, b=event.basis)], evaluated=True)

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
                override=event.override or None,
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

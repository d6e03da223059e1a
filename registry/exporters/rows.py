"""What an exporter gets to see of a run: its row, its parameters, and series whose points are read on demand."""

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from sqlalchemy import text
from sqlmodel import Session, col, select

from registry.tables import Experiment, MetricSeries, Param, RunRow, Tag

MEASURED = "measured"


@dataclass(frozen=True)
class Point:
    """One value: `at` is unix seconds, `segment` counts the run's restarts."""

    step: int | None
    value: float
    at: float | None
    segment: int


class ExportedSeries:
    """One series; `name` carries its basis where that is not `measured` (`coverage@sampled`)."""

    def __init__(self, session: Session, row: MetricSeries, started_at: float | None) -> None:
        self.row = row
        self.name = row.name if row.basis == MEASURED else f"{row.name}@{row.basis}"
        self._session = session
        self._started_at = started_at

    def points(self) -> Iterator[Point]:
        """Yield the points in the order in which they were said."""
        statement = text("SELECT step, value, elapsed_ms, segment FROM metric_point WHERE series_id = :id ORDER BY seq")
        for step, value, elapsed_ms, segment in self._session.connection().execute(statement, {"id": self.row.id}):
            at = None if self._started_at is None or elapsed_ms is None else self._started_at + elapsed_ms / 1000.0
            yield Point(step, math.nan if value is None else value, at, segment)


@dataclass(frozen=True)
class ExportedRun:
    """One run as it leaves."""

    row: RunRow
    experiment: str
    params: dict[str, Any]
    tags: list[str]
    series: list[ExportedSeries]


def exported_runs(session: Session, run_ids: list[str]) -> Iterator[ExportedRun]:
    """Yield the runs with these ids, in this order."""
    experiments = {row.id: row.name for row in session.exec(select(Experiment))}
    for run_id in run_ids:
        row = session.get(RunRow, run_id)
        if row is None:
            continue
        params = session.exec(select(Param).where(Param.run_id == run_id).order_by(col(Param.key)))
        series = session.exec(
            select(MetricSeries)
            .where(MetricSeries.run_id == run_id)
            .order_by(col(MetricSeries.name), MetricSeries.basis)
        )
        yield ExportedRun(
            row=row,
            experiment=experiments.get(row.experiment_id, "default"),
            params={param.key: json.loads(param.value) for param in params},
            tags=list(session.exec(select(Tag.tag).where(Tag.run_id == run_id).order_by(col(Tag.tag)))),
            series=[ExportedSeries(session, one, row.started_at) for one in series],
        )

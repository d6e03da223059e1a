"""What gates see of a series: its summary, and its value at a checkpoint's step, which is found by search in the order
in which the points were said, never by a scan.
"""

import math
from dataclasses import dataclass

from sqlmodel import Session, col, func, select

from registry.gates import Observed, SeriesFacts
from registry.tables import Artifact, MetricPoint, MetricSeries, Segment


@dataclass(frozen=True)
class Summary:
    """The summary of a series, read as columns: rows of the session may be older than the summary."""

    id: int
    name: str
    basis: str
    count: int
    last_step: int | None
    last_value: float | None
    min_step: int | None
    min_value: float | None
    max_step: int | None
    max_value: float | None
    segment: int


def summaries(session: Session, run_id: str, names: list[str]) -> list[Summary]:
    """Return the series of a run that have these names and any value, by name and basis."""
    columns = [getattr(MetricSeries, name) for name in Summary.__dataclass_fields__]
    rows = session.exec(
        select(*columns)
        .where(MetricSeries.run_id == run_id, col(MetricSeries.name).in_(names), MetricSeries.count > 0)
        .order_by(col(MetricSeries.name), col(MetricSeries.basis))
    )
    return [Summary(*row) for row in rows]


def series_facts(session: Session, row: Summary, artifact: Artifact | None) -> SeriesFacts:
    """Return what gates may see of a series: its last value, its extremes, its value at the checkpoint's own step."""

    def observed(value: float | None, step: int | None, which: str) -> Observed:
        at = f" at step {step}" if step is not None else ""
        return Observed(math.nan if value is None else value, step, row.basis, source=f"{which}{at}")

    found, value = (False, None)
    if artifact is not None and artifact.step is not None:
        found, value = value_at_step(session, row.id, row.count, artifact.step, _segment_of(session, artifact, row))
    return SeriesFacts(
        basis=row.basis,
        last=observed(row.last_value, row.last_step, "last"),
        least=observed(row.min_value, row.min_step, "least") if row.min_value is not None else None,
        greatest=observed(row.max_value, row.max_step, "greatest") if row.max_value is not None else None,
        at_checkpoint=observed(value, artifact.step, "logged") if found and artifact else None,
    )


def _segment_of(session: Session, artifact: Artifact, series: Summary) -> int:
    """Return the segment of the run in which an artifact was recorded."""
    if series.segment == 0:
        return 0
    number = session.exec(
        select(func.max(Segment.number)).where(Segment.run_id == artifact.run_id, Segment.at <= artifact.recorded_at)
    ).first()
    return number or 0


def value_at_step(
    session: Session, series_id: int, count: int, step: int, segment: int = 0
) -> tuple[bool, float | None]:
    """Return whether a series of `count` points has a value at `step`, and that value (None stands for NaN).

    Where the step was passed more than once, the value of `segment` counts, else of the one before it, else of the one
    after it; within a segment the last that was said.
    """
    ordered = _Ordered(session, series_id, count)
    last_segment = session.exec(
        select(MetricPoint.segment)
        .where(MetricPoint.series_id == series_id, col(MetricPoint.step).is_not(None))
        .order_by(col(MetricPoint.seq).desc())
        .limit(1)
    ).first()
    if last_segment is None:
        return False, None
    for number in (*range(min(segment, last_segment), -1, -1), *range(segment + 1, last_segment + 1)):
        position = ordered.first_after((number, step)) - 1
        if position >= 0 and ordered.key(position) == (number, step):
            return True, ordered.value(position)
    return False, None


_BEYOND = (1 << 15, 0)


class _Ordered:
    """The points of one series. Within it (segment, step) never falls as `seq` grows.

    A point without a step stands with the next one that has a step.
    """

    def __init__(self, session: Session, series_id: int, count: int) -> None:
        self._session = session
        self._series_id = series_id
        self._count = count
        self._seen: dict[int, tuple[tuple[int, int], float | None]] = {}

    def _point(self, seq: int) -> tuple[tuple[int, int], float | None]:
        if seq not in self._seen:
            row = self._session.exec(
                select(MetricPoint.segment, MetricPoint.step, MetricPoint.value)
                .where(
                    MetricPoint.series_id == self._series_id,
                    MetricPoint.seq >= seq,
                    col(MetricPoint.step).is_not(None),
                )
                .order_by(col(MetricPoint.seq))
                .limit(1)
            ).first()
            self._seen[seq] = ((row[0], row[1] or 0), row[2]) if row else (_BEYOND, None)
        return self._seen[seq]

    def key(self, seq: int) -> tuple[int, int]:
        """Return (segment, step) of a point."""
        return self._point(seq)[0]

    def value(self, seq: int) -> float | None:
        """Return the value of a point, None for NaN."""
        return self._point(seq)[1]

    def first_after(self, key: tuple[int, int]) -> int:
        """Return the position of the first point beyond `key`, the number of points when there is none."""
        low, high = 0, self._count
        while low < high:
            middle = (low + high) // 2
            if self.key(middle) > key:
                high = middle
            else:
                low = middle + 1
        return low

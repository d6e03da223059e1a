"""The value of a series at a step, found by search in the order in which its points were said, never by a scan."""

from sqlmodel import Session, col, select

from registry.tables import MetricPoint


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

"""Reading a file again without recording its values again: a rewritten document, a truncated or replaced log.

The values of each series are compared, in order, with those on record; only what is not there yet goes on.
"""

from itertools import islice
from typing import Any

from sqlalchemy import text
from sqlmodel import Session, select

from registry.ingest.records import State, Values
from registry.tables import MetricSeries

APPENDING = -1


class Stored:
    """The points on record of one series, read in order."""

    def __init__(self, session: Session, run_id: str, name: str) -> None:
        self._connection = session.connection()
        query = select(MetricSeries.id).where(MetricSeries.run_id == run_id, MetricSeries.name == name)
        self._series_id = session.exec(query).first()

    def after(self, seq: int, n_points: int) -> list[tuple[Any, Any]]:
        """Return up to `n_points` (step, value) from `seq` on."""
        if self._series_id is None:
            return []
        statement = text(
            "SELECT step, value FROM metric_point WHERE series_id = :id AND seq >= :seq ORDER BY seq LIMIT :limit"
        )
        rows = self._connection.execute(statement, {"id": self._series_id, "seq": seq, "limit": n_points})
        return [(step, value) for step, value in rows]

    def find(self, step: int | None, value: float, seq: int) -> int | None:
        """Return the first place from `seq` on that holds this step and value."""
        if self._series_id is None:
            return None
        is_step = "step IS NULL" if step is None else "step = :step"
        is_value = "value IS NULL" if value != value else "value = :value"
        statement = text(
            f"SELECT seq FROM metric_point WHERE series_id = :id AND seq >= :seq AND {is_step} AND {is_value} "
            "ORDER BY seq LIMIT 1"
        )
        known = {"id": self._series_id, "seq": seq, "step": step, "value": value}
        found = self._connection.execute(statement, known).first()
        return int(found[0]) if found else None


def unseen(replay: State, batch: list[Values], stored: Any) -> list[Values]:
    """Return the values of a batch that are not on record; `replay` keeps for each series how far it was compared.

    `stored` returns the `Stored` points of a series by name.
    """
    by_name: dict[str, list[Values]] = {}
    for values in batch:
        for name in values.values:
            by_name.setdefault(name, []).append(values)
    for name, carriers in by_name.items():
        if replay.get(name, 0) == APPENDING:
            continue
        known = stored(name)
        n_known, replay[name] = _count_known(known, replay.get(name, 0), name, carriers)
        for values in islice(carriers, n_known):
            del values.values[name]
    return [values for values in batch if values.values]


def _count_known(stored: Stored, seq: int, name: str, carriers: list[Values]) -> tuple[int, int]:
    """Return how many of the values are on record, and where the comparison goes on."""
    n_known = 0
    while n_known < len(carriers):
        rows = stored.after(seq, len(carriers) - n_known)
        for step, value in rows:
            if not _same(carriers[n_known], name, step, value):
                break
            n_known += 1
            seq += 1
        if n_known == len(carriers):
            return n_known, seq
        values = carriers[n_known]
        elsewhere = stored.find(values.step, values.values[name], seq)
        if elsewhere is None:
            return n_known, APPENDING
        seq = elsewhere
    return n_known, seq


def _same(values: Values, name: str, step: int | None, value: float | None) -> bool:
    number = values.values[name]
    return values.step == step and (number == value or (number != number and value is None))

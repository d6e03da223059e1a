"""Where each point stands in its log: byte offsets, packed by the block, so that tracing costs few bytes a point."""

import sys
import zlib
from array import array
from dataclasses import dataclass
from itertools import pairwise

from sqlalchemy import Connection, bindparam, text
from sqlmodel import Session, col, select

from registry.tables import LogCursor, MetricPoint, MetricSeries, PointOrigin

BLOCK_POINTS = 4096
_IDS_PER_QUERY = 500
_LAST = text(
    "SELECT o.series_id, o.seq, o.cursor_id, o.n_points, o.offsets FROM point_origin o WHERE o.series_id IN :ids "
    "AND o.seq = (SELECT max(p.seq) FROM point_origin p WHERE p.series_id = o.series_id)"
).bindparams(bindparam("ids", expanding=True))
_INSERT = text(
    "INSERT INTO point_origin (series_id, seq, cursor_id, n_points, offsets) "
    "VALUES (:series_id, :seq, :cursor_id, :n_points, :offsets)"
)
_UPDATE = text(
    "UPDATE point_origin SET n_points = :n_points, offsets = :offsets WHERE series_id = :series_id AND seq = :seq"
)


def pack(offsets: list[int]) -> bytes:
    """Return byte offsets as compressed differences."""
    deltas = array("q", offsets[:1])
    deltas.extend(later - earlier for earlier, later in pairwise(offsets))
    if sys.byteorder == "big":
        deltas.byteswap()
    return zlib.compress(deltas.tobytes(), 1)


def unpack(packed: bytes) -> list[int]:
    """Return the byte offsets that `pack` packed."""
    deltas = array("q")
    deltas.frombytes(zlib.decompress(packed))
    if sys.byteorder == "big":
        deltas.byteswap()
    offset, offsets = 0, []
    for delta in deltas:
        offset += delta
        offsets.append(offset)
    return offsets


@dataclass(frozen=True)
class Stretch:
    """New points of a series, from `seq` on, and where they stand in one log."""

    series_id: int
    seq: int
    cursor_id: int
    offsets: list[int]


@dataclass
class _Block:
    """One row: `n_points` points of a series from `seq` on. `is_new`: it is not in the table yet."""

    series_id: int
    seq: int
    cursor_id: int
    n_points: int
    offsets: bytes
    is_new: bool = False

    def goes_on(self, stretch: Stretch) -> bool:
        """Return whether a stretch carries on where this block ends, and there is room."""
        follows = self.cursor_id == stretch.cursor_id and self.seq + self.n_points == stretch.seq
        return follows and self.n_points < BLOCK_POINTS

    def row(self) -> dict[str, int | bytes]:
        """Return the block as the statements take it."""
        return {
            "series_id": self.series_id, "seq": self.seq, "cursor_id": self.cursor_id, "n_points": self.n_points,
            "offsets": self.offsets,
        }  # fmt: skip


def append(session: Session, stretches: list[Stretch]) -> None:
    """Record where new points stand; a series' last block is filled before another is begun."""
    connection = session.connection()
    last = _last_blocks(connection, [stretch.series_id for stretch in stretches])
    changed: list[_Block] = []
    for stretch in stretches:
        seq, offsets, block = stretch.seq, stretch.offsets, last.get(stretch.series_id)
        if block is not None and block.goes_on(stretch):
            room = BLOCK_POINTS - block.n_points
            block.offsets = pack(unpack(block.offsets) + offsets[:room])
            block.n_points += len(offsets[:room])
            changed.append(block)
            seq, offsets = seq + room, offsets[room:]
        for start in range(0, len(offsets), BLOCK_POINTS):
            part = offsets[start : start + BLOCK_POINTS]
            block = _Block(stretch.series_id, seq + start, stretch.cursor_id, len(part), pack(part), is_new=True)
            changed.append(block)
            last[stretch.series_id] = block
    new = {id(block): block.row() for block in changed if block.is_new}
    grown = {id(block): block.row() for block in changed if not block.is_new}
    if new:
        connection.execute(_INSERT, list(new.values()))
    if grown:
        connection.execute(_UPDATE, list(grown.values()))


def _last_blocks(connection: Connection, series_ids: list[int]) -> dict[int, _Block]:
    """Return the last block of each series that has one."""
    found: dict[int, _Block] = {}
    for start in range(0, len(series_ids), _IDS_PER_QUERY):
        rows = connection.execute(_LAST, {"ids": series_ids[start : start + _IDS_PER_QUERY]})
        found.update((row[0], _Block(*row)) for row in rows)
    return found


def locate(session: Session, run_id: str, name: str, step: int) -> list[tuple[str, int]]:
    """Return `(path, byte offset)` for each point of a metric at a step, in the order in which they were said."""
    query = (
        select(MetricPoint.series_id, MetricPoint.seq)
        .join(MetricSeries, col(MetricSeries.id) == MetricPoint.series_id)
        .where(MetricSeries.run_id == run_id, MetricSeries.name == name, MetricPoint.step == step)
        .order_by(col(MetricPoint.series_id), col(MetricPoint.seq))
    )
    return [found for series_id, seq in session.exec(query) if (found := _at(session, series_id, seq)) is not None]


def _at(session: Session, series_id: int, seq: int) -> tuple[str, int] | None:
    block = session.exec(
        select(PointOrigin)
        .where(PointOrigin.series_id == series_id, PointOrigin.seq <= seq)
        .order_by(col(PointOrigin.seq).desc())
        .limit(1)
    ).first()
    if block is None or seq >= block.seq + block.n_points:
        return None
    cursor = session.get(LogCursor, block.cursor_id)
    return (cursor.path, unpack(block.offsets)[seq - block.seq]) if cursor else None

"""Where each point stands in its log: byte offsets, packed by the block, so that tracing costs few bytes a point."""

import sys
import zlib
from array import array
from itertools import pairwise

from sqlmodel import Session, col, select

from registry.tables import LogCursor, MetricPoint, MetricSeries, PointOrigin

BLOCK_POINTS = 4096


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


def append(session: Session, series_id: int, seq: int, cursor_id: int, offsets: list[int]) -> None:
    """Record that the points of a series from `seq` on stand at these offsets of a log; fills the last block first."""
    last = session.exec(
        select(PointOrigin).where(PointOrigin.series_id == series_id).order_by(col(PointOrigin.seq).desc()).limit(1)
    ).first()
    if last and last.cursor_id == cursor_id and last.seq + last.n_points == seq and last.n_points < BLOCK_POINTS:
        room = BLOCK_POINTS - last.n_points
        last.offsets = pack(unpack(last.offsets) + offsets[:room])
        last.n_points += len(offsets[:room])
        session.add(last)
        seq, offsets = seq + room, offsets[room:]
    for start in range(0, len(offsets), BLOCK_POINTS):
        block = offsets[start : start + BLOCK_POINTS]
        session.add(
            PointOrigin(
                series_id=series_id, seq=seq + start, cursor_id=cursor_id, n_points=len(block), offsets=pack(block)
            )
        )


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

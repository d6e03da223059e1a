"""Where each point stands in its log: byte offsets, packed by the block, so that tracing costs few bytes a point."""

import sys
import zlib
from array import array
from dataclasses import dataclass
from itertools import pairwise

from sqlalchemy import func
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


@dataclass(frozen=True)
class Stretch:
    """New points of a series, from `seq` on, and where they stand in one log."""

    series_id: int
    seq: int
    cursor_id: int
    offsets: list[int]


def append(session: Session, stretches: list[Stretch]) -> None:
    """Record where new points stand; a series' last block is filled before another is begun."""
    last = _last_blocks(session, {stretch.series_id for stretch in stretches})
    for stretch in stretches:
        seq, offsets, block = stretch.seq, stretch.offsets, last.get(stretch.series_id)
        if block is not None and _goes_on(block, stretch):
            room = BLOCK_POINTS - block.n_points
            block.offsets = pack(unpack(block.offsets) + offsets[:room])
            block.n_points += len(offsets[:room])
            session.add(block)
            seq, offsets = seq + room, offsets[room:]
        for start in range(0, len(offsets), BLOCK_POINTS):
            part = offsets[start : start + BLOCK_POINTS]
            block = PointOrigin(
                series_id=stretch.series_id,
                seq=seq + start,
                cursor_id=stretch.cursor_id,
                n_points=len(part),
                offsets=pack(part),
            )
            session.add(block)
            last[stretch.series_id] = block


def _goes_on(block: PointOrigin, stretch: Stretch) -> bool:
    follows = block.cursor_id == stretch.cursor_id and block.seq + block.n_points == stretch.seq
    return follows and block.n_points < BLOCK_POINTS


def _last_blocks(session: Session, series_ids: set[int]) -> dict[int, PointOrigin]:
    """Return the last block of each series that has one."""
    newest = (
        select(PointOrigin.series_id, func.max(PointOrigin.seq).label("seq"))
        .where(col(PointOrigin.series_id).in_(series_ids))
        .group_by(col(PointOrigin.series_id))
        .subquery()
    )
    query = select(PointOrigin).join(
        newest, (col(PointOrigin.series_id) == newest.c.series_id) & (col(PointOrigin.seq) == newest.c.seq)
    )
    return {block.series_id: block for block in session.exec(query)}


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

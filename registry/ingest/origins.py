"""Where each point stands in its log: byte offsets, packed by the block, so that tracing costs few bytes a point."""

import sys
import zlib
from array import array
from dataclasses import asdict, dataclass
from itertools import pairwise

from sqlalchemy import Connection, bindparam, text
from sqlmodel import Session, col, select

from registry.ingest import decode
from registry.tables import LogCursor, MetricPoint, MetricSeries, PointOrigin

BLOCK_POINTS = 4096
MAX_SHOWN_BYTES = 65536
MAX_SHOWN_CHARS = 300
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


@dataclass(frozen=True)
class Origin:
    """Where one point stands: the log, the byte in it, and the line there (None: the file is no longer as it was)."""

    step: int | None
    value: float | None
    path: str
    offset: int
    line: str | None

    def as_json(self) -> dict[str, int | float | str | None]:
        """Return the origin as JSON."""
        return asdict(self)


def locate(session: Session, run_id: str, name: str, step: int | None) -> list[tuple[str, int]]:
    """Return `(path, byte offset)` for each point of a metric at a step, in the order in which they were said."""
    return [(path, offset) for _point, path, offset in _located(session, run_id, name, step)]


def trace(session: Session, run_id: str, name: str, step: int | None) -> list[Origin]:
    """Return where the points of a metric at a step stand, with their lines as the logs hold them now."""
    return [
        Origin(step, point.value, path, offset, _line_at(path, offset))
        for point, path, offset in _located(session, run_id, name, step)
    ]


def _located(session: Session, run_id: str, name: str, step: int | None) -> list[tuple[MetricPoint, str, int]]:
    query = (
        select(MetricPoint)
        .join(MetricSeries, col(MetricSeries.id) == MetricPoint.series_id)
        .where(MetricSeries.run_id == run_id, MetricSeries.name == name, MetricPoint.step == step)
        .order_by(col(MetricPoint.series_id), col(MetricPoint.seq))
    )
    points = session.exec(query).all()
    return [(point, *found) for point in points if (found := _at(session, point.series_id, point.seq)) is not None]


def _line_at(path: str, offset: int) -> str | None:
    """Return the text from a byte of a file to the end of its line; None where the file is not there."""
    try:
        with open(path, "rb") as file:
            encoding = decode.encoding_of(file.read(4096))
            file.seek(offset)
            head = file.read(MAX_SHOWN_BYTES)
    except OSError:
        return None
    if not head:
        return None
    lines, _consumed = decode.take_lines(head, offset, encoding, last=True)
    return lines[0][1][:MAX_SHOWN_CHARS] if lines else ""


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
    if cursor is None:
        return None
    return cursor.path.removesuffix(f"#{cursor.candidate}"), unpack(block.offsets)[seq - block.seq]

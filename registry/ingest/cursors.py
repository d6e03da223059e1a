"""The cursors of one run's files: found again after a rename, a rotation or a move, handed over when a file turns out
to belong to another run, and never made for a copy of a run that is known already.
"""

import json
import os
from hashlib import sha256
from typing import Any

from sqlmodel import Session, col, select

from registry import clock
from registry.ingest.discover import Found
from registry.ingest.formats.files import FILE_FORMATS
from registry.ingest.group import Candidate, Source, family_of
from registry.ingest.runs import forget_points
from registry.tables import LogCursor, Note, RunRow

HEAD_BYTES = 1024
TAIL_BYTES = 256
MIN_COPY_BYTES = 256
SHARED_KIND = "parameters"
"""Files of this kind may belong to several runs; each run has a cursor of its own for them."""

Packed = dict[str, dict[str, list[Any]]]


def cursor_path(candidate: Candidate, source: Source) -> str:
    """Return the path under which a source's cursor is kept."""
    return f"{source.path}#{candidate.key}" if source.kind == SHARED_KIND else source.path


def cursors_of(session: Session, candidate_key: str) -> list[LogCursor]:
    """Return the cursors of a candidate's files."""
    return list(session.exec(select(LogCursor).where(LogCursor.candidate == candidate_key)))


def open_cursors(session: Session, candidate: Candidate, found: dict[str, Found]) -> list[LogCursor] | None:
    """Return a cursor for each source of a candidate, in their order; None when the candidate is a copy of a known run.

    `found` are the files as they are now, by path.
    """
    known = {cursor.path: cursor for cursor in cursors_of(session, candidate.key)}
    if known:
        _follow_renamed(session, candidate, found, known)
    elif _is_copy(session, candidate, found):
        return None
    else:
        known = {cursor.path: cursor for cursor in cursors_of(session, candidate.key)}
    paths = [cursor_path(candidate, source) for source in candidate.sources]
    unknown = [path for path in paths if path not in known]
    elsewhere = select(LogCursor).where(col(LogCursor.path).in_(unknown), LogCursor.candidate != candidate.key)
    for cursor in session.exec(elsewhere).all() if unknown else ():
        _take_over(session, candidate, cursor)
        known[cursor.path] = cursor
    return [known.get(path) or LogCursor(path=path, candidate=candidate.key, size_bytes=-1) for path in paths]


def start_over(session: Session, candidate: Candidate, roles: Packed) -> None:
    """Take back what was recorded of a run's course and set its cursors to the start, under these roles."""
    known = {cursor.path: cursor for cursor in cursors_of(session, candidate.key)}
    for run_id in {cursor.run_id for cursor in known.values() if cursor.run_id is not None}:
        forget_points(session, run_id)
    for path, kept in roles.items():
        cursor = known.get(path) or LogCursor(path=path, candidate=candidate.key)
        _rewind(cursor)
        cursor.roles = json.dumps(kept)
        session.add(cursor)


def _rewind(cursor: LogCursor) -> None:
    cursor.offset, cursor.state, cursor.size_bytes, cursor.settled = 0, "{}", -1, False


# --- files that changed their name or their run


def _follow_renamed(
    session: Session, candidate: Candidate, found: dict[str, Found], known: dict[str, LogCursor]
) -> None:
    """A cursor whose file was renamed (`train.log` to `train.log.1`) goes with its bytes."""
    homeless = [
        cursor
        for path, cursor in known.items()
        if cursor.offset > 0 and not _is_whole(cursor) and not (path in found and continues(cursor, found[path]))
    ]
    moves = {}
    for cursor in homeless:
        for source in candidate.sources:
            path = source.path
            taken = path in moves or (path in known and known[path] not in homeless)
            if not taken and path != cursor.path and _may_be_renamed(cursor, found[path]):
                moves[path] = cursor
                break
    for place, cursor in enumerate(homeless):
        if cursor in moves.values() or cursor.path in moves:
            del known[cursor.path]
            cursor.path = f"{cursor.path}#{place}"
            session.add(cursor)
    session.flush()
    for path, cursor in moves.items():
        cursor.path = path
        known[path] = cursor
    session.flush()


def _may_be_renamed(cursor: LogCursor, found: Found) -> bool:
    """Return whether a file is the one that a cursor read under another name: a rotated log, or the same inode."""
    same_inode = (cursor.device, cursor.inode) == (found.device, found.inode)
    return (same_inode or family_of(cursor.path) == family_of(found.path)) and continues(cursor, found)


def _is_whole(cursor: LogCursor) -> bool:
    form = FILE_FORMATS.get(cursor.format)
    return form is not None and form.whole


def _take_over(session: Session, candidate: Candidate, cursor: LogCursor) -> None:
    """A file that was read as another run's belongs to this one after all; a run that it leaves empty is put away."""
    former, run_id = cursor.candidate, cursor.run_id
    cursor.candidate, cursor.run_id, cursor.format, cursor.roles = candidate.key, None, "", "{}"
    _rewind(cursor)
    session.add(cursor)
    session.flush()
    if run_id is None or cursors_of(session, former):
        return
    row = session.get(RunRow, run_id)
    if row is not None and row.deleted_at is None:
        row.deleted_at = clock.now()
        session.add(Note(run_id=run_id, at=clock.now(), level="info", text=f"its files belong to {candidate.name}"))


# --- copies


def _is_copy(session: Session, candidate: Candidate, found: dict[str, Found]) -> bool:
    """Return whether these files are, byte for byte, those of a run that is known at another place.

    If that place is gone the run has moved here, and its cursors come along.
    """
    for source in candidate.sources:
        file = found[source.path]
        if file.size < MIN_COPY_BYTES or source.kind == SHARED_KIND:
            continue
        digest = head_digest(file.path, min(file.size, HEAD_BYTES))
        same = select(LogCursor).where(LogCursor.head_digest == digest, LogCursor.candidate != candidate.key)
        for cursor in session.exec(same).all():
            if os.path.basename(cursor.path) != os.path.basename(file.path) or cursor.run_id is None:
                continue
            if os.path.exists(cursor.path):
                if _same_bytes(candidate, cursor.candidate):
                    return True
            elif continues(cursor, file):
                _adopt(session, candidate, cursor.candidate)
                return False
    return False


def _same_bytes(candidate: Candidate, other: str) -> bool:
    """Return whether every file here has a twin of the same content in the other run's folder."""
    for source in candidate.sources:
        twin = os.path.normpath(os.path.join(other, os.path.relpath(source.path, candidate.key)))
        try:
            if os.path.getsize(twin) != os.path.getsize(source.path) or _digest(twin) != _digest(source.path):
                return False
        except OSError:
            return False
    return True


def _adopt(session: Session, candidate: Candidate, other: str) -> None:
    """Take the cursors of a run whose folder was moved here."""
    for cursor in cursors_of(session, other):
        path, _, _owner = cursor.path.partition("#")
        moved = os.path.normpath(os.path.join(candidate.key, os.path.relpath(path, other)))
        cursor.path = moved if path == cursor.path else f"{moved}#{candidate.key}"
        cursor.candidate = candidate.key
        session.add(cursor)
    session.flush()


# --- fingerprints


def set_fingerprint(cursor: LogCursor, path: str) -> None:
    """Keep the digests by which the file is known again: its first bytes, and the last ones that were read."""
    cursor.head_digest = head_digest(path, min(cursor.offset, HEAD_BYTES))
    cursor.tail_digest = _tail_digest(path, cursor.offset)


def continues(cursor: LogCursor, found: Found) -> bool:
    """Return whether a file begins with the bytes that were read, whatever its inode is now."""
    if found.size < cursor.offset:
        return False
    try:
        return (
            head_digest(found.path, min(cursor.offset, HEAD_BYTES)) == cursor.head_digest
            and _tail_digest(found.path, cursor.offset) == cursor.tail_digest
        )
    except OSError:
        return False


def head_digest(path: str, n_bytes: int) -> str:
    """Return the length and the sha256 of the first bytes of a file."""
    with open(path, "rb") as stream:
        return f"{n_bytes}:{sha256(stream.read(n_bytes)).hexdigest()}"


def _tail_digest(path: str, offset: int) -> str:
    start = max(0, offset - TAIL_BYTES)
    with open(path, "rb") as stream:
        stream.seek(start)
        return sha256(stream.read(offset - start)).hexdigest()


def _digest(path: str) -> str:
    with open(path, "rb") as stream:
        return sha256(stream.read()).hexdigest()

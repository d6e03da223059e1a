"""Journals -> the registry: which journals have an unread tail, how one is read on, and which runs are dead.

The offset of a journal and the rows made of it are committed in one transaction, so reading is exactly-once, whoever
does it and however often it is interrupted.
"""

import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec
from sqlmodel import Session, select

from registry import clock, events, hosts, journal, places
from registry.database import Database
from registry.projection import Projector
from registry.tables import JournalCursor, Note, RunRow

CHUNK_BYTES = 8 << 20
HEARTBEAT_TIMEOUT_S = 120.0


def catch_up(db: Database, *, mark_dead: bool = True) -> int:
    """Project every journal that has an unread tail and mark dead runs crashed; returns the points added.

    Does nothing on a registry that is open for reading only.
    """
    if db.readonly:
        return 0
    n_points = sum(project_journal(db, path) for path in unread_journals(db))
    if mark_dead:
        reap(db)
    return n_points


def unread_journals(db: Database, extra: Iterable[Path] = ()) -> list[Path]:
    """Return the journals (below `runs/`, read before, or `extra`) that are longer than what was read of them."""
    with db.read() as session:
        offsets = dict(session.exec(select(JournalCursor.path, JournalCursor.offset)).all())
    found = dict.fromkeys((*_journals_below(db), *(stored_path(db, path) for path in extra)), 0)
    found.update(offsets)
    root, unread = str(db.root), []
    for stored in sorted(found):
        path = os.path.join(root, stored)  # noqa: PTH118 (strings: ten times as fast, and there may be ten thousand)
        try:
            size = os.stat(path).st_size
        except OSError:
            continue
        if size != found[stored]:
            unread.append(Path(path))
    return unread


def _journals_below(db: Database) -> Iterator[str]:
    """The journals of the run folders, as they stand in the record; strings, for there may be ten thousand."""
    below = f"{stored_path(db, db.runs)}/"
    try:
        with os.scandir(db.runs) as entries:
            names = [entry.name for entry in entries]
    except OSError:
        return
    for name in names:
        yield f"{below}{name}/{places.JOURNAL_NAME}"


def stored_path(db: Database, path: Path) -> str:
    """Return how a path stands in the record: relative to the registry's folder when it lies below it."""
    return path.relative_to(db.root).as_posix() if path.is_relative_to(db.root) else str(path)


def project_journal(db: Database, path: Path) -> int:
    """Project one journal from where it was left to its last whole line; returns the points added."""
    n_points = 0
    while True:
        added, more = _project_chunk(db, path)
        n_points += added
        if not more:
            return n_points


def _project_chunk(db: Database, path: Path) -> tuple[int, bool]:
    """Project what a journal has now, at most CHUNK_BYTES; returns the points added, and whether it has more."""
    with db.write(durable=False) as session:
        cursor = _cursor(session, db, path)
        chunk = journal.read_whole_lines(path, cursor.offset, CHUNK_BYTES)
        if not chunk:
            return 0, False
        end = cursor.offset + len(chunk)
        batch, n_bad = _decode(chunk)
        if cursor.run_id is None:
            adopted = _adopt(session, db, cursor, batch[0] if batch else None, path)
            if adopted != "new":
                cursor.offset = end if adopted == "ignored" else cursor.offset
                return 0, True
        folder = stored_path(db, path.parent)
        projector = Projector(session, is_sqlite=db.is_sqlite, folder=folder)
        assert cursor.run_id is not None
        n_points = projector.apply(cursor.run_id, batch)
        projector.flush()
        cursor.offset, cursor.bad_lines, cursor.read_at = end, cursor.bad_lines + n_bad, clock.now()
        return n_points, os.stat(path).st_size > end


def _decode(chunk: bytes) -> tuple[list[events.AnyEvent], int]:
    """Return the events of whole lines, and how many lines were torn or unknown."""
    try:
        return events.decode_lines(chunk), 0
    except (msgspec.MsgspecError, UnicodeDecodeError):
        pass
    batch, n_bad = [], 0
    for line in chunk.split(b"\n"):
        try:
            batch.append(events.decode(line))
        except (msgspec.MsgspecError, UnicodeDecodeError):
            n_bad += bool(line.strip())
    return batch, n_bad


def _cursor(session: Session, db: Database, path: Path) -> JournalCursor:
    stored = stored_path(db, path)
    cursor = session.get(JournalCursor, stored)
    status = os.stat(path)
    if cursor is None:
        cursor = JournalCursor(path=stored, inode=status.st_ino)
        session.add(cursor)
        session.flush()
    if status.st_size < cursor.offset and cursor.run_id is not None:
        session.add(
            Note(
                run_id=cursor.run_id,
                at=clock.now(),
                level="warning",
                text=f"journal {stored} became shorter ({cursor.offset} to {status.st_size} bytes); "
                "what was recorded stays",
            )
        )
        cursor.offset = status.st_size
    return cursor


def _adopt(session: Session, db: Database, cursor: JournalCursor, first: events.AnyEvent | None, path: Path) -> str:
    """Tie a journal to its run: `new`; `moved` when it was read before at another path, which is gone; `ignored` for
    a journal without a start and for the copy of one that is still there."""
    if not isinstance(first, events.Start | events.Resume):
        return "ignored"
    other = session.exec(
        select(JournalCursor).where(JournalCursor.run_id == first.run, JournalCursor.path != cursor.path)
    ).first()
    if other is None:
        cursor.run_id = first.run
        return "new"
    if (db.root / other.path).exists():
        return "ignored"
    cursor.run_id, cursor.offset, cursor.bad_lines = other.run_id, other.offset, other.bad_lines
    session.delete(other)
    run = session.get(RunRow, first.run)
    if run is not None:
        run.folder = stored_path(db, path.parent)
    return "moved"


def reap(db: Database, *, timeout_s: float = HEARTBEAT_TIMEOUT_S) -> list[str]:
    """Mark runs crashed whose process is gone, or which were silent for `timeout_s` where that cannot be told.

    Returns their ids. A run whose process said how it ended after all is left as it said.
    """
    now = clock.now()
    with db.read() as session:
        running = session.exec(select(RunRow).where(RunRow.status == "running", RunRow.source == "journal")).all()
        suspects = [(run.id, run.folder, _death(run, now, timeout_s)) for run in running]
    crashed = []
    for run_id, folder, evidence in suspects:
        if evidence is None:
            continue
        if folder is not None and (path := db.root / folder / places.JOURNAL_NAME).exists():
            project_journal(db, path)
        with db.write(durable=False) as session:
            run = session.get(RunRow, run_id)
            if run is not None and run.status == "running" and _death(run, now, timeout_s):
                run.status, run.evidence, run.ended_at = "crashed", evidence, run.heartbeat_at
                crashed.append(run_id)
    return crashed


def _death(run: RunRow, now: float, timeout_s: float) -> str | None:
    """Return the evidence that a run's process is gone, None while it may live."""
    host = json.loads(run.host)
    alive = hosts.is_alive(host)
    if alive is False:
        return f"process {host.get('pid')} on {host.get('name')} is gone and said nothing"
    silence_s = now - (run.heartbeat_at or run.started_at or now)
    if alive is None and silence_s > timeout_s:
        return f"no heartbeat from {host.get('name') or 'its host'} for {clock.age(silence_s)}"
    return None

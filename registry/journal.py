"""Append and read journals. An append is one `write()` on an O_APPEND descriptor: a process killed the next instant
has lost nothing it was told was logged. Readers never see a torn line: the tail after the last newline stays unread.
"""

import errno
import os
import threading
from collections import deque
from collections.abc import Callable
from pathlib import Path

from registry import events

MAX_PENDING_LINES = 100_000
FSYNC_INTERVAL_S = 1.0
_DISK_ERRORS = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EROFS, errno.EFBIG}


class JournalWriter:
    """Appends events to one journal file; safe to use from several threads and several processes.

    When the disk refuses a line, training goes on: up to MAX_PENDING_LINES lines wait in memory and are written as
    soon as there is room, `complain` is told once, and `lost_lines` counts what had to be given up.
    """

    def __init__(self, path: Path, complain: Callable[[str], None]) -> None:
        flags = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self.path = path
        self.lost_lines = 0
        self._fd = os.open(path, flags, 0o644)
        self._write = os.write
        self._complain = complain
        self._pending: deque[bytes] = deque()
        self._lock = threading.Lock()
        self._dirty = False
        self._end_torn_line()

    def _end_torn_line(self) -> None:
        """Close a line that a killed writer left open, so that ours is not glued to it."""
        with open(self.path, "rb") as file:
            if file.seek(0, os.SEEK_END) == 0:
                return
            file.seek(-1, os.SEEK_END)
            if file.read(1) != b"\n":
                os.write(self._fd, b"\n")

    def append(self, line: bytes) -> None:
        """Append one whole line (newline included) with one `write()`."""
        if self._pending:
            self._append_late(line)
            return
        try:
            written = self._write(self._fd, line)
        except OSError as error:
            if error.errno not in _DISK_ERRORS:
                raise
            self._refused(line, error)
            return
        self._dirty = True
        if written != len(line):
            self._refused(b"\n" + line, OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)))

    def _refused(self, line: bytes, error: OSError) -> None:
        with self._lock:
            if not self._pending:
                self._complain(
                    f"cannot write {self.path}: {error.strerror}; recording waits in memory, training goes on"
                )
            self._pending.append(line)
            if len(self._pending) > MAX_PENDING_LINES:
                self._pending.popleft()
                self.lost_lines += 1

    def _append_late(self, line: bytes) -> None:
        with self._lock:
            self._pending.append(line)
        self.flush_pending()

    def flush_pending(self) -> None:
        """Try to write the lines that the disk refused earlier, in order."""
        with self._lock:
            while self._pending:
                line = self._pending[0]
                try:
                    written = os.write(self._fd, line)
                except OSError:
                    break
                if written != len(line):
                    self._pending[0] = b"\n" + line.lstrip(b"\n")
                    break
                self._pending.popleft()
                self._dirty = True
            while len(self._pending) > MAX_PENDING_LINES:
                self._pending.popleft()
                self.lost_lines += 1

    def sync(self) -> None:
        """Put what was appended on the disk itself (fsync), if anything was."""
        if self._pending:
            self.flush_pending()
        if not self._dirty:
            return
        self._dirty = False
        try:
            os.fsync(self._fd)
        except OSError as error:
            self._dirty = True
            self._complain(f"cannot fsync {self.path}: {error.strerror}")

    def close(self) -> None:
        """Sync and close."""
        self.sync()
        os.close(self._fd)


def append_event(path: Path, event: events.Event) -> None:
    """Append one event to a journal and fsync it: for those who write a single fact and go."""
    complaints: list[str] = []
    writer = JournalWriter(path, complaints.append)
    try:
        writer.append(events.encode(event))
    finally:
        writer.close()
    if complaints:
        raise OSError(complaints[0])


def read_whole_lines(path: Path, offset: int, max_bytes: int) -> bytes:
    """Return the bytes of the whole lines from `offset`, about `max_bytes` at most (a longer line comes whole).

    The bytes after the last newline are left for the next call: they may still be growing.
    """
    with open(path, "rb") as file:
        file.seek(offset)
        chunk = file.read(max_bytes)
        end = chunk.rfind(b"\n")
        while end < 0 and (more := file.read(max_bytes)):
            chunk += more
            end = chunk.rfind(b"\n")
    return chunk[: end + 1]

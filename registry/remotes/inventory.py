"""Which files lie below a folder, and what they hold. Standard library only: an SSH host runs this same text.

Nothing is followed out of the folder, and nothing that cannot be listed is passed over in silence.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator, Sequence
from typing import Any

from registry.leases import has_writer
from registry.remotes.disk import MARKER_NAME, DiskReads, read_cold

MOST_FILES = 1_000_000


def list_files(root: str, since: float | None, skip: Sequence[str]) -> list[dict[str, Any]]:
    """Return every file below `root` as `{path, kind, size_bytes, changed_at}`, `path` relative to it, sorted.

    `kind` is file, symlink (with `target`, empty when it leads nowhere), special, unlistable (with `error`), or
    skipped: a folder whose name is in `skip`, a virtual environment, or a place of copies (`error` says which). With
    `since`, files last changed before that time (unix seconds) are left out. Raises OSError when `root` itself cannot
    be listed.
    """
    found: list[dict[str, Any]] = []
    os.scandir(root).close()
    stack = [""]
    while stack:
        below = stack.pop()
        try:
            entries = sorted(os.scandir(os.path.join(root, below)), key=lambda entry: entry.name)
        except OSError as error:
            found.append({"path": below, "kind": "unlistable", "error": error.strerror or str(error)})
            continue
        for entry in entries:
            path = below + "/" + entry.name if below else entry.name
            if entry.is_dir(follow_symlinks=False):
                why = _why_skip(entry, skip)
                if why:
                    found.append({"path": path, "kind": "skipped", "error": why})
                else:
                    stack.append(path)
                continue
            described = _describe(entry, path, since)
            if described is not None:
                found.append(described)
        if len(found) > MOST_FILES:
            raise OSError(0, "more than %d files" % MOST_FILES, root)  # noqa: UP031
    return sorted(found, key=lambda item: str(item["path"]))


def _why_skip(entry: os.DirEntry[str], skip: Sequence[str]) -> str:
    if entry.name in skip:
        return entry.name
    if os.path.exists(os.path.join(entry.path, "pyvenv.cfg")):
        return "pyvenv.cfg"
    return MARKER_NAME if os.path.exists(os.path.join(entry.path, MARKER_NAME)) else ""


def _describe(entry: os.DirEntry[str], path: str, since: float | None) -> dict[str, Any] | None:
    try:
        status = entry.stat(follow_symlinks=False)
    except FileNotFoundError:
        return None
    except OSError as error:
        return {"path": path, "kind": "unlistable", "error": error.strerror or str(error)}
    changed_at = max(status.st_mtime, status.st_ctime)
    if since is not None and changed_at < since:
        return None
    kind = "file" if stat.S_ISREG(status.st_mode) else "symlink" if stat.S_ISLNK(status.st_mode) else "special"
    described = {"path": path, "kind": kind, "size_bytes": status.st_size, "changed_at": changed_at}
    if kind == "symlink":
        described["target"] = os.path.realpath(entry.path) if os.path.exists(entry.path) else ""
    return described


def digest_files(paths: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield what each file holds, as `read_cold` says it, with `key` (its path); one that somebody has open for writing
    before or after it was read is `unreadable`."""
    reads = DiskReads()
    try:
        for path in paths:
            written = _is_being_written(path)
            found = read_cold(path, "asked", reads, lambda n_bytes: None)
            if written or _is_being_written(path):
                found = {"found": "unreadable", "error": "open for writing in another process"}
            yield dict(found, key=path)
    finally:
        reads.close()


def _is_being_written(path: str) -> bool:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except OSError:
        return False
    try:
        return has_writer(descriptor)
    finally:
        os.close(descriptor)

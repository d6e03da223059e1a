"""All that is done to a disk that holds copies. Standard library only and one file: an SSH host runs this same text.

Nothing appears under its final name unless it is whole: temporary file -> fsync -> rename -> fsync of the folder. A
read that is to prove something goes past the page cache, and says whether it really did. Python 3.8 is enough.
"""

from __future__ import annotations

import contextlib
import ctypes
import errno
import fcntl
import hashlib
import json
import os
import socket
import stat
import time
import uuid
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Any

MARKER_NAME = ".holdfast-location.json"
SUMS_NAME = "SHA256SUMS"
BLOCK_BYTES = 4 << 20
FSYNC_EACH_UP_TO = 64
STALE_TEMP_S = 7 * 86400.0
MEASURED_FILESYSTEMS = ("ext2", "ext3", "ext4", "xfs")
MEMORY_FILESYSTEMS = ("tmpfs", "ramfs", "devtmpfs")
NETWORK_FILESYSTEMS = ("nfs", "nfs4", "cifs", "smb3", "9p", "ceph", "lustre", "glusterfs", "virtiofs", "afs")


class OverlappedDigest:
    """sha256 computed beside the reading and writing: `update` returns while the block is still being hashed.

    A block must stay as it is until the second `update` after it, or `result`. Use it as a context manager.
    """

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._pool = ThreadPoolExecutor(1)
        self._pending: Future[None] | None = None

    def __enter__(self) -> OverlappedDigest:
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def update(self, block: memoryview) -> None:
        """Hash a block once the one before it is done."""
        if self._pending is not None:
            self._pending.result()
        self._pending = self._pool.submit(self._digest.update, block)

    def hexdigest(self) -> str:
        """Return the digest of everything so far."""
        if self._pending is not None:
            self._pending.result()
        return self._digest.hexdigest()


def digest_blocks(
    readinto: Callable[[memoryview], int | None],
    size_hint: int,
    sink: Callable[[memoryview], None] | None = None,
) -> tuple[str, int]:
    """Return the digest and the length of a stream, handing each block to `sink`; a long one is hashed beside it."""
    if size_hint <= BLOCK_BYTES:
        block = memoryview(bytearray(max(1, min(size_hint + 1, BLOCK_BYTES))))
        plain = hashlib.sha256()
        return _pump(readinto, [block], plain, sink)
    with OverlappedDigest() as overlapped:
        return _pump(readinto, [memoryview(bytearray(BLOCK_BYTES)) for _ in range(3)], overlapped, sink)


def _pump(
    readinto: Callable[[memoryview], int | None],
    blocks: list[memoryview],
    digest: Any,
    sink: Callable[[memoryview], None] | None,
) -> tuple[str, int]:
    size, turn = 0, 0
    while True:
        n_read = readinto(blocks[turn]) or 0
        if not n_read:
            return digest.hexdigest(), size
        block = blocks[turn][:n_read]
        digest.update(block)
        if sink is not None:
            sink(block)
        size += n_read
        turn = (turn + 1) % len(blocks)


def stat_token(status: os.stat_result) -> str:
    """Return what changes whenever a file of this place does: inode, size, mtime and ctime in nanoseconds."""
    return "%d:%d:%d:%d" % (  # noqa: UP031
        status.st_ino,
        status.st_size,
        status.st_mtime_ns,
        status.st_ctime_ns,
    )


# --- what the machine and the file system are


def _read_text(path: str) -> str:
    try:
        with open(path) as file:
            return file.read().strip()
    except OSError:
        return ""


def mount_of(path: str) -> tuple[str, str]:
    """Return the type and the source of the mounted file system that holds `path`, ("", "") when that is unknown."""
    device = os.stat(path).st_dev
    wanted = "%d:%d" % (os.major(device), os.minor(device))  # noqa: UP031
    for line in _read_text("/proc/self/mountinfo").splitlines():
        fields = line.split(" ")
        if fields[2] == wanted and "-" in fields:
            after = fields[fields.index("-") + 1 :]
            return after[0], after[1].replace("\\040", " ")
    return "", ""


def filesystem_id(path: str) -> str:
    """Return the identity of the file system that holds `path`: equal wherever and under whatever name it is mounted.

    A share is its server and export; a pool (ZFS, btrfs) is one, whatever its parts; else the superblock's own id,
    and the device number within this boot where it has none.
    """
    kind, source = mount_of(path)
    if kind in NETWORK_FILESYSTEMS or kind.startswith("fuse"):
        return kind + ":" + source
    if kind == "zfs":
        return "zfs:" + source.split("/")[0]
    fsid = getattr(os.statvfs(path), "f_fsid", 0)
    if kind == "btrfs":  # subvolumes differ in the upper half only (btrfs_statfs)
        fsid &= 0xFFFFFFFF
    if fsid:
        return "fsid:%x" % fsid  # noqa: UP031
    return "dev:%d:%s" % (os.stat(path).st_dev, boot_id())  # noqa: UP031


def boot_id() -> str:
    """Return the id of this boot of the kernel; containers of one machine share it."""
    return _read_text("/proc/sys/kernel/random/boot_id")


def medium_of(path: str) -> str:
    """Return `memory`, `network` or `disk`: what holds the bytes of `path`."""
    kind = mount_of(path)[0]
    if kind in MEMORY_FILESYSTEMS:
        return "memory"
    return "network" if kind in NETWORK_FILESYSTEMS or kind.startswith("fuse") else "disk"


# --- syncing


def _libc_syncfs() -> Callable[[int], int] | None:
    try:
        return ctypes.CDLL(None, use_errno=True).syncfs
    except (AttributeError, OSError):
        return None


_syncfs = _libc_syncfs()


def _libc_sync_file_range() -> Callable[[int, int, int], None]:
    """Return what makes the kernel begin to write a part of a file to the disk, and does not wait for it."""
    try:
        call = ctypes.CDLL(None).sync_file_range
    except (AttributeError, OSError):
        return lambda descriptor, offset, n_bytes: None
    call.argtypes = (ctypes.c_int, ctypes.c_int64, ctypes.c_int64, ctypes.c_uint)
    begin_writing = 2  # SYNC_FILE_RANGE_WRITE of <fcntl.h>
    return lambda descriptor, offset, n_bytes: call(descriptor, offset, n_bytes, begin_writing)


_begin_writing_back = _libc_sync_file_range()


def sync_files(descriptors: Sequence[int], any_path: str) -> None:
    """Put files on the disk: each by itself while they are few, the whole file system when they are many.

    Raises OSError; after that nothing of them may be believed, for a second fsync may say yes to what was lost.
    """
    if len(descriptors) > FSYNC_EACH_UP_TO and _syncfs is not None:
        _sync_filesystem(any_path)
    elif len(descriptors) > 1:
        with ThreadPoolExecutor(8) as pool:
            list(pool.map(os.fsync, descriptors))
    else:
        for descriptor in descriptors:
            os.fsync(descriptor)


def sync_folders(paths: Sequence[str]) -> None:
    """Put the names in folders on the disk."""
    if len(paths) > FSYNC_EACH_UP_TO and _syncfs is not None:
        _sync_filesystem(paths[0])
        return
    for path in paths:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _sync_filesystem(path: str) -> None:
    assert _syncfs is not None
    descriptor = os.open(path, os.O_RDONLY)
    try:
        if _syncfs(descriptor) != 0:
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), path)
    finally:
        os.close(descriptor)


# --- reading past the page cache


class DiskReads:
    """How many bytes this thread made the kernel fetch from a device so far."""

    def __init__(self) -> None:
        try:
            self._file = open("/proc/thread-self/io", "rb", buffering=0)  # noqa: SIM115
        except OSError:
            self._file = None  # type: ignore[assignment]

    def __call__(self) -> int | None:
        """Return the count, None where the kernel does not tell."""
        if self._file is None:
            return None
        self._file.seek(0)
        for line in self._file.read().split(b"\n"):
            if line.startswith(b"read_bytes: "):
                return int(line[12:])
        return None

    def close(self) -> None:
        """Give the descriptor back."""
        if self._file is not None:
            self._file.close()


def read_cold(path: str, cache: str, reads: DiskReads, tick: Callable[[int], None]) -> dict[str, Any]:
    """Read one file past the page cache and return what it holds, as a dictionary:

    `found` (read, missing, unreadable), `digest`, `size_bytes`, `before`, `after` (stat tokens), `cold`, `error`.
    `cold` is true when the device, and not memory, gave the bytes. `cache` says how that is known on this file
    system: `measured` (it accounts for what it fetches), `asked` (the cache was told to forget), `memory` (never).
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except OSError as error:
        missing = error.errno in (errno.ENOENT, errno.ENOTDIR)
        return {"found": "missing" if missing else "unreadable", "error": error.strerror or str(error)}
    try:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            return {"found": "unreadable", "error": "not a regular file"}
        if hasattr(os, "posix_fadvise"):
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_SEQUENTIAL)
        n_before = reads()
        with open(descriptor, "rb", buffering=0, closefd=False) as file:

            def readinto(block: memoryview) -> int | None:
                n_read = file.readinto(block)
                tick(n_read or 0)
                return n_read

            digest, size = digest_blocks(readinto, before.st_size)
        n_after = reads()
        after = os.fstat(descriptor)
    except OSError as error:
        return {"found": "unreadable", "error": error.strerror or str(error)}
    finally:
        os.close(descriptor)
    cold = cache != "memory" and hasattr(os, "posix_fadvise")
    if cache == "measured" and n_before is not None and n_after is not None:
        cold = n_after - n_before >= size
    return {
        "found": "read", "digest": digest, "size_bytes": size, "cold": cold,
        "before": stat_token(before), "after": stat_token(after), "error": "",
    }  # fmt: skip


# --- one place


class Disk:
    """A folder that holds copies. Keys are paths below it, with slashes. Methods raise OSError."""

    def __init__(self, root: str) -> None:
        self.root = os.path.expanduser(root)
        self._cache = ""
        self._open: dict[str, int] = {}
        self._has_tmp = False

    def path(self, key: str) -> str:
        """Return the path of a key. Raises ValueError when it would lie outside."""
        parts = key.split("/")
        if not key or os.path.isabs(key) or any(part in ("", ".", "..") for part in parts):
            raise ValueError("unsafe key: " + repr(key))
        return os.path.join(self.root, *parts)

    # identity

    def facts(self) -> dict[str, Any]:
        """Return which machine and which disk this is, and how much room is left."""
        held = self.root
        while not os.path.isdir(held) and os.path.dirname(held) != held:
            held = os.path.dirname(held)
        free = os.statvfs(held)
        return {
            "host": socket.gethostname(),
            "boot_id": boot_id(),
            "filesystem": filesystem_id(held),
            "medium": medium_of(held),
            "free_bytes": free.f_bavail * free.f_frsize,
            "path": os.path.realpath(self.root),
        }

    def identity(self) -> dict[str, Any] | None:
        """Return the place's marker, None when there is positively none."""
        try:
            with open(self.path(MARKER_NAME), "rb") as file:
                text = file.read(65536)
        except (FileNotFoundError, NotADirectoryError):
            return None
        self._refuse_other_places_inside()
        try:
            marker = json.loads(text)
            if isinstance(marker, dict) and isinstance(marker.get("id"), str):
                return marker
        except ValueError:
            pass
        raise OSError(errno.EUCLEAN, "its marker cannot be read", self.path(MARKER_NAME))

    def _refuse_other_places_inside(self) -> None:
        """Raise OSError when the copies are not in this place: a symlink, or another mount, stands in their way.

        The marker speaks for the root alone; copies that lie elsewhere would be counted twice, and lost at once.
        """
        for folder in ("blobs", "blobs/sha256"):
            path = self.path(folder)
            found = [path] if os.path.islink(path) else []
            if os.path.isdir(path):
                with os.scandir(path) as entries:
                    found += [entry.path for entry in entries if entry.is_symlink()]
            if found:
                raise OSError(errno.ELOOP, "a symlink leads out of the place", found[0])
        inside = os.path.realpath(self.path("blobs"))
        for line in _read_text("/proc/self/mountinfo").splitlines():
            mounted = line.split(" ")[4].replace("\\040", " ")
            if mounted == inside or mounted.startswith(inside + "/"):
                raise OSError(errno.EXDEV, "another file system is mounted in the place", mounted)

    def stamp(self, marker: dict[str, Any]) -> None:
        """Write the marker of a new place. Raises FileExistsError when there is one."""
        os.makedirs(self.root, exist_ok=True)
        path = self.path(MARKER_NAME)
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
        try:
            os.write(descriptor, json.dumps(marker).encode() + b"\n")
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        sync_folders([self.root, os.path.dirname(os.path.abspath(self.root))])

    # looking

    def find_all(self, keys: Sequence[str]) -> dict[str, tuple[int, str]]:
        """Return the size and the stat token of each file that is there."""
        found = {key: self.find(key) for key in keys}
        return {key: there for key, there in found.items() if there is not None}

    def find(self, key: str) -> tuple[int, str] | None:
        """Return the size and the stat token of a file, None when it is not there."""
        try:
            status = os.lstat(self.path(key))
        except (FileNotFoundError, NotADirectoryError):
            return None
        if not stat.S_ISREG(status.st_mode):
            raise OSError(errno.EINVAL, "not a regular file", self.path(key))
        return status.st_size, stat_token(status)

    def keys(self, prefix: str) -> list[str]:
        """Return every file below a folder, sorted."""
        found = []
        for folder, _, names in os.walk(self.path(prefix)):
            below = os.path.relpath(folder, self.root).replace(os.sep, "/")
            found += [below + "/" + name for name in names]
        return sorted(found)

    def digests(self, keys: Sequence[str], tick: Callable[[int], None], jobs: int = 4) -> Iterator[dict[str, Any]]:
        """Read files past the page cache, several at a time; yields what `read_cold` returns, with `key`, in order."""
        if not self._cache:
            kind = mount_of(self.root)[0]
            self._cache = (
                "memory" if kind in MEMORY_FILESYSTEMS else "measured" if kind in MEASURED_FILESYSTEMS else "asked"
            )
        size = max(1, min(64, len(keys) // jobs))
        parts = [keys[start : start + size] for start in range(0, len(keys), size)]
        with ThreadPoolExecutor(jobs if len(parts) > 1 else 1) as pool:
            for part in pool.map(lambda part: self._digest_part(part, tick), parts):
                yield from part

    def _digest_part(self, keys: Sequence[str], tick: Callable[[int], None]) -> list[dict[str, Any]]:
        reads = DiskReads()
        try:
            return [dict(read_cold(self.path(key), self._cache, reads, tick), key=key) for key in keys]
        finally:
            reads.close()

    def open_read(self, key: str) -> int:
        """Return a descriptor to read a file from."""
        return os.open(self.path(key), os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC)

    # writing

    def begin(self, digest: str, resume: bool = True) -> tuple[str, int, str]:
        """Open a temporary file for a blob, taking over one that a dead process left.

        Returns its name, how many bytes it holds already, and their digest.
        """
        folder = self.path("tmp")
        if resume and os.path.isdir(folder):
            for name in sorted(os.listdir(folder)):
                if name.startswith(digest):
                    taken = self._take_over(os.path.join(folder, name))
                    if taken is not None:
                        return ("tmp/" + name, *taken)
        name = "tmp/" + digest + "." + uuid.uuid4().hex
        self.create(name)
        return name, 0, hashlib.sha256().hexdigest()

    def create(self, name: str) -> None:
        """Open a fresh temporary file of this name and hold it until it is committed or given up."""
        if not self._has_tmp:
            os.makedirs(self.path("tmp"), exist_ok=True)
            self._has_tmp = True
        descriptor = os.open(self.path(name), os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)
        with contextlib.suppress(OSError):  # not every file system has locks; then nobody takes it over either
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        self._open[name] = descriptor

    def _take_over(self, path: str) -> tuple[int, str] | None:
        try:
            descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
        except OSError:
            return None
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.fstat(descriptor).st_nlink == 0:
                raise OSError(errno.ENOENT, "gone")
            with open(descriptor, "rb", buffering=0, closefd=False) as file:
                digest, size = digest_blocks(file.readinto, os.fstat(descriptor).st_size)
        except OSError:
            os.close(descriptor)
            return None
        self._open["tmp/" + os.path.basename(path)] = descriptor
        return size, digest

    def write(self, name: str, block: memoryview) -> None:
        """Append a block to a temporary file. The disk begins to take large files at once: fsync then waits less."""
        descriptor, n_bytes = self._open[name], len(block)
        while block:
            block = block[os.write(descriptor, block) :]
        if n_bytes >= BLOCK_BYTES:
            _begin_writing_back(descriptor, os.lseek(descriptor, 0, os.SEEK_CUR) - n_bytes, n_bytes)

    def rewind(self, name: str) -> None:
        """Empty a temporary file whose bytes turned out to be of something else."""
        os.ftruncate(self._open[name], 0)
        os.lseek(self._open[name], 0, os.SEEK_SET)

    def give_up(self, name: str, keep: bool) -> None:
        """Close a temporary file; `keep` leaves its bytes for the next attempt."""
        descriptor = self._open.pop(name, None)
        if descriptor is None:
            return
        if not keep:
            with contextlib.suppress(OSError):
                os.unlink(self.path(name))
        os.close(descriptor)

    def commit(self, moves: Sequence[tuple[str, str, int]]) -> None:
        """Make temporary files final: `(name, key, size_bytes)` each. All are on the disk when this returns."""
        for name, _, size in moves:
            n_held = os.fstat(self._open[name]).st_size
            if n_held != size:
                raise OSError(errno.EIO, "%d bytes arrived of %d" % (n_held, size), self.path(name))  # noqa: UP031
        sync_files([self._open[name] for name, _, _ in moves], self.root)
        for name, _, _ in moves:
            os.close(self._open.pop(name))
        targets = [self.path(key) for _, key, _ in moves]
        folders: set[str] = set()
        for folder in {os.path.dirname(target) for target in targets}:
            folders |= self._make_folder(folder)
        for (name, _, _), target in zip(moves, targets):  # noqa: B905 (Python 3.8)
            os.rename(self.path(name), target)
        sync_folders(sorted(folders))

    def _make_folder(self, folder: str) -> set[str]:
        """Make a folder and return it and those above it whose names have to reach the disk too."""
        changed = {folder}
        while not os.path.isdir(folder):
            folder = os.path.dirname(folder)
            changed.add(folder)
        os.makedirs(max(changed, key=len), exist_ok=True)
        return changed

    def move(self, key: str, target: str) -> None:
        """Rename a file. Raises FileExistsError when the new name is taken."""
        source, goal = self.path(key), self.path(target)
        folders = self._make_folder(os.path.dirname(goal)) | {os.path.dirname(source)}
        os.link(source, goal) if self._has_links() else self._rename_to_new(source, goal)
        with contextlib.suppress(FileNotFoundError):
            os.unlink(source)
        sync_folders(sorted(folders))

    def _has_links(self) -> bool:
        return medium_of(self.root) != "network"

    @staticmethod
    def _rename_to_new(source: str, goal: str) -> None:
        if os.path.lexists(goal):
            raise FileExistsError(errno.EEXIST, "exists", goal)
        os.rename(source, goal)

    def remove(self, key: str) -> None:
        """Remove a file; one that is gone already is no error."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.path(key))
            sync_folders([os.path.dirname(self.path(key))])

    def read_small(self, key: str) -> bytes | None:
        """Return a small file, None when it is not there."""
        try:
            with open(self.path(key), "rb") as file:
                return file.read()
        except FileNotFoundError:
            return None

    def write_small(self, key: str, content: bytes) -> None:
        """Replace a small file, whole or not at all."""
        name = "tmp/" + uuid.uuid4().hex
        os.makedirs(self.path("tmp"), exist_ok=True)
        with open(self.path(name), "xb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        folders = self._make_folder(os.path.dirname(self.path(key)))
        os.rename(self.path(name), self.path(key))
        sync_folders(sorted(folders))

    def write_sums(self) -> int:
        """Write SHA256SUMS anew from the names of the blobs, so that `sha256sum -c` checks them; returns how many."""
        os.makedirs(self.path("tmp"), exist_ok=True)
        with open(self.path("tmp/sums.lock"), "a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            keys = self.keys("blobs")
            lines = [key.rsplit("/", 1)[1] + "  " + key + "\n" for key in keys]
            self.write_small(SUMS_NAME, "".join(lines).encode())
        return len(keys)

    def clean(self) -> int:
        """Remove temporary files that no process holds and nobody came back for; returns how many."""
        n_removed = 0
        folder = self.path("tmp")
        for name in os.listdir(folder) if os.path.isdir(folder) else []:
            path = os.path.join(folder, name)
            with contextlib.suppress(OSError):
                if name == "sums.lock" or time.time() - os.stat(path).st_mtime < STALE_TEMP_S:
                    continue
                descriptor = os.open(path, os.O_RDWR | os.O_NOFOLLOW | os.O_CLOEXEC)
                try:
                    fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    os.unlink(path)
                    n_removed += 1
                finally:
                    os.close(descriptor)
        return n_removed

"""Folders and mounted drives, and what every place with a disk has in common.

The bytes of a copy are on the disk itself before it is said to be there.
"""

import errno
import uuid
from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar, Protocol

from registry import clock
from registry.errors import HoldfastError, NotFoundError, SourceChangedError, UnreachableError
from registry.remotes.base import Found, Meter, NoSpaceError, PlaceFacts, Put, Reading, Source, Store, Stream, blob_key
from registry.remotes.disk import Disk, digest_blocks

FULL_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
RESUME_FROM_BYTES = 8 << 20
"""A smaller file is sent again from the start when its transfer was interrupted."""


class AnyDisk(Protocol):
    """The methods of `Disk`, done here or through an SSH host."""

    def facts(self) -> dict[str, Any]:
        """Return which machine and disk it is."""

    def identity(self) -> dict[str, Any] | None:
        """Return the marker."""

    def stamp(self, marker: dict[str, Any]) -> None:
        """Write the marker."""

    def find_all(self, keys: Sequence[str]) -> dict[str, tuple[int, str]]:
        """Return sizes and tokens."""

    def keys(self, prefix: str) -> list[str]:
        """Return the files below a folder."""

    def digests(self, keys: Sequence[str], tick: Callable[[int], None]) -> Iterator[dict[str, Any]]:
        """Read files past the page cache."""

    def begin(self, digest: str, resume: bool) -> tuple[str, int, str]:
        """Open a temporary file."""

    def write(self, name: str, block: memoryview) -> None:
        """Append to a temporary file."""

    def rewind(self, name: str) -> None:
        """Empty a temporary file."""

    def give_up(self, name: str, keep: bool) -> None:
        """Close a temporary file."""

    def commit(self, moves: Sequence[tuple[str, str, int]]) -> None:
        """Make temporary files final."""

    def move(self, key: str, target: str) -> None:
        """Rename a file."""

    def remove(self, key: str) -> None:
        """Remove a file."""

    def read_small(self, key: str) -> bytes | None:
        """Return a small file."""

    def write_small(self, key: str, content: bytes) -> None:
        """Replace a small file."""

    def write_sums(self) -> int:
        """Write SHA256SUMS."""

    def clean(self) -> int:
        """Remove old temporary files."""


class DiskStore(Store):
    """A place whose bytes lie on a disk: everything but how the disk is reached."""

    @abstractmethod
    def _disk(self) -> AnyDisk:
        """Return the disk, connecting to it when that is needed."""

    @contextmanager
    def _told(self) -> Iterator[None]:
        """Turn what the system says into what a person can act on."""
        try:
            yield
        except FileExistsError:
            raise
        except OSError as error:
            raise explain(error, self.url) from error

    def facts(self) -> PlaceFacts:
        """Return the machine and the file system of the folder."""
        with self._told():
            return PlaceFacts(**self._disk().facts())

    def identity(self) -> dict[str, Any] | None:
        """Return the marker, None when the folder or the marker is not there."""
        with self._told():
            return self._disk().identity()

    def stamp(self, marker: dict[str, Any]) -> None:
        """Write the marker, making the folder."""
        with self._told():
            self._disk().stamp(marker)

    def _stat_all(self, keys: Sequence[str]) -> dict[str, Found]:
        with self._told():
            return {key: Found(*there) for key, there in self._disk().find_all(list(keys)).items()}

    def keys(self, prefix: str) -> list[str]:
        """Return every file below a folder."""
        with self._told():
            return self._disk().keys(prefix)

    def _readings(self, keys: Sequence[str], meter: Meter) -> Iterator[Reading]:
        """Read files past the page cache."""
        with self._told():
            for found in self._disk().digests(keys, meter.advance):
                yield Reading(**found)

    def put(self, sources: Sequence[Source], meter: Meter) -> list[Put]:
        """Write temporary files, put all on the disk, rename all, put the names on the disk."""
        with self._told():
            return put_through(self._disk(), sources, meter, self.url)

    def move(self, key: str, target: str) -> None:
        """Rename a file, never over another."""
        with self._told():
            self._disk().move(key, target)

    def remove(self, key: str) -> None:
        """Remove a file."""
        with self._told():
            self._disk().remove(key)

    def read_small(self, key: str) -> bytes | None:
        """Return a small file, None when it is not there."""
        with self._told():
            return self._disk().read_small(key)

    def write_small(self, key: str, content: bytes) -> None:
        """Replace a small file."""
        with self._told():
            self._disk().write_small(key, content)

    def write_sums(self) -> int:
        """Write SHA256SUMS anew."""
        with self._told():
            return self._disk().write_sums()

    def clean(self) -> int:
        """Remove old temporary files."""
        with self._told():
            return self._disk().clean()


class FolderStore(DiskStore):
    """A folder of this machine's file tree."""

    kind: ClassVar[str] = "folder"
    read_level: ClassVar[int] = 4

    def __init__(self, url: str) -> None:
        self.url = url
        self._folder = Disk(url)

    def _disk(self) -> AnyDisk:
        return self._folder

    def nowhere(self) -> Store:
        """Return a folder that is not there."""
        return FolderStore(f"{self.url}/nowhere-{uuid.uuid4().hex}")

    @contextmanager
    def open(self, key: str) -> Iterator[Stream]:
        """Open a file for reading."""
        try:
            descriptor = self._folder.open_read(key)
        except FileNotFoundError:
            raise NotFoundError(f"{self.url} does not hold {key}", reason_code=14) from None
        except OSError as error:
            raise explain(error, self.url) from error
        with open(descriptor, "rb", buffering=0) as file:
            yield file


def explain(error: OSError, url: str) -> HoldfastError:
    """Return the one clear line for what the system said about a place."""
    said = f"{url}: {error.strerror or error}"
    if error.errno in FULL_DISK:
        return NoSpaceError(f"no space left in {url}", hint="free some, or name another remote", reason_code=22)
    hint = "may it be read and written by you?" if error.errno in (errno.EACCES, errno.EPERM, errno.EROFS) else ""
    return UnreachableError(said, hint=hint, reason_code=15)


def put_through(disk: AnyDisk, sources: Sequence[Source], meter: Meter, url: str) -> list[Put]:
    """Store sources on a disk, here or through an SSH helper that has the same methods; all get final together."""
    started_at = clock.now()
    ready: list[tuple[str, Source]] = []
    failed: dict[str, HoldfastError] = {}
    keep = False
    try:
        for source in sources:
            try:
                ready.append((_write_temporary(disk, source, meter), source))
            except (UnreachableError, NoSpaceError):
                raise
            except HoldfastError as error:
                failed[source.digest] = error
        disk.commit([(name, blob_key(source.digest), source.size_bytes) for name, source in ready])
    except OSError as error:
        raise explain(error, url) from error
    except (KeyboardInterrupt, UnreachableError):
        keep = True
        raise
    finally:
        for name, source in ready:
            disk.give_up(name, keep=keep and source.size_bytes >= RESUME_FROM_BYTES)
    ended_at = clock.now()
    return [
        Put(source.digest, started_at, ended_at, failed.get(source.digest), source.size_bytes) for source in sources
    ]


def _write_temporary(disk: AnyDisk, source: Source, meter: Meter) -> str:
    """Stream a source into a temporary file, hashing it on the way, behind what an interrupted transfer left there.

    Raises SourceChangedError when its bytes are not the recorded ones; nothing is left then.
    """
    name, n_held, held_digest = disk.begin(source.digest, source.size_bytes >= RESUME_FROM_BYTES)
    keep = False
    try:
        if n_held and not _begins_with(source, n_held, held_digest):
            disk.rewind(name)
            n_held = 0
        n_passed = 0

        def write(block: memoryview) -> None:
            nonlocal n_passed
            meter.advance(len(block))
            fresh = block[max(0, n_held - n_passed) :]
            n_passed += len(block)
            if fresh:
                disk.write(name, fresh)

        with source.open() as stream:
            digest, size = digest_blocks(stream.readinto, source.size_bytes, write)
        if digest != source.digest or size != source.size_bytes:
            raise other_bytes(source)
        keep = True
    except (KeyboardInterrupt, UnreachableError):
        disk.give_up(name, keep=source.size_bytes >= RESUME_FROM_BYTES)
        raise
    finally:
        if not keep:
            disk.give_up(name, keep=False)
    return name


def _begins_with(source: Source, size_bytes: int, digest: str) -> bool:
    """Return whether the first bytes of a source are those that an earlier transfer left."""
    if size_bytes > source.size_bytes:
        return False
    with source.open() as stream:
        left = size_bytes

        def readinto(block: memoryview) -> int | None:
            nonlocal left
            n_read = stream.readinto(block[:left]) if left else 0
            left -= n_read or 0
            return n_read

        return digest_blocks(readinto, size_bytes) == (digest, size_bytes)


def other_bytes(source: Source) -> SourceChangedError:
    """Return the error for a source whose bytes are not the recorded ones."""
    return SourceChangedError(
        f"{source.where or source.digest} is not what was recorded",
        hint="it was changed since; record it again, or fetch it from a remote",
        reason_code=17,
    )

"""What every place that holds copies must be able to do. A store moves and reads bytes; it judges nothing.

Absence is said only by a place that answered and proved its identity in the same breath; everything else that goes
wrong is raised as UnreachableError, and is neither present nor absent.
"""

import threading
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, Protocol

from registry.errors import HoldfastError, RegistryUnusableError, UnreachableError
from registry.remotes.disk import MARKER_NAME, SUMS_NAME

__all__ = [
    "MARKER_NAME",
    "SUMS_NAME",
    "Found",
    "Meter",
    "NoSpaceError",
    "PlaceFacts",
    "Put",
    "Reading",
    "Source",
    "Store",
    "blob_key",
]


class NoSpaceError(RegistryUnusableError):
    """A remote's disk is full; nothing appeared under a final name."""


class Stream(Protocol):
    """Something bytes are read from."""

    def readinto(self, block: memoryview, /) -> int | None:
        """Fill `block` and return how many bytes there were, 0 at the end."""


@dataclass(frozen=True)
class Source:
    """Bytes that are to be stored: their digest and length as recorded, and how to read them from the start.

    `path` is set when they are a file of this machine.
    """

    digest: str
    size_bytes: int
    open: Callable[[], AbstractContextManager[Stream]]
    where: str = ""
    path: Path | None = None


@dataclass(frozen=True)
class Put:
    """What became of one source: `error` is None when the place said it has it (which proves nothing yet)."""

    digest: str
    started_at: float
    ended_at: float
    error: HoldfastError | None = None
    n_sent: int = 0


@dataclass(frozen=True)
class Found:
    """A file that is there: its size, and a token that changes when it does."""

    size_bytes: int
    token: str


@dataclass(frozen=True)
class Reading:
    """What reading a file whole gave: `found` is read, missing or unreadable; tokens are from before and after."""

    key: str
    found: str
    digest: str = ""
    size_bytes: int = 0
    before: str = ""
    after: str = ""
    cold: bool = False
    error: str = ""


@dataclass(frozen=True)
class PlaceFacts:
    """Which machine and which disk a place is on; empty where it is on none. `boot_id` tells aliases of a machine."""

    host: str = ""
    boot_id: str = ""
    filesystem: str = ""
    medium: str = "object"
    free_bytes: int | None = None
    path: str = ""


@dataclass
class Meter:
    """Shared by all transfers of a command: counts bytes, keeps them below a rate, and stops them when told to."""

    rate_bytes_s: float | None = None
    report: Callable[[int], None] = lambda n_bytes: None
    stopped: threading.Event = field(default_factory=threading.Event)
    _free_at: float = 0.0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def advance(self, n_bytes: int) -> None:
        """Count bytes that moved; waits when they moved too fast. Raises KeyboardInterrupt once stopped."""
        if self.stopped.is_set():
            raise KeyboardInterrupt
        self.report(n_bytes)
        if self.rate_bytes_s:
            with self._lock:
                now = time.monotonic()
                self._free_at = max(self._free_at, now) + n_bytes / self.rate_bytes_s
                wait_s = self._free_at - now
            if self.stopped.wait(wait_s):
                raise KeyboardInterrupt

    def reset(self, n_bytes: int) -> None:
        """Take back bytes that have to move again."""
        self.report(-n_bytes)


def blob_key(digest: str) -> str:
    """Return where a blob lies on every remote."""
    return f"blobs/sha256/{digest[:2]}/{digest}"


class Store(ABC):
    """One place. Every method may raise UnreachableError; keys are paths below the place's root, with slashes."""

    kind: ClassVar[str]
    url: str
    read_level: ClassVar[int]
    """What a full `digests` pass proves here: 3 hashed on the host that holds the bytes, 4 read back to us."""

    # identity

    @abstractmethod
    def facts(self) -> PlaceFacts:
        """Return which machine and disk this is."""

    @abstractmethod
    def identity(self) -> dict[str, Any] | None:
        """Return the marker, None when there is positively none."""

    @abstractmethod
    def stamp(self, marker: dict[str, Any]) -> None:
        """Write the marker of a new place. Raises FileExistsError when there is one already."""

    def marker_id(self) -> str | None:
        """Return the identity that the place proves now, None when it has none."""
        marker = self.identity()
        return None if marker is None else str(marker["id"])

    # looking

    @abstractmethod
    def _stat_all(self, keys: Sequence[str]) -> dict[str, Found]:
        """Return what is there; what is left out the place answered not to have."""

    def find(self, key: str) -> Found | None:
        """Return what is there; None only when the place proved its identity after it said so."""
        return self.find_all([key]).get(key)

    def find_all(self, keys: Sequence[str]) -> dict[str, Found]:
        """Return which of the keys are there; what is absent is so by the rule of `find`."""
        found = self._stat_all(keys)
        if len(found) < len(set(keys)) and self.identity() is None:
            raise UnreachableError(f"{self.url} has no {MARKER_NAME}: not the place it was", reason_code=16)
        return found

    @abstractmethod
    def keys(self, prefix: str) -> list[str]:
        """Return every key below a prefix, sorted. A list alone never proves that something is missing."""

    @abstractmethod
    def _readings(self, keys: Sequence[str], meter: Meter) -> Iterator[Reading]:
        """Read files whole where that is cheapest, past every cache that can be passed, in order."""

    def _readings_back(self, keys: Sequence[str], meter: Meter) -> Iterator[Reading]:
        """Read files whole through the transport and hash them here, in order."""
        return self._readings(keys, meter)

    def digests(self, keys: Sequence[str], meter: Meter) -> Iterator[Reading]:
        """Read files whole and yield what they hold, in order; `read_level` says what that proves.

        Ends in UnreachableError when something was missing from a place that cannot prove its identity.
        """
        yield from self._believed(self._readings(keys, meter))

    def read_back(self, keys: Sequence[str], meter: Meter) -> Iterator[Reading]:
        """Read files whole through the transport and hash them here (level 4); as `digests` otherwise."""
        yield from self._believed(self._readings_back(keys, meter))

    def _believed(self, readings: Iterator[Reading]) -> Iterator[Reading]:
        missing = False
        for reading in readings:
            missing = missing or reading.found == "missing"
            yield reading
        if missing and self.identity() is None:
            raise UnreachableError(f"{self.url} has no {MARKER_NAME}: not the place it was", reason_code=16)

    @abstractmethod
    def open(self, key: str) -> AbstractContextManager[Stream]:
        """Open a file for reading. Raises NotFoundError when it is not there."""

    # changing

    @abstractmethod
    def put(self, sources: Sequence[Source], meter: Meter) -> list[Put]:
        """Store blobs, each whole or not at all, and return what became of each.

        Raises NoSpaceError, UnreachableError, KeyboardInterrupt; what was begun can be taken up again later.
        """

    @abstractmethod
    def move(self, key: str, target: str) -> None:
        """Rename a file. Raises FileExistsError when the new name is taken."""

    @abstractmethod
    def remove(self, key: str) -> None:
        """Remove a file; one that is gone already is no error."""

    @abstractmethod
    def read_small(self, key: str) -> bytes | None:
        """Return a small file, None when it is not there."""

    @abstractmethod
    def write_small(self, key: str, content: bytes) -> None:
        """Replace a small file, whole or not at all."""

    @abstractmethod
    def write_sums(self) -> int:
        """Write SHA256SUMS anew, so that plain `sha256sum -c SHA256SUMS` checks every blob; returns how many."""

    @abstractmethod
    def nowhere(self) -> "Store":
        """Return a place of the same kind that cannot be reached: what it says of anything must be nothing."""

    def clean(self) -> int:
        """Remove what interrupted transfers left and nobody came back for; returns how many."""
        return 0

    def close(self) -> None:  # noqa: B027
        """Give back connections."""

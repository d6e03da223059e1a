"""What every place must be able to do, tried on the place itself with small blobs that are removed again.

Each check can fail: it plants what must be found, refused, or left undone. `registry remote test NAME` runs it.
"""

import hashlib
import io
import os
import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from registry.errors import HoldfastError, NotFoundError, UnreachableError
from registry.remotes.base import MARKER_NAME, SUMS_NAME, Meter, Source, Store, Stream, blob_key

BLOCK = 1 << 16
SIZES = (0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 2 * BLOCK)


@dataclass(frozen=True)
class Check:
    """One thing that was tried; `error` is empty when it went as it must."""

    name: str
    error: str = ""


class _Wrong(Exception):
    """A check did not go as it must."""


def expect(condition: bool, words: str) -> None:
    """Raise when a condition of a check does not hold."""
    if not condition:
        raise _Wrong(words)


def blob(size_bytes: int) -> tuple[bytes, str]:
    """Return fresh random bytes and their digest."""
    content = os.urandom(size_bytes)
    return content, hashlib.sha256(content).hexdigest()


def source(content: bytes, digest: str, *, claimed: int | None = None) -> Source:
    """Return a source that gives `content` and says it is `claimed` bytes of `digest`."""

    @contextmanager
    def opened() -> Iterator[Stream]:
        yield io.BytesIO(content)

    return Source(digest, len(content) if claimed is None else claimed, opened, "a test blob")


class _Suite:
    """The checks; every blob that one stores is in `made`, and removed at the end."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.made: list[str] = []
        self.meter = Meter()

    def put(self, content: bytes, digest: str) -> str:
        """Store a blob and return its key."""
        key = blob_key(digest)
        if key not in self.made and self.store.find(key) is None:  # a tiny blob may be somebody's: it stays
            self.made.append(key)
        (put,) = self.store.put([source(content, digest)], self.meter)
        if put.error:
            raise put.error
        return key

    def read(self, key: str, *, back: bool = False) -> tuple[str, str, int]:
        """Return what a full read of a key finds."""
        (reading,) = (self.store.read_back if back else self.store.digests)([key], self.meter)
        return reading.found, reading.digest, reading.size_bytes

    # the checks

    def identity_stays(self) -> None:
        """The place proves an identity, and cannot be stamped twice."""
        before = self.store.marker_id()
        expect(before is not None, "it has no identity")
        try:
            self.store.stamp({"id": str(uuid.uuid4()), "layout": 1})
        except FileExistsError:
            pass
        expect(self.store.marker_id() == before, "a second identity took the place of the first")

    def sizes_come_back(self) -> None:
        """Blobs of sizes around a block come back the same, by both ways of reading."""
        for size in SIZES:
            content, digest = blob(size)
            if size == 0:
                digest = hashlib.sha256().hexdigest()
            key = self.put(content, digest)
            found = self.store.find(key)
            expect(found is not None and found.size_bytes == size, f"{size} bytes: found {found}")
            for back in (False, True):
                got = self.read(key, back=back)
                expect(got == ("read", digest, size), f"{size} bytes came back as {got}")

    def many_at_once(self) -> None:
        """A batch is stored whole, and read in the order asked for."""
        blobs = [blob(size) for size in range(32, 72)]
        self.made += [blob_key(digest) for _, digest in blobs]
        puts = self.store.put([source(*item) for item in blobs], self.meter)
        expect(not [put for put in puts if put.error], "a blob of a batch failed")
        readings = list(self.store.digests([blob_key(digest) for _, digest in blobs], self.meter))
        expect([reading.digest for reading in readings] == [digest for _, digest in blobs], "another order, or bytes")

    def wrong_digest_leaves_nothing(self) -> None:
        """Bytes that are not what they are said to be are refused, and nothing is stored under the name."""
        content, _ = blob(BLOCK + 7)
        _, digest = blob(32)
        self.made.append(blob_key(digest))
        (put,) = self.store.put([source(content, digest)], self.meter)
        expect(put.error is not None, "other bytes were stored under a digest")
        expect(self.store.find(blob_key(digest)) is None, "a refused blob is there under its name")

    def short_source_leaves_nothing(self) -> None:
        """A source that ends early is refused."""
        content, digest = blob(BLOCK)
        self.made.append(blob_key(digest))
        (put,) = self.store.put([source(content[:-1], digest, claimed=BLOCK)], self.meter)
        expect(put.error is not None, "a source that ended early was stored")
        expect(self.store.find(blob_key(digest)) is None, "half a blob is there under its name")

    def broken_source_leaves_nothing(self) -> None:
        """A source that fails half way leaves nothing under the name, and the next attempt goes through."""
        content, digest = blob(3 * BLOCK)
        self.made.append(blob_key(digest))
        failing = Source(digest, len(content), lambda: _failing(content, BLOCK), "a failing source")
        (put,) = self.store.put([failing], self.meter)
        expect(put.error is not None, "a source that failed was stored")
        expect(self.store.find(blob_key(digest)) is None, "half a blob is there under its name")
        expect(self.read(self.put(content, digest)) == ("read", digest, len(content)), "the next attempt went wrong")

    def interrupted_goes_on(self) -> None:
        """A stopped transfer leaves nothing under the name, or all when it was past stopping; the next is right."""
        content, digest = blob(9 << 20)
        self.made.append(blob_key(digest))
        meter = Meter()
        meter.report = lambda n_bytes: meter.stopped.set()
        try:
            self.store.put([source(content, digest)], meter)
        except KeyboardInterrupt:
            expect(self.store.find(blob_key(digest)) is None, "half a blob is there under its name")
        expect(self.read(self.put(content, digest)) == ("read", digest, len(content)), "going on went wrong")

    def again_is_harmless(self) -> None:
        """Storing what is there already leaves it right."""
        content, digest = blob(1000)
        self.put(content, digest)
        expect(self.read(self.put(content, digest)) == ("read", digest, 1000), "a second put broke it")

    def absent_is_absent(self) -> None:
        """What was never stored is positively absent, to a look and to a read."""
        key = blob_key(blob(32)[1])
        expect(self.store.find(key) is None, "it found what is not there")
        expect(self.read(key)[0] == "missing", f"reading what is not there said {self.read(key)[0]}")
        try:
            with self.store.open(key) as stream:
                stream.readinto(memoryview(bytearray(1)))
            raise _Wrong("it opened what is not there")
        except NotFoundError:
            pass

    def change_is_seen(self) -> None:
        """Other bytes under the same name are seen by a read, and by the token."""
        content, digest = blob(500)
        key = self.put(content, digest)
        before = self.store.find(key)
        self.store.write_small(key, bytes(500))
        after = self.store.find(key)
        expect(before is not None and after is not None and before.token != after.token, "its token did not change")
        expect(self.read(key)[1] == hashlib.sha256(bytes(500)).hexdigest(), "a read gave the old bytes")

    def moves_keep_bytes(self) -> None:
        """Quarantine is a rename: the bytes stay, and another file is never written over."""
        content, digest = blob(700)
        key = self.put(content, digest)
        aside = f"quarantine/{digest}.test"
        self.made.append(aside)
        self.store.move(key, aside)
        expect(self.store.find(key) is None, "it is still under the old name")
        expect(self.read(aside)[1] == digest, "its bytes changed on the way")
        self.put(content, digest)
        try:
            self.store.move(key, aside)
            raise _Wrong("a rename went over another file")
        except FileExistsError:
            pass
        expect(self.read(key)[1] == digest and self.read(aside)[1] == digest, "a refused rename lost something")

    def removing_twice_is_harmless(self) -> None:
        """Removing takes a file away, and does nothing the second time."""
        content, digest = blob(40)
        key = self.put(content, digest)
        self.store.remove(key)
        self.store.remove(key)
        expect(self.store.find(key) is None, "it is still there")

    def sums_name_every_blob(self) -> None:
        """SHA256SUMS is what `sha256sum -c` reads, and names a blob that was just stored."""
        content, digest = blob(33)
        key = self.put(content, digest)
        self.store.write_sums()
        lines = (self.store.read_small(SUMS_NAME) or b"").decode().splitlines()
        expect(f"{digest}  {key}" in lines, f"{SUMS_NAME} does not name it")

    def small_files_are_replaced_whole(self) -> None:
        """Small files are read back as they were written last."""
        key = f"index/test-{uuid.uuid4().hex}.txt"
        self.made.append(key)
        expect(self.store.read_small(key) is None, "it found what is not there")
        for words in (b"first\n", b"second, and longer than the first\n", b"x\n"):
            self.store.write_small(key, words)
            expect(self.store.read_small(key) == words, "a small file was not replaced")

    def run(self) -> Iterator[Check]:
        """Run every check and clean up."""
        checks: Sequence[Callable[[], None]] = (
            self.identity_stays, self.sizes_come_back, self.many_at_once, self.wrong_digest_leaves_nothing,
            self.short_source_leaves_nothing, self.broken_source_leaves_nothing, self.interrupted_goes_on,
            self.again_is_harmless, self.absent_is_absent, self.change_is_seen, self.moves_keep_bytes,
            self.removing_twice_is_harmless, self.sums_name_every_blob, self.small_files_are_replaced_whole,
        )  # fmt: skip
        try:
            for check in checks:
                yield _tried(check)
        finally:
            for key in self.made:
                self.store.remove(key)
            self.store.write_sums()


def _tried(check: Callable[[], None]) -> Check:
    name = check.__name__.replace("_", " ")
    try:
        check()
    except (_Wrong, HoldfastError, OSError) as error:
        return Check(name, str(error))
    return Check(name)


@contextmanager
def _failing(content: bytes, n_bytes: int) -> Iterator[Stream]:
    """A stream that fails after `n_bytes`."""

    class Failing(io.RawIOBase):
        left = n_bytes

        def readinto(self, block: memoryview) -> int:  # type: ignore[override]
            if not self.left:
                raise HoldfastError("the source failed")
            n_read = min(len(block), self.left)
            block[:n_read] = content[:n_read]
            self.left -= n_read
            return n_read

    yield Failing()


def unavailable(store: Store) -> Check:
    """See that a place that cannot be reached says neither present nor absent, to any question."""
    key = blob_key(blob(32)[1])
    asked: Sequence[tuple[str, Callable[[], object]]] = (
        ("find", lambda: store.find(key)),
        ("find all", lambda: store.find_all([key])),
        ("read", lambda: list(store.digests([key], Meter()))),
        ("read back", lambda: list(store.read_back([key], Meter()))),
    )
    for name, ask in asked:
        try:
            answer = ask()
        except UnreachableError:
            continue
        except (HoldfastError, OSError) as error:
            return Check("unavailable is unknown", f"{name} raised {type(error).__name__}: {error}")
        return Check("unavailable is unknown", f"{name} answered {answer!r} without its {MARKER_NAME}")
    return Check("unavailable is unknown")


def run_suite(store: Store) -> Iterator[Check]:
    """Try everything a place must be able to do, on the place itself; yields each check as it is done."""
    yield from _Suite(store).run()
    elsewhere = store.nowhere()
    try:
        yield unavailable(elsewhere)
    finally:
        elsewhere.close()

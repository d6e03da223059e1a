"""Where the bytes of a blob can be had from: the file they were made in, else another place that holds them.

Whoever reads from a source hashes what comes; a source promises nothing about its bytes.
"""

import io
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from registry.copies.record import ArtifactFacts
from registry.errors import HoldfastError
from registry.hashing import FrozenFile, manifest_text, open_still
from registry.remotes.base import Source, Store, Stream, blob_key


class _CarefulFile:
    """A file whose read errors are told as its own, not as those of the place that is written to."""

    def __init__(self, file: io.FileIO, path: Path) -> None:
        self._file = file
        self._path = path

    def readinto(self, block: memoryview) -> int | None:
        """Read the next bytes."""
        try:
            return self._file.readinto(block)
        except OSError as error:
            raise HoldfastError(f"cannot read {self._path}: {error.strerror}", reason_code=17) from error


def file_source(path: Path, digest: str, size_bytes: int) -> Source:
    """Return a file as a source; it must hold still while it is read."""

    @contextmanager
    def opened() -> Iterator[Stream]:
        with open_still(path) as descriptor, io.FileIO(descriptor, closefd=False) as file:
            yield _CarefulFile(file, path)

    return Source(digest, size_bytes, opened, str(path), path)


def bytes_source(content: bytes, digest: str, where: str) -> Source:
    """Return bytes that are at hand as a source."""

    @contextmanager
    def opened() -> Iterator[Stream]:
        yield io.BytesIO(content)

    return Source(digest, len(content), opened, where)


def store_source(store: Store, name: str, digest: str, size_bytes: int) -> Source:
    """Return a blob on another remote as a source."""
    return Source(digest, size_bytes, lambda: store.open(blob_key(digest)), f"{name}:{blob_key(digest)}")


def nothing_source(digest: str, size_bytes: int, why: HoldfastError) -> Source:
    """Return a source of bytes that are nowhere to be had; reading from it raises `why`."""

    @contextmanager
    def opened() -> Iterator[Stream]:
        raise why
        yield

    return Source(digest, size_bytes, opened)


def artifact_sources(artifact: ArtifactFacts, root: Path) -> list[Source]:
    """Return the blobs of an artifact as they lie where it was made: children first, the manifest of a tree last."""
    path = root / artifact.path
    if artifact.kind != "tree":
        return [file_source(path, artifact.digest, artifact.size_bytes)]
    *children, (_, digest, _) = artifact.blobs
    sources = [file_source(path / name, child, size) for name, child, size in children]
    return [*sources, bytes_source(tree_manifest(artifact), digest, f"manifest of {artifact.path}")]


def tree_manifest(artifact: ArtifactFacts) -> bytes:
    """Return the manifest of a tree."""
    return manifest_text([FrozenFile(name, digest, size) for name, digest, size in artifact.blobs[:-1]])


def is_here(artifact: ArtifactFacts, root: Path) -> bool:
    """Return whether an artifact's file or folder is where it was made, as far as this machine can see."""
    return os.path.lexists(root / artifact.path)

"""Anything that rclone reaches, with its own configuration: bytes are streamed through our hasher, both ways.

rclone's exit codes and stored hashes are not believed: what was sent is read back whole.
"""

import functools
import json
import re
import subprocess
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from typing import IO, Any, ClassVar

from registry import clock
from registry.errors import HoldfastError, NotFoundError, UnreachableError, UsageError
from registry.remotes.base import (
    MARKER_NAME,
    SUMS_NAME,
    Found,
    Meter,
    NoSpaceError,
    PlaceFacts,
    Put,
    Reading,
    Source,
    Store,
    Stream,
    blob_key,
)
from registry.remotes.disk import digest_blocks
from registry.remotes.folder import other_bytes

LEAST_VERSION = (1, 60)
_FLAGS = ("--retries=2", "--low-level-retries=4", "--contimeout=15s", "--timeout=120s", "--quiet")
_ABSENT = (3, 4)
"""rclone's exit codes for a folder or a file that is not there."""


@functools.cache
def rclone_version() -> tuple[int, ...]:
    """Return the version of the rclone on PATH. Raises NotFoundError when there is none, or it is too old."""
    try:
        said = subprocess.run(["rclone", "version"], capture_output=True, text=True, timeout=30).stdout
    except (OSError, subprocess.SubprocessError) as error:
        raise NotFoundError(f"cannot run rclone: {error}", hint="https://rclone.org/install", reason_code=23) from None
    match = re.search(r"rclone v(\d+)\.(\d+)", said)
    version = tuple(map(int, match.groups())) if match else (0,)
    if version < LEAST_VERSION:
        least = ".".join(map(str, LEAST_VERSION))
        raise NotFoundError(f"rclone is older than {least}", hint="https://rclone.org/install", reason_code=23)
    return version


class RcloneStore(Store):
    """`rclone:NAME:PATH`, where NAME is one of `rclone listremotes`."""

    kind: ClassVar[str] = "rclone"
    read_level: ClassVar[int] = 4

    def __init__(self, url: str) -> None:
        self.url = url
        match = re.fullmatch(r"rclone:([^:/\\]+):(.*)", url)
        if not match or match[1].startswith("-"):
            raise UsageError(
                f"not an rclone place: {url!r}",
                hint="write rclone:NAME:PATH (`rclone listremotes` shows the names); a plain folder needs no rclone",
            )
        rclone_version()
        self._name = match[1]
        self._root = f"{match[1]}:{match[2].rstrip('/')}"

    def _path(self, key: str) -> str:
        return f"{self._root}/{key}" if not self._root.endswith(":") else self._root + key

    def _run(self, *words: str, content: bytes | None = None, absent_ok: bool = False) -> bytes | None:
        """Run rclone and return what it prints; None when what it was asked about is not there."""
        done = subprocess.run(["rclone", *_FLAGS, *words], input=content or b"", capture_output=True)
        if done.returncode == 0:
            return done.stdout
        if absent_ok and done.returncode in _ABSENT:
            return None
        raise self._failed(done.returncode, done.stderr)

    def _failed(self, code: int, errors: bytes) -> HoldfastError:
        lines = errors.decode("utf-8", "replace").strip().splitlines()
        words = lines[-1][-300:] if lines else f"exit code {code}"
        if "no space" in words.lower() or "quota" in words.lower():
            return NoSpaceError(f"no space left in {self.url}", reason_code=22)
        return UnreachableError(f"{self.url}: {words}", reason_code=15)

    def facts(self) -> PlaceFacts:
        """Return the rclone remote as the disk that it is."""
        return PlaceFacts(filesystem=f"rclone:{self._name}", medium="object")

    def identity(self) -> dict[str, Any] | None:
        """Return the marker."""
        content = self.read_small(MARKER_NAME)
        if content is None:
            return None
        try:
            return dict(json.loads(content))
        except (ValueError, TypeError):
            raise UnreachableError(f"{self.url}: its {MARKER_NAME} cannot be read", reason_code=15) from None

    def stamp(self, marker: dict[str, Any]) -> None:
        """Write the marker of a new place. rclone cannot create exclusively: the place is asked before and after."""
        if self.identity() is not None:
            raise FileExistsError(MARKER_NAME)
        self.write_small(MARKER_NAME, json.dumps(marker).encode())

    # looking

    def _listed(self, key: str) -> dict[str, Any] | None:
        said = self._run("lsjson", "--stat", self._path(key), absent_ok=True)
        described = json.loads(said) if said else None
        return None if not described or described.get("IsDir") else dict(described)

    def _stat_all(self, keys: Sequence[str]) -> dict[str, Found]:
        found = {key: self._listed(key) for key in keys}
        return {key: Found(int(item["Size"]), _token(item)) for key, item in found.items() if item}

    def keys(self, prefix: str) -> list[str]:
        """Return every key below a prefix."""
        said = self._run("lsf", "-R", "--files-only", self._path(prefix), absent_ok=True)
        return sorted(f"{prefix}/{line}" for line in (said or b"").decode().splitlines())

    def _readings(self, keys: Sequence[str], meter: Meter) -> Iterator[Reading]:
        for key in keys:
            yield self._read(key, meter)

    def _read(self, key: str, meter: Meter) -> Reading:
        before = self._listed(key)
        if before is None:
            return Reading(key, "missing")
        with self.open(key) as stream:

            def readinto(block: memoryview) -> int | None:
                n_read = stream.readinto(block)
                meter.advance(n_read or 0)
                return n_read

            digest, size = digest_blocks(readinto, max(int(before["Size"]), 0))
        after = self._listed(key)
        return Reading(key, "read", digest, size, _token(before), _token(after) if after else "gone")

    @contextmanager
    def open(self, key: str) -> Iterator[Stream]:
        """Open a file for reading; its end is believed only when rclone said that all was sent."""
        if self._listed(key) is None:
            raise NotFoundError(f"{self.url} does not hold {key}", reason_code=14)
        process = subprocess.Popen(
            ["rclone", *_FLAGS, "cat", self._path(key)],
            stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        )  # fmt: skip
        try:
            assert process.stdout is not None and process.stderr is not None
            yield process.stdout  # type: ignore[misc]
            if process.stdout.read(1) == b"" and process.wait():
                raise self._failed(process.returncode, process.stderr.read())
        finally:
            _end(process)

    # changing

    def put(self, sources: Sequence[Source], meter: Meter) -> list[Put]:
        """Stream each blob to a temporary name; give it its own only when the digest was right."""
        puts = []
        for source in sources:
            started_at, error = clock.now(), None
            name = f"tmp/{source.digest}.{uuid.uuid4().hex}"
            try:
                self._send(source, name, meter)
                self._run("moveto", self._path(name), self._path(blob_key(source.digest)))
            except (UnreachableError, NoSpaceError, KeyboardInterrupt):
                with suppress(HoldfastError):
                    self.remove(name)
                raise
            except HoldfastError as problem:
                self.remove(name)
                error = problem
            puts.append(Put(source.digest, started_at, clock.now(), error, source.size_bytes))
        return puts

    def _send(self, source: Source, name: str, meter: Meter) -> None:
        process = subprocess.Popen(
            ["rclone", *_FLAGS, "rcat", self._path(name)],
            stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True,
        )  # fmt: skip
        assert process.stdin is not None and process.stderr is not None
        try:
            with source.open() as stream:
                digest, size = digest_blocks(
                    stream.readinto, source.size_bytes, lambda block: self._write(process, block, meter)
                )
            process.stdin.close()
            errors = process.stderr.read()
            if process.wait():
                raise self._failed(process.returncode, errors)
        finally:
            _end(process)
        if (digest, size) != (source.digest, source.size_bytes):
            raise other_bytes(source)

    def _write(self, process: "subprocess.Popen[bytes]", block: memoryview, meter: Meter) -> None:
        assert process.stdin is not None and process.stderr is not None
        meter.advance(len(block))
        try:
            process.stdin.write(block)
        except OSError:
            raise self._failed(process.wait(), process.stderr.read()) from None

    def move(self, key: str, target: str) -> None:
        """Rename a file."""
        if self._listed(target) is not None:
            raise FileExistsError(target)
        self._run("moveto", self._path(key), self._path(target))

    def remove(self, key: str) -> None:
        """Remove a file."""
        if self._listed(key) is not None:
            self._run("deletefile", self._path(key))

    def read_small(self, key: str) -> bytes | None:
        """Return a small file."""
        return self._run("cat", self._path(key)) if self._listed(key) is not None else None

    def write_small(self, key: str, content: bytes) -> None:
        """Replace a small file."""
        self._run("rcat", self._path(key), content=content)

    def write_sums(self) -> int:
        """Write SHA256SUMS anew."""
        keys = self.keys("blobs")
        self.write_small(SUMS_NAME, "".join(f"{key.rsplit('/', 1)[1]}  {key}\n" for key in keys).encode())
        return len(keys)

    def nowhere(self) -> Store:
        """Return a place of an rclone remote that is not configured."""
        return RcloneStore(f"rclone:holdfast-nowhere-{uuid.uuid4().hex[:8]}:nowhere")


def _token(item: dict[str, Any]) -> str:
    hashes = ",".join(f"{name}={value}" for name, value in sorted((item.get("Hashes") or {}).items()))
    return f"{item.get('ModTime')}:{item.get('Size')}:{item.get('ID', '')}:{hashes}"


def _end(process: "subprocess.Popen[bytes]") -> None:
    """End a child that may be half way, and give its pipes back."""
    process.kill()
    process.wait()
    pipes: tuple[IO[bytes] | None, ...] = (process.stdin, process.stdout, process.stderr)
    for pipe in pipes:
        if pipe is not None:
            with suppress(OSError):
                pipe.close()

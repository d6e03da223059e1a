"""sha256 digests of files and trees, taken only of bytes that hold still while they are read.

A file is frozen before it is believed: no other process may hold it open for writing (asked by a read lease, where the
system grants one, before and after), and device, inode, size, mtime and ctime must be the same before and after.
Never mmap: a truncation would kill the process.
"""

import errno
import hashlib
import os
import re
import stat
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from registry.errors import NotFoundError, RefusedError, SourceChangedError, UsageError
from registry.leases import has_writer

BLOCK_BYTES = 1 << 20
DIGEST_PATTERN = re.compile(r"[0-9a-f]{64}")
_MANIFEST_LINE = re.compile(r"([0-9a-f]{64}) ([0-9]{1,19}) (.+)")
EMPTY_DIGEST = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"


@dataclass(frozen=True)
class FrozenFile:
    """One file that was read whole while nothing changed it; `path` is relative to the tree's root."""

    path: str
    digest: str
    size_bytes: int


@dataclass(frozen=True)
class Frozen:
    """What an artifact is: the digest of a file, or of the manifest of a tree, and the files in it."""

    kind: str
    digest: str
    size_bytes: int
    files: list[FrozenFile] = field(default_factory=list)


def check_digest(text: str) -> str:
    """Return `text` if it is a full lower-case sha256 digest. Raises UsageError otherwise."""
    if not DIGEST_PATTERN.fullmatch(text):
        raise UsageError(f"not a sha256 digest: {text[:80]!r}", hint="64 lower-case hexadecimal digits")
    return text


def stat_token(status: os.stat_result) -> str:
    """Return what changes whenever a file does: device, inode, size, mtime and ctime in nanoseconds."""
    return f"{status.st_dev}:{status.st_ino}:{status.st_size}:{status.st_mtime_ns}:{status.st_ctime_ns}"


def digest_stream(read: Callable[[memoryview], int | None]) -> tuple[str, int]:
    """Return the digest and the number of bytes of a stream, read to its end through `readinto`."""
    digest = hashlib.sha256()
    block = memoryview(bytearray(BLOCK_BYTES))
    size = 0
    while n_read := read(block):
        digest.update(block[:n_read])
        size += n_read
    return digest.hexdigest(), size


@contextmanager
def open_still(path: Path) -> Iterator[int]:
    """Open a regular file for reading and see to it that it does not change inside the block; yields the descriptor.

    Raises NotFoundError (missing), RefusedError (a symlink, a folder, a device), SourceChangedError (being written).
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC | os.O_NONBLOCK)
    except FileNotFoundError:
        raise NotFoundError(f"no file {path}", reason_code=14) from None
    except OSError as error:
        if error.errno == errno.ELOOP:
            raise RefusedError(f"{path} is a symlink", hint="name the file it points to") from None
        raise RefusedError(f"cannot read {path}: {error.strerror}") from None
    try:
        before = os.fstat(descriptor)
        if not stat.S_ISREG(before.st_mode):
            raise RefusedError(f"{path} is not a regular file")
        _refuse_writers(descriptor, path)
        yield descriptor
        _refuse_writers(descriptor, path)
        if stat_token(os.fstat(descriptor)) != stat_token(before):
            raise SourceChangedError(
                f"{path} changed while it was read", hint="wait until it is written whole", reason_code=17
            )
    finally:
        os.close(descriptor)


def _refuse_writers(descriptor: int, path: Path) -> None:
    """Raise SourceChangedError when any process can still write to the file."""
    if has_writer(descriptor):
        raise SourceChangedError(
            f"{path} is open for writing in another process", hint="wait until it is closed", reason_code=17
        )


def digest_file(path: Path) -> tuple[str, int]:
    """Return the digest and the size of a file that holds still. Raises as `open_still` does."""
    with open_still(path) as descriptor, open(descriptor, "rb", buffering=0, closefd=False) as file:
        digest, size = digest_stream(file.readinto)
        if size != os.fstat(descriptor).st_size:
            raise SourceChangedError(f"{path} changed its size while it was read", reason_code=17)
    return digest, size


def manifest_text(files: list[FrozenFile]) -> bytes:
    """Return the manifest of a tree: sorted lines `sha256 size path`."""
    lines = sorted(f"{file.digest} {file.size_bytes} {file.path}\n" for file in files)
    return "".join(sorted(lines, key=lambda line: line.split(" ", 2)[2])).encode()


def parse_manifest(text: bytes) -> list[FrozenFile]:
    """Return the files of a manifest. Raises UsageError for a bad line, an absolute path, or one with `..`."""
    try:
        lines = text.decode("utf-8", "strict").removesuffix("\n").split("\n")
    except UnicodeDecodeError:
        raise UsageError("a manifest that is not UTF-8") from None
    files = []
    for number, line in enumerate(lines, start=1):
        if not (match := _MANIFEST_LINE.fullmatch(line)):
            raise UsageError(f"manifest line {number} is not `sha256 size path`: {line[:80]!r}")
        files.append(FrozenFile(_safe_path(match[3]), match[1], int(match[2])))
    _refuse_collisions([file.path for file in files])
    return files


def _safe_path(path: str) -> str:
    parts = path.split("/")
    if not path or path.startswith("/") or any(part in ("", ".", "..") for part in parts) or "\\" in path:
        raise UsageError(f"unsafe path in a tree: {path!r}")
    if any(ord(letter) < 32 for letter in path) or unicodedata.normalize("NFC", path) != path:
        raise RefusedError(f"file name {path!r} cannot be kept the same everywhere", hint="rename it")
    return path


def _refuse_collisions(paths: list[str]) -> None:
    seen: dict[str, str] = {}
    for path in paths:
        other = seen.setdefault(unicodedata.normalize("NFC", path).casefold(), path)
        if other is not path:
            raise RefusedError(f"{other!r} and {path!r} are one name on some file systems", hint="rename one")


def tree_files(root: Path) -> list[Path]:
    """Return the files below `root`, sorted. Raises RefusedError for a symlink or an odd file anywhere in it."""
    found: list[Path] = []
    for folder, folders, files in os.walk(root, onerror=_raise):
        for name in (*folders, *files):
            if (Path(folder) / name).is_symlink():
                raise RefusedError(f"{Path(folder) / name} is a symlink", hint="a tree holds plain files only")
        found += [Path(folder) / name for name in files]
    return sorted(found)


def _raise(error: OSError) -> None:
    raise RefusedError(f"cannot list {error.filename}: {error.strerror}")


def freeze(path: Path) -> Frozen:
    """Hash a file or a folder as an artifact.

    Raises NotFoundError (missing), RefusedError (a symlink, empty, an unsafe or colliding name), SourceChangedError.
    """
    if path.is_symlink():
        raise RefusedError(f"{path} is a symlink", hint="name the file it points to")
    if not path.exists():
        raise NotFoundError(f"no file {path}", reason_code=14)
    return _freeze_tree(path) if path.is_dir() else _freeze_file(path)


def _freeze_file(path: Path) -> Frozen:
    digest, size = digest_file(path)
    if size == 0:
        raise RefusedError(f"{path} is empty", hint="an empty file is no artifact", reason_code=10)
    return Frozen("file", digest, size, [FrozenFile(path.name, digest, size)])


def _freeze_tree(root: Path) -> Frozen:
    try:
        names = [path.relative_to(root).as_posix() for path in tree_files(root)]
        names = [_safe_path(name.encode().decode()) for name in names]
    except UnicodeEncodeError:
        raise RefusedError(f"{root} holds a file whose name is not UTF-8", hint="rename it") from None
    if not names:
        raise RefusedError(f"{root} is an empty folder", hint="nothing to keep is no success", reason_code=10)
    _refuse_collisions(names)
    files = [FrozenFile(name, *digest_file(root / name)) for name in names]
    if [path.relative_to(root).as_posix() for path in tree_files(root)] != names:
        raise SourceChangedError(f"files came or went in {root} while it was read", reason_code=17)
    digest = hashlib.sha256(manifest_text(files)).hexdigest()
    return Frozen("tree", digest, sum(file.size_bytes for file in files), files)


def self_test() -> None:
    """Check the hashing code against known answers (FIPS 180-4). Raises RuntimeError when it is broken."""
    known = {
        b"": EMPTY_DIGEST,
        b"abc": "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad",
        b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq": (
            "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1"
        ),
    }
    import io

    for text, expected in known.items():
        if digest_stream(io.BytesIO(text).readinto)[0] != expected:
            raise RuntimeError("sha256 of this Python gives wrong digests")

"""What reaches a disk: whole or not at all, in the right order, through full disks, failing disks and sudden death."""

import errno
import hashlib
import mmap
import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from registry.errors import SourceChangedError, UnreachableError
from registry.remotes import disk as disk_module
from registry.remotes.base import Meter
from registry.remotes.conformance import source
from registry.remotes.disk import MEASURED_FILESYSTEMS, Disk, DiskReads, filesystem_id, mount_of, read_cold
from registry.remotes.folder import RESUME_FROM_BYTES, FolderStore

from .conftest import blob_path

needs_strace = pytest.mark.skipif(not shutil.which("strace"), reason="no strace here: apt-get install strace")
WRITING = "write,pwrite64,fsync,fdatasync,rename,renameat,renameat2,unlink,link,mkdir,flock,ftruncate,syncfs"
PUT = """
import sys
from pathlib import Path
from registry.remotes.base import Meter
from registry.remotes.conformance import source
from registry.remotes.folder import FolderStore
place, path, digest = sys.argv[1:]
(put,) = FolderStore(place).put([source(Path(path).read_bytes(), digest)], Meter())
sys.exit(7 if put.error else 0)
"""


def content_of(path: Path, size: int = 300_000) -> str:
    """Make a file of random bytes and return its digest."""
    path.write_bytes(os.urandom(size))
    return hashlib.sha256(path.read_bytes()).hexdigest()


def traced(tmp_path: Path, *options: str, place: Path, path: Path, digest: str) -> "subprocess.CompletedProcess[str]":
    """Run one put in a process of its own under strace."""
    program = [sys.executable, "-c", PUT, str(place), str(path), digest]
    environment = {**os.environ, "PYTHONDONTWRITEBYTECODE": "1"}
    strace = ["strace", "-f", "-y", "-o", str(tmp_path / "trace"), *options]
    return subprocess.run([*strace, *program], capture_output=True, text=True, env=environment)


# --- order


@needs_strace
def test_the_order_of_a_put(tmp_path: Path) -> None:
    """The bytes are on the disk before they get their name, and the name is on the disk before it is said."""
    place, path = tmp_path / "place", tmp_path / "model"
    digest = content_of(path)
    traced(tmp_path, f"-etrace={WRITING}", place=place, path=path, digest=digest)
    trace = (tmp_path / "trace").read_text()
    at = {
        "bytes": trace.rindex("write("),
        "fsync of the bytes": re.search(rf"fsync\(\d+<[^>]*/tmp/{digest}", trace),
        "rename": re.search(rf"rename\([^)]*/tmp/{digest}[^)]*blobs/sha256", trace),
        "fsync of the folder": re.search(rf"fsync\(\d+<[^>]*blobs/sha256/{digest[:2]}>", trace),
    }
    order = [found if isinstance(found, int) else found.start() if found else -1 for found in at.values()]
    assert -1 not in order and order == sorted(order), dict(zip(at, order, strict=True))


@needs_strace
def test_the_order_of_a_release(
    other_disk: Path, cli: Callable[..., Any], record: Callable[..., Any], nas: Path
) -> None:
    """The permit is on the disk before the command that destroys the machine is started."""
    run = record()
    cli("copy", run.id, "--to", "nas")
    guard = [sys.executable, "-m", "registry", "guard", run.id, "--accept-single", "--", "/bin/true"]
    trace = other_disk / "trace"
    strace = ["strace", "-f", "-y", "-o", str(trace), "-etrace=fsync,fdatasync,execve,pwrite64"]
    done = subprocess.run([*strace, *guard], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    lines = trace.read_text().splitlines()
    called = next(i for i, line in enumerate(lines) if 'execve("/bin/true"' in line)
    written = max(i for i, line in enumerate(lines[:called]) if "pwrite64(" in line and "runs.db-wal" in line)
    synced = max(i for i, line in enumerate(lines[:called]) if "sync(" in line and "runs.db-wal" in line)
    assert written < synced < called, "what the permit says was not on the disk when the command was started"


# --- sudden death


@needs_strace
def test_killed_at_any_system_call_of_a_put(tmp_path: Path) -> None:
    """Whenever the process dies, the final name is absent or complete, and the next attempt ends right."""
    path = tmp_path / "model"
    digest = content_of(path, 30_000)
    traced(tmp_path, f"-etrace={WRITING}", place=tmp_path / "whole", path=path, digest=digest)
    calls = re.findall(r"^\d+ +(\w+)\(", (tmp_path / "trace").read_text(), re.MULTILINE)
    moments = [(call, n + 1) for call in dict.fromkeys(calls) for n in range(calls.count(call))]
    assert len(moments) > 10 and {"write", "fsync", "rename"} <= set(calls)
    for call, n in moments:
        place = tmp_path / f"{call}-{n}"
        kill = f"-einject={call}:signal=KILL:when={n}"
        done = traced(tmp_path, f"-etrace={call}", kill, place=place, path=path, digest=digest)
        assert done.returncode != 0, f"it was not killed at {call} {n}"
        final = blob_path(place, digest)
        assert not final.exists() or hashlib.sha256(final.read_bytes()).hexdigest() == digest, f"torn at {call} {n}"
        (put,) = FolderStore(str(place)).put([source(path.read_bytes(), digest)], Meter())
        assert put.error is None and hashlib.sha256(final.read_bytes()).hexdigest() == digest


# --- disks that fail


@needs_strace
@pytest.mark.parametrize("error", ["EIO", "ENOSPC"])
@pytest.mark.parametrize("which", [1, 2], ids=["of the bytes", "of the folder"])
def test_an_fsync_that_fails_is_believed(tmp_path: Path, error: str, which: int) -> None:
    """It is never tried again and then believed: nothing is said to be stored."""
    place, path = tmp_path / "place", tmp_path / "model"
    digest = content_of(path)
    inject = f"inject=fsync:error={error}:when={which}"
    done = traced(tmp_path, "-etrace=fsync", f"-e{inject}", place=place, path=path, digest=digest)
    assert done.returncode not in (0, 7), "a put whose fsync failed was reported as done"
    assert ("no space left" in done.stderr) == (error == "ENOSPC")
    assert blob_path(place, digest).exists() == (which == 2)
    assert not list((place / "tmp").glob(f"{digest}*")), "what was left could be taken for good later"


@pytest.mark.parametrize("call", ["close", "write"])
def test_a_close_or_a_write_that_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, call: str) -> None:
    content, real = os.urandom(5000), getattr(os, call)
    digest = hashlib.sha256(content).hexdigest()

    def failing(descriptor: int, *rest: Any) -> Any:
        if digest in os.readlink(f"/proc/self/fd/{descriptor}"):
            if call == "close":
                real(descriptor)
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(descriptor, *rest)

    monkeypatch.setattr(disk_module.os, call, failing)
    with pytest.raises(UnreachableError):
        FolderStore(str(tmp_path / "place")).put([source(content, digest)], Meter())
    monkeypatch.undo()
    assert not blob_path(tmp_path / "place", digest).exists()


def test_a_read_that_fails_is_unreadable_and_not_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "f").write_bytes(b"x" * 100)

    def failing(*_: Any) -> Any:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr(disk_module, "digest_blocks", failing)
    (found,) = Disk(str(tmp_path)).digests(["f"], lambda n_bytes: None)
    assert found["found"] == "unreadable" and "Input/output error" in found["error"]


FULL = """
import os, sys
from pathlib import Path
from registry.remotes.base import Meter, NoSpaceError
from registry.remotes.conformance import blob, source
from registry.remotes.folder import FolderStore
store = FolderStore("place")
store.stamp({"id": "x", "layout": 1})
kept, kept_digest = blob(100_000)
assert store.put([source(kept, kept_digest)], Meter())[0].error is None
for size in (1_000_000, 5_000_000, 20_000_000):
    content, digest = blob(size)
    try:
        store.put([source(content, digest)], Meter())
        print("stored", size)
    except NoSpaceError as error:
        final = store.find(f"blobs/sha256/{digest[:2]}/{digest}")
        print("refused", error.reason_code, final, len(os.listdir("place/tmp")))
target = "quarantine/" + kept_digest
Path("place/filler").write_bytes(b"")
try:
    with open("place/filler", "wb", buffering=0) as file:
        while True: file.write(b"f" * 4096)
except OSError: pass
try:
    store.move(f"blobs/sha256/{kept_digest[:2]}/{kept_digest}", target)
except Exception as error: print("move", type(error).__name__)
both = [key for key in (f"blobs/sha256/{kept_digest[:2]}/{kept_digest}", target) if store.find(key)]
print("kept", len(both))
os.unlink("place/filler")
print("again", store.put([source(kept, kept_digest)], Meter())[0].error)
"""


def test_a_disk_of_one_megabyte(tmp_path: Path) -> None:
    """A full disk is one clear refusal (reason 22): no final name, nothing left behind, nothing lost, and room again
    is all it needs."""
    (tmp_path / "place").mkdir()
    (tmp_path / "full.py").write_text(FULL)
    inside = f"mount -t tmpfs -o size=1m none place && exec {sys.executable} full.py"
    done = subprocess.run(["unshare", "-rm", "sh", "-c", inside], cwd=tmp_path, capture_output=True, text=True)
    if "unshare" in done.stderr or "mount" in done.stderr:
        pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")
    assert done.stdout.splitlines() == ["refused 22 None 0"] * 3 + [
        line for line in done.stdout.splitlines() if line.startswith("move")
    ] + ["kept 1", "again None"], done.stdout + done.stderr


# --- the page cache


def test_a_read_that_memory_served_is_not_called_cold(tmp_path: Path) -> None:
    if mount_of(str(tmp_path))[0] not in MEASURED_FILESYSTEMS:
        pytest.skip("this filesystem does not account for what it fetches")
    path = tmp_path / "model"
    with open(path, "wb") as file:
        file.write(os.urandom(1 << 20))
        file.flush()
        os.fsync(file.fileno())
    reads = DiskReads()
    with open(path, "r+b") as file, mmap.mmap(file.fileno(), 0) as held:
        assert sum(held[::4096]) > 0  # touched pages of a mapping cannot be dropped from memory
        assert read_cold(str(path), "measured", reads, lambda n_bytes: None)["cold"] is False
    assert read_cold(str(path), "measured", reads, lambda n_bytes: None)["cold"] is True
    reads.close()


# --- going on, and two at once


def test_an_interrupted_transfer_goes_on_where_it_stopped(tmp_path: Path) -> None:
    content = os.urandom(RESUME_FROM_BYTES * 2)
    digest = hashlib.sha256(content).hexdigest()
    store = FolderStore(str(tmp_path / "place"))
    meter = Meter()
    meter.report = lambda n_bytes: meter.stopped.set()
    with pytest.raises(KeyboardInterrupt):
        store.put([source(content, digest)], meter)
    (left,) = (tmp_path / "place" / "tmp").iterdir()
    n_left = left.stat().st_size
    assert 0 < n_left < len(content)
    written: list[int] = []
    real = Disk.write

    def counting(self: Disk, name: str, block: memoryview) -> None:
        written.append(len(block))
        real(self, name, block)

    Disk.write = counting  # type: ignore[method-assign]
    try:
        (put,) = store.put([source(content, digest)], Meter())
    finally:
        Disk.write = real  # type: ignore[method-assign]
    assert put.error is None and sum(written) == len(content) - n_left
    assert hashlib.sha256(blob_path(tmp_path / "place", digest).read_bytes()).hexdigest() == digest


def test_leftovers_of_other_bytes_are_not_built_upon(tmp_path: Path) -> None:
    content = os.urandom(RESUME_FROM_BYTES)
    digest = hashlib.sha256(content).hexdigest()
    (tmp_path / "place" / "tmp").mkdir(parents=True)
    (tmp_path / "place" / "tmp" / f"{digest}.dead").write_bytes(b"rubbish" * 1000)
    (put,) = FolderStore(str(tmp_path / "place")).put([source(content, digest)], Meter())
    assert put.error is None
    assert hashlib.sha256(blob_path(tmp_path / "place", digest).read_bytes()).hexdigest() == digest


def test_a_transfer_that_another_process_is_making_is_not_taken_over(tmp_path: Path) -> None:
    digest = "d" * 64
    first, second = Disk(str(tmp_path)), Disk(str(tmp_path))
    name, _, _ = first.begin(digest)
    first.write(name, memoryview(b"first"))
    assert second.begin(digest)[0] != name
    first.give_up(name, keep=True)
    assert second.begin(digest)[:2] == (name, 5)


def test_old_leftovers_are_cleaned_and_live_ones_are_not(tmp_path: Path) -> None:
    disk = Disk(str(tmp_path))
    held, _, _ = disk.begin("a" * 64)
    stale = tmp_path / "tmp" / ("b" * 64)
    stale.write_bytes(b"x")
    for path in (stale, tmp_path / held):
        os.utime(path, (0, 0))
    assert disk.clean() == 1
    assert not stale.exists() and (tmp_path / held).exists()


def test_the_source_is_hashed_on_the_way(tmp_path: Path) -> None:
    (put,) = FolderStore(str(tmp_path / "place")).put([source(b"other bytes", "a" * 64)], Meter())
    assert isinstance(put.error, SourceChangedError) and put.error.reason_code == 17
    assert not (tmp_path / "place" / "blobs").exists()


def test_a_rate_is_kept_and_a_stop_is_heard(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    meter = Meter(rate_bytes_s=1000.0)
    monkeypatch.setattr(meter.stopped, "wait", lambda seconds: waits.append(seconds) or False)
    for _ in range(4):
        meter.advance(500)
    assert waits[-1] == pytest.approx(2.0, abs=0.2), "four times 500 bytes at 1,000 a second"
    meter.stopped.set()
    with pytest.raises(KeyboardInterrupt):
        meter.advance(1)


def test_keys_never_lead_out_of_the_place(tmp_path: Path) -> None:
    for key in ("../x", "/etc/passwd", "a/../../x", "", "a//b", "."):
        with pytest.raises(ValueError):
            Disk(str(tmp_path)).path(key)


def test_a_filesystem_is_the_same_by_every_path_to_it(tmp_path: Path, other_disk: Path) -> None:
    (tmp_path / "link").symlink_to(other_disk)
    assert filesystem_id(str(tmp_path / "link")) == filesystem_id(str(other_disk)) != filesystem_id(str(tmp_path))


def test_sums_are_read_by_plain_sha256sum(tmp_path: Path) -> None:
    store = FolderStore(str(tmp_path / "place"))
    blobs = [os.urandom(100 + i) for i in range(5)]
    store.put([source(content, hashlib.sha256(content).hexdigest()) for content in blobs], Meter())
    assert store.write_sums() == 5
    check = ["sha256sum", "-c", "--strict", "SHA256SUMS"]
    assert subprocess.run(check, cwd=tmp_path / "place", capture_output=True).returncode == 0
    blob_path(tmp_path / "place", hashlib.sha256(blobs[2]).hexdigest()).write_bytes(b"x")
    assert subprocess.run(check, cwd=tmp_path / "place", capture_output=True).returncode == 1


def test_the_helper_text_runs_on_an_old_python() -> None:
    """What is sent to an SSH host holds no syntax and no call newer than Python 3.8."""
    import ast

    for name in ("disk", "inventory", "helper"):
        text = (Path(disk_module.__file__).parent / f"{name}.py").read_text()
        ast.parse(text, feature_version=(3, 8))
        assert (
            "removeprefix" not in text and "removesuffix" not in text and "from __future__ import annotations" in text
        )

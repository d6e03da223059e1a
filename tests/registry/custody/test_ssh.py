"""An SSH host: whole answers or none, with a Python there or without, through noise, cuts and changed keys."""

import hashlib
import os
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from registry.errors import UnreachableError
from registry.remotes import ssh, ssh_rsync
from registry.remotes.base import Meter, blob_key
from registry.remotes.conformance import source
from registry.remotes.folder import FolderStore
from registry.remotes.ssh import Connection, SshStore, parse_address
from registry.remotes.ssh_shell import ShellDisk

from .conftest import Recorded, Sshd, blob_path, flip_byte

Cli = Callable[..., Any]


@pytest.fixture
def place(tmp_path: Path) -> Path:
    FolderStore(str(tmp_path / "place")).stamp({"id": "there", "layout": 1})
    return tmp_path / "place"


@pytest.fixture
def fake_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Put a program of our own in front of a real one."""
    (tmp_path / "bin").mkdir()
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")

    def make(name: str, script: str) -> None:
        program = tmp_path / "bin" / name
        program.write_text(f"#!/bin/sh\n{script}\n")
        program.chmod(0o755)

    return make


def states(cli: Cli, run: Recorded) -> list[str]:
    return [copy["state"] for artifact in cli("where", run.id, "--json").json for copy in artifact["copies"]]


def blob() -> tuple[bytes, str]:
    content = os.urandom(3000)
    return content, hashlib.sha256(content).hexdigest()


def test_copy_verify_and_fetch(cli: Cli, record: Callable[..., Recorded], box: Sshd, tmp_path: Path) -> None:
    run = record(best=os.urandom(9 << 20), tree={f"{i}": os.urandom(500) for i in range(40)})
    cli("remote", "add", "box", f"box:{tmp_path}/far")
    cli("copy", run.id, "--to", "box")
    assert states(cli, run) == ["verified", "verified"]
    (copy,) = cli("where", run.id, "--json").json[0]["copies"]
    assert copy["method"] == "hashed on the ssh host, past the page cache"
    digest = hashlib.sha256(run.files["best"].read_bytes()).hexdigest()
    run.files["best"].unlink()
    cli("fetch", run.id)
    assert hashlib.sha256(run.files["best"].read_bytes()).hexdigest() == digest
    flip_byte(blob_path(tmp_path / "far", digest))
    cli("verify", run.id, "--read-back", code=1)
    assert states(cli, run)[0] == "corrupt"


def test_ssh_to_oneself_is_no_other_machine(
    cli: Cli, record: Callable[..., Recorded], box: Sshd, other_disk: Path
) -> None:
    run = record()
    cli("remote", "add", "self", f"box:{other_disk}/far")
    cli("copy", run.id, "--to", "self")
    (copy,) = cli("where", run.id, "--json").json[0]["copies"]
    assert copy["state"] == "verified" and not copy["counts"] and "same machine" in copy["reason"]
    cli("remote", "add", "folder", other_disk / "far", code=3)


def test_an_untrusted_host_counts_only_what_was_read_back_here(
    cli: Cli, record: Callable[..., Recorded], box: Sshd, tmp_path: Path
) -> None:
    run = record()
    cli("remote", "add", "box", f"box:{tmp_path}/far", "--trust", "untrusted")
    cli("copy", run.id, "--to", "box")
    assert states(cli, run) == ["present"]
    cli("verify", run.id, "--read-back")
    assert states(cli, run) == ["verified"]


def test_a_changed_host_key_is_unreachable(
    cli: Cli, record: Callable[..., Recorded], box: Sshd, tmp_path: Path
) -> None:
    run = record()
    cli("remote", "add", "box", f"box:{tmp_path}/far")
    cli("copy", run.id, "--to", "box")
    name = f"[127.0.0.1]:{box.port}"
    other_key = (box.folder / "key.pub").read_text()
    (tmp_path / "known").write_text(f"{name} {other_key}")
    box.configure(UserKnownHostsFile=tmp_path / "known", StrictHostKeyChecking="yes")
    said = cli("verify", run.id, "--json", code=5).json
    assert "Host key verification failed" in said["unreachable"][0]["reason"]
    assert states(cli, run) == ["verified"]


@pytest.mark.parametrize("fault", ["no answer", "refused", "cut at once"])
def test_a_host_that_does_not_answer_is_unknown(
    box: Sshd, place: Path, fault: str, fake_path: Callable[[str, str], None]
) -> None:
    if fault == "refused":
        box.configure(Port=1)
    else:
        fake_path("ssh", "exit 255" if fault == "no answer" else "head -c 10 >/dev/null; echo HOLDF")
    store = SshStore(f"box:{place}")
    with pytest.raises(UnreachableError) as error:
        store.find(blob_key("a" * 64))
    assert error.value.reason_code == 15
    store.close()


def test_a_shell_that_greets_does_not_disturb(
    box: Sshd, place: Path, monkeypatch: pytest.MonkeyPatch, fake_path: Callable[[str, str], None]
) -> None:
    real = shutil.which("ssh", path="/usr/bin:/bin")
    fake_path("ssh", f"echo Welcome to the cluster; printf 'no newline'; exec {real} \"$@\"")
    store = SshStore(f"box:{place}")
    content, digest = blob()
    (put,) = store.put([source(content, digest)], Meter())
    assert put.error is None
    (reading,) = store.digests([blob_key(digest)], Meter())
    assert reading.digest == digest
    store.close()


def test_an_answer_cut_before_its_end_is_none(box: Sshd, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = Connection(parse_address(f"box:{place}"))
    asked = connection.items("digests", ["a", "b", "c"])
    next(asked)
    connection._process.kill()
    connection._process.wait()
    connection._buffer.clear()
    with pytest.raises(UnreachableError):
        list(asked)
    connection.close()


def test_fewer_answers_than_announced_are_none(box: Sshd, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = Connection(parse_address(f"box:{place}"))
    lines = iter([{"item": {"found": "missing"}}, {"end": 3}])
    monkeypatch.setattr(connection, "_line", lambda: next(lines))
    with pytest.raises(UnreachableError, match="1 answers came of 3"):
        list(connection.items("digests", ["a", "b", "c"]))
    connection.close()


def test_a_transfer_cut_in_the_middle_leaves_no_name_and_goes_on(box: Sshd, place: Path) -> None:
    content = os.urandom(20 << 20)
    digest = hashlib.sha256(content).hexdigest()
    store = SshStore(f"box:{place}")
    meter, moved = Meter(), [0]

    def cut(n_bytes: int) -> None:
        moved[0] += n_bytes
        if moved[0] > 8 << 20:
            store.connection()._process.kill()

    meter.report = cut
    with pytest.raises(UnreachableError):
        store.put([source(content, digest)], meter)
    assert not blob_path(place, digest).exists()
    (put,) = store.put([source(content, digest)], Meter())
    assert put.error is None and hashlib.sha256(blob_path(place, digest).read_bytes()).hexdigest() == digest
    store.close()


# --- a host without Python


@pytest.fixture
def without_python(box: Sshd, place: Path) -> SshStore:
    store = SshStore(f"box:{place}")
    store._has_python = False
    yield store  # type: ignore[misc]
    store.close()


def test_a_host_without_python_is_noticed(box: Sshd, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh, "_BOOTSTRAP", "import sys; sys.exit(93)")
    store = SshStore(f"box:{place}")
    assert store.marker_id() == "there"
    assert isinstance(store._shell, ShellDisk)
    store.close()


def test_shell_scripts_do_the_same(without_python: SshStore, place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ssh_rsync, "can_carry", lambda disk, sources: False)
    store, (content, digest) = without_python, blob()
    helper = SshStore(store.url)
    assert replace(store.facts(), free_bytes=0) == replace(helper.facts(), free_bytes=0)
    helper.close()
    (put,) = store.put([source(content, digest)], Meter())
    assert put.error is None
    found = store.find(blob_key(digest))
    assert found is not None and found.size_bytes == 3000
    (here, back) = (next(iter(list(read([blob_key(digest)], Meter())))) for read in (store.digests, store.read_back))
    assert here.digest == back.digest == digest and here.before == here.after
    (refused,) = store.put([source(content, "c" * 64)], Meter())
    assert refused.error is not None and store.find(blob_key("c" * 64)) is None
    store.move(blob_key(digest), f"quarantine/{digest}.1")
    assert store.find(blob_key(digest)) is None and store.keys("quarantine") == [f"quarantine/{digest}.1"]
    store.put([source(content, digest)], Meter())
    with pytest.raises(FileExistsError):
        store.move(blob_key(digest), f"quarantine/{digest}.1")
    store.write_small("index/x.txt", b"two\nlines\n")
    assert store.read_small("index/x.txt") == b"two\nlines\n" and store.read_small("index/y.txt") is None
    assert store.write_sums() == 1
    with pytest.raises(FileExistsError):
        store.stamp({"id": "second", "layout": 1})
    flip_byte(blob_path(place, digest))
    (reading,) = store.digests([blob_key(digest)], Meter())
    assert reading.found == "read" and reading.digest != digest
    store.remove(blob_key(digest))
    assert [reading.found for reading in store.digests([blob_key(digest)], Meter())] == ["missing"]


@pytest.mark.skipif(not shutil.which("rsync"), reason="no rsync here: apt-get install rsync")
def test_rsync_carries_where_it_is_on_both_ends(
    cli: Cli, record: Callable[..., Recorded], without_python: SshStore, tmp_path: Path
) -> None:
    from registry.copies.sources import file_source

    sources = []
    for number in range(30):
        path = tmp_path / f"file {number}"
        path.write_bytes(os.urandom(1000 + number))
        sources.append(file_source(path, hashlib.sha256(path.read_bytes()).hexdigest(), 1000 + number))
    (tmp_path / "file 7").write_bytes(b"changed since")
    puts = without_python.put(sources, Meter())
    assert [put.digest for put in puts if put.error] == [sources[7].digest]
    found = without_python.find_all([blob_key(item.digest) for item in sources])
    assert len(found) == 29


@pytest.mark.parametrize(
    ("script", "code"),
    [("echo partial >&2; exit 23", 18), ("echo vanished >&2; exit 24", 18), ("exit 0", 14)],
    ids=["some files failed", "files vanished", "says yes and sends nothing"],
)
def test_what_rsync_says_proves_nothing(
    without_python: SshStore, tmp_path: Path, fake_path: Callable[[str, str], None], script: str, code: int
) -> None:
    from registry.copies.sources import file_source

    (tmp_path / "file").write_bytes(b"weights")
    item = file_source(tmp_path / "file", hashlib.sha256(b"weights").hexdigest(), 7)
    fake_path("rsync", script)
    (put,) = without_python.put([item], Meter())
    assert put.error is not None and put.error.reason_code == code
    assert without_python.find(blob_key(item.digest)) is None
    fake_path("rsync", "exit 255")
    with pytest.raises(UnreachableError):
        without_python.put([item], Meter())


@pytest.mark.parametrize(
    ("url", "target", "port", "path"),
    [
        ("box:copies", "box", None, "copies"),
        ("me@box:/abs/path", "me@box", None, "/abs/path"),
        ("ssh://me@box:2222/abs", "me@box", 2222, "/abs"),
        ("ssh://box/~/rel", "box", None, "~/rel"),
    ],
)
def test_addresses(url: str, target: str, port: int | None, path: str) -> None:
    found = parse_address(url)
    assert (found.target, found.port, found.path) == (target, port, path)


def test_an_address_is_never_an_option(cli: Cli) -> None:
    cli("remote", "add", "x", "ssh://-oProxyCommand=touch pwned/x", code=2)
    assert not Path("pwned").exists()

"""Faults of services, processes and of the record itself, and that the table of all fifty is true."""

import hashlib
import os
import re
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from registry.remotes import s3
from registry.remotes.base import Meter, blob_key
from registry.remotes.conformance import blob, source
from registry.remotes.s3 import S3Store

from .conftest import Bucket, Recorded, blob_path, poll

Cli = Callable[..., Any]
Record = Callable[..., Recorded]
REGISTRY = [sys.executable, "-m", "registry"]
PAGE = Path(__file__).parents[3] / "docs" / "custody.md"


@pytest.fixture
def copied(cli: Cli, record: Record, bucket: Bucket) -> Recorded:
    run = record(best=os.urandom(100_000))
    cli("remote", "add", "s3", bucket.url)
    cli("copy", run.id, "--to", "s3")
    return run


def states(cli: Cli, run: Recorded) -> list[str]:
    return [copy["state"] for artifact in cli("where", run.id, "--json").json for copy in artifact["copies"]]


# --- what a service may do


def test_a_right_stored_hash_does_not_excuse_wrong_bytes(cli: Cli, copied: Recorded, bucket: Bucket) -> None:
    """A provider whose listing has the right sha256 of the object, and which delivers other bytes each time."""
    digest = cli("where", copied.id, "--json").json[0]["digest"]

    def wrong(way: str, block: bytes) -> bytes:
        return block[:-9] + bytes([block[-9] ^ 1]) + block[-8:] if way == "down" and len(block) > 20_000 else block

    bucket.network.fault = wrong
    said = cli("verify", copied.id, "--json", code=1).json
    assert said["bad"][0]["code"] == 13 and states(cli, copied) == ["corrupt"]
    key = f"copies/{blob_key(digest)}"
    stored = bucket.direct.get_object(Bucket=bucket.name, Key=key)["Body"].read()
    assert hashlib.sha256(stored).hexdigest() == digest, "what is stored, and every hash of it, are right"


@pytest.mark.parametrize("status", [b"500 Internal Server Error", b"503 Slow Down"])
def test_a_service_that_only_errs_cannot_tell_and_is_asked_a_few_times(
    bucket: Bucket, status: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    store, asked = S3Store(bucket.url), [0]

    def fault(way: str, block: bytes) -> bytes:
        asked[0] += way == "up" and block.startswith((b"HEAD", b"GET"))
        return re.sub(rb"^HTTP/1.1 \d+ [^\r]*", b"HTTP/1.1 " + status, block) if way == "down" else block

    bucket.network.fault = fault
    for ask in (lambda: store.find("x"), lambda: list(store.digests(["x"], Meter()))):
        asked[0] = 0
        with pytest.raises(s3.UnreachableError) as refused:
            ask()
        assert refused.value.reason_code == 15 and 1 < asked[0] <= s3.REQUEST_TRIES * s3.READ_TRIES
    store.close()


def test_an_answer_that_only_trickles_is_given_up_on(
    cli: Cli, record: Record, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A byte now and then keeps a connection alive for ever; it is not an answer for that."""
    copied, pause = record(best=os.urandom(600_000)), threading.Event()
    cli("remote", "add", "s3", bucket.url)
    cli("copy", copied.id, "--to", "s3")
    monkeypatch.setattr(s3, "SILENCE_S", 0.6)
    monkeypatch.setattr(s3, "LEAST_BYTES_S", 1e9)

    def slowly(way: str, block: bytes) -> bytes:
        if way == "down" and len(block) > 20_000:
            pause.wait(0.3)
        return block

    bucket.network.fault = slowly
    said = cli("verify", copied.id, "--json", code=5).json
    assert said["unreachable"][0]["code"] == 15 and states(cli, copied) == ["verified"]


def test_what_may_be_written_and_not_read_is_not_verified_and_not_missing(
    cli: Cli, record: Record, bucket: Bucket
) -> None:
    """A key that may put and not get: the copy is stored, and nobody can say that it is right."""
    run = record(best=os.urandom(50_000))
    cli("remote", "add", "s3", bucket.url)
    reading = threading.Event()

    def deny(way: str, block: bytes) -> bytes:
        if way == "up":
            (reading.set if block.startswith(b"GET /") and b"blobs/" in block[:200] else reading.clear)()
            return block
        return re.sub(rb"^HTTP/1.1 200 [^\r]*", b"HTTP/1.1 403 Forbidden", block) if reading.is_set() else block

    bucket.network.fault = deny
    cli("copy", run.id, "--to", "s3", code=5)
    assert states(cli, run) == ["unknown"], "not missing, and not there either"
    bucket.network.fault = lambda way, block: block
    cli("verify", run.id)
    assert states(cli, run) == ["verified"]


def test_a_stream_at_the_edge_of_a_part_and_of_the_most_parts(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    """Larger than one part, than a whole number of parts, and than the most parts of the usual size."""
    monkeypatch.setattr(s3, "PART_BYTES", 5 << 20)
    monkeypatch.setattr(s3, "MOST_PARTS", 2)
    store = S3Store(bucket.url)
    store.stamp({"id": "here", "layout": 1})
    for size in ((5 << 20) - 1, 5 << 20, (5 << 20) + 1, (10 << 20) + 1):
        content, digest = blob(size)
        (put,) = store.put([source(content, digest)], Meter())
        (reading,) = store.digests([blob_key(digest)], Meter())
        assert put.error is None and (reading.digest, reading.size_bytes) == (digest, size)
        stored = bucket.direct.head_object(Bucket=bucket.name, Key=f"copies/{blob_key(digest)}")
        assert ("-" in stored["ETag"]) == (size > 5 << 20), "it went in parts when it had to"
    store.close()


# --- processes


def test_two_registries_that_drop_at_once_leave_a_copy(cli: Cli, record: Record, nas: Path, tmp_path: Path) -> None:
    """Two processes, each with a record of its own, each relying on the place that the other drops from."""
    (tmp_path / "registry.toml").write_text("[policy]\nrequire_other_domain = false\nnum_copies = 1\n")
    cli("remote", "add", "second", tmp_path / "second", "--domain", "second", "--class", "durable")
    run = record(best=os.urandom(4000))
    for name in ("nas", "second"):
        cli("copy", run.id, "--to", name)
    digest = cli("where", run.id, "--json").json[0]["digest"]
    twin = tmp_path / "twin"
    twin.mkdir()
    for name in ("runs.db", "registry.toml"):
        shutil.copy(tmp_path / name, twin / name)
    shutil.copytree(tmp_path / "runs", twin / "runs")
    pairs = (("nas", tmp_path / "runs.db"), ("second", twin / "runs.db"))
    dropping = [
        subprocess.Popen([*REGISTRY, "--db", str(db), "drop", run.id, "--from", name], stderr=subprocess.DEVNULL)
        for name, db in pairs
    ]
    codes = [process.wait(60) for process in dropping]
    left = [place for place in (nas, tmp_path / "second") if blob_path(place, digest).exists()]
    assert left and set(codes) <= {0, 3, 5}, codes
    assert codes.count(0) <= 1, "both went"


def test_a_call_that_never_returns_is_interrupted_and_told_as_unknown(
    cli: Cli, record: Record, nas: Path, tmp_path: Path
) -> None:
    run = record()
    cli("copy", run.id, "--to", "nas")
    command = ["sh", "-c", "touch calling; exec sleep 600"]
    guard = subprocess.Popen([*REGISTRY, "guard", run.id, "--accept-single", "--", *command], start_new_session=True)
    poll((tmp_path / "calling").exists, 60.0)
    os.killpg(guard.pid, signal.SIGINT)
    assert guard.wait(30) == 130
    (alert,) = [alert for alert in cli("alerts", "--json").json if alert["code"] == "release-unknown"]
    assert "--settle" in alert["hint"]


# --- the record itself


def test_a_damaged_record_lets_nothing_go(cli: Cli, record: Record, nas: Path, tmp_path: Path) -> None:
    run = record()
    cli("copy", run.id, "--to", "nas")
    content = bytearray((tmp_path / "runs.db").read_bytes())
    for suffix in ("-wal", "-shm"):
        (tmp_path / f"runs.db{suffix}").unlink(missing_ok=True)
    content[100:4096] = os.urandom(3996)
    (tmp_path / "runs.db").write_bytes(content)
    said = cli("guard", run.id, "--accept-single", "--", "touch", "terminated", code=1)
    assert not (tmp_path / "terminated").exists() and "runs.db" in said.err


def test_a_record_rolled_back_to_an_older_one_drops_nothing_by_what_it_says(
    cli: Cli, record: Record, nas: Path, tmp_path: Path
) -> None:
    """The older record still believes in a copy that was lost since: it reads before it believes."""
    (tmp_path / "registry.toml").write_text("[policy]\nrequire_other_domain = false\nnum_copies = 1\n")
    cli("remote", "add", "second", tmp_path / "second", "--domain", "second", "--class", "durable")
    run = record()
    for name in ("nas", "second"):
        cli("copy", run.id, "--to", name)
    older = (tmp_path / "runs.db").read_bytes()
    digest = cli("where", run.id, "--json").json[0]["digest"]
    blob_path(tmp_path / "second", digest).unlink()
    cli("verify", run.id, code=1)
    for suffix in ("-wal", "-shm"):
        (tmp_path / f"runs.db{suffix}").unlink(missing_ok=True)
    (tmp_path / "runs.db").write_bytes(older)
    assert states(cli, run) == ["verified", "verified"], "so the older record says"
    cli("drop", run.id, "--from", "nas", code=3)
    cli("guard", run.id, "--accept-single", "--dry-run")
    assert blob_path(nas, digest).exists()


# --- the table


def rows() -> list[tuple[int, str]]:
    """Each fault's number and the cell that names its tests."""
    found = re.findall(r"^\| (\d+) \|(?:[^|]*\|){2} ([^|]*) \|$", PAGE.read_text(), re.MULTILINE)
    return [(int(number), cell) for number, cell in found]


def test_the_table_has_all_fifty() -> None:
    assert [number for number, _ in rows()] == list(range(1, 51))


@pytest.mark.parametrize(("number", "cell"), rows(), ids=[str(number) for number, _ in rows()])
def test_each_fault_names_a_test_that_is_there_or_says_why_there_is_none(number: int, cell: str) -> None:
    named = re.findall(r"`(test_\w+)\.py(?:::(\w+))?`", cell)
    assert named or "not testable here" in cell
    for module, test in named:
        text = (Path(__file__).parent / f"{module}.py").read_text()
        assert not test or f"\ndef {test}(" in text, f"fault {number} names {module}.py::{test}"

"""An object store through a network that fails, and one whose stored checksums are not to be believed."""

import hashlib
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from registry.errors import UnreachableError
from registry.remotes import s3
from registry.remotes.base import Meter, blob_key
from registry.remotes.conformance import source
from registry.remotes.s3 import PART_BYTES, S3Store

from .conftest import Bucket, Recorded

Cli = Callable[..., Any]


@pytest.fixture
def store(bucket: Bucket) -> S3Store:
    found = S3Store(bucket.url)
    found.stamp({"id": "here", "layout": 1})
    yield found  # type: ignore[misc]
    found.close()


@pytest.fixture
def copied(cli: Cli, record: Callable[..., Recorded], bucket: Bucket) -> Recorded:
    run = record(best=os.urandom(200_000))
    cli("remote", "add", "s3", bucket.url)
    cli("copy", run.id, "--to", "s3")
    return run


def states(cli: Cli, run: Recorded) -> list[str]:
    return [copy["state"] for artifact in cli("where", run.id, "--json").json for copy in artifact["copies"]]


def once(
    direction: str, change: Callable[[bytes], bytes | None], least: int = 20_000
) -> Callable[[str, bytes], bytes | None]:
    """A fault that hits one large block in one direction, once."""
    done = threading.Event()

    def fault(way: str, block: bytes) -> bytes | None:
        if way == direction and len(block) >= least and not done.is_set():
            done.set()
            return change(block)
        return block

    return fault


def flip(block: bytes) -> bytes:
    middle = len(block) // 2
    return block[:middle] + bytes([block[middle] ^ 1]) + block[middle + 1 :]


def test_a_copy_in_a_bucket_counts(cli: Cli, copied: Recorded) -> None:
    (copy,) = cli("where", copied.id, "--json").json[0]["copies"]
    assert copy["state"] == "verified" and copy["counts"] is True


def test_a_byte_flipped_on_its_way_up_is_found_by_the_reading(
    cli: Cli, record: Callable[..., Recorded], bucket: Bucket
) -> None:
    run = record(best=os.urandom(200_000))
    cli("remote", "add", "s3", bucket.url)
    bucket.network.fault = once("up", flip)
    cli("copy", run.id, "--to", "s3", code=1)
    assert states(cli, run) == ["corrupt"], "this service stores what it gets and says yes; a real one would refuse"
    cli("copy", run.id, "--to", "s3")
    assert states(cli, run) == ["verified"]


def test_a_byte_flipped_once_on_its_way_down_is_flaky(cli: Cli, copied: Recorded, bucket: Bucket) -> None:
    bucket.network.fault = once("down", flip)
    cli("verify", copied.id, code=1)
    assert states(cli, copied) == ["flaky"]


@pytest.mark.parametrize("direction", ["up", "down"])
def test_a_connection_cut_in_the_middle_is_tried_again(
    cli: Cli, record: Callable[..., Recorded], bucket: Bucket, direction: str
) -> None:
    run = record(best=os.urandom(300_000))
    cli("remote", "add", "s3", bucket.url)
    bucket.network.fault = once(direction, lambda block: None)
    cli("copy", run.id, "--to", "s3")
    assert states(cli, run) == ["verified"]


def test_a_network_that_always_cuts_is_unreachable_and_nothing_is_missing(
    cli: Cli, copied: Recorded, bucket: Bucket
) -> None:
    bucket.network.fault = lambda way, block: None
    said = cli("verify", copied.id, "--json", code=5).json
    assert said["unreachable"][0]["code"] == 15
    assert states(cli, copied) == ["verified"], "silence takes nothing back"
    assert "remote-unreachable" in {alert["code"] for alert in cli("alerts", "--json").json}


def test_a_service_that_never_answers_is_given_up_on(bucket: Bucket, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(s3, "SILENCE_S", 0.2)
    store = S3Store(bucket.url)
    hang = threading.Event()
    bucket.network.fault = lambda way, block: (hang.wait(10.0), None)[1] if way == "down" else block
    try:
        with pytest.raises(UnreachableError):
            store.find(blob_key("a" * 64))
    finally:
        hang.set()
        store.close()


def test_a_put_whose_answer_was_lost_is_done_again_and_judged_by_reading(
    cli: Cli, record: Callable[..., Recorded], bucket: Bucket
) -> None:
    run = record(best=os.urandom(100_000))
    cli("remote", "add", "s3", bucket.url)
    sent = threading.Event()
    cut = threading.Event()

    def fault(way: str, block: bytes) -> bytes | None:
        if way == "up" and b"PUT /" in block and b"blobs/sha256" in block:
            sent.set()
        if way == "down" and sent.is_set() and not cut.is_set():
            cut.set()
            return None
        return block

    bucket.network.fault = fault
    cli("copy", run.id, "--to", "s3")
    assert cut.is_set() and states(cli, run) == ["verified"]


def test_bytes_replaced_under_a_kept_checksum_are_found(cli: Cli, copied: Recorded, bucket: Bucket) -> None:
    """Stored metadata may say the right digest of the wrong bytes: it is never asked."""
    digest = cli("where", copied.id, "--json").json[0]["digest"]
    key = f"copies/{blob_key(digest)}"
    right = {"sha256": digest, "md5chksum": digest}
    bucket.direct.put_object(Bucket=bucket.name, Key=key, Body=bytes(200_000), Metadata=right)
    said = cli("verify", copied.id, "--json", code=1).json
    assert said["bad"][0]["code"] == 13 and states(cli, copied) == ["corrupt"]


def test_an_object_that_is_gone_is_missing(cli: Cli, copied: Recorded, bucket: Bucket) -> None:
    digest = cli("where", copied.id, "--json").json[0]["digest"]
    bucket.direct.delete_object(Bucket=bucket.name, Key=f"copies/{blob_key(digest)}")
    cli("verify", copied.id, code=1)
    assert states(cli, copied) == ["missing"]


def test_what_may_not_be_read_is_unknown_and_not_missing(store: S3Store, monkeypatch: pytest.MonkeyPatch) -> None:
    from botocore.exceptions import ClientError

    denied = ClientError(
        {"Error": {"Code": "AccessDenied"}, "ResponseMetadata": {"HTTPStatusCode": 403}},
        "GetObject",  # type: ignore[typeddict-item]
    )

    def deny(**_: Any) -> Any:
        raise denied

    for name in ("get_object", "head_object"):
        monkeypatch.setattr(store._client, name, deny)
    for ask in (lambda: store.find("x"), lambda: list(store.digests(["x"], Meter())), store.identity):
        with pytest.raises(UnreachableError, match="AccessDenied"):
            ask()


def test_a_listing_that_lies_makes_nothing_missing(cli: Cli, copied: Recorded, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(S3Store, "keys", lambda self, prefix: [])
    cli("verify", copied.id)
    assert states(cli, copied) == ["verified"]


def test_two_addresses_of_one_bucket_are_one_place(cli: Cli, copied: Recorded, bucket: Bucket) -> None:
    cli("remote", "add", "again", bucket.url + "&profile=default", code=None)
    cli("remote", "add", "other", bucket.url.replace("/copies", "/elsewhere"))
    cli("copy", copied.id, "--to", "other")
    found = cli("where", copied.id, "--json").json[0]
    assert found["verified_counting"] == 1, "another prefix of a bucket is lost with it"


def test_parts_of_an_interrupted_upload_are_used_again(store: S3Store) -> None:
    content = os.urandom(PART_BYTES * 3 + 17)
    digest = hashlib.sha256(content).hexdigest()
    meter, sent = Meter(), [0]

    def count(n_bytes: int) -> None:
        sent[0] += n_bytes
        if sent[0] > 2 * PART_BYTES:
            meter.stopped.set()

    meter.report = count
    with pytest.raises(KeyboardInterrupt):
        store.put([source(content, digest)], meter)
    assert store.find(blob_key(digest)) is None
    real, parts = store._client.upload_part, []
    store._client.upload_part = lambda **words: (parts.append(words["PartNumber"]), real(**words))[1]
    (put,) = store.put([source(content, digest)], Meter())
    assert put.error is None and 4 in parts and len(parts) < 4
    (reading,) = store.digests([blob_key(digest)], Meter())
    assert reading.digest == digest and reading.size_bytes == len(content)


def test_a_large_upload_of_other_bytes_leaves_nothing(store: S3Store, bucket: Bucket) -> None:
    content = os.urandom(PART_BYTES + 1)
    (put,) = store.put([source(content, "b" * 64)], Meter())
    assert put.error is not None and store.find(blob_key("b" * 64)) is None
    assert not bucket.direct.list_multipart_uploads(Bucket=bucket.name).get("Uploads")


def test_a_bucket_that_is_not_there_or_a_missing_boto3_is_one_line(
    cli: Cli, bucket: Bucket, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = cli("remote", "add", "none", bucket.url.replace(bucket.name, "no-such-bucket"), code=5)
    assert "NoSuchBucket" in said.err and "make the bucket" in said.err
    monkeypatch.setitem(__import__("sys").modules, "boto3", None)
    said = cli("remote", "add", "s3", bucket.url, code=4)
    assert "holdfast[s3]" in said.err


def test_rclone_carries_and_is_read_back(
    cli: Cli, record: Callable[..., Recorded], rclone: str, tmp_path: Path
) -> None:
    run = record(best=os.urandom(5000))
    digest = hashlib.sha256(run.files["best"].read_bytes()).hexdigest()
    cli("remote", "add", "far", rclone)
    cli("copy", run.id, "--to", "far")
    assert states(cli, run) == ["verified"]
    stored = tmp_path / "far" / "copies" / blob_key(digest)
    stored.write_bytes(bytes(5000))
    cli("verify", run.id, code=1)
    assert states(cli, run) == ["corrupt"]


@pytest.mark.parametrize("said", ["rclone v1.40.0", "nonsense"])
def test_an_old_rclone_is_refused(cli: Cli, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str) -> None:
    from registry.remotes.rclone import rclone_version

    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "rclone").write_text(f"#!/bin/sh\necho '{said}'\n")
    (tmp_path / "bin" / "rclone").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path / 'bin'}:{os.environ['PATH']}")
    rclone_version.cache_clear()
    told = cli("remote", "add", "far", "rclone:far:copies", code=4)
    assert "older than 1.60" in told.err
    rclone_version.cache_clear()

"""Every kind of place does what a place must do; a place that cannot does not pass."""

import uuid
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from registry.remotes import open_store
from registry.remotes.base import Meter, Put, Source, Store
from registry.remotes.conformance import Check, run_suite, unavailable
from registry.remotes.folder import FolderStore
from registry.remotes.ssh import SshStore

from .conftest import Bucket, Sshd


def stamped(store: Store) -> Store:
    store.stamp({"id": str(uuid.uuid4()), "layout": 1})
    return store


def failures(store: Store) -> list[Check]:
    try:
        return [check for check in run_suite(store) if check.error]
    finally:
        store.close()


def test_folder(tmp_path: Path) -> None:
    place = tmp_path / "place"
    assert failures(stamped(open_store(str(place)))) == []
    left = sorted(path.name for path in place.rglob("*") if path.is_file())
    assert left == [".holdfast-location.json", "SHA256SUMS", "sums.lock"], "the suite left something behind"


def test_folder_in_memory(other_disk: Path) -> None:
    assert failures(stamped(open_store(str(other_disk / "place")))) == []


def test_ssh_host(box: Sshd, tmp_path: Path) -> None:
    assert failures(stamped(open_store(f"box:{tmp_path}/place"))) == []


def test_ssh_host_by_url_below_home(box: Sshd, tmp_path: Path) -> None:
    store = stamped(SshStore(f"ssh://box/{tmp_path}/place"))
    assert store.find("blobs/none") is None
    store.close()


def test_s3(bucket: Bucket) -> None:
    assert failures(stamped(open_store(bucket.url))) == []


def test_rclone_place_that_cannot_be_reached_is_unknown(rclone: str) -> None:
    store = stamped(open_store(rclone))
    assert unavailable(store.nowhere()).error == ""
    assert unavailable(store).error != "", "a place that answers must fail the check of one that does not"


class Lying(FolderStore):
    """A folder with one fault."""

    fault = ""

    def put(self, sources: Sequence[Source], meter: Meter) -> list[Put]:
        if self.fault == "says yes and stores nothing":
            return [Put(source.digest, 0.0, 0.0) for source in sources]
        if self.fault == "stores under any digest":
            for source in sources:
                with source.open() as stream:
                    block = bytearray(source.size_bytes + 1)
                    n_read = stream.readinto(memoryview(block)) or 0
                self.write_small(f"blobs/sha256/{source.digest[:2]}/{source.digest}", bytes(block[:n_read]))
            return [Put(source.digest, 0.0, 0.0) for source in sources]
        return super().put(sources, meter)

    def move(self, key: str, target: str) -> None:
        if self.fault == "renames over others":
            Path(self.url, target).parent.mkdir(parents=True, exist_ok=True)
            Path(self.url, key).replace(Path(self.url, target))
            return
        super().move(key, target)

    def identity(self) -> dict[str, Any] | None:
        if self.fault == "has no identity":
            return None
        return super().identity()

    def write_sums(self) -> int:
        return 0 if self.fault == "writes no sums" else super().write_sums()


@pytest.mark.parametrize(
    ("fault", "check"),
    [
        ("says yes and stores nothing", "sizes come back"),
        ("stores under any digest", "wrong digest leaves nothing"),
        ("renames over others", "moves keep bytes"),
        ("has no identity", "identity stays"),
        ("writes no sums", "sums name every blob"),
    ],
)
def test_the_suite_finds_a_place_that_lies(tmp_path: Path, fault: str, check: str) -> None:
    store = Lying(str(tmp_path / "place"))
    stamped(store)
    store.fault = fault
    assert check in [failed.name for failed in failures(store)]


def test_remote_test_tells_each_check(cli: Callable[..., Any], nas: Path) -> None:
    checks = cli("remote", "test", "nas", "--json").json
    assert len(checks) > 10 and {check["verdict"] for check in checks} == {"pass"}

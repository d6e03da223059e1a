"""copy, verify, where, fetch, repair, drop: what a person types, and what is true afterwards."""

import hashlib
import os
import shutil
import subprocess
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from registry import clock
from registry.copies.record import append_events, load_artifacts, refold
from registry.copies.transfer import copy_artifacts
from registry.custody import Event
from registry.database import Database, open_database
from registry.remotes.folder import FolderStore

from ..rows import change
from .conftest import Recorded, blob_path, flip_byte

Cli = Callable[..., Any]
Record = Callable[..., Recorded]


def digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def states(cli: Cli, run: Recorded, remote: str = "nas") -> list[str]:
    """The state of each artifact of a run on a remote."""
    found = cli("where", run.id, "--json").json
    return [copy["state"] for artifact in found for copy in artifact["copies"] if copy["remote"] == remote]


# --- copy


def test_a_copy_is_read_back_and_counts(cli: Cli, record: Record, nas: Path) -> None:
    run = record()
    said = cli("copy", run.id, "--to", "nas", "--json").json
    assert said["ok"] and said["verified"] == said["files"] == 1
    (artifact,) = cli("where", run.id, "--json").json
    (copy,) = artifact["copies"]
    assert {"remote", "domain", "path", "state", "counts", "reason", "verified_at", "method"} <= set(copy)
    assert copy["state"] == "verified" and copy["counts"] is True and copy["domain"] == "nas"
    assert digest_of(Path(copy["path"])) == artifact["digest"] == digest_of(run.files["best"])


def test_a_copy_on_the_same_filesystem_is_verified_and_does_not_count(cli: Cli, record: Record, tmp_path: Path) -> None:
    run = record()
    cli("remote", "add", "vault", tmp_path / "vault", "--domain", "far-away", "--class", "durable")
    cli("copy", run.id, "--to", "vault")
    (copy,) = cli("where", run.id, "--json").json[0]["copies"]
    assert (copy["state"], copy["counts"], copy["reason"]) == ("verified", False, "same filesystem")
    codes = {alert["code"]: alert["severity"] for alert in cli("alerts", "--json").json}
    assert codes["copies-same-failure-domain"] == "critical"


def test_the_policy_may_be_content_with_that_and_keeps_saying_so(cli: Cli, record: Record, tmp_path: Path) -> None:
    (tmp_path / "registry.toml").write_text('[policy]\nrequire_other_domain = false\nnum_copies = 1\nwhy = "a demo"\n')
    run = record()
    cli("remote", "add", "vault", tmp_path / "vault")
    cli("copy", run.id, "--to", "vault")
    (artifact,) = cli("where", run.id, "--json").json
    assert artifact["verified_counting"] == 1 and artifact["copies"][0]["counts"] is False
    alerts = {alert["code"]: alert for alert in cli("alerts", "--json").json}
    assert alerts["copies-same-failure-domain"]["severity"] == "warning"
    assert "a demo" in alerts["copies-same-failure-domain"]["message"]


def test_an_unlabelled_folder_on_another_disk_is_lost_with_its_machine(
    cli: Cli, record: Record, other_disk: Path
) -> None:
    run = record()
    cli("remote", "add", "scratch", other_disk / "scratch")
    cli("copy", run.id, "--to", "scratch")
    (copy,) = cli("where", run.id, "--json").json[0]["copies"]
    assert copy["state"] == "verified" and not copy["counts"] and "same machine" in copy["reason"]


def test_a_tree_is_all_of_its_files_and_its_manifest(cli: Cli, record: Record, nas: Path) -> None:
    run = record(tree={"a.bin": b"a" * 1000, "sub/b.bin": b"b" * 10, "sub/empty": b""})
    cli("copy", run.id, "--to", "nas")
    assert states(cli, run) == ["verified"]
    blob_path(nas, hashlib.sha256(b"b" * 10).hexdigest()).unlink()
    cli("verify", run.id, code=1)
    assert states(cli, run) == ["missing"], "a manifest does not stand for its children"


def test_nothing_to_copy_is_no_success(cli: Cli, record: Record, nas: Path, tmp_path: Path) -> None:
    import registry

    with registry.init(name="empty") as run:
        run.log({"loss": 1.0})
    for words in ([run.id], [record().id, "--role", "report"]):
        said = cli("copy", *words, "--to", "nas", code=1)
        assert "nothing to copy" in said.err
    cli("verify", run.id, code=1)
    cli("fetch", run.id, code=1)


def test_a_file_that_changed_since_is_not_copied_as_if_it_were_the_recorded_one(
    cli: Cli, record: Record, nas: Path
) -> None:
    run = record()
    digest = digest_of(run.files["best"])
    run.files["best"].write_bytes(b"something else")
    said = cli("copy", run.id, "--to", "nas", "--json", code=1)
    assert said.json["failures"][0]["code"] == 17
    assert not blob_path(nas, digest).exists()


def test_copying_again_reads_what_is_there_and_mends_it(cli: Cli, record: Record, nas: Path) -> None:
    run = record()
    digest = digest_of(run.files["best"])
    cli("copy", run.id, "--to", "nas")
    assert cli("copy", run.id, "--to", "nas", "--json").json["sent"] == 0
    flip_byte(blob_path(nas, digest))
    again = cli("copy", run.id, "--to", "nas", "--json").json
    assert again["sent"] == 1 and again["ok"] and digest_of(blob_path(nas, digest)) == digest
    assert [path.name for path in (nas / "quarantine").iterdir()] == [f"{digest}.1"], "the wrong bytes are kept"


def test_two_copies_of_one_blob_are_stored_once(cli: Cli, record: Record, nas: Path) -> None:
    first, second = record("a", best=b"same" * 100), record("b", best=b"same" * 100)
    cli("copy", first.id, second.id, "--to", "nas")
    assert states(cli, first) == states(cli, second) == ["verified"]
    assert len(list((nas / "blobs").rglob("*"))) - len(list((nas / "blobs").rglob("*/"))) == 1


def test_what_is_there_is_found_without_the_program(cli: Cli, record: Record, nas: Path) -> None:
    run = record()
    cli("copy", run.id, "--to", "nas")
    assert subprocess.run(["sha256sum", "-c", "--quiet", "SHA256SUMS"], cwd=nas).returncode == 0
    index = (nas / "index" / f"{run.id}.txt").read_text()
    assert index == f"{digest_of(run.files['best'])}  out/run/best.bin\n"


@pytest.mark.parametrize("words", [["copy", "x"], ["copy", "x", "--all", "--to", "nas"], ["verify"], ["where"]])
def test_half_a_command_is_a_usage_error(cli: Cli, record: Record, nas: Path, words: list[str]) -> None:
    record()
    cli(*words, code=2)


def test_a_remote_that_is_not_known_is_named(cli: Cli, record: Record, nas: Path) -> None:
    said = cli("copy", record().id, "--to", "nsa", code=4)
    assert "nsa" in said.err and "there are: nas" in said.err


def test_an_interrupted_copy_keeps_what_is_done_and_goes_on(db: Database, record: Record, cli: Cli, nas: Path) -> None:
    run = record(tree={f"{i}.bin": os.urandom(200_000) for i in range(600)})
    cli("ls")
    with db.read() as session:
        artifacts = load_artifacts(session, run_ids=[run.id])
    real, calls = FolderStore.put, [0]

    def interrupted(self: FolderStore, *args: Any) -> Any:
        calls[0] += 1
        if calls[0] == 2:
            raise KeyboardInterrupt
        return real(self, *args)

    FolderStore.put = interrupted  # type: ignore[method-assign]
    try:
        with pytest.raises(KeyboardInterrupt):
            copy_artifacts(db, artifacts, "nas", jobs=1)
    finally:
        FolderStore.put = real  # type: ignore[method-assign]
    n_before = len([path for path in (nas / "blobs").rglob("*") if path.is_file()])
    assert 0 < n_before < 601
    again = cli("copy", run.id, "--to", "nas", "--json").json
    assert again["ok"] and again["sent"] == 601 - n_before


# --- verify


def damage(path: Path, kind: str) -> None:
    size = path.stat().st_size
    if kind == "flipped byte":
        flip_byte(path)
    elif kind == "zeroed page":
        with open(path, "r+b") as file:
            file.write(bytes(4096))
    elif kind == "zeroed tail":
        with open(path, "r+b") as file:
            file.seek(size - size // 10)
            file.write(bytes(size // 10))
    elif kind == "appended":
        with open(path, "ab") as file:
            file.write(b"\0")
    elif kind == "cut short":
        os.truncate(path, size - 1)
    elif kind == "emptied":
        os.truncate(path, 0)


@pytest.mark.parametrize("kind", ["flipped byte", "zeroed page", "zeroed tail", "appended", "cut short", "emptied"])
def test_damage_at_rest_is_found(cli: Cli, record: Record, nas: Path, kind: str) -> None:
    run = record(best=os.urandom(50_000))
    cli("copy", run.id, "--to", "nas")
    path = blob_path(nas, digest_of(run.files["best"]))
    damage(path, kind)
    said = cli("verify", run.id, "--json", code=1).json
    assert said["bad"][0]["state"] == "corrupt" and said["bad"][0]["code"] == 13
    assert states(cli, run) == ["corrupt"]
    assert path.exists(), "looking moves nothing"
    alerts = {alert["code"]: alert for alert in cli("alerts", "--json").json}
    assert alerts["copy-corrupt"]["severity"] == "critical" and run.id in alerts["copy-corrupt"]["hint"]
    assert "artifact-no-verified-copy" in alerts


def test_a_lost_copy_is_missing(cli: Cli, record: Record, nas: Path) -> None:
    run = record()
    cli("copy", run.id, "--to", "nas")
    blob_path(nas, digest_of(run.files["best"])).unlink()
    said = cli("verify", run.id, "--json", code=1).json
    assert (said["bad"][0]["state"], said["bad"][0]["code"]) == ("missing", 14)
    assert states(cli, run) == ["missing"]


def test_a_drive_that_is_not_mounted_is_foreign_and_nothing_on_it_is_missing(
    cli: Cli, record: Record, nas: Path
) -> None:
    run = record()
    cli("copy", run.id, "--to", "nas")
    nas.rename(nas.with_name("unmounted"))
    nas.mkdir()
    said = cli("verify", run.id, "--json", code=5)
    assert said.json["unreachable"][0]["code"] == 16
    assert states(cli, run) == ["foreign"]
    assert "remote-foreign" in {alert["code"] for alert in cli("alerts", "--json").json}
    nas.rmdir()
    nas.with_name("unmounted").rename(nas)
    cli("verify", run.id)
    assert states(cli, run) == ["verified"]


def test_another_drive_at_the_same_path_is_foreign(cli: Cli, record: Record, nas: Path) -> None:
    run = record()
    cli("copy", run.id, "--to", "nas")
    nas.rename(nas.with_name("first"))
    FolderStore(str(nas)).stamp({"id": "another", "layout": 1})
    cli("verify", run.id, code=5)
    assert states(cli, run) == ["foreign"]
    cli("copy", run.id, "--to", "nas", code=5)
    assert not (nas / "blobs").exists(), "nothing is written to a place that is not the one it was"


def test_a_clone_on_another_disk_is_foreign_although_its_marker_is_right(
    cli: Cli, record: Record, nas: Path, tmp_path: Path
) -> None:
    run = record()
    cli("copy", run.id, "--to", "nas")
    shutil.copytree(nas, tmp_path / "clone")
    nas.rename(nas.with_name("first"))
    nas.symlink_to(tmp_path / "clone")
    said = cli("verify", run.id, "--json", code=5).json
    assert "clone" in said["unreachable"][0]["reason"]


def test_a_place_restored_from_an_old_snapshot_lacks_what_came_since(cli: Cli, record: Record, nas: Path) -> None:
    first, second = record("first"), record("second")
    cli("copy", first.id, "--to", "nas")
    shutil.copytree(nas, nas.with_name("snapshot"))
    cli("copy", second.id, "--to", "nas")
    shutil.rmtree(nas)
    nas.with_name("snapshot").rename(nas)
    cli("verify", "--all", code=1)
    assert states(cli, first) == ["verified"] and states(cli, second) == ["missing"]


def test_the_least_recently_read_comes_first_and_a_budget_is_kept(cli: Cli, record: Record, nas: Path) -> None:
    runs = [record(f"r{i}", best=os.urandom(1000)) for i in range(4)]
    for run in runs:
        cli("copy", run.id, "--to", "nas")
    cli("verify", runs[0].id)
    said = cli("verify", "--all", "--budget", "2k", "--json").json
    assert (said["wanted"], said["read"]) == (4, 2)
    times = [cli("where", run.id, "--json").json[0]["copies"][0]["verified_at"] for run in runs]
    assert times[1] > times[3] and times[2] > times[0], "those read longest ago were read now"


def test_what_lapsed_is_found_by_its_class(cli: Cli, record: Record, nas: Path) -> None:
    run = record()
    cli("copy", run.id, "--to", "nas")
    assert cli("verify", "--stale", "--json").json["wanted"] == 0
    with clock.frozen(clock.now() + 31 * 86_400):
        assert states(cli, run) == ["stale"]
        codes = {alert["code"] for alert in cli("alerts", "--json").json}
        assert {"copy-stale", "artifact-no-verified-copy"} <= codes
        assert cli("verify", "--stale", "--json").json["verified"] == 1
        assert states(cli, run) == ["verified"]


def test_a_clock_that_went_back_verifies_nothing(cli: Cli, record: Record, nas: Path) -> None:
    run = record()
    with clock.frozen(clock.now() + 3600):
        cli("copy", run.id, "--to", "nas")
    assert states(cli, run) == ["unknown"]
    assert "clock-suspect" in {alert["code"] for alert in cli("alerts", "--json").json}


def test_one_wrong_read_and_one_right_one_is_flaky_and_does_not_count(
    cli: Cli, record: Record, nas: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dataclasses import replace

    run = record()
    cli("copy", run.id, "--to", "nas")
    real, calls = FolderStore._readings, [0]

    def once_wrong(self: FolderStore, *args: Any) -> Any:
        calls[0] += 1
        for reading in real(self, *args):
            yield replace(reading, digest="0" * 64) if calls[0] == 1 else reading

    monkeypatch.setattr(FolderStore, "_readings", once_wrong)
    cli("verify", run.id, code=1)
    assert states(cli, run) == ["flaky"]
    assert not cli("where", run.id, "--json").json[0]["copies"][0]["counts"]
    cli("verify", run.id)
    assert states(cli, run) == ["verified"]


def test_verification_is_told_for_each_copy_and_never_for_all_by_a_sample(cli: Cli, record: Record, nas: Path) -> None:
    runs = [record(f"r{i}", best=os.urandom(500)) for i in range(3)]
    for run in runs:
        cli("copy", run.id, "--to", "nas")
    for run in runs[1:]:
        flip_byte(blob_path(nas, digest_of(run.files["best"])))
    cli("verify", runs[0].id)
    assert [states(cli, run)[0] for run in runs] == ["verified"] * 3, "nobody has looked at the others yet"
    cli("verify", "--all", code=1)
    assert [states(cli, run)[0] for run in runs] == ["verified", "corrupt", "corrupt"]


def test_events_are_kept_and_the_state_is_what_they_come_to(cli: Cli, record: Record, nas: Path, db: Database) -> None:
    run = record()
    cli("copy", run.id, "--to", "nas")
    with db.read() as session:
        assert refold(session) == []
    change("UPDATE copy SET trouble = '', verified_at = verified_at + 5")
    with db.read() as session:
        assert len(refold(session)) == 1, "a row that was changed by hand is found"
    said = cli("doctor", "--json", code=None)
    assert "copies" in said.out and "not what their events come to" in said.out


# --- fetch


def test_a_lost_file_comes_back(cli: Cli, record: Record, nas: Path, tmp_path: Path) -> None:
    run = record(best=b"weights" * 1000, tree={"a": b"1", "sub/b": b"2" * 5000})
    before = {name: digest_of(path) for name, path in run.files.items() if path.is_file()}
    cli("copy", run.id, "--to", "nas")
    shutil.rmtree(tmp_path / "out")
    cli("fetch", run.id)
    assert digest_of(run.files["best"]) == before["best"]
    assert (run.files["tree"] / "sub" / "b").read_bytes() == b"2" * 5000
    cli("fetch", run.id, "--into", tmp_path / "elsewhere")
    assert digest_of(tmp_path / "elsewhere" / "best.bin") == before["best"]


def test_a_fetch_takes_the_next_place_when_the_first_gives_wrong_bytes(
    cli: Cli, record: Record, nas: Path, other_disk: Path
) -> None:
    run = record(best=os.urandom(10_000))
    digest = digest_of(run.files["best"])
    cli("copy", run.id, "--to", "nas")
    cli("remote", "add", "second", other_disk / "second", "--domain", "second", "--class", "durable")
    cli("copy", run.id, "--to", "second")
    flip_byte(blob_path(other_disk / "second", digest))
    run.files["best"].unlink()
    cli("fetch", run.id)
    assert digest_of(run.files["best"]) == digest
    assert states(cli, run, "second") == ["corrupt"], "what was found on the way is recorded"


def test_a_fetch_never_writes_over_a_file_and_never_keeps_wrong_bytes(cli: Cli, record: Record, nas: Path) -> None:
    run = record()
    cli("copy", run.id, "--to", "nas")
    run.files["best"].write_bytes(b"work in progress")
    said = cli("fetch", run.id, code=1)
    assert "not what was recorded" in said.err and run.files["best"].read_bytes() == b"work in progress"
    run.files["best"].unlink()
    (blob,) = (path for path in (nas / "blobs").rglob("*") if path.is_file())
    flip_byte(blob)
    cli("fetch", run.id, code=1)
    assert list(run.files["best"].parent.iterdir()) == []


# --- repair


@pytest.mark.parametrize("origin", ["there", "changed", "gone"])
def test_a_wrong_copy_is_mended_from_what_reads_right(
    cli: Cli, record: Record, nas: Path, other_disk: Path, origin: str
) -> None:
    run = record(best=os.urandom(10_000))
    digest = digest_of(run.files["best"])
    cli("remote", "add", "second", other_disk / "second", "--domain", "second", "--class", "durable")
    for name in ("nas", "second"):
        cli("copy", run.id, "--to", name)
    flip_byte(blob_path(nas, digest))
    cli("verify", run.id, code=1)
    if origin == "changed":
        run.files["best"].write_bytes(b"other")
    elif origin == "gone":
        run.files["best"].unlink()
    cli("repair", run.id)
    assert states(cli, run) == ["verified"] and digest_of(blob_path(nas, digest)) == digest
    assert (nas / "quarantine" / f"{digest}.1").exists()


def test_the_last_copy_is_not_touched_when_there_is_nothing_to_mend_it_from(
    cli: Cli, record: Record, nas: Path
) -> None:
    run = record()
    digest = digest_of(run.files["best"])
    cli("copy", run.id, "--to", "nas")
    flip_byte(blob_path(nas, digest))
    run.files["best"].unlink()
    cli("verify", run.id, code=1)
    cli("repair", run.id, code=1)
    assert blob_path(nas, digest).exists(), "damaged as it is, it may be all there is"


def test_a_taken_quarantine_name_is_never_written_over(cli: Cli, record: Record, nas: Path) -> None:
    run = record()
    digest = digest_of(run.files["best"])
    cli("copy", run.id, "--to", "nas")
    (nas / "quarantine").mkdir()
    (nas / "quarantine" / f"{digest}.1").write_bytes(b"an earlier one")
    flip_byte(blob_path(nas, digest))
    cli("verify", run.id, code=1)
    cli("repair", run.id)
    assert (nas / "quarantine" / f"{digest}.1").read_bytes() == b"an earlier one"
    assert (nas / "quarantine" / f"{digest}.2").exists()


# --- drop


@pytest.fixture
def second(cli: Cli, nas: Path, other_disk: Path, tmp_path: Path) -> Path:
    """A second place, which the policy takes for independent: one more disk is not to be had in a test."""
    (tmp_path / "registry.toml").write_text("[policy]\nrequire_other_domain = false\nnum_copies = 1\n")
    cli("remote", "add", "second", tmp_path / "second", "--domain", "second", "--class", "durable")
    return tmp_path / "second"


def test_a_copy_is_dropped_only_when_another_was_just_read_right(
    cli: Cli, record: Record, nas: Path, second: Path
) -> None:
    run = record()
    digest = digest_of(run.files["best"])
    cli("copy", run.id, "--to", "nas")
    said = cli("drop", run.id, "--from", "nas", code=3)
    assert "0 of 1" in said.err and blob_path(nas, digest).exists()
    cli("copy", run.id, "--to", "second")
    flip_byte(blob_path(second, digest))
    cli("drop", run.id, "--from", "nas", code=3)
    assert blob_path(nas, digest).exists(), "the record said verified, the bytes said otherwise"
    cli("repair", run.id, code=None)
    cli("copy", run.id, "--to", "second")
    cli("drop", run.id, "--from", "nas")
    assert not blob_path(nas, digest).exists() and states(cli, run, "second") == ["verified"]
    assert states(cli, run, "nas") == [] and not list((nas / "pins").glob("*"))


def test_a_drop_keeps_what_another_run_needs(cli: Cli, record: Record, nas: Path, second: Path, tmp_path: Path) -> None:
    rules = '[[policy.rules]]\nexperiment = "*"\nrole = "report"\nmin_copies = 2\nnum_copies = 2\n'
    with open(tmp_path / "registry.toml", "a") as file:
        file.write(rules)
    first, other = record("first", best=b"same" * 50), record("other", report=b"same" * 50)
    for name in ("nas", "second"):
        cli("copy", "--all", "--to", name)
    cli("drop", first.id, "--from", "nas", code=3)
    assert states(cli, other, "nas") == ["verified"]


def test_a_drop_waits_for_the_pin_of_another_registry(cli: Cli, record: Record, nas: Path, second: Path) -> None:
    from registry.copies.pins import write_pin

    run = record()
    for name in ("nas", "second"):
        cli("copy", run.id, "--to", name)
    digest = digest_of(run.files["best"])
    write_pin(FolderStore(str(nas)), "someone-else", clock.now() + 600, [digest])
    said = cli("drop", run.id, "--from", "nas", code=3)
    assert "pinned" in said.err and blob_path(nas, digest).exists()
    with clock.frozen(clock.now() + 3 * 3600):
        cli("drop", run.id, "--from", "nas")
    assert not blob_path(nas, digest).exists()


def test_a_drop_keeps_what_a_run_of_another_registry_has_there(
    cli: Cli, record: Record, nas: Path, second: Path, tmp_path: Path
) -> None:
    run = record()
    for name in ("nas", "second"):
        cli("copy", run.id, "--to", name)
    digest = digest_of(run.files["best"])
    (nas / "index" / "feedbeef00.txt").write_text(f"{digest}  theirs.bin\n")
    said = cli("drop", run.id, "--from", "nas", code=3)
    assert "another registry" in said.err and blob_path(nas, digest).exists()


def test_two_that_drop_at_once_leave_a_copy(cli: Cli, record: Record, nas: Path, second: Path, tmp_path: Path) -> None:
    """Each relies on the place the other drops from: at least one of them must stand back."""
    from registry.copies.drop import drop_copies
    from registry.errors import RefusedError

    run = record(best=os.urandom(4000))
    for name in ("nas", "second"):
        cli("copy", run.id, "--to", name)
    digest = digest_of(run.files["best"])
    outcomes: list[str] = []
    ready = threading.Barrier(2)

    def attempt(remote: str) -> None:
        database = open_database()
        with database.read() as session:
            artifacts = load_artifacts(session, run_ids=[run.id])
        ready.wait()
        try:
            drop_copies(database, artifacts, remote)
            outcomes.append("dropped")
        except RefusedError:
            outcomes.append("refused")
        database.close()

    threads = [threading.Thread(target=attempt, args=(name,)) for name in ("nas", "second")]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    left = [place for place in (nas, second) if blob_path(place, digest).exists()]
    assert left and "refused" in outcomes and digest_of(blob_path(left[0], digest)) == digest


def test_files_are_dropped_where_they_were_made_once_they_are_safe(cli: Cli, record: Record, nas: Path) -> None:
    run = record()
    cli("drop", run.id, "--here", code=3)
    assert run.files["best"].exists()
    cli("copy", run.id, "--to", "nas")
    cli("drop", run.id, "--here", code=3)
    cli("drop", run.id, "--here", "--accept-single")
    assert not run.files["best"].exists()
    cli("guard", run.id, "--accept-single", "--dry-run")
    cli("fetch", run.id)
    assert run.files["best"].exists()


def test_a_file_that_changed_is_not_dropped(cli: Cli, record: Record, nas: Path) -> None:
    run = record()
    cli("copy", run.id, "--to", "nas")
    run.files["best"].write_bytes(b"newer work")
    cli("drop", run.id, "--here", "--accept-single", code=None)
    assert run.files["best"].read_bytes() == b"newer work"


# --- keep, follow


def test_a_file_that_nobody_named_can_be_kept_later(cli: Cli, record: Record, nas: Path, tmp_path: Path) -> None:
    run = record()
    forgotten = tmp_path / "checkpoints_a100"
    forgotten.mkdir()
    (forgotten / "best.pt").write_bytes(b"weights")
    cli("keep", run.id, forgotten / "best.pt", "--role", "best", "--step", "6")
    artifacts = cli("show", run.id, "--json").json["artifacts"]
    assert ("checkpoints_a100/best.pt", 6) in [(item["path"], item["step"]) for item in artifacts]
    assert cli("show", run.id, "--json").json["status"] == "finished"
    cli("keep", run.id, tmp_path / "nowhere", code=4)
    cli("keep", run.id, forgotten / "best.pt", "--role", "weights", code=2)


def test_following_says_what_could_not_be_copied(cli: Cli, record: Record, nas: Path) -> None:
    run = record()
    run.files["best"].write_bytes(b"changed")
    said = cli("copy", run.id, "--to", "nas", "--follow", code=1)
    assert "not what was recorded" in said.err
    cli("copy", "--all", "--to", "nas", "--follow", code=2)


def test_following_a_place_that_is_away_is_unreachable(cli: Cli, record: Record, nas: Path) -> None:
    run = record()
    nas.rename(nas.with_name("away"))
    cli("copy", run.id, "--to", "nas", "--follow", code=5)
    nas.with_name("away").rename(nas)
    cli("copy", run.id, "--to", "nas", "--follow")
    assert states(cli, run) == ["verified"]


# --- remotes


def test_a_place_is_one_place_by_whatever_name(cli: Cli, nas: Path, tmp_path: Path) -> None:
    cli("remote", "add", "again", nas, code=3)
    (tmp_path / "link").symlink_to(nas)
    said = cli("remote", "add", "alias", tmp_path / "link", code=3)
    assert "nas" in said.err
    cli("remote", "add", "inside", nas / "blobs", code=3)
    cli("remote", "add", "nas", tmp_path / "other", code=2)


@pytest.mark.parametrize(
    "words",
    [
        ["add", "x", "place", "--class", "eternal"],
        ["add", "x", "place", "--trust", "blind"],
        ["add", "bad name", "place"],
        ["add", "x", "gopher://host/path"],
        ["add", "x", ""],
        ["add", "x", "rclone:"],
        ["add", "x", "s3://"],
        ["add", "x", "s3://bucket?nonsense=1"],
        ["add", "x", "ssh://host"],
    ],
)
def test_a_remote_that_means_nothing_is_a_usage_error(cli: Cli, words: list[str]) -> None:
    said = cli("remote", *words, code=2)
    assert len(said.err.splitlines()) <= 2


def test_a_remote_that_holds_copies_goes_only_when_that_is_said(cli: Cli, record: Record, nas: Path) -> None:
    run = record()
    cli("copy", run.id, "--to", "nas")
    cli("remote", "rm", "nas", code=3)
    cli("remote", "rm", "nas", "--forget")
    assert cli("where", run.id, "--json").json[0]["copies"] == []
    cli("remote", "add", "back", nas, "--domain", "nas", "--class", "durable")
    assert states(cli, run, "back") == ["present"], "what was there counts once it was read again"
    cli("verify", run.id)
    assert states(cli, run, "back") == ["verified"]


def test_a_dead_remote_counts_for_nothing(cli: Cli, record: Record, nas: Path) -> None:
    run = record()
    cli("copy", run.id, "--to", "nas")
    cli("remote", "trust", "nas", "dead")
    assert states(cli, run) == ["unknown"]
    codes = {alert["code"] for alert in cli("alerts", "--json").json}
    assert {"remote-dead", "artifact-no-verified-copy"} <= codes
    cli("remote", "trust", "nas", "sure", code=2)


def test_remotes_are_listed(cli: Cli, record: Record, nas: Path) -> None:
    cli("copy", record().id, "--to", "nas")
    (item,) = cli("remote", "ls", "--json").json
    assert (item["name"], item["domain"], item["class"], item["copies"]) == ("nas", "nas", "durable", 1)


# --- policy


def test_rules_ask_for_more_of_some(cli: Cli, record: Record, nas: Path, tmp_path: Path) -> None:
    (tmp_path / "registry.toml").write_text(
        '[policy]\nnum_copies = 1\n[[policy.rules]]\nexperiment = "e*"\nrole = "best"\nmin_copies = 2\n'
    )
    run = record(best=b"b" * 100, last=b"l" * 100)
    cli("copy", run.id, "--to", "nas")
    wanted = {
        item["role"]: (item["verified_counting"], item["min_copies"]) for item in cli("where", run.id, "--json").json
    }
    assert wanted == {"best": (1, 2), "last": (1, 1)}
    subjects = [item["subject"] for item in cli("alerts", "--json").json if item["code"] == "artifact-too-few-copies"]
    assert [subject.endswith("best.bin") for subject in subjects] == [True]


@pytest.mark.parametrize(
    "text",
    [
        "[policy]\nmin_copies = 0\n",
        "[policy]\nmin_copies = 3\nnum_copies = 2\n",
        '[policy.freshness]\ndurable = "soon"\n',
    ],
)
def test_a_policy_that_would_lose_things_is_refused(cli: Cli, record: Record, tmp_path: Path, text: str) -> None:
    run = record()
    (tmp_path / "registry.toml").write_text(text)
    said = cli("where", run.id, code=2)
    assert "registry.toml" in said.err


def test_logs_need_no_copy_unless_the_policy_says_so(cli: Cli, record: Record, nas: Path, tmp_path: Path) -> None:
    run = record(log=b"a log" * 10)
    assert "artifact-no-verified-copy" not in {alert["code"] for alert in cli("alerts", "--json").json}
    (tmp_path / "registry.toml").write_text('[policy]\nroles = ["log"]\n')
    subjects = [
        alert["subject"] for alert in cli("alerts", "--json").json if alert["code"] == "artifact-no-verified-copy"
    ]
    assert [run.id in subject for subject in subjects] == [True]


def test_ls_and_alerts_count_the_same_artifacts(cli: Cli, record: Record, nas: Path, tmp_path: Path) -> None:
    """Lists count in SQL, `where` counts one by one: they may never disagree."""
    safe, unsafe, lapsed = record("safe"), record("unsafe", best=b"1" * 99, last=b"2" * 99), record("lapsed")
    outside = tmp_path.parent / f"{tmp_path.name}-outside.bin"
    outside.write_bytes(b"elsewhere")
    cli("keep", safe.id, outside)
    cli("copy", safe.id, lapsed.id, "--to", "nas")
    flip_byte(blob_path(nas, digest_of(lapsed.files["best"])))
    cli("verify", lapsed.id, code=1)
    listed = {row["id"]: row["artifacts"] for row in cli("ls", "--json").json}
    for run in (safe, unsafe, lapsed):
        one_by_one = cli("where", run.id, "--json").json
        lacking = [item for item in one_by_one if item["verified_counting"] < item["min_copies"]]
        assert listed[run.id] == {"total": len(one_by_one), "unverified": len(lacking)}
    alerts = [alert for alert in cli("alerts", "--json").json if alert["code"] == "artifact-no-verified-copy"]
    assert len(alerts) == 3
    outside.unlink()


def test_an_event_cannot_be_added_to_a_copy_without_changing_what_it_comes_to(
    cli: Cli, record: Record, nas: Path, db: Database
) -> None:
    run = record()
    cli("copy", run.id, "--to", "nas")
    from registry.copies.record import load_places, rows_in

    with db.write() as session:
        (place,) = load_places(session).values()
        (copy,) = rows_in(session, "SELECT * FROM copy WHERE remote_id IN :ids", [place.id])
        append_events(session, place, [(copy.id, Event("verify", clock.now(), clock.now(), "missing"))])
    assert states(cli, run) == ["missing"]

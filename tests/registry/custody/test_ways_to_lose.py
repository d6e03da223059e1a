"""What a tired person may type or overlook at two in the morning: each way to the last good copy is closed."""

import hashlib
import os
import shutil
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select

import registry
from registry.copies.record import load_places
from registry.database import Database
from registry.tables import Artifact, Deployment

from .conftest import Recorded, Sshd, blob_path, flip_byte

Cli = Callable[..., Any]
Record = Callable[..., Recorded]
ONE_DISK = "[policy]\nrequire_other_domain = false\nnum_copies = 1\n"


def digest_of(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def change(tmp_path: Path, sql: str) -> None:
    """Make something true that takes another machine to come about."""
    connection = sqlite3.connect(tmp_path / "runs.db")
    connection.execute(sql)
    connection.commit()
    connection.close()


@pytest.fixture
def second(cli: Cli, nas: Path, tmp_path: Path) -> Path:
    (tmp_path / "registry.toml").write_text(ONE_DISK)
    cli("remote", "add", "second", tmp_path / "second", "--domain", "second", "--class", "durable")
    return tmp_path / "second"


# --- the wrong machine


def test_a_run_of_another_machine_is_guarded_there_and_not_here(
    cli: Cli, record: Record, nas: Path, tmp_path: Path
) -> None:
    """Its files are mirrored here and safe; what else lies on its own machine nobody would have looked at."""
    run = record()
    cli("copy", run.id, "--to", "nas")
    change(tmp_path, """UPDATE run SET host = '{"name": "gpu"}'""")
    said = cli("guard", run.id, "--accept-single", "--", "touch", "terminated", code=3)
    assert "was made on gpu" in said.err and "--host gpu" in said.err and not (tmp_path / "terminated").exists()


def test_a_file_of_the_same_name_on_another_machine_is_not_the_recorded_one(
    cli: Cli, record: Record, nas: Path, box: Sshd, tmp_path: Path
) -> None:
    """Here `best.pt` is recorded and safe; on the host a file of the same path was never recorded."""
    mine, theirs = record("mine"), record("theirs")
    cli("copy", "--all", "--to", "nas")
    change(tmp_path, f"""UPDATE run SET host = '{{"name": "gpu"}}' WHERE id = '{theirs.id}'""")
    (tmp_path / "registry.toml").write_text('[hosts.gpu]\nssh = "box"\n')
    guard = ("guard", "--host", "gpu", "--accept-single", "--dry-run", "--json")
    found = cli(*guard, code=3).json["blockers"]
    assert str(mine.files["best"]) in [item["subject"] for item in found]


def test_a_file_that_is_open_for_writing_on_the_host_stops_it(
    cli: Cli, record: Record, nas: Path, box: Sshd, tmp_path: Path, python: Callable[..., Any]
) -> None:
    run = record()
    cli("copy", run.id, "--to", "nas")
    change(tmp_path, """UPDATE run SET host = '{"name": "gpu"}'""")
    (tmp_path / "registry.toml").write_text('[hosts.gpu]\nssh = "box"\n')
    guard = ("guard", "--host", "gpu", "--accept-single", "--dry-run", "--json")
    cli(*guard)
    writer = python(f"f = open({str(run.files['best'])!r}, 'ab'); print(flush=True); input()")
    writer.stdout.readline()
    assert "open for writing" in cli(*guard, code=3).json["blockers"][0]["reason"]


def test_a_disk_of_the_released_host_does_not_count_under_its_own_name(
    cli: Cli, record: Record, box: Sshd, tmp_path: Path, other_disk: Path
) -> None:
    """The host is `gpu` in the record and something else to itself; its scratch disk goes with it all the same."""
    run = record()
    cli("remote", "add", "scratch", f"box:{other_disk}/scratch")
    cli("copy", run.id, "--to", "scratch")
    change(tmp_path, """UPDATE run SET host = '{"name": "gpu"}'""")
    (tmp_path / "registry.toml").write_text('[hosts.gpu]\nssh = "box"\n')
    found = cli("guard", "--host", "gpu", "--accept-single", "--dry-run", "--json", code=3).json["blockers"]
    assert "is on gpu itself" in found[0]["reason"]


def test_a_folder_is_on_this_machine_whatever_its_name_was(
    cli: Cli, record: Record, tmp_path: Path, other_disk: Path, db: Database
) -> None:
    """A container gets another name each time; its disks are no other machine's for that."""
    cli("remote", "add", "scratch", other_disk / "scratch")
    change(tmp_path, "UPDATE remote SET host = 'a1b2c3', domain = 'host:a1b2c3'")
    run = record()
    cli("copy", run.id, "--to", "scratch")
    (copy,) = cli("where", run.id, "--json").json[0]["copies"]
    assert not copy["counts"] and "same machine" in copy["reason"]
    cli("guard", run.id, "--accept-single", "--dry-run", code=3)
    with db.read() as session:
        assert [place.host for place in load_places(session).values()] == [os.uname().nodename]


# --- copies that are one


def test_a_place_whose_blobs_are_a_link_into_another_place_is_not_believed(
    cli: Cli, record: Record, nas: Path, second: Path
) -> None:
    """Two markers, one set of files: dropped from the one they would be gone from both."""
    run = record()
    cli("copy", run.id, "--to", "nas")
    shutil.rmtree(second / "blobs", ignore_errors=True)
    (second / "blobs").symlink_to(nas / "blobs")
    cli("copy", run.id, "--to", "second", code=5)
    cli("drop", run.id, "--from", "nas", code=3)
    assert blob_path(nas, digest_of(run.files["best"])).exists()


BIND = """
set -e
mkdir -p one two
registry() { python -m registry "$@"; }
registry remote add one one --domain one --class durable -q
mount --bind one two
registry remote add two two --domain two --class durable && exit 9
echo "refused $?"
umount two
registry remote add two two --domain two --class durable -q
mkdir -p one/blobs two/blobs
mount --bind one/blobs two/blobs
registry remote test two && exit 9
echo "refused $?"
"""


def test_a_bind_mount_is_not_another_place(tmp_path: Path) -> None:
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["unshare", "-rm", "sh", "-c", BIND], capture_output=True, text=True, env={**os.environ, "PATH": programs}
    )
    if "unshare" in done.stderr or "mount: " in done.stderr:
        pytest.skip(f"nothing can be mounted here: {done.stderr.strip()}")
    assert [line for line in done.stdout.splitlines() if line.startswith("refused")] == ["refused 3", "refused 5"]
    assert "is the remote one" in done.stderr and "mounted in the place" in done.stderr


# --- what serves


@pytest.fixture
def deployed(cli: Cli, second: Path, db: Database) -> str:
    """A run whose best serves, and was replaced where it was made since; returns the digest of what serves."""
    with registry.init(name="served") as run:
        for step, content in ((6, b"the one that serves" * 9), (20, b"newer" * 9)):
            Path("best.pt").write_bytes(content)
            run.log_artifact("best.pt", role="best", step=step)
            if step == 6:
                cli("copy", run.id, "--to", "nas")
    digest = hashlib.sha256(b"the one that serves" * 9).hexdigest()
    cli("ls")
    with db.write() as session:
        artifact = session.exec(select(Artifact).where(Artifact.digest == digest)).one()
        about = {"run_id": run.id, "artifact_id": artifact.id, "digest": digest}
        session.add(Deployment(target="production", since=1.0, by="t", **about))
    cli("copy", "served", "--to", "nas")
    return digest


def test_what_serves_matters_although_the_run_replaced_it(cli: Cli, nas: Path, second: Path, deployed: str) -> None:
    assert deployed in [item["digest"] for item in cli("where", "served", "--json").json]
    cli("copy", "served", "--to", "second")
    assert digest_of(blob_path(second, deployed)) == deployed, "taken from the other place: here it was replaced"
    flip_byte(blob_path(nas, deployed))
    cli("verify", "--all", "--remote", "nas", code=1)
    alerts = {alert["code"]: alert["hint"] for alert in cli("alerts", "--json").json}
    cli(*alerts["copy-corrupt"].split()[1:])
    assert digest_of(blob_path(nas, deployed)) == deployed, "what the alert says to type ends it"
    assert "copy-corrupt" not in {alert["code"] for alert in cli("alerts", "--json").json}


def test_what_serves_is_neither_dropped_as_old_nor_destroyed(
    cli: Cli, nas: Path, deployed: str, tmp_path: Path
) -> None:
    cli("drop", "served", "--from", "nas", "--superseded", code=4)
    change(tmp_path, "UPDATE deployment SET until = 2")
    cli("drop", "served", "--from", "nas", "--superseded", code=4)
    assert blob_path(nas, deployed).exists(), "a rollback goes back to it"
    change(tmp_path, "UPDATE deployment SET until = NULL")
    words = ["--destroy", f"sha256:{deployed[:12]}", "--reason", "disk full", "--accept-single"]
    said = cli("guard", "served", *words, "--", "true", code=3)
    assert "rollback first" in said.err


# --- drops


def test_what_runs_replaced_can_be_dropped_and_nothing_else_goes(cli: Cli, nas: Path) -> None:
    with registry.init(name="rolling") as run:
        for step in (1, 2, 3):
            Path("last.pt").write_bytes(f"step {step}".encode() * 50)
            run.log_artifact("last.pt", role="last", step=step)
            cli("copy", run.id, "--to", "nas")
    digests = [hashlib.sha256(f"step {step}".encode() * 50).hexdigest() for step in (1, 2, 3)]
    assert all(blob_path(nas, digest).exists() for digest in digests)
    cli("drop", "--all", "--from", "nas", "--superseded")
    assert [blob_path(nas, digest).exists() for digest in digests] == [False, False, True]
    assert cli("where", "rolling", "--json").json[0]["copies"][0]["state"] == "verified"
    cli("drop", "rolling", "--here", "--superseded", code=2)


def test_a_file_that_two_runs_recorded_is_dropped_only_as_both_need(cli: Cli, nas: Path, tmp_path: Path) -> None:
    rules = '[[policy.rules]]\nexperiment = "*"\nrole = "report"\nmin_copies = 2\nnum_copies = 2\n'
    (tmp_path / "registry.toml").write_text("[policy]\nnum_copies = 1\n" + rules)
    Path("shared.pt").write_bytes(b"one file, two runs")
    for name, role in (("first", "best"), ("other", "report")):
        with registry.init(name=name) as run:
            run.log_artifact("shared.pt", role=role)
    cli("copy", "--all", "--to", "nas")
    cli("drop", "first", "--here", code=3)
    assert Path("shared.pt").exists()


def test_a_blob_that_a_backup_is_made_of_is_not_dropped(
    cli: Cli, record: Record, nas: Path, second: Path, tmp_path: Path
) -> None:
    """The output of a run is an artifact by its role, and a part of the backup by its digest."""
    run = record()
    (run.folder / "output.log").write_bytes(b"epoch 1 of 1\n" * 100)
    cli("keep", run.id, run.folder / "output.log", "--role", "log")
    for name in ("nas", "second"):
        cli("copy", run.id, "--to", name)
    cli("backup", "--to", "nas")
    said = cli("drop", run.id, "--role", "log", "--from", "nas", code=3)
    assert "backup" in said.err
    cli("drop", run.id, "--from", "nas")
    cli("restore", nas, "--into", tmp_path / "new")
    assert (tmp_path / "new" / "runs" / run.folder.name / "output.log").exists()


# --- the names of things


def test_the_guard_says_which_record_it_asked(cli: Cli, record: Record, nas: Path, tmp_path: Path) -> None:
    """Another registry on the same machine knows of other runs: this one can only answer for its own."""
    run = record()
    cli("copy", run.id, "--to", "nas")
    said = cli("guard", run.id, "--accept-single", "--dry-run")
    assert f"{tmp_path / 'runs.db'}" in said.out


def test_a_restore_takes_no_settings_and_no_other_words_away(
    cli: Cli, record: Record, nas: Path, tmp_path: Path
) -> None:
    run = record()
    settings, output = tmp_path / "registry.toml", run.folder / "output.log"
    settings.write_text("[policy]\nnum_copies = 1\n# a long remark that is not there any more\n")
    output.write_bytes(b"epoch 1\nepoch 2\n")
    cli("backup", "--to", "nas")
    settings.write_text("[policy]\nnum_copies = 2\n")
    output.write_bytes(b"another\n")
    cli("restore", nas, "--yes")
    assert settings.read_text() == "[policy]\nnum_copies = 2\n"
    (aside,) = run.folder.glob("output.log.before-restore-*")
    assert aside.read_bytes() == b"another\n" and output.read_bytes() == b"epoch 1\nepoch 2\n"
    output.write_bytes(b"epoch 1\n")
    cli("restore", nas, "--yes")
    assert output.read_bytes() == b"epoch 1\nepoch 2\n" and len(list(run.folder.glob("output.log.*"))) == 1

"""The registry itself is kept like what it keeps: a backup is whole while others write, and a restore is checked."""

import hashlib
import sqlite3
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import registry
from registry import clock
from registry.backup import snapshot
from registry.errors import HoldfastError
from registry.remotes.folder import FolderStore

from .conftest import Recorded, blob_path, flip_byte

Cli = Callable[..., Any]
Record = Callable[..., Recorded]


def rows(path: Path, table: str) -> list[Any]:
    connection = sqlite3.connect(path)
    try:
        return connection.execute(f"SELECT * FROM {table} ORDER BY 1, 2").fetchall()
    finally:
        connection.close()


def test_a_backup_comes_back_as_it_was(cli: Cli, record: Record, nas: Path, tmp_path: Path) -> None:
    run = record()
    cli("copy", run.id, "--to", "nas")
    made = cli("backup", "--to", "nas", "--json").json
    new = tmp_path / "elsewhere"
    cli("restore", nas, "--into", new)
    for table in ("run", "artifact", "param", "journal_cursor"):
        assert rows(new / "runs.db", table) == rows(tmp_path / "runs.db", table)
    assert (new / "runs" / run.folder.name / "journal.jsonl").read_bytes() == (
        run.folder / "journal.jsonl"
    ).read_bytes()
    (listed,) = cli("restore", nas, "--list", "--json").json
    assert listed["digest"] == made["digest"]


def test_copies_count_again_only_when_they_were_read_again(cli: Cli, record: Record, nas: Path, tmp_path: Path) -> None:
    """The backup may be older than what happened since: nothing it says of copies is believed."""
    run = record()
    cli("copy", run.id, "--to", "nas")
    cli("backup", "--to", "nas")
    cli("restore", nas, "--into", tmp_path / "new")
    there = ("--db", tmp_path / "new" / "runs.db")
    assert cli(*there, "where", run.id, "--json").json[0]["copies"][0]["state"] == "present"
    cli(*there, "fetch", run.id)
    cli(*there, "drop", run.id, "--from", "nas", code=3)
    cli(*there, "verify", "--all", code=None)
    assert cli(*there, "where", run.id, "--json").json[0]["copies"][0]["state"] == "verified"


def test_a_snapshot_is_whole_while_others_write(cli: Cli, record: Record, tmp_path: Path) -> None:
    record()
    cli("ls")
    stop, errors = threading.Event(), []

    def write() -> None:
        connection = sqlite3.connect(tmp_path / "runs.db", timeout=30, isolation_level=None)
        number = 0
        while not stop.is_set():
            number += 1
            try:
                connection.execute("BEGIN IMMEDIATE")
                for half in ("a", "b"):
                    connection.execute("INSERT INTO meta VALUES (?, 'x')", (f"pair-{number}-{half}",))
                connection.execute("COMMIT")
            except sqlite3.Error as error:
                errors.append(error)
        connection.close()

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for number in range(8):
            snapshot(tmp_path / "runs.db", tmp_path / f"snapshot-{number}.db")
    finally:
        stop.set()
        writer.join()
    assert not errors
    for number in range(8):
        pairs = [key for key, _ in rows(tmp_path / f"snapshot-{number}.db", "meta") if key.startswith("pair-")]
        assert len(pairs) % 2 == 0, "half a transaction is in the backup"


def test_a_run_that_goes_on_is_backed_up_as_far_as_it_is(cli: Cli, nas: Path, tmp_path: Path) -> None:
    with registry.init(name="live") as run:
        run.log({"loss": 1.0}, step=0)
        cli("backup", "--to", "nas")
        run.log({"loss": 0.5}, step=1)
    cli("restore", nas, "--into", tmp_path / "new")
    kept = (tmp_path / "new" / "runs" / run.folder.name / "journal.jsonl").read_bytes()
    assert kept and (run.folder / "journal.jsonl").read_bytes().startswith(kept)


def test_a_registry_that_is_there_is_put_aside_only_when_that_is_said(
    cli: Cli, record: Record, nas: Path, tmp_path: Path
) -> None:
    record("first")
    cli("backup", "--to", "nas")
    record("second")
    cli("ls")
    cli("restore", nas, code=3)
    assert len(rows(tmp_path / "runs.db", "run")) == 2
    cli("restore", nas, "--yes")
    (aside,) = tmp_path.glob("runs.db.before-restore-*")
    assert len(rows(aside, "run")) == 2
    assert {row["name"] for row in cli("ls", "--json").json} == {"first", "second"}, "its journal was still here"


@pytest.mark.parametrize("what", ["runs.db", "manifest"])
def test_a_damaged_backup_is_never_put_in_place(cli: Cli, record: Record, nas: Path, tmp_path: Path, what: str) -> None:
    record()
    digest = cli("backup", "--to", "nas", "--json").json["digest"]
    path = blob_path(nas, digest)
    if what == "runs.db":
        line = next(line for line in path.read_text().splitlines() if line.endswith(" runs.db"))
        path = blob_path(nas, line.split()[0])
    flip_byte(path, at=200 if what == "runs.db" else 5)
    said = cli("restore", nas, "--into", tmp_path / "new", code=1)
    assert "other bytes" in said.err
    assert not (tmp_path / "new" / "runs.db").exists()


def test_a_backup_that_was_made_of_a_damaged_registry_is_refused(
    cli: Cli, record: Record, nas: Path, tmp_path: Path
) -> None:
    record()
    cli("ls")
    connection = sqlite3.connect(tmp_path / "runs.db")
    connection.execute("PRAGMA journal_mode=DELETE")
    connection.close()
    size = (tmp_path / "runs.db").stat().st_size
    with open(tmp_path / "runs.db", "r+b") as file:
        for page in range(3, size // 4096, 2):
            file.seek(page * 4096 + 8)
            file.write(b"\xff" * 64)
    with pytest.raises(HoldfastError) as refused:
        snapshot(tmp_path / "runs.db", tmp_path / "copy.db")
    assert refused.value.reason_code == 19


def test_there_is_a_warning_until_there_is_a_fresh_backup(cli: Cli, record: Record, nas: Path) -> None:
    record()

    def codes() -> set[str]:
        return {alert["code"] for alert in cli("alerts", "--json").json}

    assert "registry-no-backup" in codes()
    cli("backup", "--to", "nas")
    assert not codes() & {"registry-no-backup", "registry-backup-stale"}
    with clock.frozen(clock.now() + 8 * 86_400):
        assert "registry-backup-stale" in codes()
    digest = cli("restore", nas, "--list", "--json").json[0]["digest"]
    flip_byte(blob_path(nas, digest))
    cli("verify", "--all", code=1)
    assert "registry-no-backup" in codes(), "a backup that reads wrong is none"


def test_what_is_unchanged_is_stored_once(cli: Cli, record: Record, nas: Path) -> None:
    run = record()
    first = cli("backup", "--to", "nas", "--json").json
    second = cli("backup", "--to", "nas", "--json").json
    assert first["digest"] != second["digest"], "the registry recorded the first backup"
    journal = hashlib.sha256((run.folder / "journal.jsonl").read_bytes()).hexdigest()
    assert blob_path(nas, journal).exists()
    assert len(cli("restore", nas, "--list", "--json").json) == 2
    older = cli("restore", nas, "--list", "--json").json[-1]["digest"]
    cli("restore", nas, "--digest", older[:12], "--into", "older")


@pytest.mark.parametrize("words", [["nowhere"], ["nas", "--digest", "ffff"]])
def test_a_backup_that_is_not_there_is_not_found(cli: Cli, record: Record, nas: Path, words: list[str]) -> None:
    record()
    said = cli("restore", *words, "--into", "new", code=4)
    assert "backup" in said.err


def test_other_peoples_files_in_the_list_of_backups_do_no_harm(cli: Cli, record: Record, nas: Path) -> None:
    record()
    cli("backup", "--to", "nas")
    FolderStore(str(nas)).write_small("backups/junk.json", b"not json")
    FolderStore(str(nas)).write_small("backups/odd.json", b'{"at": "yesterday"}')
    assert len(cli("restore", nas, "--list", "--json").json) == 1

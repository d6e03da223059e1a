"""A registry that cannot be used is one clear line with the right exit code, never a traceback, and nothing is lost."""

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import registry
from registry import places
from registry.database import open_database
from registry.errors import NotFoundError, RegistryUnusableError, UsageError


def test_no_registry_is_not_found_and_none_is_made_by_looking(cli, own_folder):
    said = cli("ls", code=4)
    assert "no registry at" in said.err and "record a run" in said.err
    assert not Path("runs.db").exists()
    assert "no registry at" in cli("--db", "elsewhere.db", "show", "x", code=4).err


def test_garbage_is_named_as_no_database(cli, own_folder):
    Path("runs.db").write_bytes(os.urandom(8192))
    said = cli("ls", code=1)
    assert "is not a database" in said.err and "registry rebuild" in said.err


def test_a_damaged_page_is_named_as_corrupt(cli, own_folder):
    with registry.init(name="a") as run:
        for step in range(3000):
            run.log({"loss": float(step), "acc": float(step)}, step=step)
    cli("ls")
    raw = bytearray(Path("runs.db").read_bytes())
    for page in range(1, len(raw) // 4096):
        raw[page * 4096 : page * 4096 + 512] = b"\xff" * 512
    Path("runs.db").write_bytes(raw)
    assert "corrupt" in cli("ls", code=1).err
    assert cli("rebuild", "--yes").code == 0
    assert cli("ls", "--json").json[0]["metrics"]["loss"]["count"] == 3000


def test_a_database_of_another_program_is_left_alone(cli, own_folder):
    with sqlite3.connect("runs.db") as connection:
        connection.execute("CREATE TABLE mine (x)")
    connection.close()
    before = Path("runs.db").read_bytes()
    assert "is a database, but no registry" in cli("ls", code=1).err
    assert "is a database, but no registry" in cli("init", code=1).err
    assert Path("runs.db").read_bytes() == before


def test_one_from_a_newer_version_is_not_touched(cli, own_folder):
    cli("init")
    with sqlite3.connect("runs.db") as connection:
        connection.execute("UPDATE alembic_version SET version_num = '9999'")
    connection.close()
    assert "was written by a newer version (schema 9999" in cli("ls", code=1).err


def test_an_empty_file_becomes_a_registry(cli, own_folder):
    Path("runs.db").touch()
    assert cli("ls", "--json").json == []


@pytest.fixture
def small_disk(own_folder, monkeypatch):
    """A file system of 3 MB of its own, mounted at `small`."""
    if os.geteuid() != 0 or not shutil.which("mount"):
        pytest.skip("needs root to mount a small disk")
    disk = own_folder / "small"
    disk.mkdir()
    if subprocess.run(["mount", "-t", "tmpfs", "-o", "size=3m", "none", str(disk)], capture_output=True).returncode:
        pytest.skip("this machine does not let a test mount a tmpfs")
    monkeypatch.chdir(disk)
    yield disk
    os.chdir(own_folder)
    subprocess.run(["umount", "-l", str(disk)], check=True)


def test_a_place_that_cannot_be_written_is_shown_as_last_seen(cli, small_disk):
    registry.init(name="a").finish()
    cli("ls")
    subprocess.run(["mount", "-o", "remount,ro", str(small_disk)], check=True)
    looked = cli("ls")
    assert "cannot be written here" in looked.err and "1 of 1 runs" in looked.out
    assert "cannot make" in cli("run", "--", "true", code=2).err
    with pytest.raises(UsageError, match="cannot make"):
        registry.init(name="b")


def test_a_locked_registry_says_so(cli, own_folder, monkeypatch):
    monkeypatch.setattr("registry.database.BUSY_TIMEOUT_S", 0.2)
    cli("init")
    registry.init(name="a").finish()
    with sqlite3.connect("runs.db") as other:
        other.execute("BEGIN EXCLUSIVE")
        assert "is locked by another process" in cli("ls", code=1).err
        other.rollback()
    other.close()
    assert len(cli("ls", "--json").json) == 1


def test_a_full_disk_is_said_and_what_was_recorded_is_read_when_there_is_room(cli, small_disk):
    cli("init")
    with registry.init(name="a") as run:
        for step in range(500):
            run.log({"loss": float(step)}, step=step)
    with open("filler", "wb", buffering=0) as file, contextlib.suppress(OSError):
        while True:
            file.write(b"x" * 4096)
    assert "no space left" in cli("ls", code=1).err
    Path("filler").unlink()
    assert cli("ls", "--json").json[0]["metrics"]["loss"]["count"] == 500


def test_many_threads_may_make_it_at_once(own_folder):
    errors = []

    def make():
        try:
            open_database(create=True).close()
        except Exception as error:
            errors.append(error)

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == []


def test_the_nearest_registry_upward_is_used(cli, own_folder, monkeypatch):
    cli("init")
    deep = own_folder / "a" / "b"
    deep.mkdir(parents=True)
    monkeypatch.chdir(deep)
    registry.init(name="from-below").finish()
    assert [row["name"] for row in cli("ls", "--json").json] == ["from-below"]
    assert (own_folder / "runs").is_dir() and not (deep / "runs").exists()


def test_the_first_run_marks_its_folder_as_the_registry(own_folder, monkeypatch):
    registry.init(name="first").finish()
    deep = own_folder / "deep"
    deep.mkdir()
    monkeypatch.chdir(deep)
    registry.init(name="second").finish()
    assert len(list((own_folder / "runs").iterdir())) == 2


@pytest.mark.parametrize(
    ("url", "error"),
    [("nodialect://x", UsageError), ("postgresql+psycopg://u:secret@127.0.0.1:1/x", registry.UnreachableError)],
)
def test_a_server_that_is_none_is_told_without_its_password(url, error):
    with pytest.raises(error) as raised:
        open_database(url)
    assert "secret" not in str(raised.value)


def test_settings_that_are_wrong_name_the_key(cli, own_folder):
    cli("init")
    Path("registry.toml").write_text("[policy]\nmin_copys = 2\n")
    said = cli("ls", code=2)
    assert "registry.toml" in said.err and "min_copys" in said.err
    Path("registry.toml").write_text("[policy]\nmin_copies = 0\n")
    assert "at least 1" in cli("ls", code=2).err
    Path("registry.toml").write_text("[policy\n")
    assert "is not TOML" in cli("ls", code=2).err


def test_errors_of_opening_in_python(own_folder):
    with pytest.raises(NotFoundError):
        registry.open()
    Path("runs.db").write_bytes(b"garbage" * 500)
    with pytest.raises(RegistryUnusableError):
        registry.open()
    assert places.registry_url() == str(own_folder / "runs.db")


def test_verbs_that_do_not_exist_suggest_the_nearest(cli):
    assert "did you mean 'compare'?" in cli("compar", code=2).err
    assert "no option --nonsense" in cli("--nonsense", code=2).err
    assert "Usage: registry" in cli("--help").out


def test_a_reader_that_has_seen_enough_is_no_failure(cli, own_folder):
    for i in range(30):
        registry.init(name=f"run-with-a-long-name-{i}", params={f"p{j}": j for j in range(200)}).finish()
    cli("ls")
    command = f"{sys.executable} -m registry compare | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.returncode == 0 and done.stderr == ""

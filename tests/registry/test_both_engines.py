"""The record gives the same answers on SQLite and on PostgreSQL."""

import itertools
import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import registry
from registry import catchup
from registry.database import open_database
from tests.registry import postgres

_numbers = itertools.count()


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request, own_folder, monkeypatch):
    """The address of an empty registry, set as REGISTRY_DB."""
    if request.param == "sqlite":
        url = str(own_folder / "runs.db")
    else:
        url = postgres.new_database(request.getfixturevalue("postgres_server"), f"r{next(_numbers)}")
    monkeypatch.setenv("REGISTRY_DB", url)
    monkeypatch.setenv("REGISTRY_ROOT", str(own_folder))
    return url


def train(name, losses, acc=0.9):
    with registry.init(experiment="e", name=name, params={"lr": 0.1, "name": name}, tags=["t"]) as run:
        run.define_metric("val/acc", goal="max", primary=True)
        for step, loss in enumerate(losses):
            run.log({"val/loss": loss, "odd": float("nan")}, step=step)
        Path(f"{name}.bin").write_bytes(name.encode() * 10)
        run.log_artifact(f"{name}.bin", role="best", step=1)
        run.log_evaluation(artifact="best", metrics={"val/acc": acc})
    return run


def test_recording_and_reading(cli, engine):
    cli("init")
    train("a", [0.5, 0.2, 0.4, float("inf")])
    train("b", [0.6, 0.3])
    rows = cli("ls", "--sort-by", "val/loss", "--json").json
    assert [row["name"] for row in rows] == ["a", "b"]
    metric = rows[0]["metrics"]["val/loss"]
    assert (metric["best"], metric["best_step"], metric["count"], metric["non_finite"]) == (0.2, 1, 4, 1)
    assert rows[0]["artifacts"] == {"total": 1, "unverified": 1}
    assert cli("ls", "--find", "B", "--tag", "t", "--json").json[0]["name"] == "b"
    assert [row["name"] for row in cli("ls", "--sort-by", "params.name", "--json").json] == ["a", "b"]
    shown = cli("show", "a", "--json").json
    assert shown["artifacts"][0]["role"] == "best" and shown["evaluations"][0]["values"]["val/acc"]["value"] == 0.9
    found = cli("compare", "a", "b", "--json").json
    assert [cell["best"] for cell in found["metrics"]["val/loss"]["values"]] == [True, False]
    with registry.open() as record:
        assert record.history("a", "val/loss") == [(0, 0.5), (1, 0.2), (2, 0.4), (3, float("inf"))]
        assert [value for _, value in record.history("a", "odd")] == [None] * 4


def test_deciding(cli, engine):
    Path("registry.toml").write_text("[policy]\nrequire_other_domain = false\nnum_copies = 1\n")
    Path("vault").mkdir()
    cli("init")
    train("old", [0.5], acc=0.8)
    train("new", [0.4], acc=0.9)
    cli("remote", "add", "vault", "vault")
    cli("copy", "old", "--to", "vault")
    cli("promote", "old")
    said = cli("promote", "new", code=3)
    assert "copies: 0 of 1" in said.err
    cli("copy", "new", "--to", "vault")
    cli("promote", "new")
    assert cli("deployments", "--json").json[0]["run_name"] == "new"
    cli("rollback", "production")
    assert cli("deployments", "--json").json[0]["run_name"] == "old"
    assert [row["action"] for row in cli("history", "production", "--json").json] == ["rollback", "promote", "promote"]
    assert cli("doctor").code == 0
    assert json.dumps(cli("alerts", "--json").json)


WRITER = """
import registry, sys
with registry.init(name=sys.argv[1]) as run:
    for step in range(3_000):
        run.log({"loss": float(step)}, step=step)
"""


def test_writers_and_readers_at_once(engine, own_folder):
    db = open_database(create=True)
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, f"w{i}"]) for i in range(2)]
    errors: list[Exception] = []

    def read() -> None:
        other = open_database()
        try:
            while any(writer.poll() is None for writer in writers):
                catchup.catch_up(other)
        except Exception as error:
            errors.append(error)
        finally:
            other.close()

    readers = [threading.Thread(target=read) for _ in range(2)]
    for reader in readers:
        reader.start()
    for reader in readers:
        reader.join()
    assert [writer.wait() for writer in writers] == [0, 0] and errors == []
    catchup.catch_up(db)
    db.close()
    with registry.open() as record:
        for i in range(2):
            assert [step for step, _ in record.history(f"w{i}", "loss")] == list(range(3_000))


def test_a_change_by_another_process_is_noticed(engine):
    db = open_database(create=True)
    before = db.data_version()
    train("a", [0.5])
    subprocess.run([sys.executable, "-m", "registry", "ls"], check=True, capture_output=True)
    deadline_tries = 200
    while db.data_version() == before and deadline_tries:
        deadline_tries -= 1
        threading.Event().wait(0.05)
    assert db.data_version() != before
    db.close()


def test_a_password_is_never_printed(cli, monkeypatch):
    monkeypatch.setenv("REGISTRY_DB", "postgresql+psycopg://me:hunter2@127.0.0.1:1/x")
    said = cli("ls", code=5)
    assert "hunter2" not in said.err and "cannot reach" in said.err

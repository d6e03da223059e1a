"""The whole record moves from SQLite to PostgreSQL and back, every row of it, or not at all."""

import json
from pathlib import Path

import pytest
from sqlalchemy import select
from sqlmodel import SQLModel

import registry
from registry.cli.main import main
from registry.database import open_database
from tests.registry import postgres
from tests.registry.test_both_engines import engine, train  # noqa: F401


def everything(url):
    """Every row of every table, sorted, as plain values."""
    db = open_database(url, readonly=True)
    try:
        with db.read() as session:
            return {
                table.name: sorted(repr(tuple(row)) for row in session.connection().execute(select(table)))
                for table in SQLModel.metadata.sorted_tables
            }
    finally:
        db.close()


@pytest.fixture
def record(cli, own_folder, monkeypatch):
    """A registry in runs.db with runs, points of every kind, a copy, a data set, a deployment and decisions."""
    monkeypatch.setenv("REGISTRY_ROOT", str(own_folder))
    Path("registry.toml").write_text("[policy]\nrequire_other_domain = false\nnum_copies = 1\n")
    Path("vault").mkdir()
    Path("words.jsonl").write_text('{"a": 1}\n')
    cli("init")
    train("a", [0.5, 0.2, 0.4, float("inf")])
    with registry.init(name="odd") as run:
        run.note("a NUL \0 in a log")
        run.log({"x": 1e308, "y": float("-inf")}, step=2**40)
    cli("dataset", "add", "words@1", "words.jsonl")
    cli("remote", "add", "vault", "vault")
    cli("copy", "a", "--to", "vault")
    cli("promote", "a")
    return own_folder / "runs.db"


def test_there_and_back(cli, record, postgres_server, monkeypatch):
    before = everything(str(record))
    server = postgres.new_database(postgres_server, "moved")
    moved = cli("migrate", "--to", server, "--json").json
    assert moved["rows"]["run"] == len(before["run"]) and moved["rows"]["metric_point"] == len(before["metric_point"])
    without_nul = json.loads(json.dumps(before).replace("\\\\x00", "\N{SYMBOL FOR NULL}"))
    assert everything(server) == without_nul
    monkeypatch.setenv("REGISTRY_DB", server)
    train("b", [0.3, 0.1])
    cli("note", "b", "numbered after what arrived")
    assert cli("doctor").code == 0
    assert cli("deployments", "--json").json[0]["run_name"] == "a"
    there = everything(server)
    cli("migrate", "--to", "back.db")
    assert everything("back.db") == there
    monkeypatch.setenv("REGISTRY_DB", "back.db")
    assert cli("doctor").code == 0
    assert {row["name"] for row in cli("ls", "--json").json} == {"a", "b", "odd"}


def test_a_database_with_a_record_is_left_alone(cli, record):
    train("b", [0.3])
    assert main(["--db", "other.db", "init"]) == 0
    with registry.init(name="there already", db="other.db") as run:
        run.log({"x": 1.0})
    cli("--db", "other.db", "ls")
    said = cli("migrate", "--to", "other.db", code=3)
    assert "holds a record already" in said.err
    said = cli("migrate", "--to", "runs.db", code=2)
    assert "name an empty database" in said.err


def test_a_database_that_would_look_for_the_journals_elsewhere_is_refused(cli, record):
    Path("elsewhere").mkdir()
    said = cli("migrate", "--to", "elsewhere/runs.db", code=2)
    assert "journals" in said.err and not Path("elsewhere/runs.db").exists()


def test_every_verb_answers_on_both_engines(cli, engine):  # noqa: F811
    Path("registry.toml").write_text("[policy]\nrequire_other_domain = false\nnum_copies = 1\n")
    Path("vault").mkdir()
    Path("words.jsonl").write_text('{"a": 1}\n{"a": 2}\n')
    Path("g.toml").write_text('name="g"\n[[gate]]\nname="acc"\nmetric="val/acc"\nop=">="\nthreshold=0.5\n')
    cli("init")
    with registry.init(experiment="e", name="a", gates="g.toml") as run:
        run.log({"loss": 0.5}, step=1)
        run.note("NUL \0")
        Path("a.bin").write_bytes(b"weights")
        run.log_artifact("a.bin", role="best", step=1)
        run.log_evaluation(artifact="best", metrics={"val/acc": 0.9})
        run.use_dataset("later@1")
    train("b", [0.5])
    verbs = """gate check a --json|dataset add words@1 words.jsonl|dataset ls|dataset show words@1
        dataset validate words@1|dataset impact words@1|dataset invalidate words@1 --reason wrong
        remote add vault vault|remote ls|copy a --to vault|where a --json|verify --all|fetch a --into out|repair a
        diff a b|log a|tag a t|note a said|rm b --yes|restore-run b|reap|promote a --dry-run|alerts|status|doctor
        report compare a b|report leaderboard --experiment e --metric loss|report card a|report session
        export --all --to csv|export --all --to jsonl|migrate"""
    for line in verbs.replace("\n", "|").split("|"):
        cli(*line.split())


def test_what_the_dashboard_asks(cli, engine):  # noqa: F811
    from tui.snapshots import RunsQuery, Store

    cli("init")
    train("a", [0.5, 0.2, 0.4] * 50)
    cli("ls")
    store = Store()
    store.poll()
    index = store.runs_index(RunsQuery(sort_by="val/loss"))
    assert len(index.ids) == 1
    run = store.run(index.ids[0])
    assert run.summary.name == "a"
    assert store.sparks(index.ids, ["val/loss"])
    with registry.open() as record, record.database.read() as session:
        from registry.queries import columns

        assert [column.n_points for column in columns(session, index.ids[0], "val/loss", 4)] == [38, 37, 37, 37, 1]
    assert store.status().n_running == 0
    store.close()

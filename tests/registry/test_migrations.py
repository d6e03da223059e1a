"""The schema that migrations make is the schema of the tables, from the first revision on, with data in it."""

import contextlib
import sqlite3
from pathlib import Path

import pytest
import sqlalchemy
from sqlmodel import SQLModel

import registry
from registry.database import Database, open_database
from registry.migrations import HEAD, REVISIONS
from registry.migrations.upgrade import alembic_config


def schema_of(path):
    engine = sqlalchemy.create_engine(f"sqlite:///{path}")
    inspector = sqlalchemy.inspect(engine)
    found = {}
    for table in sorted(inspector.get_table_names()):
        if table != "alembic_version":
            found[table] = {
                "columns": {(c["name"], str(c["type"]), c["nullable"]) for c in inspector.get_columns(table)},
                "key": tuple(inspector.get_pk_constraint(table)["constrained_columns"]),
                "indexes": {(tuple(i["column_names"]), bool(i["unique"])) for i in inspector.get_indexes(table)},
                "foreign": {
                    (tuple(f["constrained_columns"]), f["referred_table"]) for f in inspector.get_foreign_keys(table)
                },
            }
    with contextlib.closing(sqlite3.connect(path)) as connection:
        point = connection.execute("SELECT sql FROM sqlite_master WHERE name = 'metric_point'").fetchone()[0]
    engine.dispose()
    return found, "WITHOUT ROWID" in point


def migrated(path, revision):
    """Make a registry with the schema of an old revision, by the migrations alone."""
    from alembic import command

    Path(path).touch()
    database = Database(str(path))
    config = alembic_config()
    with database.write() as session:
        config.attributes["connection"] = session.connection()
        command.upgrade(config, revision)
    database.close()


def test_migrations_and_tables_make_the_same_schema(own_folder):
    migrated(own_folder / "by-migrations.db", "head")
    open_database(str(own_folder / "by-tables.db"), create=True).close()
    assert schema_of("by-migrations.db") == schema_of("by-tables.db")
    assert schema_of("by-tables.db")[1]


def test_the_history_ends_where_this_program_writes(own_folder):
    from alembic.script import ScriptDirectory

    script = ScriptDirectory.from_config(alembic_config())
    assert [revision.revision for revision in reversed(list(script.walk_revisions()))] == list(REVISIONS)
    assert script.get_current_head() == HEAD


@pytest.mark.parametrize("revision", REVISIONS)
def test_an_old_registry_with_data_in_it_is_brought_up_to_date(cli, own_folder, revision):
    migrated(own_folder / "runs.db", revision)
    with registry.init(name="kept", params={"lr": 1}) as run:
        run.log({"loss": 1.0}, step=0)
    assert cli("ls", "--json").json[0]["metrics"]["loss"]["count"] == 1
    assert schema_of("runs.db")[0].keys() == set(SQLModel.metadata.tables)
    if revision != HEAD:
        assert Path(f"runs.db.schema-{revision}").exists()
    cli("doctor")


def test_a_read_only_look_never_migrates(own_folder):
    migrated(own_folder / "runs.db", REVISIONS[0])
    before = Path("runs.db").read_bytes()
    if REVISIONS[0] != HEAD:
        with pytest.raises(registry.RegistryUnusableError, match="has the old schema"):
            open_database(readonly=True)
    else:
        open_database(readonly=True).close()
    assert Path("runs.db").read_bytes() == before

"""Bring an old registry up to date: Alembic, in one immediate transaction, after a snapshot of the file."""

import contextlib
import sqlite3
from pathlib import Path
from typing import TYPE_CHECKING

from alembic import command
from alembic.config import Config

if TYPE_CHECKING:
    from registry.database import Database


def alembic_config() -> Config:
    """Return Alembic's configuration; the scripts lie beside this file."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    return config


def upgrade(database: "Database", revision: str) -> None:
    """Migrate `database` from `revision` to HEAD; a SQLite file is kept as `runs.db.schema-REVISION` first."""
    if database.is_sqlite:
        _snapshot(database.path, database.path.with_name(f"{database.path.name}.schema-{revision}"))
    config = alembic_config()
    with database.write() as session:
        config.attributes["connection"] = session.connection()
        command.upgrade(config, "head")


def _snapshot(source: Path, target: Path) -> None:
    with (
        contextlib.closing(sqlite3.connect(source)) as old,
        contextlib.closing(sqlite3.connect(target)) as new,
    ):
        old.backup(new)

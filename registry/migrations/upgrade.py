"""Bring an old registry up to date: Alembic, in one immediate transaction, after a snapshot of the file."""

import contextlib
import sqlite3
from pathlib import Path

from alembic import command
from alembic.config import Config
from sqlalchemy import Connection


def alembic_config() -> Config:
    """Return Alembic's configuration; the scripts lie beside this file."""
    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent))
    return config


def upgrade(connection: Connection) -> None:
    """Migrate the registry behind `connection` to HEAD, inside the caller's transaction."""
    config = alembic_config()
    config.attributes["connection"] = connection
    command.upgrade(config, "head")


def keep_before_upgrade(path: Path, revision: str) -> None:
    """Keep a SQLite registry as it is, beside itself, as `runs.db.schema-REVISION`."""
    with (
        contextlib.closing(sqlite3.connect(path)) as old,
        contextlib.closing(sqlite3.connect(path.with_name(f"{path.name}.schema-{revision}"))) as new,
    ):
        old.backup(new)

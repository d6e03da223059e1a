"""Rows as they stand in the database that a test is about, past everything that is made to read them."""

from contextlib import closing
from typing import Any

from sqlalchemy import text

from registry.database import open_database


def rows(sql: str, address: str | None = None) -> list[tuple[Any, ...]]:
    """Return what a query finds."""
    with closing(open_database(address, readonly=True)) as db, db.read() as session:
        return [tuple(row) for row in session.connection().execute(text(sql))]


def change(sql: str) -> None:
    """Change rows behind everybody's back."""
    with closing(open_database()) as db, db.write() as session:
        session.connection().execute(text(sql))

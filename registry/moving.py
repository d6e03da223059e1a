"""`registry migrate --to URL`: the whole record to another database, SQLite or PostgreSQL, in one transaction.

Every row arrives as it was, numbers and audit chain included. The counts of all tables are compared before the commit,
so the other database has the whole record or nothing of it; the old one is only read.
"""

import sqlite3
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import Table, func, select, text
from sqlalchemy.engine import Connection
from sqlmodel import SQLModel

import registry.tables  # noqa: F401  (fills SQLModel.metadata)
from registry import places
from registry.database import Database, open_database
from registry.errors import CheckFailedError, RefusedError, UsageError

ROWS_AT_ONCE = 10_000


@dataclass(frozen=True)
class Moved:
    """What arrived: the new address, without a password, and the rows of each table that has any."""

    address: str
    n_rows: dict[str, int]


def move(source: Database, to: str) -> Moved:
    """Copy the record of `source` into the empty database at `to` and return what arrived.

    Raises UsageError when `to` is the same database or would look for the journals elsewhere, RefusedError when it
    holds a record already, CheckFailedError when a count differs (nothing is kept then).
    """
    _require_same_root(source, to)
    target = open_database(to, create=True)
    try:
        _require_another(source, target)
        with source.write() as reading, target.write() as writing:
            old, new = reading.connection(), writing.connection()
            _require_empty(new, target.shown)
            n_rows = _copy_rows(old, new, target)
        return Moved(target.shown, {name: count for name, count in n_rows.items() if count})
    finally:
        target.close()


def snapshot(source: Database, path: Path) -> None:
    """Write the record as it is now, while others may write, into a new SQLite registry at `path`."""
    target = open_database(str(path), create=True)
    try:
        with source.read() as reading, target.write() as writing:
            new = writing.connection()
            new.execute(text("DELETE FROM meta"))
            _copy_rows(reading.connection(), new, target)
    finally:
        target.close()
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA journal_mode=DELETE")


def _copy_rows(old: Connection, new: Connection, target: Database) -> dict[str, int]:
    """Copy all tables and return the rows of each. Raises CheckFailedError when a count differs afterwards."""
    n_rows = {table.name: _move_table(old, new, table, target) for table in SQLModel.metadata.sorted_tables}
    _require_equal(new, n_rows)
    return n_rows


def _require_same_root(source: Database, to: str) -> None:
    """Refuse a database that would resolve the journals' and artifacts' relative paths in another folder."""
    root = places.root_folder(to)
    if root == source.root:
        return
    hint = f"set REGISTRY_ROOT={source.root}" if places.is_server(to) else f"name a file in {source.root}"
    raise UsageError(f"the journals and files of this registry are below {source.root}, not {root}", hint=hint)


def _require_another(source: Database, target: Database) -> None:
    with source.read() as one, target.read() as other:
        query = text("SELECT value FROM meta WHERE key = 'registry_id'")
        same_id = one.connection().execute(query).scalar() == other.connection().execute(query).scalar()
    if same_id:
        raise UsageError(f"{target.shown} holds this record already", hint="name an empty database")


def _require_empty(new: Connection, shown: str) -> None:
    full = [table.name for table in SQLModel.metadata.sorted_tables if table.name != "meta" and _count(new, table)]
    if full:
        raise RefusedError(f"{shown} holds a record already ({', '.join(full[:3])})", hint="name an empty database")
    new.execute(text("DELETE FROM meta"))


def _count(connection: Connection, table: Table) -> int:
    return connection.execute(select(func.count()).select_from(table)).scalar_one()


def _move_table(old: Connection, new: Connection, table: Table, target: Database) -> int:
    """Copy every row of a table in blocks; returns how many the old one has."""
    query = select(table).execution_options(yield_per=ROWS_AT_ONCE)
    n_rows = 0
    for rows in old.execute(query).partitions():
        _put(new, table, [tuple(row) for row in rows], target)
        n_rows += len(rows)
    if not target.is_sqlite:
        _move_sequence(new, table)
    return n_rows


def _put(new: Connection, table: Table, rows: Sequence[tuple[Any, ...]], target: Database) -> None:
    driver = new.connection.driver_connection
    assert driver is not None
    columns = ", ".join(f'"{column.name}"' for column in table.columns)
    if target.is_sqlite:
        marks = ", ".join("?" * len(table.columns))
        driver.executemany(f'INSERT INTO "{table.name}" ({columns}) VALUES ({marks})', rows)
        return
    with driver.cursor() as cursor, cursor.copy(f'COPY "{table.name}" ({columns}) FROM STDIN') as copy:
        for row in rows:
            copy.write_row(row)


def _move_sequence(new: Connection, table: Table) -> None:
    """Let the next row that the server numbers by itself follow the highest number that arrived."""
    column = table.autoincrement_column
    if column is None:
        return
    sequence = new.execute(
        text("SELECT pg_get_serial_sequence(:table, :column)"), {"table": f'"{table.name}"', "column": column.name}
    ).scalar()
    if sequence is not None:
        highest = f'(SELECT max("{column.name}") FROM "{table.name}")'
        new.execute(text(f"SELECT setval('{sequence}', coalesce({highest}, 0) + 1, false)"))


def _require_equal(new: Connection, n_rows: dict[str, int]) -> None:
    different = [
        f"{table.name}: {n_rows[table.name]:,} rows there, {arrived:,} arrived"
        for table in SQLModel.metadata.sorted_tables
        if (arrived := _count(new, table)) != n_rows[table.name]
    ]
    if different:
        raise CheckFailedError("the counts differ; nothing was moved", details=different)

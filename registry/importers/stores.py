"""Reading other programs' SQLite stores: strictly for reading, whatever their version; a column they lack is null."""

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import quote

from registry.errors import UsageError

_MAGIC = b"SQLite format 3\0"


def is_sqlite(path: Path) -> bool:
    """Return whether a file is a SQLite database."""
    try:
        with open(path, "rb") as file:
            return file.read(len(_MAGIC)) == _MAGIC
    except OSError:
        return False


class Store:
    """A foreign database, open for reading."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self.tables = {
            name: {column[1] for column in connection.execute(f'PRAGMA table_info("{name}")')}
            for (name,) in connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
        }

    def rows(self, table: str, columns: list[str], rest: str = "", values: tuple[Any, ...] = ()) -> Iterator[Any]:
        """Yield rows of a table, none where there is no such table; columns that it does not have come as None."""
        known = self.tables.get(table)
        if known is None:
            return
        wanted = ", ".join(f'"{name}"' if name in known else f'NULL AS "{name}"' for name in columns)
        yield from self._connection.execute(f'SELECT {wanted} FROM "{table}" {rest}', values)


@contextmanager
def open_store(path: Path) -> Iterator[Store]:
    """Open a database for reading. Raises UsageError for one that is broken."""
    try:
        connection = sqlite3.connect(f"file:{quote(str(path.absolute()))}?mode=ro", uri=True)
        try:
            yield Store(connection)
        finally:
            connection.close()
    except sqlite3.Error as error:
        raise UsageError(f"cannot read {path}: {error}") from None

"""The one way to open the registry: SQLite in WAL mode (or PostgreSQL), migrated when its schema is old.

Readers get a consistent snapshot; writers take turns, one immediate transaction each, on a server too. `durable=True`
puts the commit on the disk before it returns (synchronous=FULL): for what a person or the guard decides or proves.
Metric rows can be made again from the journals and use NORMAL.
"""

import contextlib
import os
import re
import shutil
import sqlite3
import time
from collections.abc import Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import sqlalchemy
from sqlalchemy import event, text
from sqlalchemy.engine import Connection, Engine
from sqlalchemy.exc import DBAPIError, OperationalError
from sqlmodel import Session, SQLModel, create_engine

import registry.tables
from registry import clock, places
from registry.errors import HoldfastError, NotFoundError, RegistryUnusableError, UnreachableError, UsageError
from registry.migrations import HEAD, REVISIONS
from registry.settings import Settings, load_settings

BUSY_TIMEOUT_S = 20.0
_PAGE_BYTES = 65_536
_WRITE = "holdfast_write"
_WRITER_LOCK = 7_254_013
"""The advisory lock that a server's writers hold: what SQLite's BEGIN IMMEDIATE is to a file."""


def open_database(url: str | None = None, *, create: bool = False, readonly: bool = False) -> "Database":
    """Open the registry at `url` (default: REGISTRY_DB, else the nearest runs.db upward).

    Raises NotFoundError when there is none and `create` is false, RegistryUnusableError when it is corrupt, locked,
    newer than this program or no registry at all, UnreachableError when a server does not answer.
    """
    database = Database(places.registry_url(url), readonly=readonly)
    database._prepare(create=create)
    return database


class Database:
    """An open registry. Threads may share it; each `read()` and `write()` has a connection of its own."""

    def __init__(self, url: str, *, readonly: bool = False) -> None:
        self.url = url
        self.readonly = readonly
        self.is_sqlite = not places.is_server(url)
        self.root = places.root_folder(url)
        self.runs = places.runs_folder(url)
        self._watcher: Connection | None = None

    @cached_property
    def settings(self) -> Settings:
        """What registry.toml says (read once)."""
        return load_settings(self.root)

    @cached_property
    def engine(self) -> Engine:
        """The SQLAlchemy engine, made on first use."""
        return self._sqlite_engine() if self.is_sqlite else self._server_engine()

    @property
    def shown(self) -> str:
        """The address as it may be printed: without a password."""
        return _hide_password(self.url)

    @property
    def path(self) -> Path:
        """The file of a SQLite registry."""
        return Path(self.url).expanduser().resolve()

    # --- opening

    def _sqlite_engine(self) -> Engine:
        query = "mode=ro&uri=true" if self.readonly else "mode=rw&uri=true"
        if self.readonly and not os.access(self.root, os.W_OK) and not Path(f"{self.path}-wal").exists():
            query += "&immutable=1"
        address = re.sub(r"([?#%])", lambda m: f"%{ord(m[1]):02X}", str(self.path))
        engine = create_engine(
            f"sqlite:///file:{address}?{query}",
            connect_args={"timeout": BUSY_TIMEOUT_S, "check_same_thread": False},
        )
        event.listen(engine, "connect", self._on_sqlite_connect)
        event.listen(engine, "begin", _begin_sqlite)
        return engine

    def _on_sqlite_connect(self, connection: Any, _record: Any) -> None:
        connection.isolation_level = None
        connection.execute("PRAGMA foreign_keys=ON")
        connection.execute("PRAGMA cache_size=-16000")

    def _server_engine(self) -> Engine:
        try:
            engine = create_engine(self.url, pool_pre_ping=True, connect_args={"connect_timeout": 10})
        except (sqlalchemy.exc.ArgumentError, ImportError, ValueError) as error:
            raise UsageError(f"not a database address: {self.shown} ({error})") from None
        event.listen(engine, "connect", _on_server_connect)
        return engine

    def _prepare(self, *, create: bool) -> None:
        if self.is_sqlite and not self.path.exists():
            if not create:
                raise NotFoundError(
                    f"no registry at {self.path}",
                    hint="record a run, or `registry init`, makes one here; --db PATH or REGISTRY_DB names another",
                )
            self._touch()
        with self._explained():
            revision = self._revision()
            if revision == HEAD:
                return
            if revision is None and (create or self._is_empty()) and not self.readonly:
                self._create()
            else:
                self._migrate(revision)

    def _touch(self) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self.path.touch()
        except OSError as error:
            raise RegistryUnusableError(
                f"cannot make {self.path}: {error.strerror}",
                hint="name a place you can write to: --db PATH or REGISTRY_DB",
                reason_code=22 if error.errno == 28 else 19,
            ) from None

    def _revision(self) -> str | None:
        with self.engine.connect() as connection:
            if not sqlalchemy.inspect(connection).has_table("alembic_version"):
                return None
            return connection.execute(text("SELECT version_num FROM alembic_version")).scalar()

    def _is_empty(self) -> bool:
        with self.engine.connect() as connection:
            return not sqlalchemy.inspect(connection).get_table_names()

    def _create(self) -> None:
        """Make every table, unless another process was quicker. Raises when the database is another program's."""
        if self.is_sqlite and self._is_empty():
            self._switch_to_wal()
        with self.write() as session:
            server = session.connection()
            tables = sqlalchemy.inspect(server).get_table_names()
            if "alembic_version" in tables:
                return
            if tables:
                raise RegistryUnusableError(f"{self.shown} is a database, but no registry")
            SQLModel.metadata.create_all(server)
            server.execute(text("CREATE TABLE alembic_version (version_num VARCHAR(32) NOT NULL PRIMARY KEY)"))
            server.execute(text("INSERT INTO alembic_version VALUES (:head)"), {"head": HEAD})
            session.add(registry.tables.Meta(key="registry_id", value=os.urandom(16).hex()))
            session.add(registry.tables.Meta(key="created_at", value=str(clock.now())))

    def _switch_to_wal(self) -> None:
        """Put an empty file into WAL mode for good; SQLite does not wait by itself when others do the same."""
        deadline = time.monotonic() + BUSY_TIMEOUT_S
        with contextlib.closing(sqlite3.connect(self.path, timeout=BUSY_TIMEOUT_S)) as connection:
            while True:
                try:
                    connection.execute("PRAGMA journal_mode=WAL")
                    return
                except sqlite3.OperationalError as error:
                    if "locked" not in str(error) or time.monotonic() > deadline:
                        raise
                    time.sleep(0.02)

    def _migrate(self, revision: str | None) -> None:
        if revision is None:
            raise RegistryUnusableError(f"{self.shown} is a database, but no registry", hint="name another with --db")
        if revision not in REVISIONS:
            raise RegistryUnusableError(
                f"{self.shown} was written by a newer version (schema {revision}, this one knows {HEAD})",
                hint="upgrade holdfast",
            )
        if self.readonly:
            raise RegistryUnusableError(
                f"{self.shown} has the old schema {revision} and cannot be written",
                hint="copy it first",
            )
        from registry.migrations.upgrade import keep_before_upgrade, upgrade

        if self.is_sqlite:
            keep_before_upgrade(self.path, revision)
        with self.write() as session:
            upgrade(session.connection())

    # --- reading and writing

    @contextlib.contextmanager
    def read(self) -> Iterator[Session]:
        """Yield a session that sees one consistent snapshot."""
        with (
            self._explained(),
            self.engine.connect() as connection,
            Session(bind=connection, info={"root": self.root}) as session,
        ):
            if not self.is_sqlite:
                connection.execution_options(isolation_level="REPEATABLE READ")
            yield session

    @contextlib.contextmanager
    def write(self, *, durable: bool = True) -> Iterator[Session]:
        """Yield a session in one immediate transaction: committed at the end, rolled back on any error.

        Whoever writes sees what the one before decided. Waits BUSY_TIMEOUT_S for its turn, then raises.
        """
        if self.readonly:
            raise RegistryUnusableError(f"{self.shown} is open for reading only")
        with self._explained(), self.engine.connect() as connection:
            connection = connection.execution_options(**{_WRITE: True})
            if self.is_sqlite:
                driver = connection.connection.driver_connection
                assert driver is not None
                driver.execute(f"PRAGMA synchronous={'FULL' if durable else 'NORMAL'}")
            with Session(bind=connection, info={"root": self.root}) as session:
                try:
                    if not self.is_sqlite:
                        _wait_for_turn(session)
                    yield session
                    session.commit()
                except BaseException:
                    session.rollback()
                    raise

    def data_version(self) -> int:
        """Return a number that changes whenever another connection has committed; costs microseconds."""
        if self._watcher is None:
            self._watcher = self.engine.connect()
        if self.is_sqlite:
            driver = self._watcher.connection.driver_connection
            assert driver is not None
            return int(driver.execute("PRAGMA data_version").fetchone()[0])
        statement = "SELECT sum(n_tup_ins + n_tup_upd + n_tup_del) FROM pg_stat_user_tables"
        with self._explained():
            value = self._watcher.execute(text(statement)).scalar()
            self._watcher.rollback()
        return int(value or 0)

    def close(self) -> None:
        """Give back every connection."""
        if self._watcher is not None:
            self._watcher.close()
            self._watcher = None
        self.engine.dispose()

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        """Turn what the driver raises into one clear line."""
        try:
            yield
        except (DBAPIError, sqlite3.Error) as error:
            raise explain(error, self.shown, full=self.is_sqlite and _is_full(self.root)) from error


def _wait_for_turn(session: Session) -> None:
    """Take the writers' lock of a server until the transaction ends."""
    server = session.connection()
    server.execute(text(f"SET LOCAL lock_timeout = {int(BUSY_TIMEOUT_S * 1000)}"))
    server.execute(text(f"SELECT pg_advisory_xact_lock({_WRITER_LOCK})"))


def _on_server_connect(connection: Any, _record: Any) -> None:
    """Let texts with a NUL in them, which logs have and PostgreSQL refuses, arrive with the sign for it instead."""
    from psycopg.types.string import StrDumper, StrDumperUnknown

    for base in (StrDumper, StrDumperUnknown):
        connection.adapters.register_dumper(str, type("NulFree", (_NulFree, base), {}))


class _NulFree:
    """Text on its way to the server."""

    def dump(self, obj: str) -> Any:
        return super().dump(obj.replace("\0", "\N{SYMBOL FOR NULL}"))  # type: ignore[misc]


def _begin_sqlite(connection: Connection) -> None:
    mode = "IMMEDIATE" if connection.get_execution_options().get(_WRITE) else "DEFERRED"
    connection.exec_driver_sql(f"BEGIN {mode}")


def _hide_password(url: str) -> str:
    return re.sub(r"://([^:/@]+):[^@]+@", r"://\1:***@", url)


_EXPLAINED = (
    (
        "not a database",
        "{url} is not a database",
        "restore a backup: `registry restore`; or `registry rebuild`",
    ),
    (
        "malformed",
        "{url} is corrupt",
        "`registry restore` a backup, or `registry rebuild` it from the journals",
    ),
    ("locked", "{url} is locked by another process", "try again when it is done"),
    ("lock timeout", "{url} is locked by another writer", "try again when it is done"),
    ("disk is full", "no space left for {url}", "free some space; nothing that was recorded is lost"),
    ("readonly", "{url} cannot be written", "check the owner of the file and of its folder"),
    ("unable to open", "cannot open {url}", "check that the folder exists and can be written"),
    (
        "disk I/O",
        "the disk does not answer for {url}",
        "check the disk; `registry doctor` checks the registry",
    ),
)


def _is_full(folder: Path) -> bool:
    """Return whether the disk has no room left for a page: SQLite calls that an I/O error in WAL mode."""
    try:
        return shutil.disk_usage(folder).free < _PAGE_BYTES
    except OSError:
        return False


def explain(error: Exception, url: str, *, full: bool = False) -> HoldfastError:
    """Return the one clear line for an error of the database driver; `full` says that the disk is."""
    said = str(getattr(error, "orig", None) or error).strip().splitlines()[0]
    if full and "disk I/O" in said:
        said = "disk is full"
    for word, message, hint in _EXPLAINED:
        if word in said:
            code = 22 if "full" in word else 19
            return RegistryUnusableError(message.format(url=url), hint=hint, reason_code=code)
    if isinstance(error, OperationalError) and "://" in url:
        return UnreachableError(f"cannot reach {url}: {said}", hint="is the server up, and the address right?")
    return RegistryUnusableError(f"{url}: {said}", reason_code=19)

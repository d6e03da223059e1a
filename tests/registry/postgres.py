"""A PostgreSQL server of the tests' own: on loopback, on a free port, in a temporary folder, stopped by its pid."""

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path


def programs() -> Path | None:
    """Return the folder of PostgreSQL's programs, the newest version first."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin/postgres"), key=lambda path: float(path.parts[-3]))
    on_path = shutil.which("postgres")
    return found[-1].parent if found else Path(on_path).parent if on_path else None


def _as_user() -> dict[str, object]:
    """Return how to start a program as an ordinary user: the server refuses to run as root."""
    return {"user": "postgres", "group": "postgres"} if os.geteuid() == 0 else {}


def _free_port() -> int:
    with socket.socket() as one:
        one.bind(("127.0.0.1", 0))
        return int(one.getsockname()[1])


@contextlib.contextmanager
def server() -> Iterator[str]:
    """Yield the address of a fresh server: `postgresql+psycopg://…/`, to which a database's name is added."""
    bin_folder = programs()
    assert bin_folder is not None
    with tempfile.TemporaryDirectory(prefix="pg-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        folder.chmod(0o755)
        if os.geteuid() == 0:
            shutil.chown(folder, "postgres", "postgres")
        init = [str(bin_folder / "initdb"), "-D", str(folder / "data"), "-A", "trust", "-U", "holdfast", "-N"]
        subprocess.run(init, check=True, capture_output=True, cwd="/", **_as_user())
        port = _free_port()
        settings = ["-c", "listen_addresses=127.0.0.1", "-c", "fsync=off", "-k", str(folder)]
        command = [str(bin_folder / "postgres"), "-D", str(folder / "data"), "-p", str(port), *settings]
        with open(folder / "log", "wb") as log:
            process = subprocess.Popen(command, stdout=log, stderr=log, cwd="/", **_as_user())
        try:
            _wait(port, process, folder / "log")
            yield f"postgresql+psycopg://holdfast@127.0.0.1:{port}/"
        finally:
            process.send_signal(signal.SIGQUIT)
            process.wait(30)


def _wait(port: int, process: "subprocess.Popen[bytes]", log: Path) -> None:
    import psycopg

    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        assert process.poll() is None, log.read_text()
        try:
            psycopg.connect(f"host=127.0.0.1 port={port} user=holdfast dbname=postgres", connect_timeout=2).close()
            return
        except psycopg.OperationalError:
            time.sleep(0.05)
    raise AssertionError(f"PostgreSQL did not come up: {log.read_text()}")


def new_database(address: str, name: str) -> str:
    """Make an empty database and return its address."""
    import psycopg

    plain = address.replace("postgresql+psycopg://", "postgresql://") + "postgres"
    with psycopg.connect(plain, autocommit=True) as connection:
        connection.execute(f'CREATE DATABASE "{name}"')
    return address + name


def empty(address: str) -> None:
    """Take every row out of a registry and number anew: a tenth of what a new database costs."""
    import psycopg
    from sqlmodel import SQLModel

    tables = [table.name for table in reversed(SQLModel.metadata.sorted_tables) if table.name != "meta"]
    with psycopg.connect(address.replace("postgresql+psycopg://", "postgresql://"), autocommit=True) as connection:
        connection.execute("; ".join(f'DELETE FROM "{name}"' for name in tables))
        for (name,) in connection.execute(
            "SELECT sequencename FROM pg_sequences WHERE last_value IS NOT NULL"
        ).fetchall():
            connection.execute(f'ALTER SEQUENCE "{name}" RESTART')

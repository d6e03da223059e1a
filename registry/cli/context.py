"""What every verb has at hand: the global options, and the registry, opened and brought up to date on first use."""

from contextvars import ContextVar
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from registry.database import Database


@dataclass
class Context:
    """The global options of one command; `after` is what stands behind a `--`: another program's command line."""

    db_url: str | None = None
    json: bool = False
    quiet: bool = False
    verbose: bool = False
    after: list[str] = field(default_factory=list)
    _database: "Database | None" = None

    def db(self, *, create: bool = False, reap: bool = True) -> "Database":
        """Return the registry with every journal read; made first when `create`, or when journals wait for it."""
        from registry.catchup import catch_up

        if self._database is None:
            self._database = _open(self.db_url, create=create)
        catch_up(self._database, mark_dead=reap)
        return self._database

    def close(self) -> None:
        """Give the connections back."""
        if self._database is not None:
            self._database.close()
            self._database = None


def _open(url: str | None, *, create: bool) -> "Database":
    """Open the registry for writing where that is possible, else for reading, and say so."""
    import os

    from registry import places
    from registry.cli.output import out
    from registry.database import open_database

    address = places.registry_url(url)
    create = create or (not places.is_server(address) and places.runs_folder(address).is_dir())
    if places.is_server(address):
        return open_database(url, create=create)
    path, root = Path(address), places.root_folder(address)
    if path.exists() and not (os.access(path, os.W_OK) and os.access(root, os.W_OK)):
        out.warn(f"{path} cannot be written here: showing the record as it was last brought up to date")
        return open_database(url, readonly=True)
    return open_database(url, create=create)


_current: ContextVar[Context] = ContextVar("registry_command", default=Context())  # noqa: B039


def use(options: Context) -> None:
    """Make these the options of the command that runs now."""
    _current.set(options)


def context() -> Context:
    """Return the options of the command that runs now."""
    return _current.get()

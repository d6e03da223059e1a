"""Another machine that is to be released, seen over SSH: its own Python lists its folders and hashes its files."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from registry.copies.record import ArtifactFacts, host_domain
from registry.custody import Origin
from registry.database import Database
from registry.errors import NotFoundError, UnreachableError
from registry.guard.sweep import Content, Machine, git_tracked
from registry.remotes.disk import MARKER_NAME
from registry.remotes.ssh import Connection, NoPythonError, SshAddress


class SshMachine(Machine):
    """A host of `registry.toml` ([hosts.NAME] ssh, root), or of the user's ssh configuration."""

    def __init__(self, name: str, db: Database) -> None:
        settings = db.settings.hosts.get(name)
        self.name = name
        self.root = Path(settings.root) if settings and settings.root else db.root
        target = settings.ssh if settings and settings.ssh else name
        port = re.fullmatch(r"(.+):(\d+)", target)
        words, number = (port[1], int(port[2])) if port else (target, None)
        address = SshAddress(words, number, str(self.root))
        try:
            self._connection = Connection(address)
        except NoPythonError:
            raise NotFoundError(
                f"{name} has no Python 3.8 to be swept with", hint="run the guard on the machine itself", reason_code=23
            ) from None
        facts = self._connection.ask("call", "facts")
        self._hostname = str(facts["host"])
        self._origin = Origin(name, str(facts["filesystem"]), host_domain(name, db.settings))

    @property
    def names(self) -> tuple[str, ...]:
        """What the machine is called: in the record, and by itself."""
        return (self.name, self._hostname)

    def holds(self, artifact: ArtifactFacts) -> bool:
        """Return whether the artifact was made there and was not dropped since."""
        return artifact.host == self.name and artifact.dropped_at is None

    def origin(self, artifact: ArtifactFacts) -> Origin:
        """Return the machine's own disk: that is where its runs write."""
        return self._origin

    def list_files(self, root: str, since: float | None, skip: Sequence[str]) -> list[dict[str, Any]] | None:
        """Return the files below a folder of the host."""
        try:
            return list(self._connection.items("list_files", root, since, list(skip)))
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise UnreachableError(f"cannot sweep {root} on {self.name}: {error.strerror}", reason_code=15) from error

    def contents(self, paths: Sequence[str]) -> Iterator[Content]:
        """Hash files of the host."""
        for found in list(self._connection.items("digest_files", list(paths))):
            path = str(found["key"])
            if found["found"] == "missing":
                yield Content(path, missing=True)
            elif found["found"] != "read":
                yield Content(path, error=f"cannot be read: {found['error']}")
            elif found["before"] != found["after"]:
                yield Content(path, error="changed while it was read")
            else:
                yield Content(path, str(found["digest"]))

    def size_of(self, path: str) -> int | None:
        """Return the size of a file of the host."""
        folder, _, name = path.rpartition("/")
        files = self.list_files(folder, None, [MARKER_NAME]) or []
        return next(
            (int(file["size_bytes"]) for file in files if file["path"] == name and file["kind"] == "file"), None
        )

    def tracked(self, folder: str) -> set[str]:
        """Return the files that git tracks around a folder of the host."""

        def output_of(arguments: list[str]) -> bytes | None:
            try:
                said = self._connection.ask("output_of", arguments)
            except OSError:
                return None
            return None if said is None else str(said).encode("latin-1")

        return git_tracked(output_of, folder)

    def close(self) -> None:
        """End the connection."""
        self._connection.close()

"""The engine: looks at folders, reads what is new, and commits each file's cursor together with its points.

Whatever interrupts it, the next look goes on where the last commit stood: no point is lost, none is recorded twice.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from sqlmodel import col, select

from registry import catchup, clock
from registry.database import Database
from registry.errors import NotFoundError
from registry.ingest.cursors import start_over
from registry.ingest.discover import Found, may_hold, scan, stat_file
from registry.ingest.group import Candidate, group
from registry.ingest.reading import Reading, Rebuild
from registry.ingest.users import user_formats
from registry.tables import LogCursor, RunRow

QUIET_S = 60.0


@dataclass
class Look:
    """What one look at the folders came to."""

    n_points: int = 0
    n_files: int = 0
    new_runs: list[str] = field(default_factory=list)
    changed_runs: list[str] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    truncated: bool = False


class Engine:
    """Reads the logs below folders into one registry; call `look` as often as wanted."""

    def __init__(self, db: Database, *, source: str = "watch") -> None:
        self.db = db
        self.source = source
        self.formats = user_formats(db.settings.ingest)
        self._done: dict[tuple[str, str], tuple[int, int, int, int]] = {}
        self._settled: set[str] = set()
        self._live: set[str] = set()
        self._heads: dict[str, tuple[tuple[int, int, int, int], bytes]] = {}
        self._known: dict[str, tuple[Candidate, Path]] = {}
        self._remember()

    def _remember(self) -> None:
        """Learn from the cursors which files were read to their end, and which runs were alive."""
        with self.db.read() as session:
            unsettled: set[str] = set()
            for cursor in session.exec(select(LogCursor).where(LogCursor.candidate != "")):
                path = cursor.path.removesuffix(f"#{cursor.candidate}")
                self._done[cursor.candidate, path] = (cursor.size_bytes, cursor.mtime_ns, cursor.device, cursor.inode)
                (self._settled if cursor.settled else unsettled).add(cursor.candidate)
            self._settled -= unsettled
            running = select(LogCursor.candidate).join(RunRow, col(RunRow.id) == LogCursor.run_id)
            self._live = set(session.exec(running.where(RunRow.status == "running", RunRow.source != "journal")))

    def look(self, roots: Iterable[Path], *, settle: bool = False) -> Look:
        """Read everything that is new below the folders (or in the files) `roots`.

        `settle`: take the files as they are now for whole: what waited for a next line is given out. Raises
        NotFoundError for a root that is not there.
        """
        result = Look()
        for root in roots:
            absolute = Path(os.path.abspath(root))
            if not absolute.exists():
                raise NotFoundError(f"no folder or file {root}")
            self._look_below(absolute, result, settle=settle)
        return result

    def _look_below(self, root: Path, result: Look, *, settle: bool) -> None:
        seen = scan(root, self.db.settings.ingest.ignore)
        result.unreadable += seen.unreadable
        result.truncated |= seen.truncated
        result.n_files += len(seen.files)
        if seen.journals:
            for journal in catchup.unread_journals(self.db, seen.journals):
                result.n_points += catchup.project_journal(self.db, journal)
        for candidate in self.candidates(root, seen.files):
            self._known.update((source.path, (candidate, root)) for source in candidate.sources)
            files = {source.path: seen.files[source.path] for source in candidate.sources}
            if self._is_due(candidate, files, settle=settle):
                self._read(candidate, files, root, result, settle=settle)

    def found(self, roots: Iterable[Path]) -> list[tuple[Candidate, str]]:
        """Return the candidates below the folders that are runs on record, with their run's id."""
        with self.db.read() as session:
            rows = session.exec(select(LogCursor.candidate, LogCursor.run_id).where(col(LogCursor.run_id).is_not(None)))
            run_ids = {key: run_id for key, run_id in rows if run_id}
        found = []
        for root in roots:
            absolute = Path(os.path.abspath(root))
            candidates = self.candidates(absolute, scan(absolute, self.db.settings.ingest.ignore).files)
            found += [(candidate, run_ids[candidate.key]) for candidate in candidates if candidate.key in run_ids]
        return found

    def glance(self, paths: Iterable[str]) -> Look | None:
        """Read the runs to which these changed files belong; None when one of them is new and a whole look is due."""
        changed = [path for path in paths if may_hold(os.path.basename(path))]
        if any(path not in self._known for path in changed):
            return None
        result = Look()
        for candidate, root in {self._known[path][0].key: self._known[path] for path in changed}.values():
            files = {source.path: file for source in candidate.sources if (file := stat_file(source.path)) is not None}
            if len(files) < len(candidate.sources):
                return None
            self._read(candidate, files, root, result, settle=False)
        return result

    def candidates(self, root: Path, files: dict[str, Found]) -> list[Candidate]:
        """Return the runs that the files make."""
        folder = str(root if root.is_dir() else root.parent)
        return group(folder, files, lambda path: self._head(files[path]))

    def _head(self, file: Found) -> bytes:
        """Return the first bytes of a file, read again only when the file is another or was short."""
        known = self._heads.get(file.path)
        if known is not None and (known[0] == file.token or (known[0][2:] == file.token[2:] and len(known[1]) >= 1024)):
            return known[1]
        try:
            with open(file.path, "rb") as stream:
                head = stream.read(1024)
        except OSError:
            head = b""
        self._heads[file.path] = (file.token, head)
        return head

    def _is_due(self, candidate: Candidate, files: dict[str, Found], *, settle: bool) -> bool:
        if any(self._done.get((candidate.key, path)) != file.token for path, file in files.items()):
            return True
        if candidate.key in self._live:
            return True
        return candidate.key not in self._settled and (settle or _quiet_s(files) >= QUIET_S)

    def _read(self, candidate: Candidate, files: dict[str, Found], root: Path, result: Look, *, settle: bool) -> None:
        """Read one run to the end of its files, one transaction a chunk."""
        at_rest = settle or _quiet_s(files) >= QUIET_S
        while True:
            try:
                with self.db.write(durable=False) as session:
                    reading = Reading(session, self.db, candidate, files, root, self.formats, self.source)
                    more = reading.run(at_rest=at_rest)
            except Rebuild as rebuild:
                with self.db.write(durable=False) as session:
                    start_over(session, candidate, rebuild.roles)
                continue
            result.n_points += reading.n_points
            if reading.created:
                result.new_runs.append(reading.run_id)
            elif reading.n_points and reading.run_id not in result.changed_runs:
                result.changed_runs.append(reading.run_id)
            if not more:
                break
        self._done.update(((candidate.key, path), file.token) for path, file in files.items())
        (self._settled.add if at_rest else self._settled.discard)(candidate.key)
        (self._live.add if reading.is_running else self._live.discard)(candidate.key)


def _quiet_s(files: dict[str, Found]) -> float:
    newest = max((file.mtime_ns for file in files.values()), default=0)
    return clock.now() - newest / 1e9

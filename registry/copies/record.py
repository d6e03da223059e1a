"""Between the rows and the pure rule: remotes as places, events folded into copies, artifacts as the blobs they are.

An event and what it comes to are written in one transaction, here and nowhere else.
"""

import json
import os
import socket
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

from sqlalchemy import bindparam, insert, text
from sqlmodel import Session, col, select

from registry import clock, custody
from registry.custody import Blob, Event, Origin, Place, Standing
from registry.errors import NotFoundError, UsageError
from registry.remotes.base import blob_key
from registry.remotes.disk import filesystem_id
from registry.settings import Settings
from registry.tables import Copy, CopyEvent, Remote

_IDS_PER_QUERY = 5_000
_STANDING_COLUMNS = tuple(field.name for field in fields(Standing))
_SET_STANDING = text(f"UPDATE copy SET {', '.join(f'{name} = :{name}' for name in _STANDING_COLUMNS)} WHERE id = :id")


def rows_in(session: Session, sql: str, ids: Sequence[Any], **values: Any) -> list[Any]:
    """Return the rows of a query that holds `IN :ids`, asked in slices."""
    statement = text(sql).bindparams(bindparam("ids", expanding=True))
    found: list[Any] = []
    for start in range(0, len(ids), _IDS_PER_QUERY):
        found += session.connection().execute(statement, {"ids": ids[start : start + _IDS_PER_QUERY], **values})
    return found


# --- remotes


def find_remote(session: Session, name: str) -> Remote:
    """Return the remote of this name. Raises NotFoundError that names those there are."""
    remotes = active_remotes(session)
    for remote in remotes:
        if name in (remote.name, remote.id):
            return remote
    known = ", ".join(remote.name for remote in remotes)
    hint = f"there are: {known}" if known else "add one: registry remote add NAME PLACE"
    raise NotFoundError(f"no remote {name!r}", hint=hint)


def active_remotes(session: Session) -> list[Remote]:
    """Return the remotes that are in use, by name."""
    return list(session.exec(select(Remote).where(col(Remote.removed_at).is_(None)).order_by(Remote.name)))


def place_of(remote: Remote) -> Place:
    """Return a remote as the verdicts see it; a folder is on the machine that looks, whatever its name was before."""
    place = Place(**{field.name: getattr(remote, field.name) for field in fields(Place)})
    return replace(place, host=socket.gethostname()) if remote.kind == "folder" else place


def load_places(session: Session) -> dict[str, Place]:
    """Return every remote in use, by id."""
    return {remote.id: place_of(remote) for remote in active_remotes(session)}


# --- artifacts


@dataclass(frozen=True)
class ArtifactFacts:
    """One artifact: whose it is, where it was made, and the blobs it consists of (`path`, `digest`, `size_bytes`)."""

    id: int
    run_id: str
    run_name: str
    experiment: str
    role: str
    path: str
    kind: str
    digest: str
    size_bytes: int
    recorded_at: float
    host: str
    deployed: bool
    dropped_at: float | None
    superseded_at: float | None
    blobs: tuple[tuple[str, str, int], ...]

    @property
    def is_at_origin(self) -> bool:
        """Whether its file should still lie where it was made: nobody dropped it, and the run wrote nothing over it."""
        return self.dropped_at is None and self.superseded_at is None

    @property
    def label(self) -> str:
        """How the artifact is called in messages."""
        return f"{self.role} {self.path}"


_ARTIFACTS = (
    "SELECT a.id, a.run_id, r.name AS run_name, e.name AS experiment, a.role, a.path, a.kind, a.digest, a.size_bytes,"
    " a.recorded_at, a.dropped_at, a.superseded_at, r.host, EXISTS (SELECT 1 FROM deployment d"
    " WHERE d.artifact_id = a.id AND d.until IS NULL) AS deployed FROM artifact a JOIN run r ON r.id = a.run_id"
    " JOIN experiment e ON e.id = r.experiment_id"
)
DEPLOYED = "a.id IN (SELECT artifact_id FROM deployment WHERE until IS NULL)"
CURRENT = f"((a.superseded_at IS NULL AND r.deleted_at IS NULL) OR {DEPLOYED}) AND a.discarded_reason IS NULL"
"""What matters: what a run made and did not replace; and what serves, whatever became of it where it was made."""


def load_artifacts(
    session: Session, *, ids: Sequence[int] | None = None, run_ids: Sequence[str] | None = None
) -> list[ArtifactFacts]:
    """Return artifacts with their blobs: those with these ids, the current ones of these runs, or all current ones."""
    if ids is not None:
        rows = rows_in(session, f"{_ARTIFACTS} WHERE a.id IN :ids", list(ids))
    elif run_ids is not None:
        rows = rows_in(session, f"{_ARTIFACTS} WHERE {CURRENT} AND a.run_id IN :ids", list(run_ids))
    else:
        rows = list(session.connection().execute(text(f"{_ARTIFACTS} WHERE {CURRENT}")))
    trees: dict[int, list[tuple[str, str, int]]] = {row.id: [] for row in rows if row.kind == "tree"}
    parts = "SELECT artifact_id, path, digest, size_bytes FROM artifact_blob WHERE artifact_id IN :ids ORDER BY path"
    for part in rows_in(session, parts, list(trees)):
        trees[part.artifact_id].append((part.path, part.digest, part.size_bytes))
    return [_artifact(row, trees.get(row.id)) for row in sorted(rows, key=lambda row: (row.recorded_at, row.id))]


def superseded_artifacts(session: Session, run_ids: Sequence[str] | None) -> list[ArtifactFacts]:
    """Return what these runs (None: all) made and replaced or threw away since, but for what ever served."""
    old = "a.superseded_at IS NOT NULL AND a.id NOT IN (SELECT artifact_id FROM deployment)"
    sql = f"SELECT a.id FROM artifact a WHERE {old}"
    if run_ids is None:
        rows = list(session.connection().execute(text(sql)))
    else:
        rows = rows_in(session, f"{sql} AND a.run_id IN :ids", list(run_ids))
    return load_artifacts(session, ids=[row.id for row in rows])


def _artifact(row: Any, files: list[tuple[str, str, int]] | None) -> ArtifactFacts:
    blobs = [(Path(row.path).name, row.digest, row.size_bytes)]
    if files is not None:
        size = sum(len(f"{digest} {size} {path}\n".encode()) for path, digest, size in files)
        blobs = [*files, ("", row.digest, size)]
    host = json.loads(row.host or "{}").get("name", "")
    values = {name: value for name, value in row._mapping.items() if name != "host"}
    return ArtifactFacts(**{**values, "deployed": bool(row.deployed), "host": host, "blobs": tuple(blobs)})


def origin_of(artifact: ArtifactFacts, root: Path, settings: Settings) -> Origin:
    """Return where an artifact was made: here when its run ran here or its file is here, else on its run's host."""
    here = socket.gethostname()
    path = root / artifact.path
    if artifact.host in ("", here) or os.path.lexists(path):
        return Origin(here, filesystem_near(path.parent), host_domain(here, settings))
    return Origin(artifact.host, "", host_domain(artifact.host, settings))


def host_domain(host: str, settings: Settings) -> str:
    """Return the failure domain of a machine: as registry.toml names it, else its own."""
    named = settings.hosts.get(host)
    return named.domain if named and named.domain else f"host:{host}"


_filesystems: dict[int, str] = {}


def filesystem_near(folder: Path) -> str:
    """Return the filesystem of a folder, or of the nearest one above it that is there."""
    while not folder.is_dir() and folder.parent != folder:
        folder = folder.parent
    device = folder.stat().st_dev
    if device not in _filesystems:
        _filesystems[device] = filesystem_id(str(folder))
    return _filesystems[device]


# --- copies


def standing_of(row: Any) -> Standing:
    """Return what a copy row says its events come to."""
    return Standing(**{name: getattr(row, name) for name in _STANDING_COLUMNS})


def ensure_copies(session: Session, remote_id: str, blobs: Iterable[tuple[str, int]]) -> dict[str, Copy]:
    """Return the copy rows of blobs (`digest, size_bytes`) on a remote, making those that are not there yet."""
    wanted = dict(blobs)
    found = load_copies(session, remote_id, list(wanted))
    missing = [digest for digest in wanted if digest not in found]
    if missing:
        now = clock.now()
        session.connection().execute(
            insert(Copy),
            [
                {
                    **vars(Standing()),
                    "digest": digest,
                    "size_bytes": wanted[digest],
                    "remote_id": remote_id,
                    "path": blob_key(digest),
                    "created_at": now,
                }
                for digest in missing
            ],
        )
        found |= load_copies(session, remote_id, missing)
    return found


def load_copies(session: Session, remote_id: str, digests: Sequence[str]) -> dict[str, Copy]:
    """Return the copy rows of blobs on a remote, by digest."""
    found: dict[str, Copy] = {}
    for start in range(0, len(digests), _IDS_PER_QUERY):
        part = digests[start : start + _IDS_PER_QUERY]
        query = select(Copy).where(Copy.remote_id == remote_id, col(Copy.digest).in_(part))
        found |= {copy.digest: copy for copy in session.exec(query)}
    return found


def append_events(session: Session, place: Place, happened: Sequence[tuple[int, Event]]) -> dict[int, Standing]:
    """Add events to copies of one remote and fold them in; returns what each copy now comes to, by its id."""
    if not happened:
        return {}
    host = socket.gethostname()
    rows = [{"copy_id": copy_id, "host": host, **vars(event)} for copy_id, event in happened]
    session.connection().execute(insert(CopyEvent), rows)
    copies = {
        row.id: row for row in rows_in(session, "SELECT * FROM copy WHERE id IN :ids", sorted({i for i, _ in happened}))
    }
    standings = {copy_id: standing_of(row) for copy_id, row in copies.items()}
    for copy_id, event in happened:
        row = copies[copy_id]
        blob = Blob(row.digest, row.size_bytes, place.id, place.medium)
        standings[copy_id] = custody.fold([event], blob, standings[copy_id])
    session.connection().execute(_SET_STANDING, [{"id": i, **vars(s)} for i, s in standings.items()])
    session.expire_all()
    return standings


def refold(session: Session) -> list[int]:
    """Return the ids of copies whose row is not what their events come to (there should be none)."""
    places = {remote.id: place_of(remote) for remote in session.exec(select(Remote))}
    events: dict[int, list[Event]] = {}
    names = [field.name for field in fields(Event)]
    for row in session.exec(select(CopyEvent).order_by(col(CopyEvent.id))):
        events.setdefault(row.copy_id, []).append(Event(**{name: getattr(row, name) for name in names}))
    wrong = []
    for copy in session.exec(select(Copy)):
        assert copy.id is not None
        blob = Blob(copy.digest, copy.size_bytes, copy.remote_id, places[copy.remote_id].medium)
        if custody.fold(events.get(copy.id, ()), blob) != standing_of(copy):
            wrong.append(copy.id)
    return wrong


def note_probe(session: Session, remote_id: str, probe: str, error: str = "") -> None:
    """Record what the last look at a place found: ok, unreachable or foreign."""
    remote = session.get(Remote, remote_id)
    if remote is not None:
        remote.probe, remote.probed_at, remote.probe_error = probe, clock.now(), error
        session.add(remote)


def parse_class(klass: str | None, kind: str) -> str:
    """Return the class of a remote; a folder lives as long as its machine unless it is said otherwise."""
    klass = klass or ("ephemeral" if kind == "folder" else "durable")
    if klass not in custody.CLASSES:
        raise UsageError(f"--class {klass!r}", hint=f"write {', '.join(custody.CLASSES)}")
    return klass

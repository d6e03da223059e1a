"""The registry's own safety: a consistent snapshot while others write, kept and verified like any artifact.

A backup is a tree: runs.db, registry.toml, and the journal and output of every run. Unchanged files are stored once.
Nothing is put in the place of a registry before it was read back whole and checked.
"""

import contextlib
import hashlib
import json
import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlalchemy import text
from sqlmodel import Session

from registry import audit, clock, custody, moving
from registry.alert import Alert
from registry.copies.remotes import connect
from registry.copies.sources import bytes_source, file_source
from registry.copies.transfer import Progress, Transfer
from registry.database import Database
from registry.errors import (
    CheckFailedError,
    HoldfastError,
    NotFoundError,
    RefusedError,
    RegistryUnusableError,
    SourceChangedError,
)
from registry.hashing import FrozenFile, digest_file, manifest_text, parse_manifest
from registry.places import DATABASE_NAME, JOURNAL_NAME, OUTPUT_NAME
from registry.remotes.base import Meter, Source, Store, blob_key
from registry.remotes.disk import digest_blocks
from registry.settings import SETTINGS_NAME, Settings
from registry.tables import Backup, Meta


@dataclass(frozen=True)
class Listed:
    """One backup that a place holds."""

    registry_id: str
    digest: str
    at: float
    n_files: int
    size_bytes: int


def make_backup(db: Database, remote_name: str, progress: Progress | None = None) -> Backup:
    """Put a snapshot of the registry on a remote and read it back.

    A database server's record goes into a runs.db too. Raises CheckFailedError when a file could not be verified there,
    UnreachableError, NoSpaceError.
    """
    with tempfile.TemporaryDirectory(prefix=".backup-", dir=db.root) as folder, connect(db, remote_name) as connected:
        staged = Path(folder)
        if db.is_sqlite:
            snapshot(db.path, staged / DATABASE_NAME)
        else:
            moving.snapshot(db, staged / DATABASE_NAME)
        files = list(_files(db, staged))
        manifest = manifest_text([FrozenFile(name, source.digest, source.size_bytes) for name, source in files])
        digest = hashlib.sha256(manifest).hexdigest()
        transfer = Transfer(db, connected, progress or Progress())
        transfer.labels = {digest: "manifest"} | {source.digest: name for name, source in files}
        transfer.send(
            {source.digest: source for _, source in files},
            {digest: bytes_source(manifest, digest, "manifest of the backup")},
            {digest: [source.digest for _, source in files]},
        )
        if not transfer.report.ok:
            raise CheckFailedError(
                f"the backup on {remote_name} could not be verified",
                details=[str(error) for _, error in transfer.report.failures],
                reason_code=custody.gravest([error.reason_code or 18 for _, error in transfer.report.failures]),
            )
        backup = Backup(
            digest=digest,
            remote_id=connected.place.id,
            at=clock.now(),
            n_files=len(files),
            size_bytes=sum(source.size_bytes for _, source in files),
            by=audit.who(),
        )
        with db.write() as session:
            registry_id = _registry_id(session)
            backup = session.merge(backup)
            audit.record(session, "backup", remote_name, {"digest": digest, "files": len(files)})
            session.flush()
            session.expunge(backup)
        _leave_word(connected.store, registry_id, backup)
    return backup


def snapshot(path: Path, target: Path) -> None:
    """Write a consistent copy of a SQLite registry, while others may write, and check it."""
    source = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=30)
    copy = sqlite3.connect(target)
    try:
        source.backup(copy)
        copy.execute("PRAGMA journal_mode=DELETE")
        problem = _integrity(copy)
    except sqlite3.Error as error:
        raise RegistryUnusableError(f"cannot read {path}: {error}", reason_code=19) from error
    finally:
        copy.close()
        source.close()
    if problem:
        raise RegistryUnusableError(
            f"{path} is damaged: {problem}", hint="`registry restore` a backup, or `registry rebuild`", reason_code=19
        )


def _integrity(connection: sqlite3.Connection) -> str:
    """Return what SQLite finds wrong with a database, "" for nothing."""
    try:
        said = [str(row[0]) for row in connection.execute("PRAGMA integrity_check(3)")]
        broken = connection.execute("PRAGMA foreign_key_check").fetchone()
    except sqlite3.DatabaseError as error:
        return str(error)
    if said != ["ok"]:
        return "; ".join(said)
    return f"a row of {broken[0]} refers to nothing" if broken else ""


def _files(db: Database, staged: Path) -> Iterator[tuple[str, Source]]:
    """Yield the files of a backup; those that still grow are staged as they are now."""
    yield DATABASE_NAME, _source(staged / DATABASE_NAME)
    if (settings := db.root / SETTINGS_NAME).is_file():
        yield SETTINGS_NAME, _source(settings)
    for folder in sorted(db.runs.iterdir()) if db.runs.is_dir() else []:
        for name in (JOURNAL_NAME, OUTPUT_NAME):
            path = folder / name
            if path.is_file() and not path.is_symlink() and path.stat().st_size:
                yield f"runs/{folder.name}/{name}", _still_source(path, staged)


def _source(path: Path) -> Source:
    return file_source(path, *digest_file(path))


def _still_source(path: Path, staged: Path) -> Source:
    """Return a file as a source; one that is being appended to as the copy of what it holds now."""
    try:
        return _source(path)
    except SourceChangedError:
        copy = staged / f"{path.parent.name}-{path.name}"
        shutil.copyfile(path, copy)
        return _source(copy)


def _registry_id(session: Session) -> str:
    row = session.get(Meta, "registry_id")
    return row.value if row else ""


def _leave_word(store: Store, registry_id: str, backup: Backup) -> None:
    """Write at the place which backup this is, so that it is found when nothing else is left."""
    described = {
        "registry": registry_id, "digest": backup.digest, "at": backup.at,
        "files": backup.n_files, "size_bytes": backup.size_bytes,
    }  # fmt: skip
    store.write_small(f"backups/{backup.digest}.json", json.dumps(described).encode())


# --- restoring


def list_backups(store: Store) -> list[Listed]:
    """Return the backups that a place holds, the newest first."""
    found = []
    for key in store.keys("backups"):
        try:
            described = json.loads(store.read_small(key) or b"{}")
            found.append(
                Listed(
                    str(described["registry"]), str(described["digest"]), float(described["at"]),
                    int(described["files"]), int(described["size_bytes"]),
                )
            )  # fmt: skip
        except (ValueError, KeyError, TypeError):
            continue
    return sorted(found, key=lambda listed: -listed.at)


def choose_backup(store: Store, wanted: str | None) -> Listed:
    """Return the newest backup of a place, or the one whose digest begins with `wanted`. Raises NotFoundError."""
    listed = list_backups(store)
    matching = [backup for backup in listed if wanted is None or backup.digest.startswith(wanted)]
    if not matching:
        hint = f"it has: {', '.join(backup.digest[:12] for backup in listed[:6])}" if listed else ""
        raise NotFoundError(f"{store.url} holds no {'such ' if wanted else ''}backup of a registry", hint=hint)
    return matching[0]


def restore(store: Store, backup: Listed, root: Path, *, replace: bool, progress: Progress | None = None) -> list[Path]:
    """Bring a backup back into `root`; returns the files that are there now.

    Everything is fetched, verified while it is read, and checked before the first file is put in place. A registry
    that is there is refused unless `replace`, and then kept beside as `runs.db.before-restore-…`. Every copy has to
    be read again before it counts. Raises RefusedError, CheckFailedError, UnreachableError.
    """
    if (root / DATABASE_NAME).exists() and not replace:
        raise RefusedError(
            f"{root / DATABASE_NAME} is there already",
            hint="--yes puts it aside as runs.db.before-restore-… and goes on; --into DIR restores elsewhere",
            reason_code=custody.REASON_CODES["refused"],
        )
    root.mkdir(parents=True, exist_ok=True)
    meter = (progress or Progress()).meter
    with tempfile.TemporaryDirectory(prefix=".restore-", dir=root) as folder:
        staged = Path(folder)
        _fetch(store, backup.digest, staged / "manifest", meter)
        files = parse_manifest((staged / "manifest").read_bytes())
        for file in files:
            target = staged / "tree" / file.path
            target.parent.mkdir(parents=True, exist_ok=True)
            _fetch(store, file.digest, target, meter)
        _check_restored(staged / "tree" / DATABASE_NAME)
        return _put_in_place(staged / "tree", root, [file.path for file in files])


def _fetch(store: Store, digest: str, target: Path, meter: Meter) -> None:
    """Write a blob to a file. Raises CheckFailedError when the place gives other bytes than it should."""
    with store.open(blob_key(digest)) as stream, open(target, "xb") as file:

        def sink(block: memoryview) -> None:
            meter.advance(len(block))
            file.write(block)

        found, _ = digest_blocks(stream.readinto, 1 << 30, sink)
        file.flush()
        os.fsync(file.fileno())
    if found != digest:
        raise CheckFailedError(
            f"{store.url} gives other bytes for {digest[:12]}… than were backed up",
            hint="restore another backup, or from another remote",
            reason_code=custody.REASON_CODES["corrupt"],
        )


def _check_restored(path: Path) -> None:
    """Check a fetched registry, and let every remote's copies be read again before they count."""
    with contextlib.closing(sqlite3.connect(path)) as connection:
        problem = _integrity(connection)
        if problem:
            raise CheckFailedError(f"the backup's runs.db is damaged: {problem}", hint="restore another backup")
        connection.execute("UPDATE remote SET added_at = ?", (clock.now(),))
        connection.commit()


def _put_in_place(staged: Path, root: Path, names: Sequence[str]) -> list[Path]:
    """Move fetched files to where they belong, runs.db last. Settings that are there stay; so does what is longer."""
    suffix = f".before-restore-{int(clock.now())}"
    if (root / DATABASE_NAME).exists():
        snapshot_or_rename(root / DATABASE_NAME, root / f"{DATABASE_NAME}{suffix}")
    placed = []
    for name in sorted(names, key=lambda name: name == DATABASE_NAME):
        target = root / name
        if target.exists() and name != DATABASE_NAME:
            if name == SETTINGS_NAME or target.stat().st_size >= (staged / name).stat().st_size:
                continue
            if not _begins_with(staged / name, target):
                target.rename(target.with_name(target.name + suffix))
        target.parent.mkdir(parents=True, exist_ok=True)
        (staged / name).replace(target)
        placed.append(target)
    return placed


def _begins_with(longer: Path, shorter: Path) -> bool:
    """Return whether a file begins with the bytes of another, so that nothing is lost when it takes its place."""
    with open(longer, "rb") as new, open(shorter, "rb") as old:
        while block := old.read(1 << 20):
            if new.read(len(block)) != block:
                return False
    return True


def snapshot_or_rename(path: Path, aside: Path) -> None:
    """Keep a registry that is replaced, as well as it can be read, and take it out of the way with its WAL."""
    try:
        snapshot(path, aside)
        path.unlink()
    except HoldfastError:
        aside.unlink(missing_ok=True)
        path.rename(aside)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)


# --- warnings


def backup_alerts(session: Session, now: float, settings: Settings) -> list[Alert]:
    """Return the warning that the registry itself has no fresh verified copy."""
    rows = (
        session.connection()
        .execute(
            text(
                "SELECT b.at FROM backup b JOIN copy c ON c.digest = b.digest AND c.remote_id = b.remote_id"
                " JOIN remote r ON r.id = b.remote_id AND r.removed_at IS NULL AND r.trust <> 'dead'"
                " WHERE c.trouble = '' AND c.verified_at >= r.added_at ORDER BY b.at DESC LIMIT 1"
            )
        )
        .first()
    )
    n_runs = session.connection().execute(text("SELECT count(*) FROM run")).scalar() or 0
    n_remotes = session.connection().execute(text("SELECT count(*) FROM remote WHERE removed_at IS NULL")).scalar()
    hint = "registry backup --to REMOTE" if n_remotes else "registry remote add NAME PLACE, registry backup --to NAME"
    if rows is None:
        words = "the registry itself (runs.db) has no verified backup"
        return [Alert("warning", "registry-no-backup", DATABASE_NAME, words, None, hint)] if n_runs else []
    if now - rows.at > settings.policy.freshness.ttl_s("backup"):
        words = f"the last verified backup of the registry is {clock.age(now - rows.at)} old"
        return [Alert("warning", "registry-backup-stale", DATABASE_NAME, words, rows.at, hint)]
    return []

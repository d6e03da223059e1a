"""Data sets: a version is its bytes, once and for all; what is thought of it is a state with a reason, decided by its
checks or by a person, each time in one transaction with a row in the audit trail.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlmodel import Session, col, select

from registry import audit, clock, data_policy
from registry.checks import parse_checks
from registry.checks.records import count_records
from registry.data_policy import Registered, parse_reference
from registry.database import Database
from registry.errors import NotFoundError, RefusedError, UsageError
from registry.hashing import FrozenFile, digest_file, manifest_text, stat_token, tree_files
from registry.tables import Dataset, DatasetFile, DatasetUse

PERSON, CHECKS = "person", "checks"
"""Who gave a data set its state."""
STATES = ("unchecked", "valid", "invalid", "deprecated")
_SPLITS = {"train": "train", "training": "train", "val": "val", "valid": "val", "validation": "val", "dev": "val",
           "test": "test", "eval": "test", "heldout": "test", "holdout": "test"}  # fmt: skip


# --- registering


@dataclass(frozen=True)
class _Hashed:
    """One file of a data set as it was hashed; `name` is its path within the set."""

    path: Path
    name: str
    split: str
    digest: str
    size_bytes: int
    stat_token: str
    n_records: int | None


def add_dataset(db: Database, reference: str, paths: Sequence[str], *, checks: Path | None = None) -> Dataset:
    """Register a data set version: hash its files, count their records; its state is `unchecked`.

    A path is a file or a folder, perhaps `SPLIT=PATH`; otherwise the split is what the file's name says. Raises
    NotFoundError or RefusedError for a file that cannot be hashed, or when the version is other bytes already.
    """
    name, version = parse_reference(reference)
    details = checks_details(checks)
    files = [hashed for path in paths for hashed in _hash_path(path)]
    if not files:
        raise UsageError(f"no files for {reference}", hint="name its files or folders")
    _refuse_twins(files)
    digest = _digest_of(files)
    with db.write() as session:
        row = _find(session, name, version)
        if row is not None and row.digest not in (None, digest):
            raise RefusedError(
                f"{reference} is registered already, with other bytes", hint="changed data is a new version"
            )
        if row is None or row.digest is None:
            row = _store_dataset(session, db, row, name, version, digest, files)
        kept: dict[str, Any] = {**json.loads(row.details), **details}
        row.details = json.dumps(kept)
        audit.record(session, "dataset-add", reference, {"digest": digest, "n_files": len(files)})
        session.flush()
        session.expunge(row)
    return row


def _store_dataset(
    session: Session, db: Database, row: Dataset | None, name: str, version: str, digest: str, files: list[_Hashed]
) -> Dataset:
    now = clock.now()
    counts = [file.n_records for file in files if file.n_records is not None]
    row = row or Dataset(name=name, version=version, added_at=now, changed_at=now)
    row.digest, row.n_records = digest, sum(counts) if counts else None
    session.add(row)
    session.flush()
    assert row.id is not None
    for file in files:
        stored = file.path.relative_to(db.root) if file.path.is_relative_to(db.root) else file.path
        session.add(
            DatasetFile(
                dataset_id=row.id,
                path=stored.as_posix(),
                split=file.split,
                digest=file.digest,
                size_bytes=file.size_bytes,
                n_records=file.n_records,
                stat_token=file.stat_token,
            )
        )
    return row


def checks_details(checks: Path | None) -> dict[str, Any]:
    """Return the text of a checks file to be kept with the data set, after it was understood."""
    if checks is None:
        return {}
    try:
        text = checks.read_bytes().decode()
    except FileNotFoundError:
        raise NotFoundError(f"no checks file {checks}") from None
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {checks}: {getattr(error, 'strerror', None) or 'not UTF-8'}") from None
    parse_checks(text, str(checks), checks.resolve().parent)
    return {"checks": text, "checks_path": str(checks.resolve())}


def _hash_path(words: str) -> list[_Hashed]:
    split, equals, rest = words.partition("=")
    if not equals or Path(words).exists() or "/" in split:
        split, rest = "", words
    path = Path(os.path.abspath(rest))
    if not path.is_dir():
        return [_hash_file(path, path.name, split or guess_split(path.name))]
    files = [file for file in tree_files(path) if not file.name.startswith(".")]
    names = [file.relative_to(path).as_posix() for file in files]
    return [_hash_file(file, name, split or guess_split(name)) for file, name in zip(files, names, strict=True)]


def _hash_file(path: Path, name: str, split: str) -> _Hashed:
    if path.is_symlink():
        raise RefusedError(f"{path} is a symlink", hint="name the file it points to")
    try:
        token = stat_token(os.stat(path))
    except OSError:
        raise NotFoundError(f"no file {path}") from None
    digest, size_bytes = digest_file(path)
    if not size_bytes:
        raise RefusedError(f"{path} is empty", hint="an empty file is no data")
    return _Hashed(path, name, split, digest, size_bytes, token, count_records(path))


def guess_split(name: str) -> str:
    """Return the split that a file name speaks of (train, val, test), empty when it speaks of none."""
    words = re.split(r"[^a-z0-9]+", name.lower().replace("held-out", "heldout").replace("hold-out", "holdout"))
    return next((_SPLITS[word] for word in words if word in _SPLITS), "")


def _refuse_twins(files: Iterable[_Hashed]) -> None:
    seen: set[Path] = set()
    for file in files:
        if file.path in seen:
            raise UsageError(f"{file.path} is named twice")
        seen.add(file.path)


def _digest_of(files: Sequence[_Hashed]) -> str:
    """Return a set's digest: its file's own, or that of the sorted manifest of its files."""
    if len(files) == 1:
        return files[0].digest
    manifest = manifest_text([FrozenFile(file.name, file.digest, file.size_bytes) for file in files])
    return hashlib.sha256(manifest).hexdigest()


# --- finding


def _find(session: Session, name: str, version: str) -> Dataset | None:
    return session.exec(select(Dataset).where(Dataset.name == name, Dataset.version == version)).first()


def find_dataset(session: Session, reference: str) -> Dataset:
    """Return a registered data set version. Raises NotFoundError with the versions there are, UsageError."""
    name, version = parse_reference(reference)
    row = _find(session, name, version)
    if row is None:
        raise unknown_dataset(session, reference)
    return row


def unknown_dataset(session: Session, reference: str) -> NotFoundError:
    """Return the error for a version that nobody registered or used, with the versions there are."""
    name = parse_reference(reference)[0]
    known = {f"{row[0]}@{row[1]}" for row in session.exec(select(Dataset.name, Dataset.version))}
    known |= {f"{row[0]}@{row[1]}" for row in session.exec(select(DatasetUse.name, DatasetUse.version))}
    near = sorted(other for other in known if other.rpartition("@")[0].casefold() == name.casefold())
    hint = f"there is {', '.join(near[:8])}" if near else "`registry dataset ls` shows what there is"
    return NotFoundError(f"no data set {reference!r}", hint=hint)


def as_registered(session: Session, row: Dataset) -> Registered:
    """Return a data set with its files, as the policy looks at it."""
    files = session.exec(
        select(DatasetFile).where(DatasetFile.dataset_id == row.id).order_by(col(DatasetFile.path))
    ).all()
    return Registered(
        reference=f"{row.name}@{row.version}",
        digest=row.digest,
        state=row.state,
        reason=row.reason or "",
        superseded_by=row.superseded_by,
        files=tuple(data_policy.RegisteredFile(file.path, file.digest, file.stat_token) for file in files),
    )


def require_usable(
    db: Database, references: Iterable[str], experiment: str = "default", *, allow: str = ""
) -> dict[str, Registered | None]:
    """Return the registered data sets among `references`, or refuse as the policy says. Raises RefusedError."""
    return data_policy.require_usable(db.url, references, experiment, allow=allow)


# --- deciding


def decide(
    db: Database, reference: str, state: str, reason: str, *, superseded_by: str | None = None, by: str | None = None
) -> Dataset:
    """Declare a data set version `invalid` or `deprecated`; every run that read it is flagged from now on.

    One that runs used but nobody registered can be declared too. Raises UsageError without a reason, NotFoundError.
    """
    if not reason.strip():
        raise UsageError(
            f"{reference} is declared {state} without a reason", hint='add --reason "what is wrong with it"'
        )
    name, version = parse_reference(reference)
    if superseded_by is not None and parse_reference(superseded_by) == (name, version):
        raise UsageError(f"{reference} cannot be superseded by itself")
    with db.write() as session:
        row = _find(session, name, version)
        if row is None:
            used = session.exec(
                select(DatasetUse).where(DatasetUse.name == name, DatasetUse.version == version)
            ).first()
            if used is None:
                raise unknown_dataset(session, reference)
            row = Dataset(name=name, version=version, added_at=clock.now(), changed_at=clock.now())
        set_state(session, row, state, reason, PERSON, by=by, superseded_by=superseded_by)
        session.expunge(row)
    return row


def set_state(
    session: Session,
    row: Dataset,
    state: str,
    reason: str,
    decided_by: str,
    *,
    by: str | None = None,
    superseded_by: str | None = None,
) -> None:
    """Give a data set a state in the caller's transaction; `decided_by` is `PERSON` or `CHECKS`, `by` who acts."""
    about = {"from": row.state, "reason": reason, "superseded_by": superseded_by, "decided_by": decided_by}
    row.state, row.reason, row.changed_at = state, reason or None, clock.now()
    row.superseded_by = superseded_by or row.superseded_by
    row.details = json.dumps({**json.loads(row.details), "decided_by": decided_by})
    session.add(row)
    session.flush()
    audit.record(session, f"dataset-{state}", f"{row.name}@{row.version}", about, by=by)

"""May a run use this data? Asked before it begins, by the command line and by the training process itself, so it is
light: the registry is read with its driver alone. Only registered data has a state; what nobody registered may be used.
"""

import os
import sqlite3
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from registry import places
from registry.errors import HoldfastError, RefusedError, UnreachableError, UsageError
from registry.hashing import digest_file, stat_token
from registry.settings import DataPolicy, load_settings

_DATASET = "SELECT id, digest, state, reason, superseded_by FROM dataset WHERE name = :name AND version = :version"
_FILES = "SELECT path, digest, stat_token FROM dataset_file WHERE dataset_id = :id ORDER BY path"


@dataclass(frozen=True)
class RegisteredFile:
    """One file as it was when it was hashed; `path` is relative to the registry's folder, or absolute."""

    path: str
    digest: str
    stat_token: str


@dataclass(frozen=True)
class Registered:
    """What the record says of a data set version."""

    reference: str
    digest: str | None
    state: str
    reason: str = ""
    superseded_by: str | None = None
    files: tuple[RegisteredFile, ...] = ()


def parse_reference(reference: str) -> tuple[str, str]:
    """Return the name and the version of `NAME@VERSION`. Raises UsageError."""
    name, at, version = reference.rpartition("@")
    if not (at and name.strip() and version.strip()):
        raise UsageError(f"data set {reference!r} names no version", hint="write NAME@VERSION")
    return name.strip(), version.strip()


def refusal(dataset: Registered, changed: Sequence[str], policy: DataPolicy) -> str:
    """Return why a run may not use a data set, empty when it may."""
    instead = f"; use {dataset.superseded_by}" if dataset.superseded_by else ""
    why = f" ({dataset.reason})" if dataset.reason else ""
    if dataset.state in ("invalid", "deprecated") and getattr(policy, dataset.state) == "refuse":
        return f"{dataset.reference} is {dataset.state}{why}{instead}"
    if changed and policy.changed == "refuse":
        return f"{dataset.reference} is not what was registered: {'; '.join(changed)}"
    if dataset.state == "unchecked" and policy.unchecked == "refuse":
        return f"{dataset.reference} was never checked"
    return ""


def changed_files(root: Path, dataset: Registered) -> list[str]:
    """Return what is wrong with the files of a data set: gone, or other bytes than were registered.

    A file that was not touched since is not read again; one that was touched is hashed.
    """
    found = []
    for file in dataset.files:
        path = root / file.path
        try:
            if stat_token(os.stat(path)) == file.stat_token:
                continue
            if digest_file(path)[0] != file.digest:
                found.append(f"{file.path} changed since it was hashed")
        except (OSError, HoldfastError) as error:
            found.append(f"{file.path} cannot be read ({getattr(error, 'strerror', None) or error})")
    return found


def require_usable(
    url: str, references: Iterable[str], experiment: str = "default", *, allow: str = ""
) -> dict[str, Registered | None]:
    """Return the registered data sets by reference (None for one that nobody registered), or refuse.

    `allow` is a person's reason to use them all the same. Raises RefusedError that lists every reason, UsageError for
    a reference without a version.
    """
    found = {reference: registered(url, reference) for reference in references}
    root = places.root_folder(url)
    policy = load_settings(root).data_policy(experiment)
    refusals = [refusal(dataset, changed_files(root, dataset), policy) for dataset in found.values() if dataset]
    reasons = [reason for reason in refusals if reason]
    if reasons and not allow.strip():
        raise RefusedError(
            f"the data may not be used in {experiment}: {reasons[0]}",
            details=reasons,
            hint='check it with `registry dataset validate NAME@V`, or say why all the same: --allow-data "…"',
        )
    return found


def registered(url: str, reference: str) -> Registered | None:
    """Return what the record says of a data set version, None when it says nothing. Raises UsageError."""
    name, version = parse_reference(reference)
    rows = _read(url, _DATASET, {"name": name, "version": version})
    if not rows:
        return None
    dataset_id, digest, state, reason, superseded_by = rows[0]
    files = tuple(RegisteredFile(*row) for row in _read(url, _FILES, {"id": dataset_id}))
    return Registered(reference, digest, state, reason or "", superseded_by, files)


def _read(url: str, query: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
    return _read_server(url, query, values) if places.is_server(url) else _read_file(url, query, values)


def _read_file(url: str, query: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
    path = Path(url).expanduser().resolve()
    if not path.is_file():
        return []
    try:
        with closing(sqlite3.connect(f"{path.as_uri()}?mode=ro", uri=True, timeout=10.0)) as connection:
            return connection.execute(query, values).fetchall()
    except sqlite3.OperationalError as error:
        if "no such table" in str(error):
            return []
        raise RefusedError(f"cannot ask {path} about the data: {error}") from None


def _read_server(url: str, query: str, values: dict[str, Any]) -> list[tuple[Any, ...]]:
    import psycopg

    for name in values:
        query = query.replace(f":{name}", f"%({name})s")
    try:
        with psycopg.connect(url.replace("+psycopg", "", 1), connect_timeout=10) as connection:
            return connection.execute(query.encode(), values).fetchall()
    except psycopg.errors.UndefinedTable:
        return []
    except psycopg.OperationalError as error:
        raise UnreachableError(f"cannot ask the registry about the data: {str(error).splitlines()[0]}") from None

"""Who else needs the blobs of a place: runs of other registries, and the backups of any registry.

What is read here was written by others; what cannot be read holds everything.
"""

import hashlib
from collections.abc import Collection, Iterable
from pathlib import Path

from registry.backup import list_backups
from registry.errors import HoldfastError
from registry.hashing import parse_manifest
from registry.remotes.base import Store, blob_key


def claimed_by_others(store: Store, our_runs: Collection[str], digests: Iterable[str]) -> dict[str, str]:
    """Return which of these blobs a run that is not ours keeps at the place, and which run."""
    wanted, held = set(digests), dict[str, str]()
    for key in store.keys("index"):
        run = Path(key).stem
        if run not in our_runs:
            held |= dict.fromkeys(wanted.intersection(named(store, key)), run)
    return held


def named(store: Store, key: str) -> list[str]:
    """Return the digests that a run's list at the place names."""
    return [line.split(" ", 1)[0] for line in lines_of(store, key)]


def lines_of(store: Store, key: str) -> list[str]:
    """Return the lines of a small file at the place."""
    return (store.read_small(key) or b"").decode(errors="replace").splitlines(keepends=True)


def needed_by_backups(store: Store, digests: Iterable[str], *, but_not: Collection[str] = ()) -> dict[str, str]:
    """Return which of these blobs a backup at the place is made of, and which backup (its digest).

    A backup whose manifest is gone can be restored by nobody, and holds nothing; one that cannot be read holds all.
    """
    wanted, held = set(digests), dict[str, str]()
    for listed in list_backups(store):
        if listed.digest not in but_not:
            blobs = backup_blobs(store, listed.digest, wanted)
            held |= dict.fromkeys(wanted & blobs, listed.digest)
    return held


def backup_blobs(store: Store, digest: str, otherwise: Iterable[str]) -> set[str]:
    """Return the blobs of a backup, its manifest among them; `otherwise` when the manifest cannot be read."""
    manifest = store.read_small(blob_key(digest))
    if manifest is None:
        return set()
    try:
        if hashlib.sha256(manifest).hexdigest() == digest:
            return {digest, *(file.digest for file in parse_manifest(manifest))}
    except HoldfastError:
        pass
    return set(otherwise)

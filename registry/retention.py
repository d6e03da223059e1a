"""Which backups of the registry may go: none that is young or among the last, and never the one just read back.

Only our own go, only after a newer one was made and proven, and no blob goes that anything else needs.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

from sqlalchemy import text

from registry import audit, clock
from registry.backup import Listed, list_backups
from registry.copies.claims import backup_blobs, claimed_by_others, needed_by_backups
from registry.copies.pins import pinned_by_others
from registry.copies.record import append_events, ensure_copies
from registry.copies.remotes import Connected, connect
from registry.copies.transfer import copy_id
from registry.custody import Event
from registry.database import Database
from registry.errors import RefusedError
from registry.remotes.base import blob_key
from registry.settings import BackupPolicy
from registry.tables import Backup, Copy, Meta


@dataclass
class PruneReport:
    """What became of old backups: how many stay, the digests of those that went, and how many bytes that freed."""

    n_kept: int = 0
    removed: list[str] = field(default_factory=list)
    n_bytes: int = 0


def why_kept(backups: Sequence[Listed], proven: str, now: float, policy: BackupPolicy) -> dict[str, str]:
    """Return for each backup of one registry why it stays, "" when it may go. `proven` was read back just now."""
    newest_first = sorted(backups, key=lambda listed: -listed.at)
    reasons = {}
    for place, listed in enumerate(newest_first):
        rules = (
            (listed.digest == proven, "it was just read back"),
            (place < policy.keep_last, f"one of the last {policy.keep_last}"),
            (now - listed.at < policy.keep_for_s, f"younger than {policy.keep_for}"),
        )
        reasons[listed.digest] = next((reason for holds, reason in rules if holds), "")
    return reasons


def prune_backups(db: Database, remote_name: str, proven: Backup) -> PruneReport:
    """Remove our backups at a remote that the settings ([backup]) do not keep.

    Raises RefusedError when the proven one is not there any more, UnreachableError.
    """
    with connect(db, remote_name) as connected:
        store = connected.store
        with db.read() as session:
            row = session.get(Meta, "registry_id")
            ours = [listed for listed in list_backups(store) if row and listed.registry_id == row.value]
        _require_there(connected, proven)
        reasons = why_kept(ours, proven.digest, clock.now(), db.settings.backup)
        going = [listed.digest for listed in ours if not reasons[listed.digest]]
        blobs = {digest for backup in going for digest in backup_blobs(store, backup, ())}
        free = blobs - _needed(db, connected, blobs, going)
        for digest in going:  # first its name: half a backup must not look like one
            store.remove(f"backups/{digest}.json")
        n_bytes = _remove(db, connected, free)
        if going:
            with db.write() as session:
                audit.record(session, "backup prune", remote_name, {"removed": going, "kept": len(ours) - len(going)})
    return PruneReport(len(ours) - len(going), going, n_bytes)


def _require_there(connected: Connected, proven: Backup) -> None:
    """See that every file of the backup that was just made is still at the place."""
    keys = [blob_key(digest) for digest in backup_blobs(connected.store, proven.digest, ())]
    if not keys or len(connected.store.find_all(keys)) < len(keys):
        raise RefusedError(
            f"the backup that was just made is not whole on {connected.place.name}", hint="no other one goes"
        )


def _needed(db: Database, connected: Connected, blobs: set[str], going: Sequence[str]) -> set[str]:
    """Return those of some blobs that something else needs: another backup, an artifact, a registry, a release."""
    with db.read() as session:
        runs = {row.id for row in session.connection().execute(text("SELECT id FROM run"))}
        union = text("SELECT digest FROM artifact UNION SELECT digest FROM artifact_blob")
        artifacts = {row.digest for row in session.connection().execute(union)}
    store = connected.store
    return {
        *needed_by_backups(store, blobs, but_not=going),
        *(blobs & artifacts),
        *claimed_by_others(store, runs, blobs),
        *pinned_by_others(store, "", blobs),
    }


def _remove(db: Database, connected: Connected, digests: set[str]) -> int:
    """Remove blobs, saying so before and after; returns how many bytes went."""
    found = connected.store.find_all([blob_key(digest) for digest in digests])
    sizes = {key.rpartition("/")[2]: there.size_bytes for key, there in found.items()}
    if not sizes:
        return 0
    with db.write() as session:
        copies = list(ensure_copies(session, connected.place.id, sizes.items()).values())
        session.flush()
        session.expunge_all()
    _note(db, connected, copies, "delete_intent")
    for copy in copies:
        connected.store.remove(copy.path)
    _note(db, connected, copies, "deleted")
    connected.store.write_sums()
    return sum(sizes.values())


def _note(db: Database, connected: Connected, copies: Sequence[Copy], kind: str) -> None:
    now = clock.now()
    with db.write() as session:
        happened = [(copy_id(copy), Event(kind, now, now, "ok")) for copy in copies]
        append_events(session, connected.place, happened)

"""Adding places, and reaching them again: a place is what its marker says it is, on the disk it was on before.

A marker that is absent, another's, or a clone's on another disk makes a place foreign: nothing is concluded from it.
"""

import socket
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from sqlalchemy import text
from sqlmodel import Session, col, or_, select

from registry import audit, clock, custody
from registry.copies.record import active_remotes, find_remote, host_domain, note_probe, parse_class, place_of
from registry.custody import Place
from registry.database import Database
from registry.errors import HoldfastError, RefusedError, UnreachableError, UsageError
from registry.remotes import address_of, kind_of, open_store
from registry.remotes.base import MARKER_NAME, PlaceFacts, Store
from registry.remotes.disk import boot_id
from registry.tables import Copy, Remote

FOREIGN = custody.REASON_CODES["foreign"]
LAYOUT = 1


@dataclass(frozen=True)
class Connected:
    """A place that was reached and is the one it should be."""

    place: Place
    store: Store


def add_remote(
    db: Database,
    name: str,
    address: str,
    *,
    domain: str | None = None,
    klass: str | None = None,
    trust: str = "normal",
) -> Remote:
    """Make a place known, writing its identity into it when it has none.

    Raises UsageError (name or class), RefusedError (the place is known already under another name, or is inside
    another), UnreachableError.
    """
    url = address_of(address)
    kind = kind_of(url)
    klass = parse_class(klass, kind)
    if trust not in custody.TRUSTS:
        raise UsageError(f"--trust {trust!r}", hint=f"write {', '.join(custody.TRUSTS)}")
    if not name.replace("-", "").replace("_", "").replace(".", "").isalnum():
        raise UsageError(f"remote name {name!r}", hint="use letters, digits, - _ and .")
    store = open_store(url)
    try:
        marker_id = _identity(db, name, store)
        facts = store.facts()
    finally:
        store.close()
    host = socket.gethostname() if facts.boot_id and facts.boot_id == boot_id() else facts.host
    remote = Remote(
        id=marker_id,
        name=name,
        url=url,
        kind=kind,
        domain=domain or (host_domain(host, db.settings) if host else facts.filesystem or f"{kind}:{url}"),
        labelled=domain is not None,
        klass=klass,
        trust=trust,
        added_at=clock.now(),
        host=host,
        filesystem=facts.filesystem,
        medium=facts.medium,
        probed_at=clock.now(),
    )
    with db.write() as session:
        _refuse_taken(active_remotes(session), remote)
        added = session.merge(remote)
        added.removed_at = None
        audit.record(
            session, "remote add", name, {"id": marker_id, "url": url, "domain": remote.domain, "class": klass}
        )
        session.flush()
        session.refresh(added)
        session.expunge(added)
    return added


def _identity(db: Database, name: str, store: Store) -> str:
    """Return the identity of a place: the one it has, else a new one that is written into it now."""
    marker = store.identity()
    if marker is None:
        with db.read() as session:
            _refuse_name(active_remotes(session), name)
        fresh = {"id": str(uuid.uuid4()), "created": clock.iso(clock.now()), "layout": LAYOUT}
        try:
            store.stamp(fresh)
        except FileExistsError:
            pass
        marker = store.identity()
    if marker is None:
        raise UnreachableError(f"{store.url} does not keep what is written to it", reason_code=15)
    if marker.get("layout") != LAYOUT:
        raise UsageError(f"{store.url} has layout {marker.get('layout')!r}, this version knows {LAYOUT}")
    return str(marker["id"])


def _refuse_name(remotes: list[Remote], name: str) -> None:
    if any(remote.name == name for remote in remotes):
        raise UsageError(
            f"there is a remote {name!r} already", hint=f"registry remote rm {name}, or choose another name"
        )


def _refuse_taken(remotes: list[Remote], new: Remote) -> None:
    for remote in remotes:
        if remote.id == new.id:
            raise RefusedError(
                f"{new.url} is the remote {remote.name} ({remote.url}), or a clone of it",
                hint="one place counts once; a clone needs its own identity: remove its " + MARKER_NAME,
                reason_code=FOREIGN,
            )
        inside, outside = sorted((new.url.rstrip("/") + "/", remote.url.rstrip("/") + "/"), key=len, reverse=True)
        if new.kind == remote.kind and inside.startswith(outside):
            raise RefusedError(f"{new.url} and the remote {remote.name} ({remote.url}) lie inside one another")
    _refuse_name(remotes, new.name)


@contextmanager
def connect(db: Database, name: str) -> Iterator[Connected]:
    """Reach a remote and see that it is the place it was; what is found is noted on the remote.

    Raises NotFoundError (no such remote), UnreachableError: reason 15 when it does not answer, 16 when it is foreign.
    """
    with db.read() as session:
        remote = find_remote(session, name)
        place, url = place_of(remote), remote.url
    store = open_store(url)
    try:
        _recognise(db, place, store)
        yield Connected(place, store)
    finally:
        store.close()


def _recognise(db: Database, place: Place, store: Store) -> None:
    try:
        why_foreign = _why_foreign(place, store.marker_id(), store.facts())
    except HoldfastError as error:
        remember_probe(db, place.id, "unreachable", error.message)
        raise UnreachableError(
            f"remote {place.name} cannot be reached: {error.message}",
            hint=error.hint,
            reason_code=error.reason_code or custody.REASON_CODES["unreachable"],
        ) from error
    if why_foreign:
        remember_probe(db, place.id, "foreign", why_foreign)
        raise UnreachableError(
            f"remote {place.name} is not the place it was: {why_foreign}",
            hint="is the right drive mounted there? nothing was concluded about the copies",
            reason_code=FOREIGN,
        )
    remember_probe(db, place.id, "ok")


def _why_foreign(place: Place, marker_id: str | None, facts: PlaceFacts) -> str:
    if marker_id is None:
        return f"it has no {MARKER_NAME}"
    if marker_id != place.id:
        return f"its {MARKER_NAME} names another place"
    known = (place.filesystem, facts.filesystem)
    if all(known) and known[0] != known[1] and not any(name.startswith("dev:") for name in known):
        return f"its {MARKER_NAME} is right, but it is on another disk than before: a clone, or moved"
    return ""


def remember_probe(db: Database, remote_id: str, probe: str, error: str = "") -> None:
    """Record what a look at a place found."""
    if not db.readonly:
        with db.write() as session:
            note_probe(session, remote_id, probe, error)


def remove_remote(db: Database, name: str, *, forget: bool = False) -> int:
    """Stop using a remote; nothing on it is touched. Returns how many copies it holds.

    Raises RefusedError when it holds copies, unless `forget`: they then count no more.
    """
    with db.write() as session:
        remote = find_remote(session, name)
        held = select(Copy.id).where(Copy.remote_id == remote.id, Copy.trouble != "deleted")
        held = held.where(or_(col(Copy.put_at).is_not(None), col(Copy.verified_at).is_not(None)))
        n_copies = len(session.exec(held).all())
        if n_copies and not forget:
            raise RefusedError(
                f"{name} holds {n_copies} copies that would count no more",
                hint=f"registry drop --all --from {name} drops what is safe elsewhere; --forget leaves it there",
                reason_code=custody.REASON_CODES["refused"],
            )
        remote.removed_at = clock.now()
        session.add(remote)
        audit.record(session, "remote rm", name, {"id": remote.id, "copies": n_copies, "forget": forget})
    return n_copies


def set_trust(db: Database, name: str, trust: str) -> None:
    """Say how far a remote is believed. Raises UsageError for another word."""
    if trust not in custody.TRUSTS:
        raise UsageError(f"trust {trust!r}", hint=f"write {', '.join(custody.TRUSTS)}")
    with db.write() as session:
        remote = find_remote(session, name)
        audit.record(session, "remote trust", name, {"id": remote.id, "from": remote.trust, "to": trust})
        remote.trust = trust
        session.add(remote)


def holdings(session: Session) -> dict[str, dict[str, int]]:
    """Return by remote id how many copies it holds and how many bytes they are."""
    sql = text(
        "SELECT remote_id, count(*) AS copies, sum(size_bytes) AS size_bytes FROM copy"
        " WHERE trouble <> 'deleted' AND (put_at IS NOT NULL OR verified_at IS NOT NULL) GROUP BY remote_id"
    )
    rows = session.connection().execute(sql)
    return {row.remote_id: {"copies": row.copies, "size_bytes": row.size_bytes} for row in rows}


def marker_findings(db: Database) -> list[tuple[str, str]]:
    """Reach every remote and return `(name, what is wrong with it)`, "" for nothing."""
    with db.read() as session:
        names = [remote.name for remote in active_remotes(session)]
    findings = []
    for name in names:
        try:
            with connect(db, name):
                findings.append((name, ""))
        except HoldfastError as error:
            findings.append((name, error.message))
    return findings

"""Reading copies back. A first read that gives other bytes is followed by a second, fresh one; only then is it said.

The place proves its identity before and after each batch. Nothing is moved or removed by looking.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol, TypeVar

from registry import clock, custody
from registry.copies.record import append_events
from registry.copies.remotes import FOREIGN, Connected, remember_probe
from registry.custody import READ_BACK, Event, Standing
from registry.database import Database
from registry.errors import HoldfastError, UnreachableError
from registry.remotes.base import Meter, Reading
from registry.tables import Copy

MOST_FILES = 512
MOST_BYTES = 8 << 30


@dataclass
class Checked:
    """What a pass over copies found: for each copy read the event that was recorded."""

    events: dict[int, Event] = field(default_factory=dict)
    standings: dict[int, Standing] = field(default_factory=dict)

    def proven(self, copy: Copy) -> bool:
        """Return whether this pass verified a copy: it matched, and nothing makes the match worthless."""
        standing, event = self.standings[_id(copy)], self.events[_id(copy)]
        return event.result == "match" and standing.verified_at == event.ended_at

    def doubt(self, copy: Copy) -> str:
        """Return why this pass did not verify a copy, "" when it did."""
        if self.proven(copy):
            return ""
        event = self.events[_id(copy)]
        return self.standings[_id(copy)].doubt if event.result == "match" else event.result


class _Bytes(Protocol):
    @property
    def size_bytes(self) -> int:
        """How many bytes it is."""


Item = TypeVar("Item", bound=_Bytes)


def batches(items: Sequence[Item], most_files: int = MOST_FILES, most_bytes: int = MOST_BYTES) -> Iterator[list[Item]]:
    """Yield blobs in batches small enough that an interruption loses little; one at least in each."""
    batch: list[Item] = []
    n_bytes = 0
    for item in items:
        if batch and (len(batch) >= most_files or n_bytes + item.size_bytes > most_bytes):
            yield batch
            batch, n_bytes = [], 0
        batch.append(item)
        n_bytes += item.size_bytes
    if batch:
        yield batch


def check_copies(
    db: Database,
    connected: Connected,
    copies: Sequence[Copy],
    meter: Meter,
    *,
    read_back: bool = False,
    done: Callable[[int], None] = lambda n_files: None,
) -> Checked:
    """Read copies of one remote whole, record what was found, batch by batch, and return it.

    `read_back` reads through the transport (level 4) where the host that holds the bytes could hash them itself.
    Raises UnreachableError when the place stops answering or turns into another; what was found before is recorded.
    """
    checked = Checked()
    for batch in batches(copies):
        events = _check_batch(db, connected, batch, meter, read_back)
        happened = [(_id(copy), events[copy.digest]) for copy in batch]
        with db.write() as session:
            checked.standings |= append_events(session, connected.place, happened)
        checked.events |= dict(happened)
        done(len(batch))
    return checked


def _id(copy: Copy) -> int:
    assert copy.id is not None
    return copy.id


def _check_batch(
    db: Database, connected: Connected, batch: Sequence[Copy], meter: Meter, read_back: bool
) -> dict[str, Event]:
    """Return what a fresh look at each copy of a batch found, by digest."""
    place, store = connected.place, connected.store
    read = store.read_back if read_back else store.digests
    level = READ_BACK if read_back else store.read_level
    started_at = clock.now()
    try:
        marker_start = store.marker_id()
        readings = {reading.key: reading for reading in read([copy.path for copy in batch], meter)}
        doubtful = [copy for copy in batch if _result(copy, readings[copy.path]) == "mismatch"]
        second = {reading.key: reading for reading in read([copy.path for copy in doubtful], meter)}
        marker_end = store.marker_id()
    except HoldfastError as error:
        remember_probe(db, place.id, "unreachable", error.message)
        raise UnreachableError(
            f"remote {place.name} stopped answering: {error.message}", hint=error.hint, reason_code=15
        ) from error
    if marker_start != place.id or marker_end != place.id:
        remember_probe(db, place.id, "foreign", "its identity changed while it was read")
        raise UnreachableError(f"remote {place.name} is not the place it was any more", reason_code=FOREIGN)
    ended_at = clock.now()
    template = Event("verify", started_at, ended_at, level=level, marker_start=marker_start, marker_end=marker_end)
    return {
        copy.digest: _event(template, copy, readings[copy.path], second.get(copy.path), store.kind) for copy in batch
    }


def _result(copy: Copy, reading: Reading) -> str:
    if reading.found != "read":
        return reading.found
    same = reading.digest == copy.digest and reading.size_bytes == copy.size_bytes
    return "match" if same else "mismatch"


def _event(template: Event, copy: Copy, first: Reading, second: Reading | None, kind: str) -> Event:
    """Return the event of one copy: of its second read where there was one."""
    reading = second or first
    result = _result(copy, reading)
    if second is not None and result == "match":
        result = "flaky"
    error = reading.error
    if result == "mismatch":
        error = (
            f"{reading.size_bytes} bytes of {reading.digest[:12]}…, {copy.size_bytes} of {copy.digest[:12]}… expected"
        )
    return replace(
        template,
        result=result,
        cold=reading.cold,
        digest=reading.digest or None,
        size_bytes=reading.size_bytes if reading.found == "read" else None,
        stat_before=reading.before,
        stat_after=reading.after,
        method=method_words(template.level, reading.cold, kind),
        error="" if result in ("match", "flaky") else error,
    )


def method_words(level: int, cold: bool, kind: str) -> str:
    """Return how a copy was read, in a few words."""
    how = f"read back from {kind}" if level == custody.READ_BACK else f"hashed on the {kind} host"
    return f"{how}, past the page cache" if cold else how

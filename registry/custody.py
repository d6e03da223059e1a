"""Pure verdicts on copies: the state of one, which count, whether a machine or a copy may go. Facts in, reasons out.

A copy is verified when its bytes were read whole from the place itself and hashed to the digest, by a pass that saw
the place's identity at both ends, after the last write, and recently enough. Nothing else is a verification: not a
return code, a size, a date, a stored hash. What is not known counts as not there.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

STATES = ("verified", "stale", "present", "flaky", "missing", "corrupt", "foreign", "unknown")
CLASSES = ("ephemeral", "durable", "offline")
TRUSTS = ("normal", "untrusted", "dead")

RECORDED, PRESENT, ATTESTED, REMOTE_READ, READ_BACK = range(5)
"""What a look at a copy proves: a put said so; the size is right; somebody's stored hash is right; its whole bytes
were hashed on the host that holds them; its whole bytes were hashed here."""

COLD_WITHIN_S = 600.0
"""A disk is read past the page cache for this long after a write: until then memory may hold what the disk lost."""

REASON_CODES = {
    "nothing": 10, "too-few": 11, "stale": 12, "corrupt": 13, "missing": 14, "unreachable": 15, "foreign": 16,
    "changed": 17, "partial": 18, "registry": 19, "refused": 20, "inventory": 21, "no-space": 22, "tool": 23,
}  # fmt: skip
GRAVEST_FIRST = (20, 13, 16, 14, 21, 17, 15, 11, 12, 18)


def gravest(codes: Iterable[int]) -> int | None:
    """Return the reason code that leads when several apply, None for none."""
    ranked = {code: rank for rank, code in enumerate(GRAVEST_FIRST)}
    return min(codes, key=lambda code: ranked.get(code, len(ranked)), default=None)


# --- what happened to a copy, and what that comes to


@dataclass(frozen=True)
class Event:
    """One thing that was done to, or seen of, a copy (a row of `copy_event`); times in unix seconds.

    `kind`: put, verify, seen, quarantine, delete_intent, deleted. `result`: ok (put, seen), match, mismatch, flaky,
    missing, unreadable.
    """

    kind: str
    started_at: float
    ended_at: float
    result: str = ""
    level: int = RECORDED
    cold: bool = False
    digest: str | None = None
    size_bytes: int | None = None
    marker_start: str | None = None
    marker_end: str | None = None
    stat_before: str | None = None
    stat_after: str | None = None
    method: str = ""
    error: str = ""


@dataclass(frozen=True)
class Blob:
    """What a copy should hold, and where."""

    digest: str
    size_bytes: int
    remote_id: str
    medium: str = "disk"


@dataclass(frozen=True)
class Standing:
    """What the events of one copy come to, whatever the time is now.

    `trouble` is what was found since the last verification ("" for nothing), `doubt` why the last read proved nothing.
    """

    put_at: float | None = None
    verified_from: float | None = None
    verified_at: float | None = None
    verified_level: int = RECORDED
    method: str = ""
    token: str = ""
    seen_level: int = RECORDED
    trouble: str = ""
    trouble_at: float | None = None
    doubt: str = ""


def fold(events: Iterable[Event], blob: Blob, standing: Standing | None = None) -> Standing:
    """Return what events come to, in the order they were recorded, on top of an earlier standing."""
    standing = standing or Standing()
    for event in events:
        standing = _after(standing, event, blob)
    return standing


def _after(standing: Standing, event: Event, blob: Blob) -> Standing:
    if event.kind == "put":
        return Standing(put_at=event.ended_at, method=event.method)
    if event.kind == "verify" and event.result == "match":
        return _after_match(standing, event, blob)
    if event.kind == "seen" and event.result == "ok":
        return _after_seen(standing, event)
    troubles = {"quarantine": "quarantined", "delete_intent": "deleting", "deleted": "deleted"}
    trouble = troubles.get(event.kind) or {"mismatch": "corrupt"}.get(event.result, event.result)
    return replace(standing, trouble=trouble, trouble_at=event.ended_at, doubt=event.error)


def _after_match(standing: Standing, event: Event, blob: Blob) -> Standing:
    doubt = why_no_proof(event, blob, standing.put_at)
    if doubt:
        return replace(standing, seen_level=max(standing.seen_level, min(event.level, ATTESTED)), doubt=doubt)
    if standing.trouble_at is not None and event.started_at < standing.trouble_at:
        return replace(standing, doubt="something else was found while it was read")
    return replace(
        standing,
        verified_from=event.started_at,
        verified_at=event.ended_at,
        verified_level=event.level,
        method=event.method,
        token=event.stat_after or "",
        seen_level=event.level,
        trouble="",
        trouble_at=None,
        doubt="",
    )


def _after_seen(standing: Standing, event: Event) -> Standing:
    if standing.token and event.stat_after and event.stat_after != standing.token:
        return replace(standing, trouble="changed", trouble_at=event.ended_at, doubt="")
    return replace(standing, seen_level=max(standing.seen_level, event.level))


def why_no_proof(event: Event, blob: Blob, put_at: float | None) -> str:
    """Return why a read that matched is no verification, "" when it is one."""
    rules = (
        (event.level < REMOTE_READ, "its bytes were not read, only " + _LEVEL_WORDS[min(event.level, ATTESTED)]),
        (event.digest != blob.digest, "the digest read is another one"),
        (event.size_bytes != blob.size_bytes, "the number of bytes read is another one"),
        (
            not event.marker_start or event.marker_start != event.marker_end or event.marker_start != blob.remote_id,
            "the place did not prove its identity before and after the read",
        ),
        (not event.stat_after or event.stat_before != event.stat_after, "it changed while it was read"),
        (event.ended_at < event.started_at, "the clock went back while it was read"),
        (put_at is not None and event.started_at < put_at, "it was written again after the read began"),
        (
            blob.medium == "disk" and not event.cold and event.started_at < (put_at or 0.0) + COLD_WITHIN_S,
            "it was read from memory, not from the disk, soon after it was written",
        ),
    )
    return next((reason for broken, reason in rules if broken), "")


_LEVEL_WORDS = ("a put that said it went well", "its size was seen", "a stored hash was read")


# --- the state of a copy now


@dataclass(frozen=True)
class Place:
    """A remote as the verdicts see it. `probe` is what the last look at it found: ok, unreachable or foreign."""

    id: str
    name: str
    domain: str
    klass: str = "durable"
    labelled: bool = False
    host: str = ""
    filesystem: str = ""
    medium: str = "disk"
    trust: str = "normal"
    added_at: float = 0.0
    probe: str = "ok"
    probed_at: float | None = None
    probe_error: str = ""


@dataclass(frozen=True)
class Verdict:
    """The state of one copy, and why."""

    state: str
    reason: str = ""


_TROUBLES = {
    "corrupt": ("corrupt", "two full reads gave other bytes"),
    "quarantined": ("corrupt", "the wrong bytes were set aside in quarantine/"),
    "missing": ("missing", "the place answered, and it is not there"),
    "flaky": ("flaky", "a first read gave other bytes, a second one the right ones"),
    "deleting": ("unknown", "its removal was begun"),
    "deleted": ("missing", "it was dropped"),
    "unreadable": ("unknown", "it cannot be read"),
    "changed": ("stale", "it was changed since it was read; verify it again"),
}


def status(standing: Standing, place: Place, now: float, ttl_s: float) -> Verdict:
    """Return the state of a copy at `now`, when a verification holds for `ttl_s` seconds."""
    if place.trust == "dead":
        return Verdict("unknown", f"{place.name} was declared dead")
    if place.probe == "foreign" and (place.probed_at or 0.0) >= (standing.verified_at or 0.0):
        return Verdict("foreign", place.probe_error or "another place answers at its address")
    if standing.trouble:
        state, reason = _TROUBLES[standing.trouble]
        return Verdict(state, standing.doubt or reason)
    unreachable = place.probe == "unreachable" and (place.probed_at or 0.0) > (standing.verified_at or 0.0)
    silent = f"{place.name} could not be reached: {place.probe_error}" if unreachable else ""
    doubt = _why_not_verified(standing, place)
    if doubt:
        return Verdict("unknown", silent) if silent else Verdict("present", doubt)
    assert standing.verified_at is not None
    age_s = now - standing.verified_at
    if age_s < 0:
        return Verdict("unknown", "clock suspect: it was verified in the future")
    if age_s > ttl_s:
        return Verdict("unknown", silent) if silent else Verdict("stale", f"last read {_days(age_s)} ago")
    return Verdict("verified", silent)


def _why_not_verified(standing: Standing, place: Place) -> str:
    if standing.verified_at is None or standing.verified_from is None:
        return standing.doubt or f"not read back yet, only {_LEVEL_WORDS[min(standing.seen_level, ATTESTED)]}"
    if standing.verified_from < place.added_at:
        return f"not read since {place.name} was added"
    if place.trust == "untrusted" and standing.verified_level < READ_BACK:
        return f"{place.name} is not trusted to hash its own bytes"
    return ""


def _days(age_s: float) -> str:
    return f"{age_s / 86400:.0f} days" if age_s >= 2 * 86400 else f"{age_s / 3600:.1f} hours"


# --- which copies count


@dataclass(frozen=True)
class Origin:
    """Where an artifact was made: its machine, its filesystem, and the failure domain of both."""

    host: str
    filesystem: str = ""
    domain: str = ""


def outlives_machine(place: Place) -> bool:
    """Return whether a place on a machine stays when the machine goes: a person named its domain and its class."""
    return place.labelled and place.klass in ("durable", "offline")


def why_not_elsewhere(place: Place, origin: Origin) -> str:
    """Return why a copy at `place` does not count for what was made at `origin`, "" when it does."""
    if place.filesystem and place.filesystem == origin.filesystem:
        return "same filesystem"
    if place.host and place.host == origin.host and not outlives_machine(place):
        return "same machine; a disk that outlives it is added with --domain and --class durable"
    if place.domain == origin.domain:
        return f"same failure domain {place.domain}"
    return ""


def why_together(a: Place, b: Place) -> str:
    """Return why two places fail together, "" when they are independent."""
    if a.id == b.id:
        return "same place"
    if a.filesystem and a.filesystem == b.filesystem:
        return "same filesystem"
    if a.host and a.host == b.host and not (outlives_machine(a) and outlives_machine(b)):
        return "same machine"
    return f"same failure domain {a.domain}" if a.domain == b.domain else ""


def domain_groups(places: Sequence[Place]) -> dict[str, int]:
    """Return for each place's id the number of the group that fails together; labels merge groups, never split them."""
    group = {place.id: number for number, place in enumerate(places)}
    for i, a in enumerate(places):
        for b in places[:i]:
            if group[a.id] != group[b.id] and why_together(a, b):
                joined, into = group[a.id], group[b.id]
                group = {key: into if number == joined else number for key, number in group.items()}
    return group


# --- may it go?


@dataclass(frozen=True)
class Blocker:
    """One reason against: which run, what it is about, why, and its reason code."""

    run: str | None
    subject: str
    reason: str
    code: int


@dataclass(frozen=True)
class Proof:
    """One copy that was read during this decision; `token` is what its stat must still say when the moment comes."""

    copy_id: int
    place_id: str
    digest: str
    verified_at: float
    token: str


@dataclass(frozen=True)
class Need:
    """One blob that must survive, whose it is, and the least and the wished number of copies elsewhere."""

    run: str | None
    subject: str
    digest: str
    min_copies: int
    num_copies: int


def missing_proofs(
    needs: Iterable[Need],
    proofs: Mapping[str, Sequence[Proof]],
    places: Mapping[str, Place],
    not_counting: Mapping[str, str],
    *,
    accept_single: bool = False,
) -> list[Blocker]:
    """Return a blocker for every blob that too few independent, freshly read copies hold.

    `proofs` are by digest; `not_counting` says of a place's id why copies there do not count here.
    """
    groups = domain_groups(list(places.values()))
    blockers = []
    for need in needs:
        counted = [proof for proof in proofs.get(need.digest, ()) if proof.place_id not in not_counting]
        n_found = len({groups[proof.place_id] for proof in counted})
        n_wanted = need.min_copies if accept_single else need.num_copies
        if n_found >= n_wanted:
            continue
        blockers.append(Blocker(need.run, need.subject, _too_few(need, n_found, n_wanted, proofs, places, not_counting),
                                REASON_CODES["too-few"]))  # fmt: skip
    return blockers


def _too_few(
    need: Need,
    n_found: int,
    n_wanted: int,
    proofs: Mapping[str, Sequence[Proof]],
    places: Mapping[str, Place],
    not_counting: Mapping[str, str],
) -> str:
    words = f"{n_found} of {n_wanted} verified copies elsewhere"
    useless = [
        f"{places[proof.place_id].name}: {not_counting[proof.place_id]}"
        for proof in proofs.get(need.digest, ())
        if proof.place_id in not_counting
    ]
    if useless:
        words += f" (not counted: {'; '.join(useless)})"
    if n_found >= need.min_copies:
        words += "; --accept-single lets it go with fewer"
    return words


def permit_expiry(now: float, proofs: Iterable[Proof], ttl_s: float, permit_s: float) -> float:
    """Return until when a permit holds: `permit_s` from now, or when its earliest proof grows too old."""
    return min([now + permit_s, *(proof.verified_at + ttl_s for proof in proofs)])

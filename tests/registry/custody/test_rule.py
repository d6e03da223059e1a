"""The rule itself: when a copy is verified, which copies count, what stands against a release. No database or files."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry import custody
from registry.custody import COLD_WITHIN_S, Blob, Event, Need, Origin, Place, Proof, Standing, fold, status

D, OTHER = "a" * 64, "b" * 64
BLOB = Blob(D, 100, "place-1")
PLACE = Place("place-1", "vault", "office")
DAY = 86_400.0
TTL = 30 * DAY
T0 = 1_000_000.0


def read(at: float = T0 + 10, **changes: object) -> Event:
    good = Event(
        "verify", at, at + 1, "match", level=4, cold=True, digest=D, size_bytes=100, marker_start="place-1",
        marker_end="place-1", stat_before="t", stat_after="t",
    )  # fmt: skip
    return replace(good, **changes)  # type: ignore[arg-type]


def put(at: float = T0) -> Event:
    return Event("put", at, at + 1, "ok")


def state(*events: Event, now: float = T0 + DAY, place: Place = PLACE, blob: Blob = BLOB, ttl: float = TTL) -> str:
    return status(fold(events, blob), place, now, ttl).state


def test_put_and_a_full_read_make_a_verified_copy() -> None:
    assert state(put(), read()) == "verified"


def test_a_put_alone_is_no_verification() -> None:
    assert state(put()) == "present"
    assert state() == "present"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"level": 2}, "not read"),
        ({"level": 1}, "not read"),
        ({"level": 0}, "not read"),
        ({"digest": OTHER}, "digest"),
        ({"size_bytes": 99}, "number of bytes"),
        ({"size_bytes": 101}, "number of bytes"),
        ({"marker_start": "place-2", "marker_end": "place-2"}, "identity"),
        ({"marker_end": "place-2"}, "identity"),
        ({"marker_start": None}, "identity"),
        ({"stat_after": "u"}, "changed while"),
        ({"stat_after": None, "stat_before": None}, "changed while"),
        ({"cold": False}, "memory"),
        ({"ended_at": T0 + 5}, "clock"),
        ({"started_at": T0 - 1}, "written again"),
    ],
)
def test_each_condition_of_a_verification_is_needed(change: dict[str, object], words: str) -> None:
    found = status(fold([put(), read(**change)], BLOB), PLACE, T0 + DAY, TTL)
    assert found.state == "present" and words in found.reason


def test_a_warm_read_counts_when_the_write_is_long_past_or_there_is_no_disk() -> None:
    late = read(T0 + 1 + COLD_WITHIN_S, cold=False)
    assert state(put(), late) == "verified"
    assert state(put(), read(cold=False), blob=replace(BLOB, medium="object")) == "verified"


def test_age_and_future() -> None:
    assert state(put(), read(), now=T0 + 11 + TTL) == "verified"
    assert state(put(), read(), now=T0 + 12 + TTL) == "stale"
    future = status(fold([put(), read()], BLOB), PLACE, T0 + 10.5, TTL)
    assert future.state == "unknown" and "clock suspect" in future.reason


@pytest.mark.parametrize(
    ("event", "expected"),
    [
        (read(T0 + 20, result="mismatch", digest=OTHER), "corrupt"),
        (read(T0 + 20, result="missing"), "missing"),
        (read(T0 + 20, result="flaky"), "flaky"),
        (read(T0 + 20, result="unreadable"), "unknown"),
        (Event("quarantine", T0 + 20, T0 + 21, "ok"), "corrupt"),
        (Event("delete_intent", T0 + 20, T0 + 21, "ok"), "unknown"),
        (Event("seen", T0 + 20, T0 + 21, "ok", level=1, stat_after="moved on"), "stale"),
        (put(T0 + 20), "present"),
    ],
)
def test_what_was_found_later_ends_a_verification_and_a_good_read_restores_it(event: Event, expected: str) -> None:
    assert state(put(), read(), event) == expected
    assert state(put(), read(), event, read(T0 + 30)) == "verified"


def test_a_read_that_began_before_trouble_was_found_does_not_clear_it() -> None:
    long_read = read(T0 + 10, ended_at=T0 + 50)
    assert state(put(), read(T0 + 20, result="mismatch"), long_read) == "corrupt"


def test_a_foreign_place_says_nothing_and_a_silent_one_takes_nothing_back() -> None:
    foreign = replace(PLACE, probe="foreign", probed_at=T0 + 100, probe_error="no marker")
    silent = replace(PLACE, probe="unreachable", probed_at=T0 + 100, probe_error="timeout")
    assert state(put(), read(), place=foreign) == "foreign"
    found = status(fold([put(), read()], BLOB), silent, T0 + DAY, TTL)
    assert found.state == "verified" and "timeout" in found.reason
    assert state(put(), read(), place=silent, now=T0 + 60 * DAY) == "unknown"
    assert state(put(), place=silent) == "unknown"
    assert state(put(), read(T0 + 200), place=foreign) == "verified", "a read since then speaks for itself"


def test_trust() -> None:
    assert state(put(), read(level=3), place=replace(PLACE, trust="untrusted")) == "present"
    assert state(put(), read(level=4), place=replace(PLACE, trust="untrusted")) == "verified"
    assert state(put(), read(), place=replace(PLACE, trust="dead")) == "unknown"
    assert state(put(), read(), place=replace(PLACE, added_at=T0 + 50)) == "present", "added again: read it again"


# --- the same rule, said another way, over any history

bad_results = st.sampled_from(["mismatch", "missing", "flaky", "unreadable"])
changes = st.fixed_dictionaries(
    {},
    optional={
        "level": st.integers(0, 4), "digest": st.sampled_from([D, OTHER]), "size_bytes": st.sampled_from([100, 99]),
        "marker_end": st.sampled_from(["place-1", "place-2"]), "stat_after": st.sampled_from(["t", "u"]),
        "cold": st.booleans(), "result": bad_results,
    },
)  # fmt: skip
kinds = st.one_of(
    st.just("put"), st.just("read"), changes, st.sampled_from(["quarantine", "delete_intent"]),
)  # fmt: skip
histories = st.lists(st.tuples(kinds, st.sampled_from([1.0, 30.0, 700.0, DAY])), max_size=7)


def history(steps: Sequence[tuple[object, float]]) -> list[Event]:
    events, at = [], T0
    for kind, pause in steps:
        at += pause
        if kind == "put":
            events.append(put(at))
        elif isinstance(kind, dict):
            events.append(read(at, **kind))
        elif kind == "read":
            events.append(read(at))
        else:
            events.append(Event(str(kind), at, at + 1, "ok"))
    return events


def said_plainly(events: list[Event], now: float) -> bool:
    """The rule as a sentence: the last read that proves it is recent, and nothing after it says otherwise."""
    for i, event in reversed(list(enumerate(events))):
        last_put = max((e.ended_at for e in events[:i] if e.kind == "put"), default=None)
        fresh_write = last_put is not None and event.started_at < last_put + COLD_WITHIN_S
        proves = (
            event.kind == "verify" and event.result == "match" and event.level >= 3 and event.digest == D
            and event.size_bytes == 100 and event.marker_start == event.marker_end == "place-1"
            and event.stat_before == event.stat_after and (event.cold or not fresh_write)
        )  # fmt: skip
        later = events[i + 1 :]
        ended = any(e.kind != "verify" or e.result != "match" for e in later)
        if proves:
            return not ended and 0 <= now - event.ended_at <= TTL
    return False


@settings(max_examples=400, deadline=None)
@given(histories, st.sampled_from([0.5, 2.0, DAY, 31 * DAY]))
def test_verified_means_what_it_says_over_any_history(steps: list[tuple[object, float]], later: float) -> None:
    events = history(steps)
    now = (events[-1].started_at if events else T0) + later
    assert (state(*events, now=now) == "verified") == said_plainly(events, now)


@given(histories)
def test_folding_piece_by_piece_is_folding_at_once(steps: list[tuple[object, float]]) -> None:
    events = history(steps)
    standing = Standing()
    for event in events:
        standing = fold([event], BLOB, standing)
    assert standing == fold(events, BLOB)


# --- which copies count

HERE = Origin("trainer", "fs-1", "host:trainer")
FOLDER = Place("f", "folder", "host:trainer", klass="ephemeral", host="trainer", filesystem="fs-2")


def test_a_folder_on_the_same_filesystem_never_counts_whatever_its_label() -> None:
    labelled = replace(FOLDER, filesystem="fs-1", domain="nas", klass="durable", labelled=True)
    assert custody.why_not_elsewhere(labelled, HERE) == "same filesystem"


def test_a_folder_on_another_disk_counts_only_with_a_label_and_a_class_that_outlives_the_machine() -> None:
    assert "same machine" in custody.why_not_elsewhere(FOLDER, HERE)
    assert "same machine" in custody.why_not_elsewhere(replace(FOLDER, domain="nas", labelled=True), HERE)
    assert "same machine" in custody.why_not_elsewhere(replace(FOLDER, klass="durable"), HERE)
    outlives = replace(FOLDER, domain="nas", labelled=True, klass="durable")
    assert custody.why_not_elsewhere(outlives, HERE) == ""
    assert custody.why_not_elsewhere(replace(outlives, klass="offline"), HERE) == ""


def test_another_machine_counts_unless_a_label_says_it_fails_together() -> None:
    other = Place("o", "other", "host:other", host="other", filesystem="fs-9")
    assert custody.why_not_elsewhere(other, HERE) == ""
    assert "failure domain" in custody.why_not_elsewhere(replace(other, domain="host:trainer"), HERE)


def test_labels_merge_places_and_never_split_them() -> None:
    a = Place("a", "a", "rack-1", host="h1", filesystem="x")
    b = Place("b", "b", "rack-1", host="h2", filesystem="y")
    c = Place("c", "c", "rack-2", host="h2", filesystem="z", labelled=False)
    same_disk = Place("d", "d", "rack-9", host="h9", filesystem="x", labelled=True)
    groups = custody.domain_groups([a, b, c, same_disk])
    assert groups["a"] == groups["b"], "one label"
    assert groups["b"] == groups["c"], "one machine"
    assert groups["a"] == groups["d"], "one filesystem, whatever the label"
    lone = Place("e", "e", "rack-3", host="h3", filesystem="w")
    assert len(set(custody.domain_groups([a, lone]).values())) == 2


# --- may it go?

NEED = Need("run", "best.pt", D, 1, 2)
FAR = Place("far", "far", "far", host="h1", filesystem="1")
FARTHER = Place("farther", "farther", "farther", host="h2", filesystem="2")


def proof(place: Place, digest: str = D) -> Proof:
    return Proof(1, place.id, digest, T0, "t")


def blockers(proofs: list[Proof], not_counting: dict[str, str] | None = None, **options: bool) -> list[str]:
    places = {place.id: place for place in (FAR, FARTHER)}
    by_digest = {D: proofs} if proofs else {}
    found = custody.missing_proofs([NEED], by_digest, places, not_counting or {}, **options)
    return [blocker.reason for blocker in found]


def test_enough_proofs_in_independent_places_let_it_go() -> None:
    assert blockers([proof(FAR), proof(FARTHER)]) == []


def test_one_proof_is_enough_only_when_that_is_accepted() -> None:
    assert "--accept-single" in blockers([proof(FAR)])[0]
    assert blockers([proof(FAR)], accept_single=True) == []
    assert blockers([], accept_single=True) != []


def test_two_proofs_that_fail_together_are_one() -> None:
    assert blockers([proof(FAR), proof(FAR)]) != []


def test_a_proof_on_the_machine_itself_is_none() -> None:
    found = blockers([proof(FAR), proof(FARTHER)], {"far": "it is on trainer itself"})
    assert found and "it is on trainer itself" in found[0]


def test_a_permit_ends_when_its_earliest_proof_grows_old() -> None:
    old = replace(proof(FAR), verified_at=T0 - 800)
    assert custody.permit_expiry(T0, [old, proof(FARTHER)], ttl_s=900, permit_s=600) == T0 + 100
    assert custody.permit_expiry(T0, [proof(FAR)], ttl_s=900, permit_s=600) == T0 + 600


def test_the_graver_reason_leads() -> None:
    assert custody.gravest([11, 21, 13, 12]) == 13
    assert custody.gravest([12, 20]) == 20
    assert custody.gravest([]) is None

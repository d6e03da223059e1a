"""Every guard of the rule is needed: with it a danger is stopped, and with it taken out, in the program's own text, the
same danger goes through. A guard that could be removed without a test noticing would be here as a failure.
"""

import hashlib
import inspect
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import pytest

from registry import clock, custody, events
from registry.copies import drop, proof
from registry.copies.pins import write_pin
from registry.copies.remotes import add_remote, set_trust
from registry.guard import permit, release, sweep
from registry.remotes.folder import FolderStore
from registry.tables import Deployment

from .conftest import blob_path
from .test_rule import BLOB, DAY, HERE, OTHER, PLACE, T0, TTL, put, read
from .world import World, small_world


def functions(namespace: dict[str, Any]) -> Iterator[tuple[str, FunctionType]]:
    """Every function and method that a namespace defines, by its dotted name."""
    for name, value in namespace.items():
        found = (
            value.__func__ if isinstance(value, staticmethod) else value.fget if isinstance(value, property) else value
        )
        if isinstance(found, FunctionType):
            yield name, found
        elif inspect.isclass(value) and value.__module__ == namespace.get("__name__"):
            yield from ((f"{name}.{inner}", function) for inner, function in functions(dict(vars(value))))


@contextmanager
def without(module: ModuleType, *changes: str) -> Iterator[None]:
    """Run the block with pieces of a module's text replaced (`guard, instead, guard, instead, …`); every reference to
    its functions sees the change."""
    text = Path(str(module.__file__)).read_text()
    for guard, instead in zip(changes[::2], changes[1::2], strict=True):
        assert text.count(guard) == 1, f"{guard!r} is {text.count(guard)} times in {module.__name__}"
        text = text.replace(guard, instead)
    scratch: dict[str, Any] = {"__name__": module.__name__, "__file__": module.__file__}
    exec(compile(text, str(module.__file__), "exec"), scratch)
    mutated = dict(functions(scratch))
    own = {name: function for name, function in functions(vars(module)) if function.__module__ == module.__name__}
    before = {name: function.__code__ for name, function in own.items()}
    try:
        for name, function in own.items():
            function.__code__ = mutated[name].__code__
        yield
    finally:
        for name, function in own.items():
            function.__code__ = before[name]


# --- when a copy is verified: one history for each condition, good but for that

NOT_VERIFIED: list[tuple[str, str, Callable[[], list[custody.Event]], dict[str, Any]]] = [
    ("event.level < REMOTE_READ,", "False,", lambda: [put(), read(level=2)], {}),
    ("event.digest != blob.digest,", "False,", lambda: [put(), read(digest=OTHER)], {}),
    ("event.size_bytes != blob.size_bytes,", "False,", lambda: [put(), read(size_bytes=99)], {}),
    (
        "not event.marker_start or event.marker_start != event.marker_end or event.marker_start != blob.remote_id,",
        "False,",
        lambda: [put(), read(marker_end="place-2")],
        {},
    ),
    ("not event.stat_after or event.stat_before != event.stat_after,", "False,",
     lambda: [put(), read(stat_after="u")], {}),
    ("event.ended_at < event.started_at,", "False,", lambda: [put(), read(ended_at=T0 + 9)], {}),
    ("put_at is not None and event.started_at < put_at,", "False,", lambda: [put(), read(started_at=T0 - 1)], {}),
    ('blob.medium == "disk" and not event.cold and', "False and", lambda: [put(), read(cold=False)], {}),
    ("if standing.trouble_at is not None and event.started_at < standing.trouble_at:", "if False:",
     lambda: [put(), read(T0 + 20, result="mismatch"), read(T0 + 10, ended_at=T0 + 50)], {}),
    ("return Standing(put_at=event.ended_at, method=event.method)", "return replace(standing, put_at=event.ended_at)",
     lambda: [put(), read(), put(T0 + 99)], {}),
    ("    if standing.trouble:\n", "    if False:\n", lambda: [put(), read(), read(T0 + 20, result="missing")], {}),
    ("if standing.token and event.stat_after and event.stat_after != standing.token:", "if False:",
     lambda: [put(), read(), custody.Event("seen", T0 + 20, T0 + 21, "ok", level=1, stat_after="v")], {}),
    ("if age_s < 0:", "if False:", lambda: [put(), read()], {"now": T0 + 10.5}),
    ("if age_s > ttl_s:", "if False:", lambda: [put(), read()], {"now": T0 + 99 * DAY}),
    ("if standing.verified_from < place.added_at:", "if False:", lambda: [put(), read()],
     {"place": replace(PLACE, added_at=T0 + 50)}),
    ('if place.trust == "untrusted" and', "if False and", lambda: [put(), read(level=3)],
     {"place": replace(PLACE, trust="untrusted")}),
    ('if place.trust == "dead":', "if False:", lambda: [put(), read()], {"place": replace(PLACE, trust="dead")}),
    ('if place.probe == "foreign" and', "if False and", lambda: [put(), read()],
     {"place": replace(PLACE, probe="foreign", probed_at=T0 + 100)}),
]  # fmt: skip


@pytest.mark.parametrize(("guard", "instead", "history", "given"), NOT_VERIFIED, ids=[case[0] for case in NOT_VERIFIED])
def test_each_condition_of_verified_is_needed(
    guard: str, instead: str, history: Callable[[], list[custody.Event]], given: dict[str, Any]
) -> None:
    def verdict() -> str:
        standing = custody.fold(history(), BLOB)
        return custody.status(standing, given.get("place", PLACE), given.get("now", T0 + DAY), TTL).state

    assert verdict() != "verified"
    with without(custody, guard, instead):
        assert verdict() == "verified"


SAME_DISK = replace(PLACE, filesystem="fs-1", host="trainer", labelled=True)
TOGETHER = [
    ("if place.filesystem and place.filesystem == origin.filesystem:", SAME_DISK),
    ("if place.host and place.host == origin.host and not outlives_machine(place):",
     replace(SAME_DISK, filesystem="fs-2", labelled=False)),
    ("if place.domain == origin.domain:", replace(PLACE, domain="host:trainer")),
]  # fmt: skip


@pytest.mark.parametrize(("guard", "place"), TOGETHER, ids=[case[0] for case in TOGETHER])
def test_each_way_to_fail_together_is_needed(guard: str, place: custody.Place) -> None:
    assert custody.why_not_elsewhere(place, HERE)
    with without(custody, guard, "if False:"):
        assert not custody.why_not_elsewhere(place, HERE)


FAR = replace(PLACE, id="place-2", domain="far", host="trainer-2", filesystem="fs-9")
NEAR = replace(FAR, id="place-3", domain="near", filesystem="fs-8")
WAYS = [
    ("if a.id == b.id:", FAR, replace(NEAR, id="place-2", host="trainer-3")),
    ("if a.filesystem and a.filesystem == b.filesystem:", FAR, replace(NEAR, filesystem="fs-9", host="trainer-3")),
    ("if a.host and a.host == b.host and not (outlives_machine(a) and outlives_machine(b)):", FAR, NEAR),
]


@pytest.mark.parametrize(("guard", "one", "other"), WAYS, ids=[case[0] for case in WAYS])
def test_each_way_that_two_places_fail_together_is_needed(guard: str, one: custody.Place, other: custody.Place) -> None:
    one, other = replace(one, labelled=False), replace(other, labelled=False)
    assert custody.why_together(one, other)
    with without(custody, guard, "if False:"):
        assert not custody.why_together(one, other)


@pytest.mark.parametrize("guard", ["place.labelled and", 'and place.klass in ("durable", "offline")'])
def test_what_outlives_a_machine_has_a_label_and_a_class(guard: str) -> None:
    place = replace(SAME_DISK, filesystem="fs-2", labelled=guard.startswith("and"), klass="ephemeral"
                    if guard.startswith("and") else "durable")  # fmt: skip
    assert "same machine" in custody.why_not_elsewhere(place, HERE)
    with without(custody, guard, ""):
        assert not custody.why_not_elsewhere(place, HERE)


# --- may it go: one danger for each question of the guard


def no_copy(world: World) -> bool:
    world.train("one", b"weights")
    return world.release("one")


def still_running(world: World) -> bool:
    world.train("one", b"weights")
    world.copy("one", "a")
    world.say("one", events.Resume(at=world.now, run="one", host={"name": sweep.socket.gethostname()}))
    return world.release("one")


def another_runs(world: World) -> bool:
    world.train("one", b"weights")
    world.copy("one", "a")
    world.train("two", b"others")
    world.copy("two", "a")
    world.say("two", events.Resume(at=world.now, run="two", host={"name": sweep.socket.gethostname()}))
    return world.release("one")


def journal_gone(world: World) -> bool:
    world.train("one", b"weights")
    world.copy("one", "a")
    (world.file_of("one").parent / "journal.jsonl").unlink()
    return world.release("one")


def not_recorded(world: World) -> bool:
    world.train("one", b"weights")
    world.copy("one", "a")
    world.file_of("one").with_name("checkpoint.pt").write_bytes(b"x")
    return world.release("one")


def folder_missing(world: World) -> bool:
    world.train("one", b"weights")
    world.copy("one", "a")
    return world.release("one", roots=(str(world.machine / "checkpoints_v2"),))


def nothing_made(world: World) -> bool:
    world.train("one", b"weights", register=False)
    world.file_of("one").unlink()
    return world.release("one")


def file_changed(world: World) -> bool:
    world.train("one", b"weights")
    world.copy("one", "a")
    world.file_of("one").write_bytes(b"WEIGHTS")
    return world.release("one")


def file_gone(world: World) -> bool:
    world.train("one", b"weights")
    world.copy("one", "a")
    world.file_of("one").unlink()
    return world.release("one")


def copy_on_the_machine(world: World) -> bool:
    world.train("one", b"weights")
    add_remote(world.db, "m", str(world.machine / "copies"), domain="far", klass="durable")
    world.copy("one", "m")
    return world.release("one")


def rotten_at_the_last_moment(world: World) -> bool:
    world.train("one", b"weights")
    world.copy("one", "a")
    return world.release("one", between=lambda: world.flip("a", next(iter(world.blobs))))


def written_at_the_last_moment(world: World) -> bool:
    world.train("one", b"weights")
    world.copy("one", "a")
    return world.release("one", between=lambda: world.file_of("one").with_name("late.pt").write_bytes(b"x"))


def bystander_without_a_copy(world: World) -> bool:
    world.train("one", b"weights")
    world.copy("one", "a")
    world.train("two", b"others")
    return world.release("one")


def one_copy_of_two(world: World) -> bool:
    (world.machine / "registry.toml").write_text("[policy]\nnum_copies = 2\n")
    world.db.__dict__.pop("settings", None)
    world.train("one", b"weights")
    world.copy("one", "a")
    return world.release("one")


def dropped_and_written_anew(world: World) -> bool:
    """A file was dropped once it was safe; later another one, which nobody recorded, took its name."""
    world.train("one", b"weights")
    world.copy("one", "a")
    drop.drop_origins(world.db, world.artifacts("one"))
    world.file_of("one").write_bytes(b"newer weights")
    return world.release("one")


def made_elsewhere(world: World) -> bool:
    """The files of a run of another machine are mirrored here and safe; what else lies there, nobody looked at."""
    world.train("one", b"weights", host="gpu")
    world.copy("one", "a")
    return world.release("one")


def journal_torn(world: World) -> bool:
    world.train("one", b"weights")
    world.copy("one", "a")
    with open(world.file_of("one").with_name("journal.jsonl"), "ab") as journal:
        journal.write(b'{"t":"artifact","at":1,"role":"best","path":"be')
    return world.release("one")


def link_leads_out(world: World) -> bool:
    world.train("one", b"weights")
    world.copy("one", "a")
    (world.folder / "scratch").mkdir()
    (world.folder / "scratch" / "best.pt").write_bytes(b"x")
    world.file_of("one").with_name("checkpoints").symlink_to(world.folder / "scratch")
    return world.release("one")


def dead_place(world: World) -> bool:
    world.train("one", b"weights")
    world.copy("one", "a")
    set_trust(world.db, "a", "dead")
    return world.release("one")


def two_places_that_fail_together(world: World) -> bool:
    (world.machine / "registry.toml").write_text("[policy]\nnum_copies = 2\n")
    world.db.__dict__.pop("settings", None)
    add_remote(world.db, "a2", str(world.folder / "a2"), domain="a", klass="durable")
    world.train("one", b"weights")
    world.copy("one", "a")
    world.copy("one", "a2")
    return world.release("one")


def changed_at_the_last_moment(world: World) -> bool:
    world.train("one", b"weights")
    world.copy("one", "a")
    return world.release("one", between=lambda: world.file_of("one").write_bytes(b"WEIGHTS"))


def began_at_the_last_moment(world: World) -> bool:
    world.train("one", b"weights")
    world.copy("one", "a")
    again = events.Resume(at=world.now, run="one", host={"name": sweep.socket.gethostname()})
    return world.release("one", between=lambda: world.say("one", again))


def destroys_what_serves(world: World) -> bool:
    world.train("one", b"weights")
    (found,) = world.artifacts("one")
    with world.db.write() as session:
        artifact = {"run_id": "one", "artifact_id": found.id, "digest": found.digest}
        session.add(Deployment(target="production", since=world.now, by="t", **artifact))
    return world.release("one", destroy=tuple(world.blobs), reason="an old one")


READING = "            if doubt:\n"
LAST_LOOK = "if identity != connected.place.id or moved:"
GUARDS: list[tuple[Callable[[World], bool], ModuleType, str, str]] = [
    (no_copy, permit, "if not judgement.ok:", "if False:"),
    (no_copy, custody, "if n_found >= n_wanted:", "if True:"),
    (one_copy_of_two, custody, "else need.num_copies", "else need.min_copies"),
    (still_running, release, 'if run.status in ("running", "queued"):', "if False:"),
    (another_runs, release, "for run in (*runs, *neighbours):", "for run in runs:"),
    (journal_gone, release, 'if run.folder is None or run.source != "journal":', "if True:"),
    (not_recorded, sweep, "inventory.blockers.append(Blocker(root.run, path,", "print(Blocker(root.run, path,"),
    (folder_missing, sweep, "if not files and root.must_exist:", "if False:"),
    (nothing_made, release, "if not recorded and not judgement.destroyed:", "if False:"),
    (file_changed, release, "elif content.digest != digest:", "elif False:"),
    (file_gone, release, "            if artifact.is_at_origin:\n", "            if False:\n"),
    (dropped_and_written_anew, release, "for artifact in self._artifacts if artifact.is_at_origin]",
     "for artifact in self._artifacts]"),
    (made_elsewhere, release, 'if _host_of(run) not in ("", self._machine.name):', "if False:"),
    (journal_torn, release, "elif cursor is None or cursor.offset != n_bytes:", "elif False:"),
    (link_leads_out, sweep, "inside = any(", "inside = bool("),
    (dead_place, proof, 'if place.trust == "dead"}', "if False}"),
    (two_places_that_fail_together, custody, "n_found = len({groups[proof.place_id] for proof in counted})",
     "n_found = len(counted)"),
    (changed_at_the_last_moment, release, "if looks != self._inventory.recorded.get(path):", "if False:"),
    (began_at_the_last_moment, release, "for blocker in (*now.blockers, *again.blockers)",
     "for blocker in again.blockers"),
    (destroys_what_serves, release, "if artifact.digest in matching and artifact.deployed:", "if False:"),
    (copy_on_the_machine, custody, "if place.filesystem and place.filesystem == origin.filesystem:", "if False:"),
    (rotten_at_the_last_moment, proof, LAST_LOOK, "if False:"),
    (written_at_the_last_moment, release, "if new or now.runs != judgement.runs:", "if False:"),
    (bystander_without_a_copy, release, "wanted = self._without_destroyed(judgement, self._artifacts)",
     "wanted = [artifact for artifact in self._artifacts if artifact.run_id in judgement.runs]"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("danger", "module", "guard", "instead"), GUARDS, ids=[f"{case[0].__name__}-{case[2].strip()}" for case in GUARDS]
)
def test_each_question_of_the_guard_is_needed(
    tmp_path: Path, danger: Callable[[World], bool], module: ModuleType, guard: str, instead: str
) -> None:
    for folder, mutated in (("with", False), ("without", True)):
        (tmp_path / folder).mkdir()
        with small_world(tmp_path / folder) as world, without(module, guard, instead) if mutated else nullcontext():
            assert danger(world) is mutated


@pytest.mark.parametrize("deed", ["release", "drop"])
def test_a_rotten_copy_is_stopped_by_its_reading_and_again_by_the_last_look(tmp_path: Path, deed: str) -> None:
    no_last_look = (LAST_LOOK, "if False:")
    for folder, changes in (("with", no_last_look), ("without", (*no_last_look, READING, "            if False:\n"))):
        (tmp_path / folder).mkdir()
        with small_world(tmp_path / folder) as world:
            world.train("one", b"weights")
            world.copy("one", "a")
            world.copy("one", "b")
            for place in ("a", "b") if deed == "release" else ("b",):
                world.flip(place, next(iter(world.blobs)))
            with without(proof, *changes):
                went = world.release("one") if deed == "release" else world.drop("one", "a")
            assert went is (folder == "without")


NOT_GIVEN, NOT_USED = "    if expires_at <= now:\n", "    if clock.now() >= expires_at:\n"


@pytest.mark.parametrize(
    ("late", "changes"),
    [
        ("before it is given", ()),
        ("before it is given", (NOT_GIVEN, "    if False:\n")),
        ("before it is used", ()),
        ("before it is used", (NOT_GIVEN, "    if False:\n")),
    ],
)
def test_a_proof_that_grew_old_is_stopped_when_the_permit_is_given_and_when_it_is_used(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, late: str, changes: tuple[str, ...]
) -> None:
    with small_world(tmp_path) as world:
        world.train("one", b"weights")
        world.copy("one", "a")
        if late == "before it is used":
            real = release.Release.still_ok
            monkeypatch.setattr(release.Release, "still_ok", lambda *words: (real(*words), world.tick(3600.0)))

        def attempt() -> bool:
            return world.release("one", between=lambda: world.tick(0.0 if late == "before it is used" else 3600.0))

        with without(permit, *changes):
            assert not attempt()
        with without(permit, NOT_GIVEN, "    if False:\n", NOT_USED, "    if False:\n"):
            assert attempt()


# --- may it be dropped


def last_copy(world: World) -> bool:
    return world.drop("one", "a")


def pinned(world: World) -> bool:
    world.copy("one", "b")
    write_pin(FolderStore(str(world.folder / "a")), "theirs", clock.now() + 600, list(world.blobs))
    return world.drop("one", "a")


def claimed(world: World) -> bool:
    world.copy("one", "b")
    (world.folder / "a" / "index" / "theirs.txt").write_text(f"{next(iter(world.blobs))}  model.pt\n")
    return world.drop("one", "a")


def part_of_a_backup(world: World) -> bool:
    world.copy("one", "b")
    manifest = f"{next(iter(world.blobs))} 7 runs.db\n".encode()
    digest = hashlib.sha256(manifest).hexdigest()
    blob_path(world.folder / "a", digest).parent.mkdir(parents=True, exist_ok=True)
    blob_path(world.folder / "a", digest).write_bytes(manifest)
    (world.folder / "a" / "backups").mkdir()
    said = {"registry": "ours", "digest": digest, "at": world.now, "files": 1, "size_bytes": 7}
    (world.folder / "a" / "backups" / f"{digest}.json").write_text(json.dumps(said))
    return world.drop("one", "a")


def only_where_it_was_made(world: World) -> bool:
    world.lose("a", next(iter(world.blobs)))
    return world.drop_here("one")


def changed_where_it_was_made(world: World) -> bool:
    world.file_of("one").write_bytes(b"newer weights")
    return world.drop_here("one")


DROPS: list[tuple[Callable[[World], bool], ModuleType, str, str]] = [
    (last_copy, drop, 'not_counting = {remote.id: "it is to be dropped there"}', "not_counting = {}"),
    (pinned, drop, "held = pinned_by_others(", "held = {} and pinned_by_others("),
    (claimed, drop, "held = claimed_by_others(", "held = {} and claimed_by_others("),
    (part_of_a_backup, drop, "backups = needed_by_backups(", "backups = {} and needed_by_backups("),
    (only_where_it_was_made, drop, "needs = _strictest(prover.needs_of(holders), digests)", "needs = []"),
    (changed_where_it_was_made, drop, "    if changed:\n", "    if False:\n"),
]  # fmt: skip


@pytest.mark.parametrize(
    ("danger", "module", "guard", "instead"), DROPS, ids=[f"{case[0].__name__}-{case[2].strip()}" for case in DROPS]
)
def test_each_question_of_a_drop_is_needed(
    tmp_path: Path, danger: Callable[[World], bool], module: ModuleType, guard: str, instead: str
) -> None:
    for folder, mutated in (("with", False), ("without", True)):
        (tmp_path / folder).mkdir()
        with small_world(tmp_path / folder) as world:
            world.train("one", b"weights")
            world.copy("one", "a")
            with without(module, guard, instead) if mutated else nullcontext():
                assert danger(world) is mutated

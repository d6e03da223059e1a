"""A small world for tests that try everything: a registry, runs, three places on disks of their own, and what can
befall them. It knows the truth (the bytes on the disks), whatever the registry believes."""

import hashlib
import os
import shutil
from collections.abc import Callable
from contextlib import ExitStack, contextmanager
from pathlib import Path
from unittest import mock

from registry import clock, events
from registry.copies import drop as drop_module
from registry.copies import record as record_module
from registry.copies.record import load_artifacts
from registry.copies.remotes import add_remote
from registry.copies.scrub import Wanted, scrub
from registry.copies.transfer import Progress, copy_artifacts
from registry.database import Database, open_database
from registry.errors import HoldfastError
from registry.guard import permit, release, sweep
from registry.journal import append_event
from registry.remotes import disk
from registry.tables import RunRow

from .conftest import blob_path, flip_byte

PLACES = ("a", "b", "c")
START = 1_900_000_000.0


class World:
    """Everything lies below one folder; each place is taken for a disk of its own, and each file there for durable."""

    def __init__(self, folder: Path, *, num_copies: int = 1) -> None:
        self.folder = folder
        self.now = START
        self.machine = folder / "machine"
        self.machine.mkdir()
        (self.machine / "registry.toml").write_text(f"[policy]\nnum_copies = {num_copies}\n")
        self._stack = ExitStack()
        self._stack.enter_context(mock.patch.object(disk, "filesystem_id", self._filesystem))
        self._stack.enter_context(mock.patch.object(record_module, "filesystem_near", self._filesystem))
        self._stack.enter_context(mock.patch.object(clock, "_source", lambda: self.now))
        self._stack.enter_context(mock.patch.object(os, "fsync", lambda descriptor: None))
        self._stack.enter_context(mock.patch.object(disk, "MEASURED_FILESYSTEMS", ()))
        self._stack.enter_context(mock.patch.object(release, "CLOCK_SLACK_S", START))
        self.db: Database = open_database(str(self.machine / "runs.db"), create=True)
        self.blobs: dict[str, bytes] = {}
        for name in PLACES:
            self.tick()
            add_remote(self.db, name, str(folder / name), domain=name, klass="durable")

    def close(self) -> None:
        self.db.close()
        self._stack.close()

    def _filesystem(self, path: object) -> str:
        """The disk that a path is on: that of its place, else the machine's."""
        relative = Path(str(path)).resolve().relative_to(self.folder.resolve())
        return f"disk-{relative.parts[0]}" if relative.parts else "disk-machine"

    def tick(self, seconds: float = 1.0) -> None:
        self.now += seconds

    # what people do

    def train(self, name: str, content: bytes, *, register: bool = True, host: str = "") -> None:
        """A run of this machine, or of `host`, writes a file; with `register` it says so."""
        self.tick()
        folder = self.machine / "runs" / f"{name}-{name}"
        folder.mkdir(parents=True)
        path = folder / "best.pt"
        path.write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        self.blobs[digest] = content
        said: list[events.Event] = [
            events.Start(
                at=self.now,
                run=name,
                name=name,
                cwd=str(self.machine),
                host={"name": host or sweep.socket.gethostname()},
            )
        ]
        if register:
            stored = path.relative_to(self.machine).as_posix()
            said.append(events.Artifact(self.now, "best", stored, digest, len(content)))
        said.append(events.End(at=self.now, status="finished"))
        for event in said:
            append_event(folder / "journal.jsonl", event)
        from registry.catchup import catch_up

        catch_up(self.db)

    def say(self, name: str, event: events.Event) -> None:
        append_event(self.machine / "runs" / f"{name}-{name}" / "journal.jsonl", event)

    def file_of(self, name: str) -> Path:
        return self.machine / "runs" / f"{name}-{name}" / "best.pt"

    def artifacts(self, name: str) -> list[record_module.ArtifactFacts]:
        with self.db.read() as session:
            return load_artifacts(session, run_ids=[name])

    def copy(self, name: str, place: str) -> bool:
        self.tick()
        try:
            return copy_artifacts(self.db, self.artifacts(name), place, jobs=1).ok
        except HoldfastError:
            return False

    def verify(self, place: str) -> None:
        self.tick()
        try:
            scrub(self.db, Wanted(remote=place), Progress())
        except HoldfastError:
            pass

    def drop(self, name: str, place: str) -> bool:
        """Drop a run's copies from a place; returns whether any went."""
        self.tick()
        try:
            return bool(drop_module.drop_copies(self.db, self.artifacts(name), place).dropped)
        except HoldfastError:
            return False

    def drop_here(self, name: str) -> bool:
        """Drop a run's files where they were made; returns whether any went."""
        self.tick()
        try:
            return bool(drop_module.drop_origins(self.db, self.artifacts(name)).dropped)
        except HoldfastError:
            return False

    def release(
        self,
        *names: str,
        roots: tuple[str, ...] = (),
        destroy: tuple[str, ...] = (),
        reason: str = "",
        between: Callable[[], object] = lambda: None,
    ) -> bool:
        """Try to give the machine back; returns whether the command was called. `between` comes after the judgement."""
        self.tick()
        called = self.folder / "called"
        wish = release.Wish(names or None, roots=roots, destroy=destroy, reason=reason)
        try:
            with release.Release(self.db, sweep.ThisMachine(self.db), wish) as attempt:
                judgement = attempt.judge()
                between()
                permit.let_go(self.db, attempt, judgement, ["touch", str(called)], Progress())
        except HoldfastError:
            assert not called.exists(), "it was refused, and called all the same"
            return False
        called.unlink()
        return True

    # what befalls them

    def flip(self, place: str, digest: str) -> None:
        path = blob_path(self.folder / place, digest)
        if path.exists():
            flip_byte(path, at=0)

    def lose(self, place: str, digest: str) -> None:
        blob_path(self.folder / place, digest).unlink(missing_ok=True)

    def unmount(self, place: str) -> None:
        if (self.folder / place).exists():
            (self.folder / place).rename(self.folder / f"{place}.away")

    def mount(self, place: str) -> None:
        if (self.folder / f"{place}.away").exists():
            shutil.rmtree(self.folder / place, ignore_errors=True)
            (self.folder / f"{place}.away").rename(self.folder / place)

    # the truth

    def readable_at(self, digest: str) -> list[str]:
        """The places, mounted or not, where the right bytes of a blob lie."""
        return [
            place
            for place in PLACES
            for root in (self.folder / place, self.folder / f"{place}.away")
            if blob_path(root, digest).exists()
            and hashlib.sha256(blob_path(root, digest).read_bytes()).hexdigest() == digest
        ]

    def status_of(self, name: str) -> str | None:
        with self.db.read() as session:
            run = session.get(RunRow, name)
            return run.status if run else None


@contextmanager
def small_world(folder: Path, **options: int):  # type: ignore[no-untyped-def]
    world = World(folder, **options)
    try:
        yield world
    finally:
        world.close()

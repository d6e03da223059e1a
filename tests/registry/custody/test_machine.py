"""Any history of copies, faults and clocks: after a release or a drop, every blob that matters can be read back.

The machine knows the bytes on the disks; the registry only what it read. Its rule is checked at the moment of each
deed, against the bytes.
"""

import hashlib
import shutil
import tempfile
from pathlib import Path

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, precondition, rule

from .world import PLACES, World

places = st.sampled_from(PLACES)
runs = st.integers(0, 2)
kinds = st.sampled_from(["nothing", "flip", "lose", "unmount", "forget", "days pass", "clock goes back"])


class Custody(RuleBasedStateMachine):
    """Runs, places and faults in any order."""

    @initialize()
    def begin(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="world-"))
        self.world = World(self.folder)
        self.names: list[str] = []
        self.unregistered = False
        self.train()

    def teardown(self) -> None:
        if hasattr(self, "world"):
            self.world.close()
            shutil.rmtree(self.folder)

    def name(self, number: int) -> str:
        return self.names[number % len(self.names)]

    def digest(self, number: int) -> str:
        return hashlib.sha256(self.content(self.name(number))).hexdigest()

    @staticmethod
    def content(name: str) -> bytes:
        return f"weights of {name}".encode() * 20

    @precondition(lambda self: len(self.names) < 3)
    @rule()
    def train(self) -> None:
        name = f"run{len(self.names)}"
        self.world.train(name, self.content(name))
        self.names.append(name)

    @precondition(lambda self: self.names)
    @rule(number=runs, place=places)
    def copy(self, number: int, place: str) -> None:
        self.world.copy(self.name(number), place)

    @rule()
    def put_in_order(self) -> None:
        """What a careful person does before a release: everything mounted, tidied, copied."""
        self.tidy_up()
        self.world.tick(7200.0)
        for place in PLACES:
            self.world.mount(place)
            for name in self.names:
                self.world.copy(name, place)

    @rule(place=places)
    def verify(self, place: str) -> None:
        self.world.verify(place)

    @precondition(lambda self: self.names)
    @rule(number=runs, place=places)
    def flip(self, number: int, place: str) -> None:
        self.world.flip(place, self.digest(number))

    @precondition(lambda self: self.names)
    @rule(number=runs, place=places)
    def lose(self, number: int, place: str) -> None:
        self.world.lose(place, self.digest(number))

    @rule(place=places)
    def unmount(self, place: str) -> None:
        self.world.unmount(place)

    @rule(place=places)
    def mount(self, place: str) -> None:
        self.world.mount(place)

    @rule(seconds=st.sampled_from([60.0, 3600.0, 40 * 86_400.0, -3600.0]))
    def clock_jumps(self, seconds: float) -> None:
        self.world.tick(seconds)

    @precondition(lambda self: self.names and not self.unregistered)
    @rule(number=runs)
    def write_and_not_say_so(self, number: int) -> None:
        self.world.file_of(self.name(number)).with_name("forgotten.pt").write_bytes(b"forgotten")
        self.unregistered = True

    @rule()
    def tidy_up(self) -> None:
        for path in (self.world.machine / "runs").rglob("forgotten.pt"):
            path.unlink()
        self.unregistered = False

    def befall(self, kind: str, number: int, place: str) -> None:
        """One thing that happens between being in order and the deed."""
        world, digest = self.world, self.digest(number)
        {
            "nothing": lambda: None,
            "flip": lambda: world.flip(place, digest),
            "lose": lambda: world.lose(place, digest),
            "unmount": lambda: world.unmount(place),
            "forget": lambda: self.write_and_not_say_so(number),
            "days pass": lambda: world.tick(40 * 86_400.0),
            "clock goes back": lambda: world.tick(-3600.0),
        }[kind]()

    @rule(number=runs, place=places, befalls=st.lists(st.tuples(kinds, runs, places), max_size=4), ready=st.booleans())
    def drop(self, number: int, place: str, befalls: list[tuple[str, int, str]], ready: bool) -> None:
        if ready:
            self.put_in_order()
        for befallen in befalls:
            self.befall(*befallen)
        before = self.world.readable_at(self.digest(number))
        if self.world.drop(self.name(number), place):
            assert set(self.world.readable_at(self.digest(number))) - {place}, f"dropped the last of {before}"

    @rule(befalls=st.lists(st.tuples(kinds, runs, places), max_size=4), ready=st.booleans())
    def release(self, befalls: list[tuple[str, int, str]], ready: bool) -> None:
        if ready:
            self.put_in_order()
        for befallen in befalls:
            self.befall(*befallen)
        if self.world.release(*self.names):
            assert not self.unregistered, "released over a file that nobody recorded"
            for number in range(len(self.names)):
                assert self.world.readable_at(self.digest(number)), f"{self.name(number)} was on the machine alone"


Custody.TestCase.settings = settings(
    max_examples=25, stateful_step_count=12, deadline=None, suppress_health_check=list(HealthCheck)
)
TestCustody = Custody.TestCase


def test_the_machine_does_release(tmp_path: Path) -> None:
    """The rule above would hold of a guard that never lets anything go: it does."""
    world = World(tmp_path)
    try:
        world.train("one", b"weights")
        assert not world.release("one")
        assert world.copy("one", "a") and world.release("one")
        assert world.copy("one", "b") and not world.drop("one", "a"), "the release has pinned it"
        world.tick(7200)
        assert world.drop("one", "a")
    finally:
        world.close()

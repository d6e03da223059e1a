"""Which of a run's files keeps a series that several of them carry. Decisions only; no file and no table is touched.

For each file and each name there is a role: `own` (its values are the series), `echo` (it repeats another file's
series, and is compared with it), `drop` (a progress bar or a last value that a proper line has too), or `as …` (same
name, other values: kept under a name that says whose they are).
"""

import re
from collections import defaultdict
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from registry.ingest.jsontext import printable

CHECKED_ENOUGH = 200
MAX_NAME_CHARS = 300
MIN_DISJOINT = 3
_WEAK = {"final": 0, "bar": 1}


@lru_cache(maxsize=65536)
def canonical(name: str) -> str:
    """Return a name as names are compared: lower case, words joined by `_`."""
    return re.sub(r"[^a-z0-9]+", "_", name.lower()).strip("_")


@dataclass
class Role:
    """What one file's series of one name is to the run."""

    kind: str
    axis: str
    target: str
    checked: int = 0
    waiting: list[list[Any]] = field(default_factory=list)

    def wants_more(self) -> bool:
        """Return whether further values are to be compared with the owner's."""
        return self.kind == "echo" and self.checked + len(self.waiting) < CHECKED_ENOUGH

    def packed(self) -> list[Any]:
        """Return the role as JSON."""
        return [self.kind, self.axis, self.target, self.checked, self.waiting]


@dataclass(frozen=True)
class Holder:
    """A file that may hold a series.

    `label` is what to call it, `trust` how much its values are trusted, `family` the same for files that carry on one
    another's series (event files of one folder, a log and what was rotated from it).
    """

    path: str
    label: str
    trust: int
    family: str

    def outranks(self, other: "Holder") -> bool:
        """Return whether this file keeps a series that both carry."""
        return (-self.trust, self.path) < (-other.trust, other.path)


class Roles:
    """The roles of all files of one run."""

    def __init__(self, holders: list[Holder], packed: dict[str, dict[str, list[Any]]]) -> None:
        self.holders = {holder.path: holder for holder in holders}
        self.table: dict[str, dict[str, Role]] = {
            path: {name: Role(*role) for name, role in packed.get(path, {}).items()} for path in self.holders
        }
        self._by_name: dict[str, list[tuple[str, Role]]] = defaultdict(list)
        for path, roles in self.table.items():
            for role in roles.values():
                self._by_name[canonical(role.target)].append((path, role))
        self.rebuild = False
        """Set when values that were recorded should not have been: the run must be read anew."""

    def packed(self, path: str) -> dict[str, list[Any]]:
        """Return the roles of a file as JSON."""
        return {name: role.packed() for name, role in self.table[path].items()}

    def role(self, path: str, name: str, axis: str) -> Role:
        """Return the role of a file's series, decided on its first value; another axis is a series apart."""
        key = name if axis in ("step", "epoch") else f"{axis}:{name}"
        known = self.table[path].get(key)
        if known is None:
            known = self.table[path][key] = self._decide(path, printable(name)[:MAX_NAME_CHARS], axis)
            self._by_name[canonical(known.target)].append((path, known))
        if known.axis == axis or known.kind in ("echo", "drop"):
            return known
        other = f"{axis}:{name}"
        if other not in self.table[path]:
            self.table[path][other] = Role("as", axis, f"{axis}/{printable(name)[:MAX_NAME_CHARS]}")
        return self.table[path][other]

    def _decide(self, path: str, name: str, axis: str) -> Role:
        """Return the role of a new series, and demote the one that it outranks."""
        for other_path, other in self._by_name[canonical(name)]:
            if other.kind != "own":
                continue
            mine, theirs = _WEAK.get(axis, 2), _WEAK.get(other.axis, 2)
            if mine < theirs:
                return Role("drop", axis, other.target)
            if mine > theirs:
                other.kind, self.rebuild = "drop", True
                continue
            if self.holders[other_path].family == self.holders[path].family:
                return Role("own", axis, name)
            if self.holders[path].outranks(self.holders[other_path]):
                other.kind, other.target, other.checked, other.waiting = "echo", name, 0, []
                self.rebuild = True
                continue
            return Role("echo", axis, other.target)
        return Role("own", axis, name)

    def compare(self, path: str, name: str, owner: dict[int, list[float | None]], last_step: int | None) -> None:
        """Compare an echo's waiting values with the owner's at the same steps; a difference sets it apart."""
        role = self.table[path][name]
        still_waiting = []
        for step, value in role.waiting:
            values = owner.get(step)
            if values is None:
                if last_step is None or step > last_step:
                    still_waiting.append([step, value])
                continue
            if not any(agree(value, other) for other in values):
                self.set_apart(path, name)
                return
            role.checked += 1
        role.waiting = still_waiting

    def set_apart(self, path: str, name: str) -> None:
        """Give a file's series a name of its own."""
        role = self.table[path][name]
        role.kind, role.target, role.waiting = "as", f"{self.holders[path].label}/{name}", []
        self.rebuild = True

    def settle(self) -> None:
        """The files are at rest: an echo that never met its owner on any step is a series apart."""
        for path, roles in self.table.items():
            for name, role in list(roles.items()):
                if role.kind == "echo" and role.checked == 0 and len(role.waiting) >= MIN_DISJOINT:
                    self.set_apart(path, name)


def agree(one: float | None, other: float | None) -> bool:
    """Return whether two printed values may be one number: equal within the coarser one's last decimal place."""
    a = float("nan") if one is None else one
    b = float("nan") if other is None else other
    if a != a or b != b:
        return a != a and b != b
    if a == b or abs(a - b) <= 2e-6 * max(abs(a), abs(b)):
        return True
    return abs(a - b) <= 1.01 * max(_last_place(a), _last_place(b))


def _last_place(value: float) -> float:
    """Return the worth of the last decimal that `value` shows: 0.001 for 0.125, 1 for 42."""
    mantissa, _, exponent = repr(value).partition("e")
    decimals = len(mantissa.partition(".")[2].rstrip("0"))
    return float(10.0 ** (int(exponent or 0) - decimals))

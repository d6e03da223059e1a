"""Checks made in one pass: each sees every record, and says at the end what it found. A check that could not be made is
`unknown`, never `pass`.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from registry.checks.records import DataFile, Record, read_records

MAX_KEPT = 100_000
"""Violations kept word for word by one check; beyond it they are counted only."""


@dataclass(frozen=True)
class Violation:
    """One record that breaks a check: where it stands, what is wrong, and the values that show it."""

    file: str
    record: int | None
    message: str
    values: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Outcome:
    """What one check found. `verdict` is pass, fail or unknown (then `reason` says why it could not be made)."""

    name: str
    kind: str
    verdict: str
    n_checked: int
    n_violations: int
    violations: tuple[Violation, ...] = ()
    reason: str = ""


class Check(Protocol):
    """A check of one data set."""

    def see(self, record: Record) -> None:
        """Look at one record."""

    def finish(self, files: Sequence[DataFile]) -> Outcome:
        """Say what was found, after the last record."""


class Findings:
    """Collects the violations of one check."""

    def __init__(self, name: str, kind: str) -> None:
        self.name = name
        self.kind = kind
        self.n_checked = 0
        self.n_violations = 0
        self._kept: list[Violation] = []

    def add(self, record: Record, message: str, values: dict[str, Any] | None = None) -> None:
        """Note a record that breaks the check."""
        self.add_violation(Violation(record.file, record.number, message, values or {}))

    def add_violation(self, violation: Violation) -> None:
        """Note a violation, of a record or of the set as a whole."""
        self.n_violations += 1
        if len(self._kept) < MAX_KEPT:
            self._kept.append(violation)

    def outcome(self, *, unknown: str = "") -> Outcome:
        """Return what was found; with `unknown`, or when nothing at all was looked at, the verdict is unknown."""
        reason = unknown or ("" if self.n_checked or self.n_violations else "there was nothing to look at")
        verdict = "fail" if self.n_violations else "unknown" if reason else "pass"
        return Outcome(self.name, self.kind, verdict, self.n_checked, self.n_violations, tuple(self._kept), reason)


def validate(files: Sequence[DataFile], checks: Iterable[Check]) -> list[Outcome]:
    """Make all checks in one pass over the records of the files.

    Raises NotFoundError or RefusedError when a file cannot be read.
    """
    made = list(checks)
    for file in files:
        for record in read_records(file) or ():
            for check in made:
                check.see(record)
    return [check.finish(files) for check in made]

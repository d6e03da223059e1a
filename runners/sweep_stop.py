"""Which trials of a sweep are ended before their last step, and when the whole sweep has what it was for.

The rule is pure; `Judge` asks the record what the trials have reached and applies it. Nothing here ends a process.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from registry.errors import UsageError
from registry.record import Registry

REDUCTION = 3
"""Of the trials that come to a rung one in so many goes on; each rung is so many times as far as the one before."""
FIRST_RUNG = 3


@dataclass(frozen=True)
class Rules:
    """What `--stop` asks for: successive halving, its first rung in values of the metric; the first that passes."""

    first_rung: int | None = None
    gates: bool = False

    def __bool__(self) -> bool:
        return self.gates or self.first_rung is not None


def read_rules(words: Sequence[str]) -> Rules:
    """Return the rules of `asha`, `asha:N` and `gates`. Raises UsageError for other words."""
    first_rung, gates = None, False
    for word in words:
        name, colon, number = word.partition(":")
        if name == "asha" and (not colon or (number.isdigit() and int(number) > 0)):
            first_rung = int(number) if colon else FIRST_RUNG
        elif word == "gates":
            gates = True
        else:
            raise UsageError(f"--stop {word!r}", hint="write --stop asha, --stop asha:10 or --stop gates")
    return Rules(first_rung, gates)


@dataclass
class Halving:
    """Asynchronous successive halving, in the form that stops (Li et al., MLSys 2020, arXiv:1810.05934).

    A trial comes to a rung with its `first * REDUCTION**k`-th value, by the best it had up to there. It goes on when it
    is among the best third (at least one) of those that have come to this rung so far.
    """

    first: int
    goal: str
    _reached: dict[int, dict[int, float]] = field(default_factory=dict)

    def next_rung(self, trial: int) -> int:
        """Return how many values a trial needs for the next rung that it has not come to yet."""
        rung = self.first
        while trial in self._reached.get(rung, {}):
            rung *= REDUCTION
        return rung

    def verdict(self, trial: int, values: Sequence[float | None]) -> str:
        """Return why a trial with these values of the metric, in their order, should end; "" when it should go on."""
        while len(values) >= (rung := self.next_rung(trial)):
            others = self._reached.setdefault(rung, {})
            others[trial] = value = _best(values[:rung], self.goal)
            ranked = sorted(others.values(), reverse=self.goal == "max")
            place = ranked.index(value) + 1
            if place > math.ceil(len(ranked) / REDUCTION):
                return f"number {place} of {len(ranked)} after {rung} values ({value:.6g})"
        return ""


def _best(values: Sequence[float | None], goal: str) -> float:
    """Return the best finite value; the worst there can be when none is finite."""
    finite = [value for value in values if value is not None and math.isfinite(value)]
    if not finite:
        return -math.inf if goal == "max" else math.inf
    return max(finite) if goal == "max" else min(finite)


@dataclass
class Judge:
    """Applies the rules to the trials below a parent, as the record has them."""

    record: Registry
    parent_id: str
    rules: Rules
    enough: str = ""
    """Why the sweep has what it was for; no trial is begun any more."""
    _halvings: dict[tuple[str, str], Halving] = field(default_factory=dict)

    def look(self) -> dict[int, str]:
        """Return the numbers of the trials that should end now, and why."""
        children = self.record.runs(parent=self.parent_id)
        if self.rules.gates and not self.enough:
            self.enough = next((f"{run['name']} passes all its gates" for run in children if _passes(run)), "")
        running = {number_of(run["name"]): run for run in children if run["status"] == "running"}
        if self.enough:
            return dict.fromkeys(running, self.enough)
        if self.rules.first_rung is None:
            return {}
        verdicts = {number: self._judged(number, run) for number, run in sorted(running.items())}
        return {number: f"asha: {why}" for number, why in verdicts.items() if why}

    def _judged(self, number: int, run: dict[str, Any]) -> str:
        goal, metric = criterion_of(run)
        if metric not in run["metrics"]:
            return ""
        assert self.rules.first_rung is not None
        halving = self._halvings.setdefault((metric, goal), Halving(self.rules.first_rung, goal))
        if run["metrics"][metric]["count"] < halving.next_rung(number):
            return ""
        return halving.verdict(number, [value for _, value in self.record.history(run["id"], metric)])


def number_of(name: str) -> int:
    """Return the number of a trial, which its run's name begins with (`3f2a-012 …`)."""
    return int(name[5:].partition(" ")[0])


def criterion_of(run: dict[str, Any]) -> tuple[str, str]:
    """Return goal and name of the metric a trial is judged by: what its family calls best, else the primary one."""
    goal, _, metric = str(run["params"].get("best/criterion", "")).partition(" ")
    if metric:
        return goal, metric
    primary = run["primary_metric"] or ""
    return (run["metrics"][primary]["goal"] or "min" if primary else "min"), primary


def _passes(run: dict[str, Any]) -> bool:
    """Return whether a run has gates and its checkpoint passes every one of them."""
    return run["gates"]["pass"] > 0 and sum(run["gates"].values()) == run["gates"]["pass"]


class Orders:
    """Which trials must end, and why. Whoever runs a trial asks now and then; on a cluster this is an actor."""

    def __init__(self) -> None:
        self._of_trial: dict[int, str] = {}
        self._of_all: str | None = None
        self._n_attempts: dict[int, int] = {}

    def order(self, number: int | None, why: str) -> None:
        """End a trial, or (None) every trial, those that did not begin among them. The first reason stays."""
        if number is not None:
            self._of_trial.setdefault(number, why)
        elif self._of_all is None:
            self._of_all = why

    def reason(self, number: int) -> str | None:
        """Return why a trial must end ("" for a person's wish), None when it goes on."""
        return self._of_trial.get(number, self._of_all)

    def attempt(self, number: int) -> int:
        """Count one more attempt at a trial; returns the how-manieth it is."""
        self._n_attempts[number] = self._n_attempts.get(number, 0) + 1
        return self._n_attempts[number]

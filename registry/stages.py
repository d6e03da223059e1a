"""Stages A -> B -> C: what is tried next, decided by the gates of the stage. Pure and light: a history of attempts goes
in, one decision with its reason comes out; whoever trains calls `follow`.
"""

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from registry.errors import UsageError
from registry.gates.judge import GateVerdict, passes
from registry.gates.reader import CHANGE_PATTERN
from registry.gates.suite import Stage, Suite

STAGE_PARAM = "stage"
ATTEMPT_PARAM = "attempt"
"""The params by which a child run says which stage and which attempt (from 1) it is."""


@dataclass(frozen=True)
class Attempt:
    """One try of one stage: a child run with these params. `number` counts from 1 within the stage."""

    stage: str
    number: int
    params: Mapping[str, Any]
    is_fallback: bool = False

    @property
    def name(self) -> str:
        """A name for the child run: `A`, `A2` for its first retry."""
        return self.stage if self.number == 1 else f"{self.stage}{self.number}"


@dataclass(frozen=True)
class Attempted:
    """What came of an attempt: how its run ended, and the verdicts of the stage's gates on its checkpoint."""

    attempt: Attempt
    run_id: str
    status: str
    verdicts: tuple[GateVerdict, ...]

    @property
    def passed(self) -> bool:
        """Whether the run finished and every required gate of the stage passed."""
        return self.status == "finished" and passes(list(self.verdicts))


@dataclass(frozen=True)
class Decision:
    """What is next: `attempt` to make, or None when the chain ended; `passed` says whether it ended well."""

    attempt: Attempt | None
    passed: bool
    reason: str


def decide(suite: Suite, params: Mapping[str, Any], history: Sequence[Attempted]) -> Decision:
    """Return what to do after the attempts made so far.

    A stage that passes leads to the next, with the params that passed. One whose gates fail is tried again with the
    changes of its `retry`, at most `max_retries` times, then once with its `fallback`. A run that did not finish, or a
    gate that reads unknown or uncalibrated, ends the chain: another try would not tell more. Raises UsageError for a
    retry that changes a param the run does not have.
    """
    if not suite.stages:
        raise UsageError(f"suite {suite.name} has no stages", hint="add [[stage]] tables, or leave out --stages")
    if not history:
        return _enter(suite.stages[0], params, f"stage {suite.stages[0].name} begins")
    last = history[-1]
    position = [stage.name for stage in suite.stages].index(last.attempt.stage)
    if last.passed:
        if position + 1 == len(suite.stages):
            return Decision(None, True, f"stage {last.attempt.stage} passed, and it was the last")
        following = suite.stages[position + 1]
        return _enter(following, last.attempt.params, f"stage {last.attempt.stage} passed: on to {following.name}")
    return _try_again(suite.stages[position], last)


def _enter(stage: Stage, params: Mapping[str, Any], reason: str) -> Decision:
    wanted = {**params, **stage.set, STAGE_PARAM: stage.name, ATTEMPT_PARAM: 1}
    return Decision(Attempt(stage.name, 1, wanted), False, reason)


def _try_again(stage: Stage, last: Attempted) -> Decision:
    said = why_not(last)
    failed = any(verdict.required and verdict.verdict == "fail" for verdict in last.verdicts)
    hopeless = any(verdict.required and verdict.verdict in ("unknown", "uncalibrated") for verdict in last.verdicts)
    if last.status != "finished" or hopeless or not failed:
        return Decision(None, False, f"stage {stage.name} ends the chain: {said}")
    number, change = last.attempt.number + 1, {}
    if last.attempt.number <= stage.max_retries:
        change = {key: changed(last.attempt.params, key, how) for key, how in stage.retry.items()}
        reason = f"stage {stage.name} did not pass ({said}): retry {last.attempt.number} of {stage.max_retries}"
    elif stage.fallback and not last.attempt.is_fallback:
        change = dict(stage.fallback)
        reason = f"stage {stage.name} did not pass after {stage.max_retries} retries ({said}): the fallback"
    else:
        return Decision(None, False, f"stage {stage.name} did not pass in {last.attempt.number} attempts: {said}")
    if change:
        reason += f" with {', '.join(f'{key} = {value!r}' for key, value in change.items())}"
    wanted = {**last.attempt.params, **change, ATTEMPT_PARAM: number}
    return Decision(Attempt(stage.name, number, wanted, last.attempt.number > stage.max_retries), False, reason)


def why_not(attempted: Attempted) -> str:
    """Return in words why an attempt did not pass."""
    if attempted.status != "finished":
        return f"the run ended {attempted.status}"
    bad = [verdict for verdict in attempted.verdicts if verdict.required and verdict.verdict != "pass"]
    return "; ".join(f"{verdict.name} {verdict.verdict}: {verdict.reason}" for verdict in bad) or "it has no gates"


def changed(params: Mapping[str, Any], key: str, how: Any) -> Any:
    """Return the value of a param after a retry's change: `+0.05`, `-0.1`, `*2`, or a new value. Raises UsageError."""
    match = CHANGE_PATTERN.fullmatch(how) if isinstance(how, str) else None
    if match is None:
        return how
    before = params.get(key)
    if isinstance(before, bool) or not isinstance(before, int | float):
        raise UsageError(
            f"a retry changes {key!r} by {how}, but the run has {before!r} for it",
            hint=f"give {key} a number: --param {key}=…, or set it in the stage",
        )
    amount, value = Decimal(match[2]), Decimal(str(before))
    after = value * amount if match[1] == "*" else value + amount if match[1] == "+" else value - amount
    return int(after) if isinstance(before, int) and after == int(after) else float(after)


def follow(
    suite: Suite,
    params: Mapping[str, Any],
    attempt: Callable[[Attempt], Attempted],
    say: Callable[[str], None] = lambda _: None,
) -> tuple[list[Attempted], Decision]:
    """Make attempts until the chain ends; returns all of them and the last decision.

    `attempt` trains one child run to its end and returns its verdicts; every decision is told to `say`.
    """
    history: list[Attempted] = []
    while True:
        decision = decide(suite, params, history)
        say(decision.reason)
        if decision.attempt is None:
            return history, decision
        history.append(attempt(decision.attempt))


def stage_verdicts(stage: str, verdicts: Sequence[GateVerdict]) -> tuple[GateVerdict, ...]:
    """Return the verdicts that decide whether a stage is passed: those of its own gates."""
    return tuple(verdict for verdict in verdicts if verdict.stage == stage)


def filled(command: Sequence[str], params: Mapping[str, Any]) -> list[str]:
    """Return a command with `{param}` replaced by its value (text as it is, the rest as JSON); other braces stay."""
    pattern = re.compile(r"\{([A-Za-z_][\w./-]*)\}")
    texts = {key: value if isinstance(value, str) else json.dumps(value) for key, value in params.items()}
    return [pattern.sub(lambda m: texts.get(m[1], m[0]), word) for word in command]

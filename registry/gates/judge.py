"""The verdicts. A gate looks at the checkpoint, not at the run; what is missing does not pass, and neither does a gate
whose controls do not separate. Pure: facts in, verdicts with reasons out.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from registry.gates.suite import BASELINE, CHANGES, Gate, Suite
from registry.metrics import infer_goal

EQUAL_RELATIVE = 1e-9
"""Two numbers are `==` when they differ by less than this share: what a sum of doubles may lose."""


@dataclass(frozen=True)
class Observed:
    """One value with everything that is known of it; `value` may be NaN, `source` says where it was read."""

    value: float
    step: int | None = None
    basis: str = "measured"
    low: float | None = None
    high: float | None = None
    n: int | None = None
    source: str = ""


@dataclass(frozen=True)
class SeriesFacts:
    """One metric's series on one basis: its last value, its extremes, and its value at the checkpoint's step."""

    basis: str
    last: Observed | None = None
    least: Observed | None = None
    greatest: Observed | None = None
    at_checkpoint: Observed | None = None


@dataclass(frozen=True)
class OtherFacts:
    """The run that a gate compares with. `missing` says why it has no facts, `waived` why nothing need be compared."""

    label: str
    facts: "Facts | None" = None
    missing: str = ""
    waived: str = ""


@dataclass(frozen=True)
class Facts:
    """What the record says of one checkpoint and its run.

    `evaluated` are values recorded against the checkpoint's digest, newest first; `subjects` the scores of controls
    and baselines by name and metric; `others` the runs that gates compare with, by the gate's own words.
    """

    checkpoint: str | None = None
    step: int | None = None
    stage: str = ""
    evaluated: Mapping[str, tuple[Observed, ...]] = field(default_factory=dict)
    series: Mapping[str, tuple[SeriesFacts, ...]] = field(default_factory=dict)
    goals: Mapping[str, str] = field(default_factory=dict)
    subjects: Mapping[str, Mapping[str, Observed]] = field(default_factory=dict)
    others: Mapping[str, OtherFacts] = field(default_factory=dict)


@dataclass(frozen=True)
class SubjectScore:
    """What a control or a baseline scored on a gate's metric; `must` is None for a baseline."""

    name: str
    must: str | None
    value: float | None
    verdict: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True)
class GateVerdict:
    """What one gate says of one checkpoint, on what evidence, and why. `beside` are the controls and baselines."""

    suite: str
    stage: str
    name: str
    metric: str
    op: str
    threshold: float | tuple[float, float]
    observed: float | None
    low: float | None
    high: float | None
    step: int | None
    basis: str | None
    required: bool
    verdict: str
    reason: str
    beside: tuple[SubjectScore, ...] = ()


def judge(suite: Suite, facts: Facts) -> list[GateVerdict]:
    """Return the verdict of every gate that concerns the facts, in the suite's order.

    Gates of earlier stages were passed to come here and are left out; those of later stages read `unknown`.
    """
    order = [stage.name for stage in suite.stages]
    reached = order.index(facts.stage) if facts.stage in order else None
    verdicts = []
    for gate in suite.gates:
        if reached is None or not gate.stage or gate.stage == facts.stage:
            verdicts.append(_judge_gate(suite, gate, facts))
        elif order.index(gate.stage) > reached:
            reason = f"stage {gate.stage} was not reached: this is stage {facts.stage}"
            verdicts.append(_verdict(suite, gate, Seen(gate.metric_names[0]), "unknown", reason, ()))
    return verdicts


def passes(verdicts: list[GateVerdict]) -> bool:
    """Return whether every required gate passed, and there was one."""
    required = [verdict for verdict in verdicts if verdict.required]
    return bool(required) and all(verdict.verdict == "pass" for verdict in required)


def _judge_gate(suite: Suite, gate: Gate, facts: Facts) -> GateVerdict:
    beside = _scores_beside(suite, gate, facts)
    seen = observe(gate, facts)
    observed = seen.value
    if observed is None:
        return _verdict(suite, gate, seen, "unknown", seen.missing, beside)
    uncalibrated = _why_uncalibrated(beside)
    word, reason = _decide(gate, facts, observed)
    if uncalibrated and word != "unknown":
        return _verdict(suite, gate, seen, "uncalibrated", f"{uncalibrated}; without that: {reason}", beside)
    return _verdict(suite, gate, seen, word, f"{reason}, {observed.source}" if observed.source else reason, beside)


def _verdict(
    suite: Suite, gate: Gate, seen: "Seen", word: str, reason: str, beside: tuple[SubjectScore, ...]
) -> GateVerdict:
    observed = seen.value
    return GateVerdict(
        suite=suite.name,
        stage=gate.stage,
        name=gate.name,
        metric=seen.metric,
        op=gate.op,
        threshold=gate.threshold,
        observed=observed.value if observed else None,
        low=observed.low if observed else None,
        high=observed.high if observed else None,
        step=observed.step if observed else None,
        basis=observed.basis if observed else None,
        required=gate.required,
        verdict=word,
        reason=reason,
        beside=beside,
    )


# --- the observed value


@dataclass(frozen=True)
class Seen:
    """What a gate sees: the metric's name as it was recorded, and its value or why there is none."""

    metric: str
    value: Observed | None = None
    missing: str = ""


def observe(gate: Gate, facts: Facts) -> Seen:
    """Return the value that the gate looks at, or why there is none."""
    name, candidates = _candidates(gate, facts)
    for candidate in candidates:
        if candidate.basis in gate.basis:
            return Seen(name, candidate)
    if candidates:
        others = ", ".join(f"{_short(other.value)} {other.basis}" for other in candidates)
        return Seen(name, missing=f"{name} is only {others}; the gate counts {' and '.join(gate.basis)} values")
    return Seen(name, missing=_why_missing(gate, facts, name))


def _why_missing(gate: Gate, facts: Facts, name: str) -> str:
    recorded = any(other in facts.series for other in gate.metric_names)
    if gate.on != "checkpoint":
        return (
            f"{name} has no finite value, or no goal that says which is best" if recorded else f"no {name} was recorded"
        )
    if facts.checkpoint is None:
        return f"the run has no checkpoint whose {name} could be looked at"
    if not recorded:
        return f"no {name} was recorded for {facts.checkpoint}"
    at = "has no step" if facts.step is None else f"was taken at step {facts.step}, where {name} was not measured"
    return f"{facts.checkpoint} {at}, and no evaluation of {name} was recorded against it"


def _candidates(gate: Gate, facts: Facts) -> tuple[str, list[Observed]]:
    """Return the metric's name and the values that may count, those recorded against the checkpoint itself first."""
    for name in gate.metric_names:
        found = list(facts.evaluated.get(name, ())) if gate.on == "checkpoint" else []
        for series in facts.series.get(name, ()):
            value = _of_series(gate, series, gate.better or facts.goals.get(name) or infer_goal(name))
            if value is not None:
                found.append(value)
        if found:
            return name, found
    return gate.metric_names[0], []


def _of_series(gate: Gate, series: SeriesFacts, goal: str | None) -> Observed | None:
    if gate.on == "checkpoint":
        return series.at_checkpoint
    if gate.on == "last":
        return series.last
    return {"min": series.least, "max": series.greatest}.get(goal or "")


# --- the decision


_HOLDS: dict[str, Callable[[float, float], bool]] = {
    ">=": lambda value, bound: value >= bound,
    ">": lambda value, bound: value > bound,
    "<=": lambda value, bound: value <= bound,
    "<": lambda value, bound: value < bound,
    "==": lambda value, bound: math.isclose(value, bound, rel_tol=EQUAL_RELATIVE, abs_tol=1e-12),
}


def _decide(gate: Gate, facts: Facts, observed: Observed) -> tuple[str, str]:
    """Return the verdict's word and reason for an observed value, before the controls are asked."""
    if not math.isfinite(observed.value):
        return "fail", f"the value is {_short(observed.value)}"
    if gate.op in CHANGES:
        return _decide_change(gate, facts, observed)
    if not gate.interval:
        return _compare(gate, observed.value, observed.value, _short(observed.value))
    if observed.low is None or observed.high is None:
        return "unknown", "the gate asks for a confidence interval and the evaluation gives none"
    shown = f"{_short(observed.value)} [{_short(observed.low)}, {_short(observed.high)}]"
    return _compare(gate, observed.low, observed.high, shown)


def _compare(gate: Gate, low: float, high: float, shown: str) -> tuple[str, str]:
    if isinstance(gate.threshold, tuple):
        least, most = gate.threshold
        holds = least <= low and high <= most
        return (
            "pass" if holds else "fail"
        ), f"{shown} is {'' if holds else 'not '}in [{_short(least)}, {_short(most)}]"
    holds = _HOLDS[gate.op](low if gate.op in (">=", ">") else high, gate.threshold)
    return ("pass" if holds else "fail"), f"{shown} is {'' if holds else 'not '}{gate.op} {_short(gate.threshold)}"


def _decide_change(gate: Gate, facts: Facts, observed: Observed) -> tuple[str, str]:
    baseline = _baseline(gate, facts)
    if baseline.waived:
        return "pass", baseline.waived
    if baseline.seen.value is None or not math.isfinite(baseline.seen.value.value):
        return "unknown", f"nothing to compare with: {baseline.seen.missing or f'{baseline.label} is not finite'}"
    goal = gate.goal or facts.goals.get(gate.metric) or infer_goal(gate.metric)
    if goal is None:
        return "unknown", f"nobody said whether more or less of {gate.metric} is better (add goal to the gate)"
    if gate.interval and None in (observed.low, observed.high):
        return "unknown", "the gate asks for a confidence interval and the evaluation gives none"
    return _improvement(gate, goal, observed, baseline.seen.value, baseline.label)


@dataclass(frozen=True)
class _Baseline:
    label: str
    seen: Seen
    waived: str = ""


def _baseline(gate: Gate, facts: Facts) -> _Baseline:
    """Return what the gate compares with: a baseline's score by its name, or another run by the same gate."""
    name = gate.against.removeprefix(BASELINE)
    if name != gate.against:
        score = _subject_value(gate, facts.subjects.get(name, {}))
        return _Baseline(name, Seen(gate.metric, score, f"no score of {name} was recorded"))
    other = facts.others.get(gate.against, OtherFacts(gate.against, missing=f"no run {gate.against}"))
    seen = observe(gate, other.facts) if other.facts else Seen(gate.metric, None, other.missing)
    return _Baseline(other.label, seen, other.waived)


def _improvement(gate: Gate, goal: str, observed: Observed, other: Observed, label: str) -> tuple[str, str]:
    """Judge how much better than the baseline; with intervals the worst case of both counts."""
    sign = 1.0 if goal == "max" else -1.0
    mine, theirs = observed.value, other.value
    if gate.interval:
        mine = (observed.low if goal == "max" else observed.high) or 0.0
        edge = other.high if goal == "max" else other.low
        theirs = other.value if edge is None else edge
    change = sign * (mine - theirs)
    assert isinstance(gate.threshold, float)
    if gate.op == "min_absolute_change":
        holds, shown = change >= gate.threshold, f"better by {_short(change)}"
    elif theirs == 0.0:
        return "unknown", f"{label} is 0, so there is no relative change"
    else:
        holds, shown = change / abs(theirs) >= gate.threshold, f"better by {change / abs(theirs):.4g} of it"
    wanted = f"{'at least' if holds else 'less than'} {_short(gate.threshold)}"
    return ("pass" if holds else "fail"), f"{_short(mine)} against {_short(theirs)} of {label}: {shown}, {wanted}"


# --- the controls


def _scores_beside(suite: Suite, gate: Gate, facts: Facts) -> tuple[SubjectScore, ...]:
    """Judge every control and baseline by the gate; one without an interval is judged by its point."""
    wanted: list[tuple[str, str | None]] = [(name, suite.control(name).must) for name in gate.controls]
    wanted += [(baseline.name, None) for baseline in suite.baselines]
    scores = []
    for name, must in wanted:
        score = _subject_value(gate, facts.subjects.get(name, {}))
        if score is not None:
            rule = gate if score.low is not None else replace(gate, interval=False)
            word = _decide(rule, facts, score)[0]
            scores.append(SubjectScore(name, must, score.value, word, score.low, score.high))
        elif must is not None:
            scores.append(SubjectScore(name, must, None, "unknown"))
    return tuple(scores)


def _subject_value(gate: Gate, scores: Mapping[str, Observed]) -> Observed | None:
    return next((scores[name] for name in gate.metric_names if name in scores), None)


def _why_uncalibrated(beside: tuple[SubjectScore, ...]) -> str:
    """Return the first control that the gate does not tell apart, or nothing."""
    controls = [score for score in beside if score.must is not None]
    unmeasured = [score.name for score in controls if score.value is None]
    if unmeasured:
        return f"the gate was never tried on its controls ({', '.join(unmeasured)})"
    for score in controls:
        if score.verdict != score.must and score.value is not None:
            said = {"pass": "passes", "fail": "fails"}.get(score.verdict, f"reads {score.verdict}")
            what = f"{score.name} ({_short(score.value)}) {said} and must {score.must}"
            return f"the gate does not separate its controls: {what}"
    return ""


def _short(value: float) -> str:
    return f"{value:.6g}"

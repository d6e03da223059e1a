"""What a gate suite is: gates, stages, controls, baselines. Plain frozen data; `reader` makes it, `judge` uses it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

COMPARISONS = (">=", ">", "<=", "<", "==", "between")
CHANGES = ("min_absolute_change", "min_relative_change")
PLACES = ("checkpoint", "best", "last")
BASELINE = "baseline:"


@dataclass(frozen=True)
class Gate:
    """A requirement on one metric.

    `op` is a comparison with `threshold`, or one of `CHANGES`: then `threshold` is the least improvement over
    `against`. `controls` are the names of the suite's controls this gate must tell apart.
    """

    name: str
    metric: str
    op: str
    threshold: float | tuple[float, float]
    stage: str = ""
    split: str = ""
    on: str = "checkpoint"
    basis: tuple[str, ...] = ("measured",)
    goal: str | None = None
    required: bool = True
    interval: bool = False
    against: str = ""
    controls: tuple[str, ...] = ()
    why: str = ""

    @property
    def metric_names(self) -> tuple[str, ...]:
        """The names under which a run may have recorded the metric, the first found counts."""
        if not self.split:
            return (self.metric,)
        return (f"{self.split}/{self.metric}", f"{self.metric}/{self.split}")

    @property
    def better(self) -> str | None:
        """The direction of the metric as the gate tells it: its goal, else what the comparison asks for."""
        return self.goal or {">=": "max", ">": "max", "<=": "min", "<": "min"}.get(self.op)


@dataclass(frozen=True)
class Control:
    """Something whose answer is known: a gate that counts it must say `must` of its score."""

    name: str
    must: str
    command: tuple[str, ...] = ()
    why: str = ""


@dataclass(frozen=True)
class Baseline:
    """Something simple that a model has to beat; its scores are shown beside the model's."""

    name: str
    why: str = ""


@dataclass(frozen=True)
class Stage:
    """One stage of a training: what it sets, and what is tried again when its gates do not pass."""

    name: str
    set: Mapping[str, Any] = field(default_factory=dict)
    max_retries: int = 0
    retry: Mapping[str, Any] = field(default_factory=dict)
    fallback: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Suite:
    """A named set of gates, with its stages in order, its controls and its baselines."""

    name: str
    gates: tuple[Gate, ...]
    stages: tuple[Stage, ...] = ()
    controls: tuple[Control, ...] = ()
    baselines: tuple[Baseline, ...] = ()
    description: str = ""

    def control(self, name: str) -> Control:
        """Return the control of this name. Raises KeyError."""
        return next(control for control in self.controls if control.name == name)

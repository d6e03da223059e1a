"""Gates: named requirements on metrics, read from TOML suites and judged on a checkpoint. Pure and light."""

from registry.gates.judge import (
    Facts,
    GateVerdict,
    Observed,
    OtherFacts,
    Seen,
    SeriesFacts,
    SubjectScore,
    judge,
    observe,
    passes,
)
from registry.gates.reader import load_suite_text, parse_suite, shipped_suites
from registry.gates.suite import BASELINE, CHANGES, COMPARISONS, Baseline, Control, Gate, Stage, Suite

__all__ = [
    "BASELINE",
    "CHANGES",
    "COMPARISONS",
    "Baseline",
    "Control",
    "Facts",
    "Gate",
    "GateVerdict",
    "Observed",
    "OtherFacts",
    "Seen",
    "SeriesFacts",
    "Stage",
    "SubjectScore",
    "Suite",
    "judge",
    "load_suite_text",
    "observe",
    "parse_suite",
    "passes",
    "shipped_suites",
]

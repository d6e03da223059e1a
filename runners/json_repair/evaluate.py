"""What a repairer can do, by a declared protocol: cases from documents that no training saw, beside the original.

Parsing is counted, and proves nothing: `{}` parses always. What counts is the exact value. The same cases are given to
the controls (an oracle; `{}`; the text as it is), the search without a network, and the other repairers installed here.
"""

import re
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from registry.run import Run
from runners.json_repair import lexer, rivals
from runners.json_repair.corrupt import MAX_STACKED, TRUNCATE, TYPES, corrupt, corrupt_stacked
from runners.json_repair.lexer import lex
from runners.json_repair.repair import UNSURE_BELOW, Repair, Repairer, grammar_repairer, repair_all
from runners.json_repair.scoring import Score, macro, score
from runners.training.estimates import Estimate, wilson

SUITE = "json-repair"
STACKED, CLEAN = "stacked", "clean"
N_CONTROL_CASES = 100
"""Cases of each type that controls and baselines are scored on; the trained model has all."""
_NO_CONTENT = re.compile(r'(?:"|[a-z]*)[\s\]}]*')
_LITERALS = {"python_true": "true", "python_false": "false", "python_null": "null"}


@dataclass(frozen=True)
class Case:
    """A document and how it was broken; `kind` is a corruption type, `stacked`, or `clean`."""

    kind: str
    original: str
    broken: str


@dataclass(frozen=True)
class Result:
    """What one repairer scored: metrics by name, their 95 % intervals, and how many cases stand behind each."""

    metrics: dict[str, float] = field(default_factory=dict)
    intervals: dict[str, tuple[float, float]] = field(default_factory=dict)
    counts: dict[str, int] = field(default_factory=dict)

    def add(self, name: str, estimate: Estimate) -> None:
        """Take in one metric."""
        self.metrics[name] = estimate.value
        self.intervals[name] = (estimate.low, estimate.high)
        self.counts[name] = estimate.n


# --- the cases


def make_cases(texts: Sequence[str], n: int, seed: int) -> list[Case]:
    """Return `n` cases of each type, `n` stacked ones and `n` clean ones; each kind from a stream of its own.

    A document is used again for a kind only when all others were; a kind that no document allows is left out.
    """
    cases = []
    for number, kind in enumerate((*TYPES, STACKED, CLEAN)):
        rng = np.random.default_rng([seed, 50, number])
        cases += _cases_of(kind, texts, n, rng)
    return cases


def _cases_of(kind: str, texts: Sequence[str], n: int, rng: np.random.Generator) -> list[Case]:
    found: list[Case] = []
    for _ in range(1 + n):
        before = len(found)
        for place in rng.permutation(len(texts)).tolist():
            original = _with_literal(texts[place], _LITERALS[kind], rng) if kind in _LITERALS else texts[place]
            broken = _broken(kind, original, rng)
            if broken is not None:
                found.append(Case(kind, original, broken))
            if len(found) == n:
                return found
        if len(found) == before:
            break
    return found


def _broken(kind: str, original: str, rng: np.random.Generator) -> str | None:
    if kind == CLEAN:
        return original
    if kind == STACKED:
        n = int(rng.integers(2, MAX_STACKED + 1))
        stacked = corrupt_stacked(original, n, rng, types=[name for name in TYPES if name != TRUNCATE])
        return stacked[0] if stacked and len(stacked[1]) > 1 else None
    return corrupt(original, kind, rng)


def _with_literal(text: str, literal: str, rng: np.random.Generator) -> str:
    """Return a document that holds this literal: the document itself, or with one scalar value replaced by it."""
    tokens = lex(text)
    if any(token.text == literal and token.kind == lexer.LITERAL for token in tokens):
        return text
    places = [
        place
        for place, token in enumerate(tokens[:-1])
        if lexer.is_scalar(token.kind) and tokens[place + 1].kind != lexer.COLON
    ]
    if places:
        place = places[int(rng.integers(len(places)))]
        tokens[place] = tokens[place]._replace(text=literal)
    return lexer.join(tokens)


# --- scores


def evaluate(repairer: Repairer, cases: Sequence[Case]) -> Result:
    """Return what a repairer scores on these cases, and how many broken documents it repairs in a CPU second."""
    broken = [case for case in cases if case.kind != CLEAN]
    clean = [case for case in cases if case.kind == CLEAN]
    started_s = time.process_time()
    repairs = repair_all(repairer, [case.broken for case in broken])
    took_s = time.process_time() - started_s
    result = summarise([*broken, *clean], [*repairs, *repair_all(repairer, [case.broken for case in clean])])
    result.metrics["repair/docs_per_cpu_s"] = len(broken) / max(took_s, 1e-9)
    return result


def summarise(cases: Sequence[Case], repairs: Sequence[Repair]) -> Result:
    """Return the metrics of these repairs: per type, and the mean over the types."""
    scored = [score(case.original, repair.text) for case, repair in zip(cases, repairs, strict=True)]
    scores: dict[str, list[Score]] = {}
    for case, one in zip(cases, scored, strict=True):
        scores.setdefault(case.kind, []).append(one)
    result = Result()
    kinds = [kind for kind in TYPES if kind in scores]
    for metric, read in _READERS.items():
        groups = {kind: [float(read(one)) for one in scores[kind]] for kind in scores}
        for kind in kinds:
            result.add(f"repair/{metric}/{kind}", wilson(groups[kind]))
        if kinds:
            result.add(f"repair/{metric}", macro([groups[kind] for kind in kinds]))
        if STACKED in groups:
            result.add(f"repair/{metric}/{STACKED}", wilson(groups[STACKED]))
    whole = [kind for kind in kinds if kind != TRUNCATE]
    if whole:
        groups = [[float(one.exact) for one in scores[kind]] for kind in whole]
        result.add("repair/exact_but_truncate", macro(groups))
        result.metrics["repair/exact_worst_but_truncate"] = min(sum(group) / len(group) for group in groups)
    if TRUNCATE in scores:
        cut = [float(_ends_without_content(case)) for case in cases if case.kind == TRUNCATE]
        result.add(f"repair/exact_limit/{TRUNCATE}", wilson(cut))
    if CLEAN in scores:
        pairs = zip(cases, repairs, strict=True)
        unchanged = [float(case.broken == repair.text) for case, repair in pairs if case.kind == CLEAN]
        result.add("repair/clean_unchanged", wilson(unchanged))
    _add_confidence(result, cases, repairs, scored)
    return result


def _ends_without_content(case: Case) -> bool:
    """Return whether what was cut off is closing brackets (and the end of a string or literal): what can be known."""
    return _NO_CONTENT.fullmatch(case.original[len(case.broken) :]) is not None


def _add_confidence(result: Result, cases: Sequence[Case], repairs: Sequence[Repair], scores: Sequence[Score]) -> None:
    """Add how often a repairer was sure of a repair, and how often it was then right; cut texts cannot be right."""
    judged = [
        (repair.confidence >= UNSURE_BELOW, one.exact)
        for case, repair, one in zip(cases, repairs, scores, strict=True)
        if case.kind not in (CLEAN, TRUNCATE) and repair.confidence is not None
    ]
    sure = [float(exact) for is_sure, exact in judged if is_sure]
    unsure = [float(exact) for is_sure, exact in judged if not is_sure]
    if sure:
        result.add("repair/sure", wilson([float(is_sure) for is_sure, _ in judged]))
        result.add("repair/exact_where_sure", wilson(sure))
    if sure and unsure:
        result.add("repair/exact_where_unsure", wilson(unsure))


_READERS = {
    "parse": lambda one: one.parses,
    "exact": lambda one: one.exact,
    "similarity": lambda one: one.similarity,
}


def quick_look(repairer: Repairer, cases: Sequence[Case]) -> dict[str, float]:
    """Return the headline of a validation during training: parse, exact and similarity, means over the types."""
    metrics = summarise(cases, repair_all(repairer, [case.broken for case in cases])).metrics
    return {f"val/{name}": metrics[f"repair/{name}"] for name in _READERS}


def control_results(cases: Sequence[Case]) -> dict[str, Result]:
    """Return the scores of the controls and baselines, on the first N_CONTROL_CASES of each kind."""
    kept: dict[str, list[Case]] = {}
    for case in cases:
        kept.setdefault(case.kind, []).append(case)
    chosen = [case for group in kept.values() for case in group[:N_CONTROL_CASES]]
    results = {
        "oracle": summarise(chosen, [Repair(case.original, 1.0) for case in chosen]),
        rivals.EMPTY_OBJECT.name: summarise(chosen, rivals.EMPTY_OBJECT.repair([case.broken for case in chosen])),
        rivals.IDENTITY.name: summarise(chosen, rivals.IDENTITY.repair([case.broken for case in chosen])),
    }
    for repairer in (grammar_repairer(), *rivals.installed_rivals()):
        results[repairer.name] = evaluate(repairer, chosen)
    return results


def record(run: Run, role: str, step: int, result: Result, controls: Mapping[str, Result]) -> None:
    """Record an evaluation against the weights of a role, and the controls' scores beside it."""
    run.log_evaluation(
        role,
        result.metrics,
        step=step,
        basis="measured",
        suite=SUITE,
        intervals=result.intervals,
        counts=result.counts,
    )
    shown = {"parse_success/all": result.metrics["repair/parse"]}
    for name, value in result.metrics.items():
        if name.startswith("repair/parse/"):
            shown[f"parse_success/{name.removeprefix('repair/parse/')}"] = value
    run.log({**result.metrics, **shown}, step=step, basis="measured")
    for name, one in controls.items():
        run.log_evaluation(subject=name, metrics=one.metrics, suite=SUITE, intervals=one.intervals, counts=one.counts)


def table(results: Mapping[str, Result]) -> list[str]:
    """Return a Markdown table: exact recovery in percent by corruption type, one column for each repairer."""
    names = list(results)
    lines = [f"| exact recovery | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    for label, metric, shape in _ROWS:
        values = [results[name].metrics.get(metric) for name in names]
        if any(value is not None for value in values):
            shown = ["-" if value is None else shape.format(value) for value in values]
            lines.append(f"| {label} | {' | '.join(shown)} |")
    return lines


_PERCENT, _SHARE, _COUNT = "{:.1%}", "{:.3f}", "{:,.0f}"
_ROWS = (
    ("**mean over the types**", "repair/exact", _PERCENT),
    ("all types but truncate", "repair/exact_but_truncate", _PERCENT),
    *((kind, f"repair/exact/{kind}", _PERCENT) for kind in TYPES),
    ("2 to 5 stacked", f"repair/exact/{STACKED}", _PERCENT),
    ("clean input unchanged", "repair/clean_unchanged", _PERCENT),
    ("*sure of the repair*", "repair/sure", _PERCENT),
    ("*exact where sure*", "repair/exact_where_sure", _PERCENT),
    ("*exact where unsure*", "repair/exact_where_unsure", _PERCENT),
    ("*parse success*", "repair/parse", _PERCENT),
    ("*similarity*", "repair/similarity", _SHARE),
    ("*most that truncate allows*", "repair/exact_limit/truncate", _PERCENT),
    ("*similarity of truncate*", f"repair/similarity/{TRUNCATE}", _SHARE),
    ("*documents per CPU second*", "repair/docs_per_cpu_s", _COUNT),
)

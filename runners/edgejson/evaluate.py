"""Ask a model for the answers it has not seen, score them beside the baselines, and record what each is worth.

The rule-based parser stands beside every score, the base beside its adapter, row by row; and the harness is tested with
the expected answers, text after them: what it cannot score fully, it cannot score at all.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from peft import PeftModel
from transformers import PreTrainedTokenizerBase

from registry.run import Run
from runners.edgejson import rules
from runners.edgejson.checks import document_of
from runners.edgejson.data import RowSet
from runners.edgejson.model import answer_text, generate
from runners.edgejson.rows import Row
from runners.edgejson.scoring import paired_gain, score, summarise
from runners.edgejson.settings import EdgeJsonSettings
from runners.training.estimates import Estimate, record_estimates

TRAILING_TEXT = "\n\nI hope this helps! {not json}"
ANSWER_SLACK = 1.25
"""How much longer than the longest expected answer a model may write, as a factor."""

Scores = dict[str, Estimate]


@dataclass(frozen=True)
class Report:
    """What everyone scored: the model (and its gain over its base), and controls and baselines by name."""

    own: Scores
    subjects: dict[str, Scores]


def evaluate(model: Any, tokenizer: PreTrainedTokenizerBase, rows: RowSet, settings: EdgeJsonSettings) -> Report:
    """Score the model on new schemas, on those its base knew, and on the held-out form."""
    longest = max(len(tokenizer.encode(answer_text(row.answer))) for row in rows.new_test)
    n_tokens = min(settings.max_new_tokens, int(longest * ANSWER_SLACK) + 8)

    def answers_to(asked: Sequence[Row]) -> list[str]:
        return generate(model, [row.prompt for row in asked], tokenizer, n_tokens)

    new = _scored(rows.new_test, answers_to(rows.new_test))
    own = _summary(rows.new_test, new)
    if rows.held_out:
        held_out = _scored(rows.held_out, answers_to(rows.held_out))
        own |= {f"{name}/held_out": value for name, value in summarise(held_out, {}).items()}
    subjects = {
        "rules": _by_rules(rows.new_test),
        "oracle": _summary(
            rows.new_test, _scored(rows.new_test, [answer_text(r.answer) + TRAILING_TEXT for r in rows.new_test])
        ),
        "empty_object": _summary(rows.new_test, _scored(rows.new_test, ["{}"] * len(rows.new_test))),
    }
    if isinstance(model, PeftModel):
        with _without_adapter(model):
            before = _scored(rows.new_test, answers_to(rows.new_test))
            old_before = _scored(rows.base_test, answers_to(rows.base_test))
        old = _scored(rows.base_test, answers_to(rows.base_test))
        subjects["base"] = _summary(rows.new_test, before)
        own["exact_gain"] = _gain(new, before)
        if old:
            subjects["base"] |= {f"{name}/old": value for name, value in summarise(old_before, {}).items()}
            own |= {f"{name}/old": value for name, value in summarise(old, {}).items()}
            own["forgetting"] = _gain(old_before, old)
    own["harness"] = subjects["oracle"]["json_exact"]
    return Report(own, subjects)


@contextmanager
def _without_adapter(model: PeftModel) -> Iterator[None]:
    with model.disable_adapter():
        yield


def _scored(rows: Sequence[Row], answers: Sequence[str]) -> list[dict[str, float]]:
    return [score(text, row.answer, row.schema) for row, text in zip(rows, answers, strict=True) if row.schema]


def _summary(rows: Sequence[Row], scores: Sequence[dict[str, float]]) -> Scores:
    schemas = [row.schema for row in rows if row.schema]
    return summarise(scores, {"complexity": [s.complexity for s in schemas], "schema": [s.id for s in schemas]})


def _gain(mine: Sequence[dict[str, float]], theirs: Sequence[dict[str, float]]) -> Estimate:
    return paired_gain(*([one["json_exact"] for one in scores] for scores in (mine, theirs)))


def _by_rules(rows: Sequence[Row]) -> Scores:
    answers = [answer_text(rules.parse(row.schema, document_of(row))) for row in rows if row.schema]
    return _summary(rows, _scored(rows, answers))


def record_evaluation(run: Run, report: Report, step: int) -> None:
    """Record the report: the model's scores against its checkpoint, the others' by name."""
    record_estimates(run, "edge", report.own, artifact="best", step=step)
    for name, scores in report.subjects.items():
        record_estimates(run, "edge", scores, subject=name)
    run.log({f"edge/{name}": value.value for name, value in report.own.items()}, step=step)

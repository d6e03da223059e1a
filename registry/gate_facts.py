"""What the record says of a checkpoint, gathered for `registry.gates.judge`, and the verdicts kept in `gate_result`.

A gate's value is one recorded against the checkpoint's digest, else the series at the checkpoint's own step. Only the
metrics that the suites name are read, and a long series is searched, never scanned.
"""

import json
import math
from collections.abc import Iterable, Sequence
from dataclasses import asdict, replace
from typing import Any

from sqlmodel import Session, and_, col, func, or_, select

from registry.errors import NotFoundError
from registry.gates import BASELINE, Facts, GateVerdict, Observed, OtherFacts, SeriesFacts, Suite, judge, parse_suite
from registry.stages import STAGE_PARAM
from registry.steps import series_facts, summaries
from registry.tables import (
    Artifact,
    Deployment,
    Evaluation,
    EvaluationValue,
    GateResult,
    GateSuite,
    MetricDefinition,
    Param,
    RunRow,
    RunSuite,
)

MEASURED = "measured"
CHECKPOINT_ROLES = ("best", "checkpoint", "last")
"""Roles that hold weights, in the order in which a run offers them to its gates."""
_IDS_PER_QUERY = 500


# --- verdicts


def refresh(session: Session, run_ids: Iterable[str]) -> None:
    """Judge these runs anew, and those whose checkpoints they evaluated; runs without a suite cost two queries."""
    ids = set(run_ids)
    ids |= _owners_of_evaluated(session, sorted(ids))
    for run_id, suites in suites_of(session, sorted(ids)).items():
        _store(session, run_id, suites)


def refresh_suite(session: Session, suite: str) -> None:
    """Judge anew every run of a suite that leans on controls measured elsewhere (after a calibration)."""
    own = select(Evaluation.run_id).where(col(Evaluation.subject).is_not(None))
    leaning = select(RunSuite.run_id).where(RunSuite.suite == suite, col(RunSuite.run_id).not_in(own))
    refresh(session, session.exec(leaning).all())


def refresh_comparing(session: Session) -> None:
    """Judge anew every run whose suite compares with another run (after a promotion or a rollback)."""
    text = col(GateSuite.text)
    comparing = (
        select(RunSuite.run_id)
        .join(GateSuite, col(GateSuite.digest) == RunSuite.suite_digest)
        .where(or_(text.contains("min_absolute_change"), text.contains("min_relative_change")))
    )
    refresh(session, session.exec(comparing).all())


def verdicts_for(
    session: Session, run_id: str, artifact_id: int | None = None, suites: Sequence[Suite] | None = None
) -> list[GateVerdict]:
    """Return the verdicts on one checkpoint now: of the run's own suites, or of those given.

    `artifact_id` None means the checkpoint that the run offers (`checkpoint_of`). Raises NotFoundError.
    """
    chosen = suites_of(session, [run_id]).get(run_id, []) if suites is None else suites
    return [verdict for suite in chosen for verdict in judge(suite, facts_for(session, run_id, artifact_id, suite))]


def suites_of(session: Session, run_ids: Sequence[str]) -> dict[str, list[Suite]]:
    """Return the suites of each of these runs that has any, by run id."""
    found: dict[str, list[Suite]] = {}
    for ids in _batches(run_ids):
        rows = session.exec(
            select(RunSuite.run_id, RunSuite.suite, GateSuite.text)
            .join(GateSuite, col(GateSuite.digest) == RunSuite.suite_digest)
            .where(col(RunSuite.run_id).in_(ids))
            .order_by(col(RunSuite.run_id), col(RunSuite.suite))
        )
        for run_id, name, text in rows:
            found.setdefault(run_id, []).append(replace(parse_suite(text, name), name=name))
    return found


def verdict_json(verdict: GateVerdict) -> dict[str, Any]:
    """Return a verdict in the shape of the JSON contract; NaN and infinities become null."""
    plain = _finite(asdict(verdict), ("observed", "low", "high"))
    plain["beside"] = [_finite(score, ("value", "low", "high")) for score in plain["beside"]]
    return plain


def stored_json(row: GateResult) -> dict[str, Any]:
    """Return a stored result in the shape of the JSON contract."""
    keys = ("suite", "stage", "name", "metric", "op", "observed", "low", "high", "step", "basis", "required")
    return {
        **{key: getattr(row, key) for key in keys},
        "threshold": json.loads(row.threshold),
        "verdict": row.verdict,
        "reason": row.reason,
        "beside": json.loads(row.beside),
    }


def _finite(numbers: dict[str, Any], keys: tuple[str, ...]) -> dict[str, Any]:
    for key in keys:
        if numbers[key] is not None and not math.isfinite(numbers[key]):
            numbers[key] = None
    return numbers


def _batches(ids: Sequence[str]) -> Iterable[Sequence[str]]:
    return (ids[start : start + _IDS_PER_QUERY] for start in range(0, len(ids), _IDS_PER_QUERY))


def _owners_of_evaluated(session: Session, run_ids: Sequence[str]) -> set[str]:
    owners: set[str] = set()
    for ids in _batches(run_ids):
        owners |= set(
            session.exec(
                select(Artifact.run_id)
                .join(Evaluation, col(Evaluation.digest) == Artifact.digest)
                .where(col(Evaluation.run_id).in_(ids), Artifact.run_id != Evaluation.run_id)
            )
        )
    return owners


def _store(session: Session, run_id: str, suites: list[Suite]) -> None:
    """Write the results that changed, and take out those of gates that are no more."""
    artifact = checkpoint_of(session, run_id)
    before = {
        (row.suite, row.stage, row.name): row
        for row in session.exec(select(GateResult).where(GateResult.run_id == run_id))
    }
    for suite in suites:
        for position, verdict in enumerate(judge(suite, _facts(session, run_id, artifact, suite))):
            values = _result_values(position, artifact, verdict)
            row = before.pop((verdict.suite, verdict.stage, verdict.name), None)
            if row is None:
                session.add(GateResult(run_id=run_id, **values))
                continue
            for key, value in values.items():
                if getattr(row, key) != value:
                    setattr(row, key, value)
    for row in before.values():
        session.delete(row)
    session.flush()


def _result_values(position: int, artifact: Artifact | None, verdict: GateVerdict) -> dict[str, Any]:
    values = verdict_json(verdict)
    values["threshold"], values["beside"] = json.dumps(values["threshold"]), json.dumps(values["beside"])
    return {"position": position, "artifact_id": artifact.id if artifact else None, **values}


# --- facts


def artifact_of(session: Session, run_id: str, role: str) -> Artifact:
    """Return the newest artifact of a role. Raises NotFoundError."""
    rows = session.exec(
        select(Artifact).where(Artifact.run_id == run_id, Artifact.role == role, col(Artifact.superseded_at).is_(None))
    ).all()
    if not rows:
        raise NotFoundError(f"run {run_id} has no artifact {role!r}", hint=f"registry show {run_id}")
    return max(rows, key=lambda row: (row.recorded_at, row.id or 0))


def checkpoint_of(session: Session, run_id: str) -> Artifact | None:
    """Return the artifact that a run's gates look at: its best, else its newest checkpoint, else its last."""
    rows = session.exec(
        select(Artifact).where(
            Artifact.run_id == run_id,
            col(Artifact.role).in_(CHECKPOINT_ROLES),
            col(Artifact.superseded_at).is_(None),
            col(Artifact.discarded_reason).is_(None),
        )
    )
    return min(rows, key=_offer_order, default=None)


def _offer_order(row: Artifact) -> tuple[int, float, float, int]:
    return (
        CHECKPOINT_ROLES.index(row.role),
        -(row.step if row.step is not None else -1),
        -row.recorded_at,
        -(row.id or 0),
    )


def facts_for(session: Session, run_id: str, artifact_id: int | None, suite: Suite) -> Facts:
    """Return what the record says of one checkpoint on the metrics of a suite. Raises NotFoundError."""
    if artifact_id is None:
        return _facts(session, run_id, checkpoint_of(session, run_id), suite)
    artifact = session.get(Artifact, artifact_id)
    if artifact is None or artifact.run_id != run_id:
        raise NotFoundError(f"run {run_id} has no artifact number {artifact_id}")
    return _facts(session, run_id, artifact, suite)


def _facts(session: Session, run_id: str, artifact: Artifact | None, suite: Suite) -> Facts:
    names = _metric_names(suite)
    others = {gate.against for gate in suite.gates if gate.against and not gate.against.startswith(BASELINE)}
    return replace(
        _own_facts(session, run_id, artifact, names),
        stage=_stage_of(session, run_id) if suite.stages else "",
        subjects=subject_scores(session, run_id, suite),
        others={words: _other(session, words, run_id, artifact, names) for words in sorted(others)},
    )


def _metric_names(suite: Suite) -> list[str]:
    return sorted({name for gate in suite.gates for name in gate.metric_names})


def _own_facts(session: Session, run_id: str, artifact: Artifact | None, names: list[str]) -> Facts:
    """Return the values of one checkpoint and of its run's series, without anything it is compared with."""
    definitions = session.exec(
        select(MetricDefinition.name, MetricDefinition.goal, MetricDefinition.basis).where(
            MetricDefinition.run_id == run_id, col(MetricDefinition.name).in_(names)
        )
    ).all()
    bases = {name: basis for name, _, basis in definitions if basis}
    series: dict[str, list[SeriesFacts]] = {}
    for row in summaries(session, run_id, names):
        series.setdefault(row.name, []).append(series_facts(session, row, artifact))
    return Facts(
        checkpoint=_words_for(artifact) if artifact else None,
        step=artifact.step if artifact else None,
        evaluated=_evaluated(session, run_id, artifact, names, bases),
        series={name: tuple(some) for name, some in series.items()},
        goals={name: goal for name, goal, _ in definitions if goal},
    )


def _words_for(artifact: Artifact) -> str:
    name = artifact.path.rpartition("/")[2]
    return name if artifact.step is None else f"{name} of step {artifact.step}"


def _stage_of(session: Session, run_id: str) -> str:
    run = session.get(RunRow, run_id)
    param = session.get(Param, (run_id, STAGE_PARAM))
    stage = json.loads(param.value) if run and run.parent_id and param else ""
    return stage if isinstance(stage, str) else ""


def _evaluated(
    session: Session, run_id: str, artifact: Artifact | None, names: list[str], bases: dict[str, str]
) -> dict[str, tuple[Observed, ...]]:
    """Return the values recorded against the checkpoint's digest, newest first.

    A run whose weights never were here (a report's) has evaluations of no digest; they speak of its model.
    """
    of_this = (
        col(Evaluation.digest) == artifact.digest
        if artifact
        else and_(col(Evaluation.run_id) == run_id, col(Evaluation.digest).is_(None))
    )
    rows = session.exec(
        select(Evaluation, EvaluationValue)
        .join(EvaluationValue, col(EvaluationValue.evaluation_id) == Evaluation.id)
        .where(of_this, col(Evaluation.subject).is_(None), col(EvaluationValue.name).in_(names))
        .order_by(col(Evaluation.id).desc())
    )
    found: dict[str, list[Observed]] = {}
    evaluation: Evaluation
    value: EvaluationValue
    for evaluation, value in rows:
        basis = evaluation.basis or bases.get(value.name, MEASURED)
        step = evaluation.step if evaluation.step is not None or artifact is None else artifact.step
        on = f" on {evaluation.dataset}" if evaluation.dataset else ""
        source = f"evaluated{on}" if artifact else f"as reported{on}"
        found.setdefault(value.name, []).append(_observed(value, step, basis, source))
    return {name: tuple(values) for name, values in found.items()}


def _observed(value: EvaluationValue, step: int | None, basis: str, source: str) -> Observed:
    number = math.nan if value.value is None else value.value
    return Observed(number, step, basis, value.low, value.high, value.n, source)


def subject_scores(session: Session, run_id: str, suite: Suite) -> dict[str, dict[str, Observed]]:
    """Return the scores of controls and baselines: the run's own where it has any, else the newest of the suite."""
    names = _metric_names(suite)
    wanted = [control.name for control in suite.controls] + [baseline.name for baseline in suite.baselines]
    if not wanted:
        return {}
    of_suite = or_(col(Evaluation.suite) == suite.name, col(Evaluation.suite).is_(None))
    own = and_(col(Evaluation.run_id) == run_id, of_suite)
    found = _newest_scores(session, own, wanted, names)
    if any(not found.get(name) for name in wanted):
        for name, scores in _newest_scores(session, Evaluation.suite == suite.name, wanted, names).items():
            found.setdefault(name, scores)
    return found


def _newest_scores(
    session: Session, where: Any, subjects: list[str], names: list[str]
) -> dict[str, dict[str, Observed]]:
    newest = (
        select(func.max(EvaluationValue.evaluation_id).label("evaluation_id"), EvaluationValue.name)
        .join(Evaluation, col(Evaluation.id) == EvaluationValue.evaluation_id)
        .where(where, col(Evaluation.subject).in_(subjects), col(EvaluationValue.name).in_(names))
        .group_by(col(Evaluation.subject), col(EvaluationValue.name))
        .subquery()
    )
    rows = session.exec(
        select(Evaluation, EvaluationValue)
        .join(EvaluationValue, col(EvaluationValue.evaluation_id) == Evaluation.id)
        .join(
            newest,
            (newest.c.evaluation_id == EvaluationValue.evaluation_id) & (newest.c.name == EvaluationValue.name),
        )
    )
    found: dict[str, dict[str, Observed]] = {}
    evaluation: Evaluation
    value: EvaluationValue
    for evaluation, value in rows:
        score = _observed(value, evaluation.step, evaluation.basis or MEASURED, "")
        found.setdefault(str(evaluation.subject), {})[value.name] = score
    return found


def _other(session: Session, words: str, run_id: str, artifact: Artifact | None, names: list[str]) -> OtherFacts:
    """Return the checkpoint that a gate compares with: what serves `@target`, or what a run offers."""
    if words.startswith("@"):
        return _deployed(session, words.removeprefix("@"), artifact, names)
    named = select(RunRow).where(or_(RunRow.id == words, RunRow.name == words), col(RunRow.deleted_at).is_(None))
    run = session.exec(named.order_by(col(RunRow.started_at).desc()).limit(1)).first()
    if run is None:
        return OtherFacts(words, missing=f"there is no run {words!r} to compare with")
    if run.id == run_id:
        return OtherFacts(words, waived=f"this is {words} itself")
    return OtherFacts(run.name, facts=_own_facts(session, run.id, checkpoint_of(session, run.id), names))


def _deployed(session: Session, target: str, artifact: Artifact | None, names: list[str]) -> OtherFacts:
    deployment = session.exec(
        select(Deployment)
        .where(Deployment.target == target, col(Deployment.until).is_(None))
        .order_by(col(Deployment.id).desc())
    ).first()
    if deployment is None:
        return OtherFacts(target, waived=f"nothing serves {target} yet")
    if artifact is not None and artifact.digest == deployment.digest:
        return OtherFacts(target, waived=f"this is what serves {target}")
    run = session.get(RunRow, deployment.run_id)
    label = f"{run.name if run else deployment.run_id} (serves {target})"
    serving = session.get(Artifact, deployment.artifact_id)
    return OtherFacts(label, facts=_own_facts(session, deployment.run_id, serving, names))

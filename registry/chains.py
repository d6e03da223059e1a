"""Chains of stages: made as child runs of one parent (`run_staged`), and read back from the record (`chain_of`)."""

import json
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from sqlmodel import Session, col, select

from registry.catchup import catch_up
from registry.database import Database
from registry.gate_facts import verdicts_for
from registry.gates import parse_suite
from registry.run import Run, describe_start, new_run_id, start_run
from registry.stages import ATTEMPT_PARAM, STAGE_PARAM, Attempt, Attempted, filled, follow, stage_verdicts
from registry.tables import GateResult, Param, RunRow
from registry.wrapper import Declared, run_command

PARAMS_VARIABLE = "REGISTRY_PARAMS"
"""Environment variable in which a stage's command finds its params, as JSON."""


@dataclass(frozen=True)
class Link:
    """One attempt of a chain as the record has it; `changed` are the params that differ from the attempt before."""

    run_id: str
    name: str
    stage: str
    attempt: int
    status: str
    passed: bool
    gates: dict[str, int]
    changed: dict[str, tuple[Any, Any]]


def chain_of(session: Session, parent_id: str) -> list[Link]:
    """Return the attempts of a chain in their order, empty for a run that is no chain."""
    links: list[Link] = []
    before: dict[str, Any] = {}
    runs = session.exec(
        select(RunRow).where(RunRow.parent_id == parent_id).order_by(col(RunRow.started_at), col(RunRow.id))
    )
    for run in runs:
        params = {p.key: json.loads(p.value) for p in session.exec(select(Param).where(Param.run_id == run.id))}
        if STAGE_PARAM not in params:
            continue
        links.append(_link(session, run, params, before))
        before = params
    return links


def _link(session: Session, run: RunRow, params: dict[str, Any], before: dict[str, Any]) -> Link:
    stage = str(params[STAGE_PARAM])
    results = session.exec(select(GateResult).where(GateResult.run_id == run.id, GateResult.stage == stage)).all()
    gates: dict[str, int] = {}
    for result in results:
        gates[result.verdict] = gates.get(result.verdict, 0) + 1
    required = [result for result in results if result.required]
    own = (STAGE_PARAM, ATTEMPT_PARAM)
    return Link(
        run_id=run.id,
        name=run.name,
        stage=stage,
        attempt=int(params.get(ATTEMPT_PARAM, 1)),
        status=run.status,
        passed=run.status == "finished" and bool(required) and all(r.verdict == "pass" for r in required),
        gates=gates,
        changed={
            key: (before.get(key), value)
            for key, value in params.items()
            if before and key not in own and before.get(key) != value
        },
    )


def run_staged(db: Database, declared: Declared) -> tuple[str, int]:
    """Run a command stage by stage as its suite says; returns the parent's id and the exit code.

    `{param}` in the command is replaced by the attempt's value, and REGISTRY_PARAMS holds them all as JSON. The exit
    code is 0 when the last stage passed, the command's own when it failed, else 1. Raises UsageError when the suite
    has no stages, or is not declared.
    """
    assert declared.suite is not None
    suite = parse_suite(declared.suite[1], declared.suite[0])
    parent = _open_parent(db, declared)
    codes: list[int] = []

    def attempt(wanted: Attempt) -> Attempted:
        child = replace(
            declared,
            command=filled(declared.command, wanted.params),
            name=f"{parent.name} {wanted.name}",
            params=dict(wanted.params),
            parent=parent.id,
        )
        with _environment(PARAMS_VARIABLE, json.dumps(child.params)):
            outcome = run_command(db.url, child)
        codes.append(outcome.exit_code)
        catch_up(db)
        with db.read() as session:
            run = session.get(RunRow, outcome.run_id)
            status = run.status if run else "unknown"
            verdicts = stage_verdicts(wanted.stage, verdicts_for(session, outcome.run_id))
        return Attempted(wanted, outcome.run_id, status, verdicts)

    with parent:
        _, decision = follow(suite, declared.params, attempt, parent.note)
        parent.finish("finished" if decision.passed else "failed", evidence=decision.reason)
    catch_up(db)
    return parent.id, 0 if decision.passed else (codes[-1] if codes and codes[-1] else 1)


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        os.environ.pop(name)
        if before is not None:
            os.environ[name] = before


def _open_parent(db: Database, declared: Declared) -> Run:
    start = describe_start(
        new_run_id(),
        name=declared.name or "stages",
        experiment=declared.experiment,
        command=declared.command,
        params=declared.params,
        tags=declared.tags,
        parent=declared.parent,
    )
    return start_run(db.url, start)

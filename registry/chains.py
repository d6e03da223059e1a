"""Chains of stages as the record has them: the attempts of a parent run, in their order."""

import json
from dataclasses import dataclass
from typing import Any

from sqlmodel import Session, col, select

from registry.stages import ATTEMPT_PARAM, STAGE_PARAM
from registry.tables import GateResult, Param, RunRow


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

    def as_json(self) -> dict[str, Any]:
        """Return the attempt as plain values."""
        return {**vars(self), "changed": {key: list(values) for key, values in self.changed.items()}}


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

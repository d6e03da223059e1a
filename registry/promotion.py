"""Which artifact of which run serves a target. A promotion happens whole or lists every reason why not.

`judge_promotion` is pure: facts in, one verdict with its reason per check out. `promote` gathers the facts, reads the
artifact's bytes again, runs the target's own command and health check, and commits; whatever fails before the commit
leaves the previous deployment standing.
"""

import json
from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from sqlmodel import Session, col, select

from registry import audit, clock
from registry.database import Database
from registry.errors import HoldfastError, NotFoundError, RefusedError, UsageError
from registry.gate_facts import facts_for, refresh_comparing, verdicts_for
from registry.gates import Gate, GateVerdict, Observed, Suite, load_suite_text, observe, parse_suite
from registry.hashing import freeze
from registry.metrics import infer_goal
from registry.queries import run_summary
from registry.settings import Policy, Settings, Target
from registry.switchover import Switch, SwitchFailedError, switch
from registry.tables import Artifact, Deployment, RunRow

CHECKS = ("run-ended", "run-valid", "artifact-present", "artifact-unchanged", "gates", "copies", "not-worse")
REFUSING = ("fail", "unknown", "uncalibrated")


@dataclass(frozen=True)
class Check:
    """One condition of a promotion: `pass`, `fail`, `unknown` or `overridden`, and why."""

    check: str
    verdict: str
    reason: str


@dataclass(frozen=True)
class Bytes:
    """What was read of an artifact just now: where, and which digest; or why nothing could be read."""

    path: Path | None
    digest: str | None
    problem: str = ""


@dataclass(frozen=True)
class Served:
    """What a target serves now, and its value on the primary metric."""

    deployment_id: int
    run_id: str
    digest: str
    value: Observed | None


@dataclass(frozen=True)
class PromotionFacts:
    """Everything a promotion is judged by."""

    run_id: str
    status: str
    evidence: str
    invalid: str | None
    role: str
    digest: str | None
    found: Bytes
    gates: tuple[GateVerdict, ...]
    has_suite: bool
    n_copies: int
    n_copies_needed: int
    copies_reason: str
    metric: str | None
    goal: str | None
    value: Observed | None
    served: Served | None


# --- the verdicts, pure


def judge_promotion(facts: PromotionFacts) -> list[Check]:
    """Return the verdict of every check of `CHECKS`, in that order."""
    return [
        _run_ended(facts),
        _run_valid(facts),
        _artifact_present(facts),
        _artifact_unchanged(facts),
        _gates(facts),
        _copies(facts),
        _not_worse(facts),
    ]


def _run_ended(facts: PromotionFacts) -> Check:
    verdict = {"finished": "pass", "unknown": "unknown", "stalled": "unknown"}.get(facts.status, "fail")
    why = f" ({facts.evidence})" if facts.evidence else ""
    return Check("run-ended", verdict, f"the run is {facts.status}{why}")


def _run_valid(facts: PromotionFacts) -> Check:
    if facts.invalid:
        return Check("run-valid", "fail", facts.invalid)
    return Check("run-valid", "pass", "nothing it was trained or evaluated on was declared invalid")


def _artifact_present(facts: PromotionFacts) -> Check:
    if facts.digest is None:
        return Check("artifact-present", "fail", f"the run has no artifact with the role {facts.role!r}")
    if facts.found.path is None:
        return Check("artifact-present", "fail", facts.found.problem)
    return Check("artifact-present", "pass", f"read whole at {facts.found.path}")


def _artifact_unchanged(facts: PromotionFacts) -> Check:
    if facts.digest is None or facts.found.digest is None:
        return Check("artifact-unchanged", "unknown", "there was nothing to read")
    if facts.found.digest != facts.digest:
        recorded, read = facts.digest[:12], facts.found.digest[:12]
        return Check("artifact-unchanged", "fail", f"recorded as {recorded}, but its bytes now hash to {read}")
    return Check("artifact-unchanged", "pass", f"its bytes hash to {facts.digest[:12]}, as recorded")


def _gates(facts: PromotionFacts) -> Check:
    if not facts.has_suite:
        return Check("gates", "pass", "no gate suite applies to this run or target")
    required = [gate for gate in facts.gates if gate.required]
    bad = [gate for gate in required if gate.verdict != "pass"]
    if not bad and required:
        return Check("gates", "pass", f"{len(required)} of {len(required)} required gates pass")
    if not required:
        return Check("gates", "unknown", "the gate suite has no required gate")
    reasons = "; ".join(f"{gate.suite}/{gate.name} {gate.verdict}: {gate.reason}" for gate in bad)
    verdict = "fail" if any(gate.verdict == "fail" for gate in bad) else "unknown"
    return Check("gates", verdict, f"{len(bad)} of {len(required)} do not pass: {reasons}")


def _copies(facts: PromotionFacts) -> Check:
    verdict = "pass" if facts.n_copies >= facts.n_copies_needed else "fail"
    return Check("copies", verdict, facts.copies_reason)


def _not_worse(facts: PromotionFacts) -> Check:
    name, served = facts.metric, facts.served
    if served is None:
        return Check("not-worse", "pass", "nothing is deployed there yet")
    if served.digest == facts.digest:
        return Check("not-worse", "pass", "it is what is deployed now")
    if name is None or facts.goal is None:
        return Check("not-worse", "unknown", "no primary metric to compare by: set primary_metric for the target")
    if facts.value is None or served.value is None:
        whose = "this checkpoint" if facts.value is None else f"the deployed one ({served.run_id})"
        return Check("not-worse", "unknown", f"{name} of {whose} is not known")
    new, old = facts.value.value, served.value.value
    worse = new > old if facts.goal == "min" else new < old
    if worse or new != new:
        return Check(
            "not-worse", "fail", f"{name} {new:.6g} is worse than the {old:.6g} of {served.run_id}, deployed now"
        )
    return Check("not-worse", "pass", f"{name} {new:.6g} against the {old:.6g} of {served.run_id}, deployed now")


def overridden(checks: list[Check], names: Iterable[str]) -> list[Check]:
    """Return the checks with the named ones that refuse turned to `overridden`. Raises UsageError for a wrong name."""
    wanted = set(names)
    if unknown := sorted(wanted - set(CHECKS)):
        raise UsageError(f"--override {unknown[0]!r} is no check", hint=f"checks: {', '.join(CHECKS)}")
    if "artifact-present" in wanted:
        raise UsageError("artifact-present cannot be overridden", hint="there would be nothing to deploy")
    return [
        replace(check, verdict="overridden") if check.check in wanted and check.verdict in REFUSING else check
        for check in checks
    ]


# --- what is proposed


@dataclass(frozen=True)
class Proposal:
    """A promotion that was judged but not made."""

    target: str
    run_id: str
    run_name: str
    role: str
    artifact_id: int | None
    digest: str | None
    path: Path | None
    checks: list[Check]
    served_id: int | None
    facts: PromotionFacts = field(repr=False)

    @property
    def ok(self) -> bool:
        """Whether nothing refuses."""
        return all(check.verdict not in REFUSING for check in self.checks)

    def as_json(self) -> dict[str, Any]:
        """Return the proposal in the shape of the JSON contract."""
        return {
            "ok": self.ok,
            "target": self.target,
            "run": self.run_id,
            "artifact": self.role,
            "digest": self.digest,
            "path": str(self.path) if self.path else None,
            "checks": [asdict(check) for check in self.checks],
        }


def propose(
    db: Database, run_id: str, target: str, *, role: str | None = None, overrides: Sequence[str] = ()
) -> Proposal:
    """Judge a promotion of a run's artifact to a target, reading the artifact's bytes again.

    `role` defaults to the target's artifact role in registry.toml (`best`). Raises UsageError for an unknown override.
    """
    wanted = db.settings.targets.get(target, Target())
    with db.read() as session:
        artifact = _artifact(session, run_id, role or wanted.artifact, exact=role is not None)
        found = _read_bytes(session, db, artifact)
        facts = _gather(session, db.settings, run_id, target, artifact, role or wanted.artifact, found)
        name = facts_name(session, run_id)
    return Proposal(
        target=target,
        run_id=run_id,
        run_name=name,
        role=artifact.role if artifact else facts.role,
        artifact_id=artifact.id if artifact else None,
        digest=facts.digest,
        path=found.path,
        checks=overridden(judge_promotion(facts), overrides),
        served_id=facts.served.deployment_id if facts.served else None,
        facts=facts,
    )


def facts_name(session: Session, run_id: str) -> str:
    """Return a run's name."""
    run = session.get(RunRow, run_id)
    assert run is not None
    return run.name


def _artifact(session: Session, run_id: str, role: str, *, exact: bool) -> Artifact | None:
    """Return the newest artifact of a role; unless `exact`, a run without it offers its only checkpoint."""
    from registry.gate_facts import checkpoint_of

    rows = session.exec(
        select(Artifact)
        .where(Artifact.run_id == run_id)
        .where(col(Artifact.superseded_at).is_(None), col(Artifact.discarded_reason).is_(None))
        .order_by(col(Artifact.recorded_at).desc(), col(Artifact.id).desc())
    ).all()
    found = next((row for row in rows if row.role == role), None)
    return found if found or exact else checkpoint_of(session, run_id)


def _read_bytes(session: Session, db: Database, artifact: Artifact | None) -> Bytes:
    """Hash the artifact where the run left it, or, when it is not there any more, in a copy that can be opened."""
    if artifact is None:
        return Bytes(None, None, "there is no such artifact")
    from registry.copies import local_copy_paths

    problem = ""
    for path in (db.root / artifact.path, *local_copy_paths(session, artifact)):
        try:
            return Bytes(path, freeze(path).digest)
        except HoldfastError as error:
            problem = problem or error.message
    return Bytes(None, None, problem)


def _gather(
    session: Session,
    settings: Settings,
    run_id: str,
    target: str,
    artifact: Artifact | None,
    role: str,
    found: Bytes,
) -> PromotionFacts:
    run = session.get(RunRow, run_id)
    assert run is not None
    wanted = settings.targets.get(target, Target())
    summary = run_summary(session, settings, run_id)
    suites = [parse_suite(text, name) for name, text in [load_suite_text(wanted.suite)]] if wanted.suite else None
    artifact_id = artifact.id if artifact else None
    gates = verdicts_for(session, run_id, artifact_id)
    if suites:
        known = {(gate.suite, gate.name) for gate in gates}
        more = verdicts_for(session, run_id, artifact_id, suites)
        gates += [gate for gate in more if (gate.suite, gate.name) not in known]
    n_copies, needed, reason = _copies_facts(session, settings, artifact, wanted)
    primary = summary.primary()
    metric = wanted.primary_metric or (primary.name if primary else None)
    goal = wanted.goal or (metric and (primary.goal if primary and primary.name == metric else infer_goal(metric)))
    return PromotionFacts(
        run_id=run_id,
        status=run.status,
        evidence=run.evidence,
        invalid=summary.invalid or ("the run was removed" if run.deleted_at else None),
        role=role,
        digest=artifact.digest if artifact else None,
        found=found,
        gates=tuple(gates),
        has_suite=bool(gates) or suites is not None,
        n_copies=n_copies,
        n_copies_needed=needed,
        copies_reason=reason,
        metric=metric,
        goal=goal or None,
        value=_value_of(session, artifact, metric),
        served=_served(session, target, metric),
    )


def _copies_facts(
    session: Session, settings: Settings, artifact: Artifact | None, target: Target
) -> tuple[int, int, str]:
    """Return how many verified copies count, how many are needed, and that in words."""
    from registry.copies import artifact_custody

    policy: Policy = settings.policy
    needed = max(policy.min_copies, target.min_copies or 0)
    if artifact is None or artifact.id is None:
        return 0, needed, "there is no artifact to copy"
    custody = artifact_custody(session, [artifact.id], clock.now(), settings)[artifact.id]
    states = ", ".join(
        f"{copy.remote} {copy.state}{'' if copy.counts else ' (does not count)'}" for copy in custody.copies
    )
    words = f"{custody.verified_counting} of {needed} verified copies elsewhere ({states or 'no copy anywhere else'})"
    if not policy.require_other_domain:
        words += "; registry.toml lets a copy on the same file system count"
    return custody.verified_counting, needed, words


def _value_of(session: Session, artifact: Artifact | None, metric: str | None) -> Observed | None:
    """Return the checkpoint's own value of a metric: evaluated against its digest, else measured at its step."""
    if artifact is None or metric is None:
        return None
    gate = Gate(name="primary", metric=metric, op=">=", threshold=0.0)
    suite = Suite(name="primary", gates=(gate,))
    return observe(gate, facts_for(session, artifact.run_id, artifact.id, suite)).value


def _served(session: Session, target: str, metric: str | None) -> Served | None:
    row = live_deployment(session, target)
    if row is None:
        return None
    assert row.id is not None
    return Served(row.id, row.run_id, row.digest, _value_of(session, session.get(Artifact, row.artifact_id), metric))


def live_deployment(session: Session, target: str) -> Deployment | None:
    """Return what a target serves now, None when nothing."""
    return session.exec(select(Deployment).where(Deployment.target == target, col(Deployment.until).is_(None))).first()


# --- the decision


def promote(
    db: Database,
    run_id: str,
    target: str,
    *,
    role: str | None = None,
    overrides: Sequence[str] = (),
    reason: str = "",
    by: str | None = None,
) -> Proposal:
    """Deploy a run's artifact to a target, or raise RefusedError that lists every reason.

    The order: judge (which reads the bytes again), run the target's `on_promote`, wait for its health, commit. Raises
    UsageError for an override without a reason. Nothing changes unless everything holds.
    """
    if overrides and not reason.strip():
        raise UsageError("an override without a reason", hint='add --reason "why this may be deployed all the same"')
    proposal = propose(db, run_id, target, role=role, overrides=overrides)
    if not proposal.ok:
        raise refusal(proposal)
    wanted = db.settings.targets.get(target, Target())
    health = _switch_over(db, proposal, wanted.on_promote, wanted)
    used = [check.check for check in proposal.checks if check.verdict == "overridden"]
    row = _deployment(proposal, used, reason, by or audit.who(), health)
    with db.write() as session:
        _commit(session, row, proposal.served_id, "promote", {"reason": reason, "checks": json.loads(row.checks)})
    return proposal


def refusal(proposal: Proposal) -> RefusedError:
    """Return the error that lists every reason of a proposal that may not be."""
    bad = [check for check in proposal.checks if check.verdict in REFUSING]
    return RefusedError(
        f"{proposal.run_name} ({proposal.run_id}) was not promoted to {proposal.target}: "
        f"{len(bad)} of {len(proposal.checks)} checks refuse",
        details=[f"{check.check}: {check.reason}" for check in bad],
        hint='mend what they name, or --override CHECK --reason "…"',
        payload=proposal.as_json(),
    )


def _deployment(proposal: Proposal, used: list[str], reason: str, by: str, health: str) -> Deployment:
    assert proposal.artifact_id is not None and proposal.digest is not None
    return Deployment(
        target=proposal.target,
        run_id=proposal.run_id,
        artifact_id=proposal.artifact_id,
        digest=proposal.digest,
        since=clock.now(),
        by=by,
        reason=reason,
        overrides=json.dumps(used),
        checks=json.dumps([asdict(check) for check in proposal.checks]),
        health=health,
        action="promote",
        previous_id=proposal.served_id,
    )


def _switch_over(db: Database, proposal: Proposal, command: str | None, target: Target) -> str:
    """Run the target's command with the verified file and wait for its health; returns the health."""
    assert proposal.path is not None
    wanted = Switch(
        command=command,
        timeout_s=target.command_timeout_s,
        health_url=target.health_url,
        health_timeout_s=target.health_timeout_s,
        environment={
            "REGISTRY_TARGET": proposal.target,
            "REGISTRY_RUN_ID": proposal.run_id,
            "REGISTRY_ARTIFACT": str(proposal.path),
            "REGISTRY_DIGEST": proposal.digest or "",
        },
        cwd=db.root,
    )
    try:
        return switch(wanted)
    except SwitchFailedError as error:
        raise RefusedError(
            f"{proposal.target} still serves what it served: {error}",
            hint="mend the command or the service named in registry.toml",
            payload={**proposal.as_json(), "ok": False, "error": str(error)},
        ) from None


def _commit(session: Session, row: Deployment, expected_id: int | None, action: str, details: dict[str, Any]) -> None:
    """Put `row` in the place of the deployment it was judged against, or refuse when another came first."""
    live = live_deployment(session, row.target)
    if (live.id if live else None) != expected_id:
        now_serves = live.run_id if live else "nothing"
        raise RefusedError(
            f"{row.target} was changed meanwhile: it serves {now_serves} now", hint="look again, then decide anew"
        )
    if live is not None:
        live.until = row.since
        session.add(live)
        session.flush()
    session.add(row)
    session.flush()
    about = {"run": row.run_id, "digest": row.digest, "from": live.run_id if live else None, **details}
    audit.record(session, action, row.target, {**about, "overrides": json.loads(row.overrides)}, by=row.by)
    refresh_comparing(session)


def rollback(db: Database, target: str, *, reason: str = "", by: str | None = None) -> Proposal:
    """Put back what a target served before; returns what serves now.

    The bytes are read again first. Raises NotFoundError when there is nothing to go back to, RefusedError when the
    artifact is gone or changed, or its run was declared invalid since.
    """
    with db.read() as session:
        live = live_deployment(session, target)
        before = session.get(Deployment, live.previous_id) if live and live.previous_id else None
        if live is None or before is None:
            raise NotFoundError(f"{target} has nothing to go back to", hint="`registry history` shows what served it")
        artifact = session.get(Artifact, before.artifact_id)
        found = _read_bytes(session, db, artifact)
        facts = _gather(session, db.settings, before.run_id, target, artifact, artifact.role if artifact else "", found)
        name = facts_name(session, before.run_id)
        expected_id, previous_id = live.id, before.previous_id
    essential = ("run-valid", "artifact-present", "artifact-unchanged")
    proposal = Proposal(
        target=target,
        run_id=before.run_id,
        run_name=name,
        role=facts.role,
        artifact_id=before.artifact_id,
        digest=before.digest,
        path=found.path,
        checks=[check for check in judge_promotion(facts) if check.check in essential],
        served_id=expected_id,
        facts=facts,
    )
    if not proposal.ok:
        raise refusal(proposal)
    wanted = db.settings.targets.get(target, Target())
    health = _switch_over(db, proposal, wanted.on_rollback or wanted.on_promote, wanted)
    row = _deployment(proposal, json.loads(before.overrides), reason, by or audit.who(), health)
    row.action, row.previous_id = "rollback", previous_id
    with db.write() as session:
        _commit(session, row, expected_id, "rollback", {"reason": reason})
    return proposal

"""Invalidation travels: every run trained or evaluated on data that was declared bad carries the reason, and so does
what came after it in the same chain of stages. Nothing is deleted; the flag is derived at every look.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from sqlmodel import Session, col, or_, select

from registry.tables import Dataset, DatasetUse, Evaluation, RunRow

BAD_STATES = ("invalid", "deprecated")
_VERBS = {"train": "trained on", "val": "validated on", "test": "evaluated on", "eval": "evaluated on"}
_IDS_PER_QUERY = 5_000


@dataclass(frozen=True)
class BadData:
    """A data set version that was declared invalid or deprecated, and why."""

    reference: str
    state: str
    reason: str = ""
    superseded_by: str | None = None

    def __str__(self) -> str:
        why = f": {self.reason}" if self.reason else ""
        instead = f" (superseded by {self.superseded_by})" if self.superseded_by else ""
        return f"{self.reference}, which is {self.state}{why}{instead}"


@dataclass(frozen=True)
class Use:
    """A run read a data set version in a role."""

    run_id: str
    reference: str
    role: str


@dataclass(frozen=True)
class ChainedRun:
    """A run of a chain of stages: its parent, and when it began."""

    run_id: str
    name: str
    parent_id: str
    started_at: float


def own_reasons(uses: Iterable[Use], bad: Mapping[str, BadData]) -> dict[str, str]:
    """Return why runs are invalid through what they read themselves; the same data in two roles is said once."""
    verbs: dict[str, dict[str, list[str]]] = {}
    for use in sorted(uses, key=lambda use: (use.run_id, use.reference, use.role != "train", use.role)):
        if use.reference in bad:
            verb = _VERBS.get(use.role, f"used as {use.role}:")
            said = verbs.setdefault(use.run_id, {}).setdefault(use.reference, [])
            if verb not in said:
                said.append(verb)
    return {
        run_id: "; ".join(f"{' and '.join(said)} {bad[reference]}" for reference, said in by_reference.items())
        for run_id, by_reference in verbs.items()
    }


def inherited_reasons(own: Mapping[str, str], chained: Iterable[ChainedRun]) -> dict[str, str]:
    """Return why runs are invalid through their chain: a parent through any child, a child through an earlier one."""
    found: dict[str, str] = {}
    tainted: dict[str, tuple[str, str]] = {}
    for run in sorted(chained, key=lambda run: (run.parent_id, run.started_at, run.run_id)):
        if run.run_id in own:
            tainted.setdefault(run.parent_id, (run.name, own[run.run_id]))
        elif run.parent_id in tainted:
            name, reason = tainted[run.parent_id]
            found[run.run_id] = f"follows {name}, {reason}"
    for parent_id, (name, reason) in tainted.items():
        if parent_id not in own:
            found[parent_id] = f"its run {name} was {reason}"
    return found


def invalid_reasons(session: Session, run_ids: Sequence[str] | None = None) -> dict[str, str]:
    """Return why runs (all, or those given) are invalid, by run id; runs that are not are left out.

    Costs one small query while no data set is bad.
    """
    bad = bad_data(session)
    if not bad:
        return {}
    own = own_reasons(_uses(session, bad), bad)
    reasons = {**inherited_reasons(own, chains_of(session, own)), **own}
    if run_ids is None:
        return reasons
    wanted = set(run_ids)
    return {run_id: reason for run_id, reason in reasons.items() if run_id in wanted}


def bad_data(session: Session) -> dict[str, BadData]:
    """Return every data set version that was declared invalid or deprecated, by `NAME@VERSION`."""
    found = {}
    for row in session.exec(select(Dataset).where(col(Dataset.state).in_(BAD_STATES))):
        reference = f"{row.name}@{row.version}"
        found[reference] = BadData(reference, row.state, row.reason or "", row.superseded_by)
    return found


def _uses(session: Session, bad: Mapping[str, BadData]) -> list[Use]:
    """Return who read the bad data: by saying so, or through an evaluation on it (`NAME@V`, perhaps `NAME@V:split`)."""
    names = sorted({reference.rpartition("@")[0] for reference in bad})
    rows = session.exec(
        select(DatasetUse.run_id, DatasetUse.name, DatasetUse.version, DatasetUse.role).where(
            col(DatasetUse.name).in_(names)
        )
    )
    uses = [Use(run_id, f"{name}@{version}", role) for run_id, name, version, role in rows]
    evaluated = session.exec(
        select(Evaluation.run_id, Evaluation.dataset).where(
            or_(*(col(Evaluation.dataset).startswith(reference, autoescape=True) for reference in bad)),
            col(Evaluation.subject).is_(None),
        )
    )
    uses += [Use(run_id, (reference or "").partition(":")[0], "eval") for run_id, reference in evaluated]
    return uses


def chains_of(session: Session, own: Mapping[str, str]) -> list[ChainedRun]:
    """Return every run that shares a parent with a run of `own`."""
    ids = sorted(own)
    parents: set[str] = set()
    for start in range(0, len(ids), _IDS_PER_QUERY):
        part = ids[start : start + _IDS_PER_QUERY]
        rows = session.exec(
            select(RunRow.parent_id).where(col(RunRow.id).in_(part), col(RunRow.parent_id).is_not(None))
        )
        parents |= {parent for parent in rows if parent}
    children = session.exec(
        select(RunRow.id, RunRow.name, RunRow.parent_id, RunRow.started_at).where(
            col(RunRow.parent_id).in_(sorted(parents))
        )
    )
    return [ChainedRun(run_id, name, parent or "", started or 0.0) for run_id, name, parent, started in children]

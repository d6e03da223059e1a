"""What the numbers hide when only the last one is looked at: a better checkpoint than the deployed one, a best so early
that the rest was wasted, a collapse, values that are not finite, two bases that tell different stories.

The judgements are pure; the queries read summary rows, never whole series.
"""

import math
import re
from dataclasses import dataclass
from typing import Any

from sqlalchemy import String, bindparam, text
from sqlmodel import Session, select

from registry.alert import Alert
from registry.metrics import infer_goal
from registry.settings import Honesty, Settings
from registry.steps import value_at_step
from registry.tables import MetricSeries

HELD_OUT = re.compile(r"(^|[/_.\- ])(val|valid|validation|eval|test|dev|holdout|ood)([/_.\- ]|$)", re.IGNORECASE)
MIN_POINTS = 5
"""A series shorter than this has no early, late or lost best."""
ENDED = ("finished", "failed", "killed", "crashed", "stalled", "unknown")


@dataclass(frozen=True)
class Story:
    """The summary of one series, with the goal that says what is best in it."""

    run_id: str
    run_name: str
    status: str
    name: str
    basis: str
    goal: str
    count: int
    first_step: int | None
    last_step: int | None
    last: float | None
    least: float | None
    least_step: int | None
    greatest: float | None
    greatest_step: int | None
    last_at: float | None

    @property
    def best(self) -> float | None:
        """The best value."""
        return self.least if self.goal == "min" else self.greatest

    @property
    def best_step(self) -> int | None:
        """The step of the best value."""
        return self.least_step if self.goal == "min" else self.greatest_step

    @property
    def worst_after(self) -> tuple[float | None, int | None]:
        """The worst value after the best one as far as the summary knows it, and its step."""
        worst, step = (self.greatest, self.greatest_step) if self.goal == "min" else (self.least, self.least_step)
        later = step is not None and self.best_step is not None and step > self.best_step
        return (worst, step) if later else (self.last, self.last_step)


def wasted_share(story: Story) -> float:
    """Return which share of a series came after its best, between 0 and 1; 0 where steps do not tell."""
    if story.count < MIN_POINTS or None in (story.first_step, story.last_step, story.best_step):
        return 0.0
    assert story.first_step is not None and story.last_step is not None and story.best_step is not None
    length = story.last_step - story.first_step
    return (story.last_step - story.best_step) / length if length > 0 else 0.0


def lost_share(story: Story) -> float:
    """Return which share of its best a metric lost afterwards; for a minimum, which share of the worst is excess."""
    worst, step = story.worst_after
    if story.best is None or worst is None or step is None or story.best_step is None or step <= story.best_step:
        return 0.0
    whole = story.best if story.goal == "max" else worst
    return abs(worst - story.best) / abs(whole) if whole > 0 else 0.0


def bases_differ(values: dict[str, float], tolerance: float) -> tuple[str, str] | None:
    """Return the two bases of one metric that differ most, when by more than `tolerance` of the larger value."""
    ordered = sorted(values, key=lambda basis: values[basis])
    low, high = values[ordered[0]], values[ordered[-1]]
    scale = max(abs(low), abs(high))
    return (ordered[0], ordered[-1]) if scale > 0 and (high - low) / scale > tolerance else None


# --- alerts


NEWS_RUNS = 500
"""Alerts tell of the newest runs and of what is deployed; older stories are in the reports."""

_RUNS = """
WITH looked_at AS (
 SELECT * FROM (SELECT id FROM run WHERE deleted_at IS NULL ORDER BY started_at DESC LIMIT :n_runs) AS newest
 UNION SELECT run_id FROM deployment WHERE until IS NULL
)
SELECT s.run_id, r.name AS run_name, r.status, s.name, s.basis, s.count, s.non_finite, s.non_finite_step, s.first_step,
 s.last_step, s.last_value, s.last_at, s.min_value, s.min_step, s.max_value, s.max_step, d.goal,
 d."primary" AS is_primary, e.primary_metric, e.primary_goal
FROM looked_at JOIN run r ON r.id = looked_at.id JOIN experiment e ON e.id = r.experiment_id
JOIN metric_series s ON s.run_id = r.id
LEFT JOIN metric_definition d ON d.run_id = s.run_id AND d.name = s.name
WHERE r.deleted_at IS NULL AND (s.non_finite > 0 OR d."primary" OR s.name = e.primary_metric
 OR lower(s.name) LIKE '%val%' OR lower(s.name) LIKE '%test%' OR lower(s.name) LIKE '%dev%'
 OR lower(s.name) LIKE '%holdout%' OR lower(s.name) LIKE '%ood%'
 OR EXISTS (SELECT 1 FROM metric_series o WHERE o.run_id = s.run_id AND o.name = s.name AND o.basis <> s.basis))
ORDER BY s.run_id, s.name, s.basis
"""
"""Series that may have a story: held-out ones by name (`HELD_OUT` decides), primary ones, and odd ones."""


def metric_alerts(session: Session, now: float, settings: Settings) -> list[Alert]:
    """Return what the metrics of the newest runs, and of the deployed ones, should make a person look at."""
    by_run: dict[str, list[Any]] = {}
    for row in session.connection().execute(text(_RUNS), {"n_runs": NEWS_RUNS}):
        by_run.setdefault(row.run_id, []).append(row)
    found = []
    for rows in by_run.values():
        found += [*_non_finite(rows), *_disagreeing(rows, settings.metrics)]
        found += [*_collapsed(rows, settings.metrics), *_wasted(rows, settings.metrics)]
    return [*found, *_not_best(session, by_run)]


def _story(row: Any, goal: str) -> Story:
    return Story(
        run_id=row.run_id,
        run_name=row.run_name,
        status=row.status,
        name=row.name,
        basis=row.basis,
        goal=goal,
        count=row.count,
        first_step=row.first_step,
        last_step=row.last_step,
        last=row.last_value,
        least=row.min_value,
        least_step=row.min_step,
        greatest=row.max_value,
        greatest_step=row.max_step,
        last_at=row.last_at,
    )


def _goal(row: Any) -> str | None:
    return row.goal or (row.primary_goal if row.name == row.primary_metric else None) or infer_goal(row.name)


def _non_finite(rows: list[Any]) -> list[Alert]:
    return [
        Alert(
            "warning",
            "metric-not-finite",
            f"{row.run_id} {row.name}",
            f"{row.run_name}: {row.non_finite} of {row.count} values of {row.name} are not finite"
            + (f", the first at step {row.non_finite_step}" if row.non_finite_step is not None else ""),
            row.last_at,
            f"registry show {row.run_id}",
        )
        for row in rows
        if row.non_finite
    ]


def _disagreeing(rows: list[Any], rules: Honesty) -> list[Alert]:
    by_name: dict[str, dict[str, Any]] = {}
    for row in rows:
        if row.last_value is not None and math.isfinite(row.last_value):
            by_name.setdefault(row.name, {})[row.basis] = row
    found = []
    for name, by_basis in by_name.items():
        pair = bases_differ({basis: row.last_value for basis, row in by_basis.items()}, rules.basis_tolerance)
        if pair:
            said = " and ".join(f"{by_basis[basis].last_value:.6g} {basis}" for basis in reversed(pair))
            row = by_basis[pair[0]]
            message = f"{row.run_name}: {name} is {said}"
            hint = "quote the measured value; a gate counts no other"
            found.append(Alert("warning", "bases-disagree", f"{row.run_id} {name}", message, row.last_at, hint))
    return found


def _collapsed(rows: list[Any], rules: Honesty) -> list[Alert]:
    found = []
    for row in rows:
        goal = _goal(row)
        if goal is None or row.count < 2 or not HELD_OUT.search(row.name):
            continue
        story = _story(row, goal)
        lost, (worst, step) = lost_share(story), story.worst_after
        if lost > rules.collapse_share:
            moved = "fell" if goal == "max" else "rose"
            message = (
                f"{row.run_name}: {row.name} {moved} from {story.best:.6g} at step {story.best_step}"
                f" to {worst:.6g} at step {step}"
            )
            hint = f"the checkpoint of step {story.best_step} is the one to keep"
            found.append(Alert("warning", "metric-collapsed", f"{row.run_id} {row.name}", message, row.last_at, hint))
    return found


def _wasted(rows: list[Any], rules: Honesty) -> list[Alert]:
    row = primary_series(rows)
    goal = row and _goal(row)
    if row is None or goal is None or row.status not in ENDED:
        return []
    story = _story(row, goal)
    share = wasted_share(story)
    if share <= rules.wasted_share:
        return []
    message = (
        f"{row.run_name}: {row.name} was best at step {story.best_step} of {story.last_step};"
        f" {share:.0%} of the run came after it"
    )
    hint = "stop earlier, and keep the checkpoint of the best step"
    return [Alert("info", "best-too-early", f"{row.run_id} {row.name}", message, row.last_at, hint)]


def primary_series(rows: list[Any]) -> Any:
    """Return the measured series a run is judged by: the one it named, its experiment's, else its only held-out loss
    or score; None where nothing says.
    """
    measured = [row for row in rows if row.basis == "measured"]
    named = [row for row in measured if row.is_primary] or [row for row in measured if row.name == row.primary_metric]
    if named:
        return named[0]
    held_out = [row for row in measured if HELD_OUT.search(row.name) and _goal(row)]
    losses = [row for row in held_out if row.name.lower().endswith("loss")]
    return losses[0] if len(losses) == 1 else held_out[0] if len(held_out) == 1 else None


_CHECKPOINTS = """
SELECT a.run_id, a.id, a.path, a.step, a.digest, d.target FROM artifact a
LEFT JOIN deployment d ON d.artifact_id = a.id AND d.until IS NULL
WHERE a.step IS NOT NULL AND (d.id IS NOT NULL OR (a.role = 'best' AND a.superseded_at IS NULL
 AND a.discarded_reason IS NULL AND a.run_id IN :ids))
ORDER BY a.run_id, d.target, a.step DESC
"""


def _not_best(session: Session, by_run: dict[str, list[Any]]) -> list[Alert]:
    """Compare what is deployed, and what a run offers as its best, with the run's best by its primary metric."""
    statement = text(_CHECKPOINTS).bindparams(bindparam("ids", expanding=True, type_=String))
    found = []
    for artifact in session.connection().execute(statement, {"ids": sorted(by_run)}):
        row = primary_series(by_run.get(artifact.run_id, []))
        goal = row and _goal(row)
        if row is None or goal is None or (row.status not in ENDED and artifact.target is None):
            continue
        story = _story(row, goal)
        if story.best_step is None or artifact.step == story.best_step or _is_as_good(session, artifact, story):
            continue
        name = artifact.path.rpartition("/")[2]
        where = f"{artifact.target} serves" if artifact.target else f"{row.run_name} offers as its best"
        found.append(
            Alert(
                "warning",
                "checkpoint-not-best",
                f"{artifact.run_id} {artifact.target or name}",
                f"{where} {name} of step {artifact.step}, but {row.name} was best at step {story.best_step}"
                f" ({story.best:.6g})",
                row.last_at,
                f"registry show {artifact.run_id}",
            )
        )
    return found


def _is_as_good(session: Session, artifact: Any, story: Story) -> bool:
    """Return whether the series was as good at the checkpoint's step as at its best (ties are common)."""
    found = session.exec(
        select(MetricSeries.id, MetricSeries.count).where(
            MetricSeries.run_id == story.run_id, MetricSeries.name == story.name, MetricSeries.basis == story.basis
        )
    ).one()
    known, value = value_at_step(session, found[0] or 0, found[1], artifact.step)
    return known and value == story.best

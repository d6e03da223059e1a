"""Reports of several runs: side by side, and ranked."""

from collections.abc import Sequence

from sqlmodel import Session

from registry import comparison
from registry.errors import NotFoundError, UsageError
from registry.queries import RunFilter, RunSummary, list_runs, metric_goal
from registry.reports import page
from registry.settings import Settings
from registry.tables import Experiment


def compare_report(session: Session, runs: Sequence[RunSummary], baseline_id: str | None) -> str:
    """Return runs side by side: params that differ, metrics best@step, gates, what is invalid, what they cost."""
    found = comparison.compare(runs, baseline_id=baseline_id, only_changed=len(runs) > 1)
    heads, rows = comparison.rows_of(found, 6)
    rows.append(["cost", *(page.money(run.cost) for run in runs)])
    lines = page.head(session, "Comparison", runs)
    lines += page.table(heads, rows)
    lines += ["", "`value@step`, best by its goal (↓ less, ↑ more is better); `*` best of all, `≈` not measured."]
    lines += ["", f"Cost: {page.total_cost(runs)}.", ""]
    lines += page.section("Not to be relied on", (f"- {page.plain(r.name)}: {r.invalid}" for r in runs if r.invalid))
    return "\n".join(lines)


def leaderboard_report(session: Session, settings: Settings, experiment: str, metric: str | None) -> str:
    """Return the runs of an experiment ranked by a metric (default: its primary one); invalid runs are not ranked.

    Raises NotFoundError for an experiment without runs, UsageError for a metric without a goal.
    """
    everything = list_runs(session, settings, RunFilter(experiment=experiment))
    if not everything.rows:
        raise NotFoundError(f"no runs in experiment {experiment!r}", hint="`registry ls` shows the experiments")
    name = metric or _primary(session, experiment, everything.rows)
    goal = metric_goal(session, name)
    if goal is None:
        raise UsageError(f"{name!r} has no goal, so nothing ranks", hint="run.define_metric(name, goal='max')")
    ranked = list_runs(session, settings, RunFilter(experiment=experiment), sort_by=name).rows
    scored = [run for run in ranked if name in run.metrics and not run.invalid]
    rows = [_rank_row(place, run, name) for place, run in enumerate(scored, start=1)]
    lines = page.head(session, f"Leaderboard of {experiment}", everything.rows)
    lines += [f"Ranked by the best `{name}` of each run; {'less' if goal == 'min' else 'more'} is better.", ""]
    lines += page.table(["#", "run", name, "status", "gates", "copies", "deployed", "started", "cost"], rows)
    lines += ["", f"Cost of the experiment: {page.total_cost(everything.rows)}.", ""]
    left_out = [run for run in everything.rows if run not in scored]
    lines += page.section("Not ranked", (f"- {page.plain(run.name)} ({run.id}): {_why(run, name)}" for run in left_out))
    return "\n".join(lines)


def _primary(session: Session, experiment: str, runs: Sequence[RunSummary]) -> str:
    from sqlmodel import select

    row = session.exec(select(Experiment).where(Experiment.name == experiment)).first()
    if row is not None and row.primary_metric:
        return row.primary_metric
    names = [primary.name for run in runs if (primary := run.primary())]
    if not names:
        raise UsageError(f"no run of {experiment} has a metric with a goal", hint="--metric NAME")
    return max(sorted(set(names)), key=names.count)


def _rank_row(place: int, run: RunSummary, name: str) -> list[object]:
    copies = f"{run.n_artifacts - run.n_unverified} of {run.n_artifacts} safe" if run.n_artifacts else ""
    return [
        place,
        f"{page.plain(run.name)} ({run.id})",
        page.value(run.metrics[name]),
        run.status,
        comparison.gates_text(run),
        copies,
        ", ".join(run.deployed_to),
        page.when(run.started_at),
        page.money(run.cost),
    ]


def _why(run: RunSummary, name: str) -> str:
    return f"invalid: {run.invalid}" if run.invalid else f"no `{name}`"

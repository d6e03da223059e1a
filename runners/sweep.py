"""`registry sweep`: many trainings of one family as child runs of one parent, a few processes at a time.

The record is the registry: the parent says what was swept and how many trials ended how; each trial is a run like any
other, so `ls`, `compare` and the gates work on them.
"""

import dataclasses
import os
import signal
import sys
from collections import Counter
from typing import Annotated, Any

import typer

import registry
from registry.errors import UsageError
from runners.sweep_space import Trial, trials_of
from runners.sweep_trials import Ended, Plan, Workers, overrides_of
from runners.training import family as families

EXIT_INTERRUPTED = 130


def sweep(
    family: Annotated[str, typer.Argument(metavar="FAMILY[:VARIANT]", help="What to train.")],
    grid: Annotated[
        list[str] | None, typer.Option(metavar="KEY=V1,V2,…", help="Try every value; several make a grid.")
    ] = None,
    ranges: Annotated[
        list[str] | None,
        typer.Option("--random", metavar="KEY=LO..HI", help="Draw values; evenly in the logarithm from 1 to 100 up."),
    ] = None,
    draws: Annotated[int, typer.Option(min=1, help="Draws of the --random settings for each point.")] = 8,
    seeds: Annotated[int, typer.Option(min=1, help="Train each point with this many seeds, 0 to N-1.")] = 1,
    jobs: Annotated[int, typer.Option("-j", "--jobs", min=0, help="Trials at a time; 0: one for each core.")] = 0,
    preset: Annotated[str, typer.Option(help="How much: smoke, cpu, gpu.")] = "cpu",
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one setting of all trials.")
    ] = None,
    experiment: Annotated[str | None, typer.Option(help="The experiment; default the family's name.")] = None,
    gates: Annotated[str | None, typer.Option(help="A gate suite for every trial.")] = None,
    max_time: Annotated[str | None, typer.Option(metavar="TIME", help="Longest time of one trial: 90s, 15m.")] = None,
    retries: Annotated[int, typer.Option(min=0, help="How often a trial whose process died is taken up again.")] = 1,
) -> None:
    """Train a family many times: --grid, --random and --seeds say how, each trial is a child run of one parent.

    A trial whose process dies goes on from its last checkpoint, or is recorded as crashed. Exit code 1 when one did
    not finish.
    """
    trials = trials_of(grid or (), ranges or (), draws=draws, seeds=seeds)
    name = families.split_name(family)[0]
    found = families.find_family(name)
    wanted = min(jobs or os.cpu_count() or 1, len(trials))
    from registry.cli.context import context

    db = context().db(create=True)
    plan = Plan(
        family=family,
        preset=preset,
        overrides=tuple(overrides or ()),
        experiment=experiment or name,
        parent_id="",
        address=db.url,
        threads=max(1, (os.cpu_count() or 1) // wanted),
        retries=retries,
        max_time=max_time,
        gates=gates,
    )
    _check(found, plan, trials)
    ended, parent_id = _carry_out(plan, trials, wanted, {"grid": grid, "random": ranges, "seeds": seeds})
    with registry.open(plan.address) as record:
        _report(record, ended, len(trials))
    print(f"registry show {parent_id}")
    if any(one.status == "killed" for one in ended) or len(ended) < len(trials):
        raise typer.Exit(EXIT_INTERRUPTED)
    if any(one.status != "finished" for one in ended):
        raise typer.Exit(1)


def _check(family: families.Family, plan: Plan, trials: tuple[Trial, ...]) -> None:
    """Build the settings of every trial before the first begins. Raises UsageError naming what is wrong."""
    if "threads" not in {field.name for field in dataclasses.fields(family.settings)}:
        raise UsageError(f"family {family.name} has no setting `threads`", hint="derive it from CommonSettings")
    variant = families.split_name(plan.family)[1] or family.default_variant
    for trial in trials:
        family.build(variant, plan.preset, overrides_of(plan, trial))


def _carry_out(plan: Plan, trials: tuple[Trial, ...], jobs: int, params: dict[str, Any]) -> tuple[list[Ended], str]:
    """Run all trials below a parent run, which says how they ended; returns what became of them and its id."""
    parent = registry.init(
        experiment=plan.experiment,
        name=f"sweep {plan.family}",
        params={key: value for key, value in params.items() if value} | {"preset": plan.preset, "trials": len(trials)},
        tags=("sweep",),
        parent=os.environ.get("REGISTRY_RUN_ID"),
        db=plan.address,
    )
    counts: Counter[str] = Counter()

    def tell(one: Ended) -> None:
        counts[one.status] += 1
        parent.log({f"trials/{status}": n for status, n in counts.items()}, step=sum(counts.values()))
        again = f" after {one.attempts} attempts" if one.attempts > 1 else ""
        words = f"trial {one.trial.number}/{len(trials)} {one.trial.label}: {one.status}{again}"
        if one.status != "finished":
            words += f" ({one.said})"
            parent.note(words, level="warning")
        print(words, file=sys.stderr, flush=True)

    workers = Workers(dataclasses.replace(plan, parent_id=parent.id), jobs, tell)
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: workers.stop())
    print(f"sweep {parent.id}: {len(trials)} trials, {jobs} at a time", file=sys.stderr, flush=True)
    ended = workers.run(trials)
    words = ", ".join(f"{n} {status}" for status, n in sorted(counts.items()))
    if workers.stopping.is_set():
        parent.finish("killed", evidence=f"stopped; of {len(trials)} trials {words or 'none ended'}")
    else:
        status = "finished" if counts["finished"] == len(trials) else "failed"
        parent.finish(status, evidence=f"of {len(trials)} trials {words}")
    return ended, parent.id


def _report(record: registry.Registry, ended: list[Ended], n_trials: int) -> None:
    """Print a line for each trial, the best by its primary metric first."""
    rows = []
    for one in ended:
        metric, goal, value, step = _best(record, one)
        rows.append((metric, goal, value, step, one))
    goals = {goal for _, goal, *_ in rows if goal}
    sign = -1.0 if goals == {"max"} else 1.0
    rows.sort(key=lambda row: (row[2] is None, sign * (row[2] or 0.0)))
    for metric, _, value, step, one in rows:
        shown = f"{metric} {value:.6g} at step {step}" if value is not None else "no best"
        print(f"{one.run_id or '-':<12}{one.status:<10}{shown}  {one.trial.label}")
    print(f"{len(ended)} of {n_trials} trials ran")


def _best(record: registry.Registry, one: Ended) -> tuple[str, str | None, float | None, int | None]:
    """Return the primary metric of a trial's run: its name, its goal, its best value and the step of it."""
    if one.run_id is None:
        return "", None, None, None
    run = record.run(one.run_id)
    name = run["primary_metric"]
    if name is None:
        return "", None, None, None
    metric = run["metrics"][name]
    return name, metric["goal"], metric["best"], metric["best_step"]

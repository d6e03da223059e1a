"""`registry sweep`: many trainings of one family as child runs of one parent, here or through Ray Tune.

The record is the registry: the parent says what was swept and how many trials ended how; each trial is a run like any
other, so `ls`, `compare` and the gates work on them.
"""

import contextlib
import dataclasses
import os
import signal
import sys
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any

import typer

import registry
from registry.errors import HoldfastError, UsageError
from runners.sweep_local import run_trials as run_here
from runners.sweep_space import Trial, trials_of
from runners.sweep_stop import Judge, Orders, Rules, read_rules
from runners.sweep_trials import STOPPED, Ended, Plan, overrides_of
from runners.training import family as families

JUDGE_INTERVAL_S = 2.0
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
    jobs: Annotated[
        int,
        typer.Option("-j", "--jobs", min=0, help="Trials at a time; 0: one for each core, or what Ray has room for."),
    ] = 0,
    preset: Annotated[str, typer.Option(help="How much: smoke, cpu, gpu.")] = "cpu",
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one setting of all trials.")
    ] = None,
    experiment: Annotated[str | None, typer.Option(help="The experiment; default the family's name.")] = None,
    gates: Annotated[str | None, typer.Option(help="A gate suite for every trial.")] = None,
    max_time: Annotated[str | None, typer.Option(metavar="TIME", help="Longest time of one trial: 90s, 15m.")] = None,
    stop: Annotated[
        list[str] | None,
        typer.Option(
            metavar="asha[:N]|gates",
            help="End a trial that falls behind the best third after N, 3N, 9N… values of its metric (asha; N is 3); or"
            " end the sweep with the first trial that passes its gates.",
        ),
    ] = None,
    retries: Annotated[int, typer.Option(min=0, help="How often a trial whose process died is taken up again.")] = 1,
    on: Annotated[
        str | None, typer.Option(metavar="ray[://ADDRESS]", help="Run the trials through Ray Tune (default: here).")
    ] = None,
    gpus: Annotated[float, typer.Option(min=0.0, help="With --on: GPUs of each trial.")] = 0.0,
    cpus: Annotated[float, typer.Option(min=0.0, help="With --on: CPU cores of each trial.")] = 1.0,
) -> None:
    """Train a family many times: --grid, --random and --seeds say how, each trial is a child run of one parent.

    A trial whose process dies goes on from its last checkpoint, or is recorded as crashed. Exit code 1 when one did
    not finish; one that --stop ended counts as finished.
    """
    if on is not None and on.partition(":")[0] != "ray":
        raise UsageError(f"--on {on}", hint="a sweep runs here or on ray[://ADDRESS]")
    trials = trials_of(grid or (), ranges or (), draws=draws, seeds=seeds)
    name = families.split_name(family)[0]
    found = families.find_family(name)
    rules = read_rules(stop or ())
    if rules.gates and not (gates or found.suite):
        raise UsageError("--stop gates without gates", hint="add --gates SUITE")
    here = min(jobs or os.cpu_count() or 1, len(trials))
    from registry.cli.context import context

    db = context().db(create=True)
    plan = Plan(
        family=family,
        preset=preset,
        overrides=tuple(overrides or ()),
        experiment=experiment or name,
        parent_id="",
        address=db.url,
        threads=max(1, int(cpus) if on else (os.cpu_count() or 1) // here),
        retries=retries,
        max_time=max_time,
        gates=gates,
    )
    _check(found, plan, trials)
    swept = {"grid": grid, "random": ranges, "seeds": seeds, "stop": stop, "on": on}
    with _executor(on, here, jobs, cpus, gpus) as executor:
        ended, parent_id, interrupted = _carry_out(plan, trials, executor, rules, swept)
    with registry.open(plan.address) as record:
        _report(record, ended, len(trials))
    print(f"registry show {parent_id}")
    if interrupted:
        raise typer.Exit(EXIT_INTERRUPTED)
    if any(one.status not in ("finished", STOPPED) for one in ended):
        raise typer.Exit(1)


@dataclass(frozen=True)
class _Executor:
    """Where trials run: the orders that reach them there, and the function that runs them all."""

    orders: Any
    run: Callable[[Plan, tuple[Trial, ...], Callable[[Ended], None]], list[Ended]]
    words: str


@contextlib.contextmanager
def _executor(on: str | None, here: int, jobs: int, cpus: float, gpus: float) -> Iterator[_Executor]:
    """Yield what runs trials: processes of this machine, or the workers of a Ray cluster, which is left at the end."""
    if on is None:
        orders = Orders()
        yield _Executor(
            orders, lambda plan, trials, tell: run_here(plan, trials, here, orders, tell), f"{here} at a time"
        )
        return
    from runners import sweep_ray
    from runners.launch.ray import cluster

    with cluster(on):
        remote = sweep_ray.RemoteOrders()

        def run(plan: Plan, trials: tuple[Trial, ...], tell: Callable[[Ended], None]) -> list[Ended]:
            return sweep_ray.run_trials(plan, trials, jobs or None, remote, tell, cpus=cpus, gpus=gpus)

        yield _Executor(remote, run, f"on {on}")


def _check(family: families.Family, plan: Plan, trials: tuple[Trial, ...]) -> None:
    """Build the settings of every trial before the first begins. Raises UsageError naming what is wrong."""
    if "threads" not in {field.name for field in dataclasses.fields(family.settings)}:
        raise UsageError(f"family {family.name} has no setting `threads`", hint="derive it from CommonSettings")
    variant = families.split_name(plan.family)[1] or family.default_variant
    for trial in trials:
        family.build(variant, plan.preset, overrides_of(plan, trial))


def _carry_out(
    plan: Plan, trials: tuple[Trial, ...], executor: _Executor, rules: Rules, params: dict[str, Any]
) -> tuple[list[Ended], str, bool]:
    """Run all trials below a parent run, which says how they ended.

    Returns what became of them, the parent's id, and whether a signal ended the sweep.
    """
    parent = registry.init(
        experiment=plan.experiment,
        name=f"sweep {plan.family}",
        params={key: value for key, value in params.items() if value} | {"preset": plan.preset, "trials": len(trials)},
        tags=("sweep",),
        parent=os.environ.get("REGISTRY_RUN_ID"),
        db=plan.address,
    )
    plan = dataclasses.replace(plan, parent_id=parent.id)
    counts: Counter[str] = Counter()
    interrupted = threading.Event()

    def tell(one: Ended) -> None:
        counts[one.status] += 1
        parent.log({f"trials/{status}": n for status, n in counts.items()}, step=sum(counts.values()))
        again = f" after {one.attempts} attempts" if one.attempts > 1 else ""
        words = f"trial {one.trial.number}/{len(trials)} {one.trial.label}: {one.status}{again}"
        if one.status != "finished":
            words += f" ({one.said})"
            parent.note(words, level="info" if one.status == STOPPED else "warning")
        print(words, file=sys.stderr, flush=True)

    def interrupt(*_: object) -> None:
        interrupted.set()
        executor.orders.order(None, "")

    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, interrupt)
    print(f"sweep {parent.id}: {len(trials)} trials, {executor.words}", file=sys.stderr, flush=True)
    with _judged(plan, rules, executor.orders) as judge:
        ended = executor.run(plan, trials, tell)
    words = ", ".join(f"{n} {status}" for status, n in sorted(counts.items()))
    if judge and judge.enough:
        words += f"; {judge.enough}"
    if interrupted.is_set():
        parent.finish("killed", evidence=f"stopped; of {len(trials)} trials {words or 'none ended'}")
    else:
        whole = counts["finished"] + counts[STOPPED] == len(ended)
        parent.finish("finished" if whole else "failed", evidence=f"of {len(trials)} trials {words}")
    return ended, parent.id, interrupted.is_set()


@contextlib.contextmanager
def _judged(plan: Plan, rules: Rules, orders: Any) -> Iterator[Judge | None]:
    """Apply the rules of the sweep now and then, in a thread, while the block runs."""
    if not rules:
        yield None
        return
    done = threading.Event()
    with registry.open(plan.address) as record:
        judge = Judge(record, plan.parent_id, rules)
        thread = threading.Thread(target=_judge, args=(judge, orders, done), daemon=True)
        thread.start()
        try:
            yield judge
        finally:
            done.set()
            thread.join()


def _judge(judge: Judge, orders: Any, done: threading.Event) -> None:
    while not done.wait(JUDGE_INTERVAL_S):
        try:
            verdicts = judge.look()
        except HoldfastError as error:
            print(f"registry: {error.message}; the sweep goes on", file=sys.stderr, flush=True)
            continue
        for number, why in verdicts.items():
            orders.order(number, why)
        if judge.enough:
            orders.order(None, judge.enough)


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

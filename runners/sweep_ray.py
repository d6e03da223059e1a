"""The trials of a sweep through Ray Tune: Tune places them on the nodes and begins anew what died with a worker; what
they are, and what became of them, is in the registry, whose folder all nodes share.
"""

import dataclasses
import logging
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from registry import places
from runners.launch.ray import check_resources
from runners.sweep_space import Trial
from runners.sweep_stop import Orders
from runners.sweep_trials import Attempt, Ended, Plan, find_run, run_attempt

_QUIET = {
    "RAY_AIR_NEW_OUTPUT": "0", "TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1", "TUNE_DISABLE_SIGINT_HANDLER": "1",
    "TUNE_WARN_EXCESSIVE_EXPERIMENT_CHECKPOINT_SYNC_THRESHOLD_S": "0",
}  # fmt: skip
"""Tune's own tables, loggers and Ctrl-C are off: the sweep has its own."""


class TrialDiedError(Exception):
    """The process of a trial died without a word; Tune begins it anew."""


def run_trials(
    plan: Plan,
    trials: Sequence[Trial],
    jobs: int | None,
    orders: "RemoteOrders",
    tell: Callable[[Ended], None],
    *,
    cpus: float,
    gpus: float,
) -> list[Ended]:
    """Run all trials on the cluster that is joined, at most `jobs` at a time, and return what became of each.

    `tell` is called with each as soon as it has ended. Raises UsageError for what no node can offer.
    """
    os.environ.update(_QUIET)
    logging.getLogger("ray.tune").setLevel(logging.ERROR)
    from ray import tune

    check_resources({"num_cpus": cpus, "num_gpus": gpus})
    state = Path(places.root_folder(plan.address), ".holdfast", f"sweep-{plan.parent_id}")
    follower = _follower(plan, {trial.number: trial for trial in trials}, tell)
    tuner = tune.Tuner(
        tune.with_resources(tune.with_parameters(_train, plan=plan, orders=orders.actor), {"cpu": cpus, "gpu": gpus}),
        param_space={"trial": tune.grid_search([dataclasses.asdict(trial) for trial in trials])},
        tune_config=tune.TuneConfig(max_concurrent_trials=jobs),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=str(state),
            failure_config=tune.FailureConfig(max_failures=plan.retries),
            callbacks=[follower],
            verbose=0,
        ),
    )
    try:
        tuner.fit()
    finally:
        shutil.rmtree(state, ignore_errors=True)
    return [follower.ended[number] for number in sorted(follower.ended)]


def _train(config: dict[str, Any], plan: Plan, orders: Any) -> None:
    """Make one attempt at a trial, on the worker. Raises TrialDiedError for one that may be begun anew."""
    import ray
    from ray import tune

    trial = Trial(config["trial"]["number"], tuple(map(tuple, config["trial"]["values"])), config["trial"]["seed"])

    def reason() -> str | None:
        return ray.get(orders.reason.remote(trial.number))

    if reason() is not None:
        tune.report({"begun": False})
        return
    number = ray.get(orders.attempt.remote(trial.number))
    ended = run_attempt(Attempt(plan, trial, tied=True), number, reason)
    if ended.status == "crashed" and reason() is None:
        raise TrialDiedError(ended.said)
    tune.report({"begun": True, "run_id": ended.run_id, "status": ended.status, "attempts": number, "said": ended.said})


class RemoteOrders:
    """The orders of a sweep where every worker can ask for them."""

    def __init__(self) -> None:
        import ray

        self._ray = ray
        self.actor = ray.remote(num_cpus=0)(Orders).remote()

    def order(self, number: int | None, why: str) -> None:
        """End a trial, or (None) all of them."""
        self.actor.order.remote(number, why)

    def reason(self, number: int) -> str | None:
        """Return why a trial must end, None when it goes on."""
        return self._ray.get(self.actor.reason.remote(number))


def _follower(plan: Plan, trials: dict[int, Trial], tell: Callable[[Ended], None]) -> Any:
    """Return the callback by which Tune says what became of each trial."""
    from ray import tune

    class Follower(tune.Callback):
        ended: dict[int, Ended] = {}

        def __reduce__(self) -> tuple[Any, ...]:
            """Tune keeps its callbacks on the disk, to go on with an experiment; we go on from the registry."""
            return tune.Callback, ()

        def _keep(self, ended: Ended) -> None:
            self.ended[ended.trial.number] = ended
            tell(ended)

        def on_trial_complete(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
            said = trial.last_result or {}
            if said.get("begun"):
                one = chosen(trial)
                self._keep(Ended(one, said["run_id"], said["status"], said["attempts"], said["said"]))

        def on_trial_error(self, iteration: int, trials: Any, trial: Any, **_: Any) -> None:
            one = chosen(trial)
            self._keep(Ended(one, find_run(plan, one)[0], "crashed", plan.retries + 1, "its worker died"))

    def chosen(trial: Any) -> Trial:
        return trials[trial.config["trial"]["number"]]

    return Follower()

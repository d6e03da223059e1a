"""The trials of a sweep on this machine, a few processes at a time."""

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

from runners.sweep_space import Trial
from runners.sweep_stop import Orders
from runners.sweep_trials import Attempt, Ended, Plan, run_attempt


def run_trials(
    plan: Plan, trials: Sequence[Trial], jobs: int, orders: Orders, tell: Callable[[Ended], None]
) -> list[Ended]:
    """Run all trials, `jobs` at a time, and return what became of each that was begun, in their order.

    `tell` is called with each as soon as it has ended, from several threads.
    """

    def carry_out(trial: Trial) -> Ended | None:
        if orders.reason(trial.number) is not None:
            return None
        while True:
            number = orders.attempt(trial.number)
            ended = run_attempt(Attempt(plan, trial), number, lambda: orders.reason(trial.number))
            if ended.status != "crashed" or number > plan.retries or orders.reason(trial.number) is not None:
                tell(ended)
                return ended

    with ThreadPoolExecutor(jobs, "trial") as pool:
        return [ended for ended in pool.map(carry_out, trials) if ended is not None]

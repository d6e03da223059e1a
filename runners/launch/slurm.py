"""`registry run --on slurm -- CMD…`: the same recorded command, as a Slurm job, submitted and followed by submitit.

Partition, account, time limit and whatever else `sbatch` knows come from its own SBATCH_… variables. When the time is
up Slurm says so 90 seconds before: the command gets SIGTERM and may write a checkpoint. `slurm:local` and `slurm:debug`
are submitit's own ways to run the job on this machine.
"""

import math
import signal
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from registry import places
from registry.errors import HoldfastError, NotFoundError, UsageError
from registry.wrapper import Declared, Outcome
from runners.launch import worker

JOBS_FOLDER = Path(".holdfast", "slurm")
LOCAL_LIMIT_MIN = 365 * 24 * 60
"""submitit ends its local jobs after two minutes unless it is told otherwise."""


def launch(
    address: str, declared: Declared, *, place: str, say: Callable[[str], None], gpus: float | None = None,
    cpus: float | None = None,
) -> Outcome:  # fmt: skip
    """Submit a command as a job, wait for its end and return how it went.

    Raises UsageError for no command or part of a GPU, HoldfastError without submitit or when the job recorded no run,
    NotFoundError where there is no Slurm.
    """
    if not declared.command:
        raise UsageError("no command to run", hint="registry run --on slurm -- python train.py")
    try:
        import submitit
        from submitit.core.utils import FailedJobError, UncompletedJobError
    except ImportError:
        raise HoldfastError("submitit is not installed", hint="pip install 'holdfast[slurm]'") from None
    shared, began_at = worker.shared_address(address), time.time()
    folder = places.root_folder(address) / JOBS_FOLDER
    executor = _executor(submitit, place.partition(":")[2] or "slurm", folder, declared, gpus or 0.0, cpus or 1.0)
    job = executor.submit(worker.work, worker.run_words(shared, declared), str(Path.cwd()), signal.SIGUSR2)
    say(f"job {job.job_id}; what it says is in {folder}")
    try:
        code, host, pid = job.result()
    except (FailedJobError, UncompletedJobError) as error:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
        run_id = worker.find_run(shared, declared, began_at)
        return Outcome(run_id, 1, (f"job {job.job_id} did not end in good order: {lines[-1][:200]}",))
    except KeyboardInterrupt:
        job.cancel(check=False)
        raise
    return Outcome(worker.find_run(shared, declared, began_at, host, pid), code, ())


def _executor(submitit: Any, cluster: str, folder: Path, declared: Declared, gpus: float, cpus: float) -> Any:
    """Return submitit's executor with what the job needs of one node; Slurm's own time limits are left alone."""
    if gpus != int(gpus):
        raise UsageError(f"--gpus {gpus:g}", hint="Slurm gives whole GPUs")
    cards = {"gpus_per_node": int(gpus)} if gpus else {}
    if cluster == "debug":
        return submitit.DebugExecutor(folder)
    if cluster == "local":
        executor = submitit.LocalExecutor(folder)
        executor.update_parameters(timeout_min=LOCAL_LIMIT_MIN, **cards)
        return executor
    if cluster != "slurm":
        raise UsageError(f"--on slurm:{cluster}", hint="write slurm, slurm:local or slurm:debug")
    try:
        executor = submitit.SlurmExecutor(folder)
    except RuntimeError:
        raise NotFoundError(
            "no Slurm here: there is no `srun`", hint="run this on a login node of the cluster"
        ) from None
    name = declared.name or "holdfast"
    executor.update_parameters(job_name=name, time=None, cpus_per_task=math.ceil(cpus), **cards)
    return executor

"""`registry run --on ray[://ADDRESS] -- CMD…`: the same recorded command, as a task of a Ray cluster.

When a worker dies Ray begins the command once more; the first attempt stays in the record as a run that was killed.
"""

import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from registry.errors import HoldfastError, UnreachableError, UsageError
from registry.wrapper import Declared, Outcome
from runners.launch import worker

RETRIES = 1
CONNECT_TIMEOUT_S = 10.0


def launch(
    address: str, declared: Declared, *, place: str, say: Callable[[str], None], gpus: float | None = None,
    cpus: float | None = None,
) -> Outcome:  # fmt: skip
    """Run a command on the cluster at `ray://HOST:PORT` or `ray:HOST:PORT`, or with `ray` on one of this machine.

    Raises UsageError for what no node can offer, UnreachableError when the cluster does not answer, HoldfastError when
    the worker recorded nothing.
    """
    if not declared.command:
        raise UsageError("no command to run", hint="registry run --on ray -- python train.py")
    import ray
    from ray.exceptions import RayError

    shared = worker.shared_address(address)
    needs = {"num_cpus": 1.0 if cpus is None else cpus, "num_gpus": gpus or 0.0}
    with cluster(place):
        began_at = time.time()
        check_resources(needs)
        task = ray.remote(worker.work).options(max_retries=RETRIES, **needs)
        try:
            code, host, pid = ray.get(task.remote(worker.run_words(shared, declared), str(Path.cwd())))
        except RayError as error:
            say(f"the worker died: {str(error).splitlines()[0]}")
            run_id = worker.find_run(shared, declared, began_at)
            return Outcome(run_id, 1, (f"the worker died {RETRIES + 1} times",))
    return Outcome(worker.find_run(shared, declared, began_at, host, pid), code, ())


@contextmanager
def cluster(place: str) -> Iterator[None]:
    """Join the cluster that `ray[://ADDRESS]` names, or begin one on this machine, and leave it at the end.

    Raises HoldfastError when Ray is not installed, UnreachableError when the cluster does not answer.
    """
    try:
        import ray
    except ImportError:
        raise HoldfastError("ray is not installed", hint="pip install 'holdfast[ray]'") from None
    where = place.partition(":")[2].removeprefix("//")
    if where:
        _require_answer(where)
    joined = place if place.startswith("ray://") else where
    options: dict[str, Any] = {"address": joined} if where else {"include_dashboard": False}
    try:
        ray.init(logging_level="warning", **options)
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise UnreachableError(f"no Ray cluster at {where or 'this machine'}: {str(error).splitlines()[0]}") from None
    try:
        yield
    finally:
        ray.shutdown()


def _require_answer(where: str) -> None:
    """Raise UnreachableError when nobody listens at HOST:PORT; Ray itself would try for minutes."""
    host, _, port = where.rpartition(":")
    if not host or not port.isdigit():
        raise UsageError(f"--on ray:{where}", hint="write ray://HOST:10001, or ray:HOST:6379 on a node of the cluster")
    try:
        socket.create_connection((host, int(port)), CONNECT_TIMEOUT_S).close()
    except OSError as error:
        raise UnreachableError(f"no Ray cluster at {where}: {error.strerror or error}") from None


def check_resources(needs: dict[str, float]) -> None:
    """Refuse what no node of the cluster has: Ray would wait for it for ever."""
    import ray

    for need, resource in (("num_cpus", "CPU"), ("num_gpus", "GPU")):
        most = max((node["Resources"].get(resource, 0.0) for node in ray.nodes() if node["Alive"]), default=0.0)
        if needs[need] > most:
            raise UsageError(f"no node has {needs[need]:g} {resource}s; the most is {most:g}")

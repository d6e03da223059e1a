"""`registry run --on ray[://ADDRESS] -- CMD…`: the same recorded command, as a task of a Ray cluster.

The worker runs `registry run` itself: journal and end are written where the command is, in the registry's folder, which
workers must share (one machine, or a network file system). When a worker dies Ray begins the command once more; the
first attempt stays in the record as a run that was killed.
"""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from registry import events, places
from registry.errors import HoldfastError, UnreachableError, UsageError
from registry.wrapper import Declared, Outcome

RETRIES = 1


def launch(
    address: str, declared: Declared, *, place: str, say: Callable[[str], None], gpus: float | None = None,
    cpus: float | None = None,
) -> Outcome:  # fmt: skip
    """Run a command on the cluster at `ray://HOST:PORT` or `ray:HOST:PORT`, or with `ray` on one of this machine.

    Raises UsageError for what no node can offer, UnreachableError when the cluster does not answer, HoldfastError when
    the worker died twice.
    """
    if not declared.command:
        raise UsageError("no command to run", hint="registry run --on ray -- python train.py")
    import ray
    from ray.exceptions import RayError

    shared = address if places.is_server(address) else str(Path(address).resolve())
    needs = {"num_cpus": 1.0 if cpus is None else cpus, "num_gpus": gpus or 0.0}
    _connect(ray, place)
    began_at = time.time()
    try:
        _check_resources(ray, needs)
        task = ray.remote(_work).options(max_retries=RETRIES, **needs)
        code = ray.get(task.remote(_words(shared, declared), str(Path.cwd())))
    except RayError as error:
        run_id = _newest_run(shared, declared, began_at)
        if run_id is None:
            raise HoldfastError(f"the worker died: {str(error).splitlines()[0]}") from None
        return Outcome(run_id, 1, (f"the worker died {RETRIES + 1} times",))
    finally:
        ray.shutdown()
    run_id = _newest_run(shared, declared, began_at)
    if run_id is None:
        raise HoldfastError("the worker recorded no run", hint="workers must share the registry's folder")
    return Outcome(run_id, code, ())


def _connect(ray: Any, place: str) -> None:
    """Join a cluster, or begin one on this machine."""
    where = place.partition(":")[2].removeprefix("//")
    cluster = None if not where else place if place.startswith("ray://") else where
    try:
        if cluster:
            ray.init(address=cluster, logging_level="warning")
        else:
            ray.init(include_dashboard=False, logging_level="warning")
    except (ConnectionError, ValueError, RuntimeError) as error:
        raise UnreachableError(f"no Ray cluster at {where or 'this machine'}: {str(error).splitlines()[0]}") from None


def _check_resources(ray: Any, needs: dict[str, float]) -> None:
    """Refuse what no node of the cluster has: Ray would wait for it for ever."""
    for need, resource in (("num_cpus", "CPU"), ("num_gpus", "GPU")):
        most = max((node["Resources"].get(resource, 0.0) for node in ray.nodes() if node["Alive"]), default=0.0)
        if needs[need] > most:
            raise UsageError(f"no node has {needs[need]:g} {resource}s; the most is {most:g}")


def _words(address: str, declared: Declared) -> list[str]:
    """Return the command line of the worker: `registry run` with everything that was declared."""
    words = ["--db", address, "run", "--experiment", declared.experiment]
    words += ["--name", declared.name] if declared.name else []
    words += ["--gates", str(_suite_file(address, *declared.suite))] if declared.suite else []
    words += [word for text in declared.artifacts for word in ("--artifact", text)]
    words += [word for text in declared.datasets for word in ("--dataset", text)]
    words += ["--allow-data", declared.allow_data] if declared.allow_data else []
    words += [word for text in declared.tags for word in ("--tag", text)]
    words += [word for root in declared.roots for word in ("--root", root)]
    words += [word for key, value in declared.params.items() for word in ("--param", f"{key}={json.dumps(value)}")]
    words += [word for remote in declared.copy_to for word in ("--copy-to", remote)]
    words += ["--cost-per-hour", str(declared.cost_per_hour)] if declared.cost_per_hour is not None else []
    return [*words, "--", *declared.command]


def _suite_file(address: str, name: str, text: str) -> Path:
    """Write a gate suite where the worker finds it, and return the file."""
    path = places.root_folder(address) / ".holdfast" / f"{name}.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def _work(words: list[str], cwd: str) -> int:
    """Run `registry run` on the worker; the process goes when the worker goes."""
    os.chdir(cwd)
    environment = {key: value for key, value in os.environ.items() if key != "REGISTRY_RUN_ID"}
    process = subprocess.Popen(
        [sys.executable, "-m", "registry", *words],
        env=environment,
        stdin=subprocess.DEVNULL,
        preexec_fn=_die_with_parent,
    )
    return process.wait()


def _die_with_parent() -> None:
    """Ask the kernel (prctl PR_SET_PDEATHSIG) to end this process when the worker that began it is gone."""
    import ctypes

    ctypes.CDLL(None).prctl(1, signal.SIGTERM)


def _newest_run(address: str, declared: Declared, began_at: float) -> str | None:
    """Return the id of the newest run of this command that began since."""
    newest: tuple[float, str | None] = (began_at, None)
    for path in places.runs_folder(address).glob(f"*/{places.JOURNAL_NAME}"):
        if path.stat().st_mtime < began_at:
            continue
        with open(path, "rb") as file:
            line = file.readline()
        if not line.startswith(b'{"t":"start"'):
            continue
        start = events.decode(line)
        if isinstance(start, events.Start) and start.command == declared.command and start.at > newest[0]:
            newest = (start.at, start.run)
    return newest[1]

"""Open a run, hand it to a family, say honestly how it ended. The one way in: for commands, demos and tests."""

import dataclasses
import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

import torch

import registry
from registry import events, places
from registry.errors import HoldfastError, NotFoundError, UsageError
from registry.run import Run
from runners.training import distributed
from runners.training import settings as settings_module
from runners.training.checkpoints import NotFiniteError, load_state, write_durably
from runners.training.family import Family, find_family
from runners.training.loop import Control, Progress
from runners.training.origin import describe_origin
from runners.training.stopping import Stop
from runners.training.telemetry import Telemetry

ORIGIN_NAME = "origin.json"


@dataclass(frozen=True)
class Outcome:
    """How a training ended: the run, its status, the steps made, and the evidence in words."""

    run_id: str
    name: str
    folder: Path
    status: str
    step: int
    total_steps: int
    best_value: float | None
    best_step: int | None
    criterion: str
    evidence: str
    duration_s: float


def train_family(
    family: Family,
    settings: Any,
    *,
    variant: str,
    preset: str,
    name: str | None = None,
    experiment: str | None = None,
    tags: Iterable[str] = (),
    gates: str | None = None,
    max_time_s: float | None = None,
    progress: Progress | None = None,
    opened: Callable[[Run], None] | None = None,
    db: str | None = None,
) -> Outcome:
    """Train a family as a new run of the registry and return how it ended.

    Raises UsageError for settings this machine cannot do, CheckFailedError when the loss is not finite or a last
    checkpoint cannot be kept; the run is then recorded as failed.
    """
    params = settings_module.as_params(settings) | {"family": family.name, "variant": variant, "preset": preset}
    run = registry.init(
        experiment=experiment or family.name,
        name=name or f"{variant}-{preset}",
        params=params,
        gates=gates or family.suite,
        tags=tags,
        db=db,
    )
    _keep_origin(run, family, params)
    return _carry_out(run, family, settings, Control(Stop(max_time_s)), progress, opened)


def resume_family(
    reference: str,
    *,
    max_time_s: float | None = None,
    progress: Progress | None = None,
    opened: Callable[[Run], None] | None = None,
    db: str | None = None,
) -> Outcome:
    """Go on with a run of a family from its last checkpoint, with the settings and the threads it began with.

    `reference` is a run id, the beginning of one, or a name. Raises NotFoundError for no such run or no checkpoint,
    UsageError for a reference to several runs, or to a run that is whole already.
    """
    folder = find_folder(reference, db)
    params = _recorded_params(folder)
    family = find_family(params.pop("family"))
    fields = {field.name for field in dataclasses.fields(family.settings)}
    settings = settings_module.build(family.settings, {key: params[key] for key in params if key in fields})
    state = load_state(folder)
    if state["step"] >= state["total_steps"] and _last_status(folder) == "finished":
        raise UsageError(f"{folder.name} has finished all {state['total_steps']} steps", hint="begin a new run")
    if not settings.threads:
        settings = dataclasses.replace(settings, threads=state["threads"])
    run = registry.init(id=folder.name.rpartition("-")[2], resume="must", db=db)
    control = Control(Stop(max_time_s), resume=state)
    return _carry_out(run, family, settings, control, progress, opened)


def find_folder(reference: str, db: str | None = None) -> Path:
    """Return the folder of the one run that `reference` (an id, its beginning, or a name) means."""
    runs = places.runs_folder(places.registry_url(db))
    folders = sorted(path.parent for path in runs.glob(f"*/{places.JOURNAL_NAME}"))
    named = [(folder, *folder.name.rpartition("-")[::2]) for folder in folders]
    found = [folder for folder, name, run_id in named if reference in (run_id, name)]
    found = found or [folder for folder, _, run_id in named if len(reference) >= 4 and run_id.startswith(reference)]
    if not found:
        raise NotFoundError(f"no run {reference!r} in {runs}", hint="`registry ls` shows the runs")
    if len(found) > 1:
        raise UsageError(
            f"{reference!r} means {len(found)} runs",
            hint=f"give one of the ids {', '.join(folder.name.rpartition('-')[2] for folder in found[:8])}",
        )
    return found[0]


def _recorded_params(folder: Path) -> dict[str, Any]:
    path = folder / ORIGIN_NAME
    try:
        return json.loads(path.read_bytes())["settings"]
    except (OSError, ValueError, KeyError):
        raise NotFoundError(
            f"{folder.name} was not made by `registry train`", hint=f"it has no {ORIGIN_NAME}"
        ) from None


def _last_status(folder: Path) -> str | None:
    """Return the status in the journal's last line, None when the run was cut off."""
    last = (folder / places.JOURNAL_NAME).read_bytes().rstrip().rpartition(b"\n")[2]
    try:
        event = events.decode(last)
    except ValueError:
        return None
    return event.status if isinstance(event, events.End) else None


def _keep_origin(run: Run, family: Family, params: dict[str, Any]) -> None:
    if not distributed.is_writer():
        return
    own = import_module(family.train.partition(":")[0])
    folders = [Path(str(own.__file__)).parent, Path(__file__).parent]
    path = run.folder / ORIGIN_NAME
    write_durably(path, describe_origin(params, folders))
    run.log_artifact(path, role="config")


def _carry_out(
    run: Run,
    family: Family,
    settings: Any,
    control: Control,
    progress: Progress | None,
    opened: Callable[[Run], None] | None,
) -> Outcome:
    """Run the family's own `train` and end the run with the status that its end deserves."""
    started_at = time.monotonic()
    control.progress = progress or control.progress
    if opened:
        opened(run)
    try:
        with control.stop, Telemetry(run, lambda: control.step):
            family.load_train()(settings, run, control)
    except NotFiniteError as error:
        if control.loop:
            control.loop.keep_last_good(error)
        run.finish("failed", evidence=error.message)
        raise
    except KeyboardInterrupt:
        run.finish("killed", evidence="interrupted twice: ended between two checkpoints")
        raise
    except torch.OutOfMemoryError as error:
        run.finish("failed", evidence="the GPU's memory was not enough")
        raise HoldfastError("the GPU's memory was not enough", hint="lower the batch size") from error
    except BaseException as error:
        run.finish("failed", evidence=f"{type(error).__name__}: {error}"[:500])
        raise
    distributed.leave()
    status, evidence = _ending(control)
    run.finish(status, evidence=evidence)
    loop = control.loop
    return Outcome(
        run_id=run.id,
        name=run.name,
        folder=run.folder,
        status=status,
        step=control.step,
        total_steps=loop.total_steps if loop else 0,
        best_value=loop.best_value if loop else None,
        best_step=loop.best_step if loop else None,
        criterion=loop.criterion.name if loop and loop.criterion else "",
        evidence=evidence,
        duration_s=time.monotonic() - started_at,
    )


def _ending(control: Control) -> tuple[str, str]:
    """Return status and evidence: `killed` after a signal, `finished` after all steps or a planned early end."""
    loop = control.loop
    if loop is None or loop.step == 0:
        return "failed", "the family made no step"
    made = f"step {loop.step} of {loop.total_steps}"
    if loop.interrupted:
        return "killed", f"{loop.ended_by} at {made}; the checkpoint is good"
    return "finished", f"{loop.ended_by} at {made}" if loop.ended_by else f"all {loop.total_steps} steps made"

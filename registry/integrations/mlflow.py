"""`import registry.integrations.mlflow as mlflow`: a script that logs to MLflow records here instead, without a server.

`start_run`, `log_metric(s)`, `log_param(s)`, `set_tag(s)`, `log_artifact(s)`, `end_run` do what scripts expect of
them; a first log opens a run, as MLflow's does.
"""

import atexit
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

import registry
from registry.integrations.forgiving import ForgivingRun

_STATUS = {"FINISHED": "finished", "FAILED": "failed", "KILLED": "killed"}
_experiment: str | None = None
_stack: list["ActiveRun"] = []


@dataclass(frozen=True)
class RunInfo:
    """What MLflow calls a run's info."""

    run_id: str
    run_name: str
    experiment_id: str

    @property
    def run_uuid(self) -> str:
        """The older name of `run_id`."""
        return self.run_id


class ActiveRun:
    """A run that is being recorded; a context manager."""

    def __init__(self, run: "registry.Run") -> None:
        self._recorded = ForgivingRun(run, own=False)
        self._next: dict[str, int] = {}
        self.info = RunInfo(run.id, run.name, run.experiment)

    def __enter__(self) -> "ActiveRun":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        end_run("FINISHED" if error is None else "FAILED")

    def _log(self, metrics: Mapping[str, Any], step: int | None) -> None:
        """Record metrics; without a step MLflow writes 0 each time, so here the values of each are counted instead."""
        if step is not None:
            self._recorded.log(metrics, step)
            return
        for key, value in metrics.items():
            place = self._next.get(key, 0)
            self._next[key] = place + 1
            self._recorded.log({key: value}, place)


def set_experiment(experiment_name: str | None = None, **_: Any) -> None:
    """Name the experiment of the runs to come."""
    global _experiment
    _experiment = experiment_name


def start_run(
    run_id: str | None = None,
    run_name: str | None = None,
    nested: bool = False,
    tags: Mapping[str, Any] | None = None,
    description: str | None = None,
    **_: Any,
) -> ActiveRun:
    """Begin a run, or go on with the one that has this id. Raises UsageError when one is active and not `nested`."""
    if _stack and not nested:
        raise registry.UsageError(f"run {_stack[-1].info.run_id} is active", hint="end_run() first, or nested=True")
    opened = registry.init(
        experiment=_experiment,
        name=run_name,
        id=run_id,
        resume="must" if run_id else "never",
        parent=_stack[-1].info.run_id if _stack else None,
    )
    _stack.append(ActiveRun(opened))
    if tags:
        set_tags(tags)
    if description:
        opened.note(description)
    return _stack[-1]


def active_run() -> ActiveRun | None:
    """Return the run that is active, None when there is none."""
    return _stack[-1] if _stack else None


def end_run(status: str = "FINISHED") -> None:
    """End the active run, if there is one."""
    if _stack:
        _stack.pop()._recorded.finish(_STATUS.get(status, "finished"), f"mlflow.end_run({status!r})")


def log_metric(key: str, value: Any, step: int | None = None, **_: Any) -> None:
    """Record a value."""
    _active()._log({key: value}, step)


def log_metrics(metrics: Mapping[str, Any], step: int | None = None, **_: Any) -> None:
    """Record values."""
    _active()._log(metrics, step)


def log_param(key: str, value: Any, **_: Any) -> Any:
    """Record a parameter."""
    _active()._recorded.log_params({key: value})
    return value


def log_params(params: Mapping[str, Any], **_: Any) -> None:
    """Record parameters."""
    _active()._recorded.log_params(params)


def set_tag(key: str, value: Any, **_: Any) -> None:
    """Record a tag, as the parameter `tags.KEY`; MLflow's note becomes a note."""
    if key == "mlflow.note.content":
        _active()._recorded.run.note(str(value))
        return
    _active()._recorded.log_params({f"tags.{key}": value})


def set_tags(tags: Mapping[str, Any], **_: Any) -> None:
    """Record tags."""
    for key, value in tags.items():
        set_tag(key, value)


def log_artifact(local_path: str, artifact_path: str | None = None, **_: Any) -> None:
    """Hash and record a file."""
    _active()._recorded.log_file(local_path, _role(local_path, artifact_path))


def log_artifacts(local_dir: str, artifact_path: str | None = None, **_: Any) -> None:
    """Hash and record a folder."""
    _active()._recorded.log_file(local_dir, _role(local_dir, artifact_path))


def _role(path: str, artifact_path: str | None) -> str:
    words = f"{artifact_path or ''}/{Path(path).name}".lower()
    return (
        "checkpoint"
        if any(word in words for word in ("model", "checkpoint", ".pt", ".ckpt", ".safetensors"))
        else "report"
    )


def set_tracking_uri(uri: str) -> None:
    """Runs are recorded here, wherever the script would send them."""


def _active() -> ActiveRun:
    return _stack[-1] if _stack else start_run()


def _end_all() -> None:
    while _stack:
        end_run()


atexit.register(_end_all)

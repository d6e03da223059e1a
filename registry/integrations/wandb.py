"""`import registry.integrations.wandb as wandb`: a script that logs to W&B records here instead, offline.

`init`, `log`, `config`, `summary`, `define_metric`, `save`, `log_artifact`, `finish` do what scripts expect of them;
what has no place in the record (images, tables, gradients) is told of once and passed over.
"""

import atexit
import sys
from collections.abc import Iterator, Mapping
from types import TracebackType
from typing import Any

import registry
from registry.integrations.forgiving import ForgivingRun, flatten

_GOALS = {"minimize": "min", "maximize": "max"}
MEDIA = ("Image", "Video", "Audio", "Table", "Histogram", "Html", "Object3D", "Plotly", "Graph")


class Media:
    """An image, a table, a histogram: accepted, and not recorded."""

    def __init__(self, *_: Any, **__: Any) -> None:
        pass


class Config:
    """The run's parameters, by attribute or by key."""

    def __init__(self, record: "Any") -> None:
        object.__setattr__(self, "_record", record)
        object.__setattr__(self, "_values", {})

    def update(self, values: Mapping[str, Any] | Any, allow_val_change: bool = True) -> None:
        """Set parameters, from a mapping or from argparse's namespace."""
        found = dict(values) if isinstance(values, Mapping) else dict(vars(values))
        self._values.update(found)
        self._record(found)

    def setdefaults(self, values: Mapping[str, Any]) -> None:
        """Set the parameters that are not set yet."""
        self.update({key: value for key, value in values.items() if key not in self._values})

    def get(self, key: str, default: Any = None) -> Any:
        """Return a parameter, or `default`."""
        return self._values.get(key, default)

    def as_dict(self) -> dict[str, Any]:
        """Return all parameters."""
        return dict(self._values)

    def keys(self) -> Any:
        """Return the names of all parameters."""
        return self._values.keys()

    def items(self) -> Any:
        """Return all parameters as pairs."""
        return self._values.items()

    def __iter__(self) -> Iterator[str]:
        return iter(self._values)

    def __len__(self) -> int:
        return len(self._values)

    def __contains__(self, key: str) -> bool:
        return key in self._values

    def __getitem__(self, key: str) -> Any:
        return self._values[key]

    def __setitem__(self, key: str, value: Any) -> None:
        self.update({key: value})

    def __getattr__(self, key: str) -> Any:
        try:
            return object.__getattribute__(self, "_values")[key]
        except KeyError:
            raise AttributeError(key) from None

    def __setattr__(self, key: str, value: Any) -> None:
        self.update({key: value})


class WandbRun:
    """What `init` returns: the shape of W&B's run, recorded here."""

    def __init__(self, run: "registry.Run", config: Mapping[str, Any] | Any | None) -> None:
        self._recorded = ForgivingRun(run, own=False)
        self._pending: dict[str, Any] = {}
        self.step = 0
        self.config = Config(self._recorded.log_params)
        self.summary = Summary(self)
        if config:
            self.config.update(config)
        atexit.register(self.finish)

    @property
    def id(self) -> str:
        """The run's id."""
        return self._recorded.run.id

    @property
    def name(self) -> str:
        """The run's name."""
        return self._recorded.run.name

    @property
    def project(self) -> str:
        """The experiment."""
        return self._recorded.run.experiment

    @property
    def dir(self) -> str:
        """The run's folder."""
        return str(self._recorded.run.folder)

    @property
    def url(self) -> None:
        """There is no server."""
        return

    def log(self, data: Mapping[str, Any], step: int | None = None, commit: bool | None = None) -> None:
        """Record values: at `step`, else at a step that grows by one with each commit."""
        if step is not None and step > self.step:
            self._flush()
            self.step = step
        if step is not None and step < self.step:
            self._recorded.tell_once(
                f"values at step {step} came after step {self.step}: W&B drops them, here they stay"
            )
            self._recorded.log(data, step, joiner=".")
            return
        self._pending.update(flatten(data, "."))
        if commit or (commit is None and step is None):
            self._flush()
            self.step += 1

    def _flush(self) -> None:
        if self._pending:
            self._recorded.log({k: v for k, v in self._pending.items() if not isinstance(v, Media)}, self.step)
            for name, value in self._pending.items():
                if isinstance(value, Media):
                    self._recorded.tell_once(f"{name}: media are not recorded")
            self._pending = {}

    def define_metric(
        self, name: str, step_metric: str | None = None, summary: str | None = None, goal: str | None = None, **_: Any
    ) -> None:
        """Say a metric's goal (`minimize`, `maximize`, or `summary="min"`/`"max"`); a step metric is told of."""
        wanted = _GOALS.get(goal or "") or (summary if summary in ("min", "max") else None)
        if wanted and "*" not in name:
            self._recorded.run.define_metric(name, goal=wanted)
        if step_metric:
            self._recorded.tell_once(f"{name} is recorded by W&B's own step, not by {step_metric}")

    def log_artifact(self, artifact_or_path: Any, name: str | None = None, type: str | None = None, **_: Any) -> Any:
        """Hash and record a file, a folder, or the files of an `Artifact`."""
        artifact = artifact_or_path
        if not isinstance(artifact, Artifact):
            artifact = Artifact(name or "artifact", type or "model")
            artifact.add_file(str(artifact_or_path))
        role = "checkpoint" if artifact.type in ("model", "checkpoint") else "report"
        for path in artifact.paths:
            self._recorded.log_file(path, role, self.step)
        return artifact

    def save(self, glob_str: str, **_: Any) -> None:
        """Hash and record the files that match."""
        from glob import glob

        for path in sorted(glob(glob_str)):
            self._recorded.log_file(path, "report", self.step)

    def watch(self, *_: Any, **__: Any) -> None:
        """Gradients and parameters are not recorded."""
        self._recorded.tell_once("watch: gradients are not recorded")

    def alert(self, title: str, text: str = "", **_: Any) -> None:
        """Note something a person should know."""
        self._recorded.run.note(f"{title}: {text}" if text else title, level="warning")

    def finish(self, exit_code: int | None = None, quiet: bool | None = None) -> None:
        """End the run; an exit code other than 0 means that it failed."""
        self._flush()
        self._recorded.finish("failed" if exit_code else "finished", f"wandb.finish(exit_code={exit_code or 0})")
        if _current() is self:
            globals()["run"] = None

    def __enter__(self) -> "WandbRun":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.finish(exit_code=0 if error is None else 1)


class Summary(dict[str, Any]):
    """The run's last values; setting one records it at the step that is reached."""

    def __init__(self, owner: WandbRun) -> None:
        super().__init__()
        self._owner = owner

    def __setitem__(self, key: str, value: Any) -> None:
        super().__setitem__(key, value)
        self._owner._recorded.log({key: value}, self._owner.step)

    def update(self, *values: Any, **more: Any) -> None:
        """Set several."""
        for key, value in dict(*values, **more).items():
            self[key] = value


class Artifact:
    """Files that belong together."""

    def __init__(self, name: str, type: str, **_: Any) -> None:
        self.name, self.type = name, type
        self.paths: list[str] = []

    def add_file(self, local_path: str, name: str | None = None, **_: Any) -> None:
        """Add a file."""
        self.paths.append(local_path)

    def add_dir(self, local_path: str, name: str | None = None, **_: Any) -> None:
        """Add a folder."""
        self.paths.append(local_path)


run: WandbRun | None = None


def _current() -> WandbRun | None:
    return run


def init(
    project: str | None = None,
    name: str | None = None,
    config: Mapping[str, Any] | Any | None = None,
    *,
    tags: list[str] | tuple[str, ...] | None = None,
    notes: str | None = None,
    group: str | None = None,
    id: str | None = None,
    resume: bool | str | None = None,
    **_: Any,
) -> WandbRun:
    """Begin a run: the project is its experiment; entity, mode, directory and the like have no meaning here."""
    global run
    if run is not None:
        return run
    known = bool(resume) and id is not None
    opened = registry.init(
        experiment=project, name=name, id=id, resume="allow" if known else "never", tags=[*(tags or ())]
    )
    run = WandbRun(opened, config)
    if notes:
        opened.note(notes)
    if group:
        opened.tag(f"group:{group}")
    return run


def _of_run(name: str) -> Any:
    if run is None:
        raise registry.UsageError(f"wandb.{name} before wandb.init()", hint="call wandb.init(project=…) first")
    return getattr(run, name)


def log(data: Mapping[str, Any], step: int | None = None, commit: bool | None = None, **_: Any) -> None:
    """Record values in the current run."""
    _of_run("log")(data, step=step, commit=commit)


def finish(exit_code: int | None = None, quiet: bool | None = None) -> None:
    """End the current run, if there is one."""
    if run is not None:
        run.finish(exit_code)


def __getattr__(name: str) -> Any:
    if name in MEDIA:
        return Media
    if name in ("config", "summary", "define_metric", "save", "watch", "alert", "log_artifact", "unwatch"):
        return _of_run("watch" if name == "unwatch" else name)
    if name in ("login", "setup", "require"):
        return lambda *_, **__: True
    raise AttributeError(f"module {sys.modules[__name__].__name__!r} has no attribute {name!r}")

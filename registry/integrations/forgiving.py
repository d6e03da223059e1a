"""A run that never raises for what is logged: numbers are recorded, anything else is told of once and left out."""

import atexit
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import registry
from registry.errors import HoldfastError, MetricError
from registry.run import Run

MAX_DEPTH = 4


class ForgivingRun:
    """Wraps a run for the front doors; `own` says that the run ends with the process that opened it here."""

    def __init__(self, run: Run, *, own: bool) -> None:
        self.run = run
        self._told: set[str] = set()
        if own:
            atexit.register(self.finish)

    def log(self, values: Mapping[str, Any], step: int | None, *, joiner: str = "/") -> None:
        """Record the numbers among `values` (nested ones under joined names) at a step."""
        numbers: dict[str, Any] = {}
        for name, value in flatten(values, joiner).items():
            if _is_number(value):
                numbers[name] = float(value) if isinstance(value, str) else value
            elif value is not None:
                self.tell_once(f"{name}: a {type(value).__name__} is not recorded, only numbers are")
        if numbers and self.run.status == "running":
            try:
                self.run.log(numbers, step=step)
            except MetricError as error:
                self.tell_once(str(error))

    def log_params(self, params: Mapping[str, Any]) -> None:
        """Record inputs."""
        if params and self.run.status == "running":
            self.run.log_params(params)

    def log_file(self, path: str | os.PathLike[str], role: str, step: int | None = None) -> None:
        """Hash and record a file or a folder."""
        if self.run.status != "running":
            return
        try:
            self.run.log_artifact(Path(path), role=role, step=step)
        except (HoldfastError, OSError) as error:
            self.tell_once(f"{path} is not recorded: {error}")

    def tell_once(self, words: str) -> None:
        """Note something on the run, the first time only."""
        if words not in self._told and self.run.status == "running":
            self._told.add(words)
            self.run.note(words, level="warning")

    def finish(self, status: str = "finished", evidence: str = "") -> None:
        """End the run, unless it has ended."""
        if self.run.status == "running":
            self.run.finish(status, evidence=evidence)


def open_run(run: Run | None, **arguments: Any) -> ForgivingRun:
    """Return `run` wrapped, or a new one made with the arguments of `registry.init`."""
    if run is not None:
        return ForgivingRun(run, own=False)
    return ForgivingRun(registry.init(**arguments), own=True)


def flatten(values: Mapping[str, Any], joiner: str, prefix: str = "", depth: int = 0) -> dict[str, Any]:
    """Return nested mappings as one."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        if isinstance(value, Mapping) and depth < MAX_DEPTH:
            flat.update(flatten(value, joiner, f"{name}{joiner}", depth + 1))
        else:
            flat[name] = value
    return flat


def _is_number(value: Any) -> bool:
    if isinstance(value, bool | int | float):
        return True
    return getattr(value, "shape", None) in ((), (1,)) and hasattr(value, "item")

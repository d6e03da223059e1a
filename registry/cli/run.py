"""`registry run`: wrap any command as a recorded run."""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from registry.cli.context import context
from registry.cli.output import out

if TYPE_CHECKING:
    from registry.wrapper import Declared, Outcome


def run(
    command: Annotated[
        list[str] | None, typer.Argument(metavar="-- CMD…", help="The command and its arguments.")
    ] = None,
    name: Annotated[str | None, typer.Option(help="Name of the run (default: the script's).")] = None,
    experiment: Annotated[str | None, typer.Option(help="Group of runs it belongs to.")] = None,
    gates: Annotated[str | None, typer.Option(metavar="FILE", help="Gate suite: a file or a shipped name.")] = None,
    artifact: Annotated[
        list[str] | None,
        typer.Option(metavar="[ROLE=]GLOB", help="Files it leaves behind; hashed at the end. Repeatable."),
    ] = None,
    dataset: Annotated[
        list[str] | None, typer.Option(metavar="NAME@V", help="Data set version it reads. Repeatable.")
    ] = None,
    allow_data: Annotated[
        str, typer.Option(metavar="REASON", help="Use data that the policy refuses all the same, and why.")
    ] = "",
    param: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="An input to record.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="A word to find the run by. Repeatable.")] = None,
    stages: Annotated[
        bool, typer.Option("--stages", help="Follow the stages of the gate suite; each try is a child run.")
    ] = False,
    root: Annotated[
        list[Path] | None, typer.Option(metavar="DIR", help="Folder it writes into (the guard sweeps it).")
    ] = None,
    cost_per_hour: Annotated[
        float | None, typer.Option(min=0.0, help="What the machine costs (default: registry.toml, [hosts.NAME]).")
    ] = None,
    host: Annotated[
        str | None, typer.Option(metavar="HOST", help="Run it there, over SSH: user@host, or a name of [hosts.NAME].")
    ] = None,
    attach: Annotated[
        str | None, typer.Option(metavar="ID", help="With --host: go on following a run that was left there.")
    ] = None,
    copy_to: Annotated[
        list[str] | None,
        typer.Option(
            metavar="REMOTE",
            help="Copy its artifacts there in the background, each checkpoint as it comes, the rest at the end"
            " (with --host: before the host is released). Repeatable.",
        ),
    ] = None,
    on: Annotated[
        str | None, typer.Option(metavar="ray[://ADDRESS]", help="Run it on a Ray cluster (default: a local one).")
    ] = None,
    gpus: Annotated[float | None, typer.Option(min=0.0, help="With --on: GPUs to reserve.")] = None,
    cpus: Annotated[float | None, typer.Option(min=0.0, help="With --on: CPU cores to reserve.")] = None,
) -> int:
    """Run any command as a recorded run: output, exit code, git state, metrics it logs, files it leaves.

    The exit code is the command's own; 1 when it went well but something that was asked for did not: an --artifact
    that named nothing, a --copy-to that could not be done.
    """
    import os

    from registry import places
    from registry.data_policy import require_usable
    from registry.starting import load_suite
    from registry.wrapper import Declared

    options = context()
    declared = Declared(
        command=command or [],
        name=name,
        experiment=experiment or os.environ.get("REGISTRY_EXPERIMENT") or "default",
        params=_params(param or []),
        suite=load_suite(gates),
        artifacts=tuple(artifact or ()),
        datasets=tuple(dataset or ()),
        allow_data=allow_data,
        tags=tuple(tag or ()),
        parent=os.environ.get("REGISTRY_PARENT_ID"),
        roots=tuple(str(path) for path in root or ()),
        cost_per_hour=cost_per_hour,
        copy_to=() if host else tuple(copy_to or ()),
    )
    address = places.registry_url(options.db_url)
    require_usable(address, declared.datasets, declared.experiment, allow=allow_data)
    where = _Elsewhere(host, attach, tuple(copy_to or ()), on, gpus, cpus)
    where.check(stages)
    run_id, exit_code = _run_stages(declared) if stages else _run_once(address, declared, where.launcher())
    options.db(create=True)
    if not options.quiet:
        out.warn(f"run {run_id} recorded; `registry show {run_id}`")
    return exit_code


@dataclass(frozen=True)
class _Elsewhere:
    """The options that say where a command runs; none of them: here."""

    host: str | None
    attach: str | None
    copy_to: tuple[str, ...]
    on: str | None
    gpus: float | None
    cpus: float | None

    def check(self, stages: bool) -> None:
        """Refuse options that do not go together."""
        from registry.errors import UsageError

        if self.host and self.on:
            raise UsageError("--host and --on", hint="a command runs in one place")
        if (self.host or self.on) and stages:
            raise UsageError("--stages runs here", hint="put --host or --on into the command of the stages")
        if self.attach and not self.host:
            raise UsageError("--attach speaks of a host", hint="add --host HOST")
        if (self.gpus is not None or self.cpus is not None) and not self.on:
            raise UsageError("--gpus and --cpus are reserved on a cluster", hint="add --on ray")

    def launcher(self) -> "Callable[[str, Declared], Outcome]":
        """Return what runs a command: this process, or a launcher that an installed package offers."""
        from registry.wrapper import run_command

        if self.host:
            return partial(
                _find_launcher("host"), place=self.host, say=out.warn, attach=self.attach, copy_to=self.copy_to
            )
        if self.on:
            name = self.on.partition(":")[0]
            return partial(_find_launcher(name), place=self.on, say=out.warn, gpus=self.gpus, cpus=self.cpus)
        return run_command


def _find_launcher(name: str) -> "Callable[..., Outcome]":
    """Return the launcher that the entry points `holdfast.launchers` call by this name. Raises UsageError."""
    from importlib.metadata import entry_points

    from registry.errors import HoldfastError, UsageError

    points = {point.name: point for point in entry_points(group="holdfast.launchers")}
    if name not in points:
        raise UsageError(f"nothing here runs commands on {name!r}", hint=f"there is {', '.join(sorted(points))}")
    try:
        return points[name].load()  # type: ignore[no-any-return]
    except ImportError as error:
        raise HoldfastError(f"{error.name} is not installed", hint=f"pip install 'holdfast[{name}]'") from None


def _run_once(address: str, declared: "Declared", launcher: "Callable[[str, Declared], Outcome]") -> tuple[str, int]:
    outcome = launcher(address, declared)
    for problem in outcome.problems:
        out.warn(problem)
    not_copied = outcome.copying.finish(_tell)
    for problem in not_copied:
        out.warn(problem)
    return outcome.run_id, outcome.exit_code or (1 if not_copied else 0)


def _tell(words: str) -> None:
    if not context().quiet:
        out.warn(words)


def _run_stages(declared: "Declared") -> tuple[str, int]:
    from registry.errors import UsageError
    from registry.staged import run_staged

    if declared.suite is None:
        raise UsageError("--stages without a gate suite", hint="add --gates FILE; its [[stage]] tables are followed")
    return run_staged(context().db(create=True), declared, _tell)


def _params(pairs: list[str]) -> dict[str, object]:
    """Return `KEY=VALUE` pairs as params; a value that reads as JSON is taken as JSON."""
    import json

    from registry.errors import UsageError

    params: dict[str, object] = {}
    for pair in pairs:
        key, equals, value = pair.partition("=")
        if not equals or not key:
            raise UsageError(f"--param {pair!r}", hint="write --param lr=0.001")
        try:
            params[key] = json.loads(value)
        except ValueError:
            params[key] = value
    return params

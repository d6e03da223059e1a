"""`registry run`: wrap any command as a recorded run."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from registry.cli.context import context
from registry.cli.output import out

if TYPE_CHECKING:
    from registry.wrapper import Declared


def run(
    command: Annotated[list[str], typer.Argument(metavar="-- CMD…", help="The command and its arguments.")],
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
) -> int:
    """Run any command as a recorded run: output, exit code, git state, metrics it logs, files it leaves."""
    import os

    from registry import places
    from registry.data_policy import require_usable
    from registry.run import load_suite
    from registry.wrapper import Declared

    options = context()
    declared = Declared(
        command=command,
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
    )
    address = places.registry_url(options.db_url)
    require_usable(address, declared.datasets, declared.experiment, allow=allow_data)
    run_id, exit_code = _run_stages(declared) if stages else _run_once(address, declared)
    options.db(create=True)
    if not options.quiet:
        out.warn(f"run {run_id} recorded; `registry show {run_id}`")
    return exit_code


def _run_once(address: str, declared: "Declared") -> tuple[str, int]:
    from registry.wrapper import run_command

    outcome = run_command(address, declared)
    for problem in outcome.problems:
        out.warn(problem)
    return outcome.run_id, outcome.exit_code


def _run_stages(declared: "Declared") -> tuple[str, int]:
    from registry.errors import UsageError
    from registry.staged import run_staged

    if declared.suite is None:
        raise UsageError("--stages without a gate suite", hint="add --gates FILE; its [[stage]] tables are followed")
    return run_staged(context().db(create=True), declared)


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

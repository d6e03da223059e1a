"""`registry run`: wrap any command as a recorded run."""

from pathlib import Path
from typing import Annotated

import typer

from registry.cli.context import context
from registry.cli.output import out


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
    param: Annotated[list[str] | None, typer.Option(metavar="KEY=VALUE", help="An input to record.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="A word to find the run by. Repeatable.")] = None,
    root: Annotated[
        list[Path] | None, typer.Option(metavar="DIR", help="Folder it writes into (the guard sweeps it).")
    ] = None,
) -> int:
    """Run any command as a recorded run: output, exit code, git state, metrics it logs, files it leaves."""
    import os

    from registry import places
    from registry.run import load_suite
    from registry.wrapper import Declared, run_command

    options = context()
    declared = Declared(
        command=command,
        name=name,
        experiment=experiment or os.environ.get("REGISTRY_EXPERIMENT") or "default",
        params=_params(param or []),
        suite=load_suite(gates),
        artifacts=tuple(artifact or ()),
        datasets=tuple(dataset or ()),
        tags=tuple(tag or ()),
        parent=os.environ.get("REGISTRY_PARENT_ID"),
        roots=tuple(str(path) for path in root or ()),
    )
    _refuse_bad_data(declared.datasets)
    outcome = run_command(places.runs_folder(places.registry_url(options.db_url)), declared)
    for problem in outcome.problems:
        out.warn(problem)
    options.db(create=True)
    if not options.quiet:
        out.warn(f"run {outcome.run_id} recorded; `registry show {outcome.run_id}`")
    return outcome.exit_code


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


def _refuse_bad_data(references: tuple[str, ...]) -> None:
    """Refuse data that the policy does not let a run use."""
    if not references:
        return
    from registry.datasets import require_usable

    require_usable(context().db(create=True), references)

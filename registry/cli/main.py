"""The way into the command: the table of verbs (each imported only when it is called), the global options, which may
stand before or after the verb, and the one place where an error becomes a line and an exit code.
"""

import contextlib
import inspect
import os
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import TYPE_CHECKING, Any

from registry.cli.context import Context, use
from registry.errors import HoldfastError, UsageError

if TYPE_CHECKING:
    import typer

SECTIONS: dict[str, dict[str, str]] = {
    "Record": {
        "run": "registry.cli.run:run",
        "watch": "registry.cli.ingest:watch",
        "import": "registry.cli.ingest:import_",
        "export": "registry.cli.ingest:export",
    },
    "Runs": {
        "ls": "registry.cli.runs:ls",
        "show": "registry.cli.runs:show",
        "compare": "registry.cli.compare:compare",
        "diff": "registry.cli.compare:diff",
        "log": "registry.cli.runs:log",
        "tag": "registry.cli.edit:tag",
        "note": "registry.cli.edit:note",
        "rm": "registry.cli.edit:rm",
        "restore-run": "registry.cli.edit:restore_run",
        "reap": "registry.cli.edit:reap",
    },
    "Copies": {
        "remote": "registry.cli.remotes:remote",
        "keep": "registry.cli.copies:keep",
        "copy": "registry.cli.copies:copy",
        "where": "registry.cli.copies:where",
        "verify": "registry.cli.copies:verify",
        "fetch": "registry.cli.copies:fetch",
        "repair": "registry.cli.copies:repair",
        "drop": "registry.cli.copies:drop",
        "guard": "registry.cli.guard:guard",
    },
    "Trust": {
        "gate": "registry.cli.gates:gate",
        "dataset": "registry.cli.datasets:dataset",
        "alerts": "registry.cli.alerts:alerts",
        "ack": "registry.cli.alerts:ack",
        "report": "registry.cli.reports:report",
    },
    "Deploy": {
        "promote": "registry.cli.promote:promote",
        "rollback": "registry.cli.promote:rollback",
        "deployments": "registry.cli.promote:deployments",
        "history": "registry.cli.promote:history",
    },
    "Registry": {
        "init": "registry.cli.upkeep:init",
        "status": "registry.cli.upkeep:status",
        "doctor": "registry.cli.upkeep:doctor",
        "rebuild": "registry.cli.upkeep:rebuild",
        "migrate": "registry.cli.upkeep:migrate",
        "backup": "registry.cli.backup:backup",
        "restore": "registry.cli.backup:restore",
    },
}
COMMANDS = {verb: target for section in SECTIONS.values() for verb, target in section.items()}
PLUGIN_GROUP = "holdfast.commands"
TAILED = ("run",)
"""Verbs whose arguments end in another program's command line, which is not ours to read."""
GLOBAL_FLAGS = {"--json": "json", "-q": "quiet", "--quiet": "quiet", "-v": "verbose", "--verbose": "verbose"}
GLOBAL_HELP = "Everywhere: --db URL (the registry; default: nearest runs.db upward), --json, -q, -v, --help."


def plugins() -> dict[str, str]:
    """Return the verbs that installed packages offer through the entry points `holdfast.commands`."""
    from importlib.metadata import entry_points

    return {point.name: point.value for point in entry_points(group=PLUGIN_GROUP)}


def find(verb: str) -> Any:
    """Return a verb's function, or its `typer.Typer` of several. Raises UsageError with the nearest known verb."""
    target = COMMANDS.get(verb) or plugins().get(verb)
    if target is None:
        from difflib import get_close_matches

        near = get_close_matches(verb, [*COMMANDS, *plugins()], n=1)
        hint = f"did you mean {near[0]!r}?" if near else "`registry --help` lists the verbs"
        raise UsageError(f"no verb {verb!r}", hint=hint)
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)


def as_app(verb: str, found: Any) -> "typer.Typer":
    """Return the typer application of a verb."""
    import typer

    if isinstance(found, typer.Typer):
        return found
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    settings = {"help_option_names": ["--help", "-h"]}
    if verb in TAILED:
        settings["allow_interspersed_args"] = False  # type: ignore[assignment]
    app.command(name=verb, epilog=GLOBAL_HELP, context_settings=settings)(found)
    return app


def split(arguments: Sequence[str]) -> tuple[Context, list[str]]:
    """Return the global options, wherever they stand before a `--`, and everything else."""
    options = Context()
    rest: list[str] = []
    words = list(arguments)
    while words:
        word = words.pop(0)
        if word == "--":
            options.after = list(words)
        if word == "--" or (rest and rest[0] in TAILED and "--" not in words):
            return options, [*rest, word, *words]
        if word in GLOBAL_FLAGS:
            setattr(options, GLOBAL_FLAGS[word], True)
        elif word == "--db" or word.startswith("--db="):
            options.db_url = word[5:] if "=" in word else words.pop(0) if words else ""
            if not options.db_url:
                raise UsageError("--db names nothing", hint="--db PATH, or --db postgresql+psycopg://…")
        else:
            rest.append(word)
    return options, rest


def help_page() -> str:
    """Return the page of all verbs, section by section, each with the first line of its help."""
    more = {verb: target for verb, target in sorted(plugins().items()) if verb not in COMMANDS}
    lines = [
        "Usage: registry [--db URL] [--json] [-q|-v] VERB [ARGUMENTS]",
        "",
        "The record of your model runs: what ran, which is best, where its copies are, what is deployed.",
        "Without a verb it opens the dashboard. `registry VERB --help` explains a verb.",
    ]
    for title, verbs in {**SECTIONS, "Train and look": more}.items():
        rows = [f"  {verb:<13}{_first_line(verb)}" for verb in verbs]
        lines += ["", f"{title}:", *rows] if rows else []
    return "\n".join([*lines, "", GLOBAL_HELP])


def _first_line(verb: str) -> str:
    """Return the first line of a verb's help; a verb of another package that cannot be loaded says so."""
    try:
        found = find(verb)
    except (ImportError, AttributeError) as error:
        if verb in COMMANDS:
            raise
        return f"(cannot be loaded: {error})"
    words = getattr(getattr(found, "info", None), "help", None) or inspect.getdoc(found) or ""
    return str(words).strip().splitlines()[0] if str(words).strip() else ""


def dispatch(arguments: Sequence[str]) -> int:
    """Run one command line and return its exit code; errors are left to the caller."""
    options, rest = split(arguments)
    use(options)
    if not rest and sys.stdin.isatty() and sys.stdout.isatty() and "tui" in plugins():
        rest = ["tui"]
    if not rest or rest[0] in ("--help", "-h", "help"):
        print(help_page())
        return 0
    if rest[0] == "--version":
        from importlib.metadata import version

        print(f"registry {version('holdfast')}")
        return 0
    if rest[0].startswith("-"):
        raise UsageError(f"no option {rest[0]}", hint="`registry --help` lists what there is")
    from typer.main import get_command

    verb, *words = rest
    command = get_command(as_app(verb, find(verb)))
    try:
        result = command.main(args=words, prog_name=f"registry {verb}", standalone_mode=False)
    finally:
        options.close()
    return result if isinstance(result, int) else 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code; whatever goes wrong becomes one clear line on stderr."""
    try:
        return dispatch(sys.argv[1:] if arguments is None else arguments)
    except HoldfastError as error:
        return _tell(error)
    except KeyboardInterrupt:
        _say("registry: interrupted")
        return 130
    except BrokenPipeError:
        _close_stdout()
        return 0
    except OSError as error:
        where = f" ({error.filename})" if error.filename else ""
        _say(f"registry: {error.strerror or error}{where}")
        return 1
    except Exception as error:
        return _tell_unexpected(error)


def _tell(error: HoldfastError) -> int:
    from registry.cli.context import context
    from registry.cli.output import out

    if context().json and error.payload is not None:
        out.json(error.payload)
    _say(f"registry: {error.message}")
    for line in error.details:
        _say(f"  - {line}")
    if error.hint:
        _say(f"  {error.hint}")
    return error.exit_code


def _tell_unexpected(error: Exception) -> int:
    import typer

    if isinstance(error, typer.Abort):
        _say("registry: interrupted")
        return 130
    if isinstance(error, typer.Exit):
        return error.exit_code
    if isinstance(error, typer.TyperException):
        _say(f"registry: {error.format_message()}")
        _say("  add --help to see what there is")
        return error.exit_code
    if os.environ.get("REGISTRY_DEBUG"):
        raise error
    said = str(error).strip().splitlines()
    _say(f"registry: internal error: {type(error).__name__}: {said[0] if said else ''}")
    _say("  this is a fault of the program; REGISTRY_DEBUG=1 shows where")
    return 1


def _say(line: str) -> None:
    with contextlib.suppress(BrokenPipeError, ValueError):
        print(line, file=sys.stderr)


def _close_stdout() -> None:
    """Keep Python from complaining about the closed pipe when it exits."""
    with contextlib.suppress(OSError):
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def run() -> None:
    """Entry point of the `registry` command."""
    code = main()
    with contextlib.suppress(BrokenPipeError):
        sys.stdout.flush()
    sys.exit(code)

"""Write the pages that the code itself knows best: docs/commands.md, formats.md, settings.md. `make docs` runs it; a
test checks that they are current.
"""

import sys
import types
import typing
from pathlib import Path

import msgspec
from typer.main import get_command

from registry.cli.main import GLOBAL_HELP, SECTIONS, as_app, find, plugins
from registry.ingest.formats import LINE_FORMATS
from registry.ingest.formats.files import DOCUMENTS, FILE_FORMATS
from registry.settings import Settings

DOCS = Path(__file__).parent
WIDTH = 100


def commands_page() -> str:
    """Return every verb's help."""
    more = dict(sorted(plugins().items()))
    parts = ["# Commands", "", "Made from the commands themselves by `make docs`.", "", GLOBAL_HELP, ""]
    for title, verbs in {**SECTIONS, "Train and look": more}.items():
        parts += [f"## {title}", ""]
        for verb in verbs:
            parts += [f"### registry {verb}", "", "```", _help(verb), "```", ""]
    return "\n".join(parts)


def _help(verb: str) -> str:
    command = get_command(as_app(verb, find(verb)))
    pages = [_page(command, f"registry {verb}")]
    pages += [_page(sub, f"registry {verb} {name}") for name, sub in sorted(getattr(command, "commands", {}).items())]
    return "\n\n".join(pages)


def _page(command: typing.Any, path: str) -> str:
    context = command.make_context(path, [], resilient_parsing=True, terminal_width=WIDTH, max_content_width=WIDTH)
    return "\n".join(line.rstrip() for line in command.get_help(context).splitlines()).strip()


def settings_page() -> str:
    """Return every key of registry.toml with its type and default."""
    intro = "`registry.toml` lies beside `runs.db`. Every key has a default; one that is not listed is an error."
    parts = ["# Settings", "", "Made from the code by `make docs`.", "", intro, ""]
    for section in _sections(Settings):
        rows = [(field.name, _type(field.type), _default(field)) for field in _plain_fields(section)]
        if not rows:
            continue
        parts += [f"## {section.__name__}", "", (section.__doc__ or "").strip(), ""]
        parts += ["| key | type | default |", "|---|---|---|"]
        parts += [f"| `{name}` | {kind} | {default} |" for name, kind, default in rows] + [""]
    return "\n".join(parts)


def _sections(section: type[msgspec.Struct]) -> list[type[msgspec.Struct]]:
    found = [section]
    for field in msgspec.structs.fields(section):
        for inner in _structs(field.type):
            found += [one for one in _sections(inner) if one not in found]
    return found


def _structs(kind: typing.Any) -> list[type[msgspec.Struct]]:
    if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
        return [kind]
    return [one for argument in typing.get_args(kind) for one in _structs(argument)]


def _plain_fields(section: type[msgspec.Struct]) -> list[msgspec.structs.FieldInfo]:
    return [field for field in msgspec.structs.fields(section) if not _structs(field.type)]


def _type(kind: typing.Any) -> str:
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin is typing.Literal:
        return " or ".join(f"`{argument}`" for argument in arguments)
    if origin in (types.UnionType, typing.Union):
        return " or ".join(_type(argument) for argument in arguments if argument is not type(None))
    if origin in (list, tuple):
        return f"list of {_type(arguments[0])}"
    if origin is dict:
        return f"table of {_type(arguments[1])}"
    if origin is typing.Annotated:
        return _type(arguments[0])
    return {"str": "text", "int": "whole number", "float": "number", "bool": "true or false"}.get(
        getattr(kind, "__name__", ""), str(kind)
    )


def _default(field: msgspec.structs.FieldInfo) -> str:
    if field.required:
        return "*needed*"
    value = field.default if field.default is not msgspec.NODEFAULT else field.default_factory()
    return "" if value in (None, "", (), [], {}) else f"`{msgspec.json.encode(value).decode()}`"


def formats_page() -> str:
    """Return every log format that is read, with its step and what says that a run has ended."""
    intro = (
        "What `registry watch` and `registry import` read for certain. Lines that none of these knows go through the "
        "generic layer ([ingest.md](ingest.md)); the preview says which was used."
    )
    parts = ["# Log formats", "", "Made from the code by `make docs`.", "", intro, ""]
    documents = [form for form in FILE_FORMATS.values() if "see the table" not in form.example and form.example != "-"]
    for title, forms in (("Lines of text logs", LINE_FORMATS), ("Files", documents), ("JSON documents", DOCUMENTS)):
        parts += [f"## {title}", "", "| format | files | step | how it ends | example |", "|---|---|---|---|---|"]
        parts += ["| " + " | ".join(_cell(text) for text in _format_row(form)) + " |" for form in forms] + [""]
    return "\n".join(parts)


def _format_row(form: typing.Any) -> tuple[str, ...]:
    return form.name, form.files, form.step, form.end, f"`{form.example.strip().replace('`', '')}`"


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


PAGES = {"commands.md": commands_page, "formats.md": formats_page, "settings.md": settings_page}


def main() -> int:
    """Write the pages; with `--check` only say which are not current."""
    stale = [name for name, page in PAGES.items() if not _is_current(name, page())]
    if "--check" not in sys.argv:
        for name in stale:
            (DOCS / name).write_text(PAGES[name]())
    print("\n".join(stale) or "all pages are current")
    return 1 if stale and "--check" in sys.argv else 0


def _is_current(name: str, text: str) -> bool:
    path = DOCS / name
    return path.exists() and path.read_text() == text


if __name__ == "__main__":
    sys.exit(main())

"""The user's own grammars, from `[[ingest.grammars]]` of registry.toml."""

import re
from fnmatch import fnmatch

from registry.errors import UsageError
from registry.ingest.grammar import Grammar, LineFormat, compiled
from registry.settings import Ingest


def user_formats(settings: Ingest) -> list[tuple[str, LineFormat]]:
    """Return (file glob, format) for each grammar of registry.toml. Raises UsageError that names a broken one."""
    formats = []
    for grammar in settings.grammars:
        rule = Grammar(
            line=grammar.line, hint=grammar.hint, rest=grammar.rest, prefix=grammar.prefix, axis=grammar.axis
        )
        try:
            form = compiled(grammar.name, [rule], files=grammar.files, example=grammar.line, step="as the grammar says")
        except re.error as error:
            raise UsageError(
                f"registry.toml, ingest grammar {grammar.name!r}: {error}",
                hint="`line` is a Python regular expression with named groups",
            ) from None
        formats.append((grammar.files, form))
    return formats


def formats_for(name: str, formats: list[tuple[str, LineFormat]]) -> tuple[LineFormat, ...]:
    """Return the user's formats that apply to a file of this name."""
    return tuple(form for glob, form in formats if fnmatch(name, glob))

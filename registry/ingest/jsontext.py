"""JSON as programs write it: bare NaN and Infinity are numbers, and a lone half of a surrogate pair is no letter."""

import json
from typing import Any

import msgspec


def loads(text: str) -> Any:
    """Return the decoded value. Raises ValueError for anything that is no JSON."""
    try:
        return msgspec.json.decode(text)
    except (msgspec.MsgspecError, UnicodeError, RecursionError):
        pass
    try:
        return json.loads(text)
    except RecursionError:
        raise ValueError("nested too deeply") from None


def printable(text: str) -> str:
    """Return `text` as a database can hold it: no lone surrogates, no NUL."""
    return text.encode("utf-8", "replace").decode().replace("\0", "")

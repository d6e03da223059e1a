"""The JSON grammar as a push-down automaton over token symbols, and the text that a path through it stands for.

A state is a string: the open brackets, outermost first, then one letter that says what may come next. Whatever the
automaton accepts is rendered as text that a strict parser reads.
"""

import json
import re
from functools import lru_cache
from typing import Any

from runners.json_repair import lexer
from runners.json_repair.lexer import Token

START, DONE = "T", "D"
SCALAR = "x"
NULL = "n"
"""The symbol of a `null` that stands for a value which is missing."""

MAX_DEPTH = 400
"""Brackets open at once; parsers (Python's among them) give up somewhere beyond."""
_CACHED = 1 << 16
_MAX_CONVERTED_DIGITS = 600

# What may come next: T a document, D nothing more, A a first item or `]`, a an item, e `,` or `]`,
# O a first key or `}`, k a key, c `:`, v a member's value, m `,` or `}`.
_VALUE_WANTED = frozenset("TAav")
_AFTER_VALUE = {"": DONE, "[": "e", "{": "m"}

_INVALID_NUMBER_TAIL = re.compile(r"[^\d]+\Z")
_STRICT_STRING = re.compile(r'"(?:[^"\\\x00-\x1f]|\\(?:["\\/bfnrt]|u[\da-fA-F]{4}))*"')
_STRICT_NUMBER = re.compile(r"-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?")
_ESCAPE = re.compile(r"\\(u[\da-fA-F]{4}|x[\da-fA-F]{2}|.|\Z)", re.DOTALL)
_PLAIN_ESCAPES = {"b": "\b", "f": "\f", "n": "\n", "r": "\r", "t": "\t", "\n": "", "": ""}
_PLAIN_ESCAPES |= {sign: sign for sign in "\"'/\\`"}
_PYTHON_VALUES = {"True": "true", "TRUE": "true", "False": "false", "FALSE": "false"}


@lru_cache(_CACHED)
def step(state: str, symbol: str) -> str | None:
    """Return the state after a symbol (one of `{}[]:,`, SCALAR, NULL), None where the grammar forbids it."""
    stack, phase = state[:-1], state[-1]
    if symbol in "{[":
        if len(stack) >= MAX_DEPTH:
            return None
        return stack + symbol + ("O" if symbol == "{" else "A") if phase in _VALUE_WANTED else None
    if symbol in "x" and phase in "Ok":
        return stack + "c"
    if symbol in "xn":
        return stack + _AFTER_VALUE[stack[-1:]] if phase in _VALUE_WANTED else None
    if symbol == ":":
        return stack + "v" if phase == "c" else None
    if symbol == ",":
        return {"e": stack + "a", "m": stack + "k"}.get(phase)
    wanted = "Ae" if symbol == "]" else "Om"
    return stack[:-1] + _AFTER_VALUE[stack[-2:-1]] if phase in wanted else None


@lru_cache(_CACHED)
def walk(state: str, symbols: str) -> str | None:
    """Return the state after several symbols, None where the grammar forbids one of them."""
    for symbol in symbols:
        following = step(state, symbol)
        if following is None:
            return None
        state = following
    return state


@lru_cache(_CACHED)
def completion(state: str) -> str:
    """Return the shortest symbols that end the document: a missing value becomes null, then everything is closed.

    After a comma that nothing follows (`ends_with_comma`) the comma has to go first.
    """
    stack, phase = state[:-1], state[-1]
    missing = {"c": ":n", "v": "n", START: "n"}.get(phase, "")
    return missing + "".join("}" if bracket == "{" else "]" for bracket in reversed(stack))


def ends_with_comma(state: str) -> bool:
    """Return whether the last symbol was a comma, after which no document can end."""
    return state[-1] in "ak"


def wants_key(state: str) -> bool:
    """Return whether a scalar here is a key."""
    return state[-1] in "Ok"


def symbol_of(kind: int) -> str:
    """Return the symbol of a token's kind; empty for what JSON has no place for (comments, prose, END)."""
    if kind <= lexer.COMMA:
        return lexer.PUNCTUATION[kind]
    return SCALAR if lexer.is_scalar(kind) else ""


def canonical(token: Token, *, as_key: bool, is_last: bool = False) -> str:
    """Return the JSON text of a scalar token, as a key or as a value.

    `is_last`: the document was cut after this token, so the beginning of a literal (`tru`) is that literal.
    """
    text, kind = token.text, token.kind
    if kind == lexer.STRING and _STRICT_STRING.fullmatch(text):
        return text
    if kind in (lexer.STRING, lexer.OTHER_STRING, lexer.CUT_STRING):
        return _quoted(_content(text, ends=kind != lexer.CUT_STRING))
    if as_key:
        return _quoted(text)
    if kind in (lexer.NUMBER, lexer.LITERAL):
        return text
    if kind == lexer.PYTHON_LITERAL:
        return _PYTHON_VALUES.get(text, "null")
    if kind == lexer.ODD_NUMBER:
        return _number(text)
    whole = [literal for literal in ("true", "false", "null", "True", "False", "None") if literal.startswith(text)]
    if is_last and whole:
        return _PYTHON_VALUES.get(whole[0], whole[0] if whole[0].islower() else "null")
    return _quoted(text)


def strict_loads(text: str) -> Any:
    """Return the value of a JSON text. Raises ValueError for anything that RFC 8259 does not allow.

    A text nested too deeply for Python's parser counts as one that does not parse.
    """
    try:
        return json.loads(text, parse_constant=_refuse_constant)
    except json.JSONDecodeError:
        raise
    except RecursionError:
        raise ValueError("nested too deeply") from None
    except ValueError:  # a whole number of more digits than Python converts
        return json.loads(text, parse_constant=_refuse_constant, parse_int=_whole_number)


def parses(text: str) -> bool:
    """Return whether a strict parser reads this text."""
    try:
        strict_loads(text)
    except ValueError:
        return False
    return True


def _whole_number(digits: str) -> int | str:
    return int(digits) if len(digits) <= _MAX_CONVERTED_DIGITS else digits


def _refuse_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON")


def _quoted(content: str) -> str:
    return json.dumps(content, ensure_ascii=False)


def _content(text: str, *, ends: bool) -> str:
    """Return what a string token holds, with its escapes resolved and leniently read."""
    opened = text[:1] in lexer.QUOTES
    body = text[1 if opened else 0 : -1 if ends or not opened else None]
    return _ESCAPE.sub(_unescape, body).encode("utf-16", "surrogatepass").decode("utf-16", "replace")


def _unescape(match: re.Match[str]) -> str:
    escaped = match.group(1)
    if escaped[:1] in ("u", "x") and len(escaped) > 1:
        return chr(int(escaped[1:], 16))
    return _PLAIN_ESCAPES.get(escaped, match.group())


def _number(text: str) -> str:
    """Return a number that JSON allows for one that it does not: `.5`, `1.`, `+1`, `007`, `1_000`, `0xff`, `1e`."""
    sign = "-" if text.startswith("-") else ""
    digits = text.lstrip("+-").replace("_", "")
    if digits[:2] in ("0x", "0X"):
        return sign + str(int(digits, 16))
    digits += "0" if digits.endswith(".") else ""
    digits = _INVALID_NUMBER_TAIL.sub("", digits) if digits else "0"
    whole, dot, rest = digits.partition(".")
    whole = whole.lstrip("0") if whole[:1] == "0" and not whole.lower().startswith("0e") else whole
    number = sign + ("0" + whole if not whole[:1].isdigit() else whole) + dot + rest
    return number if _STRICT_NUMBER.fullmatch(number) else _quoted(text)

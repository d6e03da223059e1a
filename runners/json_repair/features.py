"""What the tagger sees of a token: whole numbers about its kind, its place in the text and the brackets around it.

The brackets are matched leniently, once from the left and once from the right; the indentation of a line beside that of
the line on which the open bracket stands is what shows where a bracket is missing.
"""

import zlib
from itertools import pairwise
from typing import NamedTuple

import numpy as np

from runners.json_repair import lexer
from runners.json_repair.lexer import Token

N_TEXTS = 512
MAX_DEPTH = 15
_LENGTHS = 8
_SPACES = 5
_RELATIONS = 6
_CONTEXTS = 3 * 2 * _RELATIONS
_PHASES = 10
_INDENT_CHANGES = 9
_INDENTS = 16

SIZES = (
    lexer.N_KINDS,
    N_TEXTS + 1,
    _LENGTHS,
    _SPACES,
    _INDENTS,
    _INDENT_CHANGES,
    MAX_DEPTH + 1,
    _CONTEXTS,
    MAX_DEPTH + 1,
    _CONTEXTS,
    2 * _PHASES,
)
"""How many values each feature has, in the order of the columns that `features_of` returns."""

_OPENS = {lexer.OPEN_BRACE: 1, lexer.OPEN_BRACKET: 2}
_CLOSES = {lexer.CLOSE_BRACE: 1, lexer.CLOSE_BRACKET: 2}
_TAB_WIDTH = 4


class _Line(NamedTuple):
    """The line a token is on: its indentation in columns, and whether the token is its first."""

    indent: int
    is_first: bool


def features_of(tokens: list[Token]) -> np.ndarray:
    """Return one row of `len(SIZES)` numbers (int16) for each token."""
    lines = _lines(tokens)
    forward_depth, forward = _contexts(tokens, lines, _OPENS, _CLOSES)
    depth, context = _contexts(tokens[::-1], lines[::-1], _CLOSES, _OPENS)
    columns = (
        [token.kind for token in tokens],
        [_text_bucket(token) for token in tokens],
        [min(_LENGTHS - 1, len(token.text).bit_length()) for token in tokens],
        [_space_class(token.space) for token in tokens],
        [min(_INDENTS - 1, line.indent) for line in lines],
        _indent_changes(lines),
        forward_depth,
        forward,
        depth[::-1],
        context[::-1],
        _phases(tokens),
    )
    return np.array(columns, dtype=np.int16).T


def _text_bucket(token: Token) -> int:
    """Return a number that equal texts share; 0 for punctuation."""
    return 1 + zlib.crc32(token.text.encode("utf-8", "replace")) % N_TEXTS if token.kind > lexer.COMMA else 0


def _space_class(space: str) -> int:
    if not space:
        return 0
    n_lines = space.count("\n")
    return min(2 + n_lines, _SPACES - 1) if n_lines else min(len(space), 2)


def _lines(tokens: list[Token]) -> list[_Line]:
    lines, indent = [], 0
    for place, token in enumerate(tokens):
        newline = token.space.rfind("\n")
        is_first = newline >= 0 or not place
        if is_first:
            margin = token.space[newline + 1 :]
            indent = len(margin) + margin.count("\t") * (_TAB_WIDTH - 1)
        lines.append(_Line(indent, is_first))
    return lines


def _indent_changes(lines: list[_Line]) -> list[int]:
    """Return 5 plus the units (-4 to 3) that a line is indented more than the one before; 0: not a line's first."""
    steps = {abs(b.indent - a.indent) for a, b in pairwise(lines) if b.is_first} - {0}
    unit = min(steps, default=1)
    changes, before = [], 0
    for line in lines:
        if not line.is_first:
            changes.append(0)
            continue
        change = (line.indent - before) // unit
        changes.append(5 + max(-4, min(_INDENT_CHANGES - 6, change)))
        before = line.indent
    return changes


def _contexts(
    tokens: list[Token], lines: list[_Line], opens: dict[int, int], closes: dict[int, int]
) -> tuple[list[int], list[int]]:
    """Return for each token the depth it is at, and its context.

    The context joins the innermost open bracket, whether the token closes one of the other kind, and how its line is
    indented beside the line of the open bracket. From the right, `opens` and `closes` change places.
    """
    stack: list[tuple[int, int, int]] = []
    depths, contexts = [], []
    line_number = 0
    for token, line in zip(tokens, lines, strict=True):
        line_number += line.is_first
        top, indent, on_line = stack[-1] if stack else (0, -1, -1)
        closing = closes.get(token.kind, 0)
        mismatch = closing and closing != top
        relation = _relation(line, line_number == on_line, indent, bool(stack))
        depths.append(min(len(stack), MAX_DEPTH))
        contexts.append((top * 2 + (1 if mismatch else 0)) * _RELATIONS + relation)
        if closing and stack:
            if not mismatch:
                stack.pop()
            elif len(stack) > 1 and stack[-2][0] == closing:
                del stack[-2:]
        elif token.kind in opens:
            stack.append((opens[token.kind], line.indent, line_number))
    return depths, contexts


def _relation(line: _Line, same_line: bool, indent: int, inside: bool) -> int:
    """Return 0 nothing open, 1 same line; else its line is 2 less, 3 equally, 4 more indented; 5: not first in it."""
    if not inside:
        return 0
    if same_line:
        return 1
    if not line.is_first:
        return 5
    return 2 if line.indent < indent else 3 if line.indent == indent else 4


def _phases(tokens: list[Token]) -> list[int]:
    """Return what a lenient parser expects at each token (see the table below), plus `_PHASES` where it is wrong.

    0 value at the top, 1 key or `}`, 2 colon, 3 member's value, 4 `,` or `}`, 5 item or `]`, 6 `,` or `]`, 7 key,
    8 item, 9 the end.
    """
    phase, stack, phases = 0, [], []
    for token in tokens:
        kind = token.kind
        phases.append(phase + (_PHASES if not _fits(phase, kind) else 0))
        if kind in (lexer.OPEN_BRACE, lexer.OPEN_BRACKET):
            stack.append(kind)
            phase = 1 if kind == lexer.OPEN_BRACE else 5
        elif kind in (lexer.CLOSE_BRACE, lexer.CLOSE_BRACKET):
            if stack:
                stack.pop()
            phase = _after_value(stack)
        elif kind == lexer.COMMA:
            phase = 0 if not stack else 7 if stack[-1] == lexer.OPEN_BRACE else 8
        elif kind == lexer.COLON:
            phase = 3
        elif lexer.is_scalar(kind):
            phase = 2 if phase in (1, 4, 7) else _after_value(stack)
    return phases


def _after_value(stack: list[int]) -> int:
    return 9 if not stack else 4 if stack[-1] == lexer.OPEN_BRACE else 6


_EXPECTED = {
    0: {0, 2},
    1: {1},
    2: {lexer.COLON},
    3: {0, 2},
    4: {1, lexer.COMMA},
    5: {0, 2, 3},
    6: {3, lexer.COMMA},
    7: set(),
    8: {0, 2},
    9: {lexer.END},
}
_SCALAR_PHASES = frozenset({0, 1, 3, 5, 7, 8})


def _fits(phase: int, kind: int) -> bool:
    return kind in _EXPECTED[phase] or (phase in _SCALAR_PHASES and lexer.is_scalar(kind))

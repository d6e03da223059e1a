"""Twenty ways in which JSON gets broken, each a seeded function of one document; one to five of them stacked.

A corruption counts only if a strict parser refuses its result: a text that parses cannot be told from a clean one. No
corruption removes what nothing could bring back, except `truncate`: deleting punctuation never fuses two neighbours,
and what is masked is punctuation.
"""

import re
from collections.abc import Callable, Sequence
from itertools import pairwise

import numpy as np

from runners.json_repair import lexer
from runners.json_repair.grammar import parses
from runners.json_repair.lexer import Token, lex

Corruption = Callable[[list[Token], np.random.Generator], "str | None"]

MAX_STACKED = 5
_KEY = re.compile(r'"([A-Za-z_$][\w$]*)"')
_FUSING = (lexer.NUMBER, lexer.ODD_NUMBER, lexer.LITERAL, lexer.PYTHON_LITERAL, lexer.WORD)
_INTROS = (
    "Here is the JSON:",
    "Here's the updated configuration you asked for:",
    "Sure! The result is below.",
    "Result:",
    "The extracted data (one record):",
    "I found the following:",
    "Based on the text, this is what I'd return:",
)
_OUTROS = (
    "",
    "Hope this helps!",
    "Let me know if you need anything else.",
    "That's all the data, as far as I can tell.",
    "Note: some values are estimates.",
)
_COMMENTS = ("generated", "user data", "TODO: check this", "see the manual, section 3", 'was "old" before', "optional")


# --- punctuation


def _delete(kinds: Sequence[int]) -> Corruption:
    def corrupt(tokens: list[Token], rng: np.random.Generator) -> str | None:
        place = _choose([i for i, token in enumerate(tokens) if token.kind in kinds], rng)
        return None if place is None else _without(tokens, place)

    return corrupt


def _without(tokens: list[Token], place: int) -> str:
    """Return the text without one token; neighbours that would become one keep a space between them."""
    gone, following = tokens[place], tokens[place + 1]
    space = gone.space + following.space
    if not space and place and tokens[place - 1].kind in _FUSING and following.kind in _FUSING:
        space = " "
    return lexer.join([*tokens[:place], following._replace(space=space), *tokens[place + 2 :]])


def _insert_comma(tokens: list[Token], rng: np.random.Generator) -> str | None:
    place = int(rng.integers(len(tokens)))
    before, token = tokens[:place], tokens[place]
    comma = Token("", lexer.COMMA, ",", -1) if rng.random() < 0.8 else Token(token.space, lexer.COMMA, ",", -1)
    return lexer.join([*before, comma, *tokens[place:]])


def _swap_adjacent(tokens: list[Token], rng: np.random.Generator) -> str | None:
    if len(tokens) < 3:
        return None
    place = int(rng.integers(len(tokens) - 2))
    first, second = tokens[place], tokens[place + 1]
    swapped = [first._replace(kind=second.kind, text=second.text), second._replace(kind=first.kind, text=first.text)]
    return lexer.join([*tokens[:place], *swapped, *tokens[place + 2 :]])


def _mask_token(tokens: list[Token], rng: np.random.Generator) -> str | None:
    place = _choose([i for i, token in enumerate(tokens) if token.kind <= lexer.COMMA], rng)
    if place is None:
        return None
    masked = tokens[place]._replace(kind=lexer.MASK, text=lexer.MASK_TEXT)
    return lexer.join([*tokens[:place], masked, *tokens[place + 1 :]])


def _trailing_comma(closing: int) -> Corruption:
    def corrupt(tokens: list[Token], rng: np.random.Generator) -> str | None:
        places = [
            i
            for i, token in enumerate(tokens)
            if token.kind == closing and i and tokens[i - 1].kind not in (closing - 1, lexer.COMMA, lexer.COLON)
        ]
        place = _choose(places, rng)
        if place is None:
            return None
        return lexer.join([*tokens[:place], Token("", lexer.COMMA, ",", -1), *tokens[place:]])

    return corrupt


# --- words and quotes


def _rewrite(kind: int, before: str, after: str) -> Corruption:
    def corrupt(tokens: list[Token], rng: np.random.Generator) -> str | None:
        changed = [
            token._replace(text=after) if (token.kind, token.text) == (kind, before) else token for token in tokens
        ]
        return None if changed == tokens else lexer.join(changed)

    return corrupt


def _single_quotes(tokens: list[Token], rng: np.random.Generator) -> str | None:
    return lexer.join([token._replace(text=_single_quoted(token.text)) for token in tokens])


def _single_quoted(text: str) -> str:
    if len(text) < 2 or text[0] != '"' or text[-1] != '"':
        return text
    return "'" + text[1:-1].replace("'", "\\'").replace('\\"', '"') + "'"


def _unquote_keys(tokens: list[Token], rng: np.random.Generator) -> str | None:
    changed = list(tokens)
    for place, (token, following) in enumerate(pairwise(tokens)):
        match = _KEY.fullmatch(token.text)
        if following.kind == lexer.COLON and token.kind == lexer.STRING and match:
            changed[place] = token._replace(text=match.group(1))
    return None if changed == tokens else lexer.join(changed)


# --- what is put around and between


def _fence(language: str) -> Corruption:
    def corrupt(tokens: list[Token], rng: np.random.Generator) -> str | None:
        return f"```{language}\n{lexer.join(tokens).strip()}\n```"

    return corrupt


def _prose_wrap(tokens: list[Token], rng: np.random.Generator) -> str | None:
    intro, outro = _INTROS[rng.integers(len(_INTROS))], _OUTROS[rng.integers(len(_OUTROS))]
    return f"{intro}\n{lexer.join(tokens).strip()}\n{outro}".rstrip("\n")


def _line_comment(tokens: list[Token], rng: np.random.Generator) -> str | None:
    """Put a comment at the end of a line; in a document of one line, after it."""
    ends = [i for i, token in enumerate(tokens) if "\n" in token.space or token.kind == lexer.END]
    place = ends[int(rng.integers(len(ends)))]
    words = _COMMENTS[rng.integers(len(_COMMENTS))]
    mark = "#" if rng.random() < 0.2 else "//"
    return lexer.join([*tokens[:place], Token(" ", lexer.LINE_COMMENT, f"{mark} {words}", -1), *tokens[place:]])


def _block_comment(tokens: list[Token], rng: np.random.Generator) -> str | None:
    place = int(rng.integers(len(tokens)))
    words = _COMMENTS[rng.integers(len(_COMMENTS))]
    comment = Token(" " if place else "", lexer.BLOCK_COMMENT, f"/* {words} */", -1)
    return lexer.join([*tokens[:place], comment, *tokens[place:]])


def _truncate(tokens: list[Token], rng: np.random.Generator) -> str | None:
    """Keep between a half and all but one of the characters."""
    text = lexer.join(tokens).rstrip()
    return text[: int(rng.integers(len(text) // 2, len(text)))] if len(text) >= 4 else None


CORRUPTIONS: dict[str, Corruption] = {
    "delete_comma": _delete([lexer.COMMA]),
    "insert_comma": _insert_comma,
    "delete_colon": _delete([lexer.COLON]),
    "delete_brace": _delete([lexer.OPEN_BRACE, lexer.CLOSE_BRACE]),
    "delete_bracket": _delete([lexer.OPEN_BRACKET, lexer.CLOSE_BRACKET]),
    "swap_adjacent": _swap_adjacent,
    "mask_token": _mask_token,
    "trailing_comma_obj": _trailing_comma(lexer.CLOSE_BRACE),
    "trailing_comma_arr": _trailing_comma(lexer.CLOSE_BRACKET),
    "python_true": _rewrite(lexer.LITERAL, "true", "True"),
    "python_false": _rewrite(lexer.LITERAL, "false", "False"),
    "python_null": _rewrite(lexer.LITERAL, "null", "None"),
    "single_quotes": _single_quotes,
    "unquote_keys": _unquote_keys,
    "line_comment": _line_comment,
    "block_comment": _block_comment,
    "markdown_fence": _fence("json"),
    "markdown_fence_plain": _fence(""),
    "prose_wrap": _prose_wrap,
    "truncate": _truncate,
}
"""The corruptions by name; stacked ones are applied in this order, from the inside out."""
TYPES = tuple(CORRUPTIONS)
TRUNCATE = "truncate"
_ORDER = {name: place for place, name in enumerate(TYPES)}


def corrupt(text: str, name: str, rng: np.random.Generator, n_tries: int = 8) -> str | None:
    """Return the document broken in one way, None where that way does not apply to it.

    Raises KeyError for an unknown name.
    """
    tokens = lex(text)
    for _ in range(n_tries):
        broken = CORRUPTIONS[name](tokens, rng)
        if broken is None:
            return None
        if not parses(broken):
            return broken
    return None


def corrupt_stacked(
    text: str, n: int, rng: np.random.Generator, types: Sequence[str] = TYPES, n_tries: int = 8
) -> tuple[str, tuple[str, ...]] | None:
    """Return the document broken in up to `n` different ways (1 to 5), and their names; None if none applies.

    Ways that do not apply to it are left out.
    """
    for _ in range(n_tries):
        chosen = sorted(rng.choice(types, size=n, replace=False), key=_ORDER.__getitem__)
        broken, applied = text, []
        for name in chosen:
            after = CORRUPTIONS[name](lex(broken), rng)
            if after is not None and after != broken:
                broken = after
                applied.append(str(name))
        if applied and not parses(broken):
            return broken, tuple(applied)
    return None


def _choose(places: Sequence[int], rng: np.random.Generator) -> int | None:
    return places[int(rng.integers(len(places)))] if places else None

"""The published vocabulary: 105 tokens for JSON and its characters, and 7 for what language models and Python add.

A document is a sequence of ids: punctuation and literals are one token each, a string is its sign and then its
characters, a number its sign and then its digits. What the vocabulary cannot say (letters beyond ASCII, punctuation
inside strings) becomes `?`: a limit of the published model that stands here as it was.
"""

from collections.abc import Sequence

from runners.json_repair import lexer
from runners.json_repair.grammar import canonical
from runners.json_repair.lexer import PUNCTUATION, Token

PAD, MASK, BEGIN, END = "<pad>", "<mask>", "<begin>", "<end>"
STRING, EMPTY_STRING, NUMBER = "<string>", "<empty>", "<number>"
CHARACTERS = tuple(chr(code) for code in range(32, 127) if chr(code) not in PUNCTUATION)
BASE = (PAD, MASK, BEGIN, END, *PUNCTUATION, "true", "false", "null", STRING, EMPTY_STRING, NUMBER, *CHARACTERS)
"""105 tokens."""
FENCE, JSON_FENCE, COMMENT, PROSE = "<fence>", "<json-fence>", "<comment>", "<prose>"
ADDED = ("True", "False", "None", FENCE, JSON_FENCE, COMMENT, PROSE)
"""7 more: Python's constants, Markdown fences, comments, and words that are no JSON."""
VOCABULARY = (*BASE, *ADDED)
ID_OF = {token: number for number, token in enumerate(VOCABULARY)}

_UNKNOWN = ID_OF["?"]
_FIRST_CHARACTER, _LAST_CHARACTER = ID_OF[CHARACTERS[0]], ID_OF[CHARACTERS[-1]]
_WHOLE = {**{kind: ID_OF[text] for kind, text in enumerate(PUNCTUATION)}, lexer.MASK: ID_OF[MASK]}
_WHOLE |= {lexer.LINE_COMMENT: ID_OF[COMMENT], lexer.BLOCK_COMMENT: ID_OF[COMMENT], lexer.OTHER: ID_OF[PROSE]}


def encode(tokens: Sequence[Token]) -> list[int]:
    """Return the ids of a text's tokens, from BEGIN to END."""
    ids = [ID_OF[BEGIN]]
    for token in tokens:
        ids += _ids_of(token)
    return [*ids, ID_OF[END]]


def decode(ids: Sequence[int]) -> str:
    """Return the text that ids stand for, up to the first END; whatever they are, in whatever order."""
    parts: list[str] = []
    content: list[str] | None = None
    is_string = False
    for number in [*ids, ID_OF[END]]:
        if _FIRST_CHARACTER <= number <= _LAST_CHARACTER:
            content = [] if content is None else content
            content.append(VOCABULARY[number])
            continue
        if content is not None:
            parts.append(f'"{"".join(content)}"' if is_string else "".join(content))
        name = VOCABULARY[number]
        if name == END:
            break
        content = [] if name in (STRING, NUMBER) else None
        is_string = name == STRING
        if name == EMPTY_STRING:
            parts.append('""')
        elif len(name) == 1 or name in ("true", "false", "null"):
            parts.append(name)
    return "".join(parts)


def _ids_of(token: Token) -> list[int]:
    kind, text = token.kind, token.text
    if kind == lexer.END:
        return []
    if kind in _WHOLE:
        return [_WHOLE[kind]]
    if kind == lexer.FENCE:
        return [ID_OF[JSON_FENCE if "json" in text.lower() else FENCE]]
    if kind in (lexer.LITERAL, lexer.PYTHON_LITERAL) and text in ID_OF:
        return [ID_OF[text]]
    if kind in (lexer.NUMBER, lexer.ODD_NUMBER):
        return [ID_OF[NUMBER], *map(_character, text)]
    content = canonical(token, as_key=True)[1:-1]
    return [ID_OF[STRING], *map(_character, content)] if content else [ID_OF[EMPTY_STRING]]


def _character(character: str) -> int:
    number = ID_OF.get(character, _UNKNOWN)
    return number if _FIRST_CHARACTER <= number <= _LAST_CHARACTER else _UNKNOWN

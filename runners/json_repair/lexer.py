"""A lossless lenient lexer: any text becomes tokens, and the tokens with their white space are the text again.

It knows what people, programs and language models put where JSON should be: single and curly quotes, quotes inside
strings, strings that never end, bare words, comments, Markdown fences, prose. It never fails and reads no token twice.
"""

import re
from typing import NamedTuple

OPEN_BRACE, CLOSE_BRACE, OPEN_BRACKET, CLOSE_BRACKET, COLON, COMMA = range(6)
STRING, OTHER_STRING, CUT_STRING, NUMBER, ODD_NUMBER, LITERAL, PYTHON_LITERAL, WORD = range(6, 14)
FENCE, LINE_COMMENT, BLOCK_COMMENT, MASK, OTHER, END = range(14, 20)
N_KINDS = 20

PUNCTUATION = "{}[]:,"
"""The text of the kinds 0 to 5."""
QUOTES = "\"'\u201c\u2018\u201e\u00ab"
FIRST_SCALAR, LAST_SCALAR = STRING, WORD
MASK_TEXT = "<MASK>"


class Token(NamedTuple):
    """A piece of text: the white space before it, its kind, its own characters, and where these begin."""

    space: str
    kind: int
    text: str
    start: int


_TOKEN = re.compile(
    r"""(?P<space>[\s\ufeff]+)
      | (?P<punctuation>[{}\[\]:,])(?!MASK\])
      | (?P<quote>["'\u201c\u2018\u201e\u00ab])
      | (?P<fence>```[ \t]*[\w+-]*)
      | (?P<line>//[^\n]*|(?<![^\s,{}\[\]:])\#[^\n]*)
      | (?P<block>/\*.*?(?:\*/|\Z))
      | (?P<mask><mask>|\[mask\])
      | (?P<number>-?(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?(?![\w.+-]|['"](?=\s*[,:}\]])))
      | (?P<odd>[+-]?(?:0[xX][\da-fA-F_]+|[\d_]*\.?\d[\d_]*\.?(?:[eE][+-]?\d*)?|-)(?![\w.+-]))
      | (?P<half>[^\s{}\[\]:,"'`/\#<>()=;|]+"(?=\s*[,:}\]]|\s*\Z))
      | (?P<address>[a-z][a-z0-9+.]*://[^\s,"'{}\[\]]+)
      | (?P<word>(?:[^\W\d]|[$@])(?:[\w$@.\-+]|'(?:s|t|re|ve|ll|d|m)\b(?!'))*|\d[\w.\-+]*)
      | (?P<other>.)
    """,
    re.VERBOSE | re.DOTALL | re.IGNORECASE,
)
_CLOSING_QUOTE = {'"': '"', "'": "'", "\u201c": "\u201d\u201c", "\u2018": "\u2019\u2018", "\u201e": "\u201d\u201c"}
_CLOSING_QUOTE |= {"\u00ab": "\u00bb"}
_ENDS_HERE = re.compile(r"\s*(?:[,:\]}]|\Z)")
_MAY_END_HERE = re.compile(
    r"""\s*(?:[,:\]}\[{"'\u201c\u2018\u201e\u00ab]|\Z|//|/\*|\#|```|<mask>
          |(?:true|false|null|none|nan|undefined|[-+]?[\d.]+(?:e[+-]?\d+)?)\s*(?:[,:\]}\[{"']|\Z|//|/\*|\#)
          |[\w$][\w$.-]*\s*:)
      | \s*\n""",
    re.VERBOSE | re.IGNORECASE,
)
_NEXT_MEMBER = re.compile(r"""[,:{}\[\]]\s*["']|[,{]\s*[\w$-]+\s*:""")
_LOST_END = re.compile(r"""(\s*,\s*)\Z""")
_BEGINS_KEY = re.compile(r"""[\w$ .-]*["']\s*:""")
_LITERALS = frozenset({"true", "false", "null"})
_PYTHON_LITERALS = frozenset(
    {"True", "False", "None", "TRUE", "FALSE", "NULL", "Null", "NaN", "nan", "undefined", "Infinity", "-Infinity"}
)
_FIXED_KINDS = {
    "fence": FENCE,
    "line": LINE_COMMENT,
    "block": BLOCK_COMMENT,
    "mask": MASK,
    "number": NUMBER,
    "odd": ODD_NUMBER,
    "half": CUT_STRING,
    "address": WORD,
    "other": OTHER,
}


def lex(text: str) -> list[Token]:
    """Return the tokens of a text; the last one is always END, with the white space that the text ends with."""
    tokens: list[Token] = []
    space, position, match_at = "", 0, _TOKEN.match
    length = len(text)
    while position < length:
        match = match_at(text, position)
        group, end = match.lastgroup, match.end()
        if group == "space":
            space = text[position:end]
            position = end
            continue
        if group == "punctuation":
            kind = PUNCTUATION.index(text[position])
        elif group == "quote":
            kind, end = _read_string(text, position)
        elif group == "word":
            kind = _word_kind(match.group())
        else:
            kind = _FIXED_KINDS[group]
        tokens.append(Token(space, kind, text[position:end], position))
        space, position = "", end
    tokens.append(Token(space, END, "", length))
    return tokens


def join(tokens: list[Token]) -> str:
    """Return the text that the tokens were read from."""
    return "".join([part for token in tokens for part in (token.space, token.text)])


def is_scalar(kind: int) -> bool:
    """Return whether a token of this kind can stand for a string, a number or a literal."""
    return FIRST_SCALAR <= kind <= LAST_SCALAR


def closing_quotes(opening: str) -> str:
    """Return the characters that can end a string which begins with this quote."""
    return _CLOSING_QUOTE[opening]


def _word_kind(word: str) -> int:
    if word in _LITERALS:
        return LITERAL
    return PYTHON_LITERAL if word in _PYTHON_LITERALS else WORD


def _read_string(text: str, start: int) -> tuple[int, int]:
    """Return kind and end of the string whose quote is at `start`.

    The nearest quote ends it if what follows can follow a string. If not, a later quote may (quotes inside), on the
    same line first; a string without any such end stops where its line does, or before the comma of a lost quote.
    """
    quotes = closing_quotes(text[start])
    kind = STRING if text[start] == '"' else OTHER_STRING
    first = _next_quote(text, start + 1, quotes)
    line_end = text.find("\n", start)
    line_end = len(text) if line_end < 0 else line_end
    if first < 0:
        return CUT_STRING, _cut_at_line(text, start, line_end)
    if first < line_end:
        if _MAY_END_HERE.match(text, first + 1):
            return kind, first + 1
        lost = _LOST_END.search(text, start + 1, first)
        if lost and _BEGINS_KEY.match(text, first + 1):
            return CUT_STRING, lost.start()
        later = _later_end(text, first, quotes, line_end)
        return kind, (later if later >= 0 else first) + 1
    if _ENDS_HERE.match(text, first + 1) and not _NEXT_MEMBER.search(text, start + 1, first + 1):
        return kind, first + 1
    return CUT_STRING, _cut_at_line(text, start, line_end)


def _next_quote(text: str, position: int, quotes: str) -> int:
    """Return where the next quote that no backslash escapes is, -1 without one."""
    pattern = _UNESCAPED[quotes]
    match = pattern.match(text, position)
    return match.end() - 1 if match else -1


_UNESCAPED = {quotes: re.compile(rf"(?:[^{quotes}\\]|\\.)*[{quotes}]", re.DOTALL) for quotes in _CLOSING_QUOTE.values()}


def _later_end(text: str, first: int, quotes: str, line_end: int) -> int:
    """Return the quote on this line that ends a string with quotes inside, -1 without one."""
    position = first
    while True:
        before, position = position, _next_quote(text, position + 1, quotes)
        if not 0 <= position < line_end or _NEXT_MEMBER.search(text, before + 1, position + 1):
            return -1
        if _ENDS_HERE.match(text, position + 1):
            return position


def _cut_at_line(text: str, start: int, line_end: int) -> int:
    """Return where a string without an end stops: at the end of its line, without the comma that closes the line."""
    if line_end == len(text):
        return line_end
    end = len(text[start:line_end].rstrip()) + start
    return end - 1 if end > start + 1 and text[end - 1] == "," else end

"""Which tags lead from a broken text back to its document: keep or delete each token, and what to put before it.

Of all shortest ways the one that keeps tokens as early as it can is taken, so that the same text and document always
have the same tags; content is never invented, so a way that would need to has no tags.
"""

from dataclasses import dataclass

from runners.json_repair.grammar import SCALAR, START, canonical, completion, symbol_of, walk, wants_key
from runners.json_repair.lexer import Token

KEEP, DELETE = 0, 1
BAND = 24
"""How far the two sequences may be out of step inside the part in which they differ."""
MAX_CLOSERS = 4

INSERTIONS = (
    "", "n", ",", ":", "{", "}", "[", "]", "}}", "]}", "}]", "]]", "},", "],", "}},", "}],", "]},", "]],", ",{", ",[",
    ":{", ":[", "{[", "[{", "[[", "},{", "],[", "}}}", "]}}", "}]}", "]]}", "}}]", "]}]", "},[", ":n", ":n,", "n,",
    "$1", "$2", "$3", "$4",
)  # fmt: skip
"""What may be missing before a token; `$k` stands at the end alone: k brackets (4: or more) are still open."""
INSERTION_OF = {symbols: number for number, symbols in enumerate(INSERTIONS)}
FIRST_CLOSER = INSERTION_OF["$1"]


@dataclass(frozen=True)
class Document:
    """The tokens of a clean document as symbols, with the JSON text of each scalar and whether it is a key."""

    symbols: str
    texts: tuple[str, ...]
    is_key: tuple[bool, ...]


def read_document(tokens: list[Token]) -> Document:
    """Return a clean document's tokens. Raises ValueError when they are not one document."""
    state, symbols, texts, keys = START, [], [], []
    for token in tokens[:-1]:
        symbol = symbol_of(token.kind)
        as_key = wants_key(state)
        following = walk(state, symbol) if symbol else None
        if following is None:
            raise ValueError(f"not a document: {token.text!r} at {token.start}")
        symbols.append(symbol)
        texts.append(canonical(token, as_key=as_key) if symbol == SCALAR else "")
        keys.append(as_key)
        state = following
    if completion(state):
        raise ValueError("not a whole document")
    return Document("".join(symbols), tuple(texts), tuple(keys))


def closer_class(state: str) -> int:
    """Return the insertion at the end of a text that leaves the automaton in this state: how much is still open."""
    n_open = min(len(state) - 1, MAX_CLOSERS)
    return FIRST_CLOSER + n_open - 1 if n_open else 0


def gold_tags(tokens: list[Token], document: Document, *, cut: bool) -> tuple[list[int], list[int]] | None:
    """Return an edit and an insertion for each token, or None when no tags lead back to the document.

    `cut`: the text ends before the document does; what is then missing at the end is no content to bring back.
    """
    n, m = len(tokens) - 1, len(document.symbols)
    same = _Sameness(tokens, document, cut)
    start = 0
    while start < min(n, m) and same(start, start):
        start += 1
    tail = 0
    while not cut and tail < min(n, m) - start and same(n - 1 - tail, m - 1 - tail):
        tail += 1
    moves = _shortest(same, start, n - tail, m - tail, document.symbols, cut)
    if moves is None:
        return None
    return _as_tags("k" * start + moves + "k" * tail, n, document.symbols)


class _Sameness:
    """Asks whether a token stands for a document's token."""

    def __init__(self, tokens: list[Token], document: Document, cut: bool) -> None:
        self._tokens, self._document = tokens, document
        self._symbols = [symbol_of(token.kind) for token in tokens]
        self._cut_place = len(tokens) - 2 if cut else -1

    def __call__(self, place: int, target: int) -> bool:
        if self._symbols[place] != self._document.symbols[target]:
            return False
        if self._symbols[place] != SCALAR:
            return True
        as_key = self._document.is_key[target]
        is_cut = place == self._cut_place
        found, wanted = canonical(self._tokens[place], as_key=as_key, is_last=is_cut), self._document.texts[target]
        return found == wanted or (is_cut and wanted.startswith(found.rstrip('"')))


def _shortest(same: _Sameness, start: int, n: int, m: int, symbols: str, cut: bool) -> str | None:
    """Return moves (k keep, d delete, i insert) between place `start` of both and (n, m), None if there are none."""
    infinite = 1 << 30
    drift = abs(m - n) if not cut else 0
    low, width = -BAND - (drift if m < n else 0), 2 * BAND + drift + 1
    costs: dict[tuple[int, int], int] = {}
    for i in range(n, start - 1, -1):
        for j in range(min(m, i + low + width), max(start, i + low) - 1, -1):
            if i == n and (j == m or cut):
                costs[i, j] = 0
                continue
            best = infinite
            if i < n and j < m and same(i, j):
                best = costs.get((i + 1, j + 1), infinite)
            if i < n:
                best = min(best, costs.get((i + 1, j), infinite) + 1)
            if j < m and symbols[j] != SCALAR:
                best = min(best, costs.get((i, j + 1), infinite) + 1)
            costs[i, j] = best
    return _walk_moves(same, costs, start, n, m, infinite, symbols)


def _walk_moves(
    same: _Sameness, costs: dict[tuple[int, int], int], start: int, n: int, m: int, infinite: int, symbols: str
) -> str | None:
    i = j = start
    moves = []
    while True:
        left = costs.get((i, j), infinite)
        if left >= infinite:
            return None
        if left == 0 and i == n:
            return "".join(moves)
        if i < n and j < m and same(i, j) and costs.get((i + 1, j + 1)) == left:
            moves.append("k")
            i, j = i + 1, j + 1
        elif i < n and costs.get((i + 1, j)) == left - 1:
            moves.append("d")
            i += 1
        else:
            moves.append("i")
            j += 1


def _as_tags(moves: str, n: int, symbols: str) -> tuple[list[int], list[int]] | None:
    """Return the tags that the moves are; None when an insertion is not among those that have a name."""
    edits, insertions, missing, state, j = [], [], "", START, 0
    for move in moves:
        if move == "i":
            missing += symbols[j]
            j += 1
            continue
        if missing not in INSERTION_OF:
            return None
        insertions.append(INSERTION_OF[missing])
        edits.append(KEEP if move == "k" else DELETE)
        state = walk(state, missing + (symbols[j] if move == "k" else "")) or ""
        if not state:
            return None
        j += move == "k"
        missing = ""
    return [*edits, KEEP], [*insertions, closer_class(state)]

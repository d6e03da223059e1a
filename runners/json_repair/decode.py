"""From tag probabilities to JSON: the likeliest tags where they parse, else the likeliest path the grammar allows.

Whatever the probabilities are, a strict parser reads what comes out: every path ends in a whole document, and every
scalar on it is written as JSON.
"""

import heapq
from dataclasses import dataclass

import numpy as np

from runners.json_repair import lexer
from runners.json_repair.align import DELETE, FIRST_CLOSER, INSERTION_OF, INSERTIONS, KEEP, closer_class
from runners.json_repair.grammar import (
    NULL,
    START,
    canonical,
    completion,
    ends_with_comma,
    symbol_of,
    walk,
    wants_key,
)
from runners.json_repair.lexer import Token

BEAM_WIDTH = 12
N_INSERTIONS = 8
"""The likeliest insertions that the search tries before each token, beside none."""
MIN_LOG_PROBABILITY = -14.0
CERTAIN = float(np.log(0.9))
"""Likeliest tags are taken without a search when each of them has at least this log probability."""


Beam = dict[str, tuple[float, tuple]]
"""States of the automaton, each with the log probability of the best way there and that way, newest step first."""


@dataclass(frozen=True)
class Path:
    """A way through a text: an edit and the symbols put before each token, and how sure the model is of it.

    `confidence` is the probability of the least sure of its tags: a product over all of them would fall with length.
    """

    edits: tuple[int, ...]
    insertions: tuple[str, ...]
    confidence: float
    searched: bool


def decode(tokens: list[Token], edits: np.ndarray, insertions: np.ndarray, width: int = BEAM_WIDTH) -> Path:
    """Return the path of a text. `edits` (n, 2) and `insertions` (n, len(INSERTIONS)) are log probabilities."""
    greedy = _greedy(tokens, edits, insertions)
    if greedy is not None and _is_certain(edits, insertions):
        return greedy
    return _search(tokens, edits, insertions, width)


def _is_certain(edits: np.ndarray, insertions: np.ndarray) -> bool:
    return bool(edits.max(1).min() >= CERTAIN and insertions.max(1).min() >= CERTAIN)


def _greedy(tokens: list[Token], edits: np.ndarray, insertions: np.ndarray) -> Path | None:
    """Return the path of the likeliest tags, None where the grammar forbids it."""
    kept, inserted = edits.argmax(1).tolist(), insertions.argmax(1).tolist()
    state, chosen = START, []
    for token, edit, insertion in zip(tokens[:-1], kept, inserted, strict=False):
        symbols, symbol = INSERTIONS[insertion], symbol_of(token.kind)
        if insertion >= FIRST_CLOSER or (edit == KEEP and not symbol):
            return None
        following = walk(state, symbols + (symbol if edit == KEEP else ""))
        if following is None:
            return None
        state = following
        chosen.append(symbols)
    if inserted[-1] != closer_class(state):
        return None
    least = min(float(insertions.max(1).min()), float(edits[:-1].max(1).min(initial=0.0)))
    return Path((*kept[:-1], KEEP), (*chosen, completion(state)), _probability(least), searched=False)


def _search(tokens: list[Token], edits: np.ndarray, insertions: np.ndarray, width: int) -> Path:
    """Return the likeliest path of a beam search over states of the automaton."""
    beam: Beam = {START: (0.0, ())}
    edit_rows, none_costs = edits.tolist(), insertions[:, 0].tolist()
    usable = insertions[:, :FIRST_CLOSER]
    likely = np.argsort(-usable[:, 1:], axis=1)[:, :N_INSERTIONS] + 1
    for place, token in enumerate(tokens[:-1]):
        options = [("", none_costs[place])]
        row = usable[place]
        options += [(INSERTIONS[i], float(row[i])) for i in likely[place].tolist() if row[i] > MIN_LOG_PROBABILITY]
        beam = _advance(beam, symbol_of(token.kind), edit_rows[place], options, width)
    ends = insertions[-1].tolist()
    state, (_, trail) = max(beam.items(), key=lambda item: item[1][0] + ends[closer_class(item[0])])
    kept, inserted, least = [KEEP], [completion(state)], ends[closer_class(state)]
    for place in range(len(tokens) - 2, -1, -1):
        trail, edit, symbols = trail
        kept.append(edit)
        inserted.append(symbols)
        least = min(least, edit_rows[place][edit], float(insertions[place, INSERTION_OF[symbols]]))
    return Path(tuple(kept[::-1]), tuple(inserted[::-1]), _probability(least), searched=True)


def _probability(log_probability: float) -> float:
    return min(1.0, float(np.exp(log_probability)))


def _advance(beam: Beam, symbol: str, edit_costs: list[float], options: list[tuple[str, float]], width: int) -> Beam:
    """Return the states after one token, the best `width` of them, each with its best way there."""
    reached: Beam = {}
    for state, (score, trail) in beam.items():
        for symbols, cost in options:
            inside = walk(state, symbols) if symbols else state
            if inside is None:
                continue
            for edit in (KEEP, DELETE):
                following = inside if edit == DELETE else walk(inside, symbol) if symbol else None
                if following is None:
                    continue
                total = score + cost + edit_costs[edit]
                if following not in reached or total > reached[following][0]:
                    reached[following] = (total, (trail, edit, symbols))
    if len(reached) <= width:
        return reached
    return dict(heapq.nlargest(width, reached.items(), key=lambda item: item[1][0]))


def render(tokens: list[Token], path: Path) -> str:
    """Return the JSON text of a path, with the white space of the tokens that it keeps."""
    parts: list[str] = []
    state, before_scalar, scalar_at, space = START, START, 0, ""
    for place, (token, edit, inserted) in enumerate(zip(tokens[:-1], path.edits, path.insertions, strict=False)):
        space = token.space if "\n" in token.space or not space else space
        before, after = _placed(inserted, everything_before=edit == DELETE)
        parts += map(_text_of, before)
        state = walk(state, inserted)
        if edit == DELETE:
            continue
        parts += [space if parts else "", *map(_text_of, after)]
        space = ""
        if lexer.is_scalar(token.kind):
            before_scalar, scalar_at = state, len(parts)
            is_last = place == len(tokens) - 2
            parts.append(canonical(token, as_key=wants_key(state), is_last=is_last))
        else:
            parts.append(token.text)
        state = walk(state, symbol_of(token.kind))
    if _ends_in_half_a_key(state, tokens):
        del parts[scalar_at:]
        state = before_scalar
    if ends_with_comma(state):
        del parts[len(parts) - 1 - parts[::-1].index(",") :]
    return "".join([*parts, *map(_text_of, completion(state))])


def _ends_in_half_a_key(state: str, tokens: list[Token]) -> bool:
    """Return whether a text was cut inside a key, which then says nothing."""
    return state[-1] == "c" and len(tokens) > 1 and tokens[-2].kind == lexer.CUT_STRING


def _placed(symbols: str, *, everything_before: bool) -> tuple[str, str]:
    """Return the symbols that stand directly after what came before, and those directly before the token.

    Closing brackets, commas and colons belong to what came before, opening ones to what follows.
    """
    if everything_before:
        return symbols, ""
    n = len(symbols.rstrip("{[" + NULL))
    return symbols[:n], symbols[n:]


def _text_of(symbol: str) -> str:
    return "null" if symbol == NULL else symbol

"""One way to repair: a text that parses is given back as it is; anything else goes to a model that says how sure it is.

A repairer that knows no probabilities says None; one whose answer does not parse says 0.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np

from runners.json_repair import lexer
from runners.json_repair.align import FIRST_CLOSER, INSERTIONS
from runners.json_repair.decode import BEAM_WIDTH, decode, render
from runners.json_repair.grammar import parses
from runners.json_repair.lexer import Token, lex

UNCHANGED, MODEL, FALLBACK = "unchanged", "model", "fallback"
UNSURE_BELOW = 0.5


@dataclass(frozen=True)
class Repair:
    """A repaired text, how sure the model is of its least sure decision (0 to 1), and where it comes from."""

    text: str
    confidence: float | None
    source: str = MODEL


class Repairer(Protocol):
    """What repairs texts that do not parse."""

    name: str

    def repair(self, texts: Sequence[str]) -> list[Repair]:
        """Return one repair for each text, in their order."""
        ...


def repair_all(repairer: Repairer, texts: Sequence[str]) -> list[Repair]:
    """Return a repair of every text; those that parse already stay as they are, whatever the repairer."""
    broken = [place for place, text in enumerate(texts) if not parses(text)]
    answers = dict(zip(broken, repairer.repair([texts[place] for place in broken]), strict=True)) if broken else {}
    return [answers.get(place) or Repair(text, 1.0, UNCHANGED) for place, text in enumerate(texts)]


@dataclass(frozen=True)
class WithFallback:
    """A repairer that asks another one wherever the first is less sure than `below`."""

    first: Repairer
    second: Repairer
    below: float = UNSURE_BELOW

    @property
    def name(self) -> str:
        """The names of both."""
        return f"{self.first.name}, else {self.second.name}"

    def repair(self, texts: Sequence[str]) -> list[Repair]:
        """Return the first one's repair where it is sure enough, else the second's if that parses."""
        repairs = self.first.repair(texts)
        unsure = [place for place, repair in enumerate(repairs) if (repair.confidence or 0.0) < self.below]
        for place, other in zip(unsure, self.second.repair([texts[place] for place in unsure]), strict=True):
            if parses(other.text):
                repairs[place] = replace(other, source=FALLBACK, confidence=repairs[place].confidence)
        return repairs


Tags = tuple[np.ndarray, np.ndarray]


@dataclass(frozen=True)
class TagRepairer:
    """Repairs by tags: `tag` gives the log probabilities of each text's edits and insertions."""

    name: str
    tag: Callable[[Sequence[list[Token]]], list[Tags]]
    are_probabilities: bool = True
    width: int = BEAM_WIDTH

    def repair(self, texts: Sequence[str]) -> list[Repair]:
        """Return one repair for each text; every one of them parses."""
        tokens = [lex(text) for text in texts]
        paths = [decode(one, *tags, width=self.width) for one, tags in zip(tokens, self.tag(tokens), strict=True)]
        return [
            Repair(render(one, path), path.confidence if self.are_probabilities else None)
            for one, path in zip(tokens, paths, strict=True)
        ]


# --- the same search without a network

_DELETION_COSTS = {
    **dict.fromkeys(range(lexer.N_KINDS), 1.5),
    **dict.fromkeys((lexer.STRING, lexer.OTHER_STRING, lexer.CUT_STRING, lexer.NUMBER, lexer.LITERAL), 4.0),
    **dict.fromkeys((lexer.FENCE, lexer.LINE_COMMENT, lexer.BLOCK_COMMENT, lexer.MASK, lexer.OTHER), 0.0),
    lexer.COMMA: 1.0,
    lexer.WORD: 0.25,
}
"""What leaving out a token costs, by its kind: content most, prose little, what JSON has no place for nothing."""
_SYMBOL_COSTS = {"{": 2.0, "[": 2.0, "n": 4.0}
_INSERTION_COSTS = [sum(_SYMBOL_COSTS.get(symbol, 1.0) for symbol in one) for one in INSERTIONS[:FIRST_CLOSER]]
_CLOSER_COSTS = [0.0] * (len(INSERTIONS) - FIRST_CLOSER)


def grammar_repairer() -> TagRepairer:
    """Return the control of every learned tagger: its lexer and its search, with fixed costs by kind of token alone.

    The costs were tried out on a few hundred cases; what they cannot see is where a token stands.
    """
    return TagRepairer("grammar", lambda texts: [_uniform_tags(tokens) for tokens in texts], False)


def _uniform_tags(tokens: list[Token]) -> Tags:
    edits = np.array([[0.0, -_DELETION_COSTS[token.kind]] for token in tokens])
    insertions = np.tile(-np.array(_INSERTION_COSTS + _CLOSER_COSTS), (len(tokens), 1))
    return edits, insertions

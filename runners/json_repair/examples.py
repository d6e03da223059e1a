"""Broken documents with their tags, made on the fly: example k of step s depends on the seed, s and k alone."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from runners.json_repair.align import gold_tags, read_document
from runners.json_repair.corrupt import TRUNCATE, TYPES, corrupt, corrupt_stacked
from runners.json_repair.documents import MAX_CHARACTERS, MIN_CHARACTERS, reformat
from runners.json_repair.features import features_of
from runners.json_repair.grammar import strict_loads
from runners.json_repair.lexer import lex
from runners.json_repair.settings import Settings
from runners.json_repair.synthetic import make_value

CLEAN_SHARE = 0.04
STACKED_SHARE = 0.25
OWN_FORMAT_SHARE = 0.4
_EMPHASIS = {
    "delete_brace": 4.0,
    "delete_bracket": 4.0,
    "swap_adjacent": 5.0,
    "delete_comma": 1.5,
    "mask_token": 2.0,
    "truncate": 1.0,
}
"""How often a type is drawn, beside those drawn with weight 0.6: what is hard to undo is shown more often."""
_WEIGHTS = np.array([_EMPHASIS.get(name, 0.6) for name in TYPES])
_SHARES = _WEIGHTS / _WEIGHTS.sum()


@dataclass(frozen=True)
class Example:
    """A broken text as the tagger sees it, and the tags that repair it."""

    features: np.ndarray
    edits: list[int]
    insertions: list[int]


def draw_example(texts: Sequence[str], settings: Settings, rng: np.random.Generator) -> Example:
    """Return an example made from a real text (or a made-up one) of at most `settings.max_tokens` tokens."""
    while True:
        text = draw_text(texts, settings.real_share, rng)
        broken, is_cut = break_text(text, settings.max_stacked, rng)
        tokens = lex(broken)
        if len(tokens) > settings.max_tokens:
            continue
        tags = gold_tags(tokens, read_document(lex(text)), cut=is_cut)
        if tags is not None:
            return Example(features_of(tokens), *tags)


def draw_text(texts: Sequence[str], real_share: float, rng: np.random.Generator) -> str:
    """Return a document: a real one as it is or formatted anew, or a made-up one."""
    if rng.random() < real_share:
        text = texts[int(rng.integers(len(texts)))]
        return text if rng.random() < OWN_FORMAT_SHARE else reformat(strict_loads(text), rng)
    while True:
        text = reformat(make_value(rng), rng)
        if MIN_CHARACTERS <= len(text) <= MAX_CHARACTERS:
            return text


def break_text(text: str, max_stacked: int, rng: np.random.Generator) -> tuple[str, bool]:
    """Return a text broken once, several times or not at all, and whether its end was cut off."""
    draw = rng.random()
    if draw < CLEAN_SHARE:
        return text, False
    if draw < CLEAN_SHARE + STACKED_SHARE and max_stacked > 1:
        stacked = corrupt_stacked(text, int(rng.integers(2, max_stacked + 1)), rng)
        return (stacked[0], TRUNCATE in stacked[1]) if stacked else (text, False)
    name = str(rng.choice(TYPES, p=_SHARES))
    broken = corrupt(text, name, rng)
    return (text, False) if broken is None else (broken, name == TRUNCATE)

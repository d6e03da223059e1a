"""Made-up documents: the shapes people write (records, settings, listings, nested groups), from a seed alone."""

from collections.abc import Callable
from typing import Any

import numpy as np

_NOUN_TEXT = (
    "account action address agent amount area author batch block body branch bucket build cache category channel chart "
    "city client code color column comment config content count country currency customer data date default depth "
    "description device domain duration email endpoint entry error event field file filter flag folder format frame "
    "group handler hash header height history host icon image index input interval invoice item job key kind label "
    "language layer level limit line link list location log map margin member message method metric mode model module "
    "name node note number object offset option order origin output owner package page parent part password path "
    "pattern payment phone plan point policy port position price priority product profile project property provider "
    "query queue range rate reason record region release report request resource response result role route row rule "
    "sample scale schema scope score script section sensor series server service session setting shape size slot "
    "source stage start state status step storage store street style subject summary symbol table tag target task team "
    "template term text theme threshold time title token topic total track type unit update url user value variant "
    "vendor version view volume weight width window worker zone"
)
_ADJECTIVE_TEXT = (
    "active allowed base current default enabled extra first hidden last local main max min new next old open "
    "primary public raw remote required shared total valid visible"
)
_WORD_TEXT = (
    "a the and of for in on with is not or to from as by at be new this that all one two it are has first when where "
    "system please check the value before use see also error while reading file, which was: (empty) [old] {x} don't "
    "über naïve 東京 it's “quoted” 50% a/b #1 e.g. https://example.org/a?b=1&c=2 path/to/file.txt"
)
_NOUNS, _ADJECTIVES, _WORDS = (text.split() for text in (_NOUN_TEXT, _ADJECTIVE_TEXT, _WORD_TEXT))


def make_value(rng: np.random.Generator) -> Any:
    """Return the value of one document: an object four times of five, else an array."""
    size = int(rng.integers(2, 60))
    return _object(rng, size) if rng.random() < 0.8 else _array(rng, size)


def _key(rng: np.random.Generator) -> str:
    words = [_pick(rng, _NOUNS)]
    if rng.random() < 0.5:
        words.insert(0, _pick(rng, _ADJECTIVES if rng.random() < 0.4 else _NOUNS))
    style = rng.random()
    if style < 0.4:
        return "_".join(words)
    if style < 0.7:
        return words[0] + "".join(word.title() for word in words[1:])
    if style < 0.85:
        return "".join(word.title() for word in words)
    return ("-" if style < 0.95 else ".").join(words) if style < 0.98 else f"{words[0]} {rng.integers(100)}"


def _scalar(rng: np.random.Generator) -> Any:
    draw = rng.random()
    if draw < 0.45:
        return _string(rng)
    if draw < 0.65:
        return int(rng.integers(0, 10 ** int(rng.integers(1, 7)))) - (5 if rng.random() < 0.1 else 0)
    if draw < 0.75:
        return round(float(rng.normal(0, 10 ** int(rng.integers(0, 4)))), int(rng.integers(1, 5)))
    return (True, False, None)[int(rng.integers(3))]


def _string(rng: np.random.Generator) -> str:
    draw = rng.random()
    if draw < 0.35:
        return _pick(rng, _NOUNS)
    if draw < 0.75:
        return " ".join(_pick(rng, _WORDS) for _ in range(int(rng.integers(1, 9))))
    if draw < 0.8:
        return f"20{rng.integers(10, 40)}-{rng.integers(1, 13):02}-{rng.integers(1, 29):02}"
    if draw < 0.9:
        return rng.bytes(int(rng.integers(2, 17))).hex()
    return str(rng.integers(10**6)) if draw < 0.95 else ""


def _member(rng: np.random.Generator, size: int) -> Any:
    if size < 2 or rng.random() < 0.55:
        return _scalar(rng)
    make: Callable[..., Any] = _object if rng.random() < 0.55 else _array
    return make(rng, size)


def _object(rng: np.random.Generator, size: int) -> dict[str, Any]:
    n = _n_members(rng, size)
    return {_key(rng): _member(rng, size // max(1, n)) for _ in range(n)}


def _array(rng: np.random.Generator, size: int) -> list[Any]:
    n = _n_members(rng, size)
    kind = rng.random()
    if kind < 0.35:
        return _records(rng, n, size)
    if kind < 0.8 or size < 4:
        make = (_string, _scalar, lambda rng: int(rng.integers(1000)))[int(rng.integers(3))]
        return [make(rng) for _ in range(n)]
    return [_member(rng, size // max(1, n)) for _ in range(n)]


def _records(rng: np.random.Generator, n: int, size: int) -> list[dict[str, Any]]:
    """Return objects that share their keys."""
    keys = [_key(rng) for _ in range(int(rng.integers(1, 5)))]
    return [{key: _member(rng, size // max(1, n * len(keys))) for key in keys if rng.random() < 0.95} for _ in range(n)]


def _n_members(rng: np.random.Generator, size: int) -> int:
    if rng.random() < 0.05:
        return 0
    return 1 + int(rng.integers(min(8, size)))


def _pick(rng: np.random.Generator, words: Any) -> str:
    return words[int(rng.integers(len(words)))]

"""Numbers and `name: value` lists as logs print them. Every expression here runs in linear time.

A number counts only as a whole token: not the `1` of `1:23:45`, of `1.2.3`, of `2024-01-01`, of `50/100` or of `5x5`.
"""

import math
import re
from typing import NamedTuple

_DIGITS = r"(?:\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)?|\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?"
_WORDS = r"(?:nan|inf(?:inity)?)(?![A-Za-z])"
NUMBER = rf"[-+]?(?:{_DIGITS}|{_WORDS})"
_UNITS = (
    r"%|ms|us|µs|ns|s|sec|secs|seconds|min|mins|h|hrs?|[kKMGT]i?[bB]?|[kMG]?FLOPS?|x|it/s|s/it|[a-z]+/s(?:ec)?|"
    r"(?:samples?|images?|imgs?|tokens?|tok|seqs?|steps?|frames?|fps|batch(?:es)?|examples?)(?:/\w+)*"
)
UNIT = rf"(?:\s?(?:{_UNITS})(?![\w/]))?"
_END = r"(?=[\s,;|)\]}\"'(*<]|[.:](?:\s|$)|-(?:\s|$)|$)"
MAX_NAME_LENGTH = 80
MAX_NAME_SPACES = 5
_FULL = re.compile(rf"\s*({NUMBER})\s*", re.IGNORECASE)
PAIR = re.compile(
    rf"\s{{0,40}}(?:[:=]|\sis\s)\s{{0,12}}(?:\[(?=[^\],\s]{{1,40}}\]))?({NUMBER}){UNIT}{_END}", re.IGNORECASE
)
_PLAIN = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_CUT = re.compile(r"[,;|\t\[\]}>\"#*]|\s\s|\s-\s|[:=](?:\s|$)")
_PAREN_NUMBER = re.compile(r"\([-+\d.,eE% ]{1,40}\)")
_NAME = re.compile(r"[A-Za-z_%][\w ./@%+\-()&^']*")
_DIVIDERS = re.compile(r"[,;|\t]|\s-\s|:\s(?=[A-Za-z])|\s[/>~]{1,3}\s")
_GAPS = re.compile(r"\s\s+|\s-\s")
_TILE = re.compile(
    rf"(?<![\w.])([A-Za-z_][\w./@%+\-()^]{{0,60}}(?:\s[A-Za-z_(][\w./@%+\-()^]{{0,60}}){{0,{MAX_NAME_SPACES}}}):?\s{{1,16}}({NUMBER}){UNIT}"
    r"(?=[\s)\]}]|$)",
    re.IGNORECASE,
)
_THOUSANDS = {"k": 1e3, "K": 1e3, "M": 1e6, "G": 1e9, "B": 1e9}
_COUNTED = re.compile(r"tok|sample|word|image|img|seq|frame|step|param|per_s|/s|throughput|batch.size", re.IGNORECASE)
_NUMBERS = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_LIST = re.compile(
    r"(?<![\w.])([A-Za-z_][\w./-]{0,40}(?:\s[A-Za-z_][\w./-]{0,40}){0,3})\s{0,3}[:=]?\s{0,3}"
    r"\[\s{0,3}((?:[-+\d.eE]{1,24}(?:,\s{0,3}|\s{1,3})){1,15}[-+\d.eE]{1,24})\s{0,3}\]"
)
_IN_TIME = re.compile(r"(?<![\w.-])\d[\d:]*$")
_EDGES = " :-*>[](){}=#\t"
MAX_SPACED_CHARS = 4096
MAX_PAIRS = 500


def to_number(text: str) -> float | None:
    """Return the number that the whole of `text` is, or None: `1,087`, `-1.5e-3`, `nan`, `+inf`; `1,2` is none."""
    if _PLAIN.fullmatch(text):
        return float(text)
    found = _FULL.fullmatch(text)
    if not found:
        return None
    return float(found[1].replace(",", ""))


def as_metric(value: object) -> float | None:
    """Return a decoded value as a number: numbers and strings that are one whole, but neither booleans nor lists."""
    if type(value) is float:
        return value
    if type(value) is int:
        return float(value) if abs(value) < 1e300 else math.inf
    if type(value) is str and 0 < len(value) <= 32:
        return to_number(value)
    return None


class Field(NamedTuple):
    """A named number of a line: where its name begins, and where its digits begin and end."""

    name: str
    value: float
    start: int
    number: tuple[int, int]


def signed_fields(text: str, start: int = 0) -> list[Field]:
    """Return the `name: value` and `name=value` pairs of a line from `start` on, in their order.

    A unit after the number is dropped, never applied. Names may hold spaces (`Train Acc (8-bit) = 0.9995`).
    """
    found: list[Field] = []
    end = start
    for match in PAIR.finditer(text, start):
        if match[0][0] == ":" and _IN_TIME.search(text, max(end, match.start() - 12), match.start()):
            continue
        begin = max(end, match.start() - 2 * MAX_NAME_LENGTH)
        words = text[begin : match.start()]
        name = pair_name(words)
        end = match.end()
        if name and not (name[-1].isdigit() and name.rsplit(" ", 1)[-1].isdigit() and match[0][1].isdigit()):
            at = begin + max(0, words.rfind(name))
            found.append(_scaled(name, match, at))
            if len(found) >= MAX_PAIRS:
                break
    return found


def _scaled(name: str, match: re.Match[str], start: int) -> Field:
    """Return a field; `123k` tokens a second are 123,000, where the name speaks of a rate or a count."""
    value = float(match[1].replace(",", ""))
    suffix = match.string[match.end(1) : match.end()]
    if suffix in _THOUSANDS and _COUNTED.search(name):
        return Field(name, value * _THOUSANDS[suffix], start, match.span())
    return Field(name, value, start, match.span(1))


def list_fields(text: str) -> list[Field]:
    """Return the fields of a list with a name: `Pseudo dice [0.1, 0.2]` is `Pseudo dice/0` and `Pseudo dice/1`."""
    found: list[Field] = []
    for match in _LIST.finditer(text):
        name = match[1].strip()
        for place, number in enumerate(_NUMBERS.finditer(text, *match.span(2))):
            span = number.span()
            found.append(Field(f"{name}/{place}", float(number[0]), match.start(1) if place == 0 else span[0], span))
    return found


def pairs(text: str, start: int = 0) -> dict[str, float]:
    """Return `signed_fields` by name; of two with one name the last counts."""
    return {field.name: field.value for field in signed_fields(text, start)}


def pair_name(words: str) -> str:
    """Return the name at the end of what stands before a value, empty when there is none."""
    words = _PAREN_NUMBER.sub(";", words)
    cut = max((found.end() for found in _CUT.finditer(words)), default=0)
    closing = words.rfind(")", cut)
    if closing >= 0 and "(" not in words[cut:closing]:
        cut = closing + 1
    found = _NAME.search(words, cut)
    name = found[0].rstrip(" -./'") if found else ""
    if len(name) > MAX_NAME_LENGTH or name.count(" ") > MAX_NAME_SPACES:
        name = name.rsplit(" ", 1)[-1]
    return name


def spaced_fields(text: str, start: int = 0) -> list[Field]:
    """Return the pairs of a line such as `val_loss 0.2843, coverage A 97.19%` or `loss 0.5 acc 0.9 lr 1e-3`.

    Between two dividers there must be nothing but names and their numbers.
    """
    text = _PAREN_NUMBER.sub(lambda number: " " * len(number[0]), text[: start + MAX_SPACED_CHARS])
    found: list[Field] = []
    position = start
    for divider in _DIVIDERS.finditer(text + ";", start):
        found += _tiled(text, position, divider.start())
        position = divider.end()
        if len(found) >= MAX_PAIRS:
            break
    return found


def _tiled(text: str, start: int, end: int) -> list[Field]:
    """Return the fields that a part of a line is made of; where it is not, those between its wide gaps."""
    whole = _tiles(text, start, end)
    if whole is not None:
        return whole
    found: list[Field] = []
    position = start
    for gap in [*_GAPS.finditer(text, start, end), None]:
        stop = gap.start() if gap else end
        found += _tiles(text, position, stop) or []
        position = gap.end() if gap else end
    return found


def _tiles(text: str, start: int, end: int) -> list[Field] | None:
    found: list[Field] = []
    position = start
    for match in _TILE.finditer(text, start, end):
        if text[position : match.start()].strip(_EDGES):
            return None
        name = " ".join(match[1].rstrip(" -./':").split())
        found.append(Field(name, float(match[2].replace(",", "")), match.start(1), match.span(2)))
        position = match.end()
    return None if text[position:end].strip(_EDGES) and text[position:end].lstrip()[:1] not in "[(" else found


def spaced_pairs(text: str, start: int = 0) -> dict[str, float]:
    """Return `spaced_fields` by name; of two with one name the last counts."""
    return {field.name: field.value for field in spaced_fields(text, start)}

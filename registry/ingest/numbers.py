"""Numbers and `name: value` lists as logs print them. Every expression here runs in linear time.

A number counts only as a whole token: not the `1` of `1:23:45`, of `1.2.3`, of `2024-01-01`, of `50/100` or of `5x5`.
"""

import math
import re

_DIGITS = r"(?:\d{1,3}(?:,\d{3})+(?!\d)(?:\.\d+)?|\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?"
_WORDS = r"(?:nan|inf(?:inity)?)(?![A-Za-z])"
NUMBER = rf"[-+]?(?:{_DIGITS}|{_WORDS})"
_UNITS = (
    r"%|ms|us|µs|ns|s|sec|secs|seconds|min|mins|h|hrs?|[kKMGT]i?[bB]?|[kMG]?FLOPS?|x|it/s|s/it|[a-z]+/s(?:ec)?|"
    r"(?:samples?|images?|imgs?|tokens?|tok|seqs?|steps?|frames?|fps|batch(?:es)?|examples?)(?:/\w+)*"
)
UNIT = rf"(?:\s?(?:{_UNITS})(?![\w/]))?"
_END = r"(?=[\s,;|)\]}\"'(*<]|[.:](?:\s|$)|-(?:\s|$)|$)"
_FULL = re.compile(rf"\s*({NUMBER})\s*", re.IGNORECASE)
PAIR = re.compile(rf"\s{{0,8}}[:=]\s{{0,12}}({NUMBER}){UNIT}{_END}", re.IGNORECASE)
_PLAIN = re.compile(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?")
_CUT = re.compile(r"[,;|\t\]}>\"#*]|\s\s|\s-\s|[:=](?:\s|$)")
_PAREN_NUMBER = re.compile(r"\([-+\d.,eE% ]{1,40}\)")
_NAME = re.compile(r"[A-Za-z_%][\w ./@%+\-()&^']*")
_DIVIDERS = re.compile(r"[,;|\t]|\s-\s")
_GAPS = re.compile(r"\s\s+|\s-\s")
_SPACED = re.compile(rf"([A-Za-z_][\w ./@%+\-()]{{0,79}}?)\s+({NUMBER}){UNIT}", re.IGNORECASE)
MAX_NAME_LENGTH = 80
MAX_NAME_SPACES = 5
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


def pairs(text: str, start: int = 0) -> dict[str, float]:
    """Return the `name: value` and `name=value` pairs of a line from `start` on, in their order.

    A unit after the number is dropped, never applied. Names may hold spaces (`Train Acc (8-bit) = 0.9995`).
    """
    found: dict[str, float] = {}
    end = start
    for match in PAIR.finditer(text, start):
        name = pair_name(text[max(end, match.start() - 2 * MAX_NAME_LENGTH) : match.start()])
        end = match.end()
        if name and not (name[-1].isdigit() and name.rsplit(" ", 1)[-1].isdigit() and match[0][1].isdigit()):
            found[name] = float(match[1].replace(",", ""))
            if len(found) >= MAX_PAIRS:
                break
    return found


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


def spaced_pairs(text: str, start: int = 0) -> dict[str, float]:
    """Return the pairs of a line such as `val_loss 0.2843, coverage A 97.19%`: each part ends with its number."""
    found: dict[str, float] = {}
    text = _PAREN_NUMBER.sub("", text[start : start + MAX_SPACED_CHARS])
    divided = _DIVIDERS if any(letter in text for letter in ",;|\t") else _GAPS
    for part in divided.split(text):
        match = _SPACED.fullmatch(part.strip(" :-*>[]()"))
        if match and match[1].count(" ") <= MAX_NAME_SPACES:
            found[match[1].rstrip(" -./'")] = float(match[2].replace(",", ""))
    return found

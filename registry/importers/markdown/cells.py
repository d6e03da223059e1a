"""What a cell of a results table says: a number, a percentage, a range, a part of a whole, a verdict, or nothing."""

import math
import re
import unicodedata
from dataclasses import dataclass
from decimal import Decimal

MISSING = {"", "?", "-", "–", "—", "n/a", "na", "none", "tbd", "unknown", "xx%", "pending", "…", "..."}
_NUMBER = r"[+\-]?(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?(?:[eE][+\-]?\d+)?|[+\-]?\.\d+"
_VALUE = re.compile(
    rf"(?P<about>[~≈]|about |ca\.? )?\s*(?P<low>{_NUMBER})\s*(?P<low_percent>%)?(?P<rest>.*)", re.DOTALL
)
_RANGE = re.compile(rf"\s*(?:-|–|to|\.\.)\s*(?P<high>{_NUMBER})\s*(?P<percent>%)?(?P<rest>.*)", re.DOTALL)
_WHOLE = re.compile(rf"\s*/\s*(?P<whole>{_NUMBER})(?P<rest>.*)", re.DOTALL)
_TARGET = re.compile(r"(?P<op>>=|=>|<=|=<|>|<|≥|≤|==|=|at least|at most|above|below|under)?\s*(?P<value>.*)", re.DOTALL)
_OPERATORS = {"≥": ">=", "=>": ">=", "at least": ">=", "≤": "<=", "=<": "<=", "at most": "<=", "above": ">",
              "below": "<", "under": "<", "=": "=="}  # fmt: skip
_EPOCH = re.compile(r"\b(?:epoch|step|iteration)\s*#?\s*(\d+)", re.IGNORECASE)
_GOOD, _BAD, _MIXED = "✅✓🎉", "❌✗✘", "⚠"


@dataclass(frozen=True)
class Value:
    """A number a cell gives. `high` closes a range, `whole` is the total of `3/5`; percentages are fractions of one.

    `is_estimate`: the cell itself says about (`~`); `step` is the epoch it names.
    """

    number: float
    high: float | None = None
    whole: float | None = None
    is_estimate: bool = False
    step: int | None = None


@dataclass(frozen=True)
class Target:
    """What a cell asks for: an operator of the gates (empty when the cell names none) and a value."""

    op: str
    value: Value


def plain(text: str) -> str:
    """Return a cell's words without Markdown's marks and without symbols."""
    words = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", text)
    words = re.sub(r"[*`]|(?<!\w)__?(?=\S)|(?<=\S)__?(?!\w)", "", words).replace("\\|", "|").replace("−", "-")
    kept = "".join(letter for letter in words if unicodedata.category(letter) not in ("So", "Mn", "Cf", "Co"))
    return " ".join(kept.split())


def value_of(text: str) -> Value | None:
    """Return the number that a cell gives, None when it gives none."""
    words = plain(text)
    verdict = re.match(r"(pass|passed|fail|failed|yes|no)\b", words, re.IGNORECASE)
    if verdict:
        return Value(1.0 if verdict[1].lower() in ("pass", "passed", "yes") else 0.0)
    match = _VALUE.fullmatch(words)
    if match is None:
        return None
    percent = bool(match["low_percent"])
    high = whole = None
    rest = match["rest"]
    if found := _RANGE.fullmatch(rest):
        high, rest, percent = found["high"], found["rest"], percent or bool(found["percent"])
    elif found := _WHOLE.fullmatch(rest):
        whole, rest = found["whole"], found["rest"]
    numbers = [_decimal(part, percent) for part in (match["low"], high, whole) if part is not None]
    if not _is_remark(rest) or not all(math.isfinite(number) for number in numbers):
        return None
    epoch = _EPOCH.search(rest)
    return Value(
        number=_decimal(match["low"], percent),
        high=None if high is None else _decimal(high, percent),
        whole=None if whole is None else _decimal(whole, False),
        is_estimate=bool(match["about"]) or "estimate" in rest.lower() or "theoretical" in rest.lower(),
        step=int(epoch[1]) if epoch else None,
    )


def _is_remark(rest: str) -> bool:
    """Return whether what follows a number leaves it a number: nothing, a remark in brackets, an epoch."""
    rest = rest.strip()
    return not rest or rest[0] in "(,;" or bool(re.match(r"(at |@ ?)?(epoch|step)\b", rest, re.IGNORECASE))


def _decimal(text: str, percent: bool) -> float:
    number = Decimal(text.replace(",", ""))
    return float(number / 100 if percent else number)


def target_of(text: str) -> Target | None:
    """Return what a cell asks for, None when it asks for nothing that can be compared."""
    match = _TARGET.fullmatch(plain(text))
    value = value_of(match["value"]) if match else None
    if match is None or value is None:
        return None
    word = (match["op"] or "").lower()
    if not word and plain(text).lower().startswith(("pass", "yes")):
        word = "=="
    return Target(_OPERATORS.get(word, word), value)


def is_missing(text: str) -> bool:
    """Return whether a cell says that its value is not known."""
    return plain(text).lower() in MISSING


def verdict_of(text: str) -> str:
    """Return what a status cell means for a run: `failed`, `finished`, or empty when it says neither."""
    words = plain(text).lower()
    if any(mark in text for mark in _BAD) or re.search(r"\b(fail|failed|collapsed|crashed|error)\b", words):
        return "failed"
    good = re.search(
        r"\b(pass|passed|success|succeeded|successfully|completed?|stable|working|deployed|done|finished)\b", words
    )
    if good or any(mark in text for mark in (*_GOOD, *_MIXED)):
        return "finished"
    return ""

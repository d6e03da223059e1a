"""What the numbers of a line are called: their own words, and the part of the run (train, val, test) that the line, or
a section of it, speaks of. A phrase that tells a story (`improved from 0.5 to 0.4`) is no name.
"""

import re
from collections.abc import Iterable
from functools import lru_cache

from registry.ingest.numbers import Field
from registry.ingest.objects import EVAL_MODES, eval_prefix, qualified

_MODE = r"(?:train(?:ing)?|val(?:id(?:ation)?)?|eval(?:uation)?|test(?:ing)?|dev)"
_HEAD = re.compile(
    rf"(?<![\w./'-])({_MODE})(?![\w./-])(?!\s*[:=]\s*(?:[-+.\d]|nan\b|inf\b|n/?a\b|none\b))", re.IGNORECASE
)
_SECTION = re.compile(r"\s*[\])]?\s*(?::|\]|\||-|=>|>)")
_NAMED_GROUP = re.compile(r"(?<![\w.])([A-Za-z_]\w{0,40})[\[(]\s{0,4}(?=[A-Za-z_][\w/ ]{0,40}\s?[:=])")
_STORY = frozenset({
    "improved", "reached", "took", "ran", "saved", "saving", "save", "loaded", "loading", "load", "reducing", "reduced",
    "using", "used", "did", "was", "were", "be", "been", "from", "to", "than", "after", "before", "until", "when",
    "wrote",
    "writing", "written", "created", "resuming", "resumed", "restoring", "expected", "got", "found", "early",
    "stopping", "patience", "best_epoch",
})  # fmt: skip
_LAST_WORDS = frozenset({"is", "was", "of", "at", "on", "for", "in", "the", "equals"})
MODE_LINE = re.compile(
    rf"\W*(?:on\s+|start\w*\s+|begin\w*\s+|running\s+)?({_MODE})\s*"
    r"(?:results?|metrics|errors?|phase|set|stats|statistics|summary|performance|scores?|mode)?\W*",
    re.IGNORECASE,
)
"""A line that says no more than which part of the run comes next."""
MODE_WORD = re.compile(rf"\b{_MODE}\b", re.IGNORECASE)
MAX_HEAD_CHARS = 120


def tidy(fields: Iterable[Field]) -> list[Field]:
    """Return the fields whose names are names, without the little words at their end.

    `Train loss/train/total` is Composer's way to show the metric `loss/train/total`.
    """
    kept = []
    for field in fields:
        words = field.name.split(" ")
        while words and words[-1].lower() in _LAST_WORDS:
            words.pop()
        if len(words) == 2 and words[0] in ("Train", "Eval") and "/" in words[1]:
            words = words[1:]
        if words and words[0] and not any(word.lower() in _STORY for word in words):
            kept.append(field._replace(name=" ".join(words)))
    return kept


def named(text: str, fields: list[Field], sticky_mode: str = "") -> dict[str, int]:
    """Return the place in `fields` of every name on a line, qualified by the part of the run that it belongs to.

    `Train: loss 0.5 acc 0.9 | Val: loss 0.4` are `train/loss`, `train/acc` and `val/loss`; a line of one part is
    qualified only where that is an evaluation. `sticky_mode`: the part that a line above has named.
    """
    whole = {(field.start, len(field.name)) for field in fields}
    heads = [
        (found.start(), found[1].lower())
        for found in _HEAD.finditer(text)
        if (found.start(), len(found[1])) not in whole
    ]
    groups = [(found.start(1), found.end(), found[1]) for found in _NAMED_GROUP.finditer(text)]
    parts = {_part(word) for _start, word in heads}
    bare = [field.name for field in fields]
    collide = len({name.lower() for name in bare}) < len(bare)
    several = len(parts) > 1 and (collide or _are_sections(text, heads))
    names: dict[str, int] = {}
    for place, field in enumerate(fields):
        name = field.name
        prefix = _group_prefix(text, groups, field)
        if prefix and name.lower() != prefix[:-1].lower():
            name = prefix + name
        if not _HEAD.match(name):
            if several:
                before = [word for start, word in heads if start < field.start]
                name = qualified(f"{_part(before[-1])}/" if before else "", name)
            elif heads and heads[0][0] < MAX_HEAD_CHARS:
                name = _of_one_part(text, heads, fields, field, name)
            elif sticky_mode:
                name = qualified(eval_prefix(sticky_mode), name)
        elif heads and not several and len(fields) > 1 and place == 0 and heads[0][0] <= field.start:
            name = _without_lead(fields, name)
        names[name] = place
    return names


def _of_one_part(text: str, heads: list[tuple[int, str]], fields: list[Field], field: Field, name: str) -> str:
    """`val Loss: 0.5 Acc: 0.8`: a part that leads the line is the part of all its names."""
    start, word = heads[0]
    leads = fields[0].start <= start < fields[0].number[0] and not text[:start].strip(" |-*>#")
    if leads and len(fields) > 1 and len(heads) == 1:
        return f"{word}/{name}" if field is not fields[0] else name
    return qualified(eval_prefix(word), name)


def _without_lead(fields: list[Field], name: str) -> str:
    lead = _HEAD.match(name)
    rest = name[lead.end() :].strip(" :") if lead else ""
    alone = lead is not None and rest and not any(_HEAD.match(other.name) for other in fields[1:])
    return f"{lead[1].lower()}/{rest}" if alone and lead else name


def _group_prefix(text: str, groups: list[tuple[int, int, str]], field: Field) -> str:
    """`tot_loss[loss=1.9, over 12 frames]`: names inside a group that has a name of its own."""
    for start, end, name in groups:
        if start <= field.start and end <= field.number[0]:
            close = "]" if text[end - 1 :].startswith("[") or "[" in text[start:end] else ")"
            if close not in text[end : field.start]:
                return f"{name}/"
    return ""


def _are_sections(text: str, heads: list[tuple[int, str]]) -> bool:
    """Return whether the parts are headings (`Train: …`, `[valid] …`) rather than words within names."""
    return sum(bool(_SECTION.match(text, start + len(word))) for start, word in heads) > 1


@lru_cache(maxsize=64)
def _part(word: str) -> str:
    return EVAL_MODES.get(word, "train")

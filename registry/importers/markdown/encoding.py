"""Text whose UTF-8 was once read as something else (Latin-1, Windows, Mac Roman), put right before it is parsed.

A run of letters beyond ASCII is repaired when, written back in the wrong encoding, it is valid UTF-8; the encoding that
explains most runs of a text is the one it suffered. Bytes that the encoding does not have were lost on the way: then a
symbol is known by what is left of it.
"""

import re
from dataclasses import dataclass
from functools import cache

import ftfy.bad_codecs

ftfy.bad_codecs.ok()  # makes the sloppy encodings known to Python

SUSPECTS = ("latin-1", "sloppy-windows-1252", "sloppy-windows-1254", "mac_roman")
"""Encodings that UTF-8 is most often misread in; the sloppy ones keep bytes that the code page leaves undefined."""
_SHOWN = {"sloppy-windows-1252": "Windows-1252", "sloppy-windows-1254": "Windows-1254", "mac_roman": "Mac Roman",
          "latin-1": "Latin-1"}  # fmt: skip
_SYMBOLS = "✅❌⚠️⏳⏸⭐✓✗→←≥≤≠≈±×·–—“”‘’…°²³αβγδελμνπρστφωΔΣŷ∈∞🎯🐛🔍🚀📊📈📋📁📝🎓💡🔄🔧🏗☢"
_BEYOND_ASCII = re.compile(r"[^\x00-\x7f]+")
_MAX_ROUNDS = 4


@dataclass(frozen=True)
class Repaired:
    """A text as it was meant. `suffered` names the wrong encodings, `n_repaired` and `n_left` count runs of letters."""

    text: str
    suffered: tuple[str, ...] = ()
    n_repaired: int = 0
    n_left: int = 0

    def __str__(self) -> str:
        if not self.suffered:
            return "the encoding is whole"
        left = f"; {self.n_left} places could not be" if self.n_left else ""
        return f"UTF-8 read as {' and '.join(self.suffered)}: {self.n_repaired} places repaired{left}"


def decode(content: bytes) -> Repaired:
    """Return the text of a report; one that is no UTF-8 is read as UTF-16 (with its mark) or Windows-1252."""
    for encoding in ("utf-8-sig", "utf-16"):
        if encoding == "utf-16" and content[:2] not in (b"\xff\xfe", b"\xfe\xff"):
            continue
        try:
            return repair(content.decode(encoding))
        except UnicodeDecodeError:
            continue
    text = content.decode("sloppy-windows-1252")
    return Repaired(text, ("Windows-1252 itself",), len(_BEYOND_ASCII.findall(text)))


def repair(text: str) -> Repaired:
    """Return the text with its broken letters put right, as often as they were broken."""
    suffered: list[str] = []
    n_repaired = 0
    for _ in range(_MAX_ROUNDS):
        runs = _BEYOND_ASCII.findall(text)
        codec, n_whole = max(((name, _n_explained(runs, name)) for name in SUSPECTS), key=lambda found: found[1])
        if n_whole == 0:
            break
        suffered.append(_SHOWN[codec])
        text, n_here = _undo(text, codec)
        n_repaired += n_here
    n_left = sum(1 for run in _BEYOND_ASCII.findall(text) if _looks_broken(run)) if suffered else 0
    return Repaired(text, tuple(dict.fromkeys(suffered)), n_repaired, n_left)


def _n_explained(runs: list[str], codec: str) -> int:
    return sum(1 for run in runs if _undone(run, codec) is not None)


def _undone(run: str, codec: str) -> str | None:
    try:
        return run.encode(codec).decode("utf-8")
    except UnicodeError:
        return None


def _undo(text: str, codec: str) -> tuple[str, int]:
    n_repaired = 0

    def put_right(match: re.Match[str]) -> str:
        nonlocal n_repaired
        run = match[0]
        whole = _undone(run, codec)
        if whole is None:
            whole = _known_symbols(run, codec)
        n_repaired += whole != run
        return whole

    return _BEYOND_ASCII.sub(put_right, text), n_repaired


def _known_symbols(run: str, codec: str) -> str:
    """Put right the symbols of a run that lost bytes, where what is left of them says which they were."""
    for broken, symbol in _remains(codec):
        run = run.replace(broken, symbol)
    return run


@cache
def _remains(codec: str) -> tuple[tuple[str, str], ...]:
    """Return what is left of each known symbol when its undefined bytes were dropped, the longest first.

    What two symbols leave alike tells neither.
    """
    strict = codec.removeprefix("sloppy-")
    found: dict[str, set[str]] = {}
    for symbol in (*_SYMBOLS, "⚠️"):
        found.setdefault(symbol.encode().decode(strict, "ignore"), set()).add(symbol)
    certain = [(broken, symbols.pop()) for broken, symbols in found.items() if len(symbols) == 1 and len(broken) > 1]
    return tuple(sorted(certain, key=lambda item: -len(item[0])))


def _looks_broken(run: str) -> bool:
    """Return whether a run still begins like UTF-8 that was misread: a lead byte's letter, then something."""
    return len(run) > 1 and run[0] in "âÃÂğŸ√‚ÎÏ"

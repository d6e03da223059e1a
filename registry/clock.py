"""The only clock. Times are unix seconds (float, UTC); text for people and JSON is made here alone."""

import re
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime

_source = time.time


def now() -> float:
    """Return the current time in unix seconds."""
    return _source()


@contextmanager
def frozen(at: float) -> Iterator[None]:
    """Make `now()` return `at` inside the block (tests and pictures)."""
    global _source
    before = _source
    _source = lambda: at  # noqa: E731
    try:
        yield
    finally:
        _source = before


def iso(at: float | None) -> str | None:
    """Return ISO 8601 UTC with milliseconds (`2026-11-20T13:00:00.000Z`), None for None."""
    if at is None:
        return None
    return datetime.fromtimestamp(at, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def age(seconds: float) -> str:
    """Return a duration for people: `12 s`, `3 min`, `5 h`, `2 d`."""
    for unit, size in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if abs(seconds) >= size:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds:.0f} s"


_UNIT_S = {"s": 1.0, "m": 60.0, "min": 60.0, "h": 3600.0, "d": 86400.0, "w": 604800.0}


def parse_duration(text: str) -> float:
    """Return the seconds of `90`, `90s`, `15m`, `6h`, `30d`, `2w`. Raises ValueError for anything else."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*(s|m|min|h|d|w)?\s*", text)
    if not match:
        raise ValueError(f"not a duration: {text!r} (write 90s, 15m, 6h, 30d or 2w)")
    return float(match[1]) * _UNIT_S[match[2] or "s"]

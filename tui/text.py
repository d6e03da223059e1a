"""Values as people read them in a terminal: cleaned, measured in cells, with units. Pure, no widgets.

Nothing that comes from the record reaches a screen without `clean`: control characters would move the cursor, bidi
controls would turn the rest of the line around.
"""

import math
import unicodedata
from collections.abc import Sequence

from rich.cells import cell_len, set_cell_size

NOTHING = "–"
_BLOCKS = "▁▂▃▄▅▆▇█"
_BIDI = dict.fromkeys([0x061C, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A)])
_VISIBLE_CONTROLS = {code: 0x2400 + code for code in range(32)} | {0x7F: 0x2421, 0x0A: 0x21B5, 0x0D: 0x21B5, 0x09: 0x20}
_CONTROLS = _BIDI | _VISIBLE_CONTROLS | dict.fromkeys(range(128, 160), 65533)


def clean(value: object) -> str:
    """Return `value` as one line of text without anything a terminal would obey."""
    text = str(value).translate(_CONTROLS)
    if text.isascii():
        return text
    return "".join("\ufffd" if unicodedata.category(char) in ("Cs", "Co", "Cn", "Zl", "Zp") else char for char in text)


def fit(text: str, width: int, align: str = "left") -> str:
    """Return `text` padded or cut to exactly `width` cells; what was cut is marked with an ellipsis."""
    length = cell_len(text)
    if length > width:
        return set_cell_size(text, max(0, width - 1)) + "…"[:width]
    if align == "right":
        return " " * (width - length) + text
    return text + " " * (width - length)


def number(value: float | int | None, digits: int = 4) -> str:
    """Return a number with `digits` significant digits: `0.3124`, `12,340`, `1.2e-05`, `NaN`, `∞`, `–` for None."""
    if value is None:
        return NOTHING
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "∞" if value > 0 else "-∞"
    if value == int(value) and abs(value) < 1e6:
        return f"{int(value):,}"
    if abs(value) >= 1e6 or abs(value) < 1e-4:
        return f"{value:.{digits - 2}e}"
    decimals = max(0, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:,.{min(decimals, 6)}f}"


def signed(value: float | None, digits: int = 3) -> str:
    """Return a difference with its sign: `+0.012`, `-3.1e-05`, `±0`."""
    if value is None:
        return NOTHING
    return "±0" if value == 0 else ("+" if value > 0 else "") + number(value, digits)


def duration(seconds: float | None) -> str:
    """Return a span of time in at most two units: `42 s`, `3m 20s`, `5h 02m`, `2d 04h`."""
    if seconds is None or math.isnan(seconds):
        return NOTHING
    whole = int(max(0, seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60}m {whole % 60:02}s"
    if whole < 86400:
        return f"{whole // 3600}h {whole % 3600 // 60:02}m"
    return f"{whole // 86400}d {whole % 86400 // 3600:02}h"


def time_left(seconds: float) -> str:
    """Return a span of time as short as it can be said: `40s`, `15m`, `1h22m`, `2d4h`."""
    whole = int(max(0, seconds))
    if whole < 60:
        return f"{whole}s"
    if whole < 3600:
        return f"{whole // 60}m"
    if whole < 86400:
        return f"{whole // 3600}h{whole % 3600 // 60:02}m"
    return f"{whole // 86400}d{whole % 86400 // 3600}h"


def ago(at: float | None, now: float) -> str:
    """Return how long ago `at` (unix seconds) was, in one unit: `12 s`, `5 min`, `3 h`, `2 d`."""
    if at is None:
        return NOTHING
    seconds = now - at
    if seconds < -1:
        return "in the future"
    for unit, size_s in (("d", 86400), ("h", 3600), ("min", 60)):
        if seconds >= size_s:
            return f"{int(seconds // size_s)} {unit}"
    return f"{int(max(0, seconds))} s"


def size(size_bytes: int | None) -> str:
    """Return a size in decimal units: `512 B`, `1.4 MB`."""
    if size_bytes is None:
        return NOTHING
    amount = float(size_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


def count(n: int, word: str, plural: str = "") -> str:
    """Return `1 run`, `2 runs`, `1,234 runs`."""
    return f"{n:,} {word if n == 1 else plural or word + 's'}"


def sparkline(values: Sequence[float | None], width: int) -> str:
    """Return `values` as at most `width` block characters, low to high; a value that is not finite is a gap."""
    finite = [value for value in values if value is not None and math.isfinite(value)]
    if not finite or width <= 0:
        return ""
    low, half_span = min(finite), max(finite) / 2 - min(finite) / 2
    n_columns = min(width, len(values))
    cells = []
    for column in range(n_columns):
        bucket = values[column * len(values) // n_columns : (column + 1) * len(values) // n_columns]
        kept = [value for value in bucket if value is not None and math.isfinite(value)]
        if not kept:
            cells.append(" ")
            continue
        mean = sum(value / len(kept) for value in kept)
        height = (mean / 2 - low / 2) / half_span if half_span else 0.5
        cells.append(_BLOCKS[max(0, min(7, int(height * 8)))])
    return "".join(cells)


def bar(share: float, width: int) -> str:
    """Return a horizontal bar filled to `share` (0 to 1) over `width` cells."""
    eighths = round(max(0.0, min(1.0, share)) * width * 8)
    full, part = divmod(eighths, 8)
    tip = " ▏▎▍▌▋▊▉"[part] if part else ""
    return ("█" * full + tip).ljust(width)


def short_digest(digest: str | None) -> str:
    """Return the first twelve digits of a digest."""
    return digest[:12] if digest else NOTHING

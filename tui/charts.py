"""Curves drawn as text: dots of braille, two axes, what does not fit counted. Pure: the same curves, the same picture.

A curve holds at most two points a column (the least and the greatest), all finite. A few values that lie so far out
that they would press the rest flat are drawn as arrows at the edge; `far_out` says which, so that a screen can tell.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import NamedTuple

from rich.cells import cell_len
from rich.style import Style
from rich.text import Text

from tui.canvas import Canvas
from tui.text import duration, number

_AXIS_DARK, _AXIS_LIGHT = "#566b6e", "#a09e91"
_BAD_DARK, _BAD_LIGHT = "#e8705f", "#b3362b"
MIN_WIDTH, MIN_HEIGHT = 12, 4
FAR_SHARE, FAR_SPANS, FAR_LEAST = 0.02, 3.0, 8
"""At most this share of the points may lie this many times the others' span outside of it, and be drawn as arrows."""


@dataclass(frozen=True)
class Curve:
    """One line of a chart: finite points in the order of x, and where values were not finite."""

    label: str
    colour: str
    xs: tuple[float, ...]
    ys: tuple[float, ...]
    bad_xs: tuple[float, ...] = ()
    n_points: int = 0
    n_non_finite: int = 0


@dataclass(frozen=True)
class Look:
    """How a chart is drawn: value axis, what x is (`step`, `time` or `epoch`), which ground, part of x shown."""

    log: bool = False
    x: str = "step"
    dark: bool = True
    ansi: bool = False
    zoom: tuple[float, float] | None = None


def smooth(curve: Curve, weight: float) -> Curve:
    """Return the curve as an exponential moving average with `weight` (0 to 1) on the past, without its start-up bias.

    The bias correction is that of Adam (Kingma and Ba, 2015): divide by 1 - weight^n.
    """
    if not 0 < weight < 1:
        return curve
    mean, ys = 0.0, []
    for n, y in enumerate(curve.ys, 1):
        mean = weight * mean + (1 - weight) * y
        ys.append(mean / (1 - weight**n))
    return Curve(curve.label, curve.colour, curve.xs, tuple(ys), curve.bad_xs, curve.n_points, curve.n_non_finite)


def ticks(low: float, high: float, n: int) -> list[float]:
    """Return about `n` round numbers from `low` to `high` (steps of 1, 2 or 5 times a power of ten)."""
    if not high > low or n < 1:
        return [low]
    for n_wanted in (n, n + 1, n + 2):
        raw = (high - low) / n_wanted
        power = 10.0 ** math.floor(math.log10(raw))
        step = next(power * factor for factor in (1, 2, 5, 10) if power * factor >= raw * 0.999)
        whole = range(math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9) + 1)
        if 1 < len(whole) <= 4 * n_wanted:
            return [k * step for k in whole]
    return [low, high]


def log_ticks(low: float, high: float, n: int) -> list[float]:
    """Return the exponents (base ten) that are marked on a logarithmic axis from 10^low to 10^high."""
    whole = [float(k) for k in range(math.ceil(low - 1e-9), math.floor(high + 1e-9) + 1)]
    if len(whole) >= 2:
        return whole[:: max(1, math.ceil(len(whole) / max(1, n)))]
    return [low, high]


def tick_labels(values: Sequence[float], x: str = "") -> list[str]:
    """Return short texts for the ticks of an axis, all with the same decimals: `0.20`, `1.5k` steps, `2m 05s`."""
    if x == "time":
        return [duration(value) for value in values]
    largest = max((abs(value) for value in values), default=0.0)
    if 0 < largest < 1e-3 or (largest >= 1e6 and not x):
        return [f"{value:.1e}" if value else "0" for value in values]
    unit, size = next(
        (u, s) for u, s in (("G", 1e9), ("M", 1e6), ("k", 1e3), ("", 1.0)) if largest >= s * 10 or s == 1.0
    )
    step = min((b - a for a, b in pairwise(values)), default=largest or 1.0) / size
    decimals = max(0, -math.floor(math.log10(step) + 1e-9)) if step > 0 else 0
    return [f"{value / size:.{min(decimals, 6)}f}{unit}" for value in values]


def visible(curve: Curve, look: Look) -> Curve:
    """Return the part of a curve that can be drawn: inside the zoom, above zero when the axis is logarithmic."""
    left, right = look.zoom or (-math.inf, math.inf)
    kept = [
        (x, math.log10(y) if look.log else y)
        for x, y in zip(curve.xs, curve.ys, strict=True)
        if left <= x <= right and (y > 0 or not look.log)
    ]
    bad = tuple(x for x in curve.bad_xs if left <= x <= right)
    xs, ys = tuple(x for x, _ in kept), tuple(y for _, y in kept)
    return Curve(curve.label, curve.colour, xs, ys, bad, curve.n_points, curve.n_non_finite)


def n_not_positive(curves: Sequence[Curve]) -> int:
    """Return how many of the drawn points a logarithmic axis cannot show."""
    return sum(1 for curve in curves for y in curve.ys if y <= 0)


class Range(NamedTuple):
    """What an axis shows, from `low` to `high`; never empty."""

    low: float
    high: float

    def place(self, value: float, n: int) -> int:
        """Return which of `n` places a value falls on, the nearest for one outside."""
        return max(0, min(n - 1, round((value - self.low) / (self.high - self.low) * (n - 1))))


def _range(values: Sequence[float]) -> Range:
    low, high = min(values), max(values)
    if not high > low or math.isinf(high - low):
        pad = abs(low) * 0.05 or 0.5
        return Range(low - pad, high + pad) if high == low else Range(low / 2, high / 2)
    return Range(low, high)


def value_range(curves: Sequence[Curve], look: Look) -> Range:
    """Return the values that an axis shows: all, or all but a few that lie far out (never on a logarithmic axis)."""
    values = sorted(y for curve in curves for y in curve.ys)
    whole = _range(values)
    if look.log or len(values) < FAR_LEAST:
        return whole
    n_far = max(1, int(len(values) * FAR_SHARE))
    low, high = values[n_far], values[-1 - n_far]
    reach = (high - low) * FAR_SPANS
    if not 0 < reach < math.inf:
        return whole
    pad = (high - low) * 0.1
    return Range(
        low - pad if whole.low < low - reach else whole.low, high + pad if whole.high > high + reach else whole.high
    )


def far_out(curves: Sequence[Curve], look: Look) -> list[float]:
    """Return the values that are drawn as arrows at the edge."""
    shown = _shown(curves, look)
    if not any(curve.ys for curve in shown):
        return []
    low, high = value_range(shown, look)
    return [y for curve in shown for y in curve.ys if not low <= y <= high]


def _shown(curves: Sequence[Curve], look: Look) -> list[Curve]:
    return [curve for curve in (visible(curve, look) for curve in curves) if curve.xs or curve.bad_xs]


@lru_cache(maxsize=64)
def draw(curves: tuple[Curve, ...], width: int, height: int, look: Look) -> tuple[Text, ...]:
    """Return `height` lines of `width` cells with the curves; an empty tuple when there is nothing to draw."""
    shown = _shown(curves, look)
    if not any(curve.xs for curve in shown) or width < MIN_WIDTH or height < MIN_HEIGHT:
        return ()
    across = _range([x for curve in shown for x in (*curve.xs, *curve.bad_xs)])
    up = value_range(shown, look)
    labels = _value_labels(up, height - 2, look)
    margin = max(map(cell_len, labels.values()), default=0)
    if margin > width // 2:
        labels, margin = {}, 0
    canvas = Canvas(width - margin - 1, height - 2)
    for curve in shown:
        _plot(canvas, curve, across, up)
    bad = "red" if look.ansi else _BAD_DARK if look.dark else _BAD_LIGHT
    for curve in shown:
        for x in curve.bad_xs:
            column = across.place(x, canvas.width)
            canvas.put(column, canvas.height - 1, "✗", bad)
    axis = Style(dim=True) if look.ansi else Style(color=_AXIS_DARK if look.dark else _AXIS_LIGHT)
    lines = []
    for row, found in enumerate(canvas.rows()):
        side = labels.get(row, "").rjust(margin) + ("┤" if row in labels else "│")
        lines.append(Text.assemble((side, axis), *((text, Style(color=colour or None)) for text, colour in found)))
    return *lines, *(Text.assemble((" " * margin + line, axis)) for line in _x_axis(across, canvas.width, look.x))


def _plot(canvas: Canvas, curve: Curve, across: Range, up: Range) -> None:
    """Put one curve on the canvas; values outside the axis go to its edge, with an arrow."""
    dots = [
        (across.place(x, canvas.n_x), canvas.n_y - 1 - up.place(y, canvas.n_y))
        for x, y in zip(curve.xs, curve.ys, strict=True)
    ]
    for (x0, y0), (x1, y1) in pairwise(dots):
        canvas.line(x0, y0, x1, y1, curve.colour)
    if len(dots) == 1:
        canvas.put(dots[0][0] // 2, dots[0][1] // 4, "•", curve.colour)
    for x, y in zip(curve.xs, curve.ys, strict=True):
        if not up.low <= y <= up.high:
            row, sign = (0, "▲") if y > up.high else (canvas.height - 1, "▼")
            canvas.put(across.place(x, canvas.width), row, sign, curve.colour)


def _value_labels(up: Range, height: int, look: Look) -> dict[int, str]:
    """Return the labels of the value axis by the row they stand on."""
    n = max(2, height // 3)
    found = log_ticks(*up, n) if look.log else ticks(*up, n)
    words = [number(10**at, 3) for at in found] if look.log else tick_labels(found)
    return {height - 1 - up.place(at, height): word for at, word in zip(found, words, strict=True)}


def _x_axis(across: Range, width: int, x: str) -> tuple[str, str]:
    """Return the line below the canvas and the line of its labels; a label that would touch another is left out."""
    found = ticks(*across, max(2, width // 14))
    line, labels, free_from = ["─"] * width, [" "] * (width + 1), 0
    for at, word in zip(found, tick_labels(found, x), strict=True):
        column = across.place(at, width)
        line[column] = "┬"
        start = max(0, min(column + 1 - len(word) // 2, width + 1 - len(word)))
        if start >= free_from and len(word) <= width:
            labels[start : start + len(word)] = word
            free_from = start + len(word) + 1
    return "└" + "".join(line), "".join(labels)

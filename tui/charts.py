"""Curves drawn as text with plotext; the only file that knows it. Pure: the same curves and size give the same picture.

A curve holds at most two points a column (the least and the greatest), all finite: plotext raises on infinities and on
logarithms of zero and needs seconds for a million points. What is left out is counted, never dropped silently.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise
from typing import Any

from rich.color import Color, ColorType
from rich.text import Text

from tui.text import duration, number

MARKER = "braille"
_AXIS_DARK, _AXIS_LIGHT, _BAD = (86, 107, 110), (160, 158, 145), (232, 112, 95)


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


@lru_cache(maxsize=64)
def draw(curves: tuple[Curve, ...], width: int, height: int, look: Look) -> tuple[Text, ...]:
    """Return `height` lines of `width` cells with the curves; an empty tuple when there is nothing to draw."""
    shown = [curve for curve in (visible(curve, look) for curve in curves) if curve.xs or curve.bad_xs]
    if not any(curve.xs for curve in shown) or width < 12 or height < 4:
        return ()
    import plotext as plt

    plt.clear_figure()
    plt.limit_size(False, False)
    plt.theme("clear")
    plt.plot_size(width, height)
    low_x, high_x = _range([x for curve in shown for x in (*curve.xs, *curve.bad_xs)])
    low_y, high_y = _range([y for curve in shown for y in curve.ys])
    for curve in shown:
        _plot(plt, curve, look)
        if curve.bad_xs:
            plt.scatter(list(curve.bad_xs), [low_y] * len(curve.bad_xs), marker="x", color=1 if look.ansi else _BAD)
    _axes(plt, (low_x, high_x), (low_y, high_y), width, height, look)
    return tuple(Text.from_ansi(line) for line in plt.build().rstrip("\n").split("\n"))


def _plot(plt: Any, curve: Curve, look: Look) -> None:
    draw_as = plt.scatter if len(curve.xs) == 1 else plt.plot
    marker = "dot" if len(curve.xs) == 1 else MARKER
    draw_as(list(curve.xs), list(curve.ys), marker=marker, color=_plotext_colour(curve.colour))


def _plotext_colour(colour: str) -> int | tuple[int, int, int]:
    parsed = Color.parse(colour)
    if parsed.type is not ColorType.TRUECOLOR and parsed.number is not None:
        return parsed.number
    triplet = parsed.get_truecolor()
    return triplet.red, triplet.green, triplet.blue


def _range(values: Sequence[float]) -> tuple[float, float]:
    low, high = min(values), max(values)
    if low == high:
        pad = abs(low) * 0.05 or 0.5
        return low - pad, high + pad
    return low, high


def _axes(plt: Any, x: tuple[float, float], y: tuple[float, float], width: int, height: int, look: Look) -> None:
    n_x, n_y = max(2, width // 14), max(2, height // 3)
    x_ticks = ticks(*x, n_x)
    y_ticks = log_ticks(*y, n_y) if look.log else ticks(*y, n_y)
    y_labels = [number(10**at, 3) for at in y_ticks] if look.log else tick_labels(y_ticks)
    axis = "default" if look.ansi else _AXIS_DARK if look.dark else _AXIS_LIGHT
    plt.xlim(*x)
    plt.ylim(*y)
    plt.xticks(x_ticks, tick_labels(x_ticks, look.x))
    plt.yticks(y_ticks, y_labels)
    plt.xaxes(True, False)
    plt.yaxes(True, False)
    plt.canvas_color("default")
    plt.axes_color("default")
    plt.ticks_color(axis)

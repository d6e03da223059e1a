"""`registry plot`: curves printed once, as text that stays on the screen, in a log, or in a mail. No dashboard."""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from registry.queries import Column

COLOURS = ("cyan", "orange", "magenta", "green", "blue", "white")
MARKERS = ("braille", "•", "x", "+", "o", "#")


@dataclass(frozen=True)
class PlottedCurve:
    """One run's metric in columns, and what the legend says of it."""

    label: str
    columns: "Sequence[Column]"

    @property
    def n_points(self) -> int:
        """How many values it stands for."""
        return sum(column.n_points for column in self.columns)

    @property
    def n_non_finite(self) -> int:
        """How many of them are NaN or infinite, and so are not drawn."""
        return sum(column.n_non_finite for column in self.columns)

    def line(self, *, is_log: bool) -> tuple[list[float], list[float]]:
        """Return x and y of the line: the least and the greatest value of each column; a gap where there is none."""
        xs, ys = [], []
        for column in self.columns:
            for value in dict.fromkeys((column.low, column.high)):
                drawn = value is not None and (value > 0 or not is_log)
                xs.append(column.x)
                ys.append(value if value is not None and drawn else math.nan)
        return xs, ys

    def is_drawable(self, *, is_log: bool) -> bool:
        """Return whether any value of it has a place on the chart."""
        return not all(map(math.isnan, self.line(is_log=is_log)[1]))


def draw(
    curves: Sequence[PlottedCurve], title: str, axis: str, width: int, height: int, *, is_log: bool, coloured: bool
) -> str:
    """Return the chart of `width` by `height` characters; without colours each curve has a marker of its own."""
    import plotext

    plotext.clear_figure()
    plotext.theme("clear")
    plotext.plot_size(width, height)
    plotext.title(title)
    plotext.xlabel(axis)
    if is_log:
        plotext.yscale("log")
    for place, curve in enumerate(curves):
        xs, ys = curve.line(is_log=is_log)
        marker = "braille" if coloured else MARKERS[place % len(MARKERS)]
        plotext.plot(xs, ys, label=curve.label, marker=marker, color=COLOURS[place % len(COLOURS)])
    text = plotext.build()
    return str(text if coloured else plotext.uncolorize(text)).rstrip("\n")

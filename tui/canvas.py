"""A canvas of braille dots: lines go in, rows of characters with their colours come out. Pure.

A cell is two dots wide and four high (Unicode block 2800); where curves share a cell the later one gives its colour.
"""

from collections.abc import Iterator
from itertools import groupby

DOTS_WIDE, DOTS_HIGH = 2, 4
_BLANK = 0x2800
_BITS = ((0x01, 0x02, 0x04, 0x40), (0x08, 0x10, 0x20, 0x80))
_RUNS = [[[sum(bits[first : last + 1]) for last in range(DOTS_HIGH)] for first in range(DOTS_HIGH)] for bits in _BITS]
"""The bits of a vertical run inside a cell, by its side, its first and its last dot."""


class Canvas:
    """`width` by `height` cells; dots count from the left and from the top."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self.n_x, self.n_y = width * DOTS_WIDE, height * DOTS_HIGH
        self._bits = [0] * (width * height)
        self._colours = [""] * (width * height)
        self._signs: dict[int, str] = {}

    def line(self, x0: int, y0: int, x1: int, y1: int, colour: str) -> None:
        """Draw a straight line between two dots, as one vertical run a column of dots."""
        if x1 < x0:
            x0, y0, x1, y1 = x1, y1, x0, y0
        if x0 == x1:
            self._run(x0, y0, y1, colour)
            return
        slope = (y1 - y0) / (x1 - x0)
        y = y0
        for x in range(x0, x1 + 1):
            following = y1 if x + 1 >= x1 else round(y0 + slope * (x + 1 - x0))
            # A steep step is filled up to the dot before the next one; there is never a corner of three dots.
            last = following - 1 if following > y + 1 else following + 1 if following < y - 1 else y
            self._run(x, y, y1 if x == x1 else last, colour)
            y = following

    def _run(self, x: int, y0: int, y1: int, colour: str) -> None:
        first, last = (y0, y1) if y0 <= y1 else (y1, y0)
        column, runs = x // DOTS_WIDE, _RUNS[x % DOTS_WIDE]
        for row in range(first // DOTS_HIGH, last // DOTS_HIGH + 1):
            top = row * DOTS_HIGH
            at = row * self.width + column
            self._bits[at] |= runs[max(0, first - top)][min(DOTS_HIGH - 1, last - top)]
            self._colours[at] = colour

    def put(self, column: int, row: int, sign: str, colour: str) -> None:
        """Put a character into a cell, over whatever dots are in it."""
        at = row * self.width + column
        self._signs[at], self._colours[at] = sign, colour

    def rows(self) -> Iterator[list[tuple[str, str]]]:
        """Yield each row as `(text, colour)`, neighbours of one colour together."""
        for start in range(0, len(self._bits), self.width or 1):
            places = range(start, start + self.width)
            yield [
                ("".join(map(self._character, found)), colour)
                for colour, found in groupby(places, lambda at: self._colours[at])
            ]

    def _character(self, at: int) -> str:
        if at in self._signs:
            return self._signs[at]
        return chr(_BLANK + self._bits[at]) if self._bits[at] else " "

"""A series as a chart needs it: exact while it is short, then buckets with the least and the greatest value. Pure.

A sketch only ever takes new points, so a series of a million points is read once; when it grows past its buckets, two
neighbours become one. Nothing is lost but the place of a value inside its bucket.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from itertools import pairwise

N_BUCKETS = 2048
"""More than any terminal has columns, so that a chart can be zoomed without reading again."""


@dataclass(slots=True)
class Bucket:
    """What fell into one stretch of x."""

    low: float | None = None
    high: float | None = None
    high_first: bool = False
    n_points: int = 0
    n_non_finite: int = 0

    def add(self, value: float) -> None:
        """Take one value."""
        self.n_points += 1
        if not math.isfinite(value):
            self.n_non_finite += 1
        elif self.low is None or self.high is None:
            self.low = self.high = value
        elif value < self.low:
            self.low, self.high_first = value, True
        elif value > self.high:
            self.high, self.high_first = value, False

    def merge(self, later: "Bucket") -> None:
        """Take a whole neighbour."""
        self.n_points += later.n_points
        self.n_non_finite += later.n_non_finite
        if later.low is None or later.high is None:
            return
        if self.low is None or self.high is None:
            self.low, self.high, self.high_first = later.low, later.high, later.high_first
            return
        self.high_first = later.low < self.low or (self.high_first and later.high <= self.high)
        self.low, self.high = min(self.low, later.low), max(self.high, later.high)

    def ends(self) -> tuple[float, ...]:
        """Return the one or two values that a chart draws, in the order they came."""
        if self.low is None or self.high is None:
            return ()
        if self.low == self.high:
            return (self.low,)
        return (self.high, self.low) if self.high_first else (self.low, self.high)


@dataclass
class Sketch:
    """A series that is drawn while it grows; `last_seq` is the last point it took."""

    last_seq: int = -1
    points: list[tuple[float, float]] = field(default_factory=list)
    origin: float = 0.0
    width: float = 0.0
    buckets: dict[int, Bucket] = field(default_factory=dict)

    def fill(self, columns: Iterable[tuple[float, Bucket]], last_seq: int) -> None:
        """Begin from ready buckets `(middle of x, bucket)`, evenly spaced."""
        found = list(columns)
        steps = [b - a for (a, _), (b, _) in pairwise(found)]
        self.width = min(steps, default=1.0)
        self.origin = found[0][0] - self.width / 2 if found else 0.0
        self.buckets = {round((x - self.origin) / self.width - 0.5): bucket for x, bucket in found}
        self.points, self.last_seq = [], last_seq

    def add(self, seq: int, x: float, value: float) -> None:
        """Take the next point."""
        self.last_seq = seq
        if self.width == 0.0:
            self.points.append((x, value))
            if len(self.points) > N_BUCKETS:
                self._begin_buckets()
            return
        self._into_bucket(x, value)

    def _begin_buckets(self) -> None:
        xs = [x for x, _ in self.points]
        self.origin = min(xs)
        self.width = (max(xs) - self.origin) / N_BUCKETS * 2 or 1.0
        points, self.points = self.points, []
        for x, value in points:
            self._into_bucket(x, value)

    def _into_bucket(self, x: float, value: float) -> None:
        at = math.floor((x - self.origin) / self.width)
        while at >= N_BUCKETS:
            self._halve()
            at = math.floor((x - self.origin) / self.width)
        self.buckets.setdefault(max(0, at), Bucket()).add(value)

    def _halve(self) -> None:
        """Make one bucket of every two neighbours."""
        merged: dict[int, Bucket] = {}
        for at in sorted(self.buckets):
            if at // 2 in merged:
                merged[at // 2].merge(self.buckets[at])
            else:
                merged[at // 2] = self.buckets[at]
        self.buckets, self.width = merged, self.width * 2

    def parts(self) -> list[tuple[float, Bucket]]:
        """Return what there is to draw: `(x, bucket)` in the order of x; a short series has a bucket for each point."""
        if self.width:
            return [(self.origin + (at + 0.5) * self.width, self.buckets[at]) for at in sorted(self.buckets)]
        parts = []
        for x, value in self.points:
            bucket = Bucket()
            bucket.add(value)
            parts.append((x, bucket))
        return parts


def thin(parts: Sequence[tuple[float, Bucket]], n_columns: int) -> list[tuple[float, Bucket]]:
    """Return at most `n_columns` parts, neighbours merged; few enough parts stay as they are."""
    if len(parts) <= n_columns:
        return list(parts)
    low, high = min(x for x, _ in parts), max(x for x, _ in parts)
    span = (high - low) or 1.0
    columns: dict[int, Bucket] = {}
    for x, bucket in parts:
        at = min(n_columns - 1, int((x - low) / span * n_columns))
        columns.setdefault(at, Bucket()).merge(bucket)
    return [(low + (at + 0.5) / n_columns * span, columns[at]) for at in sorted(columns)]

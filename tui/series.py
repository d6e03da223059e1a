"""Series as they are drawn: each is read once and from then on only its new points are, by `Sketch`.

Part of `snapshots`: it asks the registry, in worker threads only.
"""

import math
import threading
from collections import OrderedDict
from typing import TYPE_CHECKING

from tui.charts import Curve
from tui.sketch import N_BUCKETS, Bucket, Sketch, thin

if TYPE_CHECKING:
    from sqlmodel import Session

MAX_SKETCHES = 64


class Sketches:
    """The sketches of the series that were drawn last."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._kept: OrderedDict[tuple[int, str], Sketch] = OrderedDict()

    def clear(self) -> None:
        """Forget everything: another registry stands at the address."""
        with self._lock:
            self._kept.clear()

    def read(self, session: "Session", run_id: str, metric: str, x: str) -> Sketch | None:
        """Return the sketch of a series over `step` or `time`, up to date; None when there is no such series."""
        from registry import queries

        series = queries.series_id(session, run_id, metric)
        if series is None:
            return None
        with self._lock:
            sketch = self._kept.setdefault((series, x), Sketch())
            self._kept.move_to_end((series, x))
            if len(self._kept) > MAX_SKETCHES:
                self._kept.popitem(last=False)
            if sketch.last_seq < 0:
                _begin(session, sketch, run_id, metric, x)
            for seq, step, value, elapsed_s in queries.points_after(session, series, sketch.last_seq):
                across = elapsed_s if x == "time" else float(step if step is not None else seq)
                sketch.add(seq, across, math.nan if value is None else value)
        return sketch


def _begin(session: "Session", sketch: Sketch, run_id: str, metric: str, x: str) -> None:
    """Let the database bucket a series that is too long to be read point by point."""
    from registry import queries

    columns = queries.columns(session, run_id, metric, N_BUCKETS, x=x)
    n_points = sum(column.n_points for column in columns)
    if n_points > N_BUCKETS * 2:
        parts = [(c.x, Bucket(c.low, c.high, False, c.n_points, c.n_non_finite)) for c in columns]
        sketch.fill(parts, n_points - 1)


def curve_of(sketch: Sketch, label: str, colour: str, n_columns: int) -> Curve:
    """Return a sketch as a curve of at most two points a column, with what it leaves out counted."""
    parts = sketch.parts()
    xs: list[float] = []
    ys: list[float] = []
    thinned = thin(parts, n_columns)
    for x, bucket in thinned:
        for y in bucket.ends():
            xs.append(x)
            ys.append(y)
    bad = tuple(x for x, bucket in thinned if bucket.n_non_finite)
    n_points, n_bad = sum(b.n_points for _, b in parts), sum(b.n_non_finite for _, b in parts)
    return Curve(label, colour, tuple(xs), tuple(ys), bad, n_points, n_bad)

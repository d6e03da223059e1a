"""The points of a series: whole, from a place on, or in as many columns as a chart has."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlmodel import Session

from registry.queries.statements import all_rows, finite, per_run


@dataclass(frozen=True)
class Point:
    """One recorded value; `value` None stands for NaN, `elapsed_s` counts from the run's start."""

    step: int | None
    value: float | None
    elapsed_s: float | None
    segment: int


@dataclass(frozen=True)
class Column:
    """The points of one column of a chart: the least and the greatest finite value, and how many were not finite."""

    x: float
    low: float | None
    high: float | None
    n_points: int
    n_non_finite: int


def series_id(session: Session, run_id: str, name: str, basis: str | None = None) -> int | None:
    """Return the series of a metric: of this basis, else the measured one, else any. `name (basis)` works too."""
    if basis is None and name.endswith(")") and " (" in name:
        plain, _, wanted = name[:-1].rpartition(" (")
        if (found := series_id(session, run_id, plain, wanted)) is not None:
            return found
    rows = all_rows(
        session,
        "SELECT id, basis FROM metric_series WHERE run_id = :run_id AND name = :name",
        run_id=run_id,
        name=name,
    )
    ranked = sorted(rows, key=lambda row: (row.basis != "measured", row.basis))
    return next((row.id for row in ranked if basis in (None, row.basis)), None)


def history(session: Session, run_id: str, name: str, basis: str | None = None) -> list[Point]:
    """Return every point of a metric in the order it was said."""
    found = series_id(session, run_id, name, basis)
    rows = all_rows(
        session,
        "SELECT step, value, elapsed_ms, segment FROM metric_point WHERE series_id = :id ORDER BY seq",
        id=found,
    )
    return [
        Point(row.step, row.value, None if row.elapsed_ms is None else row.elapsed_ms / 1000, row.segment)
        for row in rows
    ]


def points_after(session: Session, found_series_id: int, seq: int) -> list[tuple[int, int | None, float | None, float]]:
    """Return `(seq, step, value, elapsed_s)` of the points after `seq`: what a live chart has not seen yet."""
    rows = all_rows(
        session,
        "SELECT seq, step, value, elapsed_ms FROM metric_point WHERE series_id = :id AND seq > :seq ORDER BY seq",
        id=found_series_id,
        seq=seq,
    )
    return [(row.seq, row.step, row.value, (row.elapsed_ms or 0) / 1000) for row in rows]


def columns(
    session: Session, run_id: str, name: str, n_columns: int, *, x: str = "step", basis: str | None = None
) -> list[Column]:
    """Return a metric in at most `n_columns` columns with the least and greatest value of each: what a chart needs.

    `x` is `step` or `time` (seconds since the start); a point without a step stands at its place in the series.
    """
    found = series_id(session, run_id, name, basis)
    across = "elapsed_ms / 1000.0" if x == "time" else "COALESCE(step, seq)"
    bounds = all_rows(
        session, f"SELECT min({across}) AS low, max({across}) AS high FROM metric_point WHERE series_id = :id", id=found
    )[0]
    if bounds.low is None:
        return []
    width = (float(bounds.high) - float(bounds.low)) / max(1, n_columns) or 1.0
    rows = all_rows(
        session,
        f"SELECT {_whole(session, f'({across} - :low) / :width')} AS col, count(*) AS n,"
        " sum(CASE WHEN value IS NULL OR abs(value) > 1.7e308 THEN 1 ELSE 0 END) AS bad,"
        " min(CASE WHEN abs(value) <= 1.7e308 THEN value END) AS finite_low,"
        " max(CASE WHEN abs(value) <= 1.7e308 THEN value END) AS finite_high"
        " FROM metric_point WHERE series_id = :id GROUP BY 1 ORDER BY 1",
        id=found,
        low=float(bounds.low),
        width=width,
    )
    return [
        Column(float(bounds.low) + (row.col + 0.5) * width, row.finite_low, row.finite_high, row.n, row.bad)
        for row in rows
    ]


def _whole(session: Session, positive: str) -> str:
    """Return the SQL that cuts a positive number down to a whole one: a server's CAST would round it."""
    return f"CAST({positive} AS INTEGER)" if session.get_bind().dialect.name == "sqlite" else f"trunc({positive})"


_SPARKS = (
    "WITH RECURSIVE k(i) AS (SELECT 0 UNION ALL SELECT i + 1 FROM k WHERE i < :n - 1)"
    " SELECT s.run_id, s.basis, k.i, p.value FROM metric_series s CROSS JOIN k JOIN metric_point p"
    " ON p.series_id = s.id AND p.seq = CASE WHEN s.count <= :n THEN k.i ELSE k.i * (s.count - 1) / (:n - 1) END"
    " WHERE s.run_id IN :ids AND s.name = :name ORDER BY s.run_id, k.i"
)


def sparks(session: Session, ids: Sequence[str], name: str, n: int = 12) -> dict[str, list[float | None]]:
    """Return `n` (at least 2) evenly spaced values of a metric for each run; None for a value that is not finite.

    Of the measured basis, else of any. The cost does not depend on how long the series are.
    """
    found: dict[str, list[float | None]] = {}
    for run_id, rows in per_run(session, _SPARKS, ids, name=name, n=n).items():
        bases = {row.basis for row in rows}
        basis = "measured" if "measured" in bases else min(bases)
        found[run_id] = [finite(row.value) for row in rows if row.basis == basis]
    return found

"""Charts draw whatever a training says, and own up to what they leave out."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tui import charts
from tui.canvas import Canvas
from tui.charts import Curve, Look
from tui.series import curve_of
from tui.sketch import N_BUCKETS, Bucket, Sketch, thin

points = st.lists(st.floats(allow_nan=True, allow_infinity=True, width=32), min_size=1, max_size=300)


def sketch_of(values: list[float]) -> Sketch:
    sketch = Sketch()
    for seq, value in enumerate(values):
        sketch.add(seq, float(seq), value)
    return sketch


@given(points)
def test_a_sketch_counts_every_point_and_keeps_the_extremes(values: list[float]) -> None:
    curve = curve_of(sketch_of(values), "a", "red", 40)
    finite = [value for value in values if math.isfinite(value)]
    assert curve.n_points == len(values)
    assert curve.n_non_finite == len(values) - len(finite)
    assert all(math.isfinite(y) for y in curve.ys)
    if finite:
        assert (min(curve.ys), max(curve.ys)) == (min(finite), max(finite))


@given(points)
def test_a_curve_has_at_most_two_points_a_column(values: list[float]) -> None:
    curve = curve_of(sketch_of(values), "a", "red", 20)
    assert len(curve.xs) <= max(40, len(values) if len(values) <= 20 else 40)


def test_a_sketch_that_outgrows_its_buckets_still_knows_its_extremes() -> None:
    values = [math.sin(k / 50) for k in range(N_BUCKETS * 5)]
    values[7_000] = 42.0
    sketch = sketch_of(values)
    assert len(sketch.buckets) <= N_BUCKETS
    curve = curve_of(sketch, "a", "red", 60)
    assert max(curve.ys) == 42.0
    assert curve.n_points == len(values)


def test_a_sketch_filled_by_the_database_goes_on_point_by_point() -> None:
    sketch = Sketch()
    sketch.fill([(k + 0.5, Bucket(float(k), float(k), False, 10, 0)) for k in range(100)], 999)
    sketch.add(1000, 100.2, -5.0)
    curve = curve_of(sketch, "a", "red", 50)
    assert (min(curve.ys), curve.n_points) == (-5.0, 1001)


def test_thinning_keeps_the_order_of_high_and_low() -> None:
    rising = thin([(0.0, Bucket(1, 1, False, 1, 0)), (1.0, Bucket(5, 5, False, 1, 0))], 1)[0][1]
    falling = thin([(0.0, Bucket(5, 5, False, 1, 0)), (1.0, Bucket(1, 1, False, 1, 0))], 1)[0][1]
    assert (rising.ends(), falling.ends()) == ((1, 5), (5, 1))


@settings(max_examples=30, deadline=None)
@given(points, st.integers(0, 90), st.integers(0, 30), st.booleans())
def test_any_series_at_any_size_gives_lines_of_the_right_width(
    values: list[float], width: int, height: int, log: bool
) -> None:
    curve = curve_of(sketch_of(values), "a", "#56b4e9", max(1, width))
    lines = charts.draw((curve,), width, height, Look(log=log))
    assert lines == () or (len(lines) == height and all(line.cell_len <= width for line in lines))


def test_one_point_is_drawn() -> None:
    lines = charts.draw((Curve("a", "red", (3.0,), (0.5,)),), 40, 8, Look())
    assert any("•" in line.plain or "·" in line.plain or "." in line.plain for line in lines)


def test_a_logarithmic_axis_leaves_out_what_is_not_positive_and_counts_it() -> None:
    curve = Curve("a", "red", (0.0, 1.0, 2.0), (0.0, -1.0, 10.0))
    assert charts.visible(curve, Look(log=True)).ys == (1.0,)
    assert charts.n_not_positive([curve]) == 2


def test_nothing_is_drawn_when_nothing_is_finite() -> None:
    assert charts.draw((Curve("a", "red", (), (), (1.0, 2.0)),), 40, 8, Look()) == ()


def test_a_value_far_out_is_an_arrow_at_the_edge_and_the_rest_keeps_its_shape() -> None:
    ys = [1.6 * 0.95**k for k in range(60)]
    ys[41] = 24.5
    curve = Curve("a", "#56b4e9", tuple(map(float, range(60))), tuple(ys))
    assert charts.far_out([curve], Look()) == [24.5]
    assert charts.value_range([curve], Look()).high < 3
    assert "▲" in charts.draw((curve,), 60, 12, Look())[0].plain
    assert charts.far_out([curve], Look(log=True)) == []


def test_values_that_spread_evenly_are_all_shown() -> None:
    curve = Curve("a", "#56b4e9", tuple(map(float, range(60))), tuple(float(k * k) for k in range(60)))
    assert charts.far_out([curve], Look()) == []


def test_a_line_is_drawn_from_dot_to_dot() -> None:
    canvas = Canvas(2, 1)
    canvas.line(3, 0, 0, 3, "red")
    assert list(canvas.rows()) == [[("⡠⠊", "red")]]


@given(st.integers(0, 39), st.integers(0, 39), st.integers(0, 39), st.integers(0, 39))
def test_a_line_never_leaves_the_box_of_its_ends(x0: int, y0: int, x1: int, y1: int) -> None:
    canvas = Canvas(20, 10)
    canvas.line(x0, y0, x1, y1, "red")
    rows = ["".join(text for text, _ in row) for row in canvas.rows()]
    inked = [(column, row) for row, text in enumerate(rows) for column, char in enumerate(text) if char != " "]
    assert {(x0 // 2, y0 // 4), (x1 // 2, y1 // 4)} <= set(inked)
    assert min(x0, x1) // 2 <= min(c for c, _ in inked) <= max(c for c, _ in inked) <= max(x0, x1) // 2
    assert min(y0, y1) // 4 <= min(r for _, r in inked) <= max(r for _, r in inked) <= max(y0, y1) // 4


@given(st.floats(-1e9, 1e9), st.floats(1e-6, 1e9), st.integers(1, 12))
def test_ticks_are_round_and_inside(low: float, span: float, n: int) -> None:
    found = charts.ticks(low, low + span, n)
    slack = span * 1e-6 + abs(low) * 1e-9
    assert all(low - slack <= tick <= low + span + slack for tick in found)
    assert 2 <= len(found) <= 4 * (n + 2)


def test_ticks_share_their_decimals() -> None:
    assert charts.tick_labels([0.0, 0.2, 0.4]) == ["0.0", "0.2", "0.4"]
    assert charts.tick_labels([0.0, 20_000.0, 40_000.0], "step") == ["0k", "20k", "40k"]
    assert charts.tick_labels([0.0, 90.0], "time") == ["0 s", "1m 30s"]


def test_smoothing_has_no_start_up_bias() -> None:
    curve = Curve("a", "red", (0.0, 1.0, 2.0), (2.0, 2.0, 2.0))
    assert charts.smooth(curve, 0.9).ys == pytest.approx((2.0, 2.0, 2.0))

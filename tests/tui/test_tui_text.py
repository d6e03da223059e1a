"""Text on a screen is exactly as wide as it must be, and never something a terminal obeys."""

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len

from tui import text


@given(st.text(max_size=80), st.integers(0, 40), st.sampled_from(["left", "right"]))
def test_fit_is_exactly_as_wide_as_asked(value: str, width: int, align: str) -> None:
    assert cell_len(text.fit(text.clean(value), width, align)) == width


@given(st.text(max_size=200))
def test_nothing_a_terminal_obeys_survives_cleaning(value: str) -> None:
    cleaned = text.clean(value)
    assert not any(unicodedata.category(char) in ("Cc", "Cs") for char in cleaned)
    assert not set(cleaned) & set("\u202a\u202b\u202d\u202e\u2066\u2067\u200e\u200f\u061c")
    cleaned.encode()


def test_a_lone_surrogate_and_an_escape_sequence_become_visible() -> None:
    assert text.clean("a\x1b[31mred\n\ud83d") == "a␛[31mred↵\ufffd"


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (None, "–"), (float("nan"), "NaN"), (float("-inf"), "-∞"), (0, "0"), (12340.0, "12,340"), (0.31244, "0.3124"),
        (0.00001234, "1.23e-05"), (98.612, "98.61"), (1e12, "1.00e+12"), (-0.5, "-0.5000"),
    ],
)  # fmt: skip
def test_numbers_read_with_four_digits(value: float | None, shown: str) -> None:
    assert text.number(value) == shown


def test_a_difference_carries_its_sign() -> None:
    assert [text.signed(x) for x in (0.0, 0.25, -1.0, None)] == ["±0", "+0.250", "-1", "–"]


def test_spans_of_time_use_two_units() -> None:
    assert [text.duration(s) for s in (0, 59, 61, 3600, 90061, None)] == [
        "0 s", "59 s", "1m 01s", "1h 00m", "1d 01h", "–",
    ]  # fmt: skip


def test_the_time_left_is_said_as_short_as_can_be() -> None:
    assert [text.time_left(s) for s in (0, 59.9, 914, 4920, 187_200)] == ["0s", "59s", "15m", "1h22m", "2d4h"]


def test_ages_use_one_unit_and_say_when_they_lie_in_the_future() -> None:
    assert [text.ago(at, 1000.0) for at in (990.0, 700.0, None, 2000.0)] == ["10 s", "5 min", "–", "in the future"]


@given(st.lists(st.one_of(st.none(), st.floats()), max_size=60), st.integers(0, 20))
def test_a_sparkline_is_never_longer_than_its_width(values: list[float | None], width: int) -> None:
    assert len(text.sparkline(values, width)) <= width


def test_a_sparkline_rises_with_its_values_and_leaves_a_gap_for_nan() -> None:
    assert text.sparkline([0.0, 1.0, float("nan"), 2.0], 4) == "▁▅ █"


@given(st.floats(-1, 2), st.integers(1, 40))
def test_a_bar_fills_its_width(share: float, width: int) -> None:
    assert cell_len(text.bar(share, width)) == width


def test_sizes_and_counts() -> None:
    assert [text.size(n) for n in (0, 999, 52_000, 2_500_000_000, None)] == ["0 B", "999 B", "52.0 kB", "2.5 GB", "–"]
    assert [text.count(1, "run"), text.count(1234, "run")] == ["1 run", "1,234 runs"]

"""`registry plot`: curves as text, each told from the others without colours, and nothing hidden."""

import math

import pytest

import registry


@pytest.fixture
def two(own_folder):
    for name, slope in (("steep", 0.9), ("flat", 0.99)):
        with registry.init(name=name) as run:
            for step in range(50):
                run.log({"val/loss": slope**step}, step=step)


def test_a_curve_is_drawn_with_its_metric_and_its_axis(cli, two):
    shown = cli("plot", "val/loss", "steep").out
    assert "val/loss" in shown and "step" in shown and "steep" in shown
    assert "1.00" in shown and "49" in shown
    assert "\x1b" not in shown, "no colours in a pipe"


def test_two_curves_are_told_apart_by_their_markers(cli, two):
    shown = cli("plot", "val/loss", "steep", "flat").out
    assert "steep" in shown and "flat" in shown
    assert shown.count("•") > 10, "the second curve has a marker of its own"


def test_latest_unless_named(cli, two):
    assert "flat" in cli("plot", "val/loss").out


def test_time_along_the_bottom(cli, two):
    assert "seconds" in cli("plot", "val/loss", "--x", "time").out
    assert cli("plot", "val/loss", "--x", "epochs", code=2).err


def test_what_is_not_finite_is_counted_not_hidden(cli, own_folder):
    with registry.init(name="broken") as run:
        for step in range(20):
            run.log({"loss": math.nan if step > 15 else -float(step)}, step=step)
    answer = cli("plot", "loss")
    assert answer.code == 0 and "4 of 20 values are not finite" in answer.err
    assert "above zero" in cli("plot", "loss", "--log", code=4).err


def test_a_metric_that_no_run_has_is_not_found(cli, two):
    answer = cli("plot", "val/lozz", "steep", code=4)
    assert "val/lozz" in answer.err

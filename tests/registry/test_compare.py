"""Runs side by side: best by goal with its step, differences to a baseline, only what changed, groups by seed."""

import csv
import io

import pytest

import registry


@pytest.fixture
def three(own_folder):
    curves = {"a": [0.5, 0.3, 0.4], "b": [0.6, 0.25, 0.9], "c": [0.7, 0.35, 0.35]}
    ids = {}
    for seed, (name, losses) in enumerate(curves.items()):
        with registry.init(experiment="e", name=name, params={"lr": 0.1, "seed": seed, "arch": "x"}) as run:
            for step, loss in enumerate(losses):
                run.log({"val/loss": loss, "val/acc": 1 - loss, "lr": 0.1}, step=step)
        ids[name] = run.id
    return ids


def test_best_by_goal_not_last_and_the_best_of_all_is_marked(cli, three):
    found = cli("compare", "a", "b", "c", "--json").json
    cells = found["metrics"]["val/loss"]["values"]
    assert [(cell["value"], cell["step"], cell["best"]) for cell in cells] == [
        (0.3, 1, False),
        (0.25, 1, True),
        (0.35, 1, False),
    ]
    assert found["metrics"]["val/acc"]["values"][1]["best"] and found["metrics"]["val/loss"]["goal"] == "min"


def test_last_values_on_demand(cli, three):
    cells = cli("compare", "a", "b", "--last", "--json").json["metrics"]["val/loss"]["values"]
    assert [(cell["value"], cell["step"]) for cell in cells] == [(0.4, 2), (0.9, 2)]


def test_differences_to_a_baseline_say_what_is_better(cli, three):
    cells = cli("compare", "b", "c", "--baseline", "a", "--json").json["metrics"]["val/loss"]["values"]
    assert [cell["delta"] for cell in cells] == [None, pytest.approx(-0.05), pytest.approx(0.05)]
    assert [cell["better"] for cell in cells] == [None, True, False]


def test_only_what_changed(cli, three):
    found = cli("compare", "a", "b", "--only-changed", "--json").json
    assert list(found["params"]) == ["seed"]
    assert "lr" not in found["metrics"] and "val/loss" in found["metrics"]
    assert list(cli("diff", "a", "b", "--json").json["params"]) == ["seed"]


def test_sorted_by_a_metric_the_best_comes_first_unless_told_otherwise(cli, three):
    def order(*words):
        return [run["name"] for run in cli("compare", "-e", "e", *words, "--json").json["runs"]]

    assert order("--sort-by", "val/loss") == ["b", "a", "c"]
    assert order("--sort-by", "val/loss", "--sort-order", "desc") == ["c", "a", "b"]
    assert order("--sort-by", "last:val/loss") == ["c", "a", "b"]
    assert order("--sort-by", "params.seed") == ["a", "b", "c"]


def test_chosen_columns_in_the_order_asked_for(cli, three):
    found = cli("compare", "a", "b", "--columns", "val/acc,seed", "--json").json
    assert list(found["metrics"]) == ["val/acc"] and list(found["params"]) == ["seed"]


def test_markdown_and_csv(cli, three):
    lines = cli("compare", "a", "b", "--md").out.splitlines()
    assert lines[0].startswith("|  | a (") and lines[1] == "| --- | --- | --- |"
    rows = list(csv.DictReader(io.StringIO(cli("compare", "a", "b", "--csv").out)))
    assert [(row["name"], float(row["val/loss"]), row["val/loss@step"]) for row in rows] == [
        ("a", 0.3, "1"),
        ("b", 0.25, "1"),
    ]


def test_runs_that_differ_only_in_seed_are_one_row_with_mean_and_spread(cli, three):
    groups = cli("compare", "-e", "e", "--group-by", "seed", "--json").json
    assert len(groups) == 1
    spread = groups[0]["metrics"]["val/loss"]
    assert spread["n"] == 3
    assert spread["mean"] == pytest.approx(0.3) and spread["sd"] == pytest.approx(0.05)
    assert "0.3 ± 0.05 (n=3)" in cli("compare", "-e", "e", "--group-by", "seed").out


def test_a_run_that_diverged_is_shown_and_never_best(cli, three):
    with registry.init(experiment="e", name="nan", params={"lr": 9}) as run:
        run.log({"val/loss": float("nan")}, step=0)
    found = cli("compare", "a", "nan", "--json").json["metrics"]["val/loss"]["values"]
    assert found[1]["value"] is None and not found[1]["best"]
    assert "[1 not finite]" in cli("compare", "a", "nan").out


def test_runs_without_anything_in_common(cli, own_folder):
    registry.init(name="empty", params={"x": 1}).finish()
    registry.init(name="other", params={"y": [1, 2]}).finish()
    found = cli("compare", "empty", "other", "--json").json
    assert found["params"] == {"x": [1, None], "y": [None, [1, 2]]} and found["metrics"] == {}


def test_nothing_to_compare_is_not_found(cli, own_folder):
    cli("init")
    assert "no runs to compare" in cli("compare", code=4).err
    assert "no run 'x'" in cli("compare", "x", code=4).err

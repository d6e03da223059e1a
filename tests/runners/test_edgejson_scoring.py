"""Scores: an answer that is there is found, one that is wrong is not right, and an interval says how sure that is."""

from pathlib import Path

import pytest

from runners.edgejson.catalogue import SCHEMAS
from runners.edgejson.model import answer_text
from runners.edgejson.scoring import METRICS, extract, paired_gain, same, score
from runners.training.estimates import wilson

NESTED = {"a": {"b": {"c": {"d": [{"e": "}{"}]}}}}


@pytest.mark.parametrize("around", ["{}", "Sure! {}", "{} and more {{not json}}", "```json\n{}\n```", "{}\n{}"])
def test_an_answer_is_found_however_deep_and_whatever_stands_around_it(around):
    assert extract(around.format(answer_text(NESTED), answer_text({}))) == NESTED


@pytest.mark.parametrize("text", ["", "no object", "{", '{"a": }', "{" * 100_000])
def test_no_answer_scores_nothing(text):
    assert set(score(text, {"rating": 1}, SCHEMAS["rating"]).values()) == {0.0}


def test_values_are_compared_as_json_means_them():
    assert same({"a": 1, "b": [2]}, {"b": [2.0], "a": 1.0})
    assert not same(True, 1) and not same(0, False) and same(True, True)
    assert not same([1], [1, 1]) and not same({"a": None}, {}) and not same("1", 1)


def test_each_score_asks_its_own_question():
    expected = {"rating": 4, "reviewer_name": "Ada Lund"}
    schema = SCHEMAS["rating"]
    right = score(answer_text(expected), expected, schema)
    assert set(right.values()) == {1.0}
    partly = score(answer_text({**expected, "rating": 5}), expected, schema)
    assert partly["json_exact"] == 0.0 and partly["field_f1_top"] == 0.5 and partly["schema_ok"] == 1.0
    extra = score(answer_text({**expected, "mood": "good"}), expected, schema)
    assert extra["compliance_legacy"] == 1.0
    assert score(answer_text({**expected, "rating": "4"}), expected, schema)["compliance_legacy"] == 0.0
    assert extra["schema_ok"] == 0.0 and extra["leaf_f1"] == pytest.approx(0.8)
    order = {"order_id": "A", "customer_name": "B", "items": [{"product_name": "X", "quantity": 2, "price": 3.0}]}
    wrong_sum = score(
        answer_text({**order, "total_amount": 7.0}), {**order, "total_amount": 6.0}, SCHEMAS["order_details"]
    )
    assert wrong_sum["schema_ok"] == 1.0 and wrong_sum["math_ok"] == 0.0


def test_wilsons_interval_is_that_of_the_textbook():
    found = wilson([1.0] * 8 + [0.0] * 2)
    assert (found.value, found.n) == (0.8, 10)
    assert (found.low, found.high) == pytest.approx((0.4902, 0.9433), abs=1e-4)
    assert wilson([0.0] * 20).low == 0.0 and wilson([0.0] * 20).high == pytest.approx(0.1611, abs=1e-4)


def test_a_paired_gain_knows_that_the_rows_are_the_same():
    base = [float(index % 2) for index in range(100)]
    assert paired_gain(base, base) == paired_gain(base, base)
    assert (paired_gain(base, base).low, paired_gain(base, base).high) == (0.0, 0.0)
    better = paired_gain([1.0] * 100, base)
    assert better.value == 0.5 and better.low > 0.3


def test_the_published_figures_stand_beside_ours(cli):
    rows = Path(__file__).parents[2] / "docs" / "families" / "published" / "edgejson.md"
    cli("import", rows)
    shown = cli("compare", "published LoRA 135M, version 3", "published LoRA 360M, version 3", "--json").out
    assert "edge/json_exact" in shown and "0.247" in shown and "0.551" in shown
    assert {f"edge/{name}" for name in METRICS} >= {
        name for name in ("edge/json_exact", "edge/field_f1_top", "edge/compliance_legacy") if name in rows.read_text()
    }

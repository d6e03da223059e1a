"""A gate looks at the checkpoint, not at the run; what is missing, not measured or not calibrated does not pass."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry.gates import Facts, Observed, OtherFacts, SeriesFacts, judge, parse_suite, passes


def suite(gate, more=""):
    return parse_suite(f'[[gate]]\nmetric = "m"\n{gate}\n{more}', "s")


def at(value, **known):
    return SeriesFacts(
        basis=known.pop("basis", "measured"),
        last=Observed(known.pop("last", value), 9),
        least=Observed(known.pop("least", value), 1),
        greatest=Observed(known.pop("greatest", value), 2),
        at_checkpoint=None if value is None else Observed(value, 4, **known),
    )


def facts(value=None, **known):
    series = {"m": (at(value),)} if value is not None else {}
    return Facts(**{"checkpoint": "best.bin of step 4", "step": 4, "series": series, **known})


def one(gate, found, more=""):
    return judge(suite(gate, more), found)[0]


@pytest.mark.parametrize(
    ("op", "bound", "passing", "failing"),
    [
        (">=", "0.5", [0.5, 0.6], [0.4999]),
        (">", "0.5", [0.5001], [0.5, 0.4]),
        ("<=", "0.5", [0.5, -1], [0.51]),
        ("<", "0.5", [0.49], [0.5]),
        ("==", "16", [16, 0.1 + 15.9], [15, 16.001]),
        ("between", "[0.24, 0.78]", [0.24, 0.5, 0.78], [0.23, 0.79]),
    ],
)
def test_each_operator_means_what_it_says(op, bound, passing, failing):
    gate = f'op = "{op}"\nthreshold = {bound}'
    assert [one(gate, facts(value)).verdict for value in passing] == ["pass"] * len(passing)
    assert [one(gate, facts(value)).verdict for value in failing] == ["fail"] * len(failing)


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("op", [">=", ">", "<=", "<"])
def test_a_value_that_is_not_finite_fails_every_gate(op, value):
    assert one(f'op = "{op}"\nthreshold = 0', facts(value)).verdict == "fail"


def test_a_missing_metric_is_unknown_and_unknown_does_not_pass():
    verdicts = judge(suite('op = ">="\nthreshold = 0'), facts())
    assert verdicts[0].verdict == "unknown" and verdicts[0].observed is None
    assert "no m was recorded for best.bin of step 4" in verdicts[0].reason
    assert not passes(verdicts) and not passes([])


def test_the_value_of_the_checkpoint_counts_not_the_runs_best_or_last():
    series = {"m": (at(0.2, last=0.9, greatest=0.95, least=0.1),)}
    verdict = one('op = ">="\nthreshold = 0.5', facts(series=series))
    assert (verdict.verdict, verdict.observed, verdict.step) == ("fail", 0.2, 4)
    assert one('op = ">="\nthreshold = 0.5\non = "last"', facts(series=series)).observed == 0.9
    assert one('op = ">="\nthreshold = 0.5\non = "best"', facts(series=series)).observed == 0.95
    assert one('op = "<="\nthreshold = 0.5\non = "best"', facts(series=series)).observed == 0.1


def test_best_needs_to_know_which_way_is_better():
    series = {"m": (at(0.2, greatest=0.9),)}
    between = 'op = "between"\nthreshold = [0, 1]\non = "best"'
    assert one(between, facts(series=series)).verdict == "unknown"
    assert one(f'{between}\ngoal = "max"', facts(series=series)).observed == 0.9
    assert one(between, facts(series=series, goals={"m": "max"})).observed == 0.9


def test_a_series_without_a_value_at_the_checkpoints_step_is_unknown():
    series = {"m": (at(None, last=0.9, greatest=0.9, least=0.9),)}
    verdict = one('op = ">="\nthreshold = 0.5', facts(series=series))
    assert verdict.verdict == "unknown" and "step 4, where m was not measured" in verdict.reason


def test_an_evaluation_of_the_checkpoint_itself_goes_before_the_series():
    evaluated = {"m": (Observed(0.7, 4, source="evaluated"), Observed(0.1, 4))}
    verdict = one('op = ">="\nthreshold = 0.5', facts(0.2, evaluated=evaluated))
    assert (verdict.verdict, verdict.observed) == ("pass", 0.7)


def test_a_run_without_a_checkpoint_has_nothing_a_gate_could_look_at():
    verdict = one('op = ">="\nthreshold = 0.5', facts(0.9, checkpoint=None, step=None, series={}))
    assert verdict.verdict == "unknown" and "no checkpoint" in verdict.reason


def test_only_measured_values_count_unless_the_gate_says_otherwise():
    evaluated = {"m": (Observed(0.99, basis="sampled"),)}
    gate = 'op = ">="\nthreshold = 0.9'
    verdict = one(gate, facts(evaluated=evaluated))
    assert verdict.verdict == "unknown" and "0.99 sampled" in verdict.reason
    assert one(f'{gate}\nbasis = ["measured", "sampled"]', facts(evaluated=evaluated)).verdict == "pass"
    both = {"m": (Observed(0.99, basis="sampled"), Observed(0.86, basis="measured"))}
    assert one(gate, facts(evaluated=both)).observed == 0.86


@pytest.mark.parametrize("name", ["ood/m", "m/ood"])
def test_a_split_is_found_before_or_after_the_name(name):
    evaluated = {name: (Observed(0.5),), "m": (Observed(0.9),)}
    verdict = one('op = ">="\nthreshold = 0.6\nsplit = "ood"', facts(evaluated=evaluated))
    assert (verdict.verdict, verdict.metric) == ("fail", name)


# --- intervals


@pytest.mark.parametrize(
    ("op", "bound", "low", "high", "verdict"),
    [
        (">=", "0.5", 0.51, 0.9, "pass"),
        (">=", "0.5", 0.49, 0.9, "fail"),
        ("<=", "0.5", 0.1, 0.51, "fail"),
        ("<=", "0.5", 0.1, 0.49, "pass"),
        ("between", "[0, 1]", 0.1, 0.9, "pass"),
        ("between", "[0, 1]", -0.1, 0.9, "fail"),
    ],
)
def test_the_interval_not_the_point_must_clear_the_threshold(op, bound, low, high, verdict):
    evaluated = {"m": (Observed(0.5 if op == "between" else 0.7 if op == ">=" else 0.3, low=low, high=high),)}
    found = one(f'op = "{op}"\nthreshold = {bound}\ninterval = true', facts(evaluated=evaluated))
    assert (found.verdict, found.low, found.high) == (verdict, low, high)


def test_a_gate_on_the_interval_is_unknown_without_one():
    verdict = one('op = ">="\nthreshold = 0.5\ninterval = true', facts(0.9))
    assert verdict.verdict == "unknown" and "gives none" in verdict.reason


@given(st.floats(-1e6, 1e6), st.floats(0, 1e3), st.floats(-1e6, 1e6))
def test_an_interval_never_passes_where_its_point_fails(value, width, threshold):
    evaluated = {"m": (Observed(value, low=value - width, high=value + width),)}
    gate = f'op = ">="\nthreshold = {threshold!r}'
    strict = one(f"{gate}\ninterval = true", facts(evaluated=evaluated)).verdict
    assert strict == "fail" or one(gate, facts(evaluated=evaluated)).verdict == "pass"


# --- compared with another


def other(value, **known):
    return {"@production": OtherFacts("P1", facts(value), **known)}


@pytest.mark.parametrize(
    ("goal", "mine", "theirs", "gate", "verdict"),
    [
        ("max", 0.55, 0.50, "min_absolute_change = 0.05", "pass"),
        ("max", 0.54, 0.50, "min_absolute_change = 0.05", "fail"),
        ("min", 0.40, 0.50, "min_absolute_change = 0.05", "pass"),
        ("min", 0.50, 0.40, "min_absolute_change = 0.05", "fail"),
        ("max", 0.48, 0.50, "min_absolute_change = -0.03", "pass"),
        ("max", 0.60, 0.50, "min_relative_change = 0.2", "pass"),
        ("max", 0.59, 0.50, "min_relative_change = 0.2", "fail"),
        ("min", -2.2, -2.0, "min_relative_change = 0.1", "pass"),
        ("max", 1.0, 0.0, "min_relative_change = 0.1", "unknown"),
    ],
)
def test_an_improvement_is_measured_in_the_direction_of_the_goal(goal, mine, theirs, gate, verdict):
    found = one(f'goal = "{goal}"\n{gate}', facts(mine + (1e-12 if goal == "max" else -1e-12), others=other(theirs)))
    assert found.verdict == verdict, found.reason


def test_nothing_need_be_better_than_nothing_or_than_itself():
    gate = 'goal = "max"\nmin_absolute_change = 0.1'
    for words in ("nothing serves production yet", "this is what serves production"):
        verdict = one(gate, facts(0.5, others={"@production": OtherFacts("production", waived=words)}))
        assert (verdict.verdict, verdict.reason) == ("pass", words)


def test_a_baseline_that_is_gone_or_lacks_the_metric_is_unknown():
    gate = 'goal = "max"\nmin_absolute_change = 0.1\nagainst = "old"'
    assert one(gate, facts(0.5)).verdict == "unknown"
    assert one(gate, facts(0.5, others={"old": OtherFacts("old", facts())})).verdict == "unknown"


def test_without_a_goal_nobody_can_say_what_better_is():
    verdict = one("min_absolute_change = 0.1", facts(0.5, others=other(0.1)))
    assert verdict.verdict == "unknown" and "add goal" in verdict.reason


def test_a_dumb_baseline_of_the_suite_can_be_what_has_to_be_beaten():
    gate = 'goal = "max"\nmin_absolute_change = 0.1\nagainst = "baseline:copy_last"'
    more = '[[baseline]]\nname = "copy_last"'
    beside = {"copy_last": {"m": Observed(0.4)}}
    assert one(gate, facts(0.51, subjects=beside), more).verdict == "pass"
    assert one(gate, facts(0.45, subjects=beside), more).verdict == "fail"
    assert one(gate, facts(0.45), more).verdict == "unknown"


def test_with_intervals_the_worst_case_of_both_counts():
    gate = 'goal = "max"\nmin_absolute_change = 0.0\nagainst = "baseline:b"\ninterval = true'
    more = '[[baseline]]\nname = "b"'
    mine = {"m": (Observed(0.6, low=0.52, high=0.68),)}
    apart = {"b": {"m": Observed(0.4, low=0.35, high=0.5)}}
    touching = {"b": {"m": Observed(0.4, low=0.3, high=0.55)}}
    assert one(gate, facts(evaluated=mine, subjects=apart), more).verdict == "pass"
    assert one(gate, facts(evaluated=mine, subjects=touching), more).verdict == "fail"


# --- controls

CONTROLS = '[[control]]\nname = "oracle"\nmust = "pass"\n[[control]]\nname = "constant"\nmust = "fail"'
APART = {"oracle": {"m": Observed(0.9)}, "constant": {"m": Observed(0.1)}}


def test_a_gate_whose_controls_separate_gives_its_verdict_with_their_scores_beside_it():
    verdict = one('op = ">="\nthreshold = 0.5', facts(0.7, subjects=APART), CONTROLS)
    assert verdict.verdict == "pass"
    assert [(score.name, score.value, score.verdict) for score in verdict.beside] == [
        ("oracle", 0.9, "pass"),
        ("constant", 0.1, "fail"),
    ]


@pytest.mark.parametrize(
    "scores",
    [
        {},
        {"oracle": {"m": Observed(0.9)}},
        {"oracle": {"m": Observed(0.4)}, "constant": {"m": Observed(0.1)}},
        {"oracle": {"m": Observed(0.9)}, "constant": {"m": Observed(0.6)}},
        {"oracle": {"m": Observed(math.nan)}, "constant": {"m": Observed(0.1)}},
        {"oracle": {"other": Observed(0.9)}, "constant": {"m": Observed(0.1)}},
    ],
)
@pytest.mark.parametrize("value", [0.9, 0.1])
def test_controls_that_are_missing_or_do_not_separate_make_every_verdict_uncalibrated(scores, value):
    verdicts = judge(suite('op = ">="\nthreshold = 0.5', CONTROLS), facts(value, subjects=scores))
    assert verdicts[0].verdict == "uncalibrated" and not passes(verdicts)


def test_the_gate_that_failed_its_oracle_is_told_from_the_one_that_does_not():
    off_by_one = {"oracle": {"m": Observed(-0.597)}, "constant": {"m": Observed(-0.0)}}
    verdict = one('op = ">="\nthreshold = 0.02', facts(-0.041, subjects=off_by_one), CONTROLS)
    assert verdict.verdict == "uncalibrated" and "oracle (-0.597) fails and must pass" in verdict.reason


def test_a_gate_names_the_controls_it_must_tell_apart():
    scores = {"oracle": {"m": Observed(0.9)}, "constant": {"m": Observed(0.6)}}
    assert (
        one('op = ">="\nthreshold = 0.5\ncontrols = ["oracle"]', facts(0.7, subjects=scores), CONTROLS).verdict
        == "pass"
    )
    assert one('op = ">="\nthreshold = 0.5\ncontrols = []', facts(0.7), CONTROLS).verdict == "pass"


def test_a_missing_metric_stays_unknown_whatever_the_controls_say():
    assert one('op = ">="\nthreshold = 0.5', facts(), CONTROLS).verdict == "unknown"


def test_a_control_without_an_interval_is_judged_by_its_point():
    evaluated = {"m": (Observed(0.7, low=0.6, high=0.8),)}
    gate = 'op = ">="\nthreshold = 0.5\ninterval = true'
    assert one(gate, facts(evaluated=evaluated, subjects=APART), CONTROLS).verdict == "pass"


def test_an_advisory_gate_does_not_stand_in_the_way():
    advisory = suite('op = ">="\nthreshold = 0.5', '[[gate]]\nmetric = "x"\nop = ">"\nthreshold = 0\nadvisory = true')
    verdicts = judge(advisory, facts(0.7))
    assert [(verdict.verdict, verdict.required) for verdict in verdicts] == [("pass", True), ("unknown", False)]
    assert passes(verdicts)

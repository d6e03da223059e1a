"""A gate suite is understood whole or refused with the place of the mistake and the nearest right word."""

from pathlib import Path

import pytest

from registry.errors import NotFoundError, UsageError
from registry.gates import load_suite_text, parse_suite, shipped_suites

GATE = '[[gate]]\nname = "a"\nmetric = "val/acc"\nop = ">="\nthreshold = 0.5\n'


def complaint(text):
    with pytest.raises(UsageError) as caught:
        parse_suite(text, "my.toml")
    assert caught.value.exit_code == 2
    return str(caught.value)


def test_every_shipped_suite_is_understood_and_names_controls_of_both_kinds():
    assert {"5cat", "edgejson-v1", "json-repair", "ternary-vae"} <= set(shipped_suites())
    for name in shipped_suites():
        found, text = load_suite_text(name)
        suite = parse_suite(text, name)
        assert found == suite.name == name
        assert {control.must for control in suite.controls} == {"pass", "fail"}
        assert suite.description


def test_a_suite_is_found_by_file_by_name_and_by_the_name_of_a_shipped_file(own_folder):
    Path("mine.toml").write_text(GATE)
    assert load_suite_text("mine.toml") == ("mine", GATE)
    assert load_suite_text("5cat")[0] == load_suite_text("5cat.toml")[0] == "5cat"
    Path("5cat.toml").write_text('name = "own"\n' + GATE)
    assert load_suite_text("5cat.toml")[0] == "own"


def test_a_suite_that_is_not_there_names_the_nearest(own_folder):
    with pytest.raises(NotFoundError, match="did you mean 5cat") as caught:
        load_suite_text("5ca")
    assert caught.value.exit_code == 4
    with pytest.raises(NotFoundError, match="shipped suites: 5cat"):
        load_suite_text("elsewhere/zzz.toml")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (('op = ">="', 'op = "=>"'), "line 4: gate 1 (a) has an unknown op '=>' (did you mean '>='?)"),
        (("threshold", "treshold"), "line 5: gate 1 (a) has an unknown key 'treshold' (did you mean 'threshold'?)"),
        (("threshold = 0.5", 'threshold = "0.5"'), "line 5: gate 1 (a) has threshold = '0.5' (write a number)"),
        (("threshold = 0.5", "threshold = true"), "threshold = True"),
        (("threshold = 0.5", "threshold = nan"), "threshold = nan"),
        (('metric = "val/acc"\n', ""), "gate 1 (a) names no metric"),
        (("threshold = 0.5\n", ""), "needs both op and threshold"),
        (("threshold = 0.5", "threshold = 0.5\nmin_absolute_change = 0.1"), "must ask for exactly one thing"),
        (('op = ">="', 'op = "between"'), "without two numbers"),
        (('op = ">="\nthreshold = 0.5', 'op = "between"\nthreshold = [2, 1]'), "the wrong way round: [2, 1]"),
        (("threshold = 0.5", 'threshold = 0.5\nbasis = "mesured"'), "did you mean 'measured'"),
        (("threshold = 0.5", 'threshold = 0.5\non = "bets"'), "did you mean 'best'"),
        (("threshold = 0.5", 'threshold = 0.5\nstage = "A"'), "unknown stage 'A' (known: none)"),
        (("threshold = 0.5", 'threshold = 0.5\ncontrols = ["oracle"]'), "unknown control 'oracle'"),
        (("threshold = 0.5", 'threshold = 0.5\nagainst = "@production"'), "asks for no change"),
        (("threshold = 0.5", "threshold = 0.5\nadvisory = true\nrequired = true"), "both required and advisory"),
        (("[[gate]]", "[[gates]]"), "unknown key 'gates' (did you mean 'gate'?)"),
        (("[[gate]]", "[gate]"), "write [[gate]] tables"),
        (("threshold = 0.5", "threshold ="), "my.toml is not TOML"),
    ],
)
def test_a_typo_is_named_with_its_place_and_what_was_meant(change, said):
    assert said in complaint(GATE.replace(*change))


def test_two_gates_of_one_name_are_told_apart_by_their_stage_only():
    assert "line 7: gate 2 (a) has the name of another" in complaint(GATE + GATE)
    staged = "".join(f'{GATE}stage = "{name}"\n' for name in "AB") + '[[stage]]\nname = "A"\n[[stage]]\nname = "B"\n'
    assert [gate.stage for gate in parse_suite(staged).gates] == ["A", "B"]


@pytest.mark.parametrize(
    ("stage", "said"),
    [
        ('retry = { lr = "+0.1" }', "says how to retry but not how often"),
        ('max_retries = 1\nretry = { lr = "+x" }', "has retry lr = '+x'"),
        ("max_retries = -1", "write a whole number, 0 or more"),
        ("", "has no required gate, so nothing must pass to go on"),
    ],
)
def test_a_stage_that_decides_nothing_or_retries_nonsense_is_refused(stage, said):
    assert said in complaint(f'[[stage]]\nname = "A"\n{stage}\n{GATE}')


def test_what_is_said_once_in_defaults_holds_for_every_gate():
    suite = parse_suite('[defaults]\nbasis = "any"\nrequired = false\non = "best"\n' + GATE)
    gate = suite.gates[0]
    assert gate.basis == ("measured", "sampled", "estimated") and not gate.required and gate.on == "best"


def test_the_light_part_brings_no_database_along(python):
    process = python(
        "import registry.gates, registry.stages, registry.data_policy, sys; print('sqlmodel' in sys.modules)"
    )
    assert process.communicate(timeout=60)[0].strip() == "False"


def test_a_suite_that_is_no_text_or_a_folder_says_so(own_folder):
    Path("odd.toml").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match="not UTF-8"):
        load_suite_text("odd.toml")
    Path("folder").mkdir()
    with pytest.raises(NotFoundError):
        load_suite_text("folder")

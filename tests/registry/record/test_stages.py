"""Stages are passed in order; a failed one is tried again as the suite says, and nothing is tried that cannot help."""

import json
import sys
from pathlib import Path

import pytest
from sqlmodel import select

from registry.chains import chain_of
from registry.database import open_database
from registry.errors import UsageError
from registry.gates import load_suite_text, parse_suite
from registry.gates.judge import GateVerdict
from registry.staged import run_staged
from registry.stages import Attempted, changed, decide, filled, follow
from registry.tables import Note, RunRow
from registry.wrapper import Declared

SUITE = """
name = "curriculum"
[[gate]]
name = "margin"
metric = "margin"
op = ">="
threshold = 0.02
stage = "A"
[[gate]]
name = "margin"
metric = "margin"
op = ">="
threshold = 0.06
stage = "B"
[[stage]]
name = "A"
set = { epochs = 4 }
max_retries = 2
retry = { positional_scalar = "+0.05", attention_bias = "+0.2" }
fallback = { variant = "p6" }
[[stage]]
name = "B"
set = { epochs = 10 }
"""
PARAMS = {"positional_scalar": 0.03, "attention_bias": 0.0, "variant": "p5"}


def verdict(word, stage="A"):
    return GateVerdict("s", stage, "margin", "margin", ">=", 0.02, 0.0, None, None, 4, "measured", True, word, "why")


def came_of(attempt, word, status="finished"):
    return Attempted(attempt, f"run-{attempt.name}", status, (verdict(word, attempt.stage),))


def play(words):
    """Follow the suite with verdicts given in advance; returns the attempts and the last decision."""
    words = iter(words)
    return follow(parse_suite(SUITE), PARAMS, lambda attempt: came_of(attempt, next(words)))


def test_every_stage_that_passes_leads_to_the_next():
    history, decision = play(["pass", "pass"])
    assert [made.attempt.name for made in history] == ["A", "B"]
    assert [made.attempt.params["epochs"] for made in history] == [4, 10]
    assert decision.passed and decision.attempt is None


def test_a_stage_is_retried_twice_with_more_of_the_param_and_then_the_fallback_is_tried_once():
    history, decision = play(["fail"] * 4)
    scalars = [made.attempt.params["positional_scalar"] for made in history]
    assert scalars == [0.03, 0.08, 0.13, 0.13]
    assert [made.attempt.params["attention_bias"] for made in history] == [0.0, 0.2, 0.4, 0.4]
    assert [made.attempt.params["variant"] for made in history] == ["p5", "p5", "p5", "p6"]
    assert [made.attempt.name for made in history] == ["A", "A2", "A3", "A4"]
    assert not decision.passed and "did not pass in 4 attempts" in decision.reason


def test_what_passed_goes_on_with_the_params_that_passed():
    history, decision = play(["fail", "pass", "pass"])
    assert history[-1].attempt.stage == "B" and history[-1].attempt.params["positional_scalar"] == 0.08
    assert history[-1].attempt.number == 1 and decision.passed


@pytest.mark.parametrize("word", ["unknown", "uncalibrated"])
def test_a_verdict_that_another_try_would_not_change_ends_the_chain(word):
    history, decision = play([word])
    assert len(history) == 1 and not decision.passed and word in decision.reason


def test_a_run_that_did_not_finish_ends_the_chain():
    suite = parse_suite(SUITE)
    first = decide(suite, PARAMS, []).attempt
    decision = decide(suite, PARAMS, [came_of(first, "pass", status="killed")])
    assert decision.attempt is None and not decision.passed and "the run ended killed" in decision.reason


def test_every_decision_is_told_with_its_reason():
    said = []
    words = iter(["fail", "pass", "pass"])
    follow(parse_suite(SUITE), PARAMS, lambda attempt: came_of(attempt, next(words)), said.append)
    assert said[0] == "stage A begins"
    assert "retry 1 of 2 with positional_scalar = 0.08" in said[1]
    assert said[2] == "stage A passed: on to B" and "it was the last" in said[3]


@pytest.mark.parametrize(
    ("before", "how", "after"),
    [
        (0.03, "+0.05", 0.08),
        (0.3, "-0.1", 0.2),
        (2, "*2", 4),
        (1e-3, "*0.1", 1e-4),
        (1, "+0.5", 1.5),
        ("x", "y", "y"),
        (1, 7, 7),
    ],
)
def test_a_retry_calculates_as_people_do(before, how, after):
    assert changed({"p": before}, "p", how) == after


def test_a_retry_of_a_param_the_run_does_not_have_says_so():
    with pytest.raises(UsageError, match="'p' by \\+1, but the run has None"):
        changed({}, "p", "+1")
    with pytest.raises(UsageError, match="no stages"):
        decide(parse_suite('[[gate]]\nmetric = "m"\nop = ">"\nthreshold = 0'), {}, [])


def test_placeholders_of_a_command_are_filled_and_other_braces_left_alone():
    command = ["train", "--lr={lr}", "{stage}", "{unknown}", '{"json": 1}']
    assert filled(command, {"lr": 0.1, "stage": "A"}) == ["train", "--lr=0.1", "A", "{unknown}", '{"json": 1}']


def test_the_shipped_curriculum_has_three_stages_and_two_retries():
    suite = parse_suite(load_suite_text("5cat-stages")[1])
    assert [stage.name for stage in suite.stages] == ["A", "B", "C"]
    assert suite.stages[0].max_retries == 2


TRAIN = """
import json, os, sys, pathlib, registry
params = json.loads(os.environ["REGISTRY_PARAMS"])
assert sys.argv[1] == str(params["positional_scalar"])
with registry.init() as run:
    margin = params["positional_scalar"] - 0.05
    run.log({"margin": margin}, step=1)
    name = f"{params['stage']}{params['attempt']}.bin"
    pathlib.Path(name).write_text(name * 9)
    run.log_artifact(name, role="best", step=1)
"""


def staged(own_folder, **params):
    Path("train.py").write_text(TRAIN)
    db = open_database(create=True)
    command = [sys.executable, "train.py", "{positional_scalar}"]
    declared = Declared(command=command, name="p5", params={**PARAMS, **params}, suite=("curriculum", SUITE))
    return db, *run_staged(db, declared)


def test_each_try_is_a_child_run_and_the_record_draws_the_chain(own_folder, cli):
    db, parent_id, code = staged(own_folder)
    with db.read() as session:
        links = chain_of(session, parent_id)
        parent = session.get(RunRow, parent_id)
        notes = [note.text for note in session.exec(select(Note).where(Note.run_id == parent_id))]
    assert [(link.stage, link.attempt, link.passed) for link in links] == [
        ("A", 1, False),
        ("A", 2, True),
        ("B", 1, False),
    ]
    assert links[1].changed == {"positional_scalar": (0.03, 0.08), "attention_bias": (0.0, 0.2)}
    assert links[1].gates == {"pass": 1}
    assert code == 1 and parent.status == "failed" and "stage B" in parent.evidence
    assert notes[0] == "stage A begins" and len(notes) == 4
    assert [link["name"] for link in cli("show", parent_id, "--json").json["chain"]] == ["p5 A", "p5 A2", "p5 B"]
    assert "↻ A" in (shown := cli("show", parent_id).out) and "positional_scalar 0.03 → 0.08" in shown


def test_registry_run_follows_the_stages_and_needs_a_suite_for_it(own_folder, cli):
    Path("train.py").write_text(TRAIN)
    Path("curriculum.toml").write_text(SUITE)
    command = ["--", sys.executable, "train.py", "{positional_scalar}"]
    cli("run", "--stages", *command, code=2)
    params = [
        word for key, value in {**PARAMS, "positional_scalar": 0.12}.items() for word in ("--param", f"{key}={value}")
    ]
    cli("run", "--stages", "--gates", "curriculum.toml", "--name", "p5", *params, *command)
    by_name = {run["name"]: run["status"] for run in cli("ls", "--json").json}
    assert by_name == {"p5": "finished", "p5 A": "finished", "p5 B": "finished"}


def test_a_stage_runs_gates_of_later_stages_are_unknown_and_of_earlier_ones_left_out(own_folder, cli):
    db, parent_id, code = staged(own_folder, positional_scalar=0.12)
    assert code == 0
    with db.read() as session:
        links = chain_of(session, parent_id)
    verdicts = [
        {gate["stage"]: gate["verdict"] for gate in cli("show", link.run_id, "--json").json["gates"]} for link in links
    ]
    assert verdicts == [{"A": "pass", "B": "unknown"}, {"B": "pass"}]


def test_a_command_that_fails_ends_the_chain_with_its_own_exit_code(own_folder, capfd):
    db = open_database(create=True)
    declared = Declared(command=[sys.executable, "-c", "raise SystemExit(7)"], params=PARAMS, suite=("c", SUITE))
    parent_id, code = run_staged(db, declared)
    assert code == 7
    with db.read() as session:
        assert len(chain_of(session, parent_id)) == 1
        assert json.loads(session.get(RunRow, parent_id).command)

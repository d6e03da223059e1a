"""From what a run recorded to the verdict that `show`, `gate check` and `promote` go by."""

import json
from contextlib import closing
from pathlib import Path

import pytest

import registry
from registry.database import open_database
from registry.gate_facts import checkpoint_of
from registry.steps import value_at_step
from registry.tables import MetricSeries

SUITE = '[[gate]]\nname = "acc"\nmetric = "val/acc"\nop = ">="\nthreshold = 0.5\n'
CONTROLS = """
[[control]]
name = "oracle"
must = "pass"
[[control]]
name = "constant"
must = "fail"
[[baseline]]
name = "rules"
"""


@pytest.fixture
def suite(own_folder):
    """Write suites into the test's folder."""

    def write(text=SUITE, name="mine"):
        Path(f"{name}.toml").write_text(text)
        return f"{name}.toml"

    return write


def train(curve, *, step=None, gates=None, role="best", name="r", **more):
    run = registry.init(name=name, gates=gates, **more)
    for at, value in enumerate(curve):
        run.log({"val/acc": value}, step=at)
    if step is not None:
        Path(f"{name}.bin").write_bytes(name.encode() * 40)
        run.log_artifact(f"{name}.bin", role=role, step=step)
    return run


def gates_of(cli, run):
    return {gate["name"]: gate for gate in cli("show", run.id, "--json").json["gates"]}


def test_the_verdict_is_about_the_checkpoints_own_step(cli, suite):
    run = train([0.1, 0.9, 0.2, 0.8], step=2, gates=suite())
    run.finish()
    gate = gates_of(cli, run)["acc"]
    assert (gate["verdict"], gate["observed"], gate["step"], gate["threshold"]) == ("fail", 0.2, 2, 0.5)
    assert gate["suite"] == "mine" and gate["metric"] == "val/acc" and gate["op"] == ">="
    assert cli("ls", "--json").json[0]["gates"] == {"pass": 0, "fail": 1, "unknown": 0, "uncalibrated": 0}


def test_an_evaluation_against_the_digest_counts_before_the_series(cli, suite):
    run = train([0.1, 0.2, 0.3], step=2, gates=suite())
    run.log_evaluation(artifact="best", metrics={"val/acc": 0.7}, intervals={"val/acc": (0.6, 0.8)})
    run.finish()
    gate = gates_of(cli, run)["acc"]
    assert (gate["verdict"], gate["observed"], gate["low"], gate["high"]) == ("pass", 0.7, 0.6, 0.8)


def test_another_run_may_evaluate_the_checkpoint(cli, suite):
    run = train([], step=3, gates=suite())
    run.finish()
    assert gates_of(cli, run)["acc"]["verdict"] == "unknown"
    digest = cli("show", run.id, "--json").json["artifacts"][0]["digest"]
    judge = registry.init(name="judge")
    judge.log_evaluation(artifact=digest, metrics={"val/acc": 0.9})
    judge.finish()
    assert gates_of(cli, run)["acc"]["verdict"] == "pass"


def test_the_verdict_moves_with_the_record_while_the_run_goes_on(cli, suite):
    run = train([0.9], gates=suite())
    assert gates_of(cli, run)["acc"]["verdict"] == "unknown"
    Path("a.bin").write_bytes(b"a" * 30)
    run.log_artifact("a.bin", role="checkpoint", step=0)
    assert gates_of(cli, run)["acc"]["verdict"] == "pass"
    run.log({"val/acc": 0.1}, step=1)
    Path("b.bin").write_bytes(b"b" * 30)
    run.log_artifact("b.bin", role="checkpoint", step=1)
    assert gates_of(cli, run)["acc"]["verdict"] == "fail"
    run.finish()


def test_a_metric_defined_as_sampled_is_not_passed_off_as_measured(cli, suite):
    run = registry.init(name="r", gates=suite())
    run.define_metric("val/acc", basis="sampled")
    Path("a.bin").write_bytes(b"a" * 30)
    run.log_artifact("a.bin", role="best", step=1)
    run.log_evaluation(artifact="best", metrics={"val/acc": 0.99})
    run.finish()
    gate = gates_of(cli, run)["acc"]
    assert gate["verdict"] == "unknown" and "sampled" in gate["reason"]


def test_the_best_is_looked_at_before_the_newest_checkpoint_and_the_last(cli, own_folder):
    run = registry.init(name="r")
    for role, step in (("last", 9), ("checkpoint", 3), ("checkpoint", 5), ("best", 1)):
        Path(f"{role}{step}.bin").write_bytes(f"{role}{step}".encode() * 9)
        run.log_artifact(f"{role}{step}.bin", role=role, step=step)
    run.finish()
    cli("ls")
    with closing(open_database()) as db, db.write() as session:
        for expected in ("best1.bin", "checkpoint5.bin", "checkpoint3.bin", "last9.bin"):
            found = checkpoint_of(session, run.id)
            assert found.path == expected
            found.discarded_reason = "tried"
            session.flush()
        assert checkpoint_of(session, run.id) is None


# --- the value at a step, in series of any shape


def series_of(cli, logged):
    run = registry.init(name="s")
    for step, value in logged:
        run.log({"m": value}, step=step)
    run.finish()
    cli("ls")
    return run


@pytest.mark.parametrize(
    ("logged", "step", "expected"),
    [
        ([(i, float(i)) for i in range(0, 5000, 7)], 3500, 3500.0),
        ([(i, float(i)) for i in range(0, 5000, 7)], 3501, None),
        ([(0, 1.0), (1, 2.0), (1, 3.0), (2, 4.0)], 1, 3.0),
        ([(5, 1.0)], 5, 1.0),
        ([(5, 1.0)], 4, None),
    ],
)
def test_a_step_is_found_in_a_long_series_without_reading_it(cli, logged, step, expected):
    run = series_of(cli, logged)
    with closing(open_database()) as db, db.read() as session:
        from sqlmodel import select

        series = session.exec(select(MetricSeries).where(MetricSeries.run_id == run.id)).one()
        found = value_at_step(session, series.id, series.count, step)
    assert found == ((True, expected) if expected is not None else (False, None))


def test_where_a_step_was_passed_twice_the_checkpoints_own_segment_counts(cli, own_folder):
    run = series_of(cli, [(0, 0.0), (1, 1.0), (2, 2.0), (1, 10.0), (2, 20.0), (3, 30.0)])
    with closing(open_database()) as db, db.read() as session:
        from sqlmodel import select

        series = session.exec(select(MetricSeries).where(MetricSeries.run_id == run.id)).one()
        at = {
            (step, segment): value_at_step(session, series.id, series.count, step, segment)
            for step in (0, 1, 3, 4)
            for segment in (0, 1)
        }
    assert at[1, 0] == (True, 1.0) and at[1, 1] == (True, 10.0)
    assert at[0, 1] == (True, 0.0) and at[3, 0] == (True, 30.0)
    assert at[4, 0] == at[4, 1] == (False, None)


# --- gate check


def test_gate_check_prints_targets_with_what_was_achieved_and_exits_1_unless_all_pass(cli, suite):
    good = train([0.9], step=0, gates=suite(), name="good")
    bad = train([0.1], step=0, gates=suite(), name="bad")
    for run in (good, bad):
        run.finish()
    said = cli("gate", "check", "good")
    assert "target" in said.out and "achieved" in said.out and "val/acc >= 0.5" in said.out and "0.9" in said.out
    assert cli("gate", "check", "bad", "--json", code=1).json[0]["verdict"] == "fail"
    stricter = suite(SUITE.replace("0.5", "0.95"), "stricter")
    assert cli("gate", "check", "good", "--suite", stricter, "--json", code=1).json[0]["suite"] == "stricter"
    assert [gate["suite"] for gate in cli("show", "good", "--json").json["gates"]] == ["mine"]


def test_gate_check_of_a_role_and_of_a_run_without_gates(cli, suite):
    run = train([0.9, 0.1], step=0, gates=suite())
    Path("last.bin").write_bytes(b"l" * 30)
    run.log_artifact("last.bin", role="last", step=1)
    run.finish()
    assert cli("gate", "check", run.id, "--json").json[0]["step"] == 0
    assert cli("gate", "check", run.id, "--artifact", "last", "--json", code=1).json[0]["step"] == 1
    assert "no artifact 'report'" in cli("gate", "check", run.id, "--artifact", "report", code=4).err
    plain = train([0.1], step=0, name="plain")
    plain.finish()
    assert "has no gates" in cli("gate", "check", "plain", code=2).err


# --- comparison with what is deployed


def test_a_gate_against_what_is_deployed_follows_the_deployment(cli, suite):
    Path("registry.toml").write_text("[policy]\nrequire_other_domain = false\nnum_copies = 1\n")
    Path("vault").mkdir()
    cli("init")
    cli("remote", "add", "vault", "vault")
    better = suite('[[gate]]\nname = "better"\nmetric = "val/acc"\nmin_absolute_change = 0.05\n')
    first = train([0.6], step=0, gates=better, name="first")
    second = train([0.62], step=0, gates=better, name="second")
    for run in (first, second):
        run.finish()
    assert gates_of(cli, second)["better"]["verdict"] == "pass"
    cli("copy", "first", "--to", "vault")
    cli("promote", "first")
    gate = gates_of(cli, second)["better"]
    assert gate["verdict"] == "fail" and "first (serves production)" in gate["reason"]
    assert gates_of(cli, first)["better"]["verdict"] == "pass"


def test_a_gate_against_a_named_run(cli, suite):
    train([0.5], step=0, name="old").finish()
    run = train(
        [0.56], step=0, gates=suite('[[gate]]\nmetric = "val/acc"\nmin_relative_change = 0.1\nagainst = "old"\n')
    )
    run.finish()
    assert gates_of(cli, run)["val/acc"]["verdict"] == "pass"
    other = train(
        [0.5],
        step=0,
        name="x",
        gates=suite('[[gate]]\nmetric = "val/acc"\nmin_relative_change = 0.1\nagainst = "gone"\n', "n"),
    )
    other.finish()
    assert gates_of(cli, other)["val/acc"]["verdict"] == "unknown"


# --- calibration


def test_a_run_that_measures_its_own_controls_is_calibrated_by_them(cli, suite):
    run = train([0.9], step=0, gates=suite(SUITE + CONTROLS))
    assert gates_of(cli, run)["acc"]["verdict"] == "uncalibrated"
    run.log_evaluation(subject="oracle", suite="mine", metrics={"val/acc": 1.0})
    run.log_evaluation(subject="constant", suite="mine", metrics={"val/acc": 0.2})
    run.log_evaluation(subject="rules", suite="mine", metrics={"val/acc": 0.85})
    run.finish()
    gate = gates_of(cli, run)["acc"]
    assert gate["verdict"] == "pass"
    assert "oracle 1 (must pass), constant 0.2 (must fail), rules 0.85" in " ".join(cli("show", run.id).out.split())
    assert {score["name"]: score["value"] for score in gate["beside"]} == {
        "oracle": 1.0,
        "constant": 0.2,
        "rules": 0.85,
    }


def test_calibration_recorded_once_holds_for_every_run_of_the_suite(cli, suite):
    path = suite(SUITE + CONTROLS)
    run = train([0.9], step=0, gates=path)
    run.finish()
    assert gates_of(cli, run)["acc"]["verdict"] == "uncalibrated"
    Path("scores.json").write_text(json.dumps({"oracle": {"val/acc": [0.99, 0.98, 1.0]}, "constant": {"val/acc": 0.1}}))
    rows = cli("gate", "calibrate", path, "--scores", "scores.json", "--json").json
    assert all(row["ok"] for row in rows)
    assert gates_of(cli, run)["acc"]["verdict"] == "pass"
    Path("scores.json").write_text(json.dumps({"constant": {"val/acc": 0.7}}))
    said = cli("gate", "calibrate", path, "--scores", "scores.json", code=1)
    assert "controls are not separated by: acc" in said.out
    assert gates_of(cli, run)["acc"]["verdict"] == "uncalibrated"


@pytest.mark.file_only
def test_looking_makes_no_registry(cli, own_folder):
    assert {row["suite"] for row in cli("gate", "ls", "--json").json} >= {"5cat", "ternary-vae"}
    assert "no registry at" in cli("dataset", "ls", code=4).err
    assert not Path("runs.db").exists()


def test_the_commands_of_controls_are_run_and_their_scores_recorded(cli, suite):
    Path("control.py").write_text("import sys\nprint('thinking')\nprint('{\"val/acc\": %s}' % sys.argv[1])")
    text = SUITE + "".join(
        f'[[control]]\nname = "{name}"\nmust = "{must}"\ncommand = ["python", "control.py", "{score}"]\n'
        for name, must, score in (("oracle", "pass", 1.0), ("constant", "fail", 0.0))
    )
    path = suite(text)
    rows = cli("gate", "calibrate", path, "--json").json
    assert [(row["subject"], row["value"], row["verdict"]) for row in rows] == [
        ("oracle", 1.0, "pass"),
        ("constant", 0.0, "fail"),
    ]
    listed = {row["suite"]: row for row in cli("gate", "ls", "--json").json}
    assert listed["5cat"]["calibrated"] is False
    run = train([0.9], step=0, gates=path)
    run.finish()
    assert {row["suite"]: row["calibrated"] for row in cli("gate", "ls", "--json").json}["mine"] is True
    assert gates_of(cli, run)["acc"]["verdict"] == "pass"


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("raise SystemExit('broken')", "ended with 1: broken"),
        ("print('nothing')", "printed no score"),
        ('print(\'{"m": "x"}\')', "write a number"),
    ],
)
def test_a_control_that_cannot_be_measured_is_named(cli, suite, script, said):
    Path("control.py").write_text(script)
    path = suite(SUITE + '[[control]]\nname = "oracle"\nmust = "pass"\ncommand = ["python", "control.py"]\n')
    cli("init")
    err = cli("gate", "calibrate", path, code=2).err
    assert "control oracle" in err and said in err


def test_scores_of_nobody_and_suites_without_controls_are_refused(cli, suite):
    cli("init")
    Path("scores.json").write_text('{"oracel": {"val/acc": 1}}')
    path = suite(SUITE + CONTROLS)
    assert "names no 'oracel'" in cli("gate", "calibrate", path, "--scores", "scores.json", code=2).err
    Path("scores.json").write_text("[1]")
    assert "no table of scores" in cli("gate", "calibrate", path, "--scores", "scores.json", code=2).err
    assert "names no controls" in cli("gate", "calibrate", suite(SUITE, "bare"), code=2).err
    assert "no gate suite" in cli("gate", "calibrate", "gone", code=4).err

"""A sweep trains every point of its grid as a child run; a trial whose process dies goes on, or is told as crashed; one
that falls behind is ended early.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry import events
from registry.errors import UsageError
from runners.sweep_space import trials_of
from runners.sweep_stop import Halving, Orders, criterion_of, read_rules
from tests.runners import quick


def test_the_grid_is_every_combination_times_seeds():
    trials = trials_of(["lr=1e-3,1e-2", "width=8,16,32"], [], draws=8, seeds=2)
    assert len(trials) == 12 and [trial.number for trial in trials] == list(range(1, 13))
    assert trials[0].overrides == ("lr=1e-3", "width=8", "seed=0")
    assert trials[-1].overrides == ("lr=1e-2", "width=32", "seed=1")
    assert len({trial.overrides for trial in trials}) == 12
    assert [trial.seed for trial in trials_of(["seed=4,7"], [], draws=1, seeds=1)] == [4, 7]


@given(low=st.integers(1, 10**6), width=st.integers(1, 10**6))
def test_draws_stay_in_their_range_and_are_the_same_every_time(low, width):
    text = f"k={low}..{low + width}"
    trials = trials_of([], [text], draws=20, seeds=1)
    assert all(low <= int(trial.values[0][1]) <= low + width for trial in trials)
    assert trials == trials_of([], [text], draws=20, seeds=1)


def test_a_wide_range_is_drawn_evenly_in_its_logarithm():
    values = [float(trial.values[0][1]) for trial in trials_of([], ["lr=1e-6..1"], draws=2_000, seeds=1)]
    assert 0.45 < sum(value < 1e-3 for value in values) / len(values) < 0.55


@pytest.mark.parametrize(
    ("grid", "ranges", "seeds"),
    [
        (["lr"], [], 1), (["=1"], [], 1), (["lr="], [], 1), (["lr=1,,2"], [], 1), (["lr=1,1"], [], 1),
        (["lr=1", "lr=2"], [], 1), (["lr=1"], ["lr=1..2"], 1), (["seed=1,x"], [], 1), (["seed=1"], [], 2),
        ([], ["lr=2..1"], 1), ([], ["lr=1..1"], 1), ([], ["lr=a..b"], 1), ([], ["lr=1..inf"], 1),
        ([], ["lr=1..nan"], 1), ([], ["lr=1"], 1), ([], ["seed=1..9"], 1), (["a=1,2"], [], 6_000),
    ],
)  # fmt: skip
def test_words_that_make_no_sense_are_refused(grid, ranges, seeds):
    with pytest.raises(UsageError):
        trials_of(grid, ranges, draws=2, seeds=seeds)


# --- who is ended early


def test_of_those_that_come_to_a_rung_the_best_third_goes_on():
    halving = Halving(first=2, goal="min")
    assert halving.verdict(1, [0.5]) == "" and halving.next_rung(1) == 2
    assert halving.verdict(1, [0.5, 0.9]) == "", "the first has nobody to be worse than"
    assert halving.next_rung(1) == 6
    assert halving.verdict(2, [0.7, 0.6]).startswith("number 2 of 2 after 2 values")
    assert halving.verdict(3, [0.4, None]) == "" and halving.verdict(4, [0.45, float("nan")]) == ""
    assert halving.verdict(5, [float("nan"), None]).startswith("number 5 of 5")


def test_what_came_after_a_rung_does_not_count_at_it():
    halving = Halving(first=2, goal="max")
    halving.verdict(1, [0.5, 0.5])
    assert halving.verdict(2, [0.1, 0.2, 0.9]).startswith("number 2 of 2 after 2 values (0.2)")


@given(values=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=40), goal=st.sampled_from(["min", "max"]))
def test_whoever_is_the_best_so_far_goes_on_and_whoever_is_not_in_the_best_third_does_not(values, goal):
    halving, better = Halving(first=1, goal=goal), min if goal == "min" else max
    for number, value in enumerate(values):
        why = halving.verdict(number, [value])
        n_better = sum(better(other, value) != value for other in values[:number])
        assert bool(why) == (n_better + 1 > -(-(number + 1) // 3))


def test_a_trial_is_judged_by_what_its_family_calls_best():
    run = {"params": {"best/criterion": "max coverage"}, "primary_metric": "val/loss", "metrics": {}}
    assert criterion_of(run) == ("max", "coverage")
    run = {"params": {}, "primary_metric": "val/loss", "metrics": {"val/loss": {"goal": "min"}}}
    assert criterion_of(run) == ("min", "val/loss")


def test_the_first_order_stays_and_one_for_all_holds_for_those_to_come():
    orders = Orders()
    orders.order(3, "behind")
    orders.order(3, "again")
    assert (orders.reason(3), orders.reason(4)) == ("behind", None)
    orders.order(None, "")
    assert (orders.reason(3), orders.reason(4)) == ("behind", "")


@pytest.mark.parametrize("words", ["asha:0", "asha:x", "gates:1", "hyperband", ""])
def test_a_rule_that_does_not_exist_is_refused(words):
    with pytest.raises(UsageError, match="--stop"):
        read_rules([words])


# --- whole sweeps


@pytest.fixture
def installed(own_folder, monkeypatch):
    """Make the quick family an installed one for the processes that are started."""
    monkeypatch.setenv("PYTHONPATH", quick.install(own_folder / "installed"))


def sweep(*words):
    command = [sys.executable, "-m", "registry", "sweep", "quick", "--preset", "smoke", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def begun_trial():
    """Return the start of a trial's run that has something to go on from, None before."""
    for path in Path("runs").glob("*/journal.jsonl"):
        start = events.decode(path.read_bytes().partition(b"\n")[0] or b'{"t":"h","at":0}')
        if (path.parent / "checkpoints/resume.pt").exists() and isinstance(start, events.Start):
            return start
    return None


def wait_for(found, process):
    """Poll until `found()` is something, while the process runs, and return it."""
    deadline = time.monotonic() + 90
    while not (value := found()):
        assert time.monotonic() < deadline and process.poll() is None, process.communicate()
        time.sleep(0.05)
    return value


def runs_of(cli):
    """Return the sweep's own run, and its trials' by their names' end."""
    runs = cli("ls", "--json").json
    (parent,) = [run for run in runs if "sweep" in run["tags"]]
    return parent, {run["name"].partition(" ")[2]: run for run in runs if run["parent"] == parent["id"]}


def test_trials_are_children_of_one_parent_and_one_that_fails_fails_the_sweep(cli, installed):
    process = sweep("--grid", "nan_at=0,2", "--set", "rate=3", "-j", "2")
    out, err = process.communicate(timeout=150)
    assert process.returncode == 1 and "nan_at=2 seed=0: failed" in err, err
    best, other, *_ = out.splitlines()
    assert "val/loss 0.75 at step 4  nan_at=0 seed=0" in best and "nan_at=2" in other and "2 of 2 trials ran" in out
    parent, trials = runs_of(cli)
    assert {name: run["status"] for name, run in trials.items()} == {
        "nan_at=0 seed=0": "finished", "nan_at=2 seed=0": "failed",
    }  # fmt: skip
    assert trials["nan_at=0 seed=0"]["params"]["rate"] == 3
    assert parent["status"] == "failed" and parent["metrics"]["trials/finished"]["last"] == 1


def test_a_wrong_setting_begins_no_trial(cli, installed):
    for words, said in (
        (["--grid", "no_such=1"], "no setting 'no_such'"),
        (["--stop", "gates"], "--stop gates without gates"),
        (["--on", "moon"], "--on moon"),
    ):
        process = sweep(*words)
        _, err = process.communicate(timeout=60)
        assert process.returncode == 2 and said in err and not Path("runs").exists(), err


def test_a_worker_that_is_killed_goes_on_from_its_checkpoint_and_is_told_as_crashed_when_that_is_too_often(
    cli, installed
):
    process = sweep("--grid", "steps=25", "--set", "pause_ms=100", "-j", "1")
    os.kill(wait_for(begun_trial, process).host["pid"], signal.SIGKILL)
    _, err = process.communicate(timeout=150)
    assert process.returncode == 0 and "finished after 2 attempts" in err, err
    _, trials = runs_of(cli)
    shown = cli("show", trials["steps=25 seed=0"]["id"], "--json").json
    assert shown["status"] == "finished" and "resume" in json.dumps(shown["segments"])


def test_a_worker_that_dies_too_often_is_recorded_as_crashed(cli, installed):
    process = sweep("--grid", "steps=100000", "--set", "pause_ms=20", "-j", "1", "--retries", "0")
    os.kill(wait_for(begun_trial, process).host["pid"], signal.SIGKILL)
    _, err = process.communicate(timeout=150)
    parent, trials = runs_of(cli)
    assert process.returncode == 1 and "crashed" in err
    assert trials["steps=100000 seed=0"]["status"] == "crashed" and parent["status"] == "failed"


def test_a_stopped_sweep_ends_its_trials_in_good_order(cli, installed):
    process = sweep("--grid", "steps=100000,100001", "--set", "pause_ms=20", "-j", "1")
    wait_for(begun_trial, process)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=150)
    assert process.returncode == 130 and "1 of 2 trials ran" in out
    parent, trials = runs_of(cli)
    assert parent["status"] == "killed" and [run["status"] for run in trials.values()] == ["killed"]


SUITE = '[[gate]]\nname = "low"\nmetric = "val/loss"\nop = "<="\nthreshold = 2.5\n'


def test_a_trial_that_falls_behind_is_ended_early_and_one_that_passes_its_gates_ends_the_sweep(cli, installed):
    """Of three, one at a time: the first finishes and fails its gate, the second is worse, the third passes."""
    Path("mine.toml").write_text(SUITE)
    words = ["--grid", "rate=3,4,2", "--set", "steps=300", "--set", "pause_ms=20", "--gates", "mine.toml"]
    process = sweep(*words, "--stop", "asha:2", "--stop", "gates", "-j", "1")
    _out, err = process.communicate(timeout=150)
    assert process.returncode == 0, err
    parent, trials = runs_of(cli)
    assert "rate=4 seed=0: stopped (asha: number 2 of 2 after 2 values (2))" in err
    assert "passes all its gates" in parent["evidence"] and parent["status"] == "finished"
    behind = cli("show", trials["rate=4 seed=0"]["id"], "--json").json
    assert behind["status"] == "killed" and "stopped: asha" in json.dumps(behind["notes"])
    assert trials["rate=2 seed=0"]["gates"]["pass"] == 1 and "stopped" in err.splitlines()[-1]

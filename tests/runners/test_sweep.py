"""A sweep trains every point of its grid as a child run; a trial whose process dies goes on, or is told as crashed."""

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

ROOT = Path(__file__).parents[2]


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


@pytest.fixture
def toy(own_folder, monkeypatch):
    """Make the toy family an installed one for the processes that are started."""
    installed = own_folder / "installed" / "toy-1.dist-info"
    installed.mkdir(parents=True)
    (installed.parent / "tests").symlink_to(ROOT / "tests")
    (installed / "METADATA").write_text("Metadata-Version: 2.1\nName: toy\nVersion: 1\n")
    (installed / "entry_points.txt").write_text("[holdfast.families]\ntoy = tests.runners.training.toy:FAMILY\n")
    monkeypatch.setenv("PYTHONPATH", str(installed.parent))


def sweep(*words):
    command = [sys.executable, "-m", "registry", "sweep", "toy", "--preset", "smoke", *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def starts(*, of_parent: bool = False) -> list[tuple[events.Start, Path]]:
    """Return the first events of the trials' journals (or of the sweep's own)."""
    found = []
    for path in Path("runs").glob("*/journal.jsonl"):
        line = path.read_bytes().partition(b"\n")
        if line[1]:
            start = events.decode(line[0])
            if ("sweep" in start.tags) == of_parent:
                found.append((start, path.parent))
    return found


def wait_for(found, process):
    """Poll until `found()` is something, while the process runs, and return it."""
    deadline = time.monotonic() + 90
    while not (value := found()):
        assert time.monotonic() < deadline and process.poll() is None, process.communicate()
        time.sleep(0.05)
    return value


def test_trials_are_children_of_one_parent(cli, toy):
    process = sweep("--grid", "learning_rate=1e-3,1e-2", "--seeds", "2", "-j", "2")
    out, err = process.communicate(timeout=150)
    assert process.returncode == 0, err
    assert "4 of 4 trials ran" in out and len(out.splitlines()) == 6
    runs = cli("ls", "--json").json
    (parent,) = [run for run in runs if "sweep" in run["tags"]]
    children = [run for run in runs if run["parent"] == parent["id"]]
    assert {(run["params"]["learning_rate"], run["params"]["seed"]) for run in children} == {
        (rate, seed) for rate in (1e-3, 1e-2) for seed in (0, 1)
    }
    assert parent["status"] == "finished" and {run["status"] for run in children} == {"finished"}
    assert parent["metrics"]["trials/finished"]["last"] == 4
    best = [float(line.split("train/loss ")[1].split()[0]) for line in out.splitlines()[:4]]
    assert best == sorted(best)


def slow_trial_with_a_checkpoint():
    """Return the start of the trial that runs, once it has something to go on from."""
    return next((start for start, folder in starts() if (folder / "checkpoints/resume.pt").exists()), None)


def test_a_worker_that_is_killed_goes_on_from_its_checkpoint(cli, toy):
    process = sweep("--grid", "steps=3000", "--set", "checkpoint_every=50", "-j", "1")
    start = wait_for(slow_trial_with_a_checkpoint, process)
    os.kill(start.host["pid"], signal.SIGKILL)
    _, err = process.communicate(timeout=150)
    assert process.returncode == 0, err
    assert "finished after 2 attempts" in err
    (trial,) = [run for run in cli("ls", "--json").json if run["parent"]]
    shown = cli("show", trial["id"], "--json").json
    assert shown["status"] == "finished" and "resume" in json.dumps(shown["segments"])


def test_a_worker_that_dies_too_often_is_recorded_as_crashed(cli, toy):
    process = sweep("--grid", "steps=100000", "--set", "checkpoint_every=50", "-j", "1", "--retries", "0")
    start = wait_for(slow_trial_with_a_checkpoint, process)
    os.kill(start.host["pid"], signal.SIGKILL)
    _, err = process.communicate(timeout=150)
    assert process.returncode == 1 and "crashed" in err
    status = {run["id"]: run["status"] for run in cli("ls", "--json").json}
    assert status[start.run] == "crashed" and status[start.parent] == "failed"


def test_a_stopped_sweep_ends_its_trials_in_good_order(cli, toy):
    process = sweep("--grid", "steps=100000,100001,100002", "--set", "checkpoint_every=50", "-j", "1")
    start = wait_for(slow_trial_with_a_checkpoint, process)
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=150)
    assert process.returncode == 130 and "1 of 3 trials ran" in out
    status = {run["id"]: run["status"] for run in cli("ls", "--json").json}
    assert status == {start.run: "killed", start.parent: "killed"}


def test_a_failing_trial_fails_the_sweep_and_a_wrong_setting_begins_none(cli, toy):
    process = sweep("--grid", "nan_at=0,3", "-j", "2")
    out, err = process.communicate(timeout=150)
    assert process.returncode == 1 and "nan_at=3 seed=0: failed" in err and "2 of 2" in out
    before = len(starts())
    wrong = sweep("--grid", "no_such=1")
    _, err = wrong.communicate(timeout=60)
    assert wrong.returncode == 2 and "no setting 'no_such'" in err and len(starts()) == before

"""A data set version is its bytes; its state decides what may be trained on it, and travels to what was."""

import json
import os
from pathlib import Path

import pytest

import registry
from registry.data_policy import Registered, refusal
from registry.settings import DataPolicy

CHECKS = """
[[check]]
name = "total"
kind = "relation"
rule = "abs(net + tax - total) < 0.02"
[[check]]
name = "no leak"
kind = "leakage"
fields = ["id"]
"""
GOOD = {"net": 1.0, "tax": 0.5, "total": 1.5}
BAD = {"net": 1.0, "tax": 0.5, "total": 9.5}


def write(path, *records):
    Path(path).write_text("".join(json.dumps({"id": f"{path}{i}", **r}) + "\n" for i, r in enumerate(records)))
    return path


@pytest.fixture
def carts(cli, own_folder):
    """Register `carts@v1`, whose test split holds a broken total, and `carts@v2`, which is right."""
    Path("checks.toml").write_text(CHECKS)
    for version, test in (("v1", BAD), ("v2", GOOD)):
        write(f"train_{version}.jsonl", GOOD, GOOD)
        write(f"test_{version}.jsonl", GOOD, test)
        cli(
            "dataset",
            "add",
            f"carts@{version}",
            f"train_{version}.jsonl",
            f"test_{version}.jsonl",
            "--checks",
            "checks.toml",
        )


def state(cli, reference):
    return {row["reference"]: row["state"] for row in cli("dataset", "ls", "--json").json}[reference]


def use(reference, *, name="r", role="train", **more):
    run = registry.init(name=name, **more)
    run.use_dataset(reference, role=role)
    return run


# --- registering


def test_adding_hashes_the_files_counts_the_records_and_guesses_the_split(cli, carts):
    found = cli("dataset", "show", "carts@v1", "--json").json
    assert found["state"] == "unchecked" and found["n_records"] == 4 and len(found["digest"]) == 64
    assert {file["path"]: (file["split"], file["n_records"]) for file in found["files"]} == {
        "train_v1.jsonl": ("train", 2),
        "test_v1.jsonl": ("test", 2),
    }


def test_a_version_is_its_bytes_once_and_for_all(cli, carts):
    cli("dataset", "add", "carts@v1", "train_v1.jsonl", "test_v1.jsonl")
    write("train_v1.jsonl", GOOD)
    assert "with other bytes" in cli("dataset", "add", "carts@v1", "train_v1.jsonl", "test_v1.jsonl", code=3).err


def test_a_folder_is_added_file_by_file_and_a_split_can_be_said(cli, own_folder):
    Path("data/dev").mkdir(parents=True)
    write("data/dev/a.jsonl", GOOD)
    write("data/train.jsonl", GOOD)
    Path("data/.hidden").write_text("x")
    write("other.jsonl", BAD)
    cli("dataset", "add", "d@1", "data", "test=other.jsonl")
    files = {f["path"]: f["split"] for f in cli("dataset", "show", "d@1", "--json").json["files"]}
    assert files == {"data/dev/a.jsonl": "val", "data/train.jsonl": "train", "other.jsonl": "test"}


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["noversion", "a.jsonl"], 2, "names no version"),
        (["d@1", "gone.jsonl"], 4, "no file"),
        (["d@1", "empty.jsonl"], 3, "is empty"),
        (["d@1", "link.jsonl"], 3, "symlink"),
        (["d@1", "a.jsonl", "a.jsonl"], 2, "named twice"),
        (["d@1", "folder"], 2, "no files for d@1"),
        (["d@1", "a.jsonl", "--checks", "gone.toml"], 4, "no checks file"),
        (["d@1", "a.jsonl", "--checks", "a.jsonl"], 2, "is not TOML"),
    ],
)
def test_what_cannot_be_registered_is_refused_in_one_line(cli, own_folder, words, code, said):
    write("a.jsonl", GOOD)
    Path("empty.jsonl").touch()
    Path("link.jsonl").symlink_to("a.jsonl")
    Path("folder").mkdir()
    assert said in cli("dataset", "add", *words, code=code).err


# --- validating


def test_validation_names_the_record_and_its_values_and_the_report_is_an_artifact(cli, carts):
    said = cli("dataset", "validate", "carts@v1", code=1)
    assert "test_v1.jsonl:2 8 < 0.02 does not hold (net=1.0, tax=0.5, total=9.5)" in said.out
    found = cli("dataset", "show", "carts@v1", "--json").json
    assert found["state"] == "invalid" and found["reason"] == "its checks failed (total: 1 of 4)"
    run = cli("show", found["checks"][0]["run"], "--json").json
    report = run["artifacts"][0]
    assert report["role"] == "report" and run["status"] == "finished"
    checks = {check["name"]: check for check in json.loads(Path(report["path"]).read_text())["checks"]}
    assert checks["total"]["violations"] == [
        {
            "file": "test_v1.jsonl",
            "record": 2,
            "message": "8 < 0.02 does not hold",
            "values": {"net": 1.0, "tax": 0.5, "total": 9.5},
        }
    ]


def test_what_passes_every_check_is_valid(cli, carts):
    assert cli("dataset", "validate", "carts@v2", "--json").json["state"] == "valid"
    assert state(cli, "carts@v2") == "valid"


def test_a_check_that_could_not_be_made_leaves_the_set_unchecked(cli, own_folder):
    Path("checks.toml").write_text('[[check]]\nkind = "command"\nname = "own"\ncommand = ["no-such-program"]\n')
    cli("dataset", "add", "d@1", write("a.jsonl", GOOD), "--checks", "checks.toml")
    said = cli("dataset", "validate", "d@1", code=1)
    assert "some checks could not be made" in said.out and state(cli, "d@1") == "unchecked"


def test_without_declared_checks_the_built_in_ones_are_made_and_that_is_said(cli, own_folder):
    cli("dataset", "add", "d@1", write("train.jsonl", GOOD), write("test.jsonl", BAD))
    assert "only the built-in ones" in cli("dataset", "validate", "d@1").out
    Path("test.jsonl").write_text(Path("train.jsonl").read_text())
    cli("dataset", "add", "d@2", "train.jsonl", "test.jsonl")
    assert "no test record in train" in cli("dataset", "validate", "d@2", code=1).out
    Path("a.npz").write_bytes(b"PK12")
    cli("dataset", "add", "d@3", "a.npz")
    assert "no checks are declared" in cli("dataset", "validate", "d@3", code=2).err


def test_files_that_changed_since_they_were_hashed_are_not_checked_in_their_place(cli, carts):
    write("test_v2.jsonl", GOOD)
    assert "test_v2.jsonl changed since it was hashed" in cli("dataset", "validate", "carts@v2", code=1).err
    assert "changed" in cli("dataset", "show", "carts@v2").out
    Path("train_v1.jsonl").unlink()
    assert "cannot be read" in cli("dataset", "validate", "carts@v1", code=1).err


def test_a_touched_file_with_the_same_bytes_is_the_same_data(cli, carts):
    os.utime("train_v2.jsonl", (1, 1))
    codes = {alert["code"] for alert in cli("alerts", "--json").json}
    assert "dataset-changed" in codes
    cli("dataset", "validate", "carts@v2")
    codes = {alert["code"] for alert in cli("alerts", "--json").json}
    assert "dataset-changed" not in codes


def test_what_a_person_declared_bad_stays_bad_until_a_person_trusts_it_again(cli, carts):
    cli("dataset", "invalidate", "carts@v2", "--reason", "licence withdrawn")
    assert "licence withdrawn" in cli("dataset", "validate", "carts@v2", code=1).out
    assert state(cli, "carts@v2") == "invalid"
    cli("dataset", "validate", "carts@v2", "--reinstate", "licence given again")
    assert state(cli, "carts@v2") == "valid"
    actions = [row["action"] for row in cli("history", "carts@v2", "--json").json]
    assert sorted(actions) == ["dataset-add", "dataset-invalid", "dataset-valid"]


# --- policy


@pytest.mark.parametrize(
    ("state", "changed", "policy", "refused"),
    [
        ("valid", [], DataPolicy(), False),
        ("valid", ["a changed"], DataPolicy(), True),
        ("valid", ["a changed"], DataPolicy(changed="allow"), False),
        ("unchecked", [], DataPolicy(), True),
        ("unchecked", [], DataPolicy(unchecked="allow"), False),
        ("invalid", [], DataPolicy(unchecked="allow"), True),
        ("invalid", [], DataPolicy(invalid="allow"), False),
        ("deprecated", [], DataPolicy(), True),
        ("deprecated", [], DataPolicy(deprecated="allow"), False),
    ],
)
def test_the_policy_decides_by_state(state, changed, policy, refused):
    assert bool(refusal(Registered("d@1", "0" * 64, state, "why", "d@2"), changed, policy)) is refused


def test_a_run_on_unchecked_or_invalid_data_is_refused_before_it_begins(cli, carts):
    said = cli("run", "--dataset", "carts@v1", "--", "true", code=3)
    assert "carts@v1 was never checked" in said.err
    cli("dataset", "validate", "carts@v1", code=1)
    assert "carts@v1 is invalid" in cli("run", "--dataset", "carts@v1", "--", "true", code=3).err
    assert [run for run in cli("ls", "--json").json if run["experiment"] == "default"] == []
    cli("dataset", "validate", "carts@v2")
    cli("run", "--dataset", "carts@v2", "--", "true")
    cli("run", "--dataset", "nobody-registered@1", "--", "true")


def test_a_reason_lets_refused_data_pass_and_stays_with_the_run(cli, carts):
    cli("run", "--dataset", "carts@v1", "--allow-data", "a draft", "--name", "x", "--", "true")
    with pytest.raises(registry.RefusedError, match="never checked"):
        use("carts@v1", name="y")
    run = registry.init(name="z")
    run.use_dataset("carts@v1", allow="another draft")
    run.finish()
    for name, reason in (("x", "a draft"), ("z", "another draft")):
        assert cli("show", name, "--json").json["datasets"][0]["override"] == reason
        assert f"used all the same: {reason}" in cli("report", "card", name).out


def test_data_that_changed_on_disk_is_noticed_before_a_run_uses_it(cli, carts):
    cli("dataset", "validate", "carts@v2")
    write("train_v2.jsonl", BAD)
    assert "train_v2.jsonl changed since it was hashed" in cli("run", "--dataset", "carts@v2", "--", "true", code=3).err


def test_an_experiment_may_have_a_policy_of_its_own(cli, carts):
    Path("registry.toml").write_text('[experiments.draft.data]\nunchecked = "allow"\n')
    cli("run", "--experiment", "draft", "--dataset", "carts@v1", "--", "true")
    cli("run", "--dataset", "carts@v1", "--", "true", code=3)
    Path("registry.toml").write_text('[data]\nunchecked = "maybe"\n')
    assert "maybe" in cli("run", "--dataset", "carts@v1", "--", "true", code=2).err


# --- invalidation travels


def test_every_run_that_read_it_is_flagged_at_once_and_nothing_is_deleted(cli, carts):
    cli("dataset", "validate", "carts@v2")
    trained, tested, other = (
        use("carts@v2", name="trained"),
        use("carts@v2", name="tested", role="test"),
        use("x@1", name="other"),
    )
    evaluated = registry.init(name="evaluated")
    Path("w.bin").write_bytes(b"w" * 20)
    evaluated.log_artifact("w.bin", role="best", step=1)
    evaluated.log_evaluation(artifact="best", metrics={"acc": 0.5}, dataset="carts@v2:test")
    for run in (trained, tested, other, evaluated):
        run.finish()
    before = cli("ls", "--json").json
    assert all(run["invalid"] is None for run in before)
    said = cli("dataset", "invalidate", "carts@v2", "--reason", "totals are random", "--superseded-by", "carts@v3")
    assert "3 runs" in said.out
    after = {run["name"]: run["invalid"] for run in cli("ls", "--json").json if run["experiment"] == "default"}
    assert after["other"] is None
    assert after["trained"] == "trained on carts@v2, which is invalid: totals are random (superseded by carts@v3)"
    assert after["tested"].startswith("evaluated on") and after["evaluated"].startswith("evaluated on")
    assert len(cli("ls", "--json").json) == len(before)
    assert "INVALID" in cli("ls").out and "totals are random" in cli("compare", "trained", "other").out
    data = cli("show", "trained", "--json").json["datasets"][0]
    assert (data["state"], data["superseded_by"]) == ("invalid", "carts@v3")


def test_impact_shows_what_rests_on_it_before_and_after(cli, carts):
    cli("dataset", "validate", "carts@v2")
    Path("s.toml").write_text('[[gate]]\nmetric = "acc"\nop = ">"\nthreshold = 0\n')
    run = use("carts@v2", gates="s.toml")
    run.log({"acc": 0.5}, step=1)
    Path("note.md").write_text("words")
    run.log_artifact("note.md", role="report")
    run.finish()
    found = cli("dataset", "impact", "carts@v2", "--json").json
    assert [(r["id"], r["gates"], r["n_metrics"]) for r in found["runs"]] == [(run.id, {"unknown": 1}, 1)]
    assert [report["path"] for report in found["reports"]] == ["note.md"]
    assert found["n_gate_verdicts"] == 1 and found["deployments"] == []
    assert "trained on carts@v2" in cli("dataset", "impact", "carts@v2").out


def test_what_follows_in_the_same_chain_is_flagged_too(cli, own_folder):
    parent = registry.init(name="chain")
    a = registry.init(name="A", params={"stage": "A"}, parent=parent.id)
    a.use_dataset("d@1")
    a.finish()
    b = registry.init(name="B", params={"stage": "B"}, parent=parent.id)
    b.use_dataset("d@2")
    b.finish()
    parent.finish()
    cli("ls")
    cli("dataset", "invalidate", "d@1", "--reason", "broken")
    invalid = {run["name"]: run["invalid"] for run in cli("ls", "--json").json}
    assert invalid["A"].startswith("trained on d@1")
    assert invalid["B"] == f"follows A, {invalid['A']}"
    assert invalid["chain"] == f"its run A was {invalid['A']}"


def test_data_that_runs_used_and_nobody_registered_can_be_declared_too(cli, own_folder):
    use("edge@v2").finish()
    cli("ls")
    assert state(cli, "edge@v2") == "unregistered"
    cli("dataset", "deprecate", "edge@v2", "--reason", "old")
    assert "which is deprecated: old" in cli("ls", "--json").json[0]["invalid"]
    assert "there is edge@v2" in cli("dataset", "invalidate", "edge@v3", "--reason", "x", code=4).err
    assert "without a reason" in cli("dataset", "invalidate", "edge@v2", code=2).err
    assert (
        "superseded by itself"
        in cli("dataset", "invalidate", "edge@v2", "--reason", "x", "--superseded-by", "edge@v2", code=2).err
    )


def test_a_run_that_read_other_bytes_than_are_registered_raises_an_alert(cli, carts):
    run = registry.init(name="r")
    run.use_dataset("carts@v9", digest="0" * 64)
    run.finish()
    write("v9.jsonl", GOOD)
    cli("dataset", "add", "carts@v9", "v9.jsonl")
    alerts = {alert["code"]: alert for alert in cli("alerts", "--json").json}
    assert alerts["dataset-other-bytes"]["subject"] == run.id


def test_a_running_run_on_data_declared_bad_meanwhile_raises_an_alert(cli, own_folder):
    run = use("d@1")
    cli("ls")
    cli("dataset", "invalidate", "d@1", "--reason", "broken")
    alerts = {alert["code"]: alert for alert in cli("alerts", "--json").json}
    assert alerts["running-on-bad-data"]["subject"] == run.id
    run.finish()
    assert "running-on-bad-data" not in {alert["code"] for alert in cli("alerts", "--json").json}

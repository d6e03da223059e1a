"""Gates, data sets, alerts and reports say the same on a PostgreSQL server."""

import json
from pathlib import Path

import pytest

import registry
from tests.registry import postgres

SUITE = """
[[gate]]
name = "acc"
metric = "acc"
op = ">="
threshold = 0.5
[[control]]
name = "oracle"
must = "pass"
"""
REPORTS = Path(__file__).parents[3] / "docs" / "examples" / "reports"


@pytest.fixture
def address(postgres_server):
    return postgres.new_database(postgres_server, "record")


def test_the_whole_way_of_gates_data_and_reports(cli, own_folder, monkeypatch, address):
    monkeypatch.setenv("REGISTRY_DB", address)
    monkeypatch.setenv("REGISTRY_ROOT", str(own_folder))
    cli("init")
    Path("train.jsonl").write_text('{"net": 1, "tax": 1, "total": 2}\n{"net": 1, "tax": 1, "total": 3}\n')
    Path("checks.toml").write_text('[[check]]\nname = "sum"\nkind = "relation"\nrule = "net + tax == total"\n')
    cli("dataset", "add", "carts@v1", "train.jsonl", "--checks", "checks.toml")
    with pytest.raises(registry.RefusedError, match="never checked"):
        registry.init(name="early").use_dataset("carts@v1")
    Path("suite.toml").write_text(SUITE)
    run = registry.init(name="r", gates="suite.toml")
    run.use_dataset("carts@v1", allow="a draft")
    for step, value in enumerate([0.1, 0.9, 0.4, float("nan")]):
        run.log({"acc": value, "val/cosine": 0.9 - 0.2 * step}, step=step)
    run.log({"acc": 0.99}, step=1, basis="sampled")
    Path("best.bin").write_bytes(b"weights")
    run.log_artifact("best.bin", role="best", step=1)
    run.finish()
    assert cli("gate", "check", "r", "--json", code=1).json[0]["verdict"] == "uncalibrated"
    Path("scores.json").write_text(json.dumps({"oracle": {"acc": 1.0}}))
    cli("gate", "calibrate", "suite.toml", "--scores", "scores.json")
    assert cli("show", "r", "--json").json["gates"][0]["verdict"] == "pass"
    assert {row["suite"] for row in cli("gate", "ls", "--json").json} >= {"suite", "5cat"}

    cli("dataset", "validate", "carts@v1", code=1)
    assert "its checks failed" in cli("show", "r", "--json").json["invalid"]
    assert cli("dataset", "impact", "carts@v1", "--json").json["n_gate_verdicts"] == 1
    assert cli("dataset", "ls", "--json").json[0]["n_runs"] == 1
    assert cli("dataset", "show", "carts@v1", "--json").json["checks"][1]["n_violations"] == 1
    codes = {alert["code"] for alert in cli("alerts", "--json").json}
    assert {"metric-not-finite", "metric-collapsed"} <= codes

    cli("import", *sorted(REPORTS.glob("*.md")))
    cli("import", *sorted(REPORTS.glob("*.md")))
    cli("dataset", "invalidate", "edgejson@v2", "--reason", "random totals")
    cli("promote", "Fine-tuned v2", code=3)
    for words in (("card", "r"), ("session",), ("leaderboard", "-e", "lvm"), ("compare", "r", "P1 Baseline")):
        assert "Made " in cli("report", *words).out

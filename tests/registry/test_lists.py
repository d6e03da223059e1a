"""`ls`: honest counts, sorts that put the best first, and the JSON contract."""

import pytest

import registry
from registry import events, journal

LS_KEYS = {
    "id", "name", "experiment", "status", "started_at", "ended_at", "params", "metrics", "gates", "artifacts",
    "deployed_to", "invalid", "tags",
}  # fmt: skip
METRIC_KEYS = {"last", "last_step", "best", "best_step", "goal", "basis", "count", "non_finite"}


@pytest.fixture
def some(own_folder):
    for i in range(7):
        with registry.init(
            experiment="odd" if i % 2 else "even", name=f"r{i}", params={"i": i}, tags=[f"t{i % 3}"]
        ) as run:
            run.log({"val/loss": 1.0 - i / 10, "val/acc": i / 10}, step=i)


def test_the_contract_of_ls(cli, some):
    rows = cli("ls", "--json").json
    assert len(rows) == 7
    for row in rows:
        assert set(row) >= LS_KEYS
        assert set(row["metrics"]["val/loss"]) >= METRIC_KEYS
        assert row["gates"] == {"pass": 0, "fail": 0, "unknown": 0, "uncalibrated": 0}
        assert row["artifacts"] == {"total": 0, "unverified": 0}
        assert row["started_at"].endswith("Z") and row["invalid"] is None and row["deployed_to"] == []


def test_global_options_stand_anywhere(cli, some):
    assert cli("--json", "ls").json == cli("ls", "--json").json == cli("--db", "runs.db", "ls", "--json").json


def test_newest_first_and_other_orders(cli, some):
    def names(*words):
        return [row["name"] for row in cli("ls", "--json", *words).json]

    assert names() == [f"r{i}" for i in reversed(range(7))]
    assert names("--sort-by", "val/loss")[0] == "r6" and names("--sort-by", "val/acc")[0] == "r6"
    assert names("--sort-by", "val/acc", "--sort-order", "asc")[0] == "r0"
    assert names("--sort-by", "params.i") == [f"r{i}" for i in range(7)]
    assert names("--limit", "2") == ["r6", "r5"]
    assert names("--experiment", "odd") == ["r5", "r3", "r1"]
    assert names("--tag", "t0") == ["r6", "r3", "r0"]
    assert names("--find", "R3") == ["r3"]
    assert names("--status", "running") == []
    assert names("--filter", "val/loss<0.55 params.i>=5") == ["r6", "r5"]
    assert cli("ls", "--filter", "val/loss<", code=2).out == ""


def test_the_count_is_honest(cli, some):
    assert "2 of 7 runs" in cli("ls", "-n", "2").out
    assert "3 of 3 runs that match, 7 in all" in cli("ls", "-e", "odd").out
    assert "no run matches" in cli("ls", "-e", "none").out


@pytest.mark.parametrize("words", [["--sort-order", "up"], ["--limit", "many"], ["--nonsense"]])
def test_wrong_words_are_usage_errors(cli, some, words):
    assert cli("ls", *words, code=2).out == ""


def test_nothing_from_the_data_is_read_as_markup(cli, own_folder):
    registry.init(name="[red]not red[/red] [/]", params={"p": "[link=x]y"}).finish()
    assert "[red]not red[/red] [/]" in cli("ls").out
    assert "[link=x]y" in cli("show", "latest").out


def test_a_metric_that_was_not_measured_is_shown_so(cli, own_folder):
    with registry.init(name="s") as run:
        run.log({"coverage": 0.99}, step=1, basis="sampled")
    assert "≈0.99" in cli("ls").out and "sampled" in cli("show", "s").out


def test_tags_come_and_go(cli, some):
    cli("tag", "r1", "good", "keep")
    cli("tag", "r1", "--", "-keep")
    assert cli("show", "r1", "--json").json["tags"] == ["good", "t1"]


def test_status_says_what_there_is(cli, some):
    assert "7 runs in 2 experiments" in cli("status").out
    assert cli("status", "--json").json["totals"]["points"] == 14


def test_what_runs_cost_by_the_hour_or_by_host(cli, own_folder):
    import socket

    start = events.Start(at=1_000.0, run="aa00000000", name="dear", cost_per_hour=2.0)
    other = events.Start(at=1_000.0, run="bb00000000", name="host", host={"name": socket.gethostname()})
    for event in (start, other):
        folder = own_folder / "runs" / f"{event.name}-{event.run}"
        folder.mkdir(parents=True)
        journal.append_event(folder / "journal.jsonl", event)
        journal.append_event(folder / "journal.jsonl", events.End(at=1_000.0 + 5_400, status="finished"))
    assert {row["name"]: row["cost"] for row in cli("ls", "--json").json} == {"dear": 3.0, "host": None}
    (own_folder / "registry.toml").write_text(f'[hosts."{socket.gethostname()}"]\ncost_per_hour = 1.29\n')
    assert {row["name"]: row["cost"] for row in cli("ls", "--json").json} == {"dear": 3.0, "host": pytest.approx(1.935)}
    assert "3.00" in cli("ls").out and "1.94" in cli("show", "host").out


def test_what_a_run_cried_out_is_an_alert_until_it_is_acknowledged(cli, own_folder):
    with registry.init(name="diverged") as run:
        run.note("the loss is nan at step 8; the weights of step 7 are kept", level="critical", step=7)

    def codes():
        return [alert["code"] for alert in cli("alerts", "--json").json]

    assert "run-critical-note" in codes()
    assert "without a reason" in cli("ack", "run-critical-note", run.id, "--reason", " ", code=2).err
    assert "no alert" in cli("ack", "run-critical-note", "nobody", "--reason", "seen", code=4).err
    cli("ack", "run-critical-note", run.id, "--reason", "lowered the rate")
    assert "run-critical-note" not in codes()
    assert cli("history", "--json").json[0]["action"] == "acknowledge"

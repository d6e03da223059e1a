"""A promotion happens whole or lists every reason; what serves a target is never in doubt."""

import http.server
import json
import subprocess
import sys
import threading
from pathlib import Path

import pytest

import registry
from registry import promotion
from registry.database import open_database
from tests.registry.rows import change

CHECKS = list(promotion.CHECKS)


@pytest.fixture
def vault(cli, own_folder):
    """A registry whose policy lets a copy on the same file system count, and a remote `vault`."""
    Path("registry.toml").write_text(
        '[policy]\nmin_copies = 1\nnum_copies = 1\nrequire_other_domain = false\nwhy = "one disk"\n'
    )
    (own_folder / "vault").mkdir()
    cli("init")
    cli("remote", "add", "vault", "vault")


def train(name, acc, *, weights=None, gates=None, finish=True):
    run = registry.init(experiment="e", name=name, gates=gates)
    run.define_metric("val/acc", goal="max", primary=True)
    path = Path(f"{name}.bin")
    path.write_bytes(weights or name.encode() * 50)
    run.log({"val/acc": acc}, step=10)
    run.log_artifact(path, role="best", step=10)
    if finish:
        run.finish()
    return run


def verdicts(said):
    return {check["check"]: check["verdict"] for check in said.json["checks"]}


def test_a_good_model_is_deployed_and_the_record_says_so(cli, vault):
    run = train("good", 0.9)
    cli("copy", "good", "--to", "vault")
    said = cli("promote", "good", "--dry-run", "--json")
    assert said.json["ok"] and list(verdicts(said)) == CHECKS
    assert cli("deployments", "--json").json == []
    cli("promote", "good", "--to", "production", "--reason", "first")
    row = cli("deployments", "--json").json[0]
    assert row["target"] == "production" and row["run"] == run.id and row["artifact"] == "best"
    assert row["overrides"] == [] and row["health"] == "unknown" and row["reason"] == "first"
    assert cli("ls", "--json").json[0]["deployed_to"] == ["production"]
    assert cli("show", "@production", "--json").json["id"] == run.id
    decision = cli("history", "production", "--json").json[0]
    assert decision["action"] == "promote" and decision["details"]["run"] == run.id


def test_a_refusal_lists_every_reason_at_once(cli, vault):
    train("bad", 0.1, finish=False).finish("failed")
    Path("bad.bin").write_bytes(b"other bytes")
    said = cli("promote", "bad", code=3)
    assert "3 of 7 checks refuse" in said.err
    for reason in ("run-ended: the run is failed", "artifact-unchanged: recorded as", "copies: 0 of 1 verified"):
        assert reason in said.err
    assert cli("deployments", "--json").json == []
    assert cli("promote", "bad", "--json", code=3).json["ok"] is False


@pytest.mark.parametrize(
    ("break_it", "check"),
    [
        (lambda: Path("m.bin").unlink(), "artifact-present"),
        (lambda: Path("m.bin").write_bytes(b"changed"), "artifact-unchanged"),
        (lambda: None, "copies"),
    ],
)
def test_each_check_can_refuse_alone(cli, vault, break_it, check):
    train("m", 0.9)
    break_it()
    assert verdicts(cli("promote", "m", "--dry-run", "--json", code=3))[check] in ("fail", "unknown")


def test_a_run_that_still_runs_is_not_promoted(cli, vault):
    run = train("live", 0.9, finish=False)
    assert verdicts(cli("promote", "live", "--dry-run", "--json", code=3))["run-ended"] == "fail"
    run.finish()


def test_gates_look_at_the_checkpoint_not_at_the_run(cli, vault):
    Path("g.toml").write_text('name = "g"\n[[gate]]\nname = "acc"\nmetric = "val/acc"\nop = ">="\nthreshold = 0.8\n')
    with registry.init(experiment="e", name="late", gates="g.toml") as run:
        Path("late.bin").write_bytes(b"weights")
        run.log({"val/acc": 0.5}, step=1)
        run.log_artifact("late.bin", role="best", step=1)
        run.log({"val/acc": 0.9}, step=2)
    cli("copy", "late", "--to", "vault")
    said = cli("promote", "late", "--dry-run", "--json", code=3)
    assert verdicts(said)["gates"] == "fail"
    assert cli("show", "late", "--json").json["gates"][0]["verdict"] == "fail"


def test_a_missing_metric_is_no_pass(cli, vault):
    Path("g.toml").write_text('name = "g"\n[[gate]]\nname = "m"\nmetric = "margin"\nop = ">="\nthreshold = 0.02\n')
    train("blind", 0.9, gates="g.toml")
    cli("copy", "blind", "--to", "vault")
    assert verdicts(cli("promote", "blind", "--dry-run", "--json", code=3))["gates"] == "unknown"


def test_not_worse_than_what_is_deployed(cli, vault):
    for name, acc in (("old", 0.8), ("worse", 0.7), ("better", 0.9)):
        train(name, acc)
        cli("copy", name, "--to", "vault")
    cli("promote", "old")
    said = cli("promote", "worse", "--json", code=3)
    assert verdicts(said)["not-worse"] == "fail"
    assert "val/acc 0.7 is worse than the 0.8" in said.err
    cli("promote", "better")
    assert cli("deployments", "--json").json[0]["run"] == cli("show", "better", "--json").json["id"]


def test_an_override_needs_a_reason_is_recorded_and_stays_visible(cli, vault):
    train("m", 0.9)
    assert "an override without a reason" in cli("promote", "m", "--override", "copies", code=2).err
    assert "is no check" in cli("promote", "m", "--override", "copyes", "--reason", "x", code=2).err
    assert "cannot be overridden" in cli("promote", "m", "--override", "artifact-present", "--reason", "x", code=2).err
    cli("promote", "m", "--override", "copies", "--reason", "demo at nine")
    assert cli("deployments", "--json").json[0]["overrides"] == ["copies"]
    alerts = {alert["code"]: alert for alert in cli("alerts", "--json").json}
    assert "demo at nine" in alerts["override-in-force"]["message"]
    assert "copies" in cli("status").out


def test_an_override_of_what_passes_is_not_recorded_as_used(cli, vault):
    train("m", 0.9)
    cli("copy", "m", "--to", "vault")
    cli("promote", "m", "--override", "copies", "--reason", "to be sure")
    assert cli("deployments", "--json").json[0]["overrides"] == []


def test_rollback_goes_back_step_by_step(cli, vault):
    ids = {}
    for name, acc in (("a", 0.7), ("b", 0.8), ("c", 0.9)):
        ids[name] = train(name, acc).id
        cli("copy", name, "--to", "vault")
        cli("promote", name)

    def serves():
        return cli("deployments", "--json").json[0]["run"]

    cli("rollback", "production", "--reason", "c is slow")
    assert serves() == ids["b"]
    cli("rollback", "production")
    assert serves() == ids["a"]
    assert "nothing to go back to" in cli("rollback", "production", code=4).err
    actions = [row["action"] for row in cli("history", "production", "--json").json]
    assert actions == ["rollback", "rollback", "promote", "promote", "promote"]
    assert "nothing to go back to" in cli("rollback", "nowhere", code=4).err


def test_rollback_to_bytes_that_are_gone_is_refused(cli, vault):
    for name, acc in (("a", 0.7), ("b", 0.8)):
        train(name, acc)
        cli("promote", name, "--override", "copies", "--reason", "x")
    Path("a.bin").unlink()
    said = cli("rollback", "production", code=3)
    assert "artifact-present" in said.err
    assert cli("deployments", "--json").json[0]["run"] == cli("show", "b", "--json").json["id"]


def test_when_the_origin_is_gone_a_verified_copy_is_read_instead(cli, vault):
    train("m", 0.9)
    cli("copy", "m", "--to", "vault")
    Path("m.bin").unlink()
    said = cli("promote", "m", "--dry-run", "--json")
    assert said.json["ok"] and "vault" in said.json["path"]


def test_two_promotions_at_once_cannot_both_win(cli, vault, own_folder):
    for name in ("a", "b"):
        train(name, 0.9)
        cli("copy", name, "--to", "vault")
    Path("registry.toml").write_text(
        Path("registry.toml").read_text() + '\n[targets.production]\non_promote = "sleep 0.5"\n'
    )
    command = [sys.executable, "-m", "registry", "promote"]
    started = [
        subprocess.Popen([*command, name], stderr=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        for name in ("a", "b")
    ]
    said = [process.communicate(timeout=100)[1] for process in started]
    assert sorted(process.returncode for process in started) == [0, 3], said
    assert any("was changed meanwhile" in words for words in said)
    assert len(cli("deployments", "--json").json) == 1
    assert len(cli("history", "production", "--json").json) == 1


def test_on_promote_gets_the_verified_file_and_its_failure_changes_nothing(cli, vault, own_folder):
    base = Path("registry.toml").read_text()
    train("m", 0.9, weights=b"the weights")
    cli("copy", "m", "--to", "vault")
    Path("registry.toml").write_text(
        base + '\n[targets.production]\non_promote = "cp $REGISTRY_ARTIFACT live.bin && exit 3"\n'
    )
    said = cli("promote", "m", code=3)
    assert "production still serves what it served" in said.err and "ended with 3" in said.err
    assert cli("deployments", "--json").json == []
    Path("registry.toml").write_text(base + '\n[targets.production]\non_promote = "cp $REGISTRY_ARTIFACT live.bin"\n')
    cli("promote", "m")
    assert Path("live.bin").read_bytes() == b"the weights"


class _Health(http.server.BaseHTTPRequestHandler):
    statuses: list[int] = []

    def do_GET(self):
        self.send_response(self.statuses.pop(0) if len(self.statuses) > 1 else self.statuses[0])
        self.end_headers()

    def log_message(self, *words):
        pass


@pytest.fixture
def health():
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), _Health)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/health"
    server.shutdown()
    thread.join()
    server.server_close()


def test_health_is_waited_for_and_its_failure_changes_nothing(cli, vault, health):
    base = Path("registry.toml").read_text()
    train("m", 0.9)
    cli("copy", "m", "--to", "vault")
    target = f'\n[targets.production]\nhealth_url = "{health}"\nhealth_timeout_s = 0.5\n'
    Path("registry.toml").write_text(base + target)
    _Health.statuses = [503]
    said = cli("promote", "m", code=3)
    assert "was not healthy within 0.5 s: status 503" in said.err
    assert cli("deployments", "--json").json == []
    _Health.statuses = [503, 200]
    Path("registry.toml").write_text(base + target.replace("0.5", "20"))
    cli("promote", "m")
    assert cli("deployments", "--json").json[0]["health"] == "ok"


def test_targets_are_independent(cli, vault):
    train("m", 0.9)
    cli("copy", "m", "--to", "vault")
    cli("promote", "m", "--to", "staging")
    cli("promote", "m", "--to", "production")
    assert sorted(row["target"] for row in cli("deployments", "--json").json) == ["production", "staging"]
    assert cli("ls", "--json").json[0]["deployed_to"] == ["production", "staging"]


def test_a_run_without_artifacts_says_so(cli, vault):
    registry.init(name="nothing").finish()
    assert "no artifact with the role 'best'" in cli("promote", "nothing", code=3).err
    assert "no run 'nobody'" in cli("promote", "nobody", code=4).err


def test_the_audit_chain_finds_a_row_that_was_changed_or_taken_out(cli, vault):
    train("m", 0.9)
    for tag in ("one", "two", "three"):
        cli("tag", "m", tag)
    assert cli("doctor").code == 0
    change("UPDATE audit SET details = '{}' WHERE id = 3")
    assert "audit row 3" in cli("doctor", code=1).out
    change("DELETE FROM audit WHERE id = 2")
    assert "audit row 2 is missing" in cli("doctor", code=1).out


def test_a_promotion_in_python_is_the_same(cli, vault):
    run = train("m", 0.9)
    cli("copy", "m", "--to", "vault")
    db = open_database()
    proposal = promotion.promote(db, run.id, "production", by="alice")
    assert proposal.ok and json.dumps(proposal.as_json())
    db.close()
    assert cli("deployments", "--json").json[0]["by"] == "alice"

"""The guard: a machine goes only when nothing would be lost with it, and every reason against it is named."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import registry
from registry import clock
from registry.copies.transfer import Progress
from registry.database import Database
from registry.errors import RefusedError
from registry.guard import Judgement, Release, ThisMachine, Wish, let_go, permit

from ..rows import change, rows
from .conftest import Recorded, Sshd, flip_byte, poll

Cli = Callable[..., Any]
Record = Callable[..., Recorded]
GOES = ("--accept-single", "--", "touch", "released")


@pytest.fixture
def safe(cli: Cli, record: Record, nas: Path) -> Recorded:
    """A run whose one artifact has a copy that counts."""
    run = record()
    cli("copy", run.id, "--to", "nas")
    return run


def blockers(cli: Cli, *words: object) -> list[dict[str, Any]]:
    said = cli("guard", *words, "--accept-single", "--dry-run", "--json", code=3).json
    assert said["ok"] is False
    return list(said["blockers"])


def permits() -> list[tuple[str, str]]:
    return rows("SELECT subject, outcome FROM permit ORDER BY issued_at")


def test_a_machine_goes_when_everything_is_safe_elsewhere(cli: Cli, safe: Recorded, tmp_path: Path) -> None:
    said = cli("guard", safe.id, *GOES[:1], "--dry-run", "--json").json
    assert said["ok"] and said["runs"] == [safe.id] and said["blockers"] == []
    assert not (tmp_path / "released").exists() and permits() == [], "asking does nothing"
    cli("guard", safe.id, *GOES)
    assert (tmp_path / "released").exists()
    assert [outcome for _, outcome in permits()] == ["released"]


def test_nothing_is_called_when_a_copy_is_missing(cli: Cli, record: Record, nas: Path, tmp_path: Path) -> None:
    run = record()
    said = cli("guard", run.id, *GOES, code=3)
    assert "best.bin" in said.err and "0 of 1" in said.err
    assert not (tmp_path / "released").exists() and permits() == []


def test_two_copies_are_wished_and_one_has_to_be_accepted(cli: Cli, safe: Recorded, tmp_path: Path) -> None:
    said = cli("guard", safe.id, "--", "touch", "released", code=3)
    assert "1 of 2" in said.err and "--accept-single" in said.err
    cli("guard", safe.id, *GOES)
    proof = rows("SELECT proof FROM permit")[0][0]
    assert json.loads(proof)["accept_single"] is True, "it is recorded"


def test_the_record_is_not_believed_the_copy_is_read(cli: Cli, safe: Recorded, nas: Path) -> None:
    (blob,) = [path for path in (nas / "blobs").rglob("*") if path.is_file()]
    flip_byte(blob)
    (blocker,) = blockers(cli, safe.id)
    assert blocker["run"] == safe.id and "mismatch" in blocker["reason"]


def test_copies_on_the_machine_itself_do_not_count(cli: Cli, record: Record, tmp_path: Path, other_disk: Path) -> None:
    run = record()
    cli("remote", "add", "same", tmp_path / "same", "--domain", "x", "--class", "durable")
    cli("remote", "add", "scratch", other_disk / "scratch")
    for name in ("same", "scratch"):
        cli("copy", run.id, "--to", name)
    (blocker,) = blockers(cli, run.id)
    assert "0 of 1" in blocker["reason"]


@pytest.mark.parametrize("name", ["checkpoints_a100/best_denoiser.pt", "out/run/extra.bin", "notes.txt"])
def test_a_file_that_is_not_recorded_stops_it_and_is_named(cli: Cli, safe: Recorded, tmp_path: Path, name: str) -> None:
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).write_bytes(b"weights")
    (blocker,) = blockers(cli, safe.id)
    assert blocker["subject"] == str(tmp_path / name) and blocker["code"] == 21
    cli("guard", safe.id, *GOES[:1], "--ignore", name, "--reason", "scratch", "--", "true")


def test_what_was_there_before_the_run_began_is_not_its_output(
    cli: Cli, record: Record, nas: Path, tmp_path: Path
) -> None:
    (tmp_path / "train.py").write_text("print()")
    os.utime(tmp_path / "train.py")
    began_after = (tmp_path / "train.py").stat().st_ctime + 0.2
    poll(lambda: clock.now() > began_after)
    run = record()
    cli("copy", run.id, "--to", "nas")
    cli("guard", run.id, *GOES)


def test_ignoring_needs_a_reason_and_it_is_kept(cli: Cli, safe: Recorded, tmp_path: Path) -> None:
    (tmp_path / "cache.tmp").write_bytes(b"x")
    cli("guard", safe.id, "--accept-single", "--ignore", "*.tmp", "--", "true", code=2)
    cli("guard", safe.id, "--accept-single", "--ignore", "*.tmp", "--reason", "a cache", "--", "true")
    proof = rows("SELECT proof FROM permit")[0][0]
    assert json.loads(proof)["ignores"] == [["*.tmp", "a cache"]]


def test_known_litter_and_what_git_keeps_elsewhere_needs_no_word(cli: Cli, safe: Recorded, tmp_path: Path) -> None:
    for name in ("__pycache__/x.pyc", ".cache/y", ".DS_Store", "env/pyvenv.cfg", "env/lib/z.py", "src/code.py"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x")

    def git(*words: object) -> None:
        who = ["-c", "user.name=t", "-c", "user.email=t@example.org", "-C", str(tmp_path)]
        subprocess.run(["git", *who, *map(str, words)], check=True, capture_output=True)

    def stays() -> list[str]:
        return [Path(item["subject"]).name for item in blockers(cli, safe.id)]

    git("init", "-q")
    git("add", "src/code.py")
    assert stays() == ["code.py"], "it was not committed yet"
    git("commit", "-q", "-m", "code")
    said = cli("guard", safe.id, "--accept-single", "--dry-run", "--json").json
    assert {"tracked by git", "a cache", "a virtual environment", "version control"} <= set(said["ignored"])
    git("init", "-q", "--bare", ".git/far")
    git("remote", "add", "origin", tmp_path / ".git" / "far")
    assert stays() == ["code.py"], "no remote has the commit yet"
    git("push", "-q", "origin", "HEAD:main")
    cli("guard", safe.id, "--accept-single", "--dry-run")
    (tmp_path / "src" / "code.py").write_bytes(b"better")
    assert stays() == ["code.py"], "what was changed since is only here"


def test_settings_may_name_what_needs_no_copy(cli: Cli, safe: Recorded, tmp_path: Path) -> None:
    (tmp_path / "events.out").write_bytes(b"x")
    (tmp_path / "registry.toml").write_text('[[guard.ignore]]\npattern = "events.out*"\nreason = "made again"\n')
    assert cli("guard", safe.id, "--accept-single", "--dry-run", "--json").json["ignored"]["made again"] == 1


def test_a_recorded_file_that_is_gone_stops_it(cli: Cli, safe: Recorded) -> None:
    safe.files["best"].unlink()
    (blocker,) = blockers(cli, safe.id)
    assert "not there" in blocker["reason"] and blocker["code"] == 21


def test_a_file_that_changed_since_it_was_recorded_stops_it(cli: Cli, safe: Recorded) -> None:
    flip_byte(safe.files["best"])
    (blocker,) = blockers(cli, safe.id)
    assert "changed since it was recorded" in blocker["reason"] and blocker["code"] == 17


def test_a_file_that_is_still_being_written_stops_it(cli: Cli, safe: Recorded, python: Callable[..., Any]) -> None:
    writer = python(f"f = open({str(safe.files['best'])!r}, 'ab'); print(flush=True); input()")
    writer.stdout.readline()
    (blocker,) = blockers(cli, safe.id)
    assert "open for writing" in blocker["reason"]


def test_a_run_that_made_nothing_is_not_safe_it_is_empty(cli: Cli, nas: Path) -> None:
    with registry.init(name="empty") as run:
        run.log({"loss": 1.0})
    (blocker,) = blockers(cli, run.id)
    assert "empty is not safe" in blocker["reason"] and blocker["code"] == 10


@pytest.mark.parametrize(("made", "code"), [(False, 21), (True, 10)])
def test_a_declared_output_folder_must_be_there_and_hold_something(
    cli: Cli, safe: Recorded, tmp_path: Path, made: bool, code: int
) -> None:
    if made:
        (tmp_path / "checkpoints_v2").mkdir()
    (blocker,) = blockers(cli, safe.id, "--root", tmp_path / "checkpoints_v2")
    assert blocker["subject"] == str(tmp_path / "checkpoints_v2") and blocker["code"] == code


def test_roots_that_a_run_declared_are_swept_whole(cli: Cli, nas: Path, tmp_path: Path, other_disk: Path) -> None:
    old = other_disk / "scratch" / "old.pt"
    old.parent.mkdir()
    old.write_bytes(b"x")
    began_after = old.stat().st_ctime + 0.2
    poll(lambda: clock.now() > began_after)
    with registry.init(name="rooted", roots=[other_disk / "scratch"]) as run:
        (tmp_path / "best.pt").write_bytes(b"weights")
        run.log_artifact("best.pt", role="best")
    cli("copy", run.id, "--to", "nas")
    assert [item["subject"] for item in blockers(cli, run.id)] == [str(old)]


def test_a_link_that_leads_out_of_what_is_swept_stops_it(
    cli: Cli, safe: Recorded, tmp_path: Path, other_disk: Path
) -> None:
    (other_disk / "weights").mkdir()
    (other_disk / "weights" / "best.pt").write_bytes(b"x")
    (tmp_path / "latest").symlink_to(safe.files["best"])
    (tmp_path / "nowhere").symlink_to(tmp_path / "not-there")
    cli("guard", safe.id, "--accept-single", "--dry-run")
    (tmp_path / "checkpoints").symlink_to(other_disk / "weights")
    (blocker,) = blockers(cli, safe.id)
    assert blocker["subject"] == str(tmp_path / "checkpoints") and str(other_disk) in blocker["reason"]


def test_a_folder_that_cannot_be_listed_stops_it(cli: Cli, safe: Recorded, tmp_path: Path) -> None:
    if os.getuid() == 0:
        pytest.skip("root may list everything")
    (tmp_path / "locked").mkdir(mode=0)
    try:
        (blocker,) = blockers(cli, safe.id)
        assert "cannot be listed" in blocker["reason"]
    finally:
        (tmp_path / "locked").chmod(0o700)


def test_a_run_that_goes_on_stops_it_whosever_it_is(cli: Cli, safe: Recorded) -> None:
    with registry.init(name="other") as other:
        (blocker,) = blockers(cli, safe.id)
        assert blocker["run"] == other.id and "still running" in blocker["reason"]
    cli("guard", safe.id, *GOES)


def test_an_unread_journal_stops_it(cli: Cli, safe: Recorded, db: Database) -> None:
    from sqlmodel import select

    from registry.tables import JournalCursor

    with Release(db, ThisMachine(db), Wish((safe.id,), accept_single=True)) as release:
        assert release.judge().ok
        (safe.folder / "journal.jsonl").rename(safe.folder / "journal.gone")
        found = release.judge()
        assert any("journal.jsonl" in blocker.subject for blocker in found.blockers)
    with db.read() as session:
        assert session.exec(select(JournalCursor)).first() is not None


def test_everything_on_the_machine(cli: Cli, safe: Recorded, record: Record, tmp_path: Path) -> None:
    record("forgotten")
    found = blockers(cli, "--all")
    assert {item["run"] for item in found} != {safe.id} and any("forgotten" in item["subject"] for item in found)
    cli("copy", "--all", "--to", "nas")
    assert "released" in cli("guard", "--all", *GOES).out
    cli("guard", "--all", *GOES, code=4)


def test_a_bystander_in_the_same_folder_has_to_be_safe_too(cli: Cli, nas: Path, tmp_path: Path) -> None:
    runs = []
    for name in ("mine", "theirs"):
        with registry.init(name=name) as run:
            path = tmp_path / "shared" / f"{name}.pt"
            path.parent.mkdir(exist_ok=True)
            path.write_bytes(name.encode())
            run.log_artifact(path, role="best")
        runs.append(run)
    cli("copy", runs[0].id, "--to", "nas")
    (blocker,) = blockers(cli, runs[0].id)
    assert blocker["run"] == runs[1].id and "theirs.pt" in blocker["subject"]


def test_an_artifact_may_be_lost_by_its_digest_and_with_a_reason(
    cli: Cli, record: Record, nas: Path, tmp_path: Path
) -> None:
    run = record(best=b"keep" * 9, last=b"lose" * 9)
    cli("copy", run.id, "--role", "best", "--to", "nas")
    digest = next(item["digest"] for item in cli("where", run.id, "--json").json if item["role"] == "last")
    destroy = ("--destroy", f"sha256:{digest[:12]}")
    cli("guard", run.id, "--accept-single", *destroy, "--", "true", code=2)
    cli("guard", run.id, "--accept-single", "--destroy", "sha256:123456", "--reason", "r", "--", "true", code=2)
    cli("guard", run.id, "--accept-single", *destroy, "--reason", "diverged", "--dry-run")
    assert len(cli("where", run.id, "--json").json) == 2, "asking discards nothing"
    cli("guard", run.id, "--accept-single", *destroy, "--reason", "diverged", "--", "true")
    assert rows("SELECT discarded_reason FROM artifact WHERE role = 'last'") == [("diverged",)]
    assert rows("SELECT count(*) FROM audit WHERE action = 'destroy'") == [(1,)]


def test_unreachable_is_a_no(cli: Cli, safe: Recorded, nas: Path) -> None:
    nas.rename(nas.with_name("away"))
    (blocker,) = blockers(cli, safe.id)
    assert "is not the place it was" in blocker["reason"] and blocker["code"] == 15


# --- the call


def test_the_exit_code_is_the_commands_and_its_outcome_is_recorded(cli: Cli, safe: Recorded, tmp_path: Path) -> None:
    cli("guard", safe.id, "--accept-single", "--", "sh", "-c", "exit 7", code=7)
    cli("guard", safe.id, "--accept-single", "--", "sh", "-c", "kill -9 $$", code=137)
    cli("guard", safe.id, "--accept-single", "--", "no-such-program", code=127)
    assert [outcome for _, outcome in permits()] == ["failed", "unknown", "failed"]
    alerts = [alert for alert in cli("alerts", "--json").json if alert["code"] == "release-unknown"]
    assert len(alerts) == 1
    words = alerts[0]["hint"].split("registry ")[1].replace("released|failed", "released").split()
    cli(*words)
    assert "release-unknown" not in {alert["code"] for alert in cli("alerts", "--json").json}
    cli("guard", "--settle", "nonsense", code=4)


def test_the_command_is_told_its_permit_and_gets_its_words_untouched(cli: Cli, safe: Recorded, tmp_path: Path) -> None:
    cli("guard", safe.id, "--accept-single", "--", "sh", "-c", 'echo "$REGISTRY_PERMIT $1" > told', "--", "--json")
    permit_id, word = (tmp_path / "told").read_text().split()
    assert len(permit_id) == 16 and word == "--json"


def test_a_command_is_needed_or_known(cli: Cli, safe: Recorded, tmp_path: Path) -> None:
    import socket

    cli("guard", safe.id, code=2)
    (tmp_path / "registry.toml").write_text(
        f'[hosts."{socket.gethostname()}"]\nrelease = "touch released"\ncost_per_hour = 1.29\n'
    )
    said = cli("guard", safe.id, "--accept-single")
    assert (tmp_path / "released").exists() and "1.29 an hour" in said.err


def test_the_registry_goes_along(cli: Cli, safe: Recorded, nas: Path, tmp_path: Path) -> None:
    cli("guard", safe.id, *GOES)
    assert len(list((nas / "backups").iterdir())) == 1
    cli("restore", nas, "--into", tmp_path / "new-machine")
    assert (tmp_path / "new-machine" / "runs.db").exists()
    assert (tmp_path / "new-machine" / "runs" / safe.folder.name / "journal.jsonl").exists()


def attempt(db: Database, run: Recorded, meanwhile: Callable[[], object], **settings: Any) -> None:
    """Judge, let something happen, then try to let go."""
    wish = Wish((run.id,), accept_single=True)
    with Release(db, ThisMachine(db), wish) as release:
        judgement = release.judge()
        assert judgement.ok, judgement.blockers
        meanwhile()
        let_go(db, release, judgement, ["touch", "released"], Progress())


def test_what_changes_between_the_proof_and_the_call_stops_it(
    cli: Cli, safe: Recorded, nas: Path, db: Database, tmp_path: Path
) -> None:
    (blob,) = [path for path in (nas / "blobs").rglob("*") if path.is_file()]
    changes: list[Callable[[], object]] = [
        lambda: flip_byte(blob),
        lambda: (tmp_path / "late.pt").write_bytes(b"x"),
        lambda: nas.rename(nas.with_name("away")),
    ]
    for meanwhile in changes:
        with pytest.raises((RefusedError, registry.UnreachableError)):
            attempt(db, safe, meanwhile)
        assert not (tmp_path / "released").exists()
        (tmp_path / "late.pt").unlink(missing_ok=True)
        if meanwhile is changes[0]:
            cli("verify", safe.id, code=1)
            cli("repair", safe.id)


def test_an_expired_permit_is_never_used(
    cli: Cli, safe: Recorded, db: Database, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = permit._issue

    def slow(*args: Any) -> Any:
        permit_id, _ = real(*args)
        return permit_id, clock.now() - 1.0

    monkeypatch.setattr(permit, "_issue", slow)
    with pytest.raises(RefusedError, match="expired"):
        attempt(db, safe, lambda: None)
    assert not (tmp_path / "released").exists()
    monkeypatch.undo()
    now = clock.now()
    wish = Wish((safe.id,), accept_single=True)
    with clock.frozen(now), Release(db, ThisMachine(db), wish) as release:
        judgement = release.judge()
        with pytest.raises(RefusedError, match="longer than a proof holds"), clock.frozen(now + 16 * 60):
            let_go(db, release, judgement, ["touch", "released"], Progress())
    assert not (tmp_path / "released").exists()


def test_a_judgement_with_a_blocker_never_calls(cli: Cli, safe: Recorded, db: Database, tmp_path: Path) -> None:
    with Release(db, ThisMachine(db), Wish((safe.id,), accept_single=True)) as release:
        judgement = release.judge()
        judgement.block(None, "something", "a reason", "refused")
        with pytest.raises(RefusedError):
            let_go(db, release, judgement, ["touch", "released"], Progress())
    assert not (tmp_path / "released").exists()


@pytest.mark.file_only
def test_a_registry_that_cannot_be_written_lets_nothing_go(safe: Recorded, db: Database, tmp_path: Path) -> None:
    database = Database(str(db.path), readonly=True)
    wish = Wish((safe.id,), accept_single=True)
    with pytest.raises(registry.HoldfastError), Release(database, ThisMachine(database), wish) as release:
        let_go(database, release, release.judge(), ["touch", "released"], Progress())
    database.close()
    assert not (tmp_path / "released").exists()


def test_a_watcher_killed_in_the_middle_begins_again(cli: Cli, safe: Recorded, tmp_path: Path) -> None:
    """The permit of the killed one is never used by the next; its release is told as unknown."""
    script = "import os, signal; os.kill(os.getppid(), signal.SIGKILL)"
    words = [sys.executable, "-m", "registry", "guard", safe.id, "--accept-single", "--", sys.executable, "-c", script]
    killed = subprocess.run(words, capture_output=True)
    assert killed.returncode == -9
    assert permits()[0][1] is None
    assert "release-unknown" in {alert["code"] for alert in cli("alerts", "--json").json}
    cli("guard", safe.id, *GOES)
    assert [outcome for _, outcome in permits()] == [None, "released"]


# --- another machine, over SSH


def test_a_host_is_swept_over_ssh(cli: Cli, safe: Recorded, box: Sshd, tmp_path: Path, db: Database) -> None:
    """The run's machine is `gpu`; its folders are listed and hashed there, its copies are read elsewhere."""
    change("""UPDATE run SET host = '{"name": "gpu"}'""")
    (tmp_path / "registry.toml").write_text('[hosts.gpu]\nssh = "box"\n')
    cli("guard", "--host", "gpu", "--accept-single", "--dry-run")
    (tmp_path / "checkpoints_a100").mkdir()
    (tmp_path / "checkpoints_a100" / "best.pt").write_bytes(b"weights")
    found = cli("guard", "--host", "gpu", "--accept-single", "--dry-run", "--json", code=3).json
    assert [item["subject"] for item in found["blockers"]] == [str(tmp_path / "checkpoints_a100" / "best.pt")]
    safe.files["best"].write_bytes(b"other")
    found = cli("guard", "--host", "gpu", "--accept-single", "--dry-run", "--json", code=3).json
    assert any("changed since" in item["reason"] for item in found["blockers"])
    box.configure(Port=1)
    cli("guard", "--host", "gpu", "--accept-single", "--dry-run", code=5)


def test_a_judgement_says_what_leads() -> None:
    judgement = Judgement("m")
    for code in ("too-few", "inventory", "corrupt"):
        judgement.block(None, "x", "y", code)
    assert judgement.as_json()["code"] == 13

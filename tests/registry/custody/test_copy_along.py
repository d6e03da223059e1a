"""`--copy-to`: what a run makes is copied while it is being made, and whatever becomes of the copies, the run ends as
it ends."""

import hashlib
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import registry
from registry import copy_along, wrapper
from registry.copy_along import CopyAlong
from registry.wrapper import CheckpointWatch

from .conftest import blob_path, poll

Cli = Callable[..., Any]
REGISTRY = [sys.executable, "-m", "registry"]
TRAINING = """
import os, time
os.mkdir("checkpoints")
with open("checkpoints/epoch1.pt", "wb") as file:
    file.write(b"first" * 1000)
while not os.path.exists("go"):
    time.sleep(0.05)
with open("checkpoints/best.pt", "wb") as file:
    file.write(b"last" * 1000)
"""
FIRST, LAST = hashlib.sha256(b"first" * 1000).hexdigest(), hashlib.sha256(b"last" * 1000).hexdigest()


@pytest.fixture
def training(tmp_path: Path) -> "subprocess.Popen[str]":
    """A command that goes on until the file `go` is there, under `registry run --copy-to nas`."""
    (tmp_path / "train.py").write_text(TRAINING)
    words = ["run", "--name", "long", "--copy-to", "nas", "--artifact", "checkpoints/*.pt", "--"]
    return subprocess.Popen([*REGISTRY, *words, sys.executable, "train.py"], stderr=subprocess.PIPE, text=True)


def copies(cli: Cli, run: str) -> dict[str, list[str]]:
    return {item["path"]: [copy["state"] for copy in item["copies"]] for item in cli("where", run, "--json").json}


def test_a_checkpoint_is_safe_while_the_training_goes_on(
    nas: Path, cli: Cli, tmp_path: Path, training: "subprocess.Popen[str]"
) -> None:
    poll(blob_path(nas, FIRST).exists, 60.0)
    assert training.poll() is None, "nobody waited for the end"
    (tmp_path / "go").touch()
    said = training.communicate(timeout=60)[1]
    assert training.returncode == 0, said
    assert copies(cli, "long") == {"checkpoints/epoch1.pt": ["verified"], "checkpoints/best.pt": ["verified"]}


def test_what_was_recorded_is_copied_although_all_was_killed(
    nas: Path, cli: Cli, tmp_path: Path, training: "subprocess.Popen[str]"
) -> None:
    """The copying is a process of its own: it outlives the training and whoever started it."""
    journal = poll(lambda: next(iter((tmp_path / "runs").glob("*/journal.jsonl")), None), 60.0)
    poll(lambda: FIRST.encode() in journal.read_bytes(), 60.0)
    child = subprocess.run(["pgrep", "-P", str(training.pid), "-f", "train.py"], capture_output=True, text=True)
    for process_id in (training.pid, int(child.stdout.split()[0])):
        os.kill(process_id, signal.SIGKILL)
    training.wait()
    poll(blob_path(nas, FIRST).exists, 60.0)
    poll(lambda: copies(cli, "long") == {"checkpoints/epoch1.pt": ["verified"]}, 60.0)
    assert cli("show", "long", "--json").json["status"] == "crashed"
    assert training.stderr is not None
    training.stderr.close()


def test_a_place_that_is_away_fails_no_training_and_is_not_kept_quiet(cli: Cli, nas: Path, tmp_path: Path) -> None:
    nas.rename(nas.with_name("away"))
    script = "open('best.pt', 'wb').write(b'weights')"
    words = ["run", "--name", "short", "--copy-to", "nas", "--artifact", "best.pt", "--", sys.executable, "-c", script]
    done = subprocess.run([*REGISTRY, *words], capture_output=True, text=True)
    assert done.returncode == 1 and "not all of it has a verified copy on nas" in done.stderr
    run = cli("show", "short", "--json").json
    assert run["status"] == "finished" and run["exit_code"] == 0
    nas.with_name("away").rename(nas)
    again = done.stderr.split("try again: registry ")[1].splitlines()[0]
    cli(*again.split())
    assert copies(cli, "short") == {"best.pt": ["verified"]}


def test_a_remote_that_is_not_known_is_told_before_hours_went_by(cli: Cli, nas: Path, tmp_path: Path) -> None:
    for words in (["run", "--copy-to", "nsa", "--", "touch", "began"], ["train", "edgejson", "--copy-to", "nsa"]):
        said = cli(*words, code=4)
        assert "nsa" in said.err and "there are: nas" in said.err
    assert not (tmp_path / "began").exists() and not (tmp_path / "runs").exists()


def test_each_stage_is_copied(cli: Cli, nas: Path, tmp_path: Path) -> None:
    (tmp_path / "suite.toml").write_text(
        '[[stage]]\nname = "A"\n[[gate]]\nstage = "A"\nmetric = "x"\nop = ">="\nthreshold = 0.0\n'
    )
    script = "import registry; r = registry.init(); r.log({'x': 1.0}, step=1); open('best.pt', 'wb').write(b'w' * 9)"
    words = ["run", "--stages", "--gates", "suite.toml", "--copy-to", "nas", "--artifact", "best.pt", "--name", "p"]
    subprocess.run([*REGISTRY, *words, "--", sys.executable, "-c", script], capture_output=True)
    assert copies(cli, "p A") == {"best.pt": ["verified"]}


# --- what is recorded while a command goes on


@pytest.fixture
def watched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(wrapper, "_STILL_S", 0.05)
    run = registry.init(name="watched")
    yield run, CheckpointWatch(run, ["ck/epoch*.pt", "best=ck/best.pt"])
    run.finish()


def recorded(run: Any) -> str:
    return str((run.folder / "journal.jsonl").read_text())


def test_a_checkpoint_that_rolled_out_needs_no_copy_but_one_that_just_vanished_does(
    watched: Any, cli: Cli, tmp_path: Path
) -> None:
    run, watch = watched
    (tmp_path / "ck").mkdir()
    for name in ("epoch1", "epoch2", "best"):
        (tmp_path / "ck" / f"{name}.pt").write_bytes(name.encode())
        poll(lambda name=name: f"ck/{name}.pt" in recorded(run))
    (tmp_path / "ck" / "epoch1.pt").unlink()
    (tmp_path / "ck" / "best.pt").unlink()
    watch.finish()
    run.finish()
    assert set(copies(cli, "watched")) == {"ck/epoch2.pt", "ck/best.pt"}
    reasons = [item["reason"] for item in cli("guard", "watched", "--dry-run", "--json", code=3).json["blockers"]]
    assert any("not there" in reason for reason in reasons), "the best one is gone, and the guard says so"


def test_a_file_that_is_being_written_is_left_until_it_is_whole(
    watched: Any, tmp_path: Path, python: Callable[..., Any]
) -> None:
    run, watch = watched
    (tmp_path / "ck").mkdir()
    writer = python("f = open('ck/best.pt', 'wb'); f.write(b'half'); f.flush(); print(flush=True); input(); f.close()")
    writer.stdout.readline()
    (tmp_path / "ck" / "epoch1.pt").write_bytes(b"whole")
    poll(lambda: "ck/epoch1.pt" in recorded(run))
    assert "ck/best.pt" not in recorded(run), "half a checkpoint was taken for one"
    writer.communicate("\n")
    poll(lambda: "ck/best.pt" in recorded(run))
    watch.finish()


# --- waiting for the rest


def test_ctrl_c_ends_the_waiting_and_the_copying(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "slow").write_text("#!/bin/sh\nexec sleep 600\n")
    (tmp_path / "slow").chmod(0o755)
    monkeypatch.setattr(copy_along.sys, "executable", str(tmp_path / "slow"))
    monkeypatch.setattr(copy_along, "PATIENCE_S", 0.0)
    copying, told = CopyAlong("runs.db", "abc123", ["nas", "vault"]), []

    def tell(words: str) -> None:
        told.append(words)
        if len(told) == 1:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        copying.finish(tell)
    assert all(process.poll() is not None for process in copying._copying.values())
    assert "registry copy abc123 --to nas; registry copy abc123 --to vault" in told[-1]


def test_copying_that_cannot_be_started_is_a_line_and_no_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(copy_along.sys, "executable", str(tmp_path / "no-such-python"))
    (problem,) = CopyAlong("runs.db", "abc123", ["nas"]).finish(print)
    assert "could not be started" in problem


# --- a built-in family


def test_a_training_of_a_family_is_copied_to_the_last_checkpoint(cli: Cli, nas: Path) -> None:
    pytest.importorskip("torch")
    words = ["train", "ternary_vae:v5.5", "--preset", "smoke", "--max-time", "2s", "--name", "t", "--copy-to", "nas"]
    done = subprocess.run([*REGISTRY, *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    found = copies(cli, "t")
    assert {"resume.pt", "last.safetensors"} <= {Path(path).name for path in found}
    assert set(map(tuple, found.values())) == {("verified",)}

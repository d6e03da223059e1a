"""On a Ray cluster of two nodes a command is a recorded run and a sweep's trials are child runs; what dies with a
worker is begun again, or told as crashed.
"""

import contextlib
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from registry import events
from tests.registry.custody.conftest import free_port
from tests.runners import quick

pytest.importorskip("ray", reason="pip install 'holdfast[ray]'")

REGISTRY = [sys.executable, "-m", "registry"]
TOKEN = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": "0123456789abcdef" * 4}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory):
    """The address of a head and a second node with one core each, which know the quick family."""
    port = free_port()
    installed = quick.install(tmp_path_factory.mktemp("ray") / "installed")
    environment = {**os.environ, **TOKEN, "PYTHONPATH": installed}
    options = ["--block", "--disable-usage-stats", "--num-cpus", "1", "--num-gpus", "0"]
    ray = [str(Path(sys.executable).with_name("ray")), "start", *options]
    nodes = [["--head", "--port", str(port), "--include-dashboard=false"], ["--address", f"127.0.0.1:{port}"]]
    with contextlib.ExitStack() as stack:
        for words in nodes:
            process = subprocess.Popen(
                [*ray, *words], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            )
            stack.callback(process.communicate)
            stack.callback(process.terminate)
            for line in process.stdout:
                if b"Ray runtime started" in line:
                    break
            else:
                raise AssertionError("a node of Ray did not begin")
            threading.Thread(target=process.stdout.read, daemon=True).start()
        yield f"ray:127.0.0.1:{port}"


@pytest.fixture
def there(cluster, monkeypatch, tmp_path):
    monkeypatch.setenv("PYTHONPATH", quick.install(tmp_path / "installed"))
    for name, value in TOKEN.items():
        monkeypatch.setenv(name, value)
    return cluster


DIES_ONCE = """
import os, pathlib, signal, time, registry
with registry.init() as run:
    run.log({"loss": 1.0}, step=0)
    if not pathlib.Path("died").exists():
        pathlib.Path("died").touch()
        wrapper = os.getppid()
        worker = int(pathlib.Path(f"/proc/{wrapper}/stat").read_text().rpartition(")")[2].split()[1])
        os.kill(worker, signal.SIGKILL)
        time.sleep(60)
    run.log({"loss": 0.5}, step=1)
"""


def test_a_worker_that_dies_is_begun_again_and_both_attempts_are_recorded(cli, there):
    Path("job.py").write_text(DIES_ONCE)
    Path("g.toml").write_text('name="g"\n[[gate]]\nname="low"\nmetric="loss"\nop="<="\nthreshold=0.7\n')
    words = ["--cpus", "1", "--tag", "far", "--param", "a=1", "--gates", "g.toml", "--", sys.executable, "job.py"]
    said = subprocess.run([*REGISTRY, "run", "--on", there, *words], capture_output=True, text=True, timeout=150)
    assert said.returncode == 0, said.stderr
    last, first = cli("ls", "--json").json
    assert (first["status"], last["status"]) == ("killed", "finished")
    assert last["metrics"]["loss"]["count"] == 2 and last["params"] == {"a": 1} and last["tags"] == ["far"]
    assert sum(last["gates"].values()) == 1 and last["id"] in said.stderr


def test_what_no_node_has_is_refused(there):
    command = [*REGISTRY, "run", "--on", there, "--gpus", "99", "--", "true"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=150)
    assert said.returncode == 2 and "no node has 99 GPUs" in said.stderr and not Path("runs").exists()


def sweep(there, *words):
    command = [*REGISTRY, "sweep", "quick", "--preset", "smoke", "--on", there, *words]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def begun_trials(n_trials):
    """Return the starts of the trials' runs once so many have something to go on from."""
    starts = []
    for path in Path("runs").glob("*/journal.jsonl"):
        start = events.decode(path.read_bytes().partition(b"\n")[0] or b'{"t":"h","at":0}')
        if (path.parent / "checkpoints/resume.pt").exists() and isinstance(start, events.Start):
            starts.append(start)
    return starts if len(starts) == n_trials else []


def wait_for(found, process):
    deadline = time.monotonic() + 120
    while not (value := found()):
        assert time.monotonic() < deadline and process.poll() is None, process.communicate()
        time.sleep(0.05)
    return value


def worker_of(pid):
    """Return the Ray worker that began a training."""
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def test_trials_run_side_by_side_and_go_on_from_their_checkpoint_when_their_worker_dies(cli, there):
    process = sweep(there, "--grid", "steps=60,61", "--set", "pause_ms=100")
    first, _ = wait_for(lambda: begun_trials(2), process)
    os.kill(worker_of(first.host["pid"]), signal.SIGKILL)
    out, err = process.communicate(timeout=170)
    assert process.returncode == 0 and "2 of 2 trials ran" in out and "finished after 2 attempts" in err, err
    runs = cli("ls", "--json").json
    (parent,) = [run for run in runs if "sweep" in run["tags"]]
    trials = {run["id"]: run for run in runs if run["parent"] == parent["id"]}
    assert len(trials) == 2 and {run["status"] for run in trials.values()} == {"finished"} == {parent["status"]}
    assert "resume" in [part["reason"] for part in cli("show", first.run, "--json").json["segments"]]
    assert trials[first.run]["metrics"]["val/loss"]["last_step"] in (60, 61)


def test_a_worker_that_dies_too_often_is_recorded_as_crashed_and_a_stop_ends_the_others_in_good_order(cli, there):
    process = sweep(there, "--grid", "steps=100000,100001", "--set", "pause_ms=50", "--retries", "0")
    first, other = wait_for(lambda: begun_trials(2), process)
    os.kill(worker_of(first.host["pid"]), signal.SIGKILL)
    assert any("crashed" in line for line in iter(process.stderr.readline, ""))
    process.send_signal(signal.SIGTERM)
    _, err = process.communicate(timeout=170)
    assert process.returncode == 130, err
    status = {run["id"]: run["status"] for run in cli("ls", "--json").json}
    assert (status[first.run], status[other.run], status[first.parent]) == ("crashed", "killed", "killed")


def test_no_cluster_at_an_address_is_said(own_folder):
    command = [*REGISTRY, "run", "--on", "ray:127.0.0.1:1", "--", "true"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=150)
    assert said.returncode == 5 and "no Ray cluster at 127.0.0.1:1" in said.stderr

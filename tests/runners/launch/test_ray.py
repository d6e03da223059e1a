"""A command on a Ray cluster of this machine is a recorded run; a worker that dies is begun again, both are kept."""

import subprocess
import sys
from pathlib import Path

import pytest

pytest.importorskip("ray", reason="pip install 'holdfast[ray]'")

REGISTRY = [sys.executable, "-m", "registry", "run", "--on", "ray"]

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


def test_a_worker_that_dies_is_begun_again_and_both_attempts_are_recorded(cli, own_folder):
    Path("job.py").write_text(DIES_ONCE)
    Path("g.toml").write_text('name="g"\n[[gate]]\nname="low"\nmetric="loss"\nop="<="\nthreshold=0.7\n')
    words = ["--cpus", "1", "--tag", "far", "--param", "a=1", "--gates", "g.toml", "--", sys.executable, "job.py"]
    said = subprocess.run([*REGISTRY, *words], capture_output=True, text=True, timeout=150)
    assert said.returncode == 0, said.stderr
    last, first = cli("ls", "--json").json
    assert (first["status"], last["status"]) == ("killed", "finished")
    assert last["metrics"]["loss"]["count"] == 2 and last["params"] == {"a": 1} and last["tags"] == ["far"]
    assert sum(last["gates"].values()) == 1


def test_what_no_node_has_is_refused(cli, own_folder):
    said = subprocess.run([*REGISTRY, "--gpus", "99", "--", "true"], capture_output=True, text=True, timeout=150)
    assert said.returncode == 2 and "no node has 99 GPUs" in said.stderr and not Path("runs").exists()

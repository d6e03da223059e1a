"""A command as a Slurm job is a recorded run. The jobs here are submitit's own on this machine; where there is no Slurm
that is said.
"""

import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.registry.custody.conftest import poll

pytest.importorskip("submitit", reason="pip install 'holdfast[slurm]'")

REGISTRY = [sys.executable, "-m", "registry", "run"]
JOB = """
import os, registry
with registry.init() as run:
    run.log({"loss": 0.5}, step=1)
open("out.bin", "w").write("weights")
raise SystemExit(int(os.environ.get("CODE", "0")))
"""


@pytest.mark.parametrize(("cluster", "code"), [("local", 0), ("local", 3), ("debug", 0)])
def test_a_job_is_a_recorded_run_and_its_exit_code_is_passed_on(cli, own_folder, monkeypatch, cluster, code):
    monkeypatch.setenv("CODE", str(code))
    Path("job.py").write_text(JOB)
    words = ["--on", f"slurm:{cluster}", "--name", "far", "--param", "a=1", "--artifact", "best=out.bin"]
    said = subprocess.run([*REGISTRY, *words, "--", sys.executable, "job.py"], capture_output=True, text=True)
    assert said.returncode == code, said.stderr
    (run,) = cli("ls", "--json").json
    assert (run["name"], run["params"], run["metrics"]["loss"]["last"]) == ("far", {"a": 1}, 0.5)
    assert run["status"] == ("failed" if code else "finished") and run["artifacts"]["total"] == 1
    assert run["id"] in said.stderr


WAITS = """
import pathlib, signal, sys, time
signal.signal(signal.SIGTERM, lambda *_: (pathlib.Path("checkpoint").write_text("kept"), sys.exit(0)))
pathlib.Path("began").touch()
time.sleep(60)
"""


def test_the_warning_before_the_time_is_up_reaches_the_command(cli, own_folder):
    """Slurm sends SIGUSR2 to the job: the command gets SIGTERM and ends in good order."""
    Path("job.py").write_text(WAITS)
    command = [*REGISTRY, "--on", "slurm:local", "--artifact", "checkpoint", "--", sys.executable, "job.py"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    poll(lambda: Path("began").exists(), 60)
    (trained,) = [one for one in psutil.process_iter(["cmdline"]) if one.info["cmdline"] == [sys.executable, "job.py"]]
    trained.parent().parent().send_signal(signal.SIGUSR2)
    _, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    (run,) = cli("ls", "--json").json
    assert run["status"] == "finished" and run["artifacts"]["total"] == 1


def test_a_job_that_dies_is_told_and_its_run_is_in_the_record(cli, own_folder):
    Path("job.py").write_text(WAITS.replace('"kept"', '"k"'))
    command = [*REGISTRY, "--on", "slurm:local", "--", sys.executable, "job.py"]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    poll(lambda: Path("began").exists(), 60)
    (trained,) = [one for one in psutil.process_iter(["cmdline"]) if one.info["cmdline"] == [sys.executable, "job.py"]]
    trained.parent().parent().kill()
    _, err = process.communicate(timeout=60)
    assert process.returncode == 1 and "did not end in good order" in err
    (run,) = cli("ls", "--json").json
    assert run["id"] in err


@pytest.mark.skipif(shutil.which("srun") is not None, reason="there is a Slurm here")
def test_where_there_is_no_slurm_or_no_submitit_that_is_said(cli, own_folder, monkeypatch):
    assert "no Slurm here" in cli("run", "--on", "slurm", "--", "true", code=4).err
    assert "slurm:moon" in cli("run", "--on", "slurm:moon", "--", "true", code=2).err
    assert "whole GPUs" in cli("run", "--on", "slurm:local", "--gpus", "0.5", "--", "true", code=2).err
    monkeypatch.setitem(sys.modules, "submitit", None)
    assert "pip install 'holdfast[slurm]'" in cli("run", "--on", "slurm", "--", "true", code=1).err
    assert not Path("runs").exists()

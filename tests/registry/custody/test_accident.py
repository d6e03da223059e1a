"""The accident, replayed: nine hours of training went to `checkpoints_a100/`, the watcher syncs `checkpoints_v2/`, and
rsync fails unseen and the machine is terminated. Through the guard it stays until the weights are safe.
"""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from registry import clock
from runners import accident

from .conftest import Sshd, poll

TRAIN = """
import os, registry
os.makedirs("checkpoints_a100", exist_ok=True)
with registry.init(experiment="phase32", name="json-planner-v2") as run:
    for epoch in range(1, 101):
        run.log({"val/parse_success": 0.5 + epoch / 250}, step=epoch)
    with open("checkpoints_a100/best_denoiser.pt", "wb") as file:
        file.write(os.urandom(200_000))
"""
WATCHER = """
import subprocess, sys
ssh, here, *options = sys.argv[1:]
synced = subprocess.run(["rsync", "-az", "-e", ssh, f"box:{here}/checkpoints_v2/", "checkpoints_v2/"])
print("rsync", synced.returncode)
guard = [sys.executable, "-m", "registry", "guard", "json-planner-v2", "--accept-single", *options]
sys.exit(subprocess.run([*guard, "--", "rm", "-rf", here]).returncode)
"""


@pytest.mark.skipif(not shutil.which("rsync"), reason="no rsync here: apt-get install rsync")
def test_the_machine_stays_until_the_weights_are_safe(
    cli: Callable[..., Any], box: Sshd, tmp_path: Path, other_disk: Path
) -> None:
    cloud = tmp_path / "cloud"
    cloud.mkdir()
    (cloud / "train.py").write_text(TRAIN)
    (tmp_path / "watcher.py").write_text(WATCHER)
    subprocess.run([sys.executable, "train.py"], cwd=cloud, check=True)
    weights = cloud / "checkpoints_a100" / "best_denoiser.pt"
    trained = weights.read_bytes()
    cli("--db", cloud / "runs.db", "remote", "add", "lab", other_disk / "lab", "--domain", "lab", "--class", "durable")

    def watch(*words: str) -> "subprocess.CompletedProcess[str]":
        program = [sys.executable, str(tmp_path / "watcher.py"), f"ssh -F {box.client}", str(cloud), *words]
        return subprocess.run(program, cwd=cloud, capture_output=True, text=True)

    said = watch()
    assert "rsync 23" in said.stdout, "the sync failed, as it did, and nobody looked"
    assert said.returncode == 3
    assert "checkpoints_a100/best_denoiser.pt: is not recorded" in said.stderr, "the folder is named"
    assert weights.read_bytes() == trained, "nothing is lost"

    said = watch("--root", "checkpoints_v2")
    assert said.returncode == 3 and "checkpoints_v2: a declared output folder does not exist" in said.stderr

    cli("--db", cloud / "runs.db", "keep", "json-planner-v2", weights, "--role", "best", "--step", "100")
    said = watch()
    assert said.returncode == 3 and "0 of 1 verified copies elsewhere" in said.stderr

    cli("--db", cloud / "runs.db", "copy", "json-planner-v2", "--to", "lab")
    assert watch("--ignore", "train.py", "--reason", "in version control elsewhere").returncode == 0
    assert not cloud.exists(), "now the machine may go"

    home = tmp_path / "home"
    cli("restore", other_disk / "lab", "--into", home)
    cli("--db", home / "runs.db", "verify", "--all")
    cli("--db", home / "runs.db", "fetch", "json-planner-v2", "--into", home)
    assert (home / "best_denoiser.pt").read_bytes() == trained
    runs = cli("--db", home / "runs.db", "ls", "--json").json
    assert runs[0]["metrics"]["val/parse_success"]["count"] == 100


# --- the README's words, as they stand

README = (Path(__file__).parents[3] / "README.md").read_text()
SECTION = README.split("\n## The accident\n")[1].split("\n## ")[0]
FENCES = dict(re.findall(r"```(\w*)\n(.*?)```", SECTION, re.DOTALL))


def test_the_demo_plays_what_the_readme_shows(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    assert (FENCES["python"], FENCES["sh"]) == (accident.TRAIN, accident.WATCH)
    accident.replay(tmp_path / "played")
    accident.replay(tmp_path / "played")
    assert capfd.readouterr().err.count("best_denoiser.json: is not recorded") == 2


@pytest.mark.skipif(not shutil.which("rsync"), reason="no rsync here: apt-get install rsync")
def test_the_readme_is_right_from_the_accident_to_the_end(
    cli: Callable[..., Any], tmp_path: Path, other_disk: Path
) -> None:
    """Refused with the words that are shown; then each command that is shown, until the machine may go."""
    for name, text in (("train.py", FENCES["python"]), ("watch.sh", FENCES["sh"])):
        (tmp_path / name).write_text(text)
    written_at = (tmp_path / "watch.sh").stat().st_ctime
    poll(lambda: clock.now() > written_at + 0.2)
    programs = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

    def play(command: str) -> "subprocess.CompletedProcess[str]":
        words = shlex.split(command, comments=True)
        return subprocess.run(words, env={**os.environ, "PATH": programs}, capture_output=True, text=True)

    assert play(f"{sys.executable} train.py").returncode == 0
    trained = Path(accident.WEIGHTS).read_bytes()
    refused = play("sh watch.sh")
    assert refused.returncode == 3 and not Path("terminated").exists()
    for line in FENCES["text"].splitlines()[1:]:
        for piece in re.split("…|gpu-1", line):
            assert piece.strip() in refused.stderr, line
    assert Path(accident.WEIGHTS).read_bytes() == trained

    cli("remote", "add", "nas", other_disk / "nas", "--domain", "nas", "--class", "durable")
    for command in FENCES[""].strip().splitlines():
        done = play(command)
        assert done.returncode == 0, f"{command}: {done.stderr}"
    assert Path("terminated").exists(), "now the machine may go"
    Path(accident.WEIGHTS).unlink()
    cli("fetch", "latest")
    assert Path(accident.WEIGHTS).read_bytes() == trained

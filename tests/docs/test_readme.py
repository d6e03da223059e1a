"""What the README shows is what happens: its commands are run as they stand, its Python too."""

import re
import shlex
import sys
from pathlib import Path

import pytest

README = (Path(__file__).parents[2] / "README.md").read_text()
TRAIN = """
import registry
run = registry.init()
for step in range(20):
    run.log({"val/loss": 1 / (step + 1), "5cat/margin": 0.03}, step=step)
import os
os.makedirs("checkpoints", exist_ok=True)
open("checkpoints/best.pt", "wb").write(b"weights")
run.finish()
"""


def fences(section):
    text = README.split(f"\n## {section}\n")[1].split("\n## ")[0]
    return re.findall(r"```(\w*)\n(.*?)```", text, re.DOTALL)


def commands(section):
    """Return the words of each `registry …` line of a section."""
    lines = [line for language, block in fences(section) if not language for line in block.splitlines()]
    return [shlex.split(line, comments=True)[1:] for line in lines if line.startswith("registry")]


@pytest.fixture
def trained(cli, own_folder):
    Path("registry.toml").write_text("[policy]\nrequire_other_domain = false\nnum_copies = 1\n")
    Path("train.py").write_text(TRAIN)
    Path("mine.toml").write_text(
        'name = "mine"\n[[gate]]\nname = "low"\nmetric = "val/loss"\nop = "<="\nthreshold = 0.5\non = "best"\n'
    )
    for name in ("A", "B"):
        cli(
            "run",
            "--name",
            name,
            "--gates",
            "mine.toml",
            "--artifact",
            "checkpoints/*.pt",
            "--",
            sys.executable,
            "train.py",
        )


def test_recording_any_command(cli, own_folder):
    Path("train.py").write_text(TRAIN)
    words = next(words for words in commands("Record") if words[0] == "run")
    cli(*[sys.executable if word == "python" else word for word in words])
    row = cli("ls", "--json").json[0]
    assert row["experiment"] == "lvm" and row["artifacts"]["total"] == 1


def test_recording_from_python(cli, own_folder):
    code = next(block for language, block in fences("Record") if language == "python")
    Path("best.safetensors").write_bytes(b"weights")
    exec(compile(code, "README", "exec"), {"loss": 0.1, "cos": 0.5, "best_step": 7})
    row = cli("ls", "--json").json[0]
    assert row["status"] == "finished" and row["name"] == "p5"
    assert row["metrics"]["val/cos"]["count"] == 1000 and sum(row["gates"].values()) > 0


@pytest.mark.parametrize("section", ["Look", "Keep"])
def test_commands_of_the_section_work_as_they_stand(cli, trained, own_folder, section):
    ran = 0
    for words in filter(None, commands(section)):
        Path("nas").mkdir(exist_ok=True)
        words = ["nas" if word == "/mnt/nas" else word for word in words if word not in ("sudo", "poweroff")]
        if words[0] == "guard":
            cli(*words, "true", code=3)
        else:
            cli(*words)
        ran += 1
    assert ran >= 4


def test_deploying_and_going_back(cli, trained):
    Path("nas").mkdir()
    cli("remote", "add", "nas", "nas")
    cli("copy", "A", "--to", "nas")
    cli("promote", "A")
    cli("copy", "B", "--to", "nas")
    for words in commands("Trust and deploy"):
        cli(*words)
    assert cli("deployments", "--json").json[0]["run_name"] == "A"

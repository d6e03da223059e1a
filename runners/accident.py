"""The accident that the guard is for, small enough to be played anywhere: the README shows these two scripts, the demo
plays them, and a test runs the README's words to the end.
"""

import os
import subprocess
import sys
import time
from pathlib import Path

from registry.errors import HoldfastError

FOLDER = "accident"
TRAIN = """\
# train.py: a hundred epochs; the weights go to checkpoints_a100/
import json, os, registry

os.makedirs("checkpoints_a100", exist_ok=True)
with registry.init(experiment="phase32", name="json-planner") as run:
    weight = 0.0
    for epoch in range(1, 101):
        weight -= 0.1 * (weight - 3.0)
        run.log({"val/error": abs(weight - 3.0)}, step=epoch)
    with open("checkpoints_a100/best_denoiser.json", "w") as file:
        json.dump({"weight": weight}, file)
"""
WATCH = """\
# watch.sh: brings the weights home, gives the machine back
rsync -a checkpoints_v2/ weights/                           # ends with 23, and nobody looks
registry guard latest --accept-single -- touch terminated   # instead of: touch terminated
"""
WEIGHTS = Path("checkpoints_a100/best_denoiser.json")
REFUSED = 3
OLDER_S = 0.2


def replay(folder: Path) -> None:
    """Play it in a folder with a registry of its own; what is refused, and why, is seen on the terminal.

    Raises HoldfastError when the machine went, or the weights did: it must do neither.
    """
    folder.mkdir(exist_ok=True)
    for name, text in (("train.py", TRAIN), ("watch.sh", WATCH)):
        _write_before(folder / name, text)
    here = str(Path(sys.executable).parent)
    environment = {**os.environ, "REGISTRY_DB": "runs.db", "PATH": f"{here}{os.pathsep}{os.environ['PATH']}"}
    codes = []
    for words in (["python", "train.py"], ["sh", "watch.sh"]):
        print(f"$ {' '.join(words)}", flush=True)
        command = [sys.executable, *words[1:]] if words[0] == "python" else words
        codes.append(subprocess.run(command, cwd=folder, env=environment, check=False).returncode)
    kept = (folder / WEIGHTS).is_file() and not (folder / "terminated").exists()
    if codes != [0, REFUSED] or not kept:
        raise HoldfastError(f"the accident went otherwise: exit codes {codes}", hint=f"look into {folder}")


def _write_before(path: Path, text: str) -> None:
    """Write a script, and return when it is older than whatever begins now: the guard would name it otherwise."""
    if not path.exists() or path.read_text() != text:
        path.write_text(text)
    while time.time() < path.stat().st_ctime + OLDER_S:
        time.sleep(OLDER_S)

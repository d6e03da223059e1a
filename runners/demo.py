"""`registry demo`: the whole way on real training, typed as a person would type it: train, record, keep, verify, gate,
promote, lose nothing, look. It uses the `registry` command alone, in the folder where it is called, and may be run
again.
"""

import json
import shlex
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from registry.errors import HoldfastError
from runners.accident import FOLDER, replay

EXPERIMENT = "demo"
WEAK, GOOD = "weak", "good"
VAULT = "vault"
SETTINGS = """\
# Written by `registry demo`.
[policy]
min_copies = 1
num_copies = 1
# On one disk every copy fails together with its original. A real policy leaves this at its default, true, and keeps
# copies on another machine or drive.
require_other_domain = false
why = "the demo has one disk; a copy beside the original only shows how it works"
"""
TRAININGS = {
    WEAK: ("the notebook's recipe, a few seconds of it: its coverage will not do", "ternary_vae:v5.5", "smoke"),
    GOOD: ("the same network, trained longer, evenly, and calibrated", "ternary_vae:calibrated", "cpu"),
}
SHOWN = (
    "variant",
    "epochs",
    *(f"{name}/{vae}" for name in ("coverage_argmax@50000", "coverage_eff@50000", "exact_test") for vae in "AB"),
)


def demo() -> None:
    """Train two small real models, keep one safe, deploy it, and open the dashboard."""
    began = time.monotonic()
    _prepare()
    ids = {name: _train(name, *what) for name, what in TRAININGS.items()}
    _say("Keep the good one: copy it to a second folder, read it back, compare every byte")
    if not any(remote["name"] == VAULT for remote in _json("remote", "ls")):
        Path(VAULT).mkdir(exist_ok=True)
        _registry("remote", "add", VAULT, VAULT)
    _registry("copy", ids[GOOD], "--to", VAULT)
    _registry("where", ids[GOOD])
    _say("Promote the weak one: refused, with every reason")
    _registry("promote", ids[WEAK], "--to", "production", expect=3)
    _say("Promote the good one")
    _registry("promote", ids[GOOD], "--to", "production", "--reason", "passes its gates, copied and verified")
    _say("The accident: weights go to checkpoints_a100/, the watcher fetches checkpoints_v2/ and gives up the machine")
    replay(Path(FOLDER))
    print("The machine stays, and the weights are where they were. Without the guard both were gone.")
    _say(
        f"Done in {time.monotonic() - began:.0f} s. The weak model was left without a copy, so that the warning is seen"
    )
    _look(ids)


def _prepare() -> None:
    path = Path("registry.toml")
    if not path.exists():
        path.write_text(SETTINGS)
    _say(f"The record is {Path('runs.db').resolve()}; its policy is {path}")
    _registry("init")


def _train(name: str, why: str, family: str, preset: str) -> str:
    """Train one model and return its run's id."""
    _say(f"Train `{name}`: {why}")
    _registry("train", family, "--preset", preset, "--experiment", EXPERIMENT, "--name", name)
    newest = [run for run in _json("ls", "--experiment", EXPERIMENT, "--limit", "10") if run["name"] == name]
    return str(newest[0]["id"])


def _look(ids: dict[str, str]) -> None:
    if sys.stdin.isatty() and sys.stdout.isatty():
        _registry("tui")
        return
    _registry("compare", ids[WEAK], ids[GOOD], "--columns", ",".join(SHOWN))
    _registry("tui")
    _say("Next")
    for words, what in (
        ("registry", "the dashboard, on a terminal"),
        (f"registry show {ids[GOOD]}", "everything about the good one"),
        ("registry alerts", "what is wrong now, and what to type to end it"),
        (f"registry copy {ids[WEAK]} --to {VAULT}", "end the warning"),
        ("registry history production", "who deployed what, when, why"),
    ):
        print(f"  {words:<40} {what}")


def _say(words: str) -> None:
    from rich.console import Console
    from rich.text import Text

    Console(highlight=False).print(Text(f"\n── {words}", style="bold"), soft_wrap=True)


def _command(words: Sequence[str]) -> list[str]:
    return [sys.executable, "-m", "registry", *words]


def _registry(*words: str, expect: int = 0) -> None:
    """Run one command as a person would see it. Raises HoldfastError when it ends otherwise than expected."""
    print(f"$ registry {shlex.join(words)}", flush=True)
    code = subprocess.run(_command(words), check=False).returncode
    if code == 130:
        raise KeyboardInterrupt
    if code != expect:
        raise HoldfastError(f"`registry {' '.join(words)}` ended with {code}, not {expect}", hint="the demo stops here")


def _json(*words: str) -> list[dict[str, object]]:
    done = subprocess.run(_command([*words, "--json"]), capture_output=True, text=True, check=False)
    if done.returncode:
        raise HoldfastError(f"`registry {' '.join(words)}` ended with {done.returncode}: {done.stderr.strip()}")
    found = json.loads(done.stdout)
    assert isinstance(found, list)
    return found

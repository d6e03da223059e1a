"""The dashboard in a real terminal: another process records, two runs are compared, one promoted; the record agrees."""

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pexpect
import pyte

REGISTRY = Path(sys.executable).parent / "registry"
RECORD = """
import registry
for name, loss in (("weak", 0.9), ("good", 0.2)):
    with registry.init("demo", name, params={"loss": loss}) as run:
        run.define_metric("val/loss", goal="min", primary=True)
        for step in range(20):
            run.log({"val/loss": loss + 1 / (step + 1)}, step=step)
        path = run.folder / "best.bin"
        path.write_bytes(name.encode() * 1000)
        run.log_artifact(path, role="best", step=19)
"""

_UNKNOWN_TO_PYTE = re.compile(rb"\x1b\[(?:[<>=][0-9;]*[a-zA-Z]|\?[0-9;]*\$p)|\x1b\][^\x07]*\x07")


class Terminal:
    """A program on a pseudo terminal, and what its screen shows."""

    def __init__(self, folder: Path, environment: dict[str, str], width: int = 80, height: int = 24) -> None:
        self._size = width, height
        self._written = b""
        self.child = pexpect.spawn(
            str(REGISTRY), ["tui"], cwd=str(folder), dimensions=(height, width), env=environment, timeout=60
        )

    def text(self) -> str:
        """Return the screen after what came until now."""
        try:
            while True:
                self._written += self.child.read_nonblocking(1 << 16, timeout=0.05)
        except (pexpect.TIMEOUT, pexpect.EOF):
            pass
        screen = pyte.Screen(*self._size)
        pyte.ByteStream(screen).feed(_UNKNOWN_TO_PYTE.sub(b"", self._written))
        return "\n".join(screen.display)

    def wait_for(self, words: str, seconds: float = 60.0) -> str:
        """Wait until the screen shows some words."""
        deadline = time.monotonic() + seconds
        while words not in (text := self.text()):
            assert time.monotonic() < deadline, f"{words!r} never came:\n{text}"
        return text


def test_a_model_is_promoted_in_a_real_terminal(tmp_path: Path) -> None:
    environment = {
        **{k: v for k, v in os.environ.items() if not k.startswith(("REGISTRY_", "COLUMNS", "LINES"))},
        "TERM": "xterm-256color", "COLORTERM": "truecolor", "XDG_STATE_HOME": str(tmp_path / "state"),
    }  # fmt: skip
    (tmp_path / "registry.toml").write_text('[policy]\nrequire_other_domain = false\nwhy = "a test"\n')

    def registry(*words: str) -> str:
        done = subprocess.run([REGISTRY, *words], cwd=tmp_path, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    terminal = Terminal(tmp_path, environment)
    terminal.wait_for("no runs yet")
    subprocess.run([sys.executable, "-c", RECORD], cwd=tmp_path, env=environment, check=True)
    terminal.wait_for("good")
    registry("remote", "add", "vault", str(tmp_path / "vault"))
    registry("copy", "good", "--to", "vault")
    terminal.wait_for("✓ 1/1")
    terminal.child.send("  ")
    terminal.wait_for("2 marked")
    terminal.child.send("c")
    terminal.wait_for("★")
    terminal.child.send("1")
    terminal.wait_for("newest first")
    terminal.child.send("\x1b[H")
    terminal.child.send("P")
    text = terminal.wait_for("artifact-unchanged")
    assert "Promote good" in text
    terminal.child.send("\t\r")
    terminal.wait_for("production serves good")
    terminal.child.send("\x1b")
    terminal.wait_for("▲")
    terminal.child.send("q")
    terminal.child.expect(pexpect.EOF)
    deployed = json.loads(registry("deployments", "--json"))
    assert [(row["target"], row["artifact"], row["overrides"]) for row in deployed] == [("production", "best", [])]


def test_without_a_terminal_the_dashboard_is_printed_once(story: Path) -> None:
    done = subprocess.run([REGISTRY, "tui"], cwd=story, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert "vae-k16-s0" in done.stdout
    assert "\x1b" not in done.stdout


def test_printing_a_registry_that_is_not_there_is_one_line(tmp_path: Path) -> None:
    done = subprocess.run([REGISTRY, "tui"], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 4
    assert "no registry" in done.stderr
    assert "Traceback" not in done.stderr

"""The dashboard keeps to its rooms: small wiring, nothing heavy before the first picture."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

TUI = Path(__file__).parents[2] / "tui"
FILES = sorted(TUI.rglob("*.py"))
ASKING = {"snapshots.py", "series.py", "acts.py", "arranging.py", "jobs.py", "commands.py", "plain.py"}
LIGHT = {"registry", "registry.clock", "registry.errors", "registry.places"}


def imports(path: Path) -> set[str]:
    """Return the modules a file imports when it runs, leaving out what only the type checker sees."""
    tree = ast.parse(path.read_text())
    for node in ast.walk(tree):
        if isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING":
            node.body = [ast.Pass()]
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            found.add(node.module or "")
    return found


def test_the_wiring_stays_small() -> None:
    assert len((TUI / "app.py").read_text().splitlines()) < 300


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_only_those_who_ask_know_the_registry(path: Path) -> None:
    heavy = {name for name in imports(path) if name.partition(".")[0] == "registry"} - LIGHT
    assert path.name in ASKING or not heavy


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_nothing_is_read_as_markup(path: Path) -> None:
    calls = [node for node in ast.walk(ast.parse(path.read_text())) if isinstance(node, ast.Call)]
    for call in calls:
        if isinstance(call.func, ast.Attribute) and call.func.attr in ("notify",):
            assert any(key.arg == "markup" for key in call.keywords), f"{path.name}:{call.lineno}"
        assert "from_markup" not in ast.unparse(call.func), f"{path.name}:{call.lineno}"


def test_the_first_picture_needs_no_store() -> None:
    code = (
        "import sys, tui.app, tui.screens.runs;"
        "print([m for m in ('sqlmodel', 'sqlalchemy', 'torch', 'msgspec') if m in sys.modules])"
    )
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=TUI.parent)
    assert said.stdout.strip() == "[]"

"""The shape of the house: what is public, what may know what, how light the front is, how large a room may grow."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

import registry

ROOT = Path(registry.__file__).parents[1]
LARGE_WITH_A_REASON = {
    "registry/projection.py": "one method an event; the only way in",
    "registry/promotion.py": "the checks and the one transaction they guard",
    "registry/tables.py": "one class a table",
    "registry/filters.py": "one language: its words, its tree, its SQL",
    "registry/ingest/reading.py": "one file read on from its cursor, with every way it can have changed meanwhile",
    "registry/remotes/disk.py": "one protocol: put, read back, probe, on a disk",
    "registry/remotes/ssh.py": "the same protocol through one connection",
    "registry/remotes/s3.py": "the same protocol on an object store, whose every answer may be cut, slow or wrong",
    "tui/screens/runs.py": "the screen people live in",
    "tui/snapshots.py": "the only module that asks the registry",
    "tui/widgets/table.py": "one widget: a windowed table",
}


def test_the_public_names_are_the_real_ones():
    for name in registry.__all__:
        assert getattr(registry, name) is not None
    assert set(registry._HOME) == set(registry.__all__)
    with pytest.raises(AttributeError):
        registry.nonsense  # noqa: B018


@pytest.mark.parametrize(
    ("statement", "forbidden"),
    [
        ("import registry", ["sqlmodel", "sqlalchemy", "torch", "textual", "pydantic"]),
        ("import registry; registry.init", ["sqlmodel", "sqlalchemy", "torch", "textual", "pydantic"]),
        ("import registry.gates", ["sqlmodel", "sqlalchemy"]),
        ("import registry.cli.main", ["sqlmodel", "sqlalchemy", "rich", "textual", "torch"]),
    ],
)
def test_the_front_is_light(statement, forbidden):
    script = f"import sys; {statement}; print([m for m in {forbidden} if m in sys.modules])"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stdout.strip() == "[]"


def test_the_registry_knows_no_torch_no_textual_and_no_plotext():
    root = Path(registry.__file__).parent
    for path in root.rglob("*.py"):
        if "integrations" in path.parts:
            continue
        for node in ast.walk(ast.parse(path.read_text())):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in names:
                assert name.split(".")[0] not in ("torch", "textual", "plotext", "runners", "tui"), f"{path}: {name}"


def test_the_dashboard_is_wired_in_fewer_than_three_hundred_lines():
    assert len((ROOT / "tui" / "app.py").read_text().splitlines()) < 300


def test_a_room_over_four_hundred_lines_has_a_reason():
    large = {
        str(path.relative_to(ROOT))
        for room in ("registry", "runners", "tui")
        for path in (ROOT / room).rglob("*.py")
        if len(path.read_text().splitlines()) > 400 and "versions" not in path.parts
    }
    assert large <= set(LARGE_WITH_A_REASON), f"split them, or say why: {sorted(large - set(LARGE_WITH_A_REASON))}"

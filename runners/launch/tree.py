"""What of the working tree goes with a run: what git knows or would add, never what it ignores, never the registry."""

import os
import subprocess
from pathlib import Path

from registry.errors import UsageError

NEVER = {".git", "runs", "work", ".holdfast", ".venv", "__pycache__", "node_modules", "runs.db", "runs.db-wal"}
MOST_FILES = 100_000


def working_tree(cwd: Path, registry_root: Path) -> tuple[Path, list[str], str]:
    """Return the top folder, the files below it that go along (relative), and the folder of the command in it.

    In git that is what is tracked or untracked and not ignored, submodules left out; elsewhere every file of `cwd`.
    Raises UsageError for more than MOST_FILES files.
    """
    top = _git_top(cwd)
    names = _listed_by_git(top) if top else _below(cwd)
    top = top or cwd
    own = [Path(registry_root, name) for name in ("runs", "work", ".holdfast")]
    kept = [name for name in names if not _is_ours(top / name, own, registry_root)]
    if len(kept) > MOST_FILES:
        raise UsageError(
            f"{len(kept):,} files in {top}",
            hint="add data and environments to .gitignore; they are sent by other means",
        )
    return top, kept, os.path.relpath(cwd, top)


def _git_top(cwd: Path) -> Path | None:
    done = subprocess.run(["git", "-C", str(cwd), "rev-parse", "--show-toplevel"], capture_output=True, text=True)
    return Path(done.stdout.strip()) if done.returncode == 0 else None


def _listed_by_git(top: Path) -> list[str]:
    command = ["git", "-C", str(top), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, capture_output=True, check=True).stdout
    names = sorted({os.fsdecode(name) for name in listed.split(b"\0") if name})
    return [name for name in names if os.path.lexists(top / name) and not (top / name).is_dir()]


def _below(cwd: Path) -> list[str]:
    names = []
    for folder, folders, files in os.walk(cwd):
        folders[:] = [name for name in folders if name not in NEVER]
        names += [os.path.relpath(os.path.join(folder, name), cwd) for name in files if name not in NEVER]
    return sorted(names)


def _is_ours(path: Path, own: list[Path], registry_root: Path) -> bool:
    if path.parent == registry_root and path.name.startswith("runs.db"):
        return True
    return any(path.is_relative_to(folder) for folder in own)

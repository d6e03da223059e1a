"""Which files below a folder may be logs. A rescan is the truth, file events only say that one is due.

No symlink is followed; folders of our own runs are not entered, their journals are named instead.
"""

import fnmatch
import os
import re
import stat
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from registry import places

MAX_FILES = 200_000
_NEVER_FOLDERS = frozenset({
    "__pycache__", "node_modules", "venv", "env", "site-packages", "dist-packages", ".trash", "artifacts_store",
    "egg-info",
})  # fmt: skip
_HIDDEN_ALLOWED = frozenset({".hydra", ".guild"})
_SUFFIXES = frozenset({
    "log", "txt", "out", "err", "stdout", "stderr", "json", "jsonl", "ndjson", "csv", "tsv", "yaml", "yml", "toml",
    "wandb", "old", "bak", "output", "console", "nohup", "metrics", "logs",
})  # fmt: skip
_NEVER_FILES = re.compile(
    r"debug(?:-[\w.]*)?\.log|debug-internal\.log|requirements.*\.txt|conda-environment\.yaml|wandb-metadata\.json|.*\.patch|"
    r".*_?annotations?.*\.json|package(?:-lock)?\.json|tsconfig.*\.json|vocab.*|merges\.txt|tokenizer.*|special_tokens.*|"
    r"generation_config\.json|preprocessor_config\.json|added_tokens\.json|.*\.index\.json|LICEN[CS]E.*|README.*|"
    r"CHANGELOG.*|classes?\.txt|labels?\.txt|.*\.ipynb|docker-compose.*|environment\.ya?ml|pyproject\.toml|poetry\.lock|"
    r"\.?pre-commit.*|mkdocs.*|dvc\.(?:yaml|lock)|.*\.dvc|registry\.toml|pip[-_]freeze.*|"
    r"_?SUCCESS\.crc|robots\.txt|CMakeLists\.txt|.*\.schema\.json|model\.safetensors\.index\.json|prompts?\.(?:txt|json)",
    re.IGNORECASE,
)
_NUMBERED = re.compile(r"(?:.*\.)?[oe]?\d{1,9}")


@dataclass(frozen=True, slots=True)
class Found:
    """A file as the last scan saw it; sizes in bytes."""

    path: str
    size: int
    mtime_ns: int
    device: int
    inode: int

    @property
    def token(self) -> tuple[int, int, int, int]:
        """What changes whenever the file does."""
        return self.size, self.mtime_ns, self.device, self.inode


@dataclass
class Scan:
    """What lies below the roots: candidate files by absolute path, journals of our own runs, and what was left out."""

    files: dict[str, Found] = field(default_factory=dict)
    journals: list[Path] = field(default_factory=list)
    unreadable: list[str] = field(default_factory=list)
    truncated: bool = False


def scan(root: Path, ignore: Iterable[str] = ()) -> Scan:
    """Walk `root` (a folder or one file). Names and paths matching an `ignore` glob are left out."""
    found = Scan()
    patterns = list(ignore)
    if root.is_file():
        if (file := stat_file(str(root))) is not None:
            found.files[file.path] = file
        return found
    _walk(str(root), found, patterns, str(root))
    return found


def _walk(folder: str, found: Scan, patterns: list[str], root: str) -> None:
    try:
        with os.scandir(folder) as entries:
            listed = sorted(entries, key=lambda entry: entry.name)
    except OSError:
        found.unreadable.append(folder)
        return
    if any(entry.name == places.JOURNAL_NAME for entry in listed):
        found.journals.append(Path(folder, places.JOURNAL_NAME))
        return
    for entry in listed:
        if _ignored(entry.path, entry.name, patterns, root) or entry.is_symlink():
            continue
        if entry.is_dir():
            if not _never_folder(entry.name):
                _walk(entry.path, found, patterns, root)
        elif may_hold(entry.name) and (file := stat_file(entry.path)) is not None:
            if len(found.files) >= MAX_FILES:
                found.truncated = True
                return
            found.files[entry.path] = file


def _never_folder(name: str) -> bool:
    if name.startswith("."):
        return name not in _HIDDEN_ALLOWED
    return name.lower() in _NEVER_FOLDERS or name.endswith(".egg-info")


def _ignored(path: str, name: str, patterns: list[str], root: str) -> bool:
    if not patterns:
        return False
    relative = os.path.relpath(path, root)
    return any(fnmatch.fnmatch(name, pattern) or fnmatch.fnmatch(relative, pattern) for pattern in patterns)


def may_hold(name: str) -> bool:
    """Return whether a file of this name may hold metrics or parameters, by its name alone."""
    if _NEVER_FILES.fullmatch(name):
        return False
    if "tfevents" in name:
        return not name.endswith((".profile-empty", ".gz"))
    _, dot, suffix = name.rpartition(".")
    return not dot or suffix.lower() in _SUFFIXES or bool(_NUMBERED.fullmatch(suffix))


def stat_file(path: str) -> Found | None:
    """Return a regular file as it is now, None when it is gone or something else."""
    try:
        status = os.stat(path, follow_symlinks=False)
    except OSError:
        return None
    if not stat.S_ISREG(status.st_mode):
        return None
    return Found(path, status.st_size, status.st_mtime_ns, status.st_dev, status.st_ino)

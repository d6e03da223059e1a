"""What a machine would take with it: every file in the output folders of runs is recorded, ignored for a stated
reason, or named. The comparison is pure; `Machine` is the machine it is made on.
"""

import fnmatch
import socket
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any

from registry.copies.record import ArtifactFacts, origin_of
from registry.copies.sources import is_here
from registry.custody import REASON_CODES, Blocker, Origin
from registry.database import Database
from registry.errors import HoldfastError, NotFoundError
from registry.hashing import digest_file
from registry.remotes.disk import MARKER_NAME
from registry.remotes.inventory import list_files

SKIPPED_FOLDERS = {
    ".git": "version control", ".hg": "version control", ".svn": "version control",
    "__pycache__": "Python's compiled files", ".cache": "a cache", ".mypy_cache": "a cache",
    ".ruff_cache": "a cache", ".pytest_cache": "a cache", ".hypothesis": "a cache", ".tox": "a test environment",
    ".nox": "a test environment", "node_modules": "installed packages", "site-packages": "installed packages",
    ".ipynb_checkpoints": "editor copies", ".Trash": "the waste bin", "pyvenv.cfg": "a virtual environment",
    MARKER_NAME: "a place that holds copies",
}  # fmt: skip
IGNORED_FILES = {
    "*.pyc": "Python's compiled files",
    ".DS_Store": "the file manager's",
    "Thumbs.db": "the file manager's",
    ".*.swp": "the editor's",
    ".nfs*": "a file that was removed while it was open",
    ".bash_history": "shell history",
    ".python_history": "shell history",
    ".zsh_history": "shell history",
    ".lesshst": "shell history",
    ".viminfo": "the editor's",
    ".wget-hsts": "the downloader's",
}


@dataclass(frozen=True)
class Root:
    """A folder to sweep: all of it, or (`since`, unix seconds) only what was changed since then."""

    run: str
    path: str
    why: str
    since: float | None = None
    must_exist: bool = False


@dataclass(frozen=True)
class Ignored:
    """A shell pattern of files that need no copy, and why; with a slash it is matched against the whole path."""

    pattern: str
    reason: str


@dataclass
class Inventory:
    """What a sweep came to: blockers, how many files were ignored for what, how many things were seen, and of each
    recorded file what changes when it is written."""

    blockers: list[Blocker] = field(default_factory=list)
    recorded: dict[str, tuple[int, float]] = field(default_factory=dict)
    ignored: dict[str, int] = field(default_factory=dict)
    n_files: int = 0

    def ignore(self, reason: str) -> None:
        """Count one file that needs no copy."""
        self.ignored[reason] = self.ignored.get(reason, 0) + 1


@dataclass(frozen=True)
class Content:
    """What a file holds now: its digest, or why it could not be read (`missing`: it is not there)."""

    path: str
    digest: str = ""
    error: str = ""
    missing: bool = False


class Machine(ABC):
    """The machine that is to be released, as far as files go. `root` is the registry's folder as it is named there."""

    name: str
    root: Path

    @property
    def names(self) -> tuple[str, ...]:
        """What the machine is called: in the record, and by itself."""
        return (self.name,)

    @abstractmethod
    def list_files(self, root: str, since: float | None, skip: Sequence[str]) -> list[dict[str, Any]] | None:
        """Return the files below a folder, None when the folder is not there. Raises HoldfastError."""

    @abstractmethod
    def contents(self, paths: Sequence[str]) -> Iterator[Content]:
        """Hash files, in order; one that is being written has an error."""

    @abstractmethod
    def size_of(self, path: str) -> int | None:
        """Return the size of a file, None when it is not there."""

    @abstractmethod
    def tracked(self, folder: str) -> set[str]:
        """Return the absolute paths of the files that git tracks around a folder."""

    @abstractmethod
    def holds(self, artifact: ArtifactFacts) -> bool:
        """Return whether an artifact's file is on this machine."""

    @abstractmethod
    def origin(self, artifact: ArtifactFacts) -> Origin:
        """Return where an artifact of this machine was made."""

    def close(self) -> None:  # noqa: B027
        """Give back connections."""


class ThisMachine(Machine):
    """The machine that this program runs on."""

    def __init__(self, db: Database) -> None:
        self.name = socket.gethostname()
        self.root = db.root
        self._settings = db.settings

    def holds(self, artifact: ArtifactFacts) -> bool:
        """Return whether the file is here, whoever made it."""
        return is_here(artifact, self.root)

    def origin(self, artifact: ArtifactFacts) -> Origin:
        """Return the disk that an artifact is on, or the other host that made it."""
        return origin_of(artifact, self.root, self._settings)

    def list_files(self, root: str, since: float | None, skip: Sequence[str]) -> list[dict[str, Any]] | None:
        """Return the files below a folder."""
        try:
            return list_files(root, since, skip)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            raise HoldfastError(f"cannot sweep {root}: {error.strerror or error}", reason_code=15) from error

    def contents(self, paths: Sequence[str]) -> Iterator[Content]:
        """Hash files that hold still."""
        for path in paths:
            try:
                yield Content(path, digest_file(Path(path))[0])
            except NotFoundError:
                yield Content(path, missing=True)
            except (HoldfastError, OSError) as error:
                yield Content(path, error=str(error))

    def size_of(self, path: str) -> int | None:
        """Return the size of a file."""
        try:
            return Path(path).stat().st_size
        except OSError:
            return None

    def tracked(self, folder: str) -> set[str]:
        """Return the files that git tracks around a folder."""
        return git_tracked(_output_of, folder)


def _output_of(arguments: list[str]) -> bytes | None:
    try:
        done = subprocess.run(arguments, capture_output=True, timeout=30, stdin=subprocess.DEVNULL)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout if done.returncode == 0 else None


def git_tracked(output_of: Callable[[list[str]], bytes | None], folder: str) -> set[str]:
    """Return the absolute paths below a folder that git holds as they are, and not here alone.

    Left out is what was changed since its commit, and, in a repository that has remotes, what no remote has yet; all,
    when git does not say. `output_of` runs a command there.
    """
    git = ["git", "-C", folder]
    asked = [
        ["ls-tree", "-r", "-z", "--name-only", "HEAD"],
        ["diff", "--name-only", "--relative", "-z", "HEAD"],
    ]
    if output_of([*git, "remote"]):
        only_here = ["--branches", "HEAD", "--not", "--remotes"]
        asked.append(["log", *only_here, "--format=", "--name-only", "--relative", "-z"])
    said = [output_of([*git, *words]) for words in asked]
    if None in said:
        return set()
    held, *left_out = [set((text or b"").decode("utf-8", "surrogateescape").split("\0")) - {""} for text in said]
    return {f"{folder}/{name}" for name in held.difference(*left_out)}


@dataclass(frozen=True)
class Known:
    """What a sweep compares with: recorded files (absolute path -> digest), patterns to ignore, and absolute paths of
    folders or files that are left alone, with the reason."""

    registered: Mapping[str, str]
    ignores: Sequence[Ignored] = ()
    left_alone: Mapping[str, str] = field(default_factory=dict)


def sweep(machine: Machine, roots: Iterable[Root], known: Known) -> Inventory:
    """Sweep folders and compare what is there with what is recorded; what lies in several is judged once."""
    ordered = sorted(set(roots), key=lambda root: (root.since is not None, root.path))
    inventory = Inventory()
    looked_at: set[str] = set()
    for root in ordered:
        files = _list(machine, root, inventory)
        if not files:
            continue
        judge = _Judge(known, machine.tracked(root.path), [other.path for other in ordered])
        for file in files:
            path = str(PurePosixPath(root.path, file["path"]))
            if path not in looked_at:
                looked_at.add(path)
                judge.judge(inventory, root, path, file)
    return inventory


def _list(machine: Machine, root: Root, inventory: Inventory) -> list[dict[str, Any]]:
    """Return the files of a folder; that it cannot be listed, or is not there where it must be, is a blocker."""
    try:
        files = machine.list_files(root.path, root.since, list(SKIPPED_FOLDERS))
    except HoldfastError as error:
        code = error.reason_code or REASON_CODES["unreachable"]
        inventory.blockers.append(Blocker(root.run, root.path, error.message, code))
        return []
    if not files and root.must_exist:
        words = "does not exist" if files is None else "is empty"
        code = REASON_CODES["inventory" if files is None else "nothing"]
        inventory.blockers.append(Blocker(root.run, root.path, f"{root.why} {words}", code))
    return files or []


class _Judge:
    """Decides on each thing that was found: recorded, ignored for a reason, or a blocker."""

    def __init__(self, known: Known, tracked: set[str], swept: Sequence[str]) -> None:
        self._known = known
        self._tracked = tracked
        self._swept = swept

    def judge(self, inventory: Inventory, root: Root, path: str, file: Mapping[str, Any]) -> None:
        """Add one thing to the inventory."""
        inventory.n_files += 1
        if path in self._known.registered and file["kind"] == "file":
            inventory.recorded[path] = (file["size_bytes"], file["changed_at"])
            return
        reason = self._why_ignored(path, file)
        if reason:
            inventory.ignore(reason)
            return
        words = {
            "file": f"is not recorded ({file.get('size_bytes', 0):,} bytes; {root.why})",
            "symlink": f"leads to {file.get('target')}, which was not swept",
            "unlistable": f"cannot be listed: {file.get('error')}",
        }[str(file["kind"])]
        inventory.blockers.append(Blocker(root.run, path, words, REASON_CODES["inventory"]))

    def _why_ignored(self, path: str, file: Mapping[str, Any]) -> str:
        if file["kind"] == "skipped":
            return SKIPPED_FOLDERS[str(file["error"])]
        if file["kind"] == "special":
            return "a socket, pipe or device: it holds no bytes"
        for parent in (path, *map(str, PurePosixPath(path).parents)):
            if parent in self._known.left_alone:
                return self._known.left_alone[parent]
        if file["kind"] == "symlink":
            return self._why_harmless_link(str(file["target"]))
        if path in self._tracked:
            return "tracked by git"
        name = PurePosixPath(path).name
        for ignored in self._known.ignores:
            against = path if "/" in ignored.pattern else name
            if fnmatch.fnmatchcase(against, ignored.pattern) or fnmatch.fnmatchcase(path, f"*/{ignored.pattern}"):
                return ignored.reason
        return next((why for pattern, why in IGNORED_FILES.items() if fnmatch.fnmatchcase(name, pattern)), "")

    def _why_harmless_link(self, target: str) -> str:
        if not target:
            return "a symlink to nothing"
        if target in self._known.registered:
            return "a symlink to a recorded file"
        inside = any(PurePosixPath(target).is_relative_to(folder) for folder in self._swept)
        return "a symlink inside what is swept" if inside else ""

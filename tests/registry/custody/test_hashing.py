"""Digests are taken only of bytes that hold still, and trees come back exactly or are refused."""

import hashlib
import mmap
import os
import subprocess
import sys
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry import hashing
from registry.errors import HoldfastError, NotFoundError, RefusedError, SourceChangedError, UsageError
from registry.hashing import BLOCK_BYTES, FrozenFile, digest_file, freeze, manifest_text, open_still, parse_manifest

from .conftest import poll


def test_known_answers() -> None:
    hashing.self_test()


def test_the_self_test_finds_a_broken_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(hashing, "digest_stream", lambda read: ("0" * 64, 0))
    with pytest.raises(RuntimeError):
        hashing.self_test()


@pytest.mark.parametrize("size", [0, 1, BLOCK_BYTES - 1, BLOCK_BYTES, BLOCK_BYTES + 1])
def test_sizes_around_a_block(tmp_path: Path, size: int) -> None:
    content = os.urandom(size)
    (tmp_path / "f").write_bytes(content)
    assert digest_file(tmp_path / "f") == (hashlib.sha256(content).hexdigest(), size)


def test_a_sparse_file_is_its_whole_length(tmp_path: Path) -> None:
    with open(tmp_path / "sparse", "wb") as file:
        file.truncate(5_000_000)
    assert digest_file(tmp_path / "sparse") == (hashlib.sha256(bytes(5_000_000)).hexdigest(), 5_000_000)


def test_a_file_that_another_process_can_still_write_is_refused(
    tmp_path: Path, python: Callable[..., "subprocess.Popen[str]"]
) -> None:
    (tmp_path / "f").write_bytes(b"half")
    writer = python(
        "file = open('f', 'ab'); print('open', flush=True); input(); file.close(); print('shut', flush=True)"
    )
    assert writer.stdout is not None and writer.stdin is not None
    assert writer.stdout.readline() == "open\n"
    with pytest.raises(SourceChangedError) as refused:
        digest_file(tmp_path / "f")
    assert refused.value.reason_code == 17
    writer.stdin.write("\n")
    writer.stdin.flush()
    assert writer.stdout.readline() == "shut\n"
    assert digest_file(tmp_path / "f")[1] == 4


def test_a_shared_mapping_of_a_closed_file_is_a_writer_too(
    tmp_path: Path, python: Callable[..., "subprocess.Popen[str]"]
) -> None:
    (tmp_path / "f").write_bytes(bytes(4096))
    writer = python(
        "import mmap; file = open('f', 'r+b'); mapped = mmap.mmap(file.fileno(), 0); file.close();"
        "print('mapped', flush=True); input()"
    )
    assert writer.stdout is not None
    assert writer.stdout.readline() == "mapped\n"
    with pytest.raises(SourceChangedError):
        digest_file(tmp_path / "f")


def rewrite_with_old_dates(path: Path) -> None:
    before = path.stat()
    path.write_bytes(b"X" * before.st_size)
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))


def store_by_mapping(path: Path) -> None:
    with open(path, "r+b") as file, mmap.mmap(file.fileno(), 0) as mapped:
        mapped[0] = 1


@pytest.mark.parametrize(
    "change",
    [
        lambda path: open(path, "ab").write(b"more"),  # noqa: SIM115
        lambda path: path.write_bytes(b"other"),
        rewrite_with_old_dates,
        store_by_mapping,
        lambda path: os.truncate(path, 3),
        lambda path: os.truncate(path, 0),
    ],
    ids=["appended", "rewritten", "rewritten with its dates put back", "stored to by mapping", "truncated", "emptied"],
)
@pytest.mark.filterwarnings("ignore::ResourceWarning")
def test_a_file_that_changes_while_it_is_read_is_refused(tmp_path: Path, change: Callable[[Path], object]) -> None:
    path = tmp_path / "f"
    path.write_bytes(os.urandom(100_000))
    with pytest.raises(SourceChangedError), open_still(path) as descriptor:
        os.read(descriptor, 10)
        change(path)


def test_opening_a_file_for_writing_while_it_is_hashed_neither_waits_nor_kills(
    tmp_path: Path, python: Callable[..., "subprocess.Popen[str]"]
) -> None:
    """A read lease that is held would do both: the kernel kills its holder and stops the writer."""
    (tmp_path / "f").write_bytes(bytes(1000))
    hasher = python(
        "from pathlib import Path\nfrom registry.hashing import open_still\n"
        "try:\n  with open_still(Path('f')):\n    print('reading', flush=True); input()\n"
        "except Exception as error: print(type(error).__name__, flush=True)"
    )
    assert hasher.stdout is not None and hasher.stdin is not None
    assert hasher.stdout.readline() == "reading\n"
    opened = threading.Event()
    writer = threading.Thread(target=lambda: (open(tmp_path / "f", "ab").close(), opened.set()))
    writer.start()
    assert opened.wait(10.0), "the writer had to wait"
    writer.join()
    hasher.stdin.write("\n")
    hasher.stdin.flush()
    assert hasher.stdout.readline() == ""
    assert poll(lambda: hasher.poll() is not None) and hasher.returncode == 0


@pytest.mark.parametrize("kind", ["missing", "symlink", "fifo", "empty", "empty folder"])
def test_what_is_no_artifact_is_refused_in_one_line(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "thing"
    if kind == "symlink":
        (tmp_path / "real").write_bytes(b"x")
        path.symlink_to(tmp_path / "real")
    elif kind == "fifo":
        os.mkfifo(path)
    elif kind == "empty":
        path.touch()
    elif kind == "empty folder":
        (path / "sub").mkdir(parents=True)
    with pytest.raises(NotFoundError if kind == "missing" else RefusedError) as refused:
        freeze(path)
    assert "\n" not in refused.value.message


# --- trees


def tree(root: Path, *names: str | bytes) -> Path:
    for name in names:
        path = Path(os.fsdecode(name)) if isinstance(name, bytes) else Path(name)
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x")
    return root


@pytest.mark.parametrize(
    "names",
    [
        ("model.pt", "Model.pt"),
        ("stra\u00dfe", "STRASSE"),
        ("caf\u00e9-nfd\u0065\u0301",),
        ("with\nnewline",),
        ("tab\there",),
        ("back\\slash",),
        (b"not-utf8-\xff",),
    ],
    ids=["case", "case folding", "not NFC", "newline", "tab", "backslash", "not UTF-8"],
)
def test_names_that_cannot_be_kept_everywhere_are_refused(tmp_path: Path, names: tuple[str | bytes, ...]) -> None:
    with pytest.raises((RefusedError, UsageError)):
        freeze(tree(tmp_path / "t", *names))


def test_odd_but_honest_names_come_back_exactly(tmp_path: Path) -> None:
    names = {"a b", "x" * 255, "caf\u00e9", "line\u2028separator", "next\u0085line", "-dash", "sub/deep/er", "100%"}
    frozen = freeze(tree(tmp_path / "t", *names))
    assert {file.path for file in parse_manifest(manifest_text(frozen.files))} == names


def test_a_symlink_anywhere_in_a_tree_is_refused(tmp_path: Path) -> None:
    tree(tmp_path / "t", "sub/file")
    (tmp_path / "t" / "sub" / "link").symlink_to("/etc/passwd")
    with pytest.raises(RefusedError, match="symlink"):
        freeze(tmp_path / "t")


def test_a_file_that_comes_while_a_tree_is_read_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tree(tmp_path / "t", "a", "b")
    real = hashing.digest_file

    def slow(path: Path) -> tuple[str, int]:
        (tmp_path / "t" / "late").write_bytes(b"x")
        return real(path)

    monkeypatch.setattr(hashing, "digest_file", slow)
    with pytest.raises(SourceChangedError):
        freeze(tmp_path / "t")


safe_names = st.text(st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="/\\"), min_size=1, max_size=20)


@given(st.dictionaries(safe_names, st.integers(0, 10**12), max_size=6))
def test_a_manifest_comes_back_or_is_refused_and_never_turns_into_another(sizes: dict[str, int]) -> None:
    files = [FrozenFile(name, hashlib.sha256(name.encode()).hexdigest(), size) for name, size in sizes.items()]
    try:
        back = parse_manifest(manifest_text(files)) if files else []
    except HoldfastError:
        return
    assert sorted(back, key=lambda file: file.path) == sorted(files, key=lambda file: file.path)


@pytest.mark.parametrize(
    "line",
    [
        f"{'a' * 64} 5 ../escape",
        f"{'a' * 64} 5 /absolute",
        f"{'a' * 64} 5 sub/../../escape",
        f"{'a' * 64} 5 ",
        f"{'a' * 64} -5 file",
        f"{'a' * 64} \u00b2 file",
        f"{'a' * 63} 5 file",
        f"{'A' * 64} 5 file",
        f"{'a' * 32} 5 file",
        "not a manifest",
    ],
)
def test_a_crafted_manifest_is_refused(line: str) -> None:
    with pytest.raises((RefusedError, UsageError)):
        parse_manifest(line.encode() + b"\n")


def test_a_manifest_that_is_not_text_is_refused() -> None:
    with pytest.raises(UsageError):
        parse_manifest(b"\xff\xfe\n")


@pytest.mark.parametrize("digest", ["a" * 32, "A" * 64, "g" * 64, "a" * 63, "", "a" * 64 + "\n", "sha256:" + "a" * 57])
def test_a_digest_of_another_kind_is_refused(digest: str) -> None:
    with pytest.raises(UsageError):
        hashing.check_digest(digest)


def test_hashing_needs_no_more_than_the_standard_library() -> None:
    script = "import sys, registry.hashing; print(sorted({'sqlmodel', 'torch', 'msgspec', 'rich'} & set(sys.modules)))"
    said = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert said.stdout.strip() == "[]"

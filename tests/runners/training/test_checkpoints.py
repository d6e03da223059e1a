"""A checkpoint is whole or not there, its record is of the bytes on the disk, and opening one runs no code."""

import os
import pickle
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

import registry
from registry import events
from registry.errors import HoldfastError, NotFoundError
from runners.training.checkpoints import (
    Checkpoints,
    NotFiniteError,
    is_better,
    load_state,
    load_weights,
    save_bytes,
    write_durably,
)
from tests.runners.training.helpers import digest, of_kind, recorded_digest

WEIGHTS = {"b": torch.arange(6.0).reshape(2, 3), "a": torch.ones(2, dtype=torch.bfloat16)}


def test_weights_come_back_with_what_was_said_of_them() -> None:
    with registry.init(name="r") as run:
        kept = Checkpoints(run)
        assert kept.save_weights("best", WEIGHTS, 7, {"family": "toy", "value": 0.5})
        tensors, about = load_weights(kept.path("best"))
    assert about == {"family": "toy", "value": 0.5, "step": 7}
    assert all(torch.equal(tensors[name], WEIGHTS[name]) for name in WEIGHTS)
    assert recorded_digest(run.folder, "best") == digest(kept.path("best"))


def test_the_same_weights_are_the_same_bytes_whatever_the_order() -> None:
    about = {f"key {number}": number for number in range(20)}
    shuffled = dict(reversed(about.items()))
    assert save_bytes(WEIGHTS, about) == save_bytes(dict(reversed(WEIGHTS.items())), shuffled)


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_weights_that_are_not_finite_are_never_written(bad: float) -> None:
    with registry.init(name="r") as run:
        kept = Checkpoints(run)
        kept.save_weights("last", WEIGHTS, 1)
        before = kept.path("last").read_bytes()
        with pytest.raises(NotFiniteError, match="weights w"):
            kept.save_weights("last", {"w": torch.tensor([1.0, bad])}, 2)
        assert kept.path("last").read_bytes() == before


LITTLE_DISK = """
import resource, signal, registry, torch
from pathlib import Path
from runners.training.checkpoints import Checkpoints, write_durably
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
"""
"""The kernel then refuses files above 100 kB with EFBIG, as a full disk does with ENOSPC."""


def _say_of(process: "subprocess.Popen[str]") -> list[str]:
    out, err = process.communicate(timeout=60)
    assert process.returncode == 0, err
    return out.splitlines()


def test_a_full_disk_keeps_the_file_before_and_leaves_no_rest(
    tmp_path: Path, python: Callable[..., "subprocess.Popen[str]"]
) -> None:
    write_durably(tmp_path / "w", b"before")
    script = """
try:
    write_durably(Path("w"), bytes(200_000))
except OSError as error:
    print(error.strerror)
"""
    assert _say_of(python(LITTLE_DISK + script)) == ["File too large"]
    assert (tmp_path / "w").read_bytes() == b"before"
    assert [entry.name for entry in tmp_path.iterdir()] == ["w"]


def test_a_full_disk_at_a_checkpoint_is_noted_and_the_record_stays_true(
    python: Callable[..., "subprocess.Popen[str]"],
) -> None:
    script = """
with registry.init(name="r") as run:
    kept = Checkpoints(run)
    for step, size in enumerate((10, 100_000, 10), start=1):
        print(kept.save_weights("last", {"w": torch.ones(size)}, step), bool(kept.problem))
    print(run.folder)
"""
    *said, folder_name = _say_of(python(LITTLE_DISK + script))
    assert said == ["True False", "False True", "True False"]
    folder = Path(folder_name)
    assert recorded_digest(folder, "last") == digest(folder / "checkpoints" / "last.safetensors")
    warnings = [note.text for note in of_kind(folder, events.Note) if note.level == "warning"]
    assert len(warnings) == 1 and "step 2" in warnings[0]


def test_what_a_killed_writer_left_behind_is_cleared_by_the_next() -> None:
    with registry.init(name="r") as run:
        folder = Checkpoints(run).folder
        rest = folder / ".last.safetensors.4711.tmp"
        rest.write_bytes(b"half")
        Checkpoints(run)
        assert not rest.exists()


class Evil:
    def __reduce__(self) -> tuple[object, tuple[str]]:
        return (os.mkdir, ("evil-was-here",))


def test_a_resume_state_that_would_run_code_is_refused(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "checkpoints" / "resume.pt").write_bytes(pickle.dumps(Evil()))
    with pytest.raises(NotFoundError, match="cannot be read"):
        load_state(tmp_path)
    torch.save({"evil": Evil()}, tmp_path / "checkpoints" / "resume.pt")
    with pytest.raises(NotFoundError, match="cannot be read"):
        load_state(tmp_path)
    assert not Path("evil-was-here").exists()


def test_missing_and_damaged_weights_are_told_apart(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no weights"):
        load_weights(tmp_path / "none.safetensors")
    (tmp_path / "bad.safetensors").write_bytes(b"not a header")
    with pytest.raises(HoldfastError, match="is not a safetensors file"):
        load_weights(tmp_path / "bad.safetensors")


@pytest.mark.parametrize(
    ("value", "best", "goal", "better"),
    [
        (1.0, None, "max", True),
        (float("nan"), None, "max", False),
        (float("inf"), None, "min", False),
        (2.0, 1.0, "max", True),
        (2.0, 1.0, "min", False),
        (1.0, 1.0, "max", False),
        (float("nan"), 1.0, "min", False),
    ],
)
def test_what_better_means(value: float, best: float | None, goal: str, better: bool) -> None:
    assert is_better(value, best, goal) is better

"""Checkpoints are whole or not there: temporary file beside -> fsync -> rename -> fsync the folder -> hash -> record.

Weights are safetensors; the resume state is a torch file of tensors and plain values that `weights_only=True` reads.
A write that fails leaves the previous checkpoint and its record as they were.
"""

import contextlib
import io
import json
import math
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from registry.errors import CheckFailedError, HoldfastError, NotFoundError
from registry.run import Run
from runners.training import distributed

FOLDER_NAME = "checkpoints"
STATE_NAME = "resume.pt"
_TEMPORARY_SUFFIX = ".tmp"
_ABOUT = "about"


class NotFiniteError(CheckFailedError):
    """A loss, a gradient or a weight is NaN or infinite; what was good before is kept."""


def write_durably(path: Path, content: bytes) -> None:
    """Write a file so that after a crash either the old bytes or the new ones are there, never a part.

    Raises OSError (a full disk, a quota, no permission); the old file then stands and no temporary file stays.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}{_TEMPORARY_SUFFIX}")
    try:
        with open(temporary, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        with contextlib.suppress(OSError):
            temporary.unlink()
        raise
    _sync_folder(path.parent)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def load_weights(path: Path) -> tuple[dict[str, Tensor], dict[str, Any]]:
    """Return the tensors (on the CPU) of a safetensors file and what `save_bytes` wrote about them.

    Raises NotFoundError when it is missing, HoldfastError when it is no safetensors file.
    """
    try:
        with safetensors.safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}, _about(file.metadata())  # noqa: SIM118
    except FileNotFoundError:
        raise NotFoundError(f"no weights {path}") from None
    except safetensors.SafetensorError as error:
        raise HoldfastError(
            f"{path} is not a safetensors file: {error}", hint="give a .safetensors checkpoint"
        ) from None


def _about(metadata: Mapping[str, str] | None) -> dict[str, Any]:
    try:
        return dict(json.loads((metadata or {}).get(_ABOUT, "{}")))
    except ValueError:
        return {}


def load_state(folder: Path) -> dict[str, Any]:
    """Return the resume state in a run's folder. Raises NotFoundError when there is none or it cannot be read."""
    path = folder / FOLDER_NAME / STATE_NAME
    try:
        return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError:
        raise NotFoundError(f"{folder.name} has no resume state", hint="it made no checkpoint; train anew") from None
    except Exception as error:  # torch raises a dozen kinds for a damaged file
        raise NotFoundError(f"{path} cannot be read: {str(error).splitlines()[0]}", hint="train anew") from None


def save_bytes(tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> bytes:
    """Return a safetensors file; the same tensors and the same words about them give the same bytes.

    `about` goes under one key, as JSON: the format does not keep the order of several. Raises NotFiniteError.
    """
    plain = {}
    for name, tensor in sorted(tensors.items()):
        if tensor.is_floating_point() and not torch.isfinite(tensor).all():
            raise NotFiniteError(f"weights {name} are not finite", hint="lower the learning rate")
        plain[name] = tensor.detach().to("cpu").contiguous().clone()
    return safetensors.torch.save(plain, metadata={_ABOUT: json.dumps(dict(about), sort_keys=True)})


class Checkpoints:
    """The checkpoints of one run, in the folder `checkpoints/` of its run folder."""

    def __init__(self, run: Run) -> None:
        self.run = run
        self.folder = run.folder / FOLDER_NAME
        self.folder.mkdir(exist_ok=True)
        self.problem = ""
        """Why the newest checkpoint could not be written; empty when it could."""
        if not distributed.is_writer():
            return
        for left_over in self.folder.glob(f".*{_TEMPORARY_SUFFIX}"):
            left_over.unlink(missing_ok=True)

    def path(self, role: str) -> Path:
        """Return where the weights of a role lie."""
        return self.folder / f"{role}.safetensors"

    def save_weights(
        self, role: str, tensors: Mapping[str, Tensor], step: int, about: Mapping[str, Any] | None = None
    ) -> bool:
        """Write and record weights under a role (`best`, `last`); False when the disk refused and the old ones stay.

        Raises NotFiniteError before anything is written.
        """
        return self._keep(self.path(role), save_bytes(tensors, {**(about or {}), "step": step}), role, step)

    def save_state(self, state: Mapping[str, Any], step: int) -> bool:
        """Write and record the resume state; False when the disk refused and the old one stays."""
        buffer = io.BytesIO()
        torch.save(dict(state), buffer)
        return self._keep(self.folder / STATE_NAME, buffer.getvalue(), "checkpoint", step)

    def _keep(self, path: Path, content: bytes, role: str, step: int) -> bool:
        """Write and record in rank 0; no process goes on before the file is there."""
        kept = not distributed.is_writer() or self._write(path, content, role, step)
        distributed.wait_for_all()
        return kept

    def _write(self, path: Path, content: bytes, role: str, step: int) -> bool:
        try:
            write_durably(path, content)
            self.run.log_artifact(path, role, step=step)
        except (OSError, HoldfastError) as error:
            reason = error.strerror if isinstance(error, OSError) else str(error)
            self.problem = f"checkpoint {path.name} of step {step} could not be kept: {reason}"
            self.run.note(f"{self.problem}; the one before it stays", level="warning", step=step)
            return False
        self.problem = ""
        return True


def is_better(value: float, best: float | None, goal: str) -> bool:
    """Return whether `value` beats `best` for goal `min` or `max`; NaN never does, and anything finite beats None."""
    if math.isnan(value):
        return False
    if best is None:
        return math.isfinite(value)
    return value < best if goal == "min" else value > best

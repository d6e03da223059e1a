"""What a training computes on: device, precision, threads, seeds. What could make two runs differ is fixed here."""

import os
import random
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from registry.errors import UsageError
from runners.training import distributed
from runners.training.settings import CommonSettings


@dataclass(frozen=True)
class Machine:
    """The device, the arithmetic of the forward pass (fp32, bf16 or fp16) and the number of CPU threads."""

    device: torch.device
    precision: str
    threads: int

    def autocast(self) -> AbstractContextManager[None]:
        """Return the context in which the forward pass runs at this precision."""
        if self.precision == "fp32":
            return nullcontext()
        dtype = torch.bfloat16 if self.precision == "bf16" else torch.float16
        return torch.autocast(self.device.type, dtype=dtype)

    def describe(self) -> dict[str, str | int]:
        """Return the machine as params of a run."""
        name = torch.cuda.get_device_name(self.device) if self.device.type == "cuda" else "cpu"
        described = {"machine/device": name, "machine/precision": self.precision, "machine/threads": self.threads}
        return described | ({"machine/processes": distributed.world_size()} if distributed.world_size() > 1 else {})


def prepare(settings: CommonSettings) -> Machine:
    """Choose device, precision and threads, set the threads, seed torch, numpy and random, meet the other processes.

    Raises UsageError when a GPU, or an arithmetic that this machine lacks, is asked for by name.
    """
    device = choose_device(settings.device)
    machine = Machine(device, choose_precision(settings.precision, device), settings.threads or idle_cores())
    torch.set_num_threads(machine.threads)
    seed_everything(settings.seed)
    distributed.join(device)
    return machine


def choose_device(wanted: str) -> torch.device:
    """Return the device: `auto` is the first GPU (of several processes each its own), or the CPU."""
    if wanted == "cuda" and not torch.cuda.is_available():
        raise UsageError("device=cuda, but torch sees no GPU here", hint="use device=auto or device=cpu")
    if wanted == "cpu" or not torch.cuda.is_available():
        return torch.device("cpu")
    own = torch.device("cuda", distributed.local_rank() % torch.cuda.device_count())
    torch.cuda.set_device(own)
    return own


def choose_precision(wanted: str, device: torch.device) -> str:
    """Return the arithmetic: `auto` is bf16 on a GPU that has it, else fp32."""
    has_bf16 = device.type == "cpu" or torch.cuda.is_bf16_supported(including_emulation=False)
    if wanted == "auto":
        return "bf16" if device.type == "cuda" and has_bf16 else "fp32"
    if wanted == "bf16" and not has_bf16:
        raise UsageError("precision=bf16, but this GPU has no bf16", hint="use precision=fp16 or fp32")
    if wanted == "fp16" and device.type == "cpu":
        raise UsageError("precision=fp16 needs a GPU", hint="use precision=fp32 or bf16 on the CPU")
    return wanted


def idle_cores() -> int:
    """Return how many cores are ours and idle now, at least one.

    Ours: the affinity mask and the cgroup's CPU quota. Idle: less the load of the last minute. More threads than idle
    cores cost several times the CPU (they wait for each other spinning).
    """
    allowed = float(len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)
    return max(1, int(min(allowed, _cgroup_cores()) - os.getloadavg()[0] + 0.5))


def _cgroup_cores(path: Path = Path("/sys/fs/cgroup/cpu.max")) -> float:
    try:
        quota, period = path.read_text().split()
    except (OSError, ValueError):
        return float("inf")
    return float("inf") if quota == "max" else int(quota) / int(period)


def seed_everything(seed: int) -> None:
    """Seed torch (all devices), numpy and random."""
    torch.manual_seed(seed)
    np.random.seed(seed)
    random.seed(seed)


def stream(seed: int, *keys: int) -> np.random.Generator:
    """Return a random generator that depends on the seed and the keys alone.

    Keyed by (epoch) or (step) it gives a loader whose position needs no saving: the batch of step k is the same
    whether or not the steps before it were made by this process.
    """
    return np.random.default_rng([seed, *keys])


def torch_stream(seed: int, *keys: int, device: torch.device | str = "cpu") -> torch.Generator:
    """Return a torch generator that depends on the seed and the keys alone; see `stream`."""
    generator = torch.Generator(device=device)
    generator.manual_seed(int(stream(seed, *keys).integers(2**62)))
    return generator

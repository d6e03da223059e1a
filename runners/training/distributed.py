"""Several processes of one training (`torchrun`): each takes its rows of a batch, gradients are averaged before every
step, so the weights stay the same everywhere. Rank 0 writes; all agree on when to stop.

Without a launcher, or with one process, every function here does nothing and costs nothing.
"""

import os
from collections.abc import Iterable, Sequence

import torch
import torch.distributed as dist
from torch import Tensor

from registry import ranks
from registry.errors import UsageError


def world_size() -> int:
    """Return how many processes train together, by the launcher's environment; 1 on one's own."""
    text = os.environ.get("WORLD_SIZE", "1")
    return int(text) if "RANK" in os.environ and text.isdecimal() else 1


def is_writer() -> bool:
    """Return whether this process writes checkpoints and results: rank 0, or the only one."""
    return ranks.rank() == 0


def local_rank() -> int:
    """Return the number of this process on its machine: which GPU is its own."""
    text = os.environ.get("LOCAL_RANK", "0")
    return int(text) if text.isdecimal() else 0


def join(device: torch.device) -> None:
    """Meet the other processes; does nothing when alone or met already. Raises UsageError when they cannot be met."""
    if world_size() == 1 or dist.is_initialized():
        return
    try:
        dist.init_process_group("nccl" if device.type == "cuda" else "gloo")
    except (ValueError, RuntimeError) as error:
        raise UsageError(
            f"process {ranks.rank()} of {world_size()} cannot meet the others: {str(error).splitlines()[0]}",
            hint="start them with torchrun, or unset RANK and WORLD_SIZE",
        ) from None


def leave() -> None:
    """Part from the other processes."""
    if dist.is_initialized():
        dist.destroy_process_group()


def own_rows(n: int) -> Tensor:
    """Return the numbers of this process's rows of a batch of `n`: every `world_size`-th.

    Where `n` cannot be shared out evenly the first rows are taken twice, so that every process has as many and the
    mean of the means is the mean.
    """
    world = world_size()
    if world == 1:
        return torch.arange(n)
    return torch.arange(ranks.rank(), -(-n // world) * world, world) % n


def same_weights(tensors: Iterable[Tensor]) -> None:
    """Give every process rank 0's values, in place."""
    if dist.is_initialized():
        for tensor in tensors:
            dist.broadcast(tensor.detach(), 0)


def average_gradients(parameters: Sequence[Tensor]) -> None:
    """Replace every gradient by its mean over the processes; one message for all of one type."""
    if not dist.is_initialized():
        return
    by_type: dict[torch.dtype, list[Tensor]] = {}
    for parameter in parameters:
        if parameter.grad is not None:
            by_type.setdefault(parameter.grad.dtype, []).append(parameter.grad)
    for gradients in by_type.values():
        joined = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(joined)
        joined /= world_size()
        for gradient, mean in zip(gradients, joined.split([gradient.numel() for gradient in gradients]), strict=True):
            gradient.copy_(mean.view_as(gradient))


def average(value: float, device: torch.device) -> float:
    """Return the mean of a number over the processes; NaN anywhere is NaN everywhere."""
    if not dist.is_initialized():
        return value
    held = torch.tensor(value, dtype=torch.float64, device=device)
    dist.all_reduce(held)
    return float(held) / world_size()


def agree(text: str) -> str:
    """Return what the first process with something to say says, the same in all of them.

    A signal or the maximum time reaches processes at different steps; they have to stop at the same one.
    """
    if not dist.is_initialized():
        return text
    said: list[str | None] = [None] * world_size()
    dist.all_gather_object(said, text)
    return next((words for words in said if words), "")


def wait_for_all() -> None:
    """Go on when every process has come here."""
    if dist.is_initialized():
        dist.barrier()

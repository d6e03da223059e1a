"""The data: all 3^9 ternary operations. An operation is nine trits 0..2; its id is sum of trit_i * 3^i, a perfect hash.

The split is by operation and disjoint by construction; its digest says which operations a model was trained on.
"""

import functools
import hashlib
import math
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from runners.training.machine import torch_stream

N_TRITS = 9
N_OPERATIONS = 3**N_TRITS
N_TRAIN, N_VAL = 15_746, 1_968


@dataclass(frozen=True)
class Split:
    """Operation ids for training, validation and test: 80, 10 and 10 percent, no id twice."""

    train: Tensor
    val: Tensor
    test: Tensor

    def n_shared(self) -> int:
        """Return how many ids of validation and test are in the training set (or in each other): 0, or it is a leak."""
        train, val, test = (set(ids.tolist()) for ids in (self.train, self.val, self.test))
        return len(train & val) + len(train & test) + len(val & test)

    def digest(self) -> str:
        """Return the sha256 of the three id lists, sorted: two runs with one digest saw the same operations."""
        parts = (np.sort(ids.numpy()).astype("<i8").tobytes() for ids in (self.train, self.val, self.test))
        return hashlib.sha256(b"|".join(parts)).hexdigest()


def split_operations(seed: int, holdout: str = "random") -> Split:
    """Return the split that belongs to a seed.

    `random` tests on a tenth of the operations, `commutative` on all 729 with f(a, b) = f(b, a) as 3 x 3 tables: a
    kind of operation that training never shows. The training set has 15,746 operations either way.
    """
    ids = torch.from_numpy(np.random.default_rng([seed, 19_683]).permutation(N_OPERATIONS))
    if holdout == "commutative":
        tables = trits_of(ids).unflatten(-1, (3, 3))
        is_test = (tables == tables.transpose(-1, -2)).flatten(-2).all(-1)
        shown, test = ids[~is_test], ids[is_test]
        return Split(shown[:N_TRAIN], shown[N_TRAIN:], test)
    return Split(ids[:N_TRAIN], ids[N_TRAIN : N_TRAIN + N_VAL], ids[N_TRAIN + N_VAL :])


@dataclass(frozen=True)
class Task:
    """What a model is asked: which operations it is shown, and what each is to become, trits (19683, 9)."""

    split: Split
    targets: Tensor

    def to(self, device: torch.device) -> "Task":
        """Return the task with its targets on a device; the id lists stay on the CPU."""
        return Task(self.split, self.targets.to(device))


def make_task(seed: int, holdout: str = "random", targets: str = "own") -> Task:
    """Return the task of a seed: `own` rebuilds each operation; `permuted` asks for another one's trits.

    Nothing about unseen operations can be learnt of a random permutation: who rebuilds them then has a leak.
    """
    trits = all_operations()
    if targets == "permuted":
        trits = trits[torch.from_numpy(np.random.default_rng([seed, 729]).permutation(N_OPERATIONS))]
    return Task(split_operations(seed, holdout), trits)


def batch_ids(split: Split, seed: int, batch_size: int, step: int) -> Tensor:
    """Return the operation ids of one step: each epoch is a shuffle that depends on the seed and its number alone."""
    epoch, place = divmod(step - 1, math.ceil(len(split.train) / batch_size))
    return split.train[_epoch_order(seed, epoch, len(split.train))[place * batch_size : (place + 1) * batch_size]]


@functools.lru_cache(maxsize=256)
def _epoch_order(seed: int, epoch: int, n: int) -> Tensor:
    """Return the shuffle of one epoch; kept, because every step of the epoch asks for it."""
    return torch.randperm(n, generator=torch_stream(seed, 1, epoch))


def all_operations() -> Tensor:
    """Return every operation in the order of its id: (19683, 9) of 0, 1, 2."""
    return trits_of(torch.arange(N_OPERATIONS))


def trits_of(ids: Tensor) -> Tensor:
    """Return the trits (…, 9) of operation ids (…)."""
    powers = 3 ** torch.arange(N_TRITS, device=ids.device)
    return (ids[..., None] // powers) % 3


def ids_of(trits: Tensor) -> Tensor:
    """Return the operation ids (…) of trits (…, 9)."""
    powers = 3 ** torch.arange(N_TRITS, device=trits.device)
    return (trits * powers).sum(-1)


def as_input(trits: Tensor) -> Tensor:
    """Return trits as a network reads them: -1, 0, 1."""
    return trits.float() - 1.0

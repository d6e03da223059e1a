"""What one step of a family's training computes: `arithmetic.py FAMILY PRESET [KEY=VALUE…]` trains a few steps in this
process and prints one JSON line with the floating point operations of a step (matrix products and attention, forward
and backward, as PyTorch's FlopCounterMode counts them) and its tokens (the indices that are embedded, batch by batch).
"""

import itertools
import json
import statistics
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils.flop_counter import FlopCounterMode

from runners.training.family import find_family
from runners.training.loop import Loop
from runners.training.start import train_family

N_STEPS = 6


class Tokens(TorchFunctionMode):
    """Counts the indices of every batch that is embedded; positions, which have no batch, are not counted."""

    def __init__(self) -> None:
        super().__init__()
        self.n_tokens = 0

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is torch.nn.functional.embedding and args[0].dim() > 1:
            self.n_tokens += args[0].numel()
        return func(*args, **(kwargs or {}))


Steps = Callable[[Loop], Iterator[int]]


def few_steps(steps: Steps, marks: list[tuple[int, int]], read: Callable[[], tuple[int, int]]) -> Any:
    """Return a `Loop.steps` that notes what was counted before each step and ends after N_STEPS."""

    def counted(loop: Loop) -> Iterator[int]:
        for step in steps(loop):
            marks.append(read())
            if len(marks) > N_STEPS:
                loop.ended_by = "counted"
            yield step

    return counted


def main(name: str, preset: str, overrides: tuple[str, ...]) -> None:
    family = find_family(name)
    settings = family.build(family.default_variant, preset, overrides)
    marks: list[tuple[int, int]] = []
    with FlopCounterMode(display=False) as flops, Tokens() as tokens, tempfile.TemporaryDirectory() as folder:
        Loop.steps = few_steps(Loop.steps, marks, lambda: (flops.get_total_flops(), tokens.n_tokens))  # type: ignore[method-assign]
        address = str(Path(folder, "runs.db"))
        train_family(family, settings, variant=family.default_variant, preset=preset, db=address)
    found = [
        statistics.median(after[part] - before[part] for before, after in itertools.pairwise(marks)) for part in (0, 1)
    ]
    print("RESULT " + json.dumps({"flops": found[0], "tokens": found[1]}))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], tuple(sys.argv[3:]))

"""What recording costs a training: CPU time of a step with and without this registry, in one process, interleaved.

Usage: python benchmarks/train_overhead.py [--steps 4000]
One JSON line: microseconds of a bare step, of the same step recorded, and the share; the step is padded to 5 ms of
arithmetic for the share that counts (goal: at most 1 percent).
"""

import argparse
import json
import statistics
import tempfile
import time

import torch

import registry
from registry.run import Run

BLOCK = 100
STEP_MS = 5.0


def block_us(model: torch.nn.Module, optimiser: torch.optim.Optimizer, run: Run | None, first_step: int) -> float:
    """Return the CPU microseconds of one step, over a block of steps, recorded when there is a run."""
    x = torch.randn(64, 32)
    began = time.process_time()
    for step in range(first_step, first_step + BLOCK):
        loss = model(x).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if run is not None:
            value = float(loss.detach())
            run.log({"train/loss": value, "train/gradient_norm": value, "beta/A": 0.1, "beta/B": 0.2}, step=step)
        else:
            float(loss.detach())
    return (time.process_time() - began) / BLOCK * 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=4000)
    n_blocks = max(4, parser.parse_args().steps // BLOCK)
    torch.set_num_threads(1)
    model = torch.nn.Sequential(torch.nn.Linear(32, 64), torch.nn.ReLU(), torch.nn.Linear(64, 32))
    optimiser = torch.optim.Adam(model.parameters())
    with tempfile.TemporaryDirectory() as folder:
        run = registry.init(name="overhead", db=f"{folder}/runs.db")
        bare, recorded = [], []
        for number in range(n_blocks):
            bare.append(block_us(model, optimiser, None, number * BLOCK))
            recorded.append(block_us(model, optimiser, run, number * BLOCK))
        run.finish()
    cost_us = statistics.median(recorded) - statistics.median(bare)
    print(
        json.dumps(
            {
                "benchmark": "train_overhead",
                "bare_step_us": round(statistics.median(bare), 1),
                "recorded_step_us": round(statistics.median(recorded), 1),
                "recording_us": round(cost_us, 1),
                "share_of_a_5_ms_step": round(cost_us / (STEP_MS * 1000), 5),
                "steps": n_blocks * BLOCK,
            }
        )
    )


if __name__ == "__main__":
    main()

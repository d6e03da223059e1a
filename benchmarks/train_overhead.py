"""What recording costs a training: CPU time of a step with and without this registry, in one process, interleaved.

    python benchmarks/train_overhead.py [--reps 5] [--quick]

A bare step of a tiny network stands beside the same step that logs four metrics; and, of a real training of the ternary
VAE, the share of its CPU time that its own log calls cost, found by making the same calls again. Goal: at most 1 %.
"""

import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parent))
from harness import Row, arguments, folder, report

import registry
from registry import events
from registry.run import Run
from runners.ternary_vae import FAMILY
from runners.training.start import train_family

BLOCK = 100
GOAL = "<= 1"


def block_us(model: torch.nn.Module, optimiser: torch.optim.Optimizer, run: Run | None, first_step: int) -> float:
    """Return the CPU microseconds of one step, over a block of steps, recorded when there is a run."""
    x = torch.randn(64, 32)
    began = time.process_time()
    for step in range(first_step, first_step + BLOCK):
        loss = model(x).square().mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        value = float(loss.detach())
        if run is not None:
            run.log({"train/loss": value, "train/gradient_norm": value, "beta/A": 0.1, "beta/B": 0.2}, step=step)
    return (time.process_time() - began) / BLOCK * 1e6


def cost_of_a_log_us(n_blocks: int) -> float:
    """Return the CPU microseconds that logging four metrics adds to a step, threads included: a median of blocks."""
    model = torch.nn.Sequential(torch.nn.Linear(32, 64), torch.nn.ReLU(), torch.nn.Linear(64, 32))
    optimiser = torch.optim.Adam(model.parameters())
    bare, recorded = [], []
    with tempfile.TemporaryDirectory() as place, registry.init(name="overhead", db=f"{place}/runs.db") as run:
        for number in range(n_blocks):
            bare.append(block_us(model, optimiser, None, number * BLOCK))
            recorded.append(block_us(model, optimiser, run, number * BLOCK))
    return statistics.median(recorded) - statistics.median(bare)


def real_training(n_epochs: int) -> tuple[float, float, int]:
    """Train the ternary VAE; return CPU seconds, the CPU seconds of its log calls made again, and their number."""
    settings = FAMILY.build("calibrated", "smoke", (f"epochs={n_epochs}", "threads=1", "device=cpu"))
    with folder():
        began = time.process_time()
        outcome = train_family(FAMILY, settings, variant="calibrated", preset="smoke", name="real")
        trained_s = time.process_time() - began
        lines = [events.decode(line) for line in (outcome.folder / "journal.jsonl").read_bytes().splitlines()]
        said = [event for event in lines if isinstance(event, events.Metrics)]
        with registry.init(name="again") as run:
            began = time.process_time()
            for event in said:
                run.log(event.v, step=event.s, basis=event.b)
            logged_s = time.process_time() - began
    return trained_s, logged_s, len(said)


def main() -> None:
    options = arguments(__doc__)
    torch.set_num_threads(1)
    cost_us = statistics.median(cost_of_a_log_us(4 if options.quick else 20) for _ in range(options.reps))
    trained_s, logged_s, n_calls = real_training(1 if options.quick else 12)
    report(
        "train_overhead",
        [
            Row("one log call of four metrics", cost_us, "us of CPU"),
            Row("of a step of 5 ms, logged at every step", cost_us / 5_000 * 100, "% of CPU", GOAL),
            Row("ternary_vae --preset smoke: CPU time", trained_s, "s"),
            Row("ternary_vae --preset smoke: log calls", n_calls, ""),
            Row("ternary_vae --preset smoke: recording", logged_s / trained_s * 100, "% of CPU", GOAL),
        ],
    )


if __name__ == "__main__":
    main()

"""On a CUDA machine: each family's `gpu` preset for a fixed time. Steps and samples a second, GPU memory, what
recording costs, the card's own bf16 matrix rate, and whether a training that was stopped and resumed equals a straight
one.

    python benchmarks/gpu/families.py [--seconds 60] [--preset gpu] [FAMILY…]

The result file carries the name of the device and the date. A family that does not train here is named with its reason.
"""

import argparse
import hashlib
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch

sys.path.insert(0, str(Path(__file__).parents[1]))
from harness import Row, folder, report

import registry
from registry import events
from runners.training.family import family_names, find_family

LAST_WEIGHTS = "last.safetensors"


def matmul_rate() -> float:
    """Return the bf16 matrix rate of this device in TFLOP/s: the median of ten products of 8192 x 8192 matrices."""
    n = 8192
    a, b = (torch.randn(n, n, device="cuda", dtype=torch.bfloat16) for _ in range(2))
    for _ in range(5):
        a @ b
    taken = []
    for _ in range(10):
        torch.cuda.synchronize()
        began = time.perf_counter()
        a @ b
        torch.cuda.synchronize()
        taken.append(time.perf_counter() - began)
    return 2 * n**3 / statistics.median(taken) / 1e12


def train(family: str, *words: str) -> "subprocess.Popen[bytes]":
    """Start a training in the current folder."""
    command = [sys.executable, "-m", "registry", "train", family, *words]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def ended(process: "subprocess.Popen[bytes]") -> None:
    """Wait for a training. Raises RuntimeError with the last line that it said when it failed."""
    _, said = process.communicate()
    if process.returncode not in (0, 130):
        raise RuntimeError(said.decode().strip().splitlines()[-1])


def throughput(family: str, preset: str, seconds: float) -> list[Row]:
    """Train for a fixed time and read the journal: the first fifth is warm-up and does not count."""
    with folder():
        ended(train(family, "--preset", preset, "--max-time", f"{seconds:g}s", "--name", "bench"))
        with registry.open() as record:
            (run,) = [run for run in record.runs() if run["name"] == "bench"]
        journal = Path("runs") / f"bench-{run['id']}" / "journal.jsonl"
        lines = [events.decode(line) for line in journal.read_bytes().splitlines()]
    points = [event for event in lines if isinstance(event, events.Metrics) and event.s is not None]
    points = points[len(points) // 5 :]
    rate = (points[-1].s - points[0].s) / (points[-1].at - points[0].at)
    memory = run["metrics"].get("system/gpu0_memory_mib", {}).get("last")
    batch = run["params"].get("batch_size", 0) * run["params"].get("n_models", 1)
    rows = [
        Row(f"{family}: steps", rate, "1/s"),
        Row(f"{family}: samples", rate * batch, "1/s"),
        Row(f"{family}: recording", recording_share(lines) * 100, "% of the time", "<= 1"),
    ]
    return rows + ([Row(f"{family}: GPU memory", memory, "MiB")] if memory is not None else [])


def recording_share(lines: list[events.AnyEvent]) -> float:
    """Return the share of a training's time that its own log calls cost, by timing the same events once more."""
    metrics = [event for event in lines if isinstance(event, events.Metrics)]
    with folder(), registry.init(name="again") as run:
        began = time.perf_counter()
        for event in metrics:
            run.log(event.v, step=event.s)
        cost_s = time.perf_counter() - began
    return cost_s / (lines[-1].at - lines[0].at)


def resumed_equals_straight(family: str, stop_after_s: float) -> bool:
    """Train the smoke preset whole, and again with a SIGTERM in between; return whether the last weights are equal."""
    digests = []
    for stop in (False, True):
        with folder():
            process = train(family, "--preset", "smoke", "--name", "bench")
            if stop:
                time.sleep(stop_after_s)
                process.terminate()
            ended(process)
            if stop and process.returncode == 130:
                ended(train(family, "--resume", "bench"))
            (weights,) = Path("runs").glob(f"bench-*/checkpoints/{LAST_WEIGHTS}")
            digests.append(hashlib.sha256(weights.read_bytes()).hexdigest())
    return digests[0] == digests[1]


def measure(family: str, preset: str, seconds: float) -> tuple[list[Row], str]:
    """Return the rows of a family, and why there are none."""
    try:
        find_family(family)
        began = time.perf_counter()
        rows = throughput(family, preset, seconds)
        equal = resumed_equals_straight(family, max(5.0, (time.perf_counter() - began) / 10))
        return [*rows, Row(f"{family}: resumed equals straight", float(equal), "", "1")], ""
    except (registry.HoldfastError, RuntimeError, ValueError, IndexError, ZeroDivisionError) as error:
        return [], f"{type(error).__name__}: {error}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("families", nargs="*")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--preset", default="gpu")
    options = parser.parse_args()
    has_gpu = torch.cuda.is_available()
    if options.preset == "gpu" and not has_gpu:
        sys.exit("no CUDA device here; --preset smoke tries the script on a CPU")
    rows = [Row("bf16 matrix rate of the card", matmul_rate(), "TFLOP/s")] if has_gpu else []
    absent = {}
    for family in options.families or family_names():
        found, why = measure(family, options.preset, options.seconds)
        rows += found
        if why:
            absent[family] = why
            print(f"{family}: {why}")
    device = torch.cuda.get_device_name() if has_gpu else "cpu"
    report(f"gpu-{device.replace(' ', '-').lower()}", rows, device=device, absent=absent)


if __name__ == "__main__":
    main()

"""On a CUDA machine: each family's `gpu` preset for a fixed time. Steps, samples and tokens a second, the share of the
card's own measured bf16 matrix rate (MFU), GPU memory, what recording costs, and whether a training that was killed and
resumed equals a straight one.

    python benchmarks/gpu/families.py [--seconds 60] [--preset gpu] [FAMILY…]

The result file carries the name of the device and the date. A family that does not train here is named with its reason.
With `--preset smoke` it runs on a CPU, to see that it does; that leaves no file.
"""

import argparse
import json
import statistics
import subprocess
import sys
import time
from pathlib import Path

import torch
from safetensors.torch import load_file

sys.path.insert(0, str(Path(__file__).parents[1]))
from harness import Row, folder, report, show

import registry
from registry import events
from runners.training.family import family_names, find_family

ARITHMETIC = Path(__file__).with_name("arithmetic.py")
LAST_WEIGHTS = "last.safetensors"
CPU_SIDE = 1_024
POLL_S = 0.02


def matmul_rate(device: str) -> float:
    """Return the bf16 matrix rate of a device in TFLOP/s: the median of ten products of square matrices."""
    n = 8_192 if device == "cuda" else CPU_SIDE
    a, b = (torch.randn(n, n, device=device, dtype=torch.bfloat16) for _ in range(2))

    def product_s() -> float:
        began = time.perf_counter()
        a @ b
        if device == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - began

    taken = [product_s() for _ in range(15)][5:]
    return 2 * n**3 / statistics.median(taken) / 1e12


def arithmetic(family: str, preset: str) -> dict[str, float]:
    """Return the floating point operations and the tokens of one step. Raises RuntimeError when it does not train."""
    words = [sys.executable, str(ARITHMETIC), family, preset]
    done = subprocess.run(words, capture_output=True, text=True)
    for line in done.stdout.splitlines():
        if line.startswith("RESULT "):
            return dict(json.loads(line.removeprefix("RESULT ")))
    raise RuntimeError(f"arithmetic: {done.stderr.strip().splitlines()[-1:]}")


def train(family: str, *words: str) -> "subprocess.Popen[bytes]":
    """Start a training in the current folder."""
    command = [sys.executable, "-m", "registry", "train", family, *words]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)


def ended(process: "subprocess.Popen[bytes]") -> None:
    """Wait for a training. Raises RuntimeError with its complaint when it failed."""
    _, said = process.communicate()
    if process.returncode not in (0, 130):
        lines = said.decode().strip().splitlines()
        raise RuntimeError(next((line for line in lines if line.startswith("registry: ")), lines[-1]))


def throughput(family: str, preset: str, seconds: float, card_tflops: float) -> list[Row]:
    """Train for a fixed time and read the journal: the first fifth is warm-up and does not count."""
    step = arithmetic(family, preset)
    with folder():
        ended(train(family, "--preset", preset, "--max-time", f"{seconds:g}s", "--name", "bench"))
        with registry.open() as record:
            (run,) = record.runs()
        (journal,) = Path("runs").glob("bench-*/journal.jsonl")
        lines = [events.decode(line) for line in journal.read_bytes().splitlines()]
    points = [event for event in lines if isinstance(event, events.Metrics) and event.s is not None]
    points = points[len(points) // 5 :]
    rate = (points[-1].s - points[0].s) / (points[-1].at - points[0].at)
    memory = run["metrics"].get("system/gpu0_memory_mib", {}).get("last")
    batch = run["params"].get("batch_size", 0) * run["params"].get("n_models", 1)
    rows = [
        Row(f"{family}: steps", rate, "1/s"),
        Row(f"{family}: samples", rate * batch, "1/s"),
        Row(f"{family}: arithmetic", rate * step["flops"] / 1e12, "TFLOP/s", "", "bf16 matrices", card_tflops),
        Row(f"{family}: MFU", rate * step["flops"] / 1e12 / card_tflops * 100, "%"),
        Row(f"{family}: recording", recording_share(lines) * 100, "% of the time", "<= 1"),
    ]
    rows += [Row(f"{family}: tokens", rate * step["tokens"], "1/s")] if step["tokens"] else []
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


def resumed_equals_straight(family: str) -> bool:
    """Train the smoke preset whole, and again with a SIGKILL in between; return whether the last weights are the same
    bits.

    Raises RuntimeError when the second training was over before it could be killed.
    """
    found = []
    for killed in (False, True):
        with folder():
            process = train(family, "--preset", "smoke", "--name", "bench")
            if killed:
                _kill_at_a_checkpoint(process)
                ended(train(family, "--resume", "bench"))
            else:
                ended(process)
            (weights,) = Path("runs").glob(f"bench-*/checkpoints/{LAST_WEIGHTS}")
            found.append(load_file(weights))
    straight, resumed = found
    return straight.keys() == resumed.keys() and all(torch.equal(straight[name], resumed[name]) for name in straight)


def _kill_at_a_checkpoint(process: "subprocess.Popen[bytes]") -> None:
    """Kill a training as soon as it has something to go on from."""
    while not any(Path("runs").glob("bench-*/checkpoints/resume.pt")):
        if process.poll() is not None:
            raise RuntimeError("the training was over before it could be killed")
        time.sleep(POLL_S)
    process.kill()
    process.communicate()


def measure(family: str, preset: str, seconds: float, card_tflops: float) -> tuple[list[Row], str]:
    """Return the rows of a family, and why there are none."""
    try:
        find_family(family)
        rows = throughput(family, preset, seconds, card_tflops)
        return [*rows, Row(f"{family}: resumed equals straight", resumed_equals_straight(family), "", "1")], ""
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
    rate = matmul_rate("cuda" if has_gpu else "cpu")
    rows = [Row("bf16 matrix rate", rate, "TFLOP/s")]
    absent = {}
    for family in options.families or family_names():
        found, why = measure(family, options.preset, options.seconds, rate)
        rows += found
        if why:
            absent[family] = why
            print(f"{family}: {why}")
    if has_gpu:
        device = torch.cuda.get_device_name()
        report(f"gpu-{device.replace(' ', '-').lower()}", rows, device=device, absent=absent)
    else:
        show("on a CPU: only to see that it runs", [("", row) for row in rows])


if __name__ == "__main__":
    main()

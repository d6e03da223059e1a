"""Logging beside what our users would pick instead: what a call costs, what a point costs, what SIGKILL takes.

Each peer runs in processes of its own. BENCH_PEERS names a folder of virtual environments (`v-mlflow`, `v-wandb`, …);
without one this interpreter is tried. A peer that is not installed is said so and has no row.
"""

import importlib.util
import json
import os
import statistics
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from harness import Row, arguments, report

WORKER = Path(__file__).parent / "peer" / "worker.py"
MODULES = {
    "mlflow": "mlflow", "wandb": "wandb", "trackio": "trackio", "aim": "aim", "dvclive": "dvclive",
    "tensorboard": "tensorboard",
}  # fmt: skip
CRASH_AFTER_S = 3.0


def interpreter(peer: str) -> str | None:
    """Return the Python that has the peer, None when there is none."""
    own = Path(os.environ.get("BENCH_PEERS", ""), f"v-{peer}", "bin", "python")
    if os.environ.get("BENCH_PEERS") and own.exists():
        module = MODULES.get(peer, "registry")
        found = subprocess.run([own, "-c", f"import {module}"], capture_output=True, cwd="/")
        return str(own) if found.returncode == 0 else None
    return sys.executable if importlib.util.find_spec(MODULES.get(peer, "registry")) else None


def worker(python: str, peer: str, task: str, n_calls: int, folder: str) -> dict[str, float]:
    """Run one task in a process of its own and return what it measured."""
    words = [python, str(WORKER), peer, task, str(n_calls)]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=300, env=environment())
    for line in done.stdout.splitlines():
        if line.startswith("RESULT "):
            return dict(json.loads(line.removeprefix("RESULT ")))
    raise RuntimeError(f"{peer} {task}: {done.stderr.strip().splitlines()[-1:]}")


def environment() -> dict[str, str]:
    """Return the environment of a worker: no registry of ours is found by accident."""
    return {name: value for name, value in os.environ.items() if not name.startswith("REGISTRY_")}


def measure(python: str, peer: str, task: str, n_calls: int, reps: int) -> dict[str, float]:
    """Return the medians over fresh processes in fresh folders."""
    found = []
    for _ in range(reps):
        with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR"), ignore_cleanup_errors=True) as folder:
            found.append(worker(python, peer, task, n_calls, folder))
    return {key: statistics.median(one[key] for one in found) for key in found[0]}


def lost_at_kill(python: str, peer: str) -> int:
    """Return how many points that a call had returned for are gone after SIGKILL in a tight loop."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR"), ignore_cleanup_errors=True) as folder:
        words = [python, str(WORKER), peer, "crash", "0"]
        process = subprocess.Popen(
            words, cwd=folder, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=environment()
        )
        told = Path(folder, "told")
        deadline = time.monotonic() + 60
        while not (told.exists() and told.stat().st_size == 8 and told.read_bytes() != bytes(8)):
            if process.poll() is not None or time.monotonic() > deadline:
                process.kill()
                raise RuntimeError(f"{peer} crash: it did not begin")
            time.sleep(0.05)
        time.sleep(CRASH_AFTER_S)
        process.kill()
        process.wait()
        (n_told,) = struct.unpack("q", told.read_bytes())
        return max(0, n_told - int(worker(python, peer, "read", 0, folder)["n"]))


def rows(quick: bool, reps: int) -> tuple[list[Row], dict[str, str]]:
    """Return the table, and why peers are not in it."""
    n_ours, n_theirs = (2_000, 50) if quick else (20_000, 500)
    python = sys.executable
    ours = {task: measure(python, "holdfast", task, n_ours, reps) for task in ("one", "twenty")}
    our_loss = lost_at_kill(python, "holdfast")
    found, absent = [], {}
    for peer in MODULES:
        theirs = interpreter(peer)
        if theirs is None:
            absent[peer] = "not installed"
            continue
        try:
            one, twenty = (measure(theirs, peer, task, n_theirs, max(1, reps // 2)) for task in ("one", "twenty"))
        except (RuntimeError, subprocess.TimeoutExpired) as error:
            absent[peer] = str(error)
            continue
        cpu = "cpu_us_per_point"
        mine, mine_twenty = ours["one"], ours["twenty"]
        found += [
            Row("log() p50, one metric", mine["p50_us"], "us", "<= 3", peer, one["p50_us"]),
            Row("CPU a point, one a call", mine[cpu], "us", "<= 3", peer, one[cpu]),
            Row("CPU a point, twenty a call", mine_twenty[cpu], "us", "<= 3", peer, twenty[cpu]),
        ]
        try:
            lost = lost_at_kill(theirs, peer)
            found.append(Row("points lost at SIGKILL, tight loop", our_loss, "points", "0", peer, lost))
        except (RuntimeError, subprocess.TimeoutExpired, ValueError) as error:
            absent[f"{peer}, lost at SIGKILL"] = str(error)
    return found, absent


if __name__ == "__main__":
    options = arguments(__doc__ or "")
    table, missing = rows(options.quick, min(options.reps, 3))
    report("peers", table, absent=missing)
    for name, why in missing.items():
        print(f"{name}: {why}")

"""Side by side with what our users would pick instead: what a call and a point cost, what SIGKILL takes, four writers
at once, a list by best, a history, ten runs compared, start-up.

Each peer runs in processes of its own. BENCH_PEERS (default build/peers, which `make bench-peers` fills) names a folder
of virtual environments (`v-mlflow`, `v-aim`, …); without one this interpreter is tried. A peer that is not installed is
said so and has no row.
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
from collections.abc import Callable
from pathlib import Path

from harness import Row, arguments, cpu_of, report

WORKER, READER = (Path(__file__).parent / "peer" / name for name in ("worker.py", "reader.py"))
ENVIRONMENTS = Path(os.environ.get("BENCH_PEERS") or Path(__file__).parents[1] / "build" / "peers").resolve()
COMMANDS = {
    "holdfast": ["registry", "--version"], "mlflow": ["mlflow", "--version"], "wandb": ["wandb", "--version"],
    "trackio": ["trackio", "--help"], "aim": ["aim", "version"], "dvclive": ["dvc", "--version"],
    "tensorboard": ["tensorboard", "--version_tb"],
}  # fmt: skip
WRITERS = 4
MODULES = {
    "mlflow": "mlflow", "wandb": "wandb", "trackio": "trackio", "aim": "aim", "dvclive": "dvclive",
    "tensorboard": "tensorboard",
}  # fmt: skip
CRASH_AFTER_S = 3.0


def interpreter(peer: str) -> str | None:
    """Return the Python that has the peer, None when there is none."""
    own, module = ENVIRONMENTS / f"v-{peer}" / "bin" / "python", MODULES.get(peer, "registry")
    if own.exists():
        found = subprocess.run([own, "-c", f"import {module}"], capture_output=True, cwd="/")
        if found.returncode == 0:
            return str(own)
    return sys.executable if importlib.util.find_spec(module) else None


def result_of(words: list[str], folder: str) -> dict[str, float]:
    """Run a script in a process of its own and return what it measured. Raises RuntimeError when it failed."""
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=600, env=environment())
    for line in done.stdout.splitlines():
        if line.startswith("RESULT "):
            return dict(json.loads(line.removeprefix("RESULT ")))
    raise RuntimeError(f"{' '.join(words[2:])}: {done.stderr.strip().splitlines()[-1:]}")


def worker(python: str, peer: str, task: str, n_calls: int, folder: str) -> dict[str, float]:
    """Run one task of the writer."""
    return result_of([python, str(WORKER), peer, task, str(n_calls)], folder)


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


def asked(python: str, peer: str, n_runs: int) -> dict[str, float]:
    """Return what reading costs in a fresh store of so many runs."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR"), ignore_cleanup_errors=True) as folder:
        result_of([python, str(READER), peer, "make", str(n_runs)], folder)
        return result_of([python, str(READER), peer, "ask", str(n_runs)], folder)


def writers_at_once(python: str, peer: str, n_calls: int) -> dict[str, float]:
    """Return what a point costs when four processes write one store, and how many of them failed."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR"), ignore_cleanup_errors=True) as folder:
        worker(python, peer, "one", 1, folder)
        words = [python, str(WORKER), peer, "one", str(n_calls)]
        options = {"cwd": folder, "stdout": subprocess.PIPE, "stderr": subprocess.DEVNULL, "env": environment()}
        processes = [subprocess.Popen(words, text=True, **options) for _ in range(WRITERS)]  # type: ignore[call-overload]
        said = [process.communicate(timeout=600)[0] for process in processes]
    found = [line for text in said for line in text.splitlines() if line.startswith("RESULT ")]
    costs = [json.loads(line.removeprefix("RESULT "))["cpu_us_per_point"] for line in found]
    return {"failed": WRITERS - len(found), "cpu_us_per_point": statistics.median(costs) if costs else float("nan")}


def start_up(python: str, peer: str) -> float | None:
    """Return the CPU milliseconds of the peer's smallest command, None when it has none here."""
    program, *words = COMMANDS[peer]
    path = Path(python).with_name(program)
    if not path.exists():
        return None
    taken = [cpu_of([str(path), *words], cwd="/", env=environment()) for _ in range(4)]
    return statistics.median(taken[1:]) * 1e3


def logging_rows(peer: str, theirs: str, ours: dict[str, dict[str, float]], n_calls: int, reps: int) -> list[Row]:
    """Return what a call and a point cost."""
    cpu = "cpu_us_per_point"
    one, twenty = (measure(theirs, peer, task, n_calls, reps) for task in ("one", "twenty"))
    return [
        Row("log() p50, one metric", ours["one"]["p50_us"], "us", "<= 3", peer, one["p50_us"]),
        Row("CPU a point, one a call", ours["one"][cpu], "us", "<= 3", peer, one[cpu]),
        Row("CPU a point, twenty a call", ours["twenty"][cpu], "us", "<= 3", peer, twenty[cpu]),
    ]


def reading_rows(peer: str, theirs: str, ours: dict[str, float], n_runs: int) -> list[Row]:
    """Return what the three questions cost."""
    found = asked(theirs, peer, n_runs)
    words = {"by_best_ms": f"{n_runs} runs by best", "history_ms": "one history", "compare_ms": "compare 10 x 20"}
    return [Row(label, ours[key], "ms CPU", "", peer, found[key]) for key, label in words.items()]


def writers_rows(peer: str, theirs: str, ours: dict[str, float], n_calls: int) -> list[Row]:
    """Return what four writers of one store cost, and how many fail."""
    found, label = writers_at_once(theirs, peer, n_calls), f"{WRITERS} writers at once"
    return [
        Row(f"{label}: CPU a point", ours["cpu_us_per_point"], "us", "", peer, found["cpu_us_per_point"]),
        Row(f"{label}: failed", ours["failed"], "", "0", peer, found["failed"]),
    ]


def rows(quick: bool, reps: int) -> tuple[list[Row], dict[str, str]]:
    """Return the table, and why peers are not in it."""
    n_ours, n_theirs, n_runs = (2_000, 50, 5) if quick else (20_000, 500, 20)
    python = sys.executable
    logged = {task: measure(python, "holdfast", task, n_ours, reps) for task in ("one", "twenty")}
    loss, read = lost_at_kill(python, "holdfast"), asked(python, "holdfast", n_runs)
    written, started = writers_at_once(python, "holdfast", n_ours), start_up(python, "holdfast")
    found: list[Row] = []
    absent: dict[str, str] = {}
    for peer in MODULES:
        theirs = interpreter(peer)
        if theirs is None:
            absent[peer] = "not installed"
            continue
        parts: dict[str, Callable[[], list[Row]]] = {
            "logging": lambda p=peer, t=theirs: logging_rows(p, t, logged, n_theirs, max(1, reps // 2)),
            "lost at SIGKILL": lambda p=peer, t=theirs: [
                Row("points lost at SIGKILL, tight loop", loss, "points", "0", p, lost_at_kill(t, p))
            ],
            "reading": lambda p=peer, t=theirs: reading_rows(p, t, read, n_runs) if p != "wandb" else [],
            "writers": lambda p=peer, t=theirs: writers_rows(p, t, written, n_theirs),
            "start-up": lambda p=peer, t=theirs: [
                Row("start-up", started or 0.0, "ms CPU", "<= 120", f"{p}: {' '.join(COMMANDS[p])}", ms)
                for ms in [start_up(t, p)] if ms is not None
            ],
        }  # fmt: skip
        for part, measured in parts.items():
            try:
                found += measured()
            except (RuntimeError, subprocess.TimeoutExpired, ValueError) as error:
                absent[f"{peer}, {part}"] = str(error)
    return sorted(found, key=lambda row: row.what), absent


if __name__ == "__main__":
    options = arguments(__doc__ or "")
    table, missing = rows(options.quick, min(options.reps, 3))
    report("peers", table, absent=missing)
    for name, why in missing.items():
        print(f"{name}: {why}")

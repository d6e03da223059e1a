"""The model endpoint on loopback: p50 and p99 of an answer, answers a second, errors; and a promotion and a rollback
under load, in which no request may be lost. Bounded: at most 32 connections and a few seconds each.
"""

import asyncio
import json
import os
import statistics
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from harness import Row, arguments, folder, report

import registry

REGISTRY = [sys.executable, "-m", "registry"]
BODY = {"n": 8, "vae": "B", "seed": 1}


def make_registry() -> None:
    """Record two runs with an untrained dual VAE each, copy them, and deploy the first."""
    import torch

    from runners.ternary_vae.model import DualVae
    from runners.training.checkpoints import save_bytes

    Path("registry.toml").write_text("[policy]\nrequire_other_domain = false\nnum_copies = 1\n")
    for number, name in enumerate(("one", "two")):
        torch.manual_seed(number)
        Path(f"{name}.safetensors").write_bytes(save_bytes(DualVae().state_dict(), {"family": "ternary_vae"}))
        with registry.init(experiment="bench", name=name, params={"family": "ternary_vae"}) as run:
            run.define_metric("accuracy", goal="max", primary=True)
            run.log_artifact(f"{name}.safetensors", role="best", step=1)
            run.log_evaluation(artifact="best", metrics={"accuracy": 0.5 + number / 10})
    for words in ("remote add vault vault", "copy one --to vault", "copy two --to vault", "promote one"):
        command(*words.split())


def command(*words: str) -> None:
    """Run a registry command that must succeed."""
    subprocess.run([*REGISTRY, *words], check=True, capture_output=True)


@contextmanager
def server() -> Iterator[str]:
    """Yield the address of a running endpoint."""
    process = subprocess.Popen(
        [*REGISTRY, "serve", "production", "--port", "0"],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert process.stderr is not None
    line = next(line for line in process.stderr if "listening at " in line)
    threading.Thread(target=process.stderr.read, daemon=True).start()
    try:
        yield line.split("listening at ")[1].strip()
    finally:
        process.terminate()
        process.wait(30)


async def load(url: str, n_clients: int, seconds: float) -> tuple[list[float], int, set[str]]:
    """Ask from `n_clients` connections for some seconds; returns the seconds of each answer, errors, digests seen.

    Plain HTTP/1.1 over one kept connection each: a client library would be the slower half of the measurement.
    """
    taken: list[float] = []
    digests: set[str] = set()
    n_errors = 0
    host, port = url.removeprefix("http://").split(":")
    body = json.dumps(BODY).encode()
    fields = (f"Host: {host}", "Content-Type: application/json", f"Content-Length: {len(body)}")
    head = "\r\n".join(("POST /predict HTTP/1.1", *fields, "", ""))
    until = time.perf_counter() + seconds

    async def client() -> None:
        nonlocal n_errors
        reader, writer = await asyncio.open_connection(host, int(port))
        while time.perf_counter() < until:
            began = time.perf_counter()
            writer.write(head.encode() + body)
            answer = (await reader.readuntil(b"\r\n\r\n")).decode().lower()
            said = dict(line.split(": ", 1) for line in answer.splitlines()[1:] if ": " in line)
            await reader.readexactly(int(said["content-length"]))
            if not answer.startswith("http/1.1 200"):
                n_errors += 1
                continue
            taken.append(time.perf_counter() - began)
            digests.add(said["x-holdfast-digest"])
        writer.close()

    for outcome in await asyncio.gather(*(client() for _ in range(n_clients)), return_exceptions=True):
        n_errors += isinstance(outcome, BaseException)
    return taken, n_errors, digests


def rows(quick: bool) -> list[Row]:
    """Measure at several numbers of connections, then once more through a promotion and a rollback."""
    seconds = 1.0 if quick else 5.0
    found = []
    with server() as url:
        asyncio.run(load(url, 4, 1.0))
        for n_clients in (1, 8, 32):
            taken, n_errors, _ = asyncio.run(load(url, n_clients, seconds))
            cuts = statistics.quantiles(taken, n=100)
            label = f"{n_clients} connection{'s' if n_clients > 1 else ''}"
            found += [
                Row(f"{label}: p50", statistics.median(taken) * 1e3, "ms"),
                Row(f"{label}: p99", cuts[98] * 1e3, "ms"),
                Row(f"{label}: answers", len(taken) / seconds, "1/s"),
                Row(f"{label}: errors", n_errors, "", "0"),
            ]
        found += switching_rows(url, seconds)
    return found


def switching_rows(url: str, seconds: float) -> list[Row]:
    """Promote and roll back while eight connections ask."""
    outcome: list[tuple[list[float], int, set[str]]] = []
    asking = threading.Thread(target=lambda: outcome.append(asyncio.run(load(url, 8, seconds + 12.0))))
    asking.start()
    command("promote", "two")
    time.sleep(seconds / 2)
    command("rollback", "production")
    asking.join()
    taken, n_errors, digests = outcome[0]
    return [
        Row("promotion and rollback under load: errors", n_errors, "", "0"),
        Row("promotion and rollback under load: models that answered", len(digests), "", "2"),
        Row("promotion and rollback under load: slowest answer", max(taken) * 1e3, "ms"),
    ]


if __name__ == "__main__":
    options = arguments(__doc__ or "")
    with folder():
        make_registry()
        measured = rows(options.quick)
    report("serve", measured)

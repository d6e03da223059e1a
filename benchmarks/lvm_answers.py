"""A sentence said to the endpoint of the family lvm until those found have come back: p50 and p99, part by part.

Over HTTP on loopback, one and eight connections; 34,000 known sentences, the bundled sentence encoder, an untrained
model of the size that `registry train lvm:rank` makes (what a model has learnt does not change its pace). Needs the
extra `text`.
"""

import json
import os
import statistics
import subprocess
import sys
import time
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch
from harness import Row, arguments, folder, report

import registry
from registry.hashing import digest_file
from runners.lvm import FAMILY
from runners.lvm.embed import BUNDLED, TextEncoder
from runners.lvm.files import save_store
from runners.lvm.models import LatentVectorModel
from runners.lvm.sequences import SequenceStore, unit
from runners.training.checkpoints import save_bytes

REGISTRY = [sys.executable, "-m", "registry"]
N_KNOWN = 34_000
GOAL_MS = "<= 1183"
"""What one answer of the notebooks' deployed model took, in milliseconds."""


def make_registry() -> None:
    """Deploy an untrained model over a bank of sentences whose vectors are random, by the bundled encoder's name."""
    encode = TextEncoder(BUNDLED)
    rng = np.random.default_rng(0)
    numbers = np.arange(N_KNOWN)
    texts = tuple(f"Sentence number {number} of a long book about nothing." for number in numbers)
    vectors = unit(rng.normal(size=(N_KNOWN, encode.dimensions)))
    store = SequenceStore("bank", vectors, numbers // 40, numbers // 40, numbers < 0, encode.encoder, texts)
    save_store(store, Path("bank.npz"))
    settings = FAMILY.build("rank", "cpu", ("data=bank.npz",))
    torch.manual_seed(0)
    about = {
        "family": "lvm",
        "settings": asdict(settings),
        "dimensions": encode.dimensions,
        "encoder": asdict(encode.encoder),
        "bank": {"path": str(Path("bank.npz").resolve()), "digest": digest_file(Path("bank.npz"))[0]},
    }
    model = LatentVectorModel(encode.dimensions, settings)
    Path("best.safetensors").write_bytes(save_bytes(model.state_dict(), about))
    Path("registry.toml").write_text("[policy]\nrequire_other_domain = false\nnum_copies = 1\n")
    with registry.init(experiment="bench", name="one", params={"family": "lvm"}) as run:
        run.define_metric("val/cosine", goal="max", primary=True)
        run.log_artifact("best.safetensors", role="best", step=1)
        run.log_evaluation(artifact="best", metrics={"val/cosine": 0.5})
    for words in ("remote add vault vault", "copy one --to vault", "promote one"):
        subprocess.run([*REGISTRY, *words.split()], check=True, capture_output=True)


def ask(url: str, number: int) -> tuple[float, dict[str, float]]:
    """Say one sentence; returns the milliseconds until the answer, and those of its parts."""
    said = f"The harbour master wrote down the names of {number % 97 + 3} ships before the evening."
    body = json.dumps({"messages": [said]}).encode()
    request = urllib.request.Request(f"{url}/chat", data=body, headers={"Content-Type": "application/json"})
    began = time.perf_counter()
    with urllib.request.urlopen(request, timeout=60) as answer:
        parts = json.load(answer)
    return 1e3 * (time.perf_counter() - began), {
        part: parts[f"{part}_ms"] for part in ("encode", "predict", "retrieve")
    }


def rows(quick: bool) -> list[Row]:
    """Measure one connection, with its parts, then eight at once."""
    n = 40 if quick else 400
    command = [*REGISTRY, "serve", "production", "--port", "0"]
    offline = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env=offline) as server:
        assert server.stderr is not None
        url = next(line for line in server.stderr if "listening at " in line).split("listening at ")[1].strip()
        for number in range(10):
            ask(url, number)
        alone = [ask(url, number) for number in range(n)]
        with ThreadPoolExecutor(8) as pool:
            together = list(pool.map(lambda number: ask(url, number), range(n)))
        server.terminate()
    found = cuts("one connection", [taken for taken, _ in alone], GOAL_MS)
    for part in ("encode", "predict", "retrieve"):
        found += cuts(f"one connection, {part}", [parts[part] for _, parts in alone])
    return found + cuts("eight connections", [taken for taken, _ in together], GOAL_MS)


def cuts(label: str, taken_ms: list[float], goal: str = "") -> list[Row]:
    """Return the rows of p50 and p99."""
    quantiles = statistics.quantiles(taken_ms, n=100)
    return [Row(f"{label}: p50", quantiles[49], "ms", goal), Row(f"{label}: p99", quantiles[98], "ms", goal)]


if __name__ == "__main__":
    options = arguments(__doc__ or "")
    with folder():
        make_registry()
        measured = rows(options.quick)
    report("lvm_answers", measured)

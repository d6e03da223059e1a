"""A small registry to look at: a week in a lab, written through the same door as every run (events in journals).

For the pictures of the docs and the tests of the screens; every time in it is fixed relative to `NOW`.
"""

import hashlib
import math
import random
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from registry import clock, events

NOW = 1_790_000_000.0
"""2026-09-21, 14:13 UTC."""
HOUR_S = 3600.0
SETTINGS = """\
[policy]
require_other_domain = false
why = "one disk is all there is here"

[hosts.default]
cost_per_hour = 1.29
"""
SUITE = """\
name = "ternary"

[[gate]]
name = "coverage"
metric = "coverage"
op = ">="
threshold = 0.98

[[gate]]
name = "reconstruction"
metric = "val/accuracy"
op = ">="
threshold = 0.97

[[gate]]
name = "loss"
metric = "val/loss"
op = "<="
threshold = 0.2

[[gate]]
name = "latent"
metric = "latent/active"
op = ">="
threshold = 6
"""


@dataclass(frozen=True)
class Told:
    """One run of the story: its curves fall to `floor` with `pace`; `steps` of `total` are done."""

    name: str
    experiment: str
    hours_ago: float
    floor: float
    params: dict[str, Any] = field(default_factory=dict)
    steps: int = 60
    total: int = 60
    pace: float = 12.0
    status: str = "finished"
    evidence: str = "run.finish('finished')"
    dataset: str = ""
    suite: bool = False
    tags: tuple[str, ...] = ()
    slices: tuple[str, ...] = ()
    diverges_at: int | None = None
    parent: str | None = None

    @property
    def id(self) -> str:
        """The run's id, the same each time."""
        return hashlib.sha256(self.name.encode()).hexdigest()[:10]


_VAE = {"latent": 16, "beta": 0.01, "lr": 0.002, "batch": 256}
_LVM = {"d_model": 512, "layers": 4, "lr": 5e-4, "loss": "mse"}
STORY: tuple[Told, ...] = (
    Told("p1-mse", "lvm", 150, 0.52, _LVM, dataset="sequences@584k"),
    Told("p2-residual", "lvm", 131, 0.61, {**_LVM, "alpha": 0.5}, dataset="sequences@584k"),
    Told("p3-directional", "lvm", 120, 0.57, {**_LVM, "lambda_dir": 0.002}, dataset="sequences@584k", diverges_at=41),
    Told("p5-curriculum", "lvm", 98, 0.47, {**_LVM, "curriculum": "A"}, dataset="sequences@584k-clean"),
    Told("edge-v2-lora", "edgejson", 92, 0.66, {"r": 16, "lr": 2e-4}, dataset="edgejson@v2", tags=("published",)),
    Told("edge-v3-lora", "edgejson", 74, 0.41, {"r": 16, "lr": 2e-4}, dataset="edgejson@v3"),
    Told("rank-infonce", "lvm", 60, 0.39, {**_LVM, "loss": "infonce", "tau": 0.07}, dataset="sequences@584k-clean"),
    Told("vae-k4-weak", "ternary_vae", 51, 0.44, {**_VAE, "latent": 4, "seed": 0}, suite=True, pace=22),
    Told("denoiser-26m", "json_repair", 46, 0.09, {"d_model": 384, "lr": 3e-4, "batch": 512},
         slices=("truncate", "quotes", "nesting", "commas", "prose", "keys")),
    Told("vae-k16-s0", "ternary_vae", 30, 0.10, {**_VAE, "seed": 0}, suite=True, tags=("seeds",)),
    Told("vae-k16-s1", "ternary_vae", 28, 0.12, {**_VAE, "seed": 1}, suite=True, tags=("seeds",)),
    Told("vae-k16-s2", "ternary_vae", 26, 0.11, {**_VAE, "seed": 2}, suite=True, tags=("seeds",)),
    Told("p5.1-bias", "lvm", 9, 0.58, {**_LVM, "bias": 0.6}, steps=23, status="failed", diverges_at=22,
         evidence="FloatingPointError: loss is NaN at step 22", dataset="sequences@584k-clean"),
    Told("smollm2-lora", "json_repair", 2.2, 0.21, {"r": 16, "lr": 2e-4, "batch": 32}, steps=37, status="running",
         evidence=""),
    Told("vae-k32-s0", "ternary_vae", 0.7, 0.08, {**_VAE, "latent": 32, "seed": 0}, steps=44, status="running",
         evidence="", suite=True),
)  # fmt: skip


def write_runs(folder: Path, story: Sequence[Told] = STORY, now: float = NOW) -> None:
    """Write the journals, outputs and artifacts of a story below `folder`/runs."""
    for told in story:
        _write_run(folder, told, now)


def _write_run(root: Path, told: Told, now: float) -> None:
    folder = root / "runs" / f"{told.name}-{told.id}"
    folder.mkdir(parents=True)
    began = now - told.hours_ago * HOUR_S
    pace_s = (told.hours_ago * HOUR_S - 5) / told.steps if told.status == "running" else 110.0
    happened = _beginning(told, began)
    for step in range(told.steps):
        at = began + (step + 1) * pace_s
        happened.append(events.Metrics(at=at, s=step, v=_values(told, step)))
        if step % 10 == 0:
            happened.append(events.Metrics(at=at, s=step, v=_machine(told, step)))
    ended = began + told.steps * pace_s
    happened += _artifacts(root, folder, told, ended)
    if told.status != "running":
        happened.append(events.End(at=ended, status=told.status, exit_code=0, evidence=told.evidence))
    (folder / "journal.jsonl").write_bytes(b"".join(map(events.encode, happened)))
    (folder / "output.log").write_text(_output(told))


def _beginning(told: Told, began: float) -> list[events.Event]:
    start = events.Start(
        at=began, run=told.id, name=told.name, experiment=told.experiment, params=told.params,
        command=["python", "-m", f"runners.{told.experiment}.train"], cwd="/home/lab", tags=list(told.tags),
        git={"commit": hashlib.sha256(told.name.encode()).hexdigest()[10:50], "branch": "main", "dirty": False},
        device={"cpu": "AMD EPYC", "cores": 16, "gpus": ["NVIDIA A100-SXM4-40GB"]}, total_steps=told.total,
        parent=told.parent,
    )  # fmt: skip
    happened: list[events.Event] = [
        start,
        events.Define(at=began, name="val/loss", goal="min", primary=True),
        events.Define(at=began, name="system/gpu", unit="%"),
        events.Define(at=began, name="system/memory", unit="GB"),
        events.Define(at=began, name="system/power", unit="W"),
    ]
    if told.suite:
        happened.append(events.Define(at=began, name="coverage", goal="max"))
        happened.append(events.Gates(at=began, suite="ternary", text=SUITE))
    if told.dataset:
        name, _, version = told.dataset.rpartition("@")
        happened.append(events.UseDataset(at=began, name=name, version=version))
    return happened


def _values(told: Told, step: int) -> dict[str, events.Number]:
    noise = random.Random(f"{told.name} {step}").random() - 0.5
    progress = math.exp(-step / told.pace)
    loss = told.floor + (1.6 - told.floor) * progress + 0.06 * noise * (0.3 + progress)
    if told.diverges_at is not None and step >= told.diverges_at:
        loss = math.nan if step > told.diverges_at else loss * 40
    values = {"val/loss": events.wire_number(loss), "train/loss": events.wire_number(loss * (0.86 + 0.02 * noise))}
    if told.suite:
        reached = 1 - told.floor * 0.09 - 0.7 * progress
        values |= {
            "coverage": reached,
            "val/accuracy": min(1.0, reached + 0.004 * noise),
            "latent/active": step // 6 + 1,
        }
    for k, name in enumerate(told.slices):
        values[f"parse_success/{name}"] = max(0.0, min(1.0, 0.99 - 0.06 * k - 0.8 * progress + 0.02 * noise))
    return values


def _machine(told: Told, step: int) -> dict[str, events.Number]:
    noise = random.Random(f"{told.name} machine {step}").random()
    return {
        "system/gpu": round(88 + 9 * noise, 1),
        "system/memory": round(21 + noise, 1),
        "system/power": round(290 + 70 * noise),
    }


def _artifacts(root: Path, folder: Path, told: Told, at: float) -> list[events.Event]:
    if told.status == "failed":
        return []
    made: list[events.Event] = []
    for role, step in (("best", told.steps - 2), ("last", told.steps - 1)):
        path = folder / f"{role}.safetensors"
        content = random.Random(f"{told.name} {role}").randbytes(40_000 + 1000 * len(told.name))
        path.write_bytes(content)
        made.append(
            events.Artifact(
                at=at, role=role, path=path.relative_to(root).as_posix(), digest=hashlib.sha256(content).hexdigest(),
                size_bytes=len(content), step=step,
            )
        )  # fmt: skip
    return made


def _output(told: Told) -> str:
    lines = [f"{told.experiment}: {told.total} steps, params {told.params}"]
    for step in range(told.steps):
        loss = _values(told, step)["val/loss"]
        shown = loss if isinstance(loss, str) else f"{loss:.4f}"
        lines.append(f"step {step:>4}/{told.total}  val loss {shown}")
    return "\n".join([*lines, told.evidence, ""])


def build(folder: Path, now: float = NOW) -> str:
    """Make the whole registry below `folder` as of `now` and return its address.

    Runs, data sets, a vault with copies of some runs (so that there is something to warn of), a deployment.
    """
    from registry import promotion
    from registry.catchup import catch_up
    from registry.copies.record import load_artifacts
    from registry.copies.remotes import add_remote
    from registry.copies.transfer import copy_artifacts
    from registry.database import open_database
    from registry.datasets import decide

    folder.mkdir(parents=True, exist_ok=True)
    (folder / "registry.toml").write_text(SETTINGS)
    write_runs(folder, STORY, now)
    with clock.frozen(now - 20 * HOUR_S):
        db = open_database(str(folder / "runs.db"), create=True)
        catch_up(db)
        add_remote(db, "vault", str(folder / "vault"), domain="nas", klass="durable")
        kept = [told.id for told in STORY if told.name in ("vae-k16-s0", "vae-k16-s1", "denoiser-26m", "edge-v3-lora")]
        with db.read() as session:
            artifacts = load_artifacts(session, run_ids=kept)
        copy_artifacts(db, artifacts, "vault")
        promotion.promote(db, run_id("vae-k16-s0"), "production")
        decide(db, "edgejson@v2", "invalid", "declared math broken in 92 rows; use v3", superseded_by="edgejson@v3")
    db.close()
    return str(folder / "runs.db")


def run_id(name: str) -> str:
    """Return the id of the run of the story with this name."""
    return next(told.id for told in STORY if told.name == name)

"""A family without an optimiser, whose processes begin in half the time and mostly sleep: for tests of what is around a
training. Its loss is known beforehand: `rate / step`.
"""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from msgspec import Meta

from registry.run import Run
from runners.training.family import Family, Variant
from runners.training.settings import CommonSettings

ROOT = Path(__file__).parents[2]
NAME = "quick"


@dataclass(frozen=True, kw_only=True)
class QuickSettings(CommonSettings):
    steps: Annotated[int, Meta(ge=1, description="Steps.")] = 4
    rate: Annotated[float, Meta(gt=0, description="The loss of the first step.")] = 1.0
    pause_ms: Annotated[int, Meta(ge=0, description="Sleep of each step.")] = 0
    nan_at: Annotated[int, Meta(ge=0, description="The step whose loss is NaN; 0: none.")] = 0


def train(settings: QuickSettings, run: Run, control: Any) -> None:
    import torch

    from runners.training.loop import Criterion, Loop
    from runners.training.machine import prepare

    prepare(settings)
    model = torch.nn.Linear(2, 1)
    loop = Loop(
        run,
        control,
        total_steps=settings.steps,
        parts={"model": model},
        weights=model.state_dict,
        checkpoint_every=settings.checkpoint_every,
        criterion=Criterion("val/loss", "min"),
    )
    for step in loop.steps():
        time.sleep(settings.pause_ms / 1000)
        loss = float("nan") if step == settings.nan_at else settings.rate / step
        loop.log({"val/loss": loss})
        if step == 1:
            loop.offer(loss)
        if loss != loss:
            raise ValueError("the loss is not a number")


FAMILY = Family(
    name=NAME,
    summary="sleeps",
    settings=QuickSettings,
    train="tests.runners.quick:train",
    variants={"plain": Variant("as it is")},
    presets={"smoke": {"checkpoint_every": 10}, "cpu": {}, "gpu": {}},
    default_variant="plain",
)


def install(folder: Path) -> str:
    """Make it an installed family for processes that have the folder on PYTHONPATH; returns the folder."""
    described = folder / f"{NAME}-1.dist-info"
    described.mkdir(parents=True)
    (folder / "tests").symlink_to(ROOT / "tests")
    (described / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {NAME}\nVersion: 1\n")
    (described / "entry_points.txt").write_text(f"[holdfast.families]\n{NAME} = tests.runners.quick:FAMILY\n")
    return str(folder)

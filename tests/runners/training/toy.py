"""A toy family: a two-layer network with dropout learns sums in milliseconds, drawing from global generators."""

from dataclasses import dataclass
from typing import Annotated

import torch
from msgspec import Meta

from registry.run import Run
from runners.training import distributed
from runners.training.family import Family, Variant
from runners.training.loop import Control, Criterion, Loop
from runners.training.machine import prepare
from runners.training.optimise import Stepper
from runners.training.settings import CommonSettings


@dataclass(frozen=True, kw_only=True)
class ToySettings(CommonSettings):
    steps: Annotated[int, Meta(ge=1, description="Steps.")] = 20
    accumulate: Annotated[int, Meta(ge=1, description="Passes in one step.")] = 2
    learning_rate: Annotated[float, Meta(gt=0, description="Adam's.")] = 1e-2
    patience: Annotated[int, Meta(ge=0, description="Early stopping.")] = 0
    nan_at: Annotated[int, Meta(ge=0, description="The step whose loss is NaN; 0: none.")] = 0
    dropout: Annotated[float, Meta(ge=0, lt=1, description="Share of units left out.")] = 0.5
    width: Annotated[int, Meta(ge=1, description="Hidden units.")] = 8


def train(settings: ToySettings, run: Run, control: Control) -> None:
    machine = prepare(settings)
    model = torch.nn.Sequential(
        torch.nn.Linear(4, settings.width), torch.nn.Dropout(settings.dropout), torch.nn.Linear(settings.width, 1)
    )
    optimiser = torch.optim.Adam(model.parameters(), settings.learning_rate)
    stepper = Stepper(optimiser, model.parameters(), machine, clip_norm=1.0, accumulate=settings.accumulate)
    loop = Loop(
        run,
        control,
        total_steps=settings.steps,
        parts={"model": model, "optimiser": optimiser, "scaler": stepper.scaler},
        weights=model.state_dict,
        checkpoint_every=settings.checkpoint_every,
        criterion=Criterion("train/loss", "min", settings.patience),
    )

    def loss_of(_: int) -> torch.Tensor:
        x = torch.randn(16, 4)[distributed.own_rows(16)]
        loss = (model(x) - x.sum(1, keepdim=True)).square().mean()
        return loss * float("nan") if settings.nan_at and loop.current == settings.nan_at else loss

    loop.rehearse(lambda: stepper.step(loss_of), lambda: None)
    for step in loop.steps():
        loss = stepper.step(loss_of)
        loop.log({"train/loss": loss})
        loop.offer(loss if step < 10 else 10.0)


FAMILY = Family(
    name="toy",
    summary="learns sums",
    settings=ToySettings,
    train="tests.runners.training.toy:train",
    variants={"plain": Variant("as it is"), "wide": Variant("more units", {"width": 32}, {"smoke": {"width": 16}})},
    presets={"smoke": {"steps": 5, "checkpoint_every": 2}, "cpu": {"checkpoint_every": 5}, "gpu": {}},
    default_variant="plain",
)

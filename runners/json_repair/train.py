"""Train a JSON repair model, top to bottom: documents -> model -> loop -> best weights -> evaluation."""

import math
from dataclasses import asdict
from typing import Protocol

import torch
from torch import Tensor, nn

from registry.run import Run
from runners.json_repair import evaluate as evaluation
from runners.json_repair.denoiser import DenoiserTask
from runners.json_repair.documents import open_documents
from runners.json_repair.iterative import IterativeTask
from runners.json_repair.repair import Repairer
from runners.json_repair.settings import Settings
from runners.json_repair.tagger import TaggerTask
from runners.training.checkpoints import load_weights
from runners.training.loop import Control, Criterion, Loop
from runners.training.machine import prepare
from runners.training.optimise import Stepper

CRITERION = "val/loss"
WARM_UP = 0.05
LAST_RATE = 0.02
LOGGED_STEPS = 1_000
"""About so many points of each training series, however long the run."""


class Task(Protocol):
    """What a model brings to its training."""

    model: nn.Module

    def loss(self, step: int, index: int) -> Tensor:
        """Return the loss of part `index` of a step."""
        ...

    def validation_loss(self) -> float:
        """Return the loss on validation examples that stay the same, however the training goes."""
        ...

    def facts(self) -> dict[str, float]:
        """Return what else is worth logging of the step just made."""
        ...

    def repairer(self) -> Repairer:
        """Return the model as it is now, as a repairer."""
        ...


TASKS: dict[str, type] = {"tagger": TaggerTask, "denoiser": DenoiserTask, "iterative": IterativeTask}


def train(settings: Settings, run: Run, control: Control) -> None:
    """Train one model and record it: weights `best` and `last`, the series, the evaluation of the best."""
    documents = open_documents(settings.documents, settings.seed, settings.n_synthetic)
    machine = prepare(settings)
    digest = documents.digest()
    for role in ("train", "test"):
        run.use_dataset(f"json-documents@{digest[:12]}", role=role, digest=digest)
    run.log_params(machine.describe())
    run.log_params({f"documents/n_{name}": len(getattr(documents, name)) for name in documents.sources})
    run.log_params({"documents/test_sources": ", ".join(documents.sources["test"])[:400]})
    for name in ("exact", "parse", "similarity"):
        run.define_metric(f"val/{name}", goal="max", basis="measured")
        run.define_metric(f"repair/{name}", goal="max", basis="measured", primary=name == "exact")

    run.define_metric(CRITERION, goal="min", basis="measured")

    task: Task = TASKS[settings.model](settings, documents, machine)
    run.log_params({"n_parameters": sum(parameter.numel() for parameter in task.model.parameters())})
    validation = evaluation.make_cases(documents.validation, settings.validation_cases, settings.seed)
    optimiser = torch.optim.AdamW(
        task.model.parameters(), settings.learning_rate, betas=(0.9, 0.98), weight_decay=settings.weight_decay
    )
    stepper = Stepper(
        optimiser, task.model.parameters(), machine, clip_norm=settings.clip_norm, accumulate=settings.accumulate
    )
    evaluate_every = max(1, settings.steps // settings.n_evaluations)
    log_every = max(1, settings.steps // LOGGED_STEPS)
    loop = Loop(
        run,
        control,
        total_steps=settings.steps,
        parts={"model": task.model, "optimiser": optimiser, "scaler": stepper.scaler},
        weights=task.model.state_dict,
        checkpoint_every=settings.checkpoint_every,
        criterion=Criterion(CRITERION, "min", settings.patience),
        about={"family": "json_repair", "settings": asdict(settings)},
    )

    def one_step(step: int) -> dict[str, float]:
        rate = settings.learning_rate * rate_at(step / settings.steps)
        for group in optimiser.param_groups:
            group["lr"] = rate
        task.model.train()
        loss = stepper.step(lambda index: task.loss(step, index))
        return {"train/loss": loss, "train/gradient_norm": stepper.gradient_norm, "learning_rate": rate} | task.facts()

    def validate() -> dict[str, float]:
        with machine.autocast():
            return evaluation.quick_look(task.repairer(), validation) | {CRITERION: task.validation_loss()}

    loop.rehearse(lambda: one_step(1), validate)
    for step in loop.steps():
        values = one_step(step)
        if step % log_every == 0:
            loop.log(values)
        if step % evaluate_every == 0 or step == settings.steps:
            look = validate()
            loop.log(look, basis="measured")
            loop.offer(look[CRITERION])
            loop.show(f"loss {values['train/loss']:.3g}, exact {look['val/exact']:.3f}")
    if loop.interrupted or loop.best_step is None:
        return

    task.model.load_state_dict(load_weights(loop.checkpoints.path("best"))[0])
    cases = evaluation.make_cases(documents.test, settings.test_cases, settings.seed)
    with machine.autocast():
        result = evaluation.evaluate(task.repairer(), cases)
    evaluation.record(run, "best", loop.best_step, result, evaluation.control_results(cases))


def rate_at(done: float) -> float:
    """Return the learning rate over its highest, after a share of the run: a short rise, then half a cosine."""
    rise = min(1.0, done / WARM_UP)
    return rise * (LAST_RATE + (1 - LAST_RATE) * 0.5 * (1 + math.cos(math.pi * done)))

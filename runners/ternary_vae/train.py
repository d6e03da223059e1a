"""Train a dual ternary VAE, top to bottom: data -> model -> loop -> calibrate the best -> evaluate -> record."""

import dataclasses
import math

import torch
from torch import Tensor

from registry.errors import UsageError
from registry.run import Run
from runners.ternary_vae import evaluate as evaluation
from runners.ternary_vae import study
from runners.ternary_vae.coverage import HEADLINE_K
from runners.ternary_vae.model import VAES, DualVae
from runners.ternary_vae.objective import (
    RecipeController,
    calibrated_loss,
    draw_noise,
    no_noise,
    recipe_loss,
    weights_at,
)
from runners.ternary_vae.operations import all_operations, as_input, batch_ids, make_task
from runners.ternary_vae.record import define_metrics, finish, use_dataset
from runners.ternary_vae.schedule import BetaWatch, Phase, activation_step, phase_at
from runners.ternary_vae.settings import Settings
from runners.training import distributed
from runners.training.loop import Control, Criterion, Loop
from runners.training.machine import prepare
from runners.training.optimise import Stepper

LOGGED_STEPS = 1_000
"""About so many points of each training series, however long the run."""


def train(settings: Settings, run: Run, control: Control) -> None:
    """Train one dual VAE and record it: weights `best` and `last`, the series, the evaluation of the best."""
    machine = prepare(settings)
    run.log_params(machine.describe())
    if settings.n_models > 1 or settings.study != "none":
        if settings.recipe == "v5.5":
            raise UsageError("n_models and study are of the calibrated recipe", hint="train v5.5 seed by seed")
        if distributed.world_size() > 1:
            raise UsageError("many models at once are one process's work", hint="start it without torchrun")
        study.train_many(settings, run, control, machine)
        return
    task = make_task(settings.seed, settings.holdout, settings.targets).to(machine.device)
    split = task.split
    use_dataset(run, settings, split)
    define_metrics(run)

    x_of = as_input(all_operations()).to(machine.device)
    model = DualVae().to(machine.device)
    run.log_params({"n_parameters": sum(p.numel() for p in model.parameters())})
    untrained_statenet = [p.detach().clone() for p in model.statenet.parameters()]
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=settings.learning_rate, weight_decay=settings.weight_decay, fused=True
    )
    stepper = Stepper(optimiser, model.parameters(), machine, clip_norm=settings.clip_norm)
    controller, betas = RecipeController(), BetaWatch()

    steps_per_epoch = math.ceil(len(split.train) / settings.batch_size)
    total_steps = settings.epochs * steps_per_epoch
    evaluate_every = max(1, total_steps // settings.n_evaluations)
    log_every = max(1, total_steps // LOGGED_STEPS)
    loop = Loop(
        run,
        control,
        total_steps=total_steps,
        parts={"model": model, "optimiser": optimiser, "controller": controller, "betas": betas},
        weights=model.state_dict,
        checkpoint_every=settings.checkpoint_every,
        criterion=Criterion(evaluation.CRITERION, "max", settings.patience),
        about={"family": "ternary_vae", "recipe": settings.recipe, "seed": settings.seed},
    )

    def losses(ids: Tensor, phase: Phase, *, quiet: bool = False) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss on some operations; `quiet` takes each latent's mean and draws nothing from the prior."""
        rows = distributed.own_rows(len(ids)).to(ids.device)
        x, trits = x_of[ids[rows]], task.targets[ids[rows]]
        if settings.recipe == "v5.5":
            phase = dataclasses.replace(phase, temperature_a=0.0, temperature_b=0.0) if quiet else phase
            return recipe_loss(model, x, trits, phase, settings, controller)
        noise = no_noise(len(ids), x.device) if quiet else draw_noise(len(ids), settings, phase, x.device)
        noise |= {key: noise[key][rows] for key in ("latent/A", "latent/B")}
        return calibrated_loss(model, x, trits, noise, weights_at(settings, phase))

    def one_step(step: int) -> dict[str, float]:
        """Make one step; return what is worth logging of it."""
        phase = phase_at(settings, step, total_steps)
        terms: dict[str, Tensor] = {}

        def loss_of(_: int) -> Tensor:
            nonlocal terms
            loss, terms = losses(batch_ids(split, settings.seed, settings.batch_size, step).to(machine.device), phase)
            return loss

        for group in optimiser.param_groups:
            group["lr"] = phase.learning_rate * controller.rate_factor
        loss_value = stepper.step(loss_of)
        parts = {name: float(value) for name, value in terms.items()}
        if settings.recipe == "v5.5":
            controller.observe_gradients(model)
            if step % steps_per_epoch == 0:
                controller.begin_epoch(model.statenet, parts, phase, use_net=settings.statenet == "frozen")
        betas.observe(phase)
        shown = {"train/loss": loss_value, "train/gradient_norm": stepper.gradient_norm, **parts}
        return shown | {"beta/A": phase.beta_a, "beta/B": phase.beta_b, "learning_rate": phase.learning_rate}

    loop.rehearse(lambda: one_step(1), lambda: evaluation.quick_look(model, task))
    for step in loop.steps():
        if step == activation_step(settings, total_steps):
            run.note("disruption: from here B pays for its KL", step=step)
        values = one_step(step)
        if step % log_every == 0:
            loop.log(values | {"epoch": step / steps_per_epoch})
        if step % evaluate_every == 0 or step == total_steps:
            look = evaluation.quick_look(model, task)
            controller.coverages = [int(look[f"coverage_argmax@{HEADLINE_K}/{name}"] * 19_683) for name in VAES]
            with torch.no_grad():
                phase = phase_at(settings, step, total_steps)
                loop.log({"val/loss": losses(split.val.to(machine.device), phase, quiet=True)[0]})
            loop.log({key: value for key, value in look.items() if key.startswith("exact")})
            loop.log({key: value for key, value in look.items() if key.startswith("coverage")}, basis="sampled")
            loop.offer(evaluation.criterion(look))
            loop.show(f"coverage efficiency {loop.best_value:.3f}" if (loop.best_value or -1) > 0 else "")
    if loop.interrupted or loop.best_step is None:
        return

    moved = max(
        float((now - before).detach().abs().max())
        for now, before in zip(model.statenet.parameters(), untrained_statenet, strict=True)
    )
    finish(settings, run, loop.checkpoints, model, task, {"statenet_moved": moved, "beta_max_jump": betas.max_jump})

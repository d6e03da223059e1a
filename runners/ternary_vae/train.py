"""Train a dual ternary VAE, top to bottom: data -> model -> loop -> calibrate the best -> evaluate -> record."""

import dataclasses
import math
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from registry.run import Run
from runners.ternary_vae import evaluate as evaluation
from runners.ternary_vae.calibrate import fit_biases
from runners.ternary_vae.coverage import HEADLINE_K
from runners.ternary_vae.model import VAES, DualVae
from runners.ternary_vae.objective import RecipeController, calibrated_loss, recipe_loss
from runners.ternary_vae.operations import Split, all_operations, as_input, split_operations
from runners.ternary_vae.schedule import Phase, activation_step, phase_at
from runners.ternary_vae.settings import Settings
from runners.training.checkpoints import load_weights
from runners.training.loop import Control, Criterion, Loop
from runners.training.machine import prepare, torch_stream
from runners.training.optimise import Stepper

LOGGED_STEPS = 1_000
"""About so many points of each training series, however long the run."""


def train(settings: Settings, run: Run, control: Control) -> None:
    """Train one dual VAE and record it: weights `best` and `last`, the series, the evaluation of the best."""
    machine = prepare(settings)
    run.log_params(machine.describe())
    split = split_operations(settings.seed)
    run.use_dataset(f"ternary-operations@seed-{settings.seed}", digest=split.digest())
    _define_metrics(run)

    trits = all_operations().to(machine.device)
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

    def losses(ids: Tensor, phase: Phase) -> tuple[Tensor, dict[str, float]]:
        x = as_input(trits[ids])
        if settings.recipe == "v5.5":
            return recipe_loss(model, x, trits[ids], phase, settings, controller)
        return calibrated_loss(model, x, trits[ids], phase, settings)

    def one_step(step: int) -> dict[str, float]:
        """Make one step; return what is worth logging of it."""
        phase = phase_at(settings, step, total_steps)
        parts: dict[str, float] = {}

        def loss_of(_: int) -> Tensor:
            nonlocal parts
            ids = _batch(split, settings, step, steps_per_epoch).to(machine.device)
            loss, parts = losses(ids, phase)
            return loss

        for group in optimiser.param_groups:
            group["lr"] = phase.learning_rate * controller.rate_factor
        loss_value = stepper.step(loss_of)
        if settings.recipe == "v5.5":
            controller.observe_gradients(model)
            if step % steps_per_epoch == 0:
                controller.begin_epoch(model.statenet, parts, phase, use_net=settings.statenet == "frozen")
        betas.observe(phase)
        shown = {"train/loss": loss_value, "train/gradient_norm": stepper.gradient_norm, **parts}
        return shown | {"beta/A": phase.beta_a, "beta/B": phase.beta_b, "learning_rate": phase.learning_rate}

    loop.rehearse(lambda: one_step(1), lambda: evaluation.quick_look(model, split))
    for step in loop.steps():
        if step == activation_step(settings, total_steps):
            run.note("disruption: from here B pays for its KL", step=step)
        values = one_step(step)
        if step % log_every == 0:
            loop.log(values | {"epoch": step / steps_per_epoch})
        if step % evaluate_every == 0 or step == total_steps:
            look = evaluation.quick_look(model, split)
            controller.coverages = [int(look[f"coverage_argmax@{HEADLINE_K}/{name}"] * 19_683) for name in VAES]
            quiet = dataclasses.replace(phase_at(settings, step, total_steps), temperature_a=0.0, temperature_b=0.0)
            with torch.no_grad():
                loop.log({"val/loss": losses(split.val.to(machine.device), quiet)[0]})
            loop.log({key: value for key, value in look.items() if key.startswith("exact")})
            loop.log({key: value for key, value in look.items() if key.startswith("coverage")}, basis="sampled")
            loop.offer(evaluation.criterion(look))
            loop.show(f"coverage efficiency {loop.best_value:.3f}" if (loop.best_value or -1) > 0 else "")
    if loop.interrupted:
        return

    moved = max(
        float((now - before).detach().abs().max())
        for now, before in zip(model.statenet.parameters(), untrained_statenet, strict=True)
    )
    _finish(settings, run, loop, model, split, {"statenet_moved": moved, "beta_max_jump": betas.max_jump})


@dataclass
class BetaWatch:
    """The largest change of a KL weight from one step to the next, as it was really used; part of the resume state."""

    beta_a: float = 0.0
    beta_b: float = 0.0
    max_jump: float = 0.0

    def observe(self, phase: Phase) -> None:
        """Look at the weights of the step just made."""
        jump = max(abs(phase.beta_a - self.beta_a), abs(phase.beta_b - self.beta_b))
        self.max_jump = max(self.max_jump, jump)
        self.beta_a, self.beta_b = phase.beta_a, phase.beta_b

    def state_dict(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {**vars(self)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a state."""
        vars(self).update(state)


def _batch(split: Split, settings: Settings, step: int, steps_per_epoch: int) -> Tensor:
    """Return the operation ids of one step: each epoch is a shuffle that depends on the seed and its number alone."""
    epoch, place = divmod(step - 1, steps_per_epoch)
    order = torch.randperm(len(split.train), generator=torch_stream(settings.seed, 1, epoch))
    return split.train[order[place * settings.batch_size : (place + 1) * settings.batch_size]]


def _define_metrics(run: Run) -> None:
    for name in VAES:
        run.define_metric(f"coverage_argmax@{HEADLINE_K}/{name}", goal="max", basis="measured")
        run.define_metric(f"coverage_eff@{HEADLINE_K}/{name}", goal="max", basis="measured", primary=name == "A")
        run.define_metric(f"exact_val/{name}", goal="max", basis="measured")
        run.define_metric(f"perplexity/{name}", goal="max", basis="measured")
    run.define_metric("val/loss", goal="min", basis="measured")


def _finish(settings: Settings, run: Run, loop: Loop, model: DualVae, split: Split, facts: dict[str, float]) -> None:
    """Calibrate the best weights if asked, evaluate them by the declared protocol, record that beside the controls."""
    weights, about = load_weights(loop.checkpoints.path("best"))
    model.load_state_dict(weights)
    if settings.calibrate and not about.get("calibrated"):
        _calibrate(settings, run, loop, model, split, about)
    step = about["step"]
    metrics, intervals, counts = evaluation.evaluate(model, split, settings.evaluation_draws)
    metrics |= facts
    run.log_evaluation(
        "best", metrics, step=step, basis="measured", suite=evaluation.SUITE, intervals=intervals, counts=counts
    )
    headline = ("coverage_argmax@50000", "coverage_eff@50000", "exact_test", "active_dims", "reach")
    shown = {f"{key}/{name}": metrics[f"{key}/{name}"] for key in headline for name in VAES}
    run.log(shown, step=step, basis="measured")
    for name, scores in evaluation.control_scores().items():
        run.log_evaluation(subject=name, metrics=scores, suite=evaluation.SUITE)


def _calibrate(settings: Settings, run: Run, loop: Loop, model: DualVae, split: Split, about: dict[str, Any]) -> None:
    """Fit the 27 biases of each decoder; keep each VAE's change only where it still rebuilds the validation split."""
    before = evaluation.quick_look(model, split)
    kept = []
    for index, name in enumerate(VAES):
        decoder = model.vaes[name].decoder
        original = decoder.out.bias.detach().clone()
        fit_biases(decoder, settings.seed + index)
        exact = evaluation.exact_share(model.vaes[name], split.val)
        if exact < before[f"exact_val/{name}"]:
            with torch.no_grad():
                decoder.out.bias.copy_(original)
        else:
            kept.append(name)
    after = evaluation.quick_look(model, split)
    if not kept or evaluation.criterion(after) < evaluation.criterion(before):
        run.note("prior calibration did not help; the weights stay as trained", step=about["step"])
        return
    loop.checkpoints.save_weights("best", model.state_dict(), about["step"], about | {"calibrated": kept})
    key = f"coverage_eff@{HEADLINE_K}"
    change = ", ".join(f"{name} {before[f'{key}/{name}']:.4f} -> {after[f'{key}/{name}']:.4f}" for name in VAES)
    run.note(f"prior calibration (27 biases a decoder, {' and '.join(kept)} kept): {key} {change}", step=about["step"])

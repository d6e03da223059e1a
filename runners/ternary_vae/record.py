"""What every training of this family records: its data, how its metrics are read, how its best weights are judged."""

from collections.abc import Mapping
from typing import Any

import torch

from registry.run import Run
from runners.ternary_vae import evaluate
from runners.ternary_vae.calibrate import fit_biases
from runners.ternary_vae.coverage import HEADLINE_K
from runners.ternary_vae.model import VAES, DualVae
from runners.ternary_vae.operations import Split, Task
from runners.ternary_vae.settings import Settings
from runners.training.checkpoints import Checkpoints, load_weights


def use_dataset(run: Run, settings: Settings, split: Split) -> None:
    """Name the operations a run is trained on; the digest is that of the split."""
    kind = "" if settings.holdout == "random" else f"-{settings.holdout}"
    run.use_dataset(f"ternary-operations@seed-{settings.seed}{kind}", digest=split.digest())


def define_metrics(run: Run) -> None:
    """Say how the headline metrics are to be read."""
    for name in VAES:
        run.define_metric(f"coverage_argmax@{HEADLINE_K}/{name}", goal="max", basis="measured")
        run.define_metric(f"coverage_eff@{HEADLINE_K}/{name}", goal="max", basis="measured", primary=name == "A")
        run.define_metric(f"exact_val/{name}", goal="max", basis="measured")
        run.define_metric(f"perplexity/{name}", goal="max", basis="measured")
    run.define_metric("val/loss", goal="min", basis="measured")


def finish(
    settings: Settings, run: Run, checkpoints: Checkpoints, model: DualVae, task: Task, facts: Mapping[str, float]
) -> dict[str, float]:
    """Calibrate the best weights if asked, evaluate them by the declared protocol, record that beside the controls.

    `facts` are metrics of the training itself. Returns all metrics.
    """
    weights, about = load_weights(checkpoints.path("best"))
    model.load_state_dict(weights)
    if settings.calibrate and not about.get("calibrated"):
        _calibrate(settings, run, checkpoints, model, task, about)
    step = about["step"]
    metrics, intervals, counts = evaluate.evaluate(model, task, settings.evaluation_draws)
    metrics |= dict(facts)
    run.log_evaluation(
        "best", metrics, step=step, basis="measured", suite=evaluate.SUITE, intervals=intervals, counts=counts
    )
    headline = ("coverage_argmax@50000", "coverage_eff@50000", "exact_test", "active_dims", "reach")
    shown = {f"{key}/{name}": metrics[f"{key}/{name}"] for key in headline for name in VAES}
    run.log(shown, step=step, basis="measured")
    for name, scores in evaluate.control_scores().items():
        run.log_evaluation(subject=name, metrics=scores, suite=evaluate.SUITE)
    return metrics


def _calibrate(
    settings: Settings, run: Run, checkpoints: Checkpoints, model: DualVae, task: Task, about: dict[str, Any]
) -> None:
    """Fit the 27 biases of each decoder; keep each VAE's change only where it still rebuilds the validation split."""
    before = evaluate.quick_look(model, task)
    kept = []
    for index, name in enumerate(VAES):
        decoder = model.vaes[name].decoder
        original = decoder.out.bias.detach().clone()
        fit_biases(decoder, settings.seed + index)
        exact = evaluate.exact_share(model.vaes[name], task.split.val, task.targets)
        if exact < before[f"exact_val/{name}"]:
            with torch.no_grad():
                decoder.out.bias.copy_(original)
        else:
            kept.append(name)
    after = evaluate.quick_look(model, task)
    if not kept or evaluate.criterion(after) < evaluate.criterion(before):
        run.note("prior calibration did not help; the weights stay as trained", step=about["step"])
        return
    checkpoints.save_weights("best", model.state_dict(), about["step"], about | {"calibrated": kept})
    key = f"coverage_eff@{HEADLINE_K}"
    change = ", ".join(f"{name} {before[f'{key}/{name}']:.4f} -> {after[f'{key}/{name}']:.4f}" for name in VAES)
    run.note(f"prior calibration (27 biases a decoder, {' and '.join(kept)} kept): {key} {change}", step=about["step"])

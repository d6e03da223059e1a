"""Train the latent vector model, top to bottom: five vectors in, the next one out, by any of the variants."""

from dataclasses import asdict
from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from registry.errors import CheckFailedError, UsageError
from registry.run import Run
from runners.lvm import fivecat, objectives
from runners.lvm.chain import stage_before
from runners.lvm.evaluate import Dataset, open_dataset, record_evaluation
from runners.lvm.models import LatentVectorModel
from runners.lvm.pages import Pages
from runners.lvm.sequences import statistics
from runners.lvm.settings import LvmSettings
from runners.training import distributed
from runners.training.checkpoints import load_weights
from runners.training.loop import Control, Criterion, Loop
from runners.training.machine import prepare, stream, torch_stream
from runners.training.optimise import Stepper

CURRICULUM = ((0.2, 0.3), (0.5, 0.7), (1.0, 1.0))
"""Until this share of the training, this share of the windows: the notebooks' stages of 4, 6 and 10 epochs."""
WARM_UP = 0.1
QUICK_WINDOWS = 1000


def train(settings: LvmSettings, run: Run, control: Control) -> None:
    """Train a variant on a source of sequences, then evaluate the best checkpoint by 5CAT beside its controls."""
    machine = prepare(settings)
    dataset = open_dataset(settings, machine.device)
    run.log_params(machine.describe() | describe_data(dataset))
    for role, (reference, digest) in dataset.files.items():
        run.use_dataset(reference, role=role, digest=digest)
    run.define_metric("val/cosine", goal="max", primary=True)
    run.define_metric("val/mrr", goal="max")

    model = LatentVectorModel(dataset.store.dimensions, settings).to(machine.device)
    if settings.start_from and not control.resume:
        origin = stage_before(run) if settings.start_from == "previous" else Path(settings.start_from)
        if origin:
            _start_from(model, origin)
    optimiser = torch.optim.AdamW(model.parameters(), settings.learning_rate, weight_decay=settings.weight_decay)
    stepper = Stepper(optimiser, model.parameters(), machine, clip_norm=settings.clip_norm)
    decks = _decks(dataset, settings)
    total_steps = max(
        2, round(settings.epochs * len(dataset.parts["train"]) * settings.window_share / settings.batch_size)
    )
    evaluate_every = max(1, total_steps // settings.evaluations)
    loop = Loop(
        run,
        control,
        total_steps=total_steps,
        parts={"model": model, "optimiser": optimiser, "scaler": stepper.scaler},
        weights=model.state_dict,
        checkpoint_every=settings.checkpoint_every,
        criterion=Criterion("val/cosine", "max"),
        about=describe_model(settings, dataset),
    )

    def one_step(step: int) -> float:
        done = (step - 1) / total_steps
        model.train()
        model.ramps.set(settings, done)
        for group in optimiser.param_groups:
            group["lr"] = settings.learning_rate * one_cycle(done)
        rows = next(deck for until, deck in decks if done < until).batch(step - 1, settings.batch_size)
        rows = rows[distributed.own_rows(len(rows)).to(rows.device)]
        generator = torch_stream(settings.seed, 1, step)
        return stepper.step(lambda _: objectives.batch_loss(model, dataset.pages, rows, settings, done, generator))

    def evaluate() -> dict[str, float]:
        model.eval()
        return quick_scores(model, dataset.pages, dataset.parts["validation"])

    loop.rehearse(lambda: one_step(1), evaluate)
    for step in loop.steps():
        loss = one_step(step)
        loop.log({"train/loss": loss, "train/gradient_norm": stepper.gradient_norm})
        loop.show(f"loss {loss:.4g}")
        if step % evaluate_every == 0 or step == total_steps:
            scores = evaluate()
            loop.log({f"val/{name}": value for name, value in scores.items()})
            loop.offer(scores["cosine"])
    if loop.interrupted or loop.best_step is None:
        return

    weights, _ = load_weights(loop.checkpoints.path("best"))
    model.load_state_dict(weights)
    model.ramps.set(settings, 1.0)
    record_evaluation(run, model.eval(), dataset, step=loop.best_step)


def one_cycle(done: float) -> float:
    """Return the learning rate's share of its largest value: a short rise, then half a cosine down to nothing."""
    if done < WARM_UP:
        return (done + 1e-3) / (WARM_UP + 1e-3)
    return 0.5 * (1.0 + float(np.cos(np.pi * (done - WARM_UP) / (1.0 - WARM_UP))))


class Deck:
    """Windows dealt in batches, each once before any comes again; a batch depends on seed and index alone."""

    def __init__(self, rows: Tensor, seed: int) -> None:
        self._rows = rows
        self._order = lru_cache(maxsize=2)(lambda round_: stream(seed, 0, round_).permutation(len(rows)))

    def batch(self, index: int, size: int) -> Tensor:
        """Return the rows of batch `index`."""
        positions = np.arange(index * size, (index + 1) * size)
        rounds, places = positions // len(self._rows), positions % len(self._rows)
        chosen = [self._order(int(one))[places[rounds == one]] for one in np.unique(rounds)]
        return self._rows[torch.from_numpy(np.concatenate(chosen)).to(self._rows.device)]


def _decks(dataset: Dataset, settings: LvmSettings) -> list[tuple[float, Deck]]:
    """Return the decks in the order of the training, each with the share of it until which it is dealt from."""
    plan = CURRICULUM if settings.curriculum else ((1.0, settings.window_share),)
    rows = dataset.parts["train"]
    order = rows[torch.from_numpy(_least_alike_first(dataset.pages, rows)).to(rows.device)]
    return [(until, Deck(order[: max(1, round(share * len(order)))], settings.seed)) for until, share in plan]


def _least_alike_first(pages: Pages, rows: Tensor) -> NDArray[np.int64]:
    """Return the order of windows by cos(target, last input), lowest first: the notebooks' forward-distinctness."""
    cosines = [(pages.at(part) * pages.at(part - 1)).sum(-1) for part in rows.split(8192)]
    return torch.cat(cosines).argsort(stable=True).cpu().numpy()


@torch.no_grad()
def quick_scores(model: LatentVectorModel, pages: Pages, rows: Tensor) -> dict[str, float]:
    """Return cosine, margin (the target against the six around it), R@5 and MRR of at most 1,000 windows.

    No margin where no page is long enough for it.
    """
    rows = rows[:: max(1, -(-len(rows) // QUICK_WINDOWS))]
    context = pages.context(rows)
    prediction = model(context)
    ranks = []
    for part, given, answer in zip(rows.split(250), context.split(250), prediction.split(250), strict=True):
        bank = pages.bank(part)
        ranks.append(fivecat.rank_of_target(model.score(given, answer, bank), bank)[0])
    rank = torch.cat(ranks)
    means = {offset: float(near.nanmean()) for offset, near in fivecat.offset_cosines(pages, rows, prediction).items()}
    margin = means[0] - max(mean for offset, mean in means.items() if offset)
    return {
        "cosine": float(torch.cosine_similarity(prediction, pages.at(rows), dim=-1).mean()),
        **({} if np.isnan(margin) else {"margin": margin}),
        "r5": float((rank <= 5).float().mean()),
        "mrr": float((1 / rank).nanmean()),
    }


def describe_data(dataset: Dataset) -> dict[str, object]:
    """Return what is known of the data before any model: encoder, leaks, statistics of each part."""
    told: dict[str, object] = {
        "data/encoder": dataset.store.encoder.name,
        "data/leaked_windows_left_out": dataset.n_leaked,
    }
    for role, rows in dataset.parts.items():
        numbers = statistics(dataset.store, rows.cpu().numpy())
        told |= {f"data/{role}/{name}": round(value, 6) for name, value in numbers.items()}
    return told


def describe_model(settings: LvmSettings, dataset: Dataset) -> dict[str, object]:
    """Return what a checkpoint says of itself: enough to build the network again, and what it may be asked about."""
    return {
        "family": "lvm",
        "settings": asdict(settings),
        "dimensions": dataset.store.dimensions,
        "encoder": asdict(dataset.store.encoder),
        "bank": {"path": str(dataset.bank), "digest": dataset.files["train"][1]} if dataset.bank else None,
    }


def _start_from(model: LatentVectorModel, path: Path) -> None:
    weights, about = load_weights(path)
    if about.get("family") != "lvm":
        raise UsageError(f"{path} is no checkpoint of lvm", hint="give the best.safetensors of an lvm run")
    try:
        model.load_state_dict(weights)
    except RuntimeError as error:
        reason = str(error).splitlines()[-1].strip()
        raise CheckFailedError(f"{path} does not fit this network: {reason}", hint="use the same sizes") from None

"""Twelve tests of a trained dual VAE, as functions from what is looked at to metrics.

Five are those of the published run, seven those it announced. Some look at the weights, some at the record of the
training, some at small models trained anew.
"""

import dataclasses
import hashlib
import itertools
import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

import torch

from runners.ternary_vae import coverage
from runners.ternary_vae import evaluate as evaluation
from runners.ternary_vae.model import VAES, Vae
from runners.ternary_vae.operations import N_OPERATIONS, Task, all_operations, as_input
from runners.training.machine import stream, torch_stream

SEED = 2_000
"""Draws of the validation share no seed with those that chose or judged the weights."""
NOISE = (0.1, 0.2, 0.3)
"""Standard deviations of the noise added to inputs of -1, 0, 1 by `cold_shift`."""
STALL = 0.001
"""An efficiency that rises by less than this has not improved."""
PUBLISHED_HOLDOUT = 1_000
Series = dict[str, list[tuple[int, float]]]
Metrics = dict[str, float]


class Dual(Protocol):
    """Two autoencoders by name, trained or made up."""

    vaes: Mapping[str, Vae]


@dataclasses.dataclass(frozen=True)
class Subject:
    """What is looked at: the two autoencoders, their task, what was recorded of their training.

    `split_digest` is the one the training recorded; `series` holds `(step, value)` points by metric.
    """

    model: Dual
    task: Task
    series: Series
    split_digest: str


@dataclasses.dataclass(frozen=True)
class Anew:
    """Models trained for a test: by label, each with its task."""

    models: Mapping[str, Sequence[tuple[Dual, Task]]]


# --- tests of the weights


def latent_spectrum(subject: Subject) -> Metrics:
    """Which latent dimensions vary and carry information, and between which variances they lie."""
    metrics = {}
    for name in VAES:
        variance, kl = evaluation.latent_use(subject.model.vaes[name])
        used = (variance > evaluation.MIN_VARIANCE) & (kl > evaluation.MIN_KL)
        metrics |= {
            f"active_dims/{name}": float(used.sum()),
            f"latent_variance_min/{name}": float(variance.min()),
            f"latent_variance_max/{name}": float(variance.max()),
        }
    return metrics


def holdout(subject: Subject) -> Metrics:
    """The published hold-out: another permutation than that of the training, so most of it was trained on."""
    ids = torch.from_numpy(stream(SEED, 1).permutation(N_OPERATIONS)[:PUBLISHED_HOLDOUT])
    shares = {f"holdout_exact/{name}": evaluation.exact_share(subject.model.vaes[name], ids) for name in VAES}
    return shares | {"holdout_trained_share": float(torch.isin(ids, subject.task.split.train).float().mean())}


def true_holdout(subject: Subject) -> Metrics:
    """The test split, disjoint by construction and the one the training recorded: exact share, shared operations."""
    split = subject.task.split
    shares = {
        f"true_holdout_exact/{name}": evaluation.exact_share(subject.model.vaes[name], split.test) for name in VAES
    }
    return shares | {
        "true_holdout_shared": float(split.n_shared()),
        "true_holdout_is_recorded": float(split.digest() == subject.split_digest),
    }


def hash_coverage(subject: Subject) -> Metrics:
    """Coverage of 50,000 draws, counted by number and by md5 of the trits: the numbers are a perfect hash."""
    metrics = {}
    for name in VAES:
        decode = evaluation.prior_decoder(subject.model.vaes[name], SEED, 2)
        ids = decode(coverage.HEADLINE_K).cpu()
        trits = all_operations()[ids].to(torch.uint8).numpy()
        n_hashes = len({hashlib.md5(row.tobytes(), usedforsecurity=False).digest() for row in trits})
        n_unique = len(ids.unique())
        coverage.check_claim(n_unique, coverage.HEADLINE_K)
        metrics |= {
            f"hash_coverage@{coverage.HEADLINE_K}/{name}": n_hashes / N_OPERATIONS,
            f"hash_coverage_eff@{coverage.HEADLINE_K}/{name}": coverage.efficiency(n_hashes, coverage.HEADLINE_K),
            f"hash_disagreement/{name}": float(abs(n_hashes - n_unique)),
        }
    return metrics


@torch.no_grad()
def cold_shift(subject: Subject) -> Metrics:
    """How much noise on the input the encoders bear: exact share of the clean operations of the test split."""
    trits = all_operations()[subject.task.split.test]
    metrics = {}
    for sigma in NOISE:
        shaken = as_input(trits) + sigma * torch.randn(trits.shape, generator=torch_stream(SEED, 3))
        for name in VAES:
            rebuilt = subject.model.vaes[name].rebuild(shaken)
            metrics[f"cold_shift@{sigma:g}/{name}"] = float((rebuilt == trits).all(-1).float().mean())
    return metrics


# --- tests of the record


def kl_annealing(subject: Subject) -> Metrics:
    """The largest change of each KL weight between two neighbouring points of what the training recorded of it."""
    metrics = {}
    for name in VAES:
        steps = itertools.pairwise(subject.series[f"beta/{name}"])
        metrics[f"beta_jump/{name}"] = max((abs(after - before) for (_, before), (_, after) in steps), default=0.0)
    return metrics


def phase_sync(subject: Subject) -> Metrics:
    """How far apart the two ended, and by which share of the run B reached 90 % of its end later than A."""
    looks = {name: subject.series[f"coverage_eff@50000/{name}"] for name in VAES}
    reached = {name: _reached(points, 0.9 * points[-1][1]) for name, points in looks.items()}
    total = max(points[-1][0] for points in looks.values())
    return {
        "phase_gap": abs(looks["A"][-1][1] - looks["B"][-1][1]),
        "phase_lag": (reached["B"] - reached["A"]) / total,
    }


def early_plateau(subject: Subject) -> Metrics:
    """After which share of the run the weaker VAE stopped improving, and its largest fall between two looks."""
    by_step: dict[int, list[float]] = {}
    for name in VAES:
        for step, value in subject.series[f"coverage_eff@50000/{name}"]:
            by_step.setdefault(step, []).append(value)
    weaker = [(step, min(values)) for step, values in sorted(by_step.items())]
    best, improved_at = -math.inf, weaker[0][0]
    for step, value in weaker:
        if value > best + STALL:
            best, improved_at = value, step
    settled = weaker[len(weaker) // 2 :]
    return {
        "plateau_at": improved_at / weaker[-1][0],
        "plateau_fall": max((a - b for (_, a), (_, b) in itertools.pairwise(settled)), default=0.0),
    }


def _reached(points: Sequence[tuple[int, float]], level: float) -> int:
    return next(step for step, value in points if value >= level)


# --- tests that train anew


def holdout_shuffle(anew: Anew) -> Metrics:
    """Models trained on permuted targets: unseen operations cannot be known, so rebuilding them is a leak."""
    metrics = {}
    for name in VAES:
        shares = [_exact(model, task, name, "test") for model, task in anew.models["permuted"]]
        metrics[f"shuffled_exact/{name}"] = max(shares)
    return metrics


def novel_operations(anew: Anew) -> Metrics:
    """Models that were never shown a commutative operation: the exact share of all 729 of them."""
    return {
        f"novel_exact/{name}": min(_exact(model, task, name, "test") for model, task in anew.models["commutative"])
        for name in VAES
    }


def seed_variance(anew: Anew) -> Metrics:
    """The spread over seeds of the efficiency of 50,000 draws."""
    metrics = {}
    for name in VAES:
        values = [_efficiency(model, name) for model, _ in anew.models["seeds"]]
        metrics |= {f"seed_sd/{name}": statistics.stdev(values), f"seed_mean/{name}": statistics.fmean(values)}
    return metrics


def collapse_sweep(anew: Anew) -> Metrics:
    """Active dimensions and efficiency at each weight of the KL."""
    metrics = {}
    for label, trained in anew.models.items():
        if label.startswith("beta-"):
            model, task = trained[0]
            spectrum = latent_spectrum(Subject(model, task, {}, ""))
            for name in VAES:
                metrics[f"sweep_active_dims@{label}/{name}"] = spectrum[f"active_dims/{name}"]
                metrics[f"sweep_eff@{label}/{name}"] = _efficiency(model, name)
    return metrics


def _exact(model: Dual, task: Task, name: str, part: str) -> float:
    return evaluation.exact_share(model.vaes[name], getattr(task.split, part), task.targets)


def _efficiency(model: Dual, name: str) -> float:
    decode = evaluation.prior_decoder(model.vaes[name], SEED, 4)
    return coverage.efficiency(coverage.count_distinct(decode)[coverage.HEADLINE_K], coverage.HEADLINE_K)


OF_THE_WEIGHTS: dict[str, Callable[[Subject], Metrics]] = {
    "latent_spectrum": latent_spectrum,
    "holdout": holdout,
    "hash_coverage": hash_coverage,
    "cold_shift": cold_shift,
    "true_holdout": true_holdout,
}
OF_THE_RECORD: dict[str, Callable[[Subject], Metrics]] = {
    "kl_annealing": kl_annealing,
    "phase_sync": phase_sync,
    "early_plateau": early_plateau,
}
ANEW: dict[str, Callable[[Anew], Metrics]] = {
    "holdout_shuffle": holdout_shuffle,
    "novel_operations": novel_operations,
    "seed_variance": seed_variance,
    "collapse_sweep": collapse_sweep,
}
TESTS = (*OF_THE_WEIGHTS, *OF_THE_RECORD, *ANEW)


def describe_tests() -> list[tuple[str, str]]:
    """Return each test with the first line of what it does."""
    functions = {**OF_THE_WEIGHTS, **OF_THE_RECORD, **ANEW}
    return [(name, (function.__doc__ or "").splitlines()[0]) for name, function in functions.items()]


def measure(tests: Sequence[str], subject: Subject, anew: Anew) -> Metrics:
    """Return the metrics of some tests, each under `validate/`."""
    found: Metrics = {}
    for name in tests:
        if name in ANEW:
            found |= ANEW[name](anew)
        else:
            found |= (OF_THE_WEIGHTS | OF_THE_RECORD)[name](subject)
    return {f"validate/{name}": value for name, value in found.items()}

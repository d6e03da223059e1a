"""What a trained model can do, measured by declared protocols, and the controls that show the measurements work."""

from collections.abc import Callable, Iterable
from dataclasses import asdict

import torch
from torch import Tensor

from runners.ternary_vae import coverage
from runners.ternary_vae.model import LATENT_DIM, VAES, DualVae, Vae, kl_per_dim
from runners.ternary_vae.operations import N_OPERATIONS, Task, all_operations, as_input, ids_of
from runners.training.machine import stream, torch_stream

SUITE = "ternary-vae"
SELECTION_SEED, EVALUATION_SEED = 1, 1_000
"""Draws that choose the best weights and draws that judge them never share a seed."""
N_REPEATS = 3
MIN_VARIANCE, MIN_KL = 0.01, 0.05
"""A latent dimension is active when its mean varies (Burda et al. 2016) and it carries information."""


def prior_decoder(vae: Vae, *seed: int) -> coverage.Decode:
    """Return a function that draws operation ids from the VAE's prior, on from where it stopped."""
    device = next(vae.parameters()).device
    generator = torch_stream(*seed, device=device)
    return lambda n: ids_of(vae.generate(torch.randn(n, LATENT_DIM, generator=generator, device=device)))


def exact_share(vae: Vae, ids: Tensor, targets: Tensor | None = None) -> float:
    """Return the share of operations rebuilt with all nine trits right from the mean of their latent.

    `targets` (19683, 9) are the trits each operation is to become; without it, its own.
    """
    trits = all_operations()[ids].to(next(vae.parameters()).device)
    wanted = trits if targets is None else targets[ids.to(targets.device)].to(trits.device)
    return float((vae.rebuild(as_input(trits)) == wanted).all(-1).float().mean())


def quick_look(model: DualVae, task: Task) -> dict[str, float]:
    """Return what training is steered by: exact share on the validation split, coverage of one set of draws."""
    values = {}
    for name in VAES:
        vae = model.vaes[name]
        count = coverage.count_distinct(prior_decoder(vae, SELECTION_SEED))[coverage.HEADLINE_K]
        values[f"exact_val/{name}"] = exact_share(vae, task.split.val, task.targets)
        values[f"coverage_argmax@{coverage.HEADLINE_K}/{name}"] = count / N_OPERATIONS
        values[f"coverage_eff@{coverage.HEADLINE_K}/{name}"] = coverage.efficiency(count, coverage.HEADLINE_K)
    return values


CRITERION = "coverage_eff@50000 of the weaker VAE, once both rebuild the validation split exactly"


def criterion(values: dict[str, float]) -> float:
    """Return the named criterion: the weaker VAE's efficiency, or how far it is from exact (negative) before that."""
    exact = min(values[f"exact_val/{name}"] for name in VAES)
    if exact < 1.0:
        return exact - 1.0
    return min(values[f"coverage_eff@{coverage.HEADLINE_K}/{name}"] for name in VAES)


def evaluate(
    model: DualVae, task: Task, n_draws: int
) -> tuple[dict[str, float], dict[str, tuple[float, float]], dict[str, int]]:
    """Return the full evaluation: metrics, intervals (± 1.96 sd over the repeats) and the counts behind them."""
    metrics: dict[str, float] = {"holdout_leak": float(task.split.n_shared())}
    intervals: dict[str, tuple[float, float]] = {}
    for name in VAES:
        vae = model.vaes[name]
        metrics |= {f"{key}/{name}": value for key, value in _enumerated(vae, task).items()}
        metrics |= {f"{key}/{name}": value for key, value in _spread(vae, n_draws).items()}
        decoders = [prior_decoder(vae, EVALUATION_SEED, repeat) for repeat in range(N_REPEATS)]
        values, bounds = coverage_metrics([coverage.count_distinct(decode, coverage.KS) for decode in decoders])
        metrics |= {f"{key}/{name}": value for key, value in values.items()}
        intervals |= {f"{key}/{name}": bound for key, bound in bounds.items()}
    counts = {f"exact_test/{name}": len(task.split.test) for name in VAES}
    return metrics, intervals, counts


def coverage_metrics(
    repeats: list[dict[int, int]],
) -> tuple[dict[str, float], dict[str, tuple[float, float]]]:
    """Return coverage and efficiency for each K from repeated counts, with intervals.

    Raises CheckFailedError when a count is impossible.
    """
    metrics, intervals = {}, {}
    for k in repeats[0]:
        counts = torch.tensor([float(counts[k]) for counts in repeats])
        for count in counts.tolist():
            coverage.check_claim(count, k)
        mean, half = float(counts.mean()), 1.96 * float(counts.std()) if len(counts) > 1 else 0.0
        metrics[f"coverage_argmax@{k}"] = mean / N_OPERATIONS
        metrics[f"coverage_eff@{k}"] = coverage.efficiency(mean, k)
        intervals[f"coverage_argmax@{k}"] = ((mean - half) / N_OPERATIONS, (mean + half) / N_OPERATIONS)
    metrics["coverage_excess_sd"] = max(coverage.excess(max(counts[k] for counts in repeats), k) for k in repeats[0])
    return metrics, intervals


@torch.no_grad()
def latent_use(vae: Vae) -> tuple[Tensor, Tensor]:
    """Return the variance of the latent's mean and the mean KL of each dimension, over all operations, (16) each."""
    x = as_input(all_operations()).to(next(vae.parameters()).device)
    mean, log_variance = vae.encoder(x)
    return mean.var(0), kl_per_dim(mean, log_variance).mean(0)


def _enumerated(vae: Vae, task: Task) -> dict[str, float]:
    """Return what is measured on every operation, without any sampling."""
    split = task.split
    trits = all_operations().to(next(vae.parameters()).device)
    variance, kl = latent_use(vae)
    return {
        "exact_train": exact_share(vae, split.train, task.targets),
        "exact_val": exact_share(vae, split.val, task.targets),
        "exact_test": exact_share(vae, split.test, task.targets),
        "exact_test_shuffled": exact_on_shuffled(vae, split.test),
        "reach": float(ids_of(vae.rebuild(as_input(trits))).unique().numel()),
        "active_dims": float(((variance > MIN_VARIANCE) & (kl > MIN_KL)).sum()),
        "latent_variance_min": float(variance.min()),
        "kl_total": float(kl.sum()),
    }


def exact_on_shuffled(vae: Vae, ids: Tensor) -> float:
    """Return the exact share against other operations' trits: what a leak or a broken comparison would raise."""
    trits = all_operations()[ids].to(next(vae.parameters()).device)
    wanted = trits[torch.from_numpy(stream(EVALUATION_SEED, 7).permutation(len(ids)))]
    return float((vae.rebuild(as_input(trits)) == wanted).all(-1).float().mean())


def _spread(vae: Vae, n_draws: int) -> dict[str, float]:
    spread = asdict(coverage.measure_spread(prior_decoder(vae, EVALUATION_SEED, 100), n_draws))
    return {
        "perplexity": spread["perplexity"],
        "effective_operations": spread["effective"],
        f"missing@{n_draws}": spread["n_missing"],
        "most_likely_x_uniform": spread["most_likely"],
    }


# --- controls: generators and autoencoders whose scores are known


def control_scores(seed: int = EVALUATION_SEED) -> dict[str, dict[str, float]]:
    """Return the scores of the suite's controls on every gate's metric, measured by the same counting code."""
    generators: dict[str, Callable[[int], Tensor]] = {
        "uniform": _uniform_ids(seed),
        "collapsed": lambda n: torch.full((n,), 9_841),
        "listing": _listed_ids(),
    }
    scores = {}
    for name, decode in generators.items():
        counts = coverage.count_distinct(decode, coverage.KS)
        exact, reach, dims = (0.0, 1.0, 0.0) if name == "collapsed" else (1.0, float(N_OPERATIONS), float(LATENT_DIM))
        scores[name] = dict(_both(_known(counts, exact, reach, dims)))
    scores["dice"] = dict(_both(_known(coverage.count_distinct(_uniform_ids(seed + 1), coverage.KS), 0.0, 1.0, 0.0)))
    return scores


def _known(counts: dict[int, int], exact: float, reach: float, active_dims: float) -> Iterable[tuple[str, float]]:
    for k, count in counts.items():
        yield f"coverage_argmax@{k}", count / N_OPERATIONS
        yield f"coverage_eff@{k}", coverage.efficiency(count, k)
    yield "coverage_excess_sd", max(coverage.excess(count, k) for k, count in counts.items())
    yield from (("exact_test", exact), ("reach", reach), ("active_dims", active_dims))


def _both(scores: Iterable[tuple[str, float]]) -> Iterable[tuple[str, float]]:
    return [(f"{key}/{name}", value) for key, value in scores for name in VAES]


def _uniform_ids(seed: int) -> Callable[[int], Tensor]:
    generator = torch_stream(seed, 3)
    return lambda n: torch.randint(N_OPERATIONS, (n,), generator=generator)


def _listed_ids() -> Callable[[int], Tensor]:
    """Return a "generator" that lists the operations in order: draws that are not independent."""
    position = 0

    def decode(n: int) -> Tensor:
        nonlocal position
        ids = torch.arange(position, position + n) % N_OPERATIONS
        position += n
        return ids

    return decode

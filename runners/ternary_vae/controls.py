"""The controls of the twelve tests: an ideal model and record, and broken ones, measured by the same code."""

import dataclasses
import statistics
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn

from runners.ternary_vae.checks import SEED, Anew, Dual, Metrics, Subject, measure
from runners.ternary_vae.model import LATENT_DIM, VAES, DualVae, Vae
from runners.ternary_vae.operations import N_TRITS, make_task
from runners.ternary_vae.study import STUDIES


class IdealEncoder(nn.Module):
    """Puts each trit at the middle of its third of the normal distribution; the first seven twice."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance, (n, 16) each."""
        mean = IDEAL_STEP * torch.cat([x, x[:, : LATENT_DIM - N_TRITS]], dim=1)
        return mean, torch.full_like(mean, -4.0)


class IdealDecoder(nn.Module):
    """Reads nine latents by thirds of the normal distribution: draws of the prior are exactly uniform."""

    def __init__(self) -> None:
        super().__init__()
        self.centres = nn.Parameter(IDEAL_STEP * torch.tensor([-1.0, 0.0, 1.0]), requires_grad=False)

    def forward(self, z: Tensor) -> Tensor:
        """Return the logits (n, 9, 3)."""
        return -100.0 * (z[:, :N_TRITS, None] - self.centres).square()


IDEAL_STEP = 2.0 * statistics.NormalDist().inv_cdf(2.0 / 3.0)
"""Distance of the centres; the borders between them are then the terciles."""


@dataclasses.dataclass(frozen=True)
class Pair:
    """Two autoencoders that no training made."""

    vaes: Mapping[str, Vae]


def ideal_pair() -> Pair:
    """Return an exact, uniform autoencoder twice."""
    vae = Vae(IdealDecoder())
    vae.encoder = IdealEncoder()
    return Pair(dict.fromkeys(VAES, vae))


def broken_pair() -> Dual:
    """Return a dual VAE that was never trained."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        return DualVae()


def control_scores(tests: Sequence[str]) -> dict[str, Metrics]:
    """Return what the tests say of the ideal and of the broken model and record."""
    task = make_task(SEED)
    ideal, broken = ideal_pair(), broken_pair()
    steps = range(10, 1001, 10)
    rising = [(step, 0.99 * step / 1000) for step in steps]
    falling = [(step, 0.9 - 0.6 * (step // 100 % 2)) for step in steps]
    smooth = {f"beta/{name}": [(step, 0.3 * step / 1000) for step in steps] for name in VAES}
    jumping = {f"beta/{name}": [(step, 0.212 * (step > 500)) for step in steps] for name in VAES}
    subjects = {
        "ideal": Subject(
            ideal, task, smooth | {f"coverage_eff@50000/{name}": rising for name in VAES}, task.split.digest()
        ),
        "broken": Subject(
            broken, task, jumping | {"coverage_eff@50000/A": falling, "coverage_eff@50000/B": rising[:40]}, "unknown"
        ),
    }
    labels = STUDIES["collapse"]
    permuted, novel = make_task(SEED, targets="permuted"), make_task(SEED, "commutative")
    anews = {
        "ideal": Anew(
            {"permuted": [(ideal, permuted)], "commutative": [(ideal, novel)], "seeds": [(ideal, task)] * 3}
            | {label: [(ideal, task)] for label in labels}
        ),
        "broken": Anew(
            {"permuted": [(ideal, task)], "commutative": [(broken, novel)], "seeds": [(ideal, task), (broken, task)]}
            | {label: [(broken, task)] for label in labels}
        ),
    }
    return {name: measure(tests, subjects[name], anews[name]) for name in subjects}

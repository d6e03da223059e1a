"""The two losses. Both rebuild operations from a noisy latent and pay for its KL; they differ in what else they ask."""

import math
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from runners.ternary_vae.model import LATENT_DIM, DualVae, kl_per_dim, sample_latent
from runners.ternary_vae.operations import N_OPERATIONS
from runners.ternary_vae.schedule import Phase
from runners.ternary_vae.settings import Settings


def reconstruction(logits: Tensor, trits: Tensor) -> Tensor:
    """Return the cross-entropy in nats per operation: summed over nine trits, mean over the batch."""
    return F.cross_entropy(logits.flatten(0, 1), trits.flatten(), reduction="sum") / len(trits)


def collision_excess(logits: Tensor) -> Tensor:
    """Return by how much independent draws collide more than uniform ones would: N * sum_x p(x)^2 - 1, at least 0.

    `logits` (2m, 9, 3) come from 2m draws of the prior. Each of the first m is compared with each of the last m, so
    the estimate is unbiased; the probability that two draws give one operation is a product over the nine trits.
    """
    half = len(logits) // 2
    p = logits.softmax(-1)
    agree = 3.0 * torch.bmm(p[:half].transpose(0, 1), p[half:].permute(1, 2, 0))
    return agree.prod(0).mean() - 1.0


def calibrated_loss(
    model: DualVae, x: Tensor, trits: Tensor, phase: Phase, settings: Settings
) -> tuple[Tensor, dict[str, float]]:
    """Return the loss of the `calibrated` variant and its parts.

    CE + beta * KL (free bits on the batch's mean of each dimension: Kingma et al. 2016, appendix C.8), and late, on
    draws of the prior, the collision term. Latents are mixed at constant variance, the other VAE's without gradient.
    """
    posteriors = {name: vae.encoder(x) for name, vae in model.vaes.items()}
    latents = _latents(posteriors, phase)
    keep, mix = 1.0 - phase.mixing, phase.mixing
    scale = 1.0 / math.hypot(keep, mix)
    terms, parts = [], {}
    for name, other, beta, weight in (
        ("A", "B", phase.beta_a, phase.uniformity_a),
        ("B", "A", phase.beta_b, phase.uniformity_b),
    ):
        decoder = model.vaes[name].decoder
        z = latents[name] if mix == 0.0 else scale * (keep * latents[name] + mix * latents[other].detach())
        error = reconstruction(decoder(z), trits)
        kl = kl_per_dim(*posteriors[name]).mean(0).clamp(min=settings.free_bits).sum()
        terms.append(error + beta * kl)
        parts |= {f"train/reconstruction/{name}": float(error.detach()), f"train/kl/{name}": float(kl.detach())}
        if weight > 0.0:
            excess = collision_excess(decoder(torch.randn(settings.uniformity_draws, LATENT_DIM, device=x.device)))
            terms[-1] = terms[-1] + weight * excess
            parts[f"train/collisions/{name}"] = float(excess.detach())
    if settings.statenet == "trained":
        return _weigh(model, terms, parts, phase), parts
    return terms[0] + terms[1], parts


def _weigh(model: DualVae, terms: list[Tensor], parts: dict[str, float], phase: Phase) -> Tensor:
    """Let the controller set the two losses' weights: exp(-s) L + s (Kendall, Gal & Cipolla 2018), s within ±1."""
    state = torch.tensor(
        [
            *(parts[f"train/{part}/{name}"] / 20.0 for part in ("reconstruction", "kl") for name in ("A", "B")),
            *(parts.get(f"train/collisions/{name}", 0.0) for name in ("A", "B")),
            phase.beta_a,
            phase.beta_b,
            phase.mixing,
        ],
        device=terms[0].device,
    ).clamp(-5.0, 5.0)
    corrections = model.statenet(state)
    shifts = corrections[:2] + corrections[2:]
    return sum((torch.exp(-s) * term + s for s, term in zip(shifts, terms, strict=True)), torch.zeros(()).to(state))


# --- the published recipe


@dataclass
class RecipeController:
    """The recipe's hand-made balance of its two losses; a part of the resume state.

    Once an epoch the weights move towards the VAE with the smaller gradient; a random, untrained network adds ±1 %.
    """

    weights: list[float] = field(default_factory=lambda: [0.7, 0.7])
    norms: list[float] = field(default_factory=lambda: [1.0, 1.0])
    rate_factor: float = 1.0
    coverages: list[int] = field(default_factory=lambda: [0, 0])

    def state_dict(self) -> dict[str, Any]:
        """Return everything as plain values."""
        return {**vars(self)}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a state."""
        vars(self).update(state)

    @property
    def balance(self) -> float:
        """Gradient norm of B over that of A, smoothed."""
        return self.norms[1] / (self.norms[0] + 1e-8)

    @property
    def is_balanced(self) -> bool:
        """Whether the two gradients are within 20 percent."""
        return 0.8 < self.balance < 1.2

    def begin_epoch(self, statenet: torch.nn.Module, parts: dict[str, float], phase: Phase, *, use_net: bool) -> None:
        """Move the weights once."""
        a, b = self.weights
        if self.balance < 0.8:
            a, b = a + 0.02, b - 0.02
        elif self.balance > 1.2:
            a, b = a - 0.02, b + 0.02
        elif all(self.coverages) and not 0.67 <= self.coverages[1] / self.coverages[0] <= 1.5:
            towards_a = self.coverages[1] > self.coverages[0]
            a, b = (a * 1.05, b * 0.95) if towards_a else (a * 0.95, b * 1.05)
        if use_net and parts:
            with torch.no_grad():
                state = torch.tensor([*parts.values(), self.balance, phase.mixing, a, b, 0.3])
                moves = statenet(state[:9]).tolist()
            self.rate_factor = 1.0 + 0.05 * moves[0]
            a, b = a + 0.01 * moves[1], b + 0.01 * moves[2]
        self.weights = [min(0.95, max(0.5, a)), min(0.95, max(0.5, b))]

    def observe_gradients(self, model: DualVae) -> None:
        """Smooth in the gradient norms of the step just made."""
        momentum = 0.95 if self.is_balanced else 0.5
        for index, vae in enumerate(model.vaes.values()):
            norm = math.sqrt(sum(float(p.grad.square().sum()) for p in vae.parameters() if p.grad is not None))
            if norm > 0.0:
                self.norms[index] = momentum * self.norms[index] + (1.0 - momentum) * norm


def recipe_loss(
    model: DualVae, x: Tensor, trits: Tensor, phase: Phase, settings: Settings, controller: RecipeController
) -> tuple[Tensor, dict[str, float]]:
    """Return the loss of the published v5.5 recipe and its parts.

    Free bits on every single value (not on the batch's mean); latents mixed without correcting their variance; B is
    also asked for even trits and latents apart. The recipe's entropy alignment had no gradient and is left out.
    """
    posteriors = {name: vae.encoder(x) for name, vae in model.vaes.items()}
    latents = _latents(posteriors, phase)
    total, parts = torch.zeros((), device=x.device), {}
    ratio = min(2.0, max(0.5, controller.balance))
    for index, (name, other, beta) in enumerate((("A", "B", phase.beta_a), ("B", "A", phase.beta_b))):
        z = (1.0 - phase.mixing) * latents[name] + phase.mixing * latents[other].detach()
        logits = model.vaes[name].decoder(z)
        error = reconstruction(logits, trits)
        kl = kl_per_dim(*posteriors[name]).clamp(min=settings.free_bits).sum() / len(x)
        loss = error + beta * kl
        if name == "B":
            loss = loss - 0.05 * _mean_entropy(logits) + 0.01 * _repulsion(latents["B"])
        total = total + controller.weights[index] * loss * (ratio if name == "A" else 1.0 / ratio)
        parts |= {f"train/reconstruction/{name}": float(error.detach()), f"train/kl/{name}": float(kl.detach())}
    return total, parts


def _latents(posteriors: dict[str, tuple[Tensor, Tensor]], phase: Phase) -> dict[str, Tensor]:
    temperatures = {"A": phase.temperature_a, "B": phase.temperature_b}
    return {name: sample_latent(*posterior, temperatures[name]) for name, posterior in posteriors.items()}


def _mean_entropy(logits: Tensor) -> Tensor:
    """Return the entropy of the batch's mean trit distributions, summed over the nine trits."""
    p = logits.softmax(-1).mean(0)
    return -(p * (p + 1e-10).log()).sum()


def _repulsion(z: Tensor) -> Tensor:
    """Return the mean closeness exp(-(d / 0.5)^2) of all pairs of latents."""
    closeness = torch.exp(-torch.cdist(z, z).square() / 0.25)
    n = len(z)
    return (closeness.sum() - closeness.diagonal().sum()) / (n * (n - 1))


N_UNIFORM_NATS = math.log(N_OPERATIONS)
"""Nats needed to name one operation, 9.887: a lower total KL means lossy samples."""

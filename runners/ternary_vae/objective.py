"""The two losses. Both rebuild operations from a noisy latent and pay for its KL; they differ in what else they ask."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from runners.ternary_vae.model import LATENT_DIM, VAES, DualVae, kl_per_dim, sample_latent, shifted
from runners.ternary_vae.operations import N_OPERATIONS
from runners.ternary_vae.schedule import Phase
from runners.ternary_vae.settings import Settings


def reconstruction(logits: Tensor, trits: Tensor) -> Tensor:
    """Return the cross-entropy in nats per operation: summed over nine trits, mean over the batch."""
    return F.cross_entropy(logits.flatten(0, 1), trits.flatten(), reduction="sum") / len(trits)


def collision_excess(logits: Tensor) -> Tensor:
    """Return by how much independent draws collide more than uniform ones would: N * sum_x p(x)^2 - 1, at least 0.

    `logits` (2m, 9, 3) come from 2m draws of the prior. Each of the first m is compared with each of the last m, so
    the estimate is unbiased. The probability that two draws give one operation is a product over the nine trits; it is
    taken as a product over three groups of three trits, each a distribution over 27 values: a third of the memory. In
    float32 whatever the precision: the excess is a small difference.
    """
    half = len(logits) // 2
    first, second, third = logits.float().softmax(-1).unflatten(-2, (3, 3)).unbind(-2)
    groups = first[..., :, None, None] * second[..., None, :, None] * third[..., None, None, :]
    p = groups.flatten(-3)
    with torch.autocast(logits.device.type, enabled=False):
        agree = torch.bmm(p[:half].transpose(0, 1), p[half:].permute(1, 2, 0))
    return N_OPERATIONS * (agree[0] * agree[1] * agree[2]).mean() - 1.0


@dataclass(frozen=True)
class Weights:
    """What the parts of the `calibrated` loss count at one step: plain numbers, or one tensor for each of many models.

    `mixing` is the share of the other VAE's latent; `control` is 1 where the controller weighs the two losses, else 0.
    """

    beta_a: float | Tensor
    beta_b: float | Tensor
    uniformity_a: float | Tensor
    uniformity_b: float | Tensor
    mixing: float | Tensor
    free_bits: float | Tensor
    control: float | Tensor


def weights_at(settings: Settings, phase: Phase) -> Weights:
    """Return what the parts of the loss count in this phase."""
    return Weights(
        phase.beta_a,
        phase.beta_b,
        phase.uniformity_a,
        phase.uniformity_b,
        phase.mixing,
        settings.free_bits,
        float(settings.statenet == "trained"),
    )


def draw_noise(
    n: int, settings: Settings, phase: Phase, device: torch.device, generator: torch.Generator | None = None
) -> dict[str, Tensor]:
    """Return what a step draws: `latent/A`, `latent/B` (n, 16) and, once collisions count, `prior/A`, `prior/B`."""
    sizes = {"latent/A": n, "latent/B": n}
    sizes |= {"prior/A": settings.uniformity_draws} if phase.uniformity_a > 0.0 else {}
    sizes |= {"prior/B": settings.uniformity_draws} if phase.uniformity_b > 0.0 else {}
    return {key: torch.randn(size, LATENT_DIM, device=device, generator=generator) for key, size in sizes.items()}


def no_noise(n: int, device: torch.device) -> dict[str, Tensor]:
    """Return the noise of a step at the latents' means, without draws of the prior."""
    return {f"latent/{name}": torch.zeros(n, LATENT_DIM, device=device) for name in VAES}


def calibrated_loss(
    model: DualVae, x: Tensor, trits: Tensor, noise: Mapping[str, Tensor], weights: Weights
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the loss of the `calibrated` variant and its parts, without gradient; draws nothing by itself.

    CE + beta * KL (free bits on the batch's mean of each dimension: Kingma et al. 2016, appendix C.8), and late, on
    draws of the prior, the collision term. Latents are mixed at constant variance, the other VAE's without gradient.
    """
    posteriors = {name: vae.encoder(x) for name, vae in model.vaes.items()}
    latents = {name: shifted(*posterior, noise[f"latent/{name}"]) for name, posterior in posteriors.items()}
    keep, mix = 1.0 - weights.mixing, weights.mixing
    scale = (keep * keep + mix * mix) ** -0.5
    terms, parts = [], {}
    for name, other, beta, weight in (
        ("A", "B", weights.beta_a, weights.uniformity_a),
        ("B", "A", weights.beta_b, weights.uniformity_b),
    ):
        decoder = model.vaes[name].decoder
        error = reconstruction(decoder(scale * (keep * latents[name] + mix * latents[other].detach())), trits)
        kl = kl_per_dim(*posteriors[name]).mean(0).maximum(torch.as_tensor(weights.free_bits, device=x.device)).sum()
        term = error + beta * kl
        parts |= {f"train/reconstruction/{name}": error.detach(), f"train/kl/{name}": kl.detach()}
        if f"prior/{name}" in noise:
            excess = collision_excess(decoder(noise[f"prior/{name}"]))
            term = term + weight * excess
            parts[f"train/collisions/{name}"] = excess.detach()
        terms.append(term)
    return weigh(model, terms, parts, weights), parts


def weigh(model: DualVae, terms: list[Tensor], parts: Mapping[str, Tensor], weights: Weights) -> Tensor:
    """Let the controller set the two losses' weights: exp(-s) L + s (Kendall, Gal & Cipolla 2018), s within ±2.

    Where `control` is 0 the sum is plain.
    """
    nothing = torch.zeros_like(terms[0].detach())
    described = [parts[f"train/{part}/{name}"] / 20.0 for part in ("reconstruction", "kl") for name in ("A", "B")]
    described += [parts.get(f"train/collisions/{name}", nothing) for name in ("A", "B")]
    described += [nothing + value for value in (weights.beta_a, weights.beta_b, weights.mixing)]
    corrections = model.statenet(torch.stack(described).clamp(-5.0, 5.0))
    shifts = (corrections[:2] + corrections[2:]) * weights.control
    return torch.exp(-shifts[0]) * terms[0] + shifts[0] + torch.exp(-shifts[1]) * terms[1] + shifts[1]


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
) -> tuple[Tensor, dict[str, Tensor]]:
    """Return the loss of the published v5.5 recipe and its parts, without gradient.

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
        parts |= {f"train/reconstruction/{name}": error.detach(), f"train/kl/{name}": kl.detach()}
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

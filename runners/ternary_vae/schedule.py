"""What changes during a training, as pure functions of the step: KL weights, learning rate, mixing, temperatures."""

import math
from dataclasses import dataclass
from typing import Any

from runners.ternary_vae.settings import Settings

RECIPE_EPOCHS = 106
"""Where the published run stopped; a shorter run of the recipe goes through the same phases faster."""
RECIPE_PLANNED_EPOCHS = 400
RECIPE_ACTIVATION = 50
_WARMUP_STEPS = 50
_FINAL_RATE = 0.02


@dataclass(frozen=True)
class Phase:
    """What holds at one step."""

    learning_rate: float
    beta_a: float
    beta_b: float
    mixing: float
    """Share of the other VAE's latent in what a decoder reads (rho)."""
    temperature_a: float = 1.0
    temperature_b: float = 1.0
    uniformity_a: float = 0.0
    uniformity_b: float = 0.0


def phase_at(settings: Settings, step: int, total_steps: int) -> Phase:
    """Return what holds at `step` (1 to total_steps)."""
    share = (step - 1) / total_steps
    if settings.recipe == "v5.5":
        return _recipe_phase(settings, share)
    return _calibrated_phase(settings, share, step)


def activation_step(settings: Settings, total_steps: int) -> int:
    """Return the first step at which B's KL counts: the recipe's "disruption"."""
    share = RECIPE_ACTIVATION / RECIPE_EPOCHS if settings.recipe == "v5.5" else settings.activation
    return math.ceil(share * total_steps) + 1


def _calibrated_phase(settings: Settings, share: float, step: int) -> Phase:
    """Linear warm-ups, cosine learning rate; the mixing rises over the second half."""
    cosine = _FINAL_RATE + (1.0 - _FINAL_RATE) * 0.5 * (1.0 + math.cos(math.pi * share))
    return Phase(
        learning_rate=settings.learning_rate * min(1.0, step / _WARMUP_STEPS) * cosine,
        beta_a=settings.beta * min(1.0, share / settings.beta_warmup),
        beta_b=settings.beta * _clip((share - settings.activation) / settings.activation_ramp),
        mixing=settings.cross_injection * _clip(2.0 * share - 1.0),
        uniformity_a=settings.uniformity if share >= settings.uniformity_from else 0.0,
        uniformity_b=settings.uniformity if share >= max(settings.activation, settings.uniformity_from) else 0.0,
    )


def _recipe_phase(settings: Settings, share: float) -> Phase:
    """The published schedules, on a clock of 106 epochs; B's KL weight jumps at epoch 50 from 0 to 0.3 sin(pi/4)."""
    epoch = math.floor(share * RECIPE_EPOCHS)
    planned = epoch / RECIPE_PLANNED_EPOCHS
    if epoch < RECIPE_ACTIVATION:
        beta_a, beta_b = 0.3 * epoch / RECIPE_ACTIVATION, 0.0
    else:
        beta_a = 0.3 + 0.5 * (epoch - RECIPE_ACTIVATION) / (RECIPE_PLANNED_EPOCHS - RECIPE_ACTIVATION)
        beta_b = beta_a * math.sin(0.785)
    base = 1.0 - 0.7 * planned
    return Phase(
        learning_rate=settings.learning_rate * (1.0 if epoch < RECIPE_ACTIVATION else 0.5),
        beta_a=beta_a,
        beta_b=beta_b,
        mixing=0.1 + 0.2 * _clip((epoch - 40) / 80),
        temperature_a=max(0.1, base * (1.0 + 0.1 * math.cos(2.0 * math.pi * (epoch % 30) / 30))),
        temperature_b=0.9 - 0.7 * max(0, epoch - 30) / RECIPE_PLANNED_EPOCHS,
    )


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


def _clip(value: float) -> float:
    return min(1.0, max(0.0, value))

"""Several passes of the denoiser over its own answers, trained on them: cross entropy, and REINFORCE on progress.

A training step rolls the model out: it samples an answer, is rewarded by the share of wrong tokens that the answer put
right (less what it put wrong), and learns from cross entropy on every text that it met on the way. The surrogate is
Williams' (Machine Learning 8, 1992) with the batch mean as baseline.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from runners.json_repair import vocabulary
from runners.json_repair.denoiser import DenoiserRepairer, DenoiserTask
from runners.json_repair.documents import Documents
from runners.json_repair.settings import Settings
from runners.training.machine import Machine, torch_stream

TRAINED_PASSES = 2
PARSE_BONUS = 0.5
"""What an answer that equals the document gains on top of its progress."""


class IterativeTask(DenoiserTask):
    """How the iterative model is trained; before `reinforce_from` by cross entropy alone."""

    def __init__(self, settings: Settings, documents: Documents, machine: Machine) -> None:
        super().__init__(settings, documents, machine)
        self._reward: list[float] = []

    def loss(self, step: int, index: int) -> Tensor:
        """Return the loss of part `index` of a step, over TRAINED_PASSES passes."""
        texts, clean = self.part(step, index)
        generator = torch_stream(self.settings.seed, 3, step, index, device=self.machine.device)
        reinforces = self.settings.reinforce > 0 and step > self.settings.reinforce_from * self.settings.steps
        total = torch.zeros((), device=self.machine.device)
        for _ in range(TRAINED_PASSES):
            logits = self.called(texts).float()
            total = total + F.cross_entropy(logits.flatten(0, 1), clean.flatten()) / TRAINED_PASSES
            sampled = _sample(logits.detach(), generator)
            if reinforces:
                rewards = progress(texts, sampled, clean)
                self._reward.append(float(rewards.mean()))
                total = total + self.settings.reinforce * policy_loss(logits, sampled, rewards) / TRAINED_PASSES
            texts = sampled
        return total

    def facts(self) -> dict[str, float]:
        """Return the mean reward of the step just made, once REINFORCE has begun."""
        rewards, self._reward = self._reward, []
        return {"train/reward": sum(rewards) / len(rewards)} if rewards else {}

    def repairer(self) -> DenoiserRepairer:
        """Return the model as it is now, with its passes, as a repairer."""
        return DenoiserRepairer("iterative", self.model.eval(), self.settings.max_tokens, self.settings.passes)


def progress(before: Tensor, after: Tensor, clean: Tensor) -> Tensor:
    """Return each row's reward: the fall in wrong tokens over those there were, and a bonus for the whole document.

    All three are ids (batch, n); rewards are (batch), from -1 (as many tokens put wrong as were, or more) to
    1 + PARSE_BONUS.
    """
    wrong_before, wrong_after = ((ids != clean).sum(1).float() for ids in (before, after))
    gained = ((wrong_before - wrong_after) / wrong_before.clamp(min=1)).clamp(min=-1)
    return gained + PARSE_BONUS * (wrong_after == 0)


def policy_loss(logits: Tensor, sampled: Tensor, rewards: Tensor) -> Tensor:
    """Return the REINFORCE surrogate, a mean over positions: its gradient raises what was rewarded above the mean."""
    advantages = rewards - rewards.mean()
    chosen = F.log_softmax(logits, -1).gather(-1, sampled[..., None])[..., 0]
    return -(advantages * chosen.mean(1)).mean()


def _sample(logits: Tensor, generator: torch.Generator) -> Tensor:
    """Return ids drawn from the distributions at all positions; PAD stays possible, BEGIN is kept first."""
    drawn = torch.multinomial(logits.softmax(-1).flatten(0, 1), 1, generator=generator).view(logits.shape[:2])
    drawn[:, 0] = vocabulary.ID_OF[vocabulary.BEGIN]
    return drawn

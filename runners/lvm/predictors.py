"""What can be asked for the next vector: the protocol, controls whose verdict is known, baselines without a network.

Scores of candidates are cosines with the prediction unless a predictor has something better.
"""

from collections.abc import Callable
from typing import Protocol

import numpy as np
import torch
from torch import Tensor
from torch.nn.functional import normalize

from runners.lvm.pages import Bank, Pages
from runners.lvm.sequences import CONTEXT

_SAME = 1e-2
AR_BATCH = 1024
AR_STEPS = 100


class Predictor(Protocol):
    """Answers windows. Only a control that knows the answers may look at `rows`, the target rows."""

    def predict(self, context: Tensor, rows: Tensor) -> Tensor:
        """Return the predicted vectors (b, d) of contexts (b, CONTEXT, d); any length."""

    def score(self, context: Tensor, prediction: Tensor, bank: Bank) -> Tensor:
        """Return the scores (b, m) of candidates, higher is likelier."""


def cosine_scores(prediction: Tensor, bank: Bank) -> Tensor:
    """Return cos(prediction, candidate), (b, m)."""
    return torch.einsum("bd,bmd->bm", normalize(prediction, dim=-1), bank.vectors)


class Plain:
    """A predictor made of one function of context and rows."""

    def __init__(self, answer: Callable[[Tensor, Tensor], Tensor]) -> None:
        self.predict = answer

    def score(self, context: Tensor, prediction: Tensor, bank: Bank) -> Tensor:
        """Return cosines."""
        return cosine_scores(prediction, bank)


class CentredCopy:
    """Copy-last that ranks once the bank's mean is taken from both sides: the strongest ranking without learning."""

    def predict(self, context: Tensor, rows: Tensor) -> Tensor:
        """Return the last vector of each context."""
        return context[:, -1]

    def score(self, context: Tensor, prediction: Tensor, bank: Bank) -> Tensor:
        """Return cosines of centred vectors."""
        mean = bank_mean(bank)
        return torch.einsum("bd,bmd->bm", prediction - mean, normalize(bank.vectors - mean[:, None], dim=-1))


def bank_mean(bank: Bank) -> Tensor:
    """Return the mean (b, d) of each window's candidates."""
    weight = bank.is_candidate.to(bank.vectors.dtype)
    return torch.einsum("bm,bmd->bd", weight, bank.vectors) / weight.sum(1, keepdim=True)


def controls(pages: Pages, train: Tensor) -> dict[str, Predictor]:
    """Return the controls: `oracle` knows the answer; `constant`, `copy_last` and `shuffled` do not know what comes.

    The oracle wants to be asked properly: shown anything but the window's own context in its order, it says the
    constant. `shuffled` gives true answers, each to a window half the data away.
    """
    mean = normalize(pages.at(train).mean(0), dim=-1)
    n = len(pages.vectors)

    def oracle(context: Tensor, rows: Tensor) -> Tensor:
        as_it_was = ((context - pages.context(rows)).abs().amax((1, 2)) < _SAME)[:, None]
        return torch.where(as_it_was, pages.at(rows), mean)

    return {
        "oracle": Plain(oracle),
        "constant": Plain(lambda context, rows: mean.expand(len(context), -1)),
        "copy_last": Plain(lambda context, rows: context[:, -1]),
        "shuffled": Plain(lambda context, rows: pages.at((rows + n // 2) % n)),
    }


def baselines(pages: Pages, train: Tensor) -> dict[str, Predictor]:
    """Return what a network has to beat: the context's mean, five fitted weights, copy-last centred on its bank."""
    weights = fit_weights(pages, train)
    return {
        "mean_context": Plain(lambda context, rows: context.mean(1)),
        "ar5": Plain(lambda context, rows: torch.einsum("k,bkd->bd", weights, context)),
        "copy_last_centred": CentredCopy(),
    }


def fit_weights(pages: Pages, train: Tensor, seed: int = 0) -> Tensor:
    """Return the five weights whose mixture of the context has the largest mean cosine with the training targets.

    Adam on batches of 1,024 windows; more steps change the mean cosine by less than 1e-4.
    """
    rng = np.random.default_rng(seed)
    weights = torch.linspace(0.1, 0.3, CONTEXT, device=pages.device).requires_grad_()
    optimiser = torch.optim.Adam([weights], lr=0.03)
    for _ in range(AR_STEPS):
        rows = train[torch.from_numpy(rng.integers(len(train), size=min(AR_BATCH, len(train)))).to(train.device)]
        mixture = torch.einsum("k,bkd->bd", weights, pages.context(rows))
        loss = -torch.cosine_similarity(mixture, pages.at(rows), dim=-1).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    return weights.detach()

"""The second head: which of a page's other vectors comes next. It sees candidates beside each other, not one by one.

What all candidates share, the page's subject, says nothing about which one is next and hides what does; so the mean of
the bank is taken from everything first. That step alone is worth more than any objective tried on the prediction.
And a candidate near to everything on its page is near to the context for no reason of its own: how near it is to its
neighbours is taken into account (cross-domain similarity local scaling, Conneau et al. 2018, corrects for the same).
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from runners.lvm.pages import Bank
from runners.lvm.predictors import bank_mean
from runners.lvm.sequences import CONTEXT

HIDDEN = 32
_FIRST_SHARE = 1.2
_FIRST_WEIGHTS = (0.0, 0.4, 0.8, 2.0, 3.7, 1.0)
_SCALE = 3.0
_LEAST_TOP = 0.05
_LEAST_SQUARE = 1e-4
_NEIGHBOURS = 3


class BankRanker(nn.Module):
    """Scores candidates by their likeness to the five inputs and to the prediction, in the light of the whole bank.

    A weighted sum of centred cosines, plus a small network on how each candidate looks: plain and centred cosines, each
    as a share of the bank's best, the likeness to the bank's mean, the distance from it, the centred cosines with its
    nearest candidate and with its three nearest.
    """

    def __init__(self) -> None:
        super().__init__()
        n = CONTEXT + 1
        self.share = nn.Parameter(torch.tensor(_FIRST_SHARE))
        self.weights = nn.Parameter(torch.tensor(_FIRST_WEIGHTS))
        self.into = nn.Linear(3 * n + 4, HIDDEN)
        self.norm = nn.LayerNorm(HIDDEN)
        self.feed = nn.Sequential(nn.Linear(HIDDEN, 2 * HIDDEN), nn.GELU(), nn.Linear(2 * HIDDEN, HIDDEN))
        self.out = nn.Linear(HIDDEN, 1)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, context: Tensor, prediction: Tensor, bank: Bank) -> Tensor:
        """Return scores (b, m); no gradient goes into the prediction, so the two heads do not pull at each other."""
        asked = torch.cat([context, normalize(prediction.detach(), dim=-1)[:, None]], 1)
        mean = bank_mean(bank)
        to_mean = torch.einsum("bd,bmd->bm", mean, bank.vectors)[..., None]
        squared = (mean * mean).sum(-1)[:, None, None]
        plain = torch.einsum("bkd,bmd->bmk", asked, bank.vectors)
        centred = self._centred(asked, mean, bank.vectors, to_mean, squared)
        best = centred.masked_fill(~bank.is_candidate[..., None], -1.0).amax(1, keepdim=True).clamp(min=_LEAST_TOP)
        distance = (1.0 - 2.0 * to_mean + squared).clamp(min=_LEAST_SQUARE).sqrt()
        likeness = to_mean / squared.clamp(min=_LEAST_SQUARE).sqrt()
        features = [centred * _SCALE, plain * _SCALE, centred / best, likeness * _SCALE, distance]
        features.append(_neighbourhood(bank, mean) * _SCALE)
        hidden = self.into(torch.cat(features, -1))
        hidden = hidden + self.feed(self.norm(hidden))
        return centred @ self.weights + self.out(hidden)[..., 0]

    def _centred(self, asked: Tensor, mean: Tensor, vectors: Tensor, to_mean: Tensor, squared: Tensor) -> Tensor:
        """Return the cosines (b, m, k) after a share of the bank's mean is taken from both sides.

        By dot products alone, |x − s m|² = 1 − 2 s m·x + s² m·m for unit x, so that no centred bank is ever made.
        """
        direction = normalize(asked - self.share * mean[:, None], dim=-1)
        offset = self.share * torch.einsum("bkd,bd->bk", direction, mean)[:, None]
        length = (1.0 - 2.0 * self.share * to_mean + self.share**2 * squared).clamp(min=_LEAST_SQUARE).sqrt()
        return (torch.einsum("bkd,bmd->bmk", direction, vectors) - offset) / length


def _neighbourhood(bank: Bank, mean: Tensor) -> Tensor:
    """Return (b, m, 2): each candidate's centred cosine with its nearest other one, and the mean over its nearest."""
    centred = normalize(bank.vectors - mean[:, None], dim=-1)
    alike = centred @ centred.transpose(1, 2)
    alike = alike.masked_fill(~(bank.is_candidate[:, None] & bank.is_candidate[:, :, None]), -1.0)
    alike.diagonal(dim1=1, dim2=2).fill_(-1.0)
    nearest = alike.topk(min(_NEIGHBOURS, alike.shape[-1]), -1).values
    return torch.stack([nearest[..., 0], nearest.mean(-1)], -1)

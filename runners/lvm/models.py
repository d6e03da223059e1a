"""The networks that predict the next vector from five: each returns a vector of any length, whose direction counts.

Every one begins as something sensible, a mixture of its inputs, and learns what to add: a plain network of the same
size is still at the constant when these have learnt.
"""

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize, scaled_dot_product_attention

from runners.lvm.pages import Bank
from runners.lvm.predictors import cosine_scores
from runners.lvm.ranker import BankRanker
from runners.lvm.sequences import CONTEXT
from runners.lvm.settings import LvmSettings

FIRST_MIXTURE = (0.10, 0.10, 0.11, 0.15, 0.24)
"""Weights of the inputs, oldest first, near what five fitted weights come to on text."""
_LIKENESS_SCALE = 3.0


class Ramps:
    """What the training turns up as it goes: the slot number's size and the bias against the last slot."""

    def __init__(self) -> None:
        self.position_scale = 0.0
        self.attention_bias = 0.0

    def set(self, settings: LvmSettings, done: float) -> None:
        """Set both for the share `done` of the training (0 to 1)."""
        self.position_scale = settings.position_scale * ramp(done, settings.position_ramp)
        self.attention_bias = settings.attention_bias * ramp(done, settings.attention_bias_ramp)


def ramp(done: float, length: float) -> float:
    """Return how far a ramp of this length (a share of the training) has risen: 0 to 1; 1 at once without length."""
    return 1.0 if length <= 0 else min(1.0, done / length)


class Block(nn.Module):
    """A pre-norm transformer layer."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.norm_attention, self.norm_feed = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.feed = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """Return (b, n, w) of hidden (b, n, w); `mask` (n, n) is added to the attention logits."""
        b, n, width = hidden.shape
        parts = self.qkv(self.norm_attention(hidden)).view(b, n, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        mixed = scaled_dot_product_attention(*parts.unbind(0), attn_mask=mask.to(parts.dtype))
        hidden = hidden + self.out(mixed.transpose(1, 2).reshape(b, n, width))
        return hidden + self.feed(self.norm_feed(hidden))


class Trunk(nn.Module):
    """A causal transformer over the five inputs; returns the state from which the prediction is read.

    With `next_query` that state belongs to a learned sixth token, which sees every input but not itself. The bias
    against the last input weighs in that token's, or the last slot's, own attention.
    """

    def __init__(self, dimensions: int, settings: LvmSettings, ramps: Ramps) -> None:
        super().__init__()
        self.ramps = ramps
        self.scale = dimensions**0.5
        self.next_query = settings.architecture == "next_query"
        n = CONTEXT + self.next_query
        self.into = nn.Linear(dimensions + 1, settings.width)
        self.slots = nn.Parameter(0.02 * torch.randn(n, settings.width))
        self.blocks = nn.ModuleList(Block(settings.width, settings.heads) for _ in range(settings.layers))
        self.norm = nn.LayerNorm(settings.width)
        mask = torch.full((n, n), -torch.inf).triu(1)
        if self.next_query:
            mask[-1, -1] = -torch.inf
        self.register_buffer("mask", mask, persistent=False)
        at_last_input = torch.zeros(n, n)
        at_last_input[-1, CONTEXT - 1] = 1.0
        self.register_buffer("at_last_input", at_last_input, persistent=False)

    def forward(self, context: Tensor) -> Tensor:
        """Return the state (b, w) of contexts (b, CONTEXT, d)."""
        slot = torch.linspace(0, 1, CONTEXT, device=context.device) * self.ramps.position_scale
        slot = slot[None, :, None].expand(len(context), -1, 1)
        hidden = self.into(torch.cat([context * self.scale, slot * self.scale], -1))
        if self.next_query:
            hidden = torch.cat([hidden, hidden.new_zeros(len(hidden), 1, hidden.shape[-1])], 1)
        hidden = hidden + self.slots
        mask = self.mask - self.ramps.attention_bias * self.at_last_input
        for block in self.blocks:
            hidden = block(hidden, mask)
        return self.norm(hidden[:, -1])


class Mixture(nn.Module):
    """A mixture of the inputs, whose weights the network may shift, plus what the network adds. P1, P3 to P6."""

    def __init__(self, dimensions: int, settings: LvmSettings, ramps: Ramps) -> None:
        super().__init__()
        self.trunk = Trunk(dimensions, settings, ramps)
        self.weights = nn.Parameter(torch.tensor(FIRST_MIXTURE))
        self.shift = _silent(nn.Linear(settings.width, CONTEXT))
        self.head = _silent(nn.Linear(settings.width, dimensions))

    def forward(self, context: Tensor, shown: Tensor | None = None) -> Tensor:
        """Return predictions (b, d): mixtures of the context, made by what is `shown` of it, by default all."""
        state = self.trunk(context if shown is None else shown)
        weights = self.weights + self.shift(state)
        return torch.einsum("bk,bkd->bd", weights, context) + self.head(state)


class Likeness(nn.Module):
    """A mixture whose weights also see how alike the inputs are, whatever they are about. `rank`.

    A part of the inputs' numbers is hidden in training: what their likeness tells is learnt from few pages, what their
    numbers tell only from many.
    """

    def __init__(self, dimensions: int, settings: LvmSettings, ramps: Ramps) -> None:
        super().__init__()
        self.hidden_share = nn.Dropout(settings.hidden_share)
        self.mixture = Mixture(dimensions, settings, ramps)
        n_pairs = CONTEXT * (CONTEXT - 1) // 2
        self.likeness = nn.Sequential(
            nn.Linear(n_pairs, settings.width), nn.GELU(), nn.Linear(settings.width, settings.width), nn.GELU()
        )
        self.shift = _silent(nn.Linear(settings.width, CONTEXT))
        self.register_buffer("pairs", torch.triu_indices(CONTEXT, CONTEXT, 1), persistent=False)

    def forward(self, context: Tensor) -> Tensor:
        """Return predictions (b, d)."""
        alike = (context @ context.transpose(1, 2))[:, self.pairs[0], self.pairs[1]]
        weights = self.shift(self.likeness(alike * _LIKENESS_SCALE))
        return self.mixture(context, self.hidden_share(context)) + torch.einsum("bk,bkd->bd", weights, context)


class Residual(nn.Module):
    """The last input plus a learnt share of what the network says. P2."""

    def __init__(self, dimensions: int, settings: LvmSettings, ramps: Ramps) -> None:
        super().__init__()
        self.trunk = Trunk(dimensions, settings, ramps)
        self.share = nn.Parameter(torch.tensor(0.5))
        self.head = _silent(nn.Linear(settings.width, dimensions))

    def forward(self, context: Tensor) -> Tensor:
        """Return unit predictions (b, d)."""
        return normalize(context[:, -1] + self.share * self.head(self.trunk(context)), dim=-1)


class Attentive(nn.Module):
    """The mean of the context plus what a small network makes of it and of an attended mixture. AMN."""

    def __init__(self, dimensions: int, settings: LvmSettings) -> None:
        super().__init__()
        self.query, self.key = nn.Linear(dimensions, settings.width), nn.Linear(dimensions, settings.width)
        self.feed = nn.Sequential(
            nn.Linear(2 * dimensions, settings.width), nn.GELU(), _silent(nn.Linear(settings.width, dimensions))
        )

    def forward(self, context: Tensor) -> Tensor:
        """Return predictions (b, d)."""
        mean = context.mean(1)
        logits = torch.einsum("bw,bkw->bk", self.query(mean), self.key(context)) / self.query.out_features**0.5
        attended = torch.einsum("bk,bkd->bd", logits.softmax(-1), context)
        return mean + self.feed(torch.cat([mean, attended], -1) * mean.shape[-1] ** 0.5)


class Recurrent(nn.Module):
    """The mean of the context plus what a recurrent network adds. GRU and LSTM."""

    def __init__(self, dimensions: int, settings: LvmSettings) -> None:
        super().__init__()
        kind = nn.GRU if settings.architecture == "gru" else nn.LSTM
        self.scale = dimensions**0.5
        self.network = kind(dimensions, settings.width, settings.layers, batch_first=True)
        self.head = _silent(nn.Linear(settings.width, dimensions))

    def forward(self, context: Tensor) -> Tensor:
        """Return predictions (b, d)."""
        states, _ = self.network(context * self.scale)
        return context.mean(1) + self.head(states[:, -1])


def _silent(layer: nn.Linear) -> nn.Linear:
    """Return the layer with zero weights: it says nothing until it has learnt something."""
    nn.init.zeros_(layer.weight)
    nn.init.zeros_(layer.bias)
    return layer


class LatentVectorModel(nn.Module):
    """A network that predicts, and perhaps a ranker beside it. It is a `Predictor`."""

    def __init__(self, dimensions: int, settings: LvmSettings) -> None:
        super().__init__()
        self.ramps = Ramps()
        self.ramps.set(settings, 1.0)
        self.network = _network(dimensions, settings, self.ramps)
        self.ranker = BankRanker() if settings.ranker else None

    def forward(self, context: Tensor) -> Tensor:
        """Return predictions (b, d) of contexts (b, CONTEXT, d)."""
        return self.network(context)

    def predict(self, context: Tensor, rows: Tensor) -> Tensor:
        """Return predictions (b, d); the rows are not looked at."""
        return self.network(context)

    def score(self, context: Tensor, prediction: Tensor, bank: Bank) -> Tensor:
        """Return the ranker's scores (b, m), or cosines where there is none."""
        if self.ranker is None:
            return cosine_scores(prediction, bank)
        return self.ranker(context, prediction, bank)


def _network(dimensions: int, settings: LvmSettings, ramps: Ramps) -> nn.Module:
    if settings.architecture in ("mixture", "next_query"):
        return Mixture(dimensions, settings, ramps)
    if settings.architecture == "likeness":
        return Likeness(dimensions, settings, ramps)
    if settings.architecture == "residual":
        return Residual(dimensions, settings, ramps)
    return Attentive(dimensions, settings) if settings.architecture == "amn" else Recurrent(dimensions, settings)

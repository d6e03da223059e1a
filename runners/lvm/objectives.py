"""What a prediction is punished for: the losses of the notebooks' variants, and ours, each a small function of a batch.

The notebooks average the squared error over the dimensions, so it is about 2 (1 − cosine) / d, and a hinge of cosines
beside it weighs d times what its factor says: their guards of 0.01 wrecked the training. The variants keep it so.
"""

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, cross_entropy, mse_loss, normalize, relu, softplus

from runners.lvm.models import LatentVectorModel, ramp
from runners.lvm.pages import Pages
from runners.lvm.settings import LvmSettings

_MICRO_GAP, _MICRO_SLOPE = 0.02, 5.0
_RANK_FACTOR = 0.1
"""The two heads share no weight; this only keeps the larger gradient of one from using up the clipping norm of both."""


def disturb(context: Tensor, settings: LvmSettings, generator: torch.Generator) -> Tensor:
    """Return contexts with the last input made noisy or another window's, and inputs left out, as the settings say."""
    if settings.last_noise_chance or settings.last_swap_chance:
        context = _disturb_last(context, settings, generator)
    if settings.context_drop:
        kept = _chance(1.0 - settings.context_drop, context.shape[:2], generator, context.device)
        context = context * kept[..., None]
    return context


def _disturb_last(context: Tensor, settings: LvmSettings, generator: torch.Generator) -> Tensor:
    last = context[:, -1]
    noise = torch.randn(last.shape, generator=generator, device=generator.device).to(last.device)
    noisy = normalize(last + settings.last_noise_size * noise, dim=-1)
    chosen = _chance(settings.last_noise_chance, (len(last), 1), generator, last.device)
    swapped = _chance(settings.last_swap_chance, (len(last), 1), generator, last.device)
    last = torch.where(swapped, last.roll(1, 0), torch.where(chosen, noisy, last))
    return torch.cat([context[:, :-1], last[:, None]], 1)


def _chance(share: float, shape: tuple[int, ...], generator: torch.Generator, device: torch.device) -> Tensor:
    return (torch.rand(shape, generator=generator, device=generator.device) < share).to(device)


def prediction_loss(prediction: Tensor, target: Tensor, settings: LvmSettings) -> Tensor:
    """Return the mean squared error over windows and dimensions, or 1 − cosine."""
    if settings.loss == "mse":
        return mse_loss(prediction, target)
    return 1.0 - cosine_similarity(prediction, target, dim=-1).mean()


def batch_loss(
    model: LatentVectorModel,
    pages: Pages,
    rows: Tensor,
    settings: LvmSettings,
    done: float,
    generator: torch.Generator,
) -> Tensor:
    """Return the loss of a batch of windows when the share `done` of the training is over."""
    clean, target = pages.context(rows), pages.at(rows)
    context = disturb(clean, settings, generator)
    prediction = model(context)
    loss = prediction_loss(prediction, target, settings)
    if settings.direction_weight and done >= settings.direction_from:
        loss = loss + settings.direction_weight * direction_hinge(prediction, target, clean, settings)
    if settings.anti_copy_weight and done >= settings.direction_from:
        loss = loss + settings.anti_copy_weight * anti_copy_hinge(prediction, target, clean, settings.direction_margin)
    if settings.micro_rank_weight:
        weight = settings.micro_rank_weight * ramp(done, settings.micro_rank_ramp)
        loss = loss + weight * micro_rank(prediction, target, clean)
    if settings.rollout_weight and done >= settings.rollout_from:
        loss = loss + settings.rollout_weight * rollout_loss(model, pages, rows, context, prediction, settings)
    if model.ranker is not None:
        loss = loss + _RANK_FACTOR * rank_loss(model, pages, rows, context, prediction, settings, generator)
    return loss


def direction_hinge(prediction: Tensor, target: Tensor, context: Tensor, settings: LvmSettings) -> Tensor:
    """Return the hinge that wants the prediction nearer to the target than to the vector before the last."""
    own = cosine_similarity(prediction, target, dim=-1)
    hinge = relu(settings.direction_margin - (own - cosine_similarity(prediction, context[:, -2], dim=-1))).mean()
    if settings.direction_adaptive:
        copies = cosine_similarity(prediction, context[:, -1], dim=-1) > own
        hinge = hinge * copies.float().mean()
    return hinge


def anti_copy_hinge(prediction: Tensor, target: Tensor, context: Tensor, margin: float) -> Tensor:
    """Return the hinge that wants the prediction nearer to the target than to every input."""
    own = cosine_similarity(prediction, target, dim=-1)[:, None]
    return relu(margin - (own - cosine_similarity(prediction[:, None], context, dim=-1))).mean()


def micro_rank(prediction: Tensor, target: Tensor, context: Tensor) -> Tensor:
    """Return the soft hinge of P5.1: softplus(5 (0.02 − gap)) / 5, the gap being target less last input, as cosines."""
    own = cosine_similarity(prediction, target, dim=-1)
    gap = own - cosine_similarity(prediction, context[:, -1], dim=-1)
    return (softplus(_MICRO_SLOPE * (_MICRO_GAP - gap)) / _MICRO_SLOPE).mean()


def rollout_loss(
    model: LatentVectorModel, pages: Pages, rows: Tensor, context: Tensor, prediction: Tensor, settings: LvmSettings
) -> Tensor:
    """Return the loss of predictions made on predictions, with their gradient; 0 without windows that long."""
    whole = pages.has(rows, settings.rollout_steps - 1)
    if not whole.any():
        return prediction.sum() * 0.0
    rows, context, prediction = rows[whole], context[whole], prediction[whole]
    losses = []
    for step in range(1, settings.rollout_steps):
        context = torch.cat([context[:, 1:], normalize(prediction, dim=-1)[:, None]], 1)
        prediction = model(context)
        losses.append(prediction_loss(prediction, pages.at(rows + step), settings))
    return torch.stack(losses).mean()


def rank_loss(
    model: LatentVectorModel,
    pages: Pages,
    rows: Tensor,
    context: Tensor,
    prediction: Tensor,
    settings: LvmSettings,
    generator: torch.Generator,
) -> Tensor:
    """Return the cross-entropy of the next vector among candidates of its own page, the inputs not among them."""
    bank = pages.sampled_bank(rows, settings.rank_candidates, generator)
    scores = model.score(context, prediction, bank).masked_fill(~bank.is_candidate, -torch.inf)
    return cross_entropy(scores, bank.target_column)

"""Every choice of a training of the latent vector model: one frozen dataclass, recorded whole with the run."""

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from registry.errors import UsageError
from runners.training.settings import CommonSettings

Share = Annotated[float, Meta(ge=0.0, le=1.0)]


@dataclass(frozen=True, kw_only=True)
class LvmSettings(CommonSettings):
    """Settings of the family `lvm`. Shares are parts of the whole training, from 0 to 1."""

    # data
    data: Annotated[str, Meta(description="rotation, ar, shuffled, or an .npz file of sequences.")] = "rotation"
    ood: Annotated[str, Meta(description="An .npz file of out-of-domain sequences by the same encoder.")] = ""
    split_seed: Annotated[int, Meta(ge=0, description="Seed of the deal of documents to the parts.")] = 0
    n_documents: Annotated[int, Meta(ge=20, le=100_000, description="Pages of a synthetic source.")] = 600
    document_length: Annotated[int, Meta(ge=12, le=1000, description="Vectors on a synthetic page.")] = 30
    dimensions: Annotated[int, Meta(ge=4, le=4096, description="Length of a synthetic vector.")] = 48
    window_share: Annotated[
        float,
        Meta(gt=0.0, le=1.0, description="Train on this share of the windows, those least like their last input."),
    ] = 1.0
    curriculum: Annotated[bool, Meta(description="Let that share grow: 30 %, then 70 %, then all windows.")] = False
    start_from: Annotated[
        str, Meta(description="A checkpoint to start from, or `previous`: the stage before in a chain.")
    ] = ""

    # model
    architecture: Annotated[
        Literal["mixture", "likeness", "residual", "next_query", "amn", "gru", "lstm"],
        Meta(description="How the prediction is made from the context."),
    ] = "mixture"
    width: Annotated[int, Meta(ge=8, le=4096, description="Width of the network.")] = 64
    layers: Annotated[int, Meta(ge=1, le=48, description="Layers of the network.")] = 2
    heads: Annotated[int, Meta(ge=1, le=64, description="Attention heads.")] = 4
    position_scale: Annotated[
        float, Meta(ge=0.0, le=2.0, description="Size of the slot number given beside a vector.")
    ] = 0.0
    position_ramp: Annotated[Share, Meta(description="Share of the training in which it grows from 0.")] = 0.0
    attention_bias: Annotated[float, Meta(ge=0.0, le=10.0, description="Attention logit taken from the last slot.")] = (
        0.0
    )
    attention_bias_ramp: Annotated[Share, Meta(description="Share of the training in which it grows from 0.")] = 0.0

    # objective
    loss: Annotated[
        Literal["mse", "cosine"], Meta(description="mse is averaged over dimensions, as in the notebooks.")
    ] = "mse"
    direction_weight: Annotated[
        float, Meta(ge=0.0, description="Hinge that pushes away from the vector before the last.")
    ] = 0.0
    direction_margin: Annotated[float, Meta(ge=0.0, le=2.0, description="Margin of that hinge, a cosine.")] = 0.03
    direction_from: Annotated[Share, Meta(description="When the hinge sets in.")] = 0.25
    direction_adaptive: Annotated[bool, Meta(description="Weigh the hinge by the share of the batch that copies.")] = (
        False
    )
    anti_copy_weight: Annotated[float, Meta(ge=0.0, description="Hinge that pushes away from every input.")] = 0.0
    rollout_weight: Annotated[float, Meta(ge=0.0, description="Loss on predictions fed back, gradient included.")] = 0.0
    rollout_steps: Annotated[int, Meta(ge=2, le=8, description="Steps of that feedback.")] = 3
    rollout_from: Annotated[Share, Meta(description="When it sets in.")] = 0.2
    micro_rank_weight: Annotated[float, Meta(ge=0.0, description="Soft hinge of target against last input.")] = 0.0
    micro_rank_ramp: Annotated[Share, Meta(description="Share of the training in which it grows from 0.")] = 0.3
    last_noise_chance: Annotated[Share, Meta(description="How often the last input is disturbed.")] = 0.0
    last_noise_size: Annotated[float, Meta(ge=0.0, le=1.0, description="Standard deviation of that noise.")] = 0.03
    last_swap_chance: Annotated[Share, Meta(description="How often the last input is another window's.")] = 0.0
    context_drop: Annotated[Share, Meta(description="How often an input is left out.")] = 0.0
    hidden_share: Annotated[
        float, Meta(ge=0.0, lt=1.0, description="Share of the inputs' numbers hidden in training (likeness only).")
    ] = 0.2
    ranker: Annotated[bool, Meta(description="Train a second head that ranks the page's other vectors.")] = False
    rank_candidates: Annotated[
        int, Meta(ge=2, le=4096, description="Candidates a window is ranked among in training.")
    ] = 64

    # training
    epochs: Annotated[float, Meta(gt=0.0, le=1000.0, description="Passes over the training windows.")] = 3.0
    batch_size: Annotated[int, Meta(ge=2, le=65_536, description="Windows a step.")] = 256
    learning_rate: Annotated[float, Meta(gt=0.0, le=1.0, description="Largest learning rate (AdamW, one cycle).")] = (
        2e-3
    )
    weight_decay: Annotated[float, Meta(ge=0.0, le=1.0, description="AdamW's weight decay.")] = 0.01
    clip_norm: Annotated[float, Meta(gt=0.0, description="Largest norm of the gradient.")] = 1.0
    evaluations: Annotated[int, Meta(ge=1, le=1000, description="Evaluations on the validation part.")] = 5

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width % self.heads or self.width // self.heads % 2:
            raise UsageError(
                f"width={self.width} with heads={self.heads}", hint="make the width an even multiple of the heads"
            )
        if self.architecture in ("amn", "gru", "lstm") and self.attention_bias:
            raise UsageError(
                f"attention_bias with architecture={self.architecture}", hint="only transformers have attention"
            )

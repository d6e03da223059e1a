"""Everything one may choose about a ternary VAE."""

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from runners.training.settings import CommonSettings


@dataclass(frozen=True, kw_only=True)
class Settings(CommonSettings):
    """Settings of all variants; what only `calibrated` reads says so."""

    recipe: Annotated[
        Literal["calibrated", "v5.5"], Meta(description="Which schedule and loss; set by the variant.")
    ] = "calibrated"
    epochs: Annotated[int, Meta(ge=1, description="Passes over the training operations.")] = 80
    batch_size: Annotated[int, Meta(ge=2, le=15746, description="Operations in one step.")] = 512
    learning_rate: Annotated[float, Meta(gt=0, le=1, description="AdamW's learning rate at its highest.")] = 4e-3
    weight_decay: Annotated[float, Meta(ge=0, description="AdamW's weight decay.")] = 1e-4
    clip_norm: Annotated[float, Meta(gt=0, description="Largest norm of the gradient.")] = 1.0
    free_bits: Annotated[float, Meta(ge=0, description="Nats of KL a latent dimension has for free.")] = 0.5
    beta: Annotated[float, Meta(ge=0, description="Weight of the KL at the end (calibrated).")] = 0.3
    beta_warmup: Annotated[
        float, Meta(gt=0, le=1, description="Share of the run over which A's KL weight rises (calibrated).")
    ] = 0.3
    activation: Annotated[
        float, Meta(ge=0, lt=1, description="Share of the run after which B's KL begins to count (calibrated).")
    ] = 0.47
    activation_ramp: Annotated[
        float, Meta(gt=0, le=1, description="Share of the run over which B's KL weight rises (calibrated).")
    ] = 0.1
    uniformity: Annotated[
        float, Meta(ge=0, description="Weight of the collision term on draws from the prior (calibrated).")
    ] = 3.0
    uniformity_from: Annotated[
        float, Meta(ge=0, le=1, description="Share of the run after which A's collision term counts (calibrated).")
    ] = 0.2
    uniformity_draws: Annotated[
        int, Meta(ge=4, multiple_of=2, description="Draws from the prior in each collision term (calibrated).")
    ] = 1024
    cross_injection: Annotated[
        float, Meta(ge=0, lt=1, description="Share of the other VAE's latent mixed in at the end (calibrated).")
    ] = 0.0
    statenet: Annotated[
        Literal["trained", "frozen", "off"],
        Meta(description="The small controller: trained as loss weights, frozen as in v5.5, or left out."),
    ] = "trained"
    calibrate: Annotated[bool, Meta(description="Fit the decoders' 27 output biases on prior draws at the end.")] = True
    n_evaluations: Annotated[int, Meta(ge=1, description="Evaluations during training, evenly spread.")] = 20
    patience: Annotated[int, Meta(ge=0, description="Evaluations in vain before stopping; 0: never.")] = 0
    holdout: Annotated[
        Literal["random", "commutative"],
        Meta(description="Operations tested on and never shown: a random tenth, or all 729 commutative ones."),
    ] = "random"
    targets: Annotated[
        Literal["own", "permuted"],
        Meta(description="What is rebuilt: the operation, or another one's trits (a control that has to fail)."),
    ] = "own"
    n_models: Annotated[
        int, Meta(ge=1, le=256, description="Models trained at once, with seeds seed, seed + 1, … (calibrated).")
    ] = 1
    study: Annotated[
        Literal["none", "ablation", "collapse"],
        Meta(description="What is varied beside the seed, all at once; set by the variants of these names."),
    ] = "none"
    evaluation_draws: Annotated[
        int, Meta(ge=195_000, description="Draws behind perplexity and missing operations at the end.")
    ] = 1_000_000

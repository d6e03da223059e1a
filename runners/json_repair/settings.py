"""Every choice of a training in JSON repair: one frozen dataclass, recorded whole with the run."""

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from registry.errors import UsageError
from runners.training.settings import CommonSettings


@dataclass(frozen=True, kw_only=True)
class Settings(CommonSettings):
    """Settings of every model; what only one of them reads says so."""

    # documents
    documents: Annotated[
        str,
        Meta(description="`installed` (JSON files of installed packages), `synthetic`, a folder or a JSON lines file."),
    ] = "installed"
    n_synthetic: Annotated[
        int, Meta(ge=20, le=1_000_000, description="Documents to make where documents=synthetic.")
    ] = 2_000
    real_share: Annotated[
        float, Meta(ge=0.0, le=1.0, description="Share of training examples from documents; the rest is made up.")
    ] = 0.5

    # model
    model: Annotated[
        Literal["tagger", "denoiser", "iterative"], Meta(description="Which model; set by the variant.")
    ] = "tagger"
    width: Annotated[int, Meta(ge=16, le=4096, description="Width of the model.")] = 128
    layers: Annotated[int, Meta(ge=1, le=64, description="Transformer layers.")] = 3
    heads: Annotated[int, Meta(ge=1, le=64, description="Attention heads; the width over them must be even.")] = 4
    max_tokens: Annotated[
        int, Meta(ge=16, le=8192, description="Longest example in tokens (denoiser, iterative: in ids).")
    ] = 320

    # training
    steps: Annotated[int, Meta(ge=1, description="Optimiser steps.")] = 2_000
    batch_size: Annotated[int, Meta(ge=1, le=65_536, description="Examples in one step.")] = 64
    accumulate: Annotated[
        int, Meta(ge=1, le=1024, description="Parts of like length that the examples of a step are cut into.")
    ] = 4
    learning_rate: Annotated[float, Meta(gt=0.0, le=1.0, description="AdamW's learning rate at its highest.")] = 3e-3
    weight_decay: Annotated[float, Meta(ge=0.0, le=1.0, description="AdamW's weight decay.")] = 0.01
    clip_norm: Annotated[float, Meta(gt=0.0, description="Largest norm of the gradient.")] = 2.0
    compile: Annotated[bool, Meta(description="Compile the model with torch.compile; pays on a GPU.")] = False
    max_stacked: Annotated[int, Meta(ge=1, le=5, description="Most corruptions of one training example.")] = 5

    # several passes (iterative)
    passes: Annotated[int, Meta(ge=1, le=50, description="Most passes over one text (iterative).")] = 8
    reinforce: Annotated[float, Meta(ge=0.0, le=10.0, description="Weight of the REINFORCE term (iterative).")] = 0.1
    reinforce_from: Annotated[
        float, Meta(ge=0.0, le=1.0, description="Share of the run after which REINFORCE begins (iterative).")
    ] = 0.5

    # evaluation
    n_evaluations: Annotated[int, Meta(ge=1, le=1000, description="Evaluations during training, evenly spread.")] = 8
    validation_cases: Annotated[int, Meta(ge=1, description="Validation cases of each corruption type.")] = 15
    test_cases: Annotated[int, Meta(ge=1, description="Test cases of each corruption type.")] = 500
    patience: Annotated[int, Meta(ge=0, description="Evaluations in vain before stopping; 0: never.")] = 0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width % self.heads or self.width // self.heads % 2:
            raise UsageError(
                f"width={self.width} with heads={self.heads}", hint="make the width an even multiple of the heads"
            )
        if self.batch_size % self.accumulate:
            raise UsageError(
                f"batch_size={self.batch_size} with accumulate={self.accumulate}",
                hint="make the batch size a multiple of accumulate",
            )

"""Every choice of a training on EdgeJSON: one frozen dataclass, recorded whole with the run."""

from dataclasses import dataclass
from typing import Annotated, Literal

from msgspec import Meta

from registry.errors import UsageError
from runners.training.settings import CommonSettings

SHORT = "contact_info,location,notification,product_info,simple_config,tag_list,user_profile"
"""Schemas of short answers, on which a very small model can learn to copy in a minute."""
NEW = "rating,log_entry"


@dataclass(frozen=True, kw_only=True)
class EdgeJsonSettings(CommonSettings):
    """Settings of the family `edgejson`."""

    # data
    data: Annotated[str, Meta(description="A folder with train, test and held-out JSON lines; empty makes them.")] = ""
    schemas: Annotated[str, Meta(description="Schemas the base learns, separated by commas; `all` takes all 25.")] = (
        SHORT
    )
    new_schemas: Annotated[str, Meta(description="Schemas the adapter learns; empty: those of the base.")] = NEW
    rows_per_schema: Annotated[int, Meta(ge=1, le=1_000_000, description="Training rows made for each schema.")] = 1000
    test_rows: Annotated[int, Meta(ge=1, le=10_000, description="Test rows made for each schema.")] = 24
    data_seed: Annotated[int, Meta(ge=0, description="Seed of the rows that are made.")] = 0
    forms: Annotated[str, Meta(description="Surface forms of the training texts, separated by commas.")] = (
        "list,log,table"
    )

    # model
    base: Annotated[
        str, Meta(description="A causal language model, by folder or hub name; empty trains a small one.")
    ] = ""
    width: Annotated[int, Meta(ge=16, le=8192, description="Width of the small base.")] = 96
    layers: Annotated[int, Meta(ge=2, le=64, description="Layers of the small base.")] = 2
    heads: Annotated[int, Meta(ge=1, le=64, description="Attention heads of the small base.")] = 2
    vocabulary: Annotated[int, Meta(ge=300, le=65_536, description="Most tokens of the small base's tokenizer.")] = 2048
    method: Annotated[Literal["lora", "full"], Meta(description="Adapt a base by LoRA, or train all weights.")] = "lora"
    rank: Annotated[int, Meta(ge=1, le=512, description="Rank of the adapter.")] = 16
    alpha: Annotated[int, Meta(ge=1, le=1024, description="Scale of the adapter, over its rank.")] = 32
    dropout: Annotated[float, Meta(ge=0.0, lt=1.0, description="Dropout before the adapter.")] = 0.0
    max_tokens: Annotated[int, Meta(ge=32, le=32_768, description="Longest prompt and answer together.")] = 1024
    max_new_tokens: Annotated[int, Meta(ge=8, le=8192, description="Longest answer that is generated.")] = 512

    # training
    base_steps: Annotated[int, Meta(ge=0, description="Steps in which the small base learns its schemas.")] = 160
    adapter_steps: Annotated[int, Meta(ge=0, description="Steps of the adapter.")] = 280
    batch_size: Annotated[int, Meta(ge=1, le=4096, description="Rows a step.")] = 32
    accumulate: Annotated[int, Meta(ge=1, le=1024, description="Passes of `batch_size` rows a step.")] = 1
    base_learning_rate: Annotated[float, Meta(gt=0.0, le=1.0, description="Largest learning rate of the base.")] = 4e-3
    adapter_learning_rate: Annotated[
        float, Meta(gt=0.0, le=1.0, description="Largest learning rate of the adapter.")
    ] = 2e-3
    weight_decay: Annotated[float, Meta(ge=0.0, le=1.0, description="AdamW's weight decay.")] = 0.01
    clip_norm: Annotated[float, Meta(gt=0.0, description="Largest norm of the gradient.")] = 1.0
    replay: Annotated[
        float, Meta(ge=0.0, le=0.9, description="Share of the base's schemas in the adapter's batches.")
    ] = 0.25
    evaluations: Annotated[int, Meta(ge=1, le=1000, description="Evaluations in the last phase.")] = 4

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.width % (2 * self.heads):
            raise UsageError(
                f"width={self.width} with heads={self.heads}", hint="make the width a multiple of twice the heads"
            )
        if self.base and self.method == "full":
            raise UsageError("method=full with a given base", hint="use method=lora, or leave base empty")
        if not (self.adapter_steps if self.method == "lora" else self.base_steps):
            raise UsageError("no step that trains anything", hint="raise adapter_steps or base_steps")

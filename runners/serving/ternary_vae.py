"""Sample ternary operations from a trained dual VAE: draws from the prior, decoded by argmax."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch
from pydantic import BaseModel, ConfigDict, Field

from registry.errors import HoldfastError
from runners.serving.endpoint import Call
from runners.ternary_vae.model import LATENT_DIM, DualVae
from runners.ternary_vae.operations import ids_of
from runners.training.checkpoints import load_weights

MAX_DRAWS = 10_000


class SampleRequest(BaseModel):
    """How many operations to draw, from which of the two VAEs, and with which seed (none: anew each time)."""

    model_config = ConfigDict(extra="forbid")

    n: int = Field(default=1, ge=1, le=MAX_DRAWS)
    vae: Literal["A", "B"] = "B"
    seed: int | None = Field(default=None, ge=0, lt=2**63)


class Operations(BaseModel):
    """Operations as their nine trits (-1, 0, 1) and as their number 0..19682, and how many of them differ."""

    ids: list[int]
    trits: list[list[int]]
    n_distinct: int


def load(folder: Path, params: Mapping[str, Any]) -> dict[str, Call]:
    """Return the calls of the weights in `folder`. Raises HoldfastError when they are not a dual VAE's."""
    path = next(folder.glob("*.safetensors"), folder / "best.safetensors")
    tensors, _ = load_weights(path)
    model = DualVae()
    try:
        model.load_state_dict(tensors)
    except RuntimeError as error:
        raise HoldfastError(f"these weights are no dual VAE's: {str(error).splitlines()[0]}") from None
    model.eval()
    return {"predict": Call(SampleRequest, Operations, lambda requests: _sample(model, requests))}


def _sample(model: DualVae, requests: Sequence[SampleRequest]) -> list[Operations]:
    """Draw for each request by its own seed, then decode the draws of all requests to a VAE in one pass."""
    answers: dict[int, Operations] = {}
    for name in {request.vae for request in requests}:
        places = [place for place, request in enumerate(requests) if request.vae == name]
        latents = torch.cat([_draw(requests[place]) for place in places])
        parts = model.vaes[name].generate(latents).split([requests[place].n for place in places])
        answers |= {place: _as_answer(trits) for place, trits in zip(places, parts, strict=True)}
    return [answers[place] for place in range(len(requests))]


def _draw(request: SampleRequest) -> torch.Tensor:
    generator = torch.Generator()
    if request.seed is None:
        generator.seed()
    else:
        generator.manual_seed(request.seed)
    return torch.randn(request.n, LATENT_DIM, generator=generator)


def _as_answer(trits: torch.Tensor) -> Operations:
    ids = ids_of(trits).tolist()
    return Operations(ids=ids, trits=(trits - 1).tolist(), n_distinct=len(set(ids)))

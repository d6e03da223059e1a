"""Repair JSON with a deployed model: the text as it was where it parses, else the model's answer and how sure it is."""

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from runners.json_repair.load import load_repairer
from runners.json_repair.repair import UNSURE_BELOW, Repairer, WithFallback, repair_all
from runners.json_repair.rivals import heuristic
from runners.serving.endpoint import BadRequestError, Call

MAX_CHARACTERS = 200_000


class RepairRequest(BaseModel):
    """A text to repair; with `fallback` the heuristic answers where the model is less sure than `below`."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field(max_length=MAX_CHARACTERS)
    fallback: bool = False
    below: float = Field(default=UNSURE_BELOW, ge=0.0, le=1.0)


class Repaired(BaseModel):
    """The repaired text, how sure the model is of its least sure decision (0 to 1), and where the text comes from."""

    text: str
    confidence: float
    source: Literal["unchanged", "model", "fallback"]


def load(folder: Path, params: Mapping[str, Any]) -> dict[str, Call]:
    """Return the calls of the weights in `folder`. Raises HoldfastError when they are no JSON repair model's."""
    repairer = load_repairer(next(folder.glob("*.safetensors"), folder / "best.safetensors"))
    return {"predict": Call(RepairRequest, Repaired, partial(_answer, repairer))}


def _answer(repairer: Repairer, requests: Sequence[RepairRequest]) -> list[Repaired | BadRequestError]:
    """Repair the texts of all requests that want the same in one pass."""
    answers: dict[int, Repaired | BadRequestError] = {}
    for below in {request.below if request.fallback else None for request in requests}:
        places = [i for i, request in enumerate(requests) if (request.below if request.fallback else None) == below]
        chosen = repairer if below is None else WithFallback(repairer, heuristic(), below)
        for place, repair in zip(places, repair_all(chosen, [requests[i].text for i in places]), strict=True):
            answers[place] = Repaired(text=repair.text, confidence=repair.confidence, source=repair.source)
    return [answers[place] for place in range(len(requests))]

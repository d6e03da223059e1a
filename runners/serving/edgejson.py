"""Read a document into JSON: a text and the schema it is of in, the fields out, with what is wrong with them.

An answer that is no JSON, breaks its schema or its invariants is still an answer: it says so of itself.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from pydantic import BaseModel, ConfigDict, Field
from transformers import PreTrainedTokenizerBase

from registry.errors import CheckFailedError
from runners.edgejson.base import digest_of_base, load_kept
from runners.edgejson.catalogue import SCHEMAS
from runners.edgejson.checks import validator
from runners.edgejson.generate import prompt_of
from runners.edgejson.model import generate
from runners.edgejson.schema import broken
from runners.edgejson.scoring import extract
from runners.serving.endpoint import BadRequestError, Call

MAX_LETTERS = 20_000
MAX_BATCH = 16
MAX_TOKENS, MAX_NEW_TOKENS = 1024, 512
"""Of a model whose run does not say its own."""


class ExtractRequest(BaseModel):
    """A document, and which of the 25 schemas it is of."""

    model_config = ConfigDict(extra="forbid")

    text: str = Field(min_length=1, max_length=MAX_LETTERS)
    schema_id: str = Field(description=f"One of {', '.join(SCHEMAS)}.")


class Extraction(BaseModel):
    """What the model read; `problems` is empty for an object that fits its schema and whose invariants hold."""

    fields: dict[str, Any] | None
    problems: list[str]
    said: str


def load(folder: Path, params: Mapping[str, Any]) -> dict[str, Call]:
    """Return the calls of the model folder in `folder`.

    Raises HoldfastError when it is no such folder, NotFoundError or UnreachableError when its base is not at hand,
    CheckFailedError when the base is another than the one that was adapted.
    """
    base = str(params.get("base", ""))
    expected = params.get("base/digest")
    if expected and digest_of_base(base) not in ("", expected):
        raise CheckFailedError(
            f"{base} is another base than the one that was adapted", hint="put the base it was trained on there"
        )
    model, tokenizer = load_kept(folder, base, torch.float32)
    model.eval()
    max_tokens = int(params.get("max_tokens", MAX_TOKENS))
    max_new_tokens = int(params.get("max_new_tokens", MAX_NEW_TOKENS))

    def answer(requests: Sequence[ExtractRequest]) -> list[Extraction | BadRequestError]:
        return _answer(model, tokenizer, requests, max_tokens, max_new_tokens)

    return {"predict": Call(ExtractRequest, Extraction, answer, max_batch=MAX_BATCH)}


def _answer(
    model: torch.nn.Module,
    tokenizer: PreTrainedTokenizerBase,
    requests: Sequence[ExtractRequest],
    max_tokens: int,
    max_new_tokens: int,
) -> list[Extraction | BadRequestError]:
    """Ask the model all that can be asked in one pass; what cannot is told so, each to its own asker."""
    prompts = [_prompt(request, tokenizer, max_tokens) for request in requests]
    good = [prompt for prompt in prompts if isinstance(prompt, str)]
    said = iter(generate(model, good, tokenizer, max_new_tokens) if good else ())
    return [
        _judged(request.schema_id, next(said)) if isinstance(prompt, str) else prompt
        for request, prompt in zip(requests, prompts, strict=True)
    ]


def _prompt(request: ExtractRequest, tokenizer: PreTrainedTokenizerBase, max_tokens: int) -> str | BadRequestError:
    schema = SCHEMAS.get(request.schema_id)
    if schema is None:
        return BadRequestError(f"no schema {request.schema_id!r}; known: {', '.join(SCHEMAS)}")
    prompt = prompt_of(schema, request.text)
    n_tokens = len(tokenizer.encode(prompt))
    if n_tokens >= max_tokens:
        return BadRequestError(f"the text is {n_tokens} tokens, and the model reads fewer than {max_tokens}")
    return prompt


def _judged(schema_id: str, said: str) -> Extraction:
    """Return what was said with all that is wrong with it: no JSON, against the schema, against an invariant."""
    schema = SCHEMAS[schema_id]
    try:
        fields = extract(said)
    except (ValueError, RecursionError):
        return Extraction(fields=None, problems=["no JSON object in the answer"], said=said)
    problems = [f"{error.json_path}: {error.message}" for error in validator(schema, True).iter_errors(fields)]
    problems = problems or [f"{one.name} does not hold" for one in broken(schema, fields)]
    return Extraction(fields=fields, problems=problems, said=said)

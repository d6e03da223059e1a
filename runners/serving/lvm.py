"""What comes next after sentences or vectors: `predict` says it as a vector with the nearest texts, `chat` in words.

The texts to answer with are those the model was trained on, or those of the .npz file that REGISTRY_SERVE_BANK names; a
bank or a sentence encoder other than the model's own kind is refused.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from registry.errors import UsageError
from runners.lvm.answer import MAX_ANSWERS, Answer, Question, Responder, open_responder
from runners.lvm.embed import cut_into_sentences
from runners.serving.endpoint import BadRequestError, Call

BANK_VARIABLE = "REGISTRY_SERVE_BANK"
MAX_SENTENCES = 100
MAX_LETTERS = 4_000
MAX_BATCH = 16

Sentence = Annotated[str, Field(min_length=1, max_length=MAX_LETTERS)]
Count = Annotated[int, Field(ge=1, le=MAX_ANSWERS, description="How many answers.")]


class PredictRequest(BaseModel):
    """Either sentences, oldest first, of which the last five count, or the five vectors of five sentences."""

    model_config = ConfigDict(extra="forbid")

    sentences: list[Sentence] = Field(default=[], max_length=MAX_SENTENCES)
    vectors: list[list[FiniteFloat]] | None = None
    n: Count = 5


class Near(BaseModel):
    """A row of the bank, its text if it has one, and its cosine with the predicted vector."""

    row: int
    text: str
    cosine: float


class Prediction(BaseModel):
    """The predicted vector, of length one; what is nearest to it, best first; what each part took."""

    vector: list[float]
    found: list[Near]
    encode_ms: float
    predict_ms: float
    retrieve_ms: float


class ChatRequest(BaseModel):
    """What was said, oldest first. Messages are cut into sentences."""

    model_config = ConfigDict(extra="forbid")

    messages: list[Sentence] = Field(min_length=1, max_length=MAX_SENTENCES)
    n: Count = 5


class Reply(BaseModel):
    """The likeliest next sentence among those that are known, the others found, and what each part took."""

    response: str
    found: list[Near]
    encode_ms: float
    predict_ms: float
    retrieve_ms: float


def load(folder: Path, params: Mapping[str, Any]) -> dict[str, Call]:
    """Return the calls of the checkpoint in `folder`; `chat` only where there are texts.

    Raises HoldfastError when it is no such model, or its bank or its encoder is not at hand.
    """
    path = next(folder.glob("*.safetensors"), folder / "best.safetensors")
    bank = os.environ.get(BANK_VARIABLE)
    responder = open_responder(path, Path(bank).expanduser() if bank else None)
    calls = {"predict": Call(PredictRequest, Prediction, _answering(responder, _asked, _predicted), MAX_BATCH)}
    if responder.answers_texts:
        calls["chat"] = Call(ChatRequest, Reply, _answering(responder, _said, _replied), MAX_BATCH)
    return calls


def _asked(request: PredictRequest) -> Question:
    if (request.vectors is None) == (not request.sentences):
        raise UsageError("give either sentences or vectors")
    if request.vectors is None:
        return Question(sentences=tuple(request.sentences), n=request.n)
    if len({len(vector) for vector in request.vectors}) != 1:
        raise UsageError("the vectors are not of one length")
    return Question(vectors=np.array(request.vectors, dtype=np.float32), n=request.n)


def _said(request: ChatRequest) -> Question:
    sentences = tuple(sentence for message in request.messages for sentence in cut_into_sentences(message))
    return Question(sentences=sentences, n=request.n)


def _predicted(answer: Answer) -> Prediction:
    return Prediction(**asdict(answer))


def _replied(answer: Answer) -> Reply:
    told = asdict(answer)
    del told["vector"]
    return Reply(response=answer.found[0].text if answer.found else "", **told)


def _answering(
    responder: Responder, question_of: Callable[[Any], Question], reply_of: Callable[[Answer], BaseModel]
) -> Callable[[Sequence[Any]], list[BaseModel | BadRequestError]]:
    """Return what answers a batch: the good requests together, each bad one with the reason why it is bad."""

    def answer(requests: Sequence[Any]) -> list[BaseModel | BadRequestError]:
        said: list[BaseModel | BadRequestError | None] = []
        questions = []
        for request in requests:
            try:
                question = question_of(request)
                responder.check(question)
            except UsageError as error:
                said.append(BadRequestError(str(error)))
                continue
            said.append(None)
            questions.append(question)
        answers = iter(responder.answer(questions) if questions else ())
        return [one if one is not None else reply_of(next(answers)) for one in said]

    return answer

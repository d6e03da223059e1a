"""Ask a trained model what comes next, in words: encode what was said, predict a vector, find the nearest sentences.

`python -m runners.lvm.answer best.safetensors "First sentence." "Second one."`; `registry serve` mounts a Responder.
Model, bank and encoder must be of one encoder: a Responder is not made of others.
"""

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import normalize

from registry.errors import CheckFailedError, HoldfastError, NotFoundError, UsageError
from registry.hashing import digest_file
from runners.lvm.embed import TextEncoder, cut_into_sentences
from runners.lvm.files import load_store
from runners.lvm.models import LatentVectorModel
from runners.lvm.pages import Bank
from runners.lvm.sequences import CONTEXT, Encoder, SequenceStore
from runners.lvm.settings import LvmSettings
from runners.training.checkpoints import load_weights
from runners.training.settings import build

SHORTLIST = 100
"""Sentences nearest to the prediction that the ranker, where there is one, puts in order."""
MAX_ANSWERS = 50
_SAME = 0.999
"""Cosine from which on two sentences are one: half precision keeps 0.9999."""

Floats = NDArray[np.float32]


@dataclass(frozen=True)
class Found:
    """A row of the bank, its sentence if the bank holds texts, and its cosine with the predicted vector."""

    row: int
    text: str
    cosine: float


@dataclass(frozen=True)
class Answer:
    """The predicted unit vector, what was found near it, best first, and how long each part took, in milliseconds.

    Questions asked together share their times.
    """

    vector: list[float]
    found: list[Found]
    encode_ms: float
    predict_ms: float
    retrieve_ms: float


@dataclass(frozen=True)
class Question:
    """What was said, as sentences or as the unit vectors (CONTEXT, d) of five, and how many answers are wanted."""

    sentences: tuple[str, ...] = ()
    vectors: Floats | None = None
    n: int = 5


@dataclass(frozen=True)
class Checkpoint:
    """A model ready to be asked, the encoder of its data, where that lies, the digest it had, the seed of its split."""

    model: LatentVectorModel
    dimensions: int
    encoder: Encoder
    bank: Path | None
    bank_digest: str
    split_seed: int


def load_model(path: Path) -> Checkpoint:
    """Return what a checkpoint holds.

    Raises NotFoundError, UsageError for a checkpoint of another family, CheckFailedError for one that cannot be built.
    """
    weights, about = load_weights(path)
    if about.get("family") != "lvm":
        raise UsageError(f"{path} is no checkpoint of lvm", hint="give the best.safetensors of an lvm run")
    try:
        settings = build(LvmSettings, about["settings"])
        model = LatentVectorModel(int(about["dimensions"]), settings)
        model.load_state_dict(weights)
        encoder = msgspec.convert(about["encoder"], Encoder)
        bank = about["bank"] or {}
    except (KeyError, TypeError, RuntimeError, msgspec.ValidationError) as error:
        reason = str(error).splitlines()[-1].strip()
        raise CheckFailedError(f"{path} does not fit this program: {reason}", hint="train it again") from None
    path_of_bank = Path(bank["path"]) if bank else None
    digest = bank.get("digest", "")
    return Checkpoint(model.eval(), int(about["dimensions"]), encoder, path_of_bank, digest, settings.split_seed)


def open_bank(checkpoint: Checkpoint, named: Path | None) -> SequenceStore | None:
    """Return the sentences to answer with: of the file that is named, else of the file the model was trained on.

    None for a model of a synthetic source. Raises NotFoundError when the file is gone, CheckFailedError when the file
    it was trained on has other bytes by now.
    """
    path = named or checkpoint.bank
    if path is None:
        return None
    if not path.is_file():
        raise NotFoundError(f"the sentences to answer with, {path}, are not there", hint="name another .npz file")
    if named is None and digest_file(path)[0] != checkpoint.bank_digest:
        raise CheckFailedError(f"{path} is not what the model was trained on any more", hint="name an .npz file")
    return load_store(path)


class Responder:
    """A model, the sentences it can answer with, and the encoder for what it is asked.

    Out-of-domain rows of the bank are no answers. Without a bank nothing is found, without an encoder only vectors can
    be asked. Raises CheckFailedError when model, bank and encoder do not belong together.
    """

    def __init__(self, checkpoint: Checkpoint, bank: SequenceStore | None, encode: TextEncoder | None) -> None:
        self.dimensions = checkpoint.dimensions
        self._model = checkpoint.model
        if bank is not None:
            _refuse_other_encoder(checkpoint, f"the bank {bank.name}", bank.encoder, bank.dimensions)
        if encode is not None:
            _refuse_other_encoder(checkpoint, "the sentence encoder", encode.encoder, encode.dimensions)
        self._encode = encode
        self._rows = np.flatnonzero(~bank.is_ood) if bank else np.zeros(0, dtype=np.int64)
        self._texts = [bank.texts[row] for row in self._rows] if bank and bank.texts else []
        vectors = bank.vectors[self._rows].astype(np.float32) if bank else np.zeros((0, self.dimensions), np.float32)
        self._vectors = torch.from_numpy(vectors)

    @property
    def answers_texts(self) -> bool:
        """Whether it can be asked in words and answer in words."""
        return self._encode is not None and bool(self._texts)

    @torch.no_grad()
    def answer(self, questions: Sequence[Question]) -> list[Answer]:
        """Answer questions, asked together, in their order.

        Fewer than five sentences are filled up with the first, of more the last five count; what was said is no
        answer. Raises UsageError as `check` does.
        """
        for question in questions:
            self.check(question)
        started = time.perf_counter()
        context = self._contexts(questions)
        encoded = time.perf_counter()
        predictions = normalize(self._model(context), dim=-1)
        predicted = time.perf_counter()
        cosines = predictions @ self._vectors.T
        found = [
            self._nearest(context[index : index + 1], predictions[index : index + 1], cosines[index], question)
            for index, question in enumerate(questions)
        ]
        times = (encoded - started, predicted - encoded, time.perf_counter() - predicted)
        milliseconds = [1000.0 * one for one in times]
        return [
            Answer(prediction.tolist(), near, *milliseconds)
            for prediction, near in zip(predictions, found, strict=True)
        ]

    def check(self, question: Question) -> None:
        """Raise UsageError for a question that cannot be answered: nothing said, no encoder, vectors of wrong shape."""
        if not 1 <= question.n <= MAX_ANSWERS:
            raise UsageError(f"n={question.n}", hint=f"from 1 to {MAX_ANSWERS}")
        if question.vectors is None:
            if self._encode is None:
                raise UsageError("this model can be asked with vectors only", hint="its data has no sentence encoder")
            if not any(sentence.strip() for sentence in question.sentences):
                raise UsageError("nothing was said", hint="give at least one sentence")
            return
        shape = (CONTEXT, self.dimensions)
        norms = np.linalg.norm(question.vectors, axis=-1) if question.vectors.shape == shape else np.zeros(1)
        if not (np.isfinite(norms) & (norms > 0)).all():
            raise UsageError(f"vectors of shape {question.vectors.shape}", hint=f"give {shape}, none of them zero")

    def _contexts(self, questions: Sequence[Question]) -> Tensor:
        """Return the contexts (b, CONTEXT, d) of questions; all their sentences are encoded at once."""
        said = [_last_five(question.sentences) for question in questions if question.vectors is None]
        different = list(dict.fromkeys(one for five in said for one in five))
        encoded = dict(zip(different, self._encode(different), strict=True)) if self._encode and said else {}
        fives = iter(said)
        contexts = [
            np.stack([encoded[one] for one in next(fives)]) if question.vectors is None else question.vectors
            for question in questions
        ]
        return normalize(torch.from_numpy(np.stack(contexts)).float(), dim=-1)

    def _nearest(self, context: Tensor, prediction: Tensor, cosines: Tensor, question: Question) -> list[Found]:
        """Return what is near a prediction (1, d) in the bank, in the ranker's order if there is one."""
        said = set(question.sentences)
        rows = cosines.topk(min(SHORTLIST + CONTEXT + len(said), len(cosines))).indices
        rows = rows[(self._vectors[rows] @ context[0].T).amax(1) < _SAME]
        if said and self._texts:
            rows = rows[[self._texts[row] not in said for row in rows.tolist()]]
        rows = rows[:SHORTLIST]
        if not len(rows):
            return []
        shortlist = Bank(
            self._vectors[rows][None], torch.ones(1, len(rows), dtype=torch.bool), torch.zeros(1, dtype=torch.long)
        )
        order = self._model.score(context, prediction, shortlist)[0].argsort(descending=True)[: question.n]
        return [
            Found(int(self._rows[row]), self._texts[row] if self._texts else "", float(cosines[row]))
            for row in rows[order].tolist()
        ]


def _refuse_other_encoder(checkpoint: Checkpoint, whose: str, encoder: Encoder, dimensions: int) -> None:
    if dimensions != checkpoint.dimensions:
        raise CheckFailedError(f"{whose} has {dimensions} dimensions, the model {checkpoint.dimensions}")
    differing = checkpoint.encoder.differences(encoder) if checkpoint.encoder.is_recorded else []
    if differing:
        raise CheckFailedError(
            f"{whose} is not of the encoder the model was trained with (they differ in {', '.join(differing)})",
            hint=f"use {checkpoint.encoder.name}",
        )


def _last_five(sentences: Sequence[str]) -> list[str]:
    said = [sentence for sentence in sentences if sentence.strip()][-CONTEXT:]
    return [said[0]] * (CONTEXT - len(said)) + said


def open_responder(checkpoint: Path, bank: Path | None = None, model: str = "") -> Responder:
    """Return a responder for a checkpoint; `bank` and `model`, the sentence encoder, are those of its data by default.

    The encoder is loaded only where the bank holds texts. Raises NotFoundError, UsageError, CheckFailedError.
    """
    found = load_model(checkpoint)
    store = open_bank(found, bank)
    source = model or found.encoder.source
    encode = TextEncoder(source) if store is not None and store.texts and source else None
    return Responder(found, store, encode)


def chat(responder: Responder, messages: Sequence[str], n: int) -> Mapping[str, Any]:
    """Return the likeliest next sentence after messages, and the others found, as plain values."""
    sentences = tuple(sentence for message in messages for sentence in cut_into_sentences(message))
    told = asdict(responder.answer([Question(sentences=sentences, n=n)])[0])
    del told["vector"]
    return {"response": told["found"][0]["text"] if told["found"] else "", **told}


def main(arguments: Sequence[str] | None = None) -> int:
    """Answer sentences from the command line as JSON; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m runners.lvm.answer", description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path, help="best.safetensors of an lvm run")
    parser.add_argument("sentences", nargs="+", help="what was said, oldest first")
    parser.add_argument("--bank", type=Path, help="an .npz file with texts to answer with; default: the training data")
    parser.add_argument(
        "--model", default="", help="the sentence encoder: folder, name, or bundled; default: the data's"
    )
    parser.add_argument("-n", type=int, default=5, help="how many answers")
    asked = parser.parse_args(arguments)
    try:
        responder = open_responder(asked.checkpoint, asked.bank, asked.model)
        if not responder.answers_texts:
            raise UsageError("there are no texts to answer with", hint="--bank FILE made by runners.lvm.embed")
        print(json.dumps(chat(responder, asked.sentences, asked.n), ensure_ascii=False, indent=1))
    except HoldfastError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())

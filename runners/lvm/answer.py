"""Ask a trained model what comes next, in words: encode what was said, predict a vector, find the nearest sentences.

`python -m runners.lvm.answer best.safetensors --bank docs.npz "First sentence." "Second one."`; a server mounts
`Responder.chat`, whose request and answer are plain JSON.
"""

import argparse
import json
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch

from registry.errors import CheckFailedError, HoldfastError, UsageError
from runners.lvm.embed import BUNDLED, TextEncoder
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


@dataclass(frozen=True)
class Found:
    """A known sentence, and its cosine with the predicted vector."""

    text: str
    cosine: float


@dataclass(frozen=True)
class Answer:
    """The sentences found, best first, and how long each part took, in milliseconds."""

    found: list[Found]
    encode_ms: float
    predict_ms: float
    retrieve_ms: float


def load_model(path: Path) -> tuple[LatentVectorModel, Encoder]:
    """Return the model of a checkpoint, ready to be asked, and the encoder it was trained with.

    Raises NotFoundError, or UsageError for a checkpoint of another family.
    """
    weights, about = load_weights(path)
    if about.get("family") != "lvm":
        raise UsageError(f"{path} is no checkpoint of lvm", hint="give the best.safetensors of an lvm run")
    model = LatentVectorModel(int(about["dimensions"]), build(LvmSettings, about["settings"]))
    model.load_state_dict(weights)
    encoder = about["encoder"]
    return model.eval(), Encoder(**{**encoder, "probes": tuple(encoder["probes"])})


class Responder:
    """A model, the sentences it can answer with, and the encoder for what it is asked.

    Raises UsageError for a bank without texts, CheckFailedError when model, bank and encoder do not belong together.
    """

    def __init__(self, checkpoint: Path, bank: SequenceStore, encode: TextEncoder) -> None:
        self._model, trained_with = load_model(checkpoint)
        if not bank.texts:
            raise UsageError(f"{bank.name} holds no texts", hint="make it with `python -m runners.lvm.embed`")
        for name, other in (("the bank", bank.encoder), ("the encoder", encode.encoder)):
            if trained_with.is_recorded and other != trained_with:
                raise CheckFailedError(
                    f"{name} is not of the encoder the model was trained with", hint=trained_with.name
                )
        self._encode = encode
        self._texts = bank.texts
        self._vectors = torch.from_numpy(bank.vectors.astype(np.float32))

    @torch.no_grad()
    def answer(self, sentences: Sequence[str], n: int = 5) -> Answer:
        """Return the `n` known sentences most likely to come next; fewer than five are filled up with the first.

        Raises UsageError for no sentence, or an `n` out of 1 to 50.
        """
        asked = [sentence for sentence in sentences if sentence.strip()][-CONTEXT:]
        if not asked or not 1 <= n <= MAX_ANSWERS:
            raise UsageError(
                "nothing was said" if not asked else f"n={n}", hint=f"give a sentence, and n from 1 to {MAX_ANSWERS}"
            )
        times = [time.perf_counter()]
        vectors = torch.from_numpy(self._encode([asked[0]] * (CONTEXT - len(asked)) + list(asked)))[None]
        times.append(time.perf_counter())
        prediction = self._model(vectors)
        times.append(time.perf_counter())
        rows, cosines = self._nearest(vectors, prediction, set(asked))
        found = [Found(self._texts[row], float(cosine)) for row, cosine in zip(rows[:n], cosines[:n], strict=True)]
        times.append(time.perf_counter())
        encode_ms, predict_ms, retrieve_ms = (1000.0 * (after - before) for before, after in pairwise(times))
        return Answer(found, encode_ms, predict_ms, retrieve_ms)

    def _nearest(
        self, context: torch.Tensor, prediction: torch.Tensor, said: set[str]
    ) -> tuple[list[int], list[float]]:
        """Return rows of the bank, best first, and their cosines with the prediction; what was said is left out."""
        cosines = self._vectors @ torch.nn.functional.normalize(prediction[0], dim=-1)
        rows = cosines.topk(min(SHORTLIST + len(said), len(cosines))).indices
        rows = torch.tensor([row for row in rows.tolist() if self._texts[row] not in said][:SHORTLIST])
        shortlist = Bank(
            self._vectors[rows][None], torch.ones(1, len(rows), dtype=torch.bool), torch.zeros(1, dtype=torch.long)
        )
        order = self._model.score(context, prediction, shortlist)[0].argsort(descending=True)
        return rows[order].tolist(), cosines[rows[order]].tolist()

    def chat(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Answer a JSON request `{"messages": [text, …], "n": 5}` with a JSON object. Raises UsageError for another."""
        messages, n = request.get("messages"), request.get("n", 5)
        if not isinstance(messages, list) or not all(isinstance(one, str) for one in messages) or type(n) is not int:
            raise UsageError("not a chat request", hint='{"messages": ["A sentence."], "n": 5}')
        answer = asdict(self.answer(messages, n))
        return {"response": answer["found"][0]["text"] if answer["found"] else "", **answer}


def main(arguments: Sequence[str] | None = None) -> int:
    """Answer sentences from the command line as JSON; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m runners.lvm.answer", description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path, help="best.safetensors of an lvm run")
    parser.add_argument("sentences", nargs="+", help="what was said, oldest first")
    parser.add_argument(
        "--bank", type=Path, required=True, help="an .npz file with texts: the sentences to answer with"
    )
    parser.add_argument("--model", default=BUNDLED, help="the sentence encoder: folder, name, or bundled")
    parser.add_argument("-n", type=int, default=5, help="how many answers")
    asked = parser.parse_args(arguments)
    try:
        responder = Responder(asked.checkpoint, load_store(asked.bank), TextEncoder(asked.model))
        print(json.dumps(responder.chat({"messages": asked.sentences, "n": asked.n}), ensure_ascii=False, indent=1))
    except HoldfastError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())

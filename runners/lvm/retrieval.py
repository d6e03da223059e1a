"""How often the next sentence is found among all that are known, not only on its page: as the endpoint answers.

`python -m runners.lvm.retrieval RUN/checkpoints/best.safetensors` asks for every third test window of the data.
"""

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from registry.errors import HoldfastError, UsageError
from runners.lvm.answer import Question, Responder, load_model, open_bank
from runners.lvm.sequences import contexts, split_by_document

EVERY = 3
BATCH = 16
RANKS = (1, 5, 10)


def found_at(responder: Responder, context: np.ndarray, target: np.ndarray) -> np.ndarray:
    """Return, for each window, the rank of its target row among the answers; more than any answer when not found."""
    answers = [
        one
        for start in range(0, len(context), BATCH)
        for one in responder.answer([Question(vectors=five, n=RANKS[-1]) for five in context[start : start + BATCH]])
    ]
    rows = np.array(
        [[near.row for near in answer.found] + [-1] * (RANKS[-1] - len(answer.found)) for answer in answers]
    )
    hit = rows == target[:, None]
    return np.where(hit.any(1), hit.argmax(1) + 1, RANKS[-1] + 1)


def main(arguments: Sequence[str] | None = None) -> int:
    """Print the shares found first, among five and among ten; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m runners.lvm.retrieval", description=__doc__.splitlines()[0])
    parser.add_argument("checkpoint", type=Path, help="best.safetensors of an lvm run on a file")
    asked = parser.parse_args(arguments)
    try:
        checkpoint = load_model(asked.checkpoint)
        bank = open_bank(checkpoint, None)
        if bank is None:
            raise UsageError("this model was trained on a synthetic source", hint="train on an .npz file")
    except HoldfastError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    rows = split_by_document(bank, checkpoint.split_seed).test[::EVERY]
    rank = found_at(Responder(checkpoint, bank, None), contexts(bank, rows), rows)
    shares = ", ".join(f"R@{k} {(rank <= k).mean():.3f}" for k in RANKS)
    print(f"{len(rows)} windows among {int((~bank.is_ood).sum())} sentences: {shares}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

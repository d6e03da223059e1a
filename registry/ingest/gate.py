"""The confidence gate of the generic layer: a line's shape is believed once it came three times with a step that moves.

A shape is what a line says it holds (its axis and its names). Until a shape is believed its values are held back; a
shape whose step jumps about is given up. Nothing is lost by waiting: held values come out in the order of the file.
"""

import re
from functools import lru_cache
from itertools import pairwise
from typing import Any

from registry.ingest.records import State, Values

BELIEVED = "believed"
MIN_REPEATS = 3
MIN_RISING = 0.8
MAX_TRIES = 40
MAX_HELD = 400
MAX_SHAPES = 200
MAX_COMPARED = 16
_TOKEN = re.compile(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])")
_RECALL_AT = re.compile(r"(?:^|[^a-z])(?:r@?|p@|hits?@?|hr@?|ndcg@?|mrr@?|top[-_ ]?)\d+(?![a-z])", re.IGNORECASE)
_STRONG = frozenset({
    "loss", "losses", "nll", "acc", "accuracy", "accs", "ppl", "perplexity", "mse", "rmse", "mae", "mape", "f1",
    "auc", "auroc", "roc", "map", "ap", "ar", "miou", "iou", "dice", "bleu", "rouge", "meteor", "wer", "cer", "ter",
    "reward", "rewards", "rew", "return", "returns", "precision", "recall", "psnr", "ssim", "lpips", "fid", "score",
    "scores", "lr", "gradnorm", "gnorm", "error", "err", "entropy", "kl", "elbo", "kappa", "margin", "coverage",
    "cos", "cosine", "ce", "bce", "xent", "logloss", "rmsle", "ndcg", "mrr", "mcc", "pearson", "spearman",
    "r2", "mfu", "mpjpe", "epe", "sdr", "snr", "sisnr", "stoi", "pesq", "inertia", "objective", "objf",
    "likelihood", "logprob", "sps", "winrate", "episodic", "bpc", "bpb", "bpd", "hinge", "mlm",
})  # fmt: skip


_STRONG_PAIRS = frozenset({
    ("learning", "rate"), ("grad", "norm"), ("gradient", "norm"), ("win", "rate"), ("episode", "length"),
    ("epoch", "time"),
})  # fmt: skip


@lru_cache(maxsize=65536)
def is_strong(name: str) -> bool:
    """Return whether a name is one that training programs use: `val_loss`, `R@5`, `LanguageCrossEntropy`."""
    tokens = [token.lower() for token in _TOKEN.findall(name[:200])]
    if any(token in _STRONG for token in tokens) or _RECALL_AT.search(name):
        return True
    both = _STRONG_PAIRS & set(pairwise(tokens))
    return bool(both) or "f1" in name.lower() or "r2" in name.lower().split("_")


def admit(state: State, shape: str, values: Values, *, sure: bool = False) -> list[Values]:
    """Take one line's values; return what may go on: nothing yet, the line itself, or it and all that was held.

    `sure`: the caller knows the shape (another line of the file showed it).
    """
    shapes: dict[str, Any] = state.setdefault("shapes", {})
    kept = shapes.get(shape)
    if kept == BELIEVED:
        return [values]
    if kept == "refused":
        return []
    if kept is None:
        if len(shapes) >= MAX_SHAPES:
            return []
        late = bool(state.get("n_believed"))
        kept = shapes[shape] = {"n": 0, "rising": 0, "moved": False, "last": None, "late": late, "held": []}
    _count(kept, values)
    kept["held"].append(_pack(values))
    if sure or (kept["n"] >= MIN_REPEATS and _believable(kept)):
        shapes[shape] = BELIEVED
        return [_unpack(held) for held in kept["held"]]
    if kept["n"] >= MAX_TRIES:
        shapes[shape] = "refused"
    del kept["held"][:-MAX_HELD]
    return []


def settle(state: State) -> list[Values]:
    """The file is at rest: return the held values of shapes that are credible though rare, in the order of the file.

    Credible is: known names, and either twice with a moving step, or once after other lines had been believed, or once
    with a counter of its own in a file that has lines which are believed.
    """
    shapes = state.get("shapes", {})
    released: list[Values] = []
    for shape, kept in list(shapes.items()):
        if isinstance(kept, str):
            continue
        names = kept["held"][-1][4]
        strong = any(is_strong(name) for name in names)
        counted = not shape.startswith("sticky") and state.get("n_believed")
        if strong and (kept["late"] or counted or (kept["n"] >= 2 and _believable(kept))):
            released += [_unpack(held) for held in kept["held"]]
            shapes[shape] = BELIEVED
    return sorted(released, key=lambda values: values.offset)


def waiting(state: State) -> dict[str, int]:
    """Return the shapes that are not believed and how often each came."""
    shapes = state.get("shapes", {})
    return {shape: kept["n"] for shape, kept in shapes.items() if not isinstance(kept, str)}


def _count(kept: State, values: Values) -> None:
    kept["n"] += 1
    last = kept["last"]
    if values.step is None:
        first = list(values.values.values())[:MAX_COMPARED]
        kept["moved"] |= last is not None and first != last
        kept["rising"] += 1
        kept["last"] = first
        return
    last = None if isinstance(last, list) else last
    kept["rising"] += last is None or values.step >= last
    kept["moved"] |= last is not None and values.step != last
    kept["last"] = values.step


def _believable(kept: State) -> bool:
    return bool(kept["moved"]) and kept["rising"] >= MIN_RISING * kept["n"]


def _pack(values: Values) -> list[Any]:
    return [values.offset, values.at, values.step, values.axis, values.values]


def _unpack(held: list[Any]) -> Values:
    offset, at, step, axis, values = held
    return Values(offset, values, step, at, axis)

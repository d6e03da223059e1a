"""Steps: which counter a line names, and how counters that begin anew each epoch become one that does not.

The counter decides a value's axis: values counted in steps and values counted in epochs never share a series.
"""

import re
from typing import NamedTuple

from registry.ingest.records import State

_COUNTER = re.compile(
    r"(?<![\w./%])(?P<name>global[_ -]?step|num_updates|(?:total_)?timesteps?|(?:train(?:ing)?[_ -])?steps?|"
    r"iter(?:ation)?s?|updates?|batch(?:es)?|epochs?|ep|episodes?|rounds?|generations?|it|trees?)"
    r"(?:\s{0,3}\((?:train|val|test|valid|eval)\))?"
    r"\s{0,3}[:=#]?\s{0,3}[\[(]?\s{0,6}(?P<n>\d{1,3}(?:,\d{3})+|\d{1,18})(?![\d.]*\.\d|\d|[eE][-+]?\d|:\d|[xX]\d|%)"
    r"(?:\s{0,6}/\s{0,6}(?P<total>\d{1,3}(?:,\d{3})+|\d{1,18})(?![\d.]))?\s{0,6}[\])]?",
    re.IGNORECASE,
)
_INNER = re.compile(
    r"\s{0,4}[\[(]\s{0,6}(?P<n>\d{1,12})\s{0,6}/\s{0,6}(?P<total>\d{1,12})\s{0,3}(?:\(\s{0,4}\d{1,3}%\))?\s{0,3}[\])]"
)
_LEADING = re.compile(r"\[?(?P<n>\d{1,12})(?:\][ \t]|:\t)(?=[A-Za-z])")
_AXES = {
    "epoch": "epoch", "epochs": "epoch", "ep": "epoch",
    "episode": "episode", "episodes": "episode", "round": "round", "rounds": "round",
    "generation": "generation", "generations": "generation", "tree": "step", "trees": "step",
}  # fmt: skip
_WITHIN_EPOCH = {"batch", "batches"}
STEP_KEYS = (
    "global_step", "step", "_step", "trainer/global_step", "time/total_timesteps", "total_timesteps", "timesteps",
    "timestep", "num_timesteps", "num_updates", "update", "updates", "n_updates", "iteration", "iter", "iterations",
    "iters", "it", "steps", "train_step", "training_step", "current_step", "global_steps", "current_steps",
    "misc/total_timesteps", "n_iter", "batch", "episode", "episodes", "round", "generation",
    "epoch", "epochs", "ep", "epoch_num", "current_epoch", "cur_epoch", "trainer/epoch",
)  # fmt: skip
"""Fields and columns that count, the best first; compared in lower case."""
_LATE_STEP = ("_num_updates", "/global_step", "_global_step", "/step", "/iteration")
EPOCH_KEYS = frozenset({"epoch", "epochs", "ep", "epoch_num", "current_epoch", "cur_epoch", "trainer/epoch"})


class Counter(NamedTuple):
    """A counter on a line: what it counts, how far it is, of how many, and where its words begin and end."""

    axis: str
    name: str
    n: int
    total: int | None
    start: int
    end: int


def counters(text: str) -> list[Counter]:
    """Return the counters of a line in their order: `Epoch [2][50/1171]` is epoch 2 and step 50 of 1171."""
    found: list[Counter] = []
    if leading := _LEADING.match(text):
        found.append(_counter("step", "leading", leading, leading.start()))
    for match in _COUNTER.finditer(text):
        name = re.sub(r"[ -]", "_", match["name"].lower())
        found.append(_counter(_AXES.get(name, "step"), name, match, match.start()))
        if found[-1].axis == "epoch" and (inner := _INNER.match(text, match.end())):
            found.append(_counter("step", "batch", inner, inner.start()))
        if len(found) == 8:
            break
    return found


def _counter(axis: str, name: str, match: re.Match[str], start: int) -> Counter:
    total = match.groupdict().get("total")
    return Counter(axis, name, _whole(match["n"]), _whole(total) if total else None, start, match.end())


def _whole(digits: str) -> int:
    return int(digits.replace(",", ""))


def step_key(keys: dict[str, str]) -> str | None:
    """Return the key that counts best; `keys` maps lower-case keys to the ones in the object."""
    for wanted in STEP_KEYS:
        if wanted in keys:
            return keys[wanted]
    return next((key for lower, key in keys.items() if lower.endswith(_LATE_STEP)), None)


def axis_of(key: str) -> str:
    """Return the axis that a step key counts."""
    key = key.lower()
    if key in EPOCH_KEYS:
        return "epoch"
    return {"episode": "episode", "episodes": "episode", "round": "round", "generation": "generation"}.get(key, "step")


def running_step(state: State, key: str, epoch: int | None, n: int, total: int | None = None) -> int:
    """Return a step that keeps growing over epochs, for a counter that may begin anew with each.

    `total` is the length of an epoch where the log tells it; where it does not, the last count of the epoch stands in
    for it and the step is a little behind the true one. A counter that runs on over epochs comes back as it is.
    """
    kept = state.setdefault(key, {"epoch": epoch, "n": 0, "base": 0})
    if epoch is not None and kept["epoch"] is not None and epoch != kept["epoch"]:
        if epoch < kept["epoch"]:
            kept["base"] = 0
        elif n <= kept["n"]:
            skipped = epoch - kept["epoch"] - 1 if total else 0
            kept["base"] += (total or kept["n"]) * (1 + skipped)
    kept["epoch"], kept["n"] = epoch, n
    return int(kept["base"]) + n


def whole_step(value: float | None) -> int | None:
    """Return a decoded counter as an int; None for a fraction, a non-finite or no number."""
    if value is None or value != value or abs(value) >= 2**62 or value != int(value):
        return None
    return int(value)

"""Steps: which counter a line names, and how counters that begin anew each epoch become one that does not.

The counter decides a value's axis: values counted in steps and values counted in epochs never share a series.
"""

import re
from typing import NamedTuple

from registry.ingest.records import State

_COUNTER = re.compile(
    r"(?<![\w./%])(?P<name>global[_ -]?step|num_updates|nupdates|(?:total_|num_|env_)?timesteps?|"
    r"(?:(?:train(?:ing)?|env|optimizer|total|num)[_ -])?steps?|"
    r"iter(?:ation)?s?|updates?|batch(?:es)?|epochs?|ep|episodes?|rounds?|generations?|it|trees?|ticks?|trials?)"
    r"(?:\s{0,3}\((?:train|val|test|valid|eval)\))?"
    r"\s{0,3}[:=#]?\s{0,3}[\[(]?\s{0,6}(?P<n>\d{1,3}(?:,\d{3})+|\d{1,18})(?![\d.]*\.\d|\d|[eE][-+]?\d|:\d|[A-Za-z]|%)"
    r"(?:\s{0,6}/\s{0,6}(?P<total>\d{1,3}(?:,\d{3})+|\d{1,18})(?![\d.]))?\s{0,6}[\])]?",
    re.IGNORECASE,
)
_INNER = re.compile(
    r"\s{0,4}[\[(]\s{0,6}(?P<n>\d{1,12})\s{0,6}/\s{0,6}(?P<total>\d{1,12})\s{0,3}(?:\(\s{0,4}\d{1,3}%\))?\s{0,3}[\])]"
)
_LEADING = re.compile(
    r"\s{0,8}(?:\[?(?P<n>\d{1,12})(?:\][ \t]|:\t|\s{1,4}\|\s|\s\|\s[\d.]{1,20}\]\s)\s{0,8}(?=[A-Za-z])|"
    r"(?P<of>\d{1,12})/(?P<total>\d{1,12})(?=(?:\s{0,2}[:,|*]|\s\((?:epoch|\d+%))\s?))"
)
_PAIR = re.compile(
    r"\s{0,8}(?:\[\s{0,4}(?P<epoch>\d{1,9}),\s{1,8}(?P<n>\d{1,12})\]|"
    r"\[(?P<e>\d{1,9})/\d{1,9}\]\s?\[(?P<b>\d{1,12})/(?P<total>\d{1,12})\])(?=[\s:])"
)
_OF_PART = re.compile(r"(?:train|valid|val|test|eval)\s\((?P<n>\d{1,12})/(?P<total>\d{1,12})\)", re.IGNORECASE)
_BEFORE_WORD = re.compile(
    r"(?<![\w./])(?P<n>\d{1,12})\s?/\s{0,8}(?P<total>\d{1,12})\s(?:batches|steps|iterations|iters)\b"
)
_TRAILING = re.compile(r"\[\s{0,8}(?P<n>\d{1,12})\s{0,2}/\s{0,8}(?P<total>\d{1,12})\s?\]\s{0,8}$")
_AXES = {
    "epoch": "epoch", "epochs": "epoch", "ep": "epoch",
    "episode": "episode", "episodes": "episode", "round": "round", "rounds": "round",
    "generation": "generation", "generations": "generation", "tree": "step", "trees": "step",
    "trial": "trial", "trials": "trial",
}  # fmt: skip
STEP_KEYS = (
    "global_step", "step", "_step", "trainer/global_step", "time/total_timesteps", "total_timesteps", "timesteps",
    "timesteps_total", "num_env_steps_sampled_lifetime", "totalenvinteracts", "timestep", "num_timesteps",
    "num_updates",
    "update", "updates", "n_updates", "iteration", "iter", "iterations", "iters", "it", "training_iteration", "steps",
    "train_step", "training_step", "env_step", "env_steps", "optimizer_step", "current_step", "global_steps",
    "current_steps",
    "misc/total_timesteps", "n_iter", "batch", "episode", "episodes", "round", "generation",
    "epoch", "epochs", "ep", "epoch_num", "current_epoch", "cur_epoch", "trainer/epoch",
)  # fmt: skip
"""Fields and columns that count, the best first; compared in lower case."""
_LATE_STEP = ("_num_updates", "/global_step", "_global_step", "/step", "/iteration")
EPOCH_KEYS = frozenset({"epoch", "epochs", "ep", "epoch_num", "current_epoch", "cur_epoch", "trainer/epoch"})


class Counter(NamedTuple):
    """A counter on a line: what it counts, how far it is, of how many, and where its words and its digits stand."""

    axis: str
    name: str
    n: int
    total: int | None
    start: int
    end: int
    digits: tuple[int, int]
    total_digits: tuple[int, int] | None = None


def counters(text: str) -> list[Counter]:
    """Return the counters of a line in their order: `Epoch [2][50/1171]` is epoch 2 and step 50 of 1171."""
    found: list[Counter] = []
    if leading := _LEADING.match(text):
        found.append(_counter("step", "leading", leading, 0, "n" if leading["n"] else "of"))
    elif pair := _PAIR.match(text):
        fine, epoch = ("n", "epoch") if pair["n"] else ("b", "e")
        found.append(Counter("epoch", "epoch", int(pair[epoch]), None, 0, pair.start(fine), pair.span(epoch)))
        found.append(_counter("step", "batch", pair, pair.start(fine), fine))
    elif part := _OF_PART.match(text):
        found.append(_counter("epoch", "epoch", part, part.start("n") - 1))
    for match in _COUNTER.finditer(text):
        name = re.sub(r"[ -]", "_", match["name"].lower())
        found.append(_counter(_AXES.get(name, "step"), name, match, match.start()))
        if found[-1].axis == "epoch" and (inner := _INNER.match(text, match.end())):
            found.append(_counter("step", "batch", inner, inner.start()))
        if len(found) == 8:
            break
    if len(found) == 1 and found[0].axis == "epoch" and (inner := _BEFORE_WORD.search(text, found[0].end)):
        found.append(_counter("step", "batch", inner, inner.start()))
    return found


def trailing_counter(text: str) -> list[Counter]:
    """Return the counter that ends a line (`loss: 2.30  [   64/60000]`), none where it has none."""
    found = _TRAILING.search(text, max(0, len(text) - 60))
    return [_counter("step", "trailing", found, found.start())] if found else []


def _counter(axis: str, name: str, match: re.Match[str], start: int, group: str = "n") -> Counter:
    total = match.groupdict().get("total")
    digits = match.span("total") if total else None
    return Counter(
        axis,
        name,
        _whole(match[group]),
        _whole(total) if total else None,
        start,
        match.end(),
        match.span(group),
        digits,
    )


def _whole(digits: str) -> int:
    return int(digits.replace(",", ""))


def step_key(keys: dict[str, str]) -> str | None:
    """Return the key that counts best; `keys` maps lower-case keys to the ones in the object."""
    best = next((keys[wanted] for wanted in STEP_KEYS if wanted in keys), None)
    if best is None or best.lower() in EPOCH_KEYS:
        return next((key for lower, key in keys.items() if lower.endswith(_LATE_STEP)), best)
    return best


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

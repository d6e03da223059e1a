"""One decoded object (a JSON line, a dict literal, a row, a list element) -> values with a step. Pure."""

from typing import Any

from registry.ingest import numbers
from registry.ingest.counters import EPOCH_KEYS, STEP_KEYS, axis_of, running_step, step_key, whole_step
from registry.ingest.prefixes import unix_seconds
from registry.ingest.records import Inputs, Record, State, Total, Values
from registry.ingest.templates import ObjectLesson

MODE_KEYS = frozenset({"mode", "split", "phase", "stage", "set", "subset", "partition", "dataset_split"})
EVAL_MODES = {
    "val": "val", "valid": "val", "validation": "val", "validate": "val", "dev": "val",
    "eval": "eval", "evaluation": "eval", "evaluate": "eval", "test": "test", "testing": "test",
}  # fmt: skip
TRAIN_MODES = frozenset({"train", "training", "trn"})
_TIMES = frozenset({"timestamp", "_timestamp", "wall_time", "created_at", "walltime"})
_CONSTANTS = frozenset({"n_parameters", "num_parameters", "n_params", "num_params", "total_params", "trainable_params"})
_TOTALS = {"total_steps": "step", "max_steps": "step", "total_iters": "step", "max_iters": "step",
           "num_epochs": "epoch", "max_epochs": "epoch", "total_epochs": "epoch"}  # fmt: skip
NEVER = frozenset({
    "eta", "eta_seconds", "etas", "eta_sec", "percentage", "progress", "remaining_time", "elapsed_time", "elapsed",
    "eta (s)", "pid", "rank", "local_rank", "world_size", "gpu", "gpu_id", "lineno", "line", "seed", "time_ms", "ts",
    "_runtime", "relative_time", "version", "v_num", "port", "unnamed: 0", "time_remaining", "remaining",
    "num_workers", "size", "row_id", "hours", "minutes",
})  # fmt: skip
"""Fields and names that are numbers but never metrics; compared in lower case."""
MAX_DEPTH = 7
_WITHIN_EPOCH = frozenset({"iter", "iteration", "batch", "it"})
_WRAPPERS = frozenset({"fields", "data", "payload", "extra", "attributes"})
_NAME_KEYS = ("metric", "name", "tag", "key", "metric_name")
_SPREAD = frozenset({"mean", "std", "num", "count", "n", "min", "max", "total", "median", "avg"})
_SETTINGS = frozenset({
    "config", "configs", "hparams", "hyperparameters", "args", "arguments", "env_info", "hist_stats", "sampler_results",
    "metadata", "environment", "git",
})  # fmt: skip
"""Parts of an object that hold no metrics."""
MAX_FIELDS = 5000


def eval_prefix(mode: str) -> str:
    """Return what names get before them on a line of this mode: `val/`, `eval/`, `test/`, nothing for training."""
    word = mode.strip().lower()
    return f"{EVAL_MODES[word]}/" if word in EVAL_MODES else ""


def qualified(prefix: str, name: str) -> str:
    """Return `prefix` + `name`, unless the name says already what the prefix would."""
    if not prefix:
        return name
    lower, word = name.lower(), prefix[:-1]
    return (
        name if lower.startswith((word, "valid" if word == "val" else word)) or f"/{word}" in lower else prefix + name
    )


def _by_name(found: dict[Any, Any]) -> dict[Any, Any]:
    """`{"name": "loss", "value": 0.5, "step": 3}` is `{"loss": 0.5, "step": 3}`."""
    if "value" not in found or len(found) > 12:
        return found
    key = next((key for key in _NAME_KEYS if isinstance(found.get(key), str)), None)
    if key is None:
        return found
    return {found[key]: found["value"], **{k: v for k, v in found.items() if k not in (key, "value")}}


def flatten(found: dict[Any, Any], prefix: str = "", depth: int = 0) -> dict[str, Any]:
    """Return nested dicts as one, keys joined by `/`; deeper than MAX_DEPTH they are left out."""
    flat: dict[str, Any] = {}
    for key, value in found.items():
        name = f"{prefix}{key}"
        if isinstance(value, dict):
            if "mean" in value and value.keys() <= _SPREAD:
                flat[name] = value["mean"]
            elif depth < MAX_DEPTH and str(key).lower() not in _SETTINGS:
                flat.update(flatten(value, prefix if key in _WRAPPERS else f"{name}/", depth + 1))
        else:
            flat[name] = value
        if len(flat) >= MAX_FIELDS:
            break
    return flat


def lesson_of(found: dict[Any, Any], values: Values, shape: str, source: str) -> ObjectLesson | None:
    """Return which key of a flat object became which metric, None where that is not plain to see."""
    if values.step is None or any(isinstance(value, dict | list) for value in found.values()) or "value" in found:
        return None
    keys = {str(key).lower(): key for key in found}
    words = {key: value for key, value in found.items() if isinstance(value, str)}
    if any(key.lower() not in MODE_KEYS for key in words):
        return None
    chosen = step_key(keys)
    if chosen is not None and chosen.lower() in _WITHIN_EPOCH and EPOCH_KEYS & keys.keys():
        return None
    prefix = next((eval_prefix(word) for word in words.values()), "")
    names = [(key, qualified(prefix, key)) for key in found if qualified(prefix, key) in values.values]
    as_read = {name: float(found[key]) for key, name in names if numbers.as_metric(found[key]) is not None}
    if chosen is None or found[chosen] != values.step or as_read != values.values or len(names) != len(as_read):
        return None
    return ObjectLesson(
        chosen, next((keys[key] for key in _TIMES if key in keys), None), names, values.axis, shape, words, source
    )


def object_values(
    state: State, found: dict[Any, Any], offset: int, at: float | None = None, *, epoch_counts: bool = True
) -> tuple[Values, list[Record]]:
    """Return the values of one object and what else it says.

    `epoch_counts`: a whole `epoch` may serve as the step; where it may not (or is a fraction) it stays a value, and
    the step is None if nothing else counts.
    """
    flat = flatten(_by_name(found))
    keys = {str(key).lower(): key for key in flat}
    prefix, mode_key = "", None
    for lower in MODE_KEYS & keys.keys():
        word = str(flat[keys[lower]]).lower()
        if word in EVAL_MODES or word in TRAIN_MODES:
            prefix, mode_key = eval_prefix(word), keys[lower]
    chosen, step = _step(state, flat, keys, is_eval=bool(prefix), epoch_counts=epoch_counts)
    epoch_key = next((keys[key] for key in EPOCH_KEYS if key in keys), None)
    time_key = next((keys[key] for key in _TIMES if key in keys), None)
    at = (unix_seconds(numbers.as_metric(flat[time_key])) if time_key is not None else None) or at
    skipped = {chosen, mode_key} | ({epoch_key} if step is not None else set())
    values: dict[str, float] = {}
    others: list[Record] = []
    for key, value in flat.items():
        number = numbers.as_metric(value)
        lower = str(key).lower()
        if number is None or key in skipped or lower in NEVER or lower in _TIMES:
            continue
        if lower in _CONSTANTS:
            others.append(Inputs({str(key): value}))
        elif lower in _TOTALS:
            others.append(
                Total(int(number), _TOTALS[lower]) if whole_step(number) is not None else Inputs({key: value})
            )
        elif lower not in STEP_KEYS or step is None:
            values[qualified(prefix, str(key))] = number
    axis = axis_of(str(chosen)) if chosen is not None and step is not None else "step"
    return Values(offset, values, step, at, axis), others


def _step(
    state: State, flat: dict[str, Any], keys: dict[str, str], *, is_eval: bool, epoch_counts: bool
) -> tuple[str | None, int | None]:
    epoch_key = next((keys[key] for key in EPOCH_KEYS if key in keys), None)
    epoch = whole_step(numbers.as_metric(flat[epoch_key])) if epoch_key else None
    chosen = step_key(keys)
    if chosen is None or chosen == epoch_key:
        return (epoch_key, epoch) if epoch_counts else (None, None)
    if is_eval and epoch is not None and chosen.lower() in ("iter", "iteration", "batch"):
        return epoch_key, epoch
    n = whole_step(numbers.as_metric(flat[chosen]))
    if n is not None and epoch is not None and chosen.lower() in _WITHIN_EPOCH:
        return chosen, running_step(state, f"object:{chosen}", epoch, n)
    return chosen, n

"""Hugging Face `trainer_state.json`: the whole history of a run, written anew at each save."""

from typing import Any

from registry.ingest.formats.documents import DocumentFormat
from registry.ingest.numbers import as_metric
from registry.ingest.records import Ended, Inputs, Pointer, Record, Total, Values

_PARAMS = ("max_steps", "num_train_epochs", "train_batch_size", "logging_steps", "eval_steps", "save_steps")
_COUNTS = frozenset({"step", "epoch"})


def records(_name: str, document: Any) -> list[Record] | None:
    """Return one record for each entry of `log_history`, the parameters, and whether it came to its end."""
    if not isinstance(document, dict) or not isinstance(document.get("log_history"), list):
        return None
    found: list[Record] = []
    for entry in document["log_history"]:
        if not isinstance(entry, dict):
            continue
        values = {
            str(key): number
            for key, value in entry.items()
            if key not in _COUNTS and (number := as_metric(value)) is not None
        }
        step = entry.get("step")
        if values:
            found.append(Values(0, values, step if isinstance(step, int) else None))
    found.append(Inputs({key: document[key] for key in _PARAMS if document.get(key) is not None}))
    if isinstance(document.get("best_model_checkpoint"), str):
        best_step = document.get("best_global_step")
        found.append(
            Pointer("best", document["best_model_checkpoint"], best_step if isinstance(best_step, int) else None)
        )
    found += _end(document)
    return found


def _end(document: dict[str, Any]) -> list[Record]:
    done, most = document.get("global_step"), document.get("max_steps")
    if not isinstance(done, int) or not isinstance(most, int) or most <= 0:
        return []
    evidence = f"global_step {done} = max_steps {most}"
    return [Total(most), *([Ended(0, "finished", evidence)] if done >= most else [])]


FORMAT = DocumentFormat(
    name="hf trainer_state",
    records=records,
    files="trainer_state.json",
    example='{"log_history": [{"step": 10, "loss": 0.99, "epoch": 0.5}, …], "global_step": 100}',
    step="`step`",
    end="global_step = max_steps",
)

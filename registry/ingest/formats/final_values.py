"""Documents of last values: `all_results.json`, DVCLive's `metrics.json`, `wandb-summary.json`, `done.json`.

They only fill in names that no other file of the run has as a series; one a step (`metrics_epoch_3.json`) is a point.
"""

import re
from typing import Any

from registry.ingest import gate
from registry.ingest.counters import EPOCH_KEYS, STEP_KEYS, whole_step
from registry.ingest.formats.documents import DocumentFormat
from registry.ingest.numbers import as_metric
from registry.ingest.objects import NEVER, flatten
from registry.ingest.records import Ended, Inputs, Record, Values

_RESULTS = re.compile(
    r"(?:(?:all|train|eval|test|predict|final|best|val|valid|summary)?[_-]?(?:results?|metrics|scores?|summary)|wandb-summary"
    r"|(?:eval|test|train|best|final))(?:[_-](?P<axis>epoch|step|iter)[_-]?(?P<n>\d{1,12}))?",
    re.IGNORECASE,
)
_DONE = re.compile(r"(?:done|finished|complete|completed|success|status|final_status)", re.IGNORECASE)
_WORDS = {
    "completed": "finished", "complete": "finished", "finished": "finished", "done": "finished", "success": "finished",
    "succeeded": "finished", "failed": "failed", "error": "failed", "crashed": "failed", "killed": "killed",
    "interrupted": "killed", "cancelled": "killed", "canceled": "killed", "aborted": "killed", "running": "running",
}  # fmt: skip
MAX_FIELDS = 500


def records(name: str, document: Any) -> list[Record] | None:
    """Return the last values (axis `final`) and the status word of a document whose name says that it holds them."""
    stem = name.rsplit(".", 1)[0]
    named = _RESULTS.fullmatch(stem)
    if not isinstance(document, dict) or not (named or _DONE.fullmatch(stem)):
        return None
    flat = flatten(document)
    found: list[Record] = []
    word = str(flat.get("status", flat.get("state", ""))).lower()
    if word in _WORDS:
        found.append(Ended(0, _WORDS[word], f"{name}: status {word}", binding=True))  # type: ignore[arg-type]
    elif _DONE.fullmatch(stem) and stem.lower() not in ("status", "final_status"):
        found.append(Ended(0, "finished", f"{name} is there", binding=True))
    step = next((whole_step(as_metric(flat[key])) for key in STEP_KEYS if key in flat and key not in EPOCH_KEYS), None)
    values = {
        key: number
        for key, value in flat.items()
        if (number := as_metric(value)) is not None and not isinstance(value, bool) and _is_metric(key, stem)
    }
    if values and len(values) <= MAX_FIELDS:
        if named and named["n"]:
            found.append(Values(0, values, int(named["n"]), axis="epoch" if named["axis"] == "epoch" else "step"))
        else:
            found.append(Values(0, values, step, axis="final"))
    if isinstance(flat.get("run_name"), str):
        found.append(Inputs({"run_name": flat["run_name"]}))
    return found or None


def _is_metric(key: str, stem: str) -> bool:
    lower = key.lower().rsplit("/", 1)[-1]
    if lower in STEP_KEYS or lower in NEVER or lower.startswith("_"):
        return False
    return not _DONE.fullmatch(stem) or (gate.is_strong(key) and lower not in ("lr", "learning_rate"))


FORMAT = DocumentFormat(
    name="last values",
    records=records,
    files="all_results.json, metrics.json, metrics_epoch_N.json, wandb-summary.json, done.json",
    example='{"train_loss": 15.3, "train_runtime": 952.6, "epoch": 80.0}',
    step="`step` where the document names one",
    end="`status`; a file `done.json`",
)

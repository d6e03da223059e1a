"""MLPerf's `:::MLLOG {…}` lines: points in time are parameters, or metrics where their metadata counts."""

import re
from typing import Any

from registry.ingest import jsontext
from registry.ingest.counters import whole_step
from registry.ingest.grammar import LineFormat
from registry.ingest.numbers import as_metric
from registry.ingest.records import Ended, Identity, Inputs, Line, Record, State, Values

_MARK = ":::MLLOG"
_COUNTS = ("step", "step_num", "global_step", "epoch_num", "samples_count", "epoch_count", "first_epoch_num")
_BORDERS = re.compile(r".*_(?:start|stop|begin|end)|cache_clear")
_STATUS = {"success": "finished", "aborted": "killed", "abort": "killed"}


def feed(state: State, line: Line) -> list[Record] | None:
    """Return what one MLLOG line says; a key stands for two series where `metadata.metric` tells them apart."""
    start = line.text.find(_MARK)
    if start < 0:
        return None
    entry = _decode(line.text[start + len(_MARK) :].strip())
    if not isinstance(entry, dict) or "key" not in entry:
        return None
    key, value = str(entry["key"]), entry.get("value")
    said = entry.get("metadata")
    metadata: dict[str, Any] = said if isinstance(said, dict) else {}
    at = entry["time_ms"] / 1000.0 if isinstance(entry.get("time_ms"), int | float) else line.at
    if key == "run_start":
        return [Identity(started_at=at)]
    if key == "run_stop":
        word = str(metadata.get("status", ""))
        status = _STATUS.get(word, "failed")
        return [Ended(line.offset, status, f"run_stop: status {word}", binding=True)]  # type: ignore[arg-type]
    if _BORDERS.fullmatch(key) or entry.get("event_type") not in ("POINT_IN_TIME", None):
        return []
    return _point(state, line, key, value, metadata, at)


def _decode(text: str) -> Any:
    try:
        return jsontext.loads(text)
    except ValueError:
        return None


def _point(state: State, line: Line, key: str, value: Any, metadata: dict[str, Any], at: float | None) -> list[Record]:
    counted = {name: number for name in _COUNTS if (number := as_metric(metadata.get(name))) is not None}
    if not counted:
        return [Inputs({key: value})] if value is not None and not isinstance(value, dict) else []
    found = value if isinstance(value, dict) else {key: value}
    values = {
        f"{name}/{metadata['metric']}" if metadata.get("metric") else str(name): number
        for name, one in found.items()
        if (number := as_metric(one)) is not None and not isinstance(one, bool)
    }
    if not values:
        return []
    axes = state.setdefault("mllog", {})
    chosen = axes.get(key)
    if chosen not in counted:
        chosen = next((name for name in counted if whole_step(counted[name]) is not None), next(iter(counted)))
        axes.setdefault(key, chosen)
    axis = "epoch" if "epoch" in chosen else "samples" if "samples" in chosen else "step"
    return [Values(line.offset, values, whole_step(counted[chosen]), at, axis)]


FORMAT = LineFormat(
    name="mllog",
    hints=(_MARK,),
    feed=feed,
    files="result_*.txt",
    example=':::MLLOG {"time_ms": 1715328078354, "event_type": "POINT_IN_TIME", "key": "eval_accuracy", '
    '"value": 0.27, "metadata": {"epoch_num": 3}}',
    step="metadata: step, epoch_num or samples_count",
    end="`run_stop`: status success or aborted",
)

"""JSON: one document with every run (a value that is not finite is null), or one JSON object a line (it is a word)."""

import json
import math
from collections.abc import Iterable, Iterator

from registry import clock, events
from registry.exporters.rows import ExportedRun, ExportedSeries


def to_json(runs: Iterable[ExportedRun]) -> Iterator[str]:
    """Yield the parts of `{"runs": [{id, name, experiment, status, params, metrics: {name: [[step, value], …]}}]}`."""
    yield '{"runs": ['
    for number, run in enumerate(runs):
        head = {
            "id": run.row.id,
            "name": run.row.name,
            "experiment": run.experiment,
            "status": run.row.status,
            "evidence": run.row.evidence,
            "started_at": clock.iso(run.row.started_at),
            "ended_at": clock.iso(run.row.ended_at),
            "foreign_id": run.row.foreign_id,
            "tags": run.tags,
            "params": run.params,
        }
        yield ("," if number else "") + "\n" + json.dumps(head, ensure_ascii=False)[:-1] + ', "metrics": {'
        for place, series in enumerate(run.series):
            yield ("," if place else "") + "\n  " + json.dumps(series.name, ensure_ascii=False) + ": " + _points(series)
        yield "}}"
    yield "\n]}\n"


def _points(series: ExportedSeries) -> str:
    return json.dumps([[point.step, point.value if math.isfinite(point.value) else None] for point in series.points()])


def to_jsonl(runs: Iterable[ExportedRun]) -> Iterator[str]:
    """Yield the run's own line, then one line a point: `{"run", "metric", "step", "value", "at", "segment"}`."""
    for run in runs:
        yield _line({"run": run.row.id, "name": run.row.name, "experiment": run.experiment, "status": run.row.status,
                     "params": run.params, "tags": run.tags})  # fmt: skip
        for series in run.series:
            for point in series.points():
                yield _line({"run": run.row.id, "metric": series.name, "step": point.step,
                             "value": events.wire_number(point.value), "at": clock.iso(point.at),
                             "segment": point.segment})  # fmt: skip


def _line(fields: dict[str, object]) -> str:
    return json.dumps(fields, ensure_ascii=False) + "\n"

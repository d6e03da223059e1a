"""trackio's SQLite store, one database a project. It keeps no status, so an imported run's is unknown."""

import json
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from registry import events
from registry.importers import ForeignRun
from registry.importers.stores import Store, is_sqlite, open_store
from registry.ingest.numbers import as_metric
from registry.ingest.objects import flatten

_WORDS = frozenset({"NaN", "Infinity", "-Infinity"})


class Trackio:
    """A trackio database file."""

    name = "trackio database"

    def recognises(self, source: Path) -> bool:
        """Return whether `source` is a SQLite file with trackio's tables."""
        if not is_sqlite(source):
            return False
        with open_store(source) as store:
            return {"run_name", "step", "metrics"} <= store.tables.get("metrics", set())

    def read(self, source: Path) -> Iterator[ForeignRun]:
        """Yield every run of the project. Raises UsageError for a broken database."""
        with open_store(source) as store:
            runs = store.rows("metrics", ["run_name", "run_id"], "GROUP BY 1, 2 ORDER BY min(id)")
            for name, run_id in list(runs):
                yield _foreign_run(store, source.stem, name, run_id)


def _foreign_run(store: Store, project: str, name: str, run_id: str | None) -> ForeignRun:
    of_run, values = ("WHERE run_id = ?", (run_id,)) if run_id else ("WHERE run_name = ?", (name,))
    points = list(_metrics(store, of_run, values))
    config = next(store.rows("configs", ["config"], of_run, values), (None,))[0]
    known = json.loads(config) if config else {}
    created_at = _time(known.get("_Created"))
    at = created_at or (points[0].at if points else 0.0)
    params = {key: value for key, value in known.items() if not key.startswith("_")}
    start = events.Start(at=at, run="", name=name, experiment=project, params=params)
    notes = [
        events.Note(at=_time(stamp) or at, level=_level(level), text=f"{title}: {words}" if words else title, step=step)
        for stamp, title, words, level, step in store.rows(
            "alerts", ["timestamp", "title", "text", "level", "step"], of_run, values
        )
    ]
    end = events.End(at=points[-1].at if points else at, status="unknown", evidence="trackio keeps no status")
    return ForeignRun(f"trackio:{project}/{run_id or name}", [start, *points, *notes, end])


def _metrics(store: Store, of_run: str, values: tuple[Any, ...]) -> Iterator[events.Metrics]:
    for stamp, step, blob in store.rows("metrics", ["timestamp", "step", "metrics"], f"{of_run} ORDER BY id", values):
        found: dict[str, events.Number] = {}
        for key, value in flatten(json.loads(blob)).items():
            if isinstance(value, str) and value in _WORDS:
                found[key] = value
            elif (number := as_metric(value)) is not None and not isinstance(value, bool):
                found[key] = events.wire_number(number)
        if found:
            yield events.Metrics(at=_time(stamp) or 0.0, v=found, s=step)


def _time(stamp: object) -> float | None:
    """Return unix seconds of an ISO time; without a zone it is UTC."""
    if not isinstance(stamp, str):
        return None
    try:
        at = datetime.fromisoformat(stamp)
    except ValueError:
        return None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


def _level(word: str | None) -> str:
    return {"error": "error", "warn": "warning", "warning": "warning"}.get(str(word).lower(), "info")

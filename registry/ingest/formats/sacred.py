"""Sacred's FileStorageObserver: `metrics.json`, `run.json` and `config.json` of one run in one folder."""

from datetime import UTC, datetime
from typing import Any

from registry.ingest.formats.documents import DocumentFormat
from registry.ingest.numbers import as_metric
from registry.ingest.records import Ended, Identity, Pointer, Record, Values

_STATUS = {
    "COMPLETED": "finished",
    "FAILED": "failed",
    "INTERRUPTED": "killed",
    "TIMEOUT": "killed",
    "RUNNING": "running",
}


def _metrics(_name: str, document: Any) -> list[Record] | None:
    """Return the series of a `metrics.json`: `{name: {"steps": […], "values": […], "timestamps": […]}}`."""
    if not isinstance(document, dict) or not document:
        return None
    if not all(isinstance(one, dict) and {"steps", "values"} <= one.keys() for one in document.values()):
        return None
    found: list[Record] = []
    for name, series in document.items():
        times = series.get("timestamps") or [None] * len(series["values"])
        for step, value, at in zip(series["steps"], series["values"], times, strict=False):
            number = as_metric(value)
            if number is not None:
                found.append(Values(0, {str(name): number}, step if isinstance(step, int) else None, unix_time(at)))
    return found


def _run(_name: str, document: Any) -> list[Record] | None:
    """Return what a `run.json` says of the run's name, start and end."""
    if not isinstance(document, dict) or not {"status", "start_time", "experiment"} <= document.keys():
        return None
    experiment = document["experiment"] if isinstance(document["experiment"], dict) else {}
    found: list[Record] = [
        Identity(
            experiment=experiment.get("name"),
            started_at=unix_time(document.get("start_time")),
            command=[str(experiment["mainfile"])] if experiment.get("mainfile") else [],
            host=(document.get("host") or {}).get("hostname"),
        )
    ]
    word = str(document["status"])
    status = _STATUS.get(word, "failed")
    evidence = f"run.json: status {word}"
    if document.get("heartbeat"):
        evidence += f", heartbeat {document['heartbeat']}"
    found.append(Ended(0, status, evidence, binding=True))  # type: ignore[arg-type]
    for artifact in document.get("artifacts") or []:
        place = artifact.get("name") if isinstance(artifact, dict) else artifact
        if isinstance(place, str):
            found.append(Pointer("report", place))
    result = as_metric(document.get("result"))
    if result is not None:
        found.append(Values(0, {"result": result}, axis="final"))
    return found


def unix_time(stamp: object) -> float | None:
    """Return unix seconds of Sacred's ISO times, which are UTC without saying so."""
    if not isinstance(stamp, str):
        return None
    try:
        at = datetime.fromisoformat(stamp)
    except ValueError:
        return None
    return (at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp()


METRICS = DocumentFormat(
    name="sacred metrics",
    records=_metrics,
    files="metrics.json",
    example='{"loss": {"steps": [0, 1], "values": [0.5, NaN], "timestamps": […]}}',
    step="`steps`",
)
RUN = DocumentFormat(
    name="sacred run",
    records=_run,
    files="run.json",
    example='{"status": "COMPLETED", "heartbeat": "…", "experiment": {"name": "…"}}',
    step="-",
    end="`status`",
)

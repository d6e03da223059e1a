"""MLflow's file store: one file a metric, one a parameter, one a tag, and `meta.yaml`."""

import re
from typing import Any

import yaml

from registry.ingest import decode
from registry.ingest.fileformat import FileFormat
from registry.ingest.numbers import to_number
from registry.ingest.records import Ended, Identity, Inputs, Pointer, Record, Remark, State, Values

_STATUS = {
    "1": ("running", "RUNNING"), "2": ("running", "SCHEDULED"), "3": ("finished", "FINISHED"),
    "4": ("failed", "FAILED"), "5": ("killed", "KILLED"),
}  # fmt: skip
_METRIC_LINE = re.compile(r"(\d{1,19}) (\S{1,40})(?: (-?\d{1,19}))?(?: .{0,2000})?")


def _read_metric(state: State, buffer: bytes, base: int, *, last: bool) -> tuple[list[Record], int]:
    """Read whole lines `timestamp_ms value step [dataset digest]`; an unterminated last line is never a value."""
    lines, consumed = decode.take_lines(buffer, base)
    records: list[Record] = []
    for offset, line in lines:
        found = _METRIC_LINE.fullmatch(line.strip())
        number = to_number(found[2]) if found else None
        if found is None or number is None:
            state["n_missed"] = state.get("n_missed", 0) + 1
            continue
        step = int(found[3]) if found[3] is not None else None
        records.append(Values(offset, {state["metric"]: number}, step, int(found[1]) / 1000.0))
    return records, consumed


def _read_param(state: State, buffer: bytes, base: int, *, last: bool) -> tuple[list[Record], int]:
    return [Inputs({state["metric"]: buffer.decode("utf-8", "replace")})], len(buffer)


def _read_tag(state: State, buffer: bytes, base: int, *, last: bool) -> tuple[list[Record], int]:
    text, key = buffer.decode("utf-8", "replace").strip(), state["metric"]
    if key == "mlflow.runName":
        return [Identity(name=text)], len(buffer)
    if key == "mlflow.source.git.commit":
        return [Identity(git={"commit": text})], len(buffer)
    if key == "mlflow.note.content":
        return [Remark(text[:2000])], len(buffer)
    return ([] if key.startswith("mlflow.") else [Inputs({f"tags.{key}": text})]), len(buffer)


def _read_meta(state: State, buffer: bytes, base: int, *, last: bool) -> tuple[list[Record], int]:
    """Read a run's `meta.yaml`: its name, times and status."""
    try:
        meta = yaml.safe_load(buffer)
    except yaml.YAMLError:
        return [], 0
    return (meta_records(meta), len(buffer)) if isinstance(meta, dict) else ([], 0)


def meta_records(meta: dict[str, Any]) -> list[Record]:
    """Return what a run's `meta.yaml` says."""
    started_at = meta.get("start_time")
    records: list[Record] = [
        Identity(
            name=str(meta["run_name"]) if meta.get("run_name") else None,
            started_at=started_at / 1000.0 if isinstance(started_at, int) else None,
        )
    ]
    if meta.get("artifact_uri"):
        records.append(Pointer("report", str(meta["artifact_uri"])))
    status = _STATUS.get(str(meta.get("status")))
    if status is not None:
        records.append(Ended(0, status[0], f"meta.yaml: status {status[1]}", binding=True))  # type: ignore[arg-type]
    return records


METRIC = FileFormat(
    name="mlflow metric",
    version=1,
    read=_read_metric,
    torn_tail=False,
    files="mlruns/<experiment>/<run>/metrics/**",
    example="1707749175791 0.00065 0",
    step="third field",
    end="`meta.yaml`: status",
)
PARAM = FileFormat(
    name="mlflow param", version=1, read=_read_param, whole=True, files="…/params/*", example="0.01", step="-"
)
TAG = FileFormat(name="mlflow tag", version=1, read=_read_tag, whole=True, files="…/tags/*", example="my run", step="-")
META = FileFormat(
    name="mlflow meta",
    version=1,
    read=_read_meta,
    whole=True,
    files="…/meta.yaml",
    example="status: 3",
    step="-",
    end="1 running, 3 finished, 4 failed, 5 killed",
)

"""TensorBoard event files: one folder a run, its scalars (float32, as TensorBoard has them) and hyperparameters."""

import json
import struct
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from registry.exporters.names import folder_name
from registry.exporters.rows import ExportedRun
from registry.ingest.tfrecords import frame

_HPARAMS_STATUS = {"finished": 1, "failed": 2, "killed": 2, "crashed": 2}
FLOAT32_MAX = 3.4028234663852886e38


def to_tfevents(runs: Iterable[ExportedRun], folder: Path) -> list[Path]:
    """Write each run into a folder of its own below `folder`; returns the files."""
    written = []
    for run in runs:
        place = folder / folder_name(run)
        place.mkdir(parents=True, exist_ok=True)
        path = place / f"events.out.tfevents.{int(run.row.started_at or 0):010}.registry.{run.row.id}.0"
        with open(path, "wb") as file:
            for event in _events(run):
                file.write(frame(event))
        written.append(path)
    return written


def _events(run: ExportedRun) -> Iterator[bytes]:
    started_at = run.row.started_at or 0.0
    yield _event(started_at, 0, _field(3, b"brain.Event:2"))
    if run.params:
        yield _event(started_at, 0, _field(5, _session_start(run)))
    for series in run.series:
        for place, point in enumerate(series.points()):
            step = place if point.step is None else point.step
            value = max(-FLOAT32_MAX, min(FLOAT32_MAX, point.value)) if abs(point.value) < float("inf") else point.value
            scalar = _field(1, series.name.encode()) + _key(2, 5) + struct.pack("<f", value)
            yield _event(point.at or started_at, step, _field(5, _field(1, scalar)))
    if run.params:
        status = _HPARAMS_STATUS.get(run.row.status, 0)
        end = _field(4, _key(1, 0) + _varint(status) + _double(2, run.row.ended_at or started_at))
        yield _event(run.row.ended_at or started_at, 0, _field(5, _hparams("_hparams_/session_end_info", end)))


def _session_start(run: ExportedRun) -> bytes:
    """Return the summary that tells TensorBoard the run's hyperparameters."""
    entries = b""
    for key, value in run.params.items():
        entries += _field(1, _field(1, key.encode()) + _field(2, _param(value)))
    name = _field(4, run.row.name.encode())
    return _hparams("_hparams_/session_start_info", _field(3, entries + name + _double(5, run.row.started_at or 0.0)))


def _param(value: Any) -> bytes:
    """Return a google.protobuf.Value: truth, number, or text for everything else."""
    if isinstance(value, bool):
        return _key(4, 0) + _varint(int(value))
    if isinstance(value, int | float):
        return _double(2, float(value))
    return _field(3, (value if isinstance(value, str) else json.dumps(value)).encode())


def _hparams(tag: str, content: bytes) -> bytes:
    plugin = _field(1, b"hparams") + _field(2, content)
    return _field(1, _field(1, tag.encode()) + _field(9, _field(1, plugin)))


def _event(at: float, step: int, body: bytes) -> bytes:
    return _double(1, at) + _key(2, 0) + _varint(step & ((1 << 64) - 1)) + body


def _key(number: int, wire: int) -> bytes:
    return _varint(number << 3 | wire)


def _field(number: int, content: bytes) -> bytes:
    return _key(number, 2) + _varint(len(content)) + content


def _double(number: int, value: float) -> bytes:
    return _key(number, 1) + struct.pack("<d", value)


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)

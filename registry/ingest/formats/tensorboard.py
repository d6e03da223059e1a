"""TensorBoard event files: scalars (plain and as tensors) and hyperparameters; read on while they grow."""

import struct
from typing import Any

from registry.ingest import tfrecords
from registry.ingest.fileformat import FileFormat
from registry.ingest.protobuf import as_double, as_float, as_int64, as_message, as_text, fields
from registry.ingest.records import Inputs, Record, Remark, State, Values

_TENSOR_STRUCT = {1: "<f", 2: "<d", 3: "<i", 9: "<q"}
_FLOAT, _DOUBLE, _INT32, _INT64 = 1, 2, 3, 9
_PLACEHOLDER = ("hp_metric", -1.0)
"""Lightning writes this tag with this value where nothing was measured."""


def read(state: State, buffer: bytes, base: int, *, last: bool) -> tuple[list[Record], int]:
    """Read the whole records of `buffer`; a record that is damaged is passed over and told of."""
    found, consumed, n_damaged = tfrecords.take_records(buffer)
    records: list[Record] = []
    for position, data in found:
        try:
            records += _event(data, base + position)
        except (ValueError, struct.error):
            n_damaged += len(data)
    if n_damaged and not state.get("damaged"):
        state["damaged"] = True
        records.append(Remark("some bytes are damaged and were passed over", "warning"))
    return records, consumed


def _event(data: bytes, offset: int) -> list[Record]:
    at, step, summary = None, 0, None
    for number, _wire, value in fields(data):
        if number == 1:
            at = as_double(value)
        elif number == 2:
            step = as_int64(value)
        elif number == 5:
            summary = as_message(value)
    if summary is None:
        return []
    values: dict[str, float] = {}
    records: list[Record] = []
    for number, _wire, value in fields(summary):
        if number == 1:
            tag, scalar, params = _value(as_message(value))
            if params:
                records.append(Inputs(params))
            elif scalar is not None and (tag, scalar) != _PLACEHOLDER:
                values[tag] = scalar
    return [*records, Values(offset, values, step, at)] if values else records


def _value(data: bytes) -> tuple[str, float | None, dict[str, Any]]:
    """Return tag, scalar (None for an image, a histogram, a text) and hyperparameters of one summary value."""
    tag, scalar, plugin, content = "", None, "", b""
    tensor = None
    for number, wire, value in fields(data):
        if number == 1:
            tag = as_text(value)
        elif number == 2 and wire == 5:
            scalar = as_float(value)
        elif number == 8:
            tensor = as_message(value)
        elif number == 9:
            plugin, content = _plugin(as_message(value))
    if plugin == "hparams":
        return tag, None, _hparams(content)
    if scalar is None and tensor is not None and plugin in ("", "scalars"):
        scalar = _scalar(tensor)
    return tag, scalar, {}


def _plugin(metadata: bytes) -> tuple[str, bytes]:
    for number, _wire, value in fields(metadata):
        if number == 1:
            inner = {part: content for part, _w, content in fields(as_message(value))}
            return as_text(inner.get(1, b"")), as_message(inner.get(2, b""))
    return "", b""


def _scalar(tensor: bytes) -> float | None:
    """Return the number of a tensor that holds just one."""
    dtype, content, listed = 0, b"", None
    for number, wire, value in fields(tensor):
        if number == 1:
            dtype = as_int64(value)
        elif number == 2 and any(_dimension(dim) != 1 for n, _w, dim in fields(as_message(value)) if n == 2):
            return None
        elif number == 4:
            content = as_message(value)
        elif number in (5, 6, 7, 10):
            listed = _listed(number, wire, value)
    shape = _TENSOR_STRUCT.get(dtype)
    if content and shape and len(content) == struct.calcsize(shape):
        return float(struct.unpack(shape, content)[0])
    return listed


def _dimension(dim: int | bytes) -> int:
    return next((as_int64(value) for number, _wire, value in fields(as_message(dim)) if number == 1), 0)


def _listed(number: int, wire: int, value: int | bytes) -> float | None:
    """Return the first number of float_val, double_val, int_val or int64_val, packed or not."""
    if wire == 0:
        return float(as_int64(value))
    data = as_message(value)
    if number == 5 and len(data) == 4:
        return as_float(data)
    if number == 6 and len(data) == 8:
        return as_double(data)
    return float(data[0]) if number in (7, 10) and len(data) == 1 else None


def _hparams(content: bytes) -> dict[str, Any]:
    """Return the hyperparameters of a session start (HParamsPluginData field 3, map field 1)."""
    found: dict[str, Any] = {}
    for number, _wire, value in fields(content):
        if number == 3:
            for inner, _w, entry in fields(as_message(value)):
                if inner == 1:
                    pair = {part: content for part, _w, content in fields(as_message(entry))}
                    found[as_text(pair.get(1, b""))] = _hparam(as_message(pair.get(2, b"")))
    return found


def _hparam(data: bytes) -> Any:
    """Return a google.protobuf.Value: number (2), text (3) or truth (4)."""
    for number, _wire, value in fields(data):
        if number == 2:
            return as_double(value)
        if number == 3:
            return as_text(value)
        if number == 4:
            return bool(value)
    return None


FORMAT = FileFormat(
    name="tensorboard",
    version=1,
    read=read,
    torn_tail=False,
    files="events.out.tfevents.*",
    example="(binary)",
    step="Event.step",
)

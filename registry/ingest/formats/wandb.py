"""The `.wandb` file of a W&B run: a LevelDB log of protocol buffers; read on while it grows, without W&B.

Layout: a header of 7 bytes, then blocks of 32 KiB from the start of the file. A chunk is CRC-32, length, type (whole,
first, middle, last) and payload; a record that does not fit goes on in the next block.
"""

import zlib
from typing import Any

from registry.ingest import jsontext
from registry.ingest.fileformat import FileFormat
from registry.ingest.formats.parameters import flatten
from registry.ingest.numbers import as_metric
from registry.ingest.protobuf import as_int64, as_message, as_text, fields
from registry.ingest.records import Ended, Identity, Inputs, Record, Remark, State, Values
from registry.ingest.verdicts import verdict

HEADER = b":W&B"
HEADER_BYTES = 7
BLOCK_BYTES = 32768
CHUNK_HEADER_BYTES = 7
_FULL, _FIRST, _MIDDLE, _LAST = 1, 2, 3, 4
_HISTORY, _CONFIG, _ARTIFACT, _OUTPUT_RAW, _RUN, _EXIT = 2, 5, 8, 13, 17, 18
_INTERNAL = frozenset({"_step", "_timestamp", "_runtime", "_wandb"})


def read(state: State, buffer: bytes, base: int, *, last: bool) -> tuple[list[Record], int]:
    """Read the whole records of `buffer`."""
    records: list[Record] = []
    if base == 0:
        if len(buffer) < HEADER_BYTES:
            return records, 0
        if not buffer.startswith(HEADER):
            return [Remark("this .wandb file does not begin as one; it is not read", "warning")], len(buffer)
    payloads, consumed, n_damaged = take_payloads(buffer, base)
    for offset, payload in payloads:
        try:
            records += _record(state, payload, offset)
        except (ValueError, RecursionError):
            n_damaged += 1
    if n_damaged and not state.get("damaged"):
        state["damaged"] = True
        records.append(Remark("some records are damaged and were passed over", "warning"))
    return records, consumed


def take_payloads(buffer: bytes, base: int) -> tuple[list[tuple[int, bytes]], int, int]:
    """Return (offset, payload) of the whole records, the bytes they took up and how many were damaged."""
    found: list[tuple[int, bytes]] = []
    position = HEADER_BYTES if base == 0 else 0
    consumed, n_damaged = position, 0
    parts: list[bytes] = []
    started = position
    while True:
        left = BLOCK_BYTES - (base + position) % BLOCK_BYTES
        if left < CHUNK_HEADER_BYTES:
            position += left
            continue
        header = buffer[position : position + CHUNK_HEADER_BYTES]
        if len(header) < CHUNK_HEADER_BYTES:
            return found, consumed, n_damaged
        checksum = int.from_bytes(header[:4], "little")
        size, kind = int.from_bytes(header[4:6], "little"), header[6]
        payload = buffer[position + CHUNK_HEADER_BYTES : position + CHUNK_HEADER_BYTES + size]
        if kind and size <= left - CHUNK_HEADER_BYTES and len(payload) < size:
            return found, consumed, n_damaged
        if not kind or size > left - CHUNK_HEADER_BYTES or zlib.crc32(payload, zlib.crc32(header[6:7])) != checksum:
            if position + left > len(buffer):
                return found, consumed, n_damaged
            n_damaged += bool(kind)
            position += left
            parts, consumed = [], position
            continue
        if kind in (_FULL, _FIRST):
            parts, started = [], position
        parts.append(payload)
        position += CHUNK_HEADER_BYTES + size
        if kind in (_FULL, _LAST):
            found.append((base + started, b"".join(parts)))
            consumed = position


def _record(state: State, payload: bytes, offset: int) -> list[Record]:
    for number, wire, value in fields(payload):
        if wire != 2:
            continue
        message = as_message(value)
        if number == _HISTORY:
            return _history(message, offset)
        if number == _RUN:
            return _run(message)
        if number == _CONFIG:
            return [Inputs(_config(message))]
        if number == _ARTIFACT:
            return _artifact(message)
        if number == _EXIT:
            return [_exit(message, offset)]
        if number == _OUTPUT_RAW:
            return _output(state, message, offset)
    return []


def _items(message: bytes, number_of_items: int) -> dict[str, Any]:
    """Return the items of a history or config message: names joined by dots, values decoded from their JSON."""
    found: dict[str, Any] = {}
    for number, _wire, value in fields(message):
        if number != number_of_items:
            continue
        key, nested, text = "", [], ""
        for inner, _w, part in fields(as_message(value)):
            if inner == 1:
                key = as_text(part)
            elif inner == 2:
                nested.append(as_text(part))
            elif inner == 16:
                text = as_text(part)
        name = ".".join(nested) or key
        if name and text:
            found[name] = jsontext.loads(text)
    return found


def _history(message: bytes, offset: int) -> list[Record]:
    items = _items(message, 1)
    step = items.get("_step")
    for number, _wire, value in fields(message):
        if number == 2:
            step = next((as_int64(part) for inner, _w, part in fields(as_message(value)) if inner == 1), 0)
    values: dict[str, float] = {}
    for name, item in items.items():
        if name in _INTERNAL:
            continue
        nested = flatten(item, f"{name}.") if isinstance(item, dict) and "_type" not in item else {name: item}
        values.update((key, metric) for key, one in nested.items() if (metric := as_metric(one)) is not None)
    at = items.get("_timestamp")
    whole = int(step) if isinstance(step, int | float) else None
    return [Values(offset, values, whole, float(at) if isinstance(at, int | float) else None)] if values else []


def _run(message: bytes) -> list[Record]:
    said: dict[str, Any] = {"tags": []}
    config: dict[str, Any] = {}
    for number, wire, value in fields(message):
        if number == 1:
            said["id"] = as_text(value)
        elif number == 3:
            said["experiment"] = as_text(value)
        elif number == 4:
            config = _config(as_message(value))
        elif number == 8:
            said["name"] = as_text(value)
        elif number == 10:
            said["tags"].append(as_text(value))
        elif number == 13:
            said["host"] = as_text(value)
        elif number == 17 and wire == 2:
            said["started_at"] = _timestamp(as_message(value))
        elif number == 21:
            said["git"] = _git(as_message(value))
    identity = Identity(
        name=said.get("name") or said.get("id"),
        experiment=said.get("experiment"),
        started_at=said.get("started_at"),
        git=said.get("git"),
        host=said.get("host"),
        tags=said["tags"],
    )
    return [identity, Inputs(config)] if config else [identity]


def _timestamp(message: bytes) -> float:
    parts = {number: as_int64(value) for number, _wire, value in fields(message)}
    return parts.get(1, 0) + parts.get(2, 0) / 1e9


def _git(message: bytes) -> dict[str, Any]:
    parts = {number: as_text(value) for number, _wire, value in fields(message)}
    return {"remote": parts.get(1, ""), "commit": parts.get(2, "")}


def _config(message: bytes) -> dict[str, Any]:
    return flatten(_items(message, 1))


def _artifact(message: bytes) -> list[Record]:
    """An artifact that the run logged: its files lie in W&B's store, so here it is only named."""
    parts = {number: value for number, _wire, value in fields(message)}
    if parts.get(5) is None:
        return []
    kind = as_text(parts.get(4, b""))
    return [Remark(f"W&B artifact {as_text(parts[5])} ({kind or 'no type'}): no copy of it was seen here", "warning")]


def _exit(message: bytes, offset: int) -> Ended:
    code = next((as_int64(value) for number, _wire, value in fields(message) if number == 1), 0)
    status = "finished" if code == 0 else "killed" if code == 255 else "failed"
    return Ended(offset, status, f"W&B exit record: code {code}", binding=True)  # type: ignore[arg-type]


def _output(state: State, message: bytes, offset: int) -> list[Record]:
    """Console output that W&B kept: only what it says of the end counts."""
    found: list[Record] = []
    for number, _wire, value in fields(message):
        if number == 3:
            for line in as_text(value).splitlines():
                if line.strip() and (said := verdict(state, line.strip(), offset)) is not None:
                    found.append(said)
    return found


FORMAT = FileFormat(
    name="wandb",
    version=1,
    read=read,
    torn_tail=False,
    files="run-<id>.wandb",
    example="(binary)",
    step="`_step`",
    end="exit record: 0 finished, 255 killed, else failed",
)

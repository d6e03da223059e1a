"""Just enough of the protocol buffer wire format to read event files and W&B's records. No schema, no package."""

import struct
from collections.abc import Iterator

Field = tuple[int, int, int | bytes]
"""Field number, wire type (0 varint, 1 eight bytes, 2 length and bytes, 5 four bytes), value as it stands."""


def fields(message: bytes) -> Iterator[Field]:
    """Yield the fields of a message. Raises ValueError for bytes that are no message."""
    position, end = 0, len(message)
    while position < end:
        key, position = _varint(message, position)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value, position = _varint(message, position)
            yield number, wire, value
            continue
        if wire == 2:
            size, position = _varint(message, position)
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
        else:
            raise ValueError(f"wire type {wire}")
        if size > end - position:
            raise ValueError("a field longer than its message")
        yield number, wire, message[position : position + size]
        position += size


def _varint(message: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        if position >= len(message) or shift > 63:
            raise ValueError("no varint")
        byte = message[position]
        value |= (byte & 0x7F) << shift
        position += 1
        if byte < 0x80:
            return value, position
        shift += 7


def as_double(value: int | bytes) -> float:
    """Return a field of eight bytes as a float. Raises ValueError for another field."""
    if not isinstance(value, bytes) or len(value) != 8:
        raise ValueError("no double")
    return float(struct.unpack("<d", value)[0])


def as_float(value: int | bytes) -> float:
    """Return a field of four bytes as a float. Raises ValueError for another field."""
    if not isinstance(value, bytes) or len(value) != 4:
        raise ValueError("no float")
    return float(struct.unpack("<f", value)[0])


def as_int64(value: int | bytes) -> int:
    """Return a varint as a signed number. Raises ValueError for another field."""
    if isinstance(value, bytes):
        raise ValueError("no varint")
    return value - (1 << 64) if value >= 1 << 63 else value


def as_text(value: int | bytes) -> str:
    """Return a field of bytes as text. Raises ValueError for another field."""
    if not isinstance(value, bytes):
        raise ValueError("no text")
    return value.decode("utf-8", "replace")


def as_message(value: int | bytes) -> bytes:
    """Return a field as the message it holds. Raises ValueError for another field."""
    if not isinstance(value, bytes):
        raise ValueError("no message")
    return value

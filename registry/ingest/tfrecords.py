"""The record framing of TensorBoard's event files: length, its CRC, data, its CRC; CRC-32C, masked.

Read and written here, so that neither needs a package. A record is found again after damaged bytes.
"""

import struct
from collections.abc import Iterator

HEADER_BYTES = 12
FOOTER_BYTES = 4
MAX_RECORD_BYTES = 64 << 20
CHECKED_BYTES = 4096
"""Data longer than this (images, histograms) is not checked: it holds no scalar."""


def _table() -> list[int]:
    table = []
    for byte in range(256):
        for _ in range(8):
            byte = (byte >> 1) ^ (0x82F63B78 if byte & 1 else 0)
        table.append(byte)
    return table


_CRC = _table()


def masked_crc(data: bytes) -> int:
    """Return the masked CRC-32C that stands after a record (RFC 3720 polynomial, rotated by 15, plus 0xa282ead8)."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = _CRC[(crc ^ byte) & 0xFF] ^ (crc >> 8)
    crc ^= 0xFFFFFFFF
    return (((crc >> 15) | (crc << 17)) + 0xA282EAD8) & 0xFFFFFFFF


def frame(data: bytes) -> bytes:
    """Return `data` as one record."""
    length = struct.pack("<Q", len(data))
    return length + struct.pack("<I", masked_crc(length)) + data + struct.pack("<I", masked_crc(data))


def starts_record(buffer: bytes, position: int = 0) -> bool:
    """Return whether a record's header stands at `position`: a sane length with the right CRC."""
    if len(buffer) - position < HEADER_BYTES:
        return False
    length = buffer[position : position + 8]
    stated = struct.unpack_from("<I", buffer, position + 8)[0]
    return bool(struct.unpack("<Q", length)[0] <= MAX_RECORD_BYTES and masked_crc(length) == stated)


def take_records(buffer: bytes) -> tuple[list[tuple[int, bytes]], int, int]:
    """Return (position, data) of the whole records, the bytes they took up, and the bytes passed over as damaged."""
    found: list[tuple[int, bytes]] = []
    position = n_damaged = 0
    while len(buffer) - position >= HEADER_BYTES:
        if not starts_record(buffer, position):
            following = next(_headers_after(buffer, position + 1), None)
            if following is None:
                keep = max(position, len(buffer) - HEADER_BYTES + 1)
                return found, keep, n_damaged + keep - position
            n_damaged += following - position
            position = following
            continue
        (length,) = struct.unpack_from("<Q", buffer, position)
        end = position + HEADER_BYTES + length + FOOTER_BYTES
        if end > len(buffer):
            break
        data = buffer[position + HEADER_BYTES : end - FOOTER_BYTES]
        (stated,) = struct.unpack_from("<I", buffer, end - FOOTER_BYTES)
        if length > CHECKED_BYTES or masked_crc(data) == stated:
            found.append((position, data))
        else:
            n_damaged += end - position
        position = end
    return found, position, n_damaged


def _headers_after(buffer: bytes, position: int) -> Iterator[int]:
    """Yield the places where a header may stand; lengths under 16 MiB have five zero bytes in a row."""
    zeros = buffer.find(bytes(5), position + 3)
    while zeros >= 0:
        if starts_record(buffer, zeros - 3):
            yield zeros - 3
        zeros = buffer.find(bytes(5), zeros + 1)

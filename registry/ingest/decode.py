"""Bytes -> logical lines, each with the byte offset at which it begins.

CR, LF, CRLF and backspaces all end a line (progress bars redraw with them), blank lines vanish, bad bytes become
U+FFFD, and a line longer than MAX_LINE_BYTES is dropped: memory stays bounded whatever the file holds.
"""

import re

MAX_LINE_BYTES = 4 << 20
_BOMS = (
    (b"\xef\xbb\xbf", "utf-8"),
    (b"\xff\xfe\x00\x00", "utf-32-le"),
    (b"\xff\xfe", "utf-16-le"),
    (b"\xfe\xff", "utf-16-be"),
)
_LINE = re.compile(rb"[^\r\n\x08]+")
_WIDE_LINE = re.compile(r"[^\r\n\x08]+")
_ANSI = re.compile(r"\x1b(?:\[[0-9;?]*[ -/]*[@-~]|\][^\x07\x1b]{0,200}(?:\x07|\x1b\\)|[@-Z\\-_])")
_TEXT_CONTROLS = frozenset(b"\t\n\r\x08\x0c\x1b")


def encoding_of(head: bytes) -> str:
    """Return the encoding that the first bytes of a file announce, utf-8 when they announce none."""
    for bom, encoding in _BOMS:
        if head.startswith(bom):
            return encoding
    if len(head) >= 4 and len(head) % 2 == 0 and head[1::2].count(0) > 0.4 * len(head) / 2 > head[::2].count(0):
        return "utf-16-le"
    return "utf-8"


def is_binary(head: bytes) -> bool:
    """Return whether the first bytes of a file are no text: a NUL, or more than a tenth control bytes."""
    if encoding_of(head) != "utf-8":
        return False
    n_controls = sum(byte < 32 and byte not in _TEXT_CONTROLS for byte in head)
    return b"\0" in head or n_controls > 0.1 * len(head)


def clean(text: str) -> str:
    """Return a line without terminal escapes and byte order mark."""
    if "\x1b" in text:
        text = _ANSI.sub("", text)
    return text.lstrip("\ufeff")


def take_lines(
    buffer: bytes, base: int, encoding: str = "utf-8", *, last: bool = False
) -> tuple[list[tuple[int, str]], int]:
    """Return the whole lines of `buffer` as (byte offset in the file, text) and how many bytes they take up.

    `base` is the offset of `buffer` in the file. Bytes after the last line end are left, unless `last`.
    """
    if encoding != "utf-8":
        return _take_wide_lines(buffer, base, encoding, last=last)
    end = len(buffer) if last else 1 + max(buffer.rfind(b"\n"), buffer.rfind(b"\r"))
    found = [(base + line.start(), line[0].decode("utf-8", "replace")) for line in _LINE.finditer(buffer, 0, end)]
    if b"\x1b" in buffer or b"\xef\xbb\xbf" in buffer:
        found = [(offset, clean(line)) for offset, line in found]
    return found, end


def _take_wide_lines(buffer: bytes, base: int, encoding: str, *, last: bool) -> tuple[list[tuple[int, str]], int]:
    """Lines of UTF-16 and UTF-32; offsets count bytes, so characters outside the basic plane are counted twice."""
    width = 4 if "32" in encoding else 2
    text = buffer[: len(buffer) // width * width].decode(encoding, "replace")
    end = len(text) if last else 1 + max(text.rfind("\n"), text.rfind("\r"))
    lines, position, done = [], 0, base
    for found in _WIDE_LINE.finditer(text, 0, end):
        done += len(text[position : found.start()].encode(encoding, "surrogatepass"))
        position = found.start()
        lines.append((done, clean(found[0])))
    return lines, len(text[:end].encode(encoding, "surrogatepass"))

"""Which format a file is, by its name and its first bytes."""

import os
import re

from registry.ingest import decode
from registry.ingest.counters import STEP_KEYS
from registry.ingest.formats import table
from registry.ingest.text import decode_object

HEAD_BYTES = 65536
BINARY = "binary"
_LINES = frozenset({"log", "txt", "out", "err", "stdout", "stderr", "jsonl", "ndjson", "console", "output"})


def identify(path: str, head: bytes) -> str | None:
    """Return the name of a file's format, `binary` for one that is no text, None while its first bytes do not tell."""
    name = os.path.basename(path)
    suffix = name.rpartition(".")[2].lower()
    if "tfevents" in name:
        return "tensorboard"
    if not head.strip(b"\0 \t\r\n\xef\xbb\xbf\xff\xfe"):
        return None
    if decode.is_binary(head[:4096]):
        return BINARY
    text = head.decode(decode.encoding_of(head[:4096]), "replace").lstrip("\ufeff")
    first = text.lstrip()[:1]
    if first in "{[" and suffix not in ("csv", "tsv", "yaml", "yml"):
        return _json(suffix, text)
    if suffix in ("csv", "tsv"):
        return "table" if "\n" in text or "\r" in text else None
    if suffix in ("yaml", "yml", "toml"):
        return BINARY
    return "table" if _is_table(text) else "text"


def _json(suffix: str, text: str) -> str | None:
    """Tell JSON lines (and logs that begin with a bracket) from one document."""
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    whole = decode_object(lines[0]) if lines[0].startswith("{") else None
    if whole is None:
        return "text" if suffix in _LINES and lines[0] not in ("{", "[") else "json document"
    if len(lines) > 1:
        return "text"
    counts = any(str(key).lower() in STEP_KEYS for key in whole[0])
    return "text" if suffix in _LINES or (counts and text.endswith("\n")) else "json document"


def _is_table(text: str) -> bool:
    """Return whether a text without a telling name is a table all the same: Keras writes CSV into `training.log`."""
    lines = [line for line in text.splitlines()[:40] if line.strip()]
    if len(lines) < 2 or len(lines[0]) > 20000:
        return False
    delimiter = table.sniff("\n".join(lines[:2]))
    if delimiter is None:
        return False
    names = table.split_row(lines[0], delimiter)
    columns = [name.lower() for name in names]
    width = [len(table.split_row(line, delimiter)) == len(names) for line in lines[1:-1] or lines[1:]]
    named = all(re.fullmatch(r"[\w./()@%\- ]{1,60}", name) for name in names)
    return named and all(width) and any(column in STEP_KEYS for column in columns)

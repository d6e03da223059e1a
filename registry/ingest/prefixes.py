"""What stands before the message of a log line: time stamps, levels, loggers, ranks. It is taken off, never parsed for
metrics; the time and the rank are kept. A number that may be the message itself is never taken off.
"""

import re
from datetime import datetime
from functools import lru_cache

_ISO = r"\d{4}[-/]\d\d[-/]\d\d[T ]\d\d:\d\d:\d\d(?:[.,]\d{1,9})?(?:Z|[+-]\d\d:?\d\d)?"
_STAMP = (
    rf"(?:{_ISO}|\d\d/\d\d/\d{{4}}[ ]\d\d:\d\d:\d\d|\d\d/\d\d[ ]\d\d:\d\d:\d\d(?:[.,]\d+)?(?:[ ][AP]M)?|"
    r"[A-Z][a-z]{2}[ ][ \d]\d[ ]\d\d:\d\d:\d\d|\d\d:\d\d:\d\d(?:[.,]\d+)?)"
)
_LEVEL = r"(?:DEBUG|INFO|WARNING|WARN|ERROR|CRITICAL|FATAL|NOTICE|TRACE|SUCCESS|info|warning|error|debug)"
_UNIT = re.compile(
    rf"""
    [\[(]?(?:(?:task|NeMo\ [A-Z])\ )?{_STAMP}(?:\ +[\w.:]+)?[\])]:?(?=\s|$)
  | {_STAMP}(?=[\s|:,\-]|$)[|:,]?
  | [IWEFD]\d{{4}}\ \d\d:\d\d:\d\d\.\d+\s+\d+\ [\w./-]+:\d+\]
  | \[?\(?(?:[rR]ank|RANK|default|worker|gpu|GPU|node|local_rank)[ _:=\-]?(?P<rank>\d+)(?:\]:?|\):?|\s?[:|])
  | \[P\ rank\ "(?P<nested>\d+):?\s*"\]:?
  | \[\d+,(?P<mpi>\d+)\]<std(?:out|err)>:
  | \[\s{{0,6}}{_LEVEL}(?:\|[\w./-]+:\d+)?\s{{0,6}}\]:?
  | {_LEVEL}(?=\s|:|\||$)(?::[\w.]+:)?[:|]?
  | \[?[\w./-]+\.py:\d+(?::[\w<>]+)?\]?(?=\s|$)
  | \[[A-Za-z_][\w.]*\](?=\s+(?:\[|OVERFLOW))
  | \((?:[\w.]+\ )?pid=\d+(?:,\ ip=[\d.]+)?\)
  | [\w.-]+:(?P<shard>\d+)\t[\w.]+:\d+\t
  | [\w.:<>]{{1,80}}(?=\s+[-|]\s+{_LEVEL}\b)
  | (?!step|epoch|iter)[\w.]+:(?:[\w<>.]+:)?\d+(?=\s+-\s)
  | [\w.]{{1,80}}(?=\s+{_LEVEL}:)
  | [┌│└](?=\s) | \[?\ ?(?:Info|Warning|Error|Debug):(?=\s)
  | -(?=\s) | \|(?=\s) | >>(?=\s) | :(?=\s)
    """,
    re.VERBOSE,
)
_DATED = re.compile(rf"{_ISO}|\d\d/\d\d/\d{{4}} \d\d:\d\d:\d\d")
_SRUN = re.compile(
    rf"(\d{{1,4}}): (?=[\[{{]|:::|{_STAMP}|{_LEVEL}\b|.{{0,200}}?\b(?:step|epoch|iter|iteration)\b)", re.IGNORECASE
)
_STARTS = frozenset("┌│└[(|0123456789IWEFDNCSTRdrwgl-")
_SPACE = re.compile(r"\s*")
MAX_UNITS = 10


def peel(text: str) -> tuple[str, float | None, int | None]:
    """Return the message of a line, the time its prefix names (unix seconds) and the rank that wrote it, where told.

    A stamp without a time zone is taken as local time.
    """
    position = _skip_space(text, 0)
    if position == len(text) or text[position] not in _STARTS:
        return text, None, None
    at: float | None = None
    rank: int | None = None
    if labelled := _SRUN.match(text, position):
        rank, position = int(labelled[1]), labelled.end()
    started = position
    for _ in range(MAX_UNITS):
        found = _UNIT.match(text, position)
        if found is None or found.end() == position:
            break
        if at is None and (stamp := _DATED.search(found[0])):
            at = unix_time(stamp[0])
        said = found["rank"] or found["nested"] or found["mpi"] or found["shard"]
        if said and rank is None:
            rank = int(said)
        position = _skip_space(text, found.end())
    return (text[position:] if position > started or rank is not None else text), at, rank


def dated(prefix: str) -> tuple[int, int] | None:
    """Return where the time stamp with a date stands in a prefix, None where there is none."""
    found = _DATED.search(prefix)
    return found.span() if found else None


def _skip_space(text: str, position: int) -> int:
    found = _SPACE.match(text, position)
    return found.end() if found else position


def unix_seconds(number: float | None) -> float | None:
    """Return unix seconds of a number that counts seconds or milliseconds since 1970, None for any other number."""
    if number is None or not 1e8 < number < 1e14:
        return None
    return number / 1000.0 if number > 1e11 else number


@lru_cache(maxsize=256)
def unix_time(stamp: str) -> float | None:
    """Return unix seconds of `2023-04-18 01:46:52,554` or `08/20/2023 13:06:43`, None for no such time."""
    try:
        if stamp[2] == "/":
            return datetime.strptime(stamp, "%m/%d/%Y %H:%M:%S").timestamp()
        return datetime.fromisoformat(stamp.replace("/", "-").replace(",", ".")).timestamp()
    except (ValueError, OverflowError):
        return None

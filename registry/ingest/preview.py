"""What a file would become, without recording it: the real engine writes into a registry of its own, which is shown and
thrown away."""

import json
import os
import re
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from sqlmodel import col, select

from registry.database import Database, open_database
from registry.errors import NotFoundError, UsageError
from registry.ingest import gate
from registry.ingest.counters import counters
from registry.ingest.engine import Engine
from registry.ingest.prefixes import peel
from registry.settings import Settings
from registry.tables import LogCursor, MetricSeries, Param, RunRow

MAX_SAMPLES = 8
MAX_SAMPLE_CHARS = 200
_NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?(?![\w.])")
_DIGITS = re.compile(r"(?<![A-Za-z_\d])\d+")
_WORD_BEFORE = re.compile(r"([A-Za-z_]\w{0,40})\W{0,12}$")


@dataclass
class SeriesPreview:
    """One metric as it would be recorded."""

    name: str
    count: int
    non_finite: int
    first: list[Any]
    last: list[Any]
    source: str
    confidence: str


@dataclass
class FilePreview:
    """One file of the run: the formats that took its lines, and what was not understood and why."""

    path: str
    format: str
    used: dict[str, int]
    n_missed: int
    samples: list[str]
    waiting: dict[str, int]
    reason: str


@dataclass
class RunPreview:
    """One run as it would be recorded."""

    id: str
    foreign_id: str
    name: str
    status: str
    evidence: str
    params: dict[str, Any]
    series: list[SeriesPreview] = field(default_factory=list)
    files: list[FilePreview] = field(default_factory=list)


@dataclass
class Preview:
    """Everything that a file, and the files that make one run with it, would become."""

    runs: list[RunPreview]
    unused: list[FilePreview]
    grammar: str | None

    def as_json(self) -> dict[str, Any]:
        """Return the preview as JSON."""
        return asdict(self)


def look_ahead(path: Path, settings: Settings) -> Preview:
    """Return what `path` (a file, or a folder) would become under these settings. Raises NotFoundError, UsageError."""
    if not path.exists():
        raise NotFoundError(f"no file {path}")
    if not path.is_file() and not path.is_dir():
        raise UsageError(f"{path} is neither a file nor a folder")
    with scratch_registry(settings) as db:
        Engine(db).look([path], settle=True)
        return _collect(db)


@contextmanager
def scratch_registry(settings: Settings) -> Iterator[Database]:
    """Yield a registry with these settings that is thrown away afterwards."""
    with tempfile.TemporaryDirectory(prefix="registry-scratch-") as folder:
        db = open_database(str(Path(folder, "runs.db")), create=True)
        try:
            db.__dict__["settings"] = settings
            yield db
        finally:
            db.close()


def _collect(db: Database) -> Preview:
    with db.read() as session:
        cursors = list(session.exec(select(LogCursor).order_by(col(LogCursor.path))))
        runs = []
        for row in session.exec(select(RunRow).order_by(col(RunRow.name))):
            own = [cursor for cursor in cursors if cursor.run_id == row.id]
            series = session.exec(
                select(MetricSeries).where(MetricSeries.run_id == row.id).order_by(col(MetricSeries.name))
            )
            params = session.exec(select(Param).where(Param.run_id == row.id).order_by(col(Param.key)))
            runs.append(
                RunPreview(
                    id=row.id,
                    foreign_id=row.foreign_id or "",
                    name=row.name,
                    status=row.status,
                    evidence=row.evidence,
                    params={param.key: json.loads(param.value) for param in params},
                    series=[_series(one, own) for one in series],
                    files=[_file(cursor) for cursor in own],
                )
            )
        unused = [_file(cursor) for cursor in cursors if cursor.run_id is None]
    samples = [sample for one in [*unused, *(file for run in runs for file in run.files)] for sample in one.samples]
    return Preview(runs, unused, suggest_grammar(samples))


def _series(row: MetricSeries, cursors: list[LogCursor]) -> SeriesPreview:
    source, confidence = "", ""
    for cursor in cursors:
        for role in json.loads(cursor.roles).values():
            if role[2] == row.name and role[0] in ("own", "as"):
                source = os.path.basename(cursor.path)
                confidence = _confidence(cursor)
    return SeriesPreview(
        name=row.name,
        count=row.count,
        non_finite=row.non_finite,
        first=[row.first_step, row.first_value],
        last=[row.last_step, row.last_value],
        source=source,
        confidence=confidence,
    )


def _confidence(cursor: LogCursor) -> str:
    used = json.loads(cursor.state).get("used", {})
    generic = {"generic", "json object", "dict literal"} & used.keys()
    if cursor.format == "text" and generic:
        return "guessed from its shape" if set(used) == generic else "partly guessed"
    return "certain"


def _file(cursor: LogCursor) -> FilePreview:
    state = json.loads(cursor.state)
    reasons = {
        "": "nothing in it yet, or no format known by its first bytes",
        "binary": "binary, or a kind of file that carries no metrics",
    }
    return FilePreview(
        path=cursor.path,
        format=cursor.format or "unknown",
        used=state.get("used", {}),
        n_missed=state.get("n_missed", 0),
        samples=[sample for _offset, sample in state.get("missed", [])][:MAX_SAMPLES],
        waiting=gate.waiting(state),
        reason=state.get("reason", "") or reasons.get(cursor.format, ""),
    )


def suggest_grammar(samples: list[str]) -> str | None:
    """Return the registry.toml lines that would take lines like the first of these that counts; None without any."""
    messages = [peel(sample)[0] for sample in samples]
    by_hope = sorted(messages, key=lambda text: not counters(text))
    for text in by_hope:
        line = _expression(text[:MAX_SAMPLE_CHARS])
        if line is not None:
            return f'[[ingest.grammars]]\nname = "my-format"\nfiles = "*"\nline = \'{line}\''
    return None


def _expression(text: str) -> str | None:
    """Return an expression in which each number after a word is a group of that name, the first counter `step`."""
    found = counters(text)
    parts: list[str] = []
    names: list[str] = []
    position = found[0].start if found else 0
    for number in _NUMBER.finditer(text, position):
        before = text[position : number.start()]
        word = _WORD_BEFORE.search(before)
        name = "step" if found and number.start() == found[0].digits[0] else word[1] if word else ""
        if not name or name in names or "'" in before:
            continue
        names.append(name)
        gap = re.sub(r"(?:\\ )+", r"\\s+", _DIGITS.sub(r"\\d+", re.escape(before)))
        digits = r"\d+" if name == "step" else r"[-+.\deE]+"
        parts.append(f"{gap}(?P<{name}>{digits})")
        position = number.end()
    return "".join(parts) if len(names) > ("step" in names) else None

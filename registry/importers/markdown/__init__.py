"""Results out of Markdown reports and notebooks: every run they speak of becomes a run here, with its status, its
numbers and its targets. Several reports of one experiment speak of the same runs; they are merged by name.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from registry.errors import NotFoundError, UsageError
from registry.importers import ForeignRun
from registry.importers.markdown.emit import run_events
from registry.importers.markdown.encoding import decode
from registry.importers.markdown.names import run_key
from registry.importers.markdown.report import read_report
from registry.importers.markdown.said import Report

SUFFIXES = (".md", ".markdown", ".txt")
MAX_BYTES = 20_000_000


@dataclass(frozen=True)
class MarkdownImporter:
    """Reads `FILE.md` and `FILE.txt`."""

    name: str = "report"

    def recognises(self, source: Path) -> bool:
        """Return whether a file is a report: of the right kind, and with a table of results in it."""
        if source.suffix.lower() not in SUFFIXES or not source.is_file() or source.stat().st_size > MAX_BYTES:
            return False
        return b"|" in source.read_bytes() and bool(understand(source).runs)

    def read(self, source: Path) -> Iterator[ForeignRun]:
        """Yield the runs a report speaks of. Raises UsageError when it speaks of none, NotFoundError."""
        report = understand(source)
        if not report.runs:
            raise UsageError(f"{source} holds no table of results", hint="`--dry-run` shows what was seen")
        at = report.at if report.at is not None else source.stat().st_mtime
        for run in report.runs:
            identity = f"report:{report.experiment}/{run_key(run.name)}"
            yield ForeignRun(identity, run_events(report, run, source.name, at), part=source.name)


def understand(source: Path) -> Report:
    """Return what a report says, and what in it was not understood. Raises NotFoundError, UsageError."""
    try:
        content = source.read_bytes()
    except FileNotFoundError:
        raise NotFoundError(f"no file {source}") from None
    except OSError as error:
        raise UsageError(f"cannot read {source}: {error.strerror}") from None
    return read_report(decode(content))


def explain(report: Report) -> list[str]:
    """Return, line by line, what was understood of a report and what was not."""
    lines = [f"{report.title or 'no title'} -> experiment {report.experiment}; {report.encoding}"]
    for run in report.runs:
        counts = f"{len(run.said)} values, {len(run.wanted)} targets"
        data = "".join(f", {role} on {name}@{version}" for name, version, role in run.datasets)
        lines.append(f"  run {run.name}: {run.status or 'status not said'}, {counts}{data}")
    lines += [f"  not taken, line {left.line}: {left.text} ({left.why})" for left in report.left_out]
    return lines

"""Tables: CSV with a line a point; Markdown and LaTeX with a row a run and each metric's best value and its step."""

import csv
import io
from collections.abc import Iterable, Iterator

from registry import clock, events
from registry.exporters.rows import ExportedRun, ExportedSeries
from registry.metrics import infer_goal

CSV_COLUMNS = ("run", "name", "experiment", "metric", "step", "value", "at", "segment")
PRECISION = 4
_LATEX = {
    "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_", "{": r"\{", "}": r"\}",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "\\": r"\textbackslash{}",
}  # fmt: skip


def to_csv(runs: Iterable[ExportedRun]) -> Iterator[str]:
    """Yield one line a point, after a header; a value that is not finite is NaN, Infinity or -Infinity."""
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for run in runs:
        for series in run.series:
            for point in series.points():
                value = events.wire_number(point.value)
                head = (run.row.id, run.row.name, run.experiment, series.name)
                writer.writerow((*head, point.step, value, clock.iso(point.at), point.segment))
            yield buffer.getvalue()
            buffer.seek(0)
            buffer.truncate()
    yield buffer.getvalue()


def to_markdown(runs: Iterable[ExportedRun]) -> Iterator[str]:
    """Yield a Markdown table."""
    heads, rows = _rows(list(runs))
    yield "| " + " | ".join(map(_markdown, heads)) + " |\n"
    yield "|" + "|".join(" --- " for _head in heads) + "|\n"
    for row in rows:
        yield "| " + " | ".join(map(_markdown, row)) + " |\n"


def to_latex(runs: Iterable[ExportedRun]) -> Iterator[str]:
    """Yield a LaTeX `tabular`."""
    heads, rows = _rows(list(runs))
    yield f"\\begin{{tabular}}{{ll{'r' * (len(heads) - 2)}}}\n\\hline\n"
    for number, row in enumerate([heads, *rows]):
        yield " & ".join(map(_latex, row)) + " \\\\\n" + ("\\hline\n" if number == 0 else "")
    yield "\\hline\n\\end{tabular}\n"


def _rows(runs: list[ExportedRun]) -> tuple[list[str], list[list[str]]]:
    names = sorted({series.name for run in runs for series in run.series})
    heads = ["run", "status", *names]
    rows = []
    for run in runs:
        by_name = {series.name: series for series in run.series}
        cells = [_best(by_name[name]) if name in by_name else "" for name in names]
        rows.append([f"{run.row.name} ({run.row.id[:6]})", run.row.status, *cells])
    return heads, rows


def _best(series: ExportedSeries) -> str:
    """Return the best value by the metric's goal, else the last, as `0.0525 @ 100`."""
    row = series.row
    goal = infer_goal(row.name)
    value, step = {
        "min": (row.min_value, row.min_step),
        "max": (row.max_value, row.max_step),
    }.get(goal or "", (row.last_value, row.last_step))
    if value is None:
        return "nan"
    return f"{value:.{PRECISION}g}" + (f" @ {step}" if step is not None else "")


def _markdown(cell: str) -> str:
    return cell.replace("\\", "\\\\").replace("|", "\\|").replace("\n", " ")


def _latex(cell: str) -> str:
    return "".join(_LATEX.get(letter, letter) for letter in cell.replace("\n", " "))

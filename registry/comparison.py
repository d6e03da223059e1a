"""Runs side by side: the params that differ, and each metric's value with its difference to a baseline. Pure."""

import csv
import io
import json
import statistics
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from registry.queries import MetricSummary, RunSummary


@dataclass(frozen=True)
class Cell:
    """One run's value of one metric: the value and its step, the change against the baseline, and whether it is best.

    `better` is True or False against the baseline by the metric's goal, None when equal or when there is no goal.
    """

    value: float | None
    step: int | None
    basis: str
    n_non_finite: int = 0
    delta: float | None = None
    better: bool | None = None
    is_best: bool = False


@dataclass(frozen=True)
class Comparison:
    """Runs in the order asked for; `params` and `metrics` have one entry a run, None where a run has none."""

    runs: tuple[RunSummary, ...]
    baseline_id: str | None
    last: bool
    params: dict[str, tuple[Any, ...]]
    metrics: dict[str, tuple[Cell | None, ...]]
    goals: dict[str, str | None] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Return the comparison as plain values."""
        return {
            "baseline": self.baseline_id,
            "shown": "last" if self.last else "best",
            "runs": [run.as_json() for run in self.runs],
            "params": {name: list(values) for name, values in self.params.items()},
            "metrics": {
                name: {
                    "goal": self.goals.get(name),
                    "values": [
                        cell
                        and {
                            "value": cell.value if cell.value is not None and cell.value - cell.value == 0 else None,
                            "step": cell.step,
                            "basis": cell.basis,
                            "delta": cell.delta,
                            "better": cell.better,
                            "best": cell.is_best,
                        }
                        for cell in cells
                    ],
                }
                for name, cells in self.metrics.items()
            },
        }


def compare(
    runs: Sequence[RunSummary],
    *,
    baseline_id: str | None = None,
    last: bool = False,
    only_changed: bool = False,
    columns: Sequence[str] = (),
) -> Comparison:
    """Lay runs side by side.

    `last` shows last values instead of the best by goal; `only_changed` leaves out what is the same in all runs;
    `columns` limits which params and metrics are shown, in that order.
    """
    params = {name: _param_values(runs, name) for name in _names(runs, "params", columns)}
    metrics = {name: _cells(runs, name, baseline_id, last) for name in _names(runs, "metrics", columns)}
    if only_changed:
        params = {name: values for name, values in params.items() if _differ(values)}
        metrics = {name: cells for name, cells in metrics.items() if _differ([cell and cell.value for cell in cells])}
    goals = {name: next((run.metrics[name].goal for run in runs if name in run.metrics), None) for name in metrics}
    return Comparison(tuple(runs), baseline_id, last, params, metrics, goals)


def _names(runs: Sequence[RunSummary], kind: str, columns: Sequence[str]) -> list[str]:
    known = {name: None for run in runs for name in sorted(getattr(run, kind))}
    return [name for name in columns if name in known] if columns else sorted(known)


def _param_values(runs: Sequence[RunSummary], name: str) -> tuple[Any, ...]:
    return tuple(run.params.get(name) for run in runs)


def _differ(values: Sequence[Any]) -> bool:
    return len({json.dumps(value, sort_keys=True, default=str) for value in values}) > 1


def shown(metric: MetricSummary, last: bool) -> tuple[float | None, int | None]:
    """Return the value and step of a metric that a table shows."""
    return (metric.last, metric.last_step) if last else (metric.shown, metric.shown_step)


def _cells(runs: Sequence[RunSummary], name: str, baseline_id: str | None, last: bool) -> tuple[Cell | None, ...]:
    found = [run.metrics.get(name) for run in runs]
    values = [shown(metric, last)[0] if metric else None for metric in found]
    goal = next((metric.goal for metric in found if metric), None)
    base = next((value for run, value in zip(runs, values, strict=True) if run.id == baseline_id), None)
    finite = [value for value in values if value is not None and value - value == 0]
    best = (min(finite) if goal == "min" else max(finite)) if goal and len(finite) > 1 else None
    return tuple(
        _cell(metric, last, base if run.id != baseline_id else None, best) if metric else None
        for run, metric in zip(runs, found, strict=True)
    )


def _cell(metric: MetricSummary, last: bool, base: float | None, best: float | None) -> Cell:
    value, step = shown(metric, last)
    delta = value - base if value is not None and base is not None else None
    if delta is not None and delta != delta:
        delta = None
    better = None if not delta or metric.goal is None else (delta < 0) == (metric.goal == "min")
    return Cell(value, step, metric.basis, metric.non_finite, delta, better, best is not None and value == best)


# --- runs that differ only in one param (their seed)


@dataclass(frozen=True)
class Spread:
    """A metric over the runs of one group: mean, sample standard deviation (None for one run), and how many."""

    mean: float
    sd: float | None
    n: int


@dataclass(frozen=True)
class Group:
    """Runs that differ only in the params of the grouping; `params` are those they share."""

    runs: tuple[RunSummary, ...]
    params: dict[str, Any]
    metrics: dict[str, Spread]


def group_by(runs: Sequence[RunSummary], keys: Sequence[str], *, last: bool = False) -> list[Group]:
    """Gather runs of one experiment that differ only in `keys`; each metric gets its mean and spread."""
    groups: dict[str, list[RunSummary]] = {}
    for run in runs:
        shared = {name: value for name, value in run.params.items() if name not in keys}
        groups.setdefault(json.dumps([run.experiment, shared], sort_keys=True, default=str), []).append(run)
    return [_group(members, keys, last) for members in groups.values()]


def spreads_of(runs: Sequence[RunSummary], *, last: bool = False) -> dict[str, Spread]:
    """Return the mean and spread of each metric over some runs."""
    names = sorted({name for run in runs for name in run.metrics})
    return {name: spread for name in names if (spread := _spread(runs, name, last))}


def _group(members: list[RunSummary], keys: Sequence[str], last: bool) -> Group:
    params = {name: value for name, value in members[0].params.items() if name not in keys}
    return Group(tuple(members), params, spreads_of(members, last=last))


def _spread(members: Sequence[RunSummary], name: str, last: bool) -> Spread | None:
    values = [shown(run.metrics[name], last)[0] for run in members if name in run.metrics]
    finite = [value for value in values if value is not None and value - value == 0]
    if not finite:
        return None
    return Spread(statistics.fmean(finite), statistics.stdev(finite) if len(finite) > 1 else None, len(finite))


# --- as text


def rows_of(comparison: Comparison, precision: int) -> tuple[list[str], list[list[str]]]:
    """Return the comparison as a table of text: one row a param or metric, one column a run."""
    heads = ["", *(f"{run.name} ({run.id})" for run in comparison.runs)]
    rows = [["status", *(run.status for run in comparison.runs)]]
    if any(run.invalid for run in comparison.runs):
        rows.append(["invalid", *(run.invalid or "" for run in comparison.runs)])
    rows += [[name, *map(param_text, values)] for name, values in comparison.params.items()]
    for name, cells in comparison.metrics.items():
        arrow = {"min": " ↓", "max": " ↑"}.get(comparison.goals.get(name) or "", "")
        rows.append([f"{name}{arrow}", *(cell_text(cell, precision) for cell in cells)])
    rows.append(["gates", *(gates_text(run) for run in comparison.runs)])
    return heads, rows


def param_text(value: Any) -> str:
    """Return a param for a table."""
    if value is None:
        return ""
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def gates_text(run: RunSummary) -> str:
    """Return `4/5`, "" for a run without gates."""
    total = sum(run.gates.values())
    return f"{run.gates.get('pass', 0)}/{total}" if total else ""


def cell_text(cell: Cell | None, precision: int = 4) -> str:
    """Return `≈0.9123@400 (+0.02)*`: basis, value, step, difference to the baseline, and a star for the best."""
    if cell is None:
        return ""
    value = "nan" if cell.value is None else f"{cell.value:.{precision}g}"
    text = f"{'' if cell.basis == 'measured' else '≈'}{value}"
    text += f"@{cell.step}" if cell.step is not None else ""
    text += f" ({cell.delta:+.{max(precision - 1, 1)}g})" if cell.delta is not None else ""
    text += f" [{cell.n_non_finite} not finite]" if cell.n_non_finite else ""
    return text + ("*" if cell.is_best else "")


def as_markdown(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; pipes in cells are escaped."""

    def line(cells: Sequence[str]) -> str:
        return "| " + " | ".join(cell.replace("|", "\\|").replace("\n", " ") for cell in cells) + " |"

    return "\n".join([line(heads), line(["---"] * len(heads)), *map(line, rows)]) + "\n"


def as_csv(heads: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a CSV table."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows([heads, *rows])
    return text.getvalue()


def plain_rows(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    """Return the comparison for a spreadsheet: one row a run, full-precision numbers, steps in columns of their own."""
    heads = ["id", "name", "experiment", "status", *comparison.params]
    for name in comparison.metrics:
        heads += [name, f"{name}@step"]
    rows = []
    for index, run in enumerate(comparison.runs):
        row = [run.id, run.name, run.experiment, run.status]
        row += [param_text(values[index]) for values in comparison.params.values()]
        for cells in comparison.metrics.values():
            cell = cells[index]
            row += ["", ""] if cell is None else [_csv_number(cell.value), _csv_number(cell.step)]
        rows.append(row)
    return heads, rows


def _csv_number(value: float | None) -> str:
    return "" if value is None else repr(value)

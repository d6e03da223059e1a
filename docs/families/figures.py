"""Draw the figures of the family pages from a registry: every point of a figure is a recorded value.

    python docs/families/figures.py [FAMILY…] [--db runs.db]      # default: every FAMILY.figures.toml beside this file

`FAMILY.figures.toml` lists `[[figure]]` tables (see `Figure`); each becomes a PNG in docs/families/pictures/. Runs are
named by patterns (`calibrated-cpu*`); several runs of one pattern are drawn as their mean ± standard deviation.
"""

import argparse
import statistics
import sys
from collections import defaultdict
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, Literal

import matplotlib
import msgspec
from matplotlib.axes import Axes
from matplotlib.figure import Figure as Canvas

import registry
from registry.errors import HoldfastError, NotFoundError, UsageError

HERE = Path(__file__).parent
PICTURES = HERE / "pictures"
COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
"""Okabe and Ito's colours, which colour-blind readers tell apart; line styles and marks repeat what they say."""
STYLES = ("-", "--", "-.", ":")
MARKS = ("o", "s", "^", "D")
SIZE_INCHES, DPI = (7.6, 3.8), 120
STYLE = {"font.size": 9, "axes.spines.top": False, "axes.spines.right": False, "legend.frameon": False}


class Figure(msgspec.Struct, forbid_unknown_fields=True, kw_only=True):
    """One `[[figure]]`: what is drawn, of which runs.

    `bars` shows a value for each group of runs, with what is known beside it; `lines` shows series over the steps.
    """

    file: str
    title: str
    kind: Literal["bars", "lines"]
    metrics: list[str]
    runs: dict[str, str]
    """Label -> pattern of run names."""
    subjects: list[str] = []
    """bars: controls and baselines drawn beside the runs, with the scores that the runs recorded of them."""
    said: dict[str, list[float]] = {}
    """bars: label -> a value for each metric that somebody else published; drawn hatched, it is no recorded run."""
    marks: dict[str, float] = {}
    """Label -> a horizontal line: a bound, chance, a threshold."""
    percent: bool = False
    logarithmic: bool = False
    low: float | None = None
    """Where the value axis begins; bars that begin elsewhere than at 0 say so in their axis."""
    ylabel: str = ""


def read_figures(family: str) -> list[Figure]:
    """Return the figures of a family's page. Raises NotFoundError; UsageError for a file with a mistake."""
    path = HERE / f"{family}.figures.toml"
    try:
        return msgspec.toml.decode(path.read_bytes(), type=dict[Literal["figure"], list[Figure]])["figure"]
    except FileNotFoundError:
        raise NotFoundError(f"no {path}", hint=f"families with figures: {', '.join(known_families())}") from None
    except (msgspec.MsgspecError, KeyError, ValueError) as error:
        raise UsageError(f"{path.name}: {error}") from None


def known_families() -> list[str]:
    """Return the families that list figures."""
    return sorted(path.name.removesuffix(".figures.toml") for path in HERE.glob("*.figures.toml"))


class Source:
    """The runs of a registry, each read once."""

    def __init__(self, record: registry.Registry) -> None:
        self._record = record
        self._runs = [run for run in record.runs() if run["invalid"] is None]
        self._details: dict[str, dict[str, Any]] = {}

    def named(self, pattern: str) -> list[str]:
        """Return the ids of the runs whose name fits; invalidated runs are never drawn. Raises NotFoundError."""
        found = [run["id"] for run in self._runs if fnmatch(run["name"], pattern)]
        if not found:
            raise NotFoundError(f"no run is called {pattern}", hint="train it, or give the registry with --db")
        return found

    def value(self, run_id: str, metric: str) -> tuple[float, float | None, float | None] | None:
        """Return the newest evaluated value of a run's weights with its interval; else the best of the series."""
        for evaluation in reversed(self._detail(run_id)["evaluations"]):
            found = evaluation["values"].get(metric)
            if evaluation["subject"] is None and found and found["value"] is not None:
                return found["value"], found["low"], found["high"]
        series = self._detail(run_id)["metrics"].get(metric)
        return (series["best"], None, None) if series and series["best"] is not None else None

    def score(self, run_id: str, subject: str, metric: str) -> float | None:
        """Return the newest score of a control or baseline that this run recorded."""
        for evaluation in reversed(self._detail(run_id)["evaluations"]):
            if evaluation["subject"] == subject and metric in evaluation["values"]:
                return evaluation["values"][metric]["value"]
        return None

    def history(self, run_id: str, metric: str) -> list[tuple[int, float]]:
        """Return the finite points of a series that have a step."""
        points = self._record.history(run_id, metric)
        return [(step, value) for step, value in points if step is not None and value is not None]

    def _detail(self, run_id: str) -> dict[str, Any]:
        if run_id not in self._details:
            self._details[run_id] = self._record.run(run_id)
        return self._details[run_id]


def draw(figure: Figure, source: Source, path: Path) -> None:
    """Draw one figure into a PNG. Raises NotFoundError for runs or values that the registry does not have."""
    with matplotlib.rc_context(STYLE):
        canvas = Canvas(figsize=SIZE_INCHES, dpi=DPI, layout="constrained")
        axes = canvas.subplots()
        {"bars": draw_bars, "lines": draw_lines}[figure.kind](figure, source, axes)
        for label, height in figure.marks.items():
            axes.axhline(height, color="0.35", linewidth=0.9, linestyle=(0, (4, 2)))
            text = f"{label}\n{height:.2%}" if figure.percent else f"{label}\n{height:g}"
            axes.annotate(text, (1.01, height), xycoords=("axes fraction", "data"), va="center", fontsize=8)
        if figure.percent:
            axes.yaxis.set_major_formatter(matplotlib.ticker.PercentFormatter(1.0))
        if figure.logarithmic:
            axes.set_yscale("log")
        axes.margins(y=0.08)
        axes.set_ylim(bottom=figure.low)
        axes.set_title(figure.title, loc="left", fontweight="bold")
        axes.set_ylabel(figure.ylabel or (figure.metrics[0] if len(figure.metrics) == 1 else ""))
        axes.grid(axis="y", color="0.9")
        axes.set_axisbelow(True)
        canvas.legend(loc="outside lower center", ncols=2 if len(figure.runs) * len(figure.metrics) < 5 else 3)
        path.parent.mkdir(exist_ok=True)
        canvas.savefig(path, metadata={"Software": None})


def draw_bars(figure: Figure, source: Source, axes: Axes) -> None:
    """One group of bars for each label, one bar for each metric; whiskers are the spread of the seeds."""
    columns = bar_columns(figure, source)
    width = 0.8 / len(figure.metrics)
    for place, (label, heights, spreads) in enumerate(columns):
        for number, (height, spread) in enumerate(zip(heights, spreads, strict=True)):
            x = place + (number - (len(figure.metrics) - 1) / 2) * width
            said = label in figure.said
            axes.bar(
                x, height, width * 0.94, color=COLOURS[number % len(COLOURS)], alpha=0.45 if said else 0.9,
                hatch="///" if said else None, label=figure.metrics[number] if place == 0 else None,
            )  # fmt: skip
            low, high = spread
            axes.errorbar(x, height, [[height - low], [high - height]], color="black", capsize=2.5, linewidth=0.9)
            text = f"{100 * height:.2f}" if figure.percent else f"{height:.3g}"
            axes.annotate(text, (x, high), ha="center", va="bottom", fontsize=7)
    axes.set_xticks(range(len(columns)), [label for label, _, _ in columns], rotation=20 if len(columns) > 5 else 0)


Column = tuple[str, list[float], list[tuple[float, float]]]


def bar_columns(figure: Figure, source: Source) -> list[Column]:
    """Return for each label its heights, one a metric, and what the whiskers span.

    Several runs: mean and mean ± sd. One run: its value and its recorded interval.
    """
    columns: list[Column] = []
    for label, pattern in figure.runs.items():
        ids = source.named(pattern)
        cells = [
            summarise([source.value(run_id, metric) for run_id in ids], metric, label) for metric in figure.metrics
        ]
        title = f"{label}\n{len(ids)} seeds" if len(ids) > 1 else label
        columns.append((title, [height for height, _ in cells], [spread for _, spread in cells]))
    newest = source.named(next(iter(figure.runs.values())))[0]
    for subject in figure.subjects:
        scores = [source.score(newest, subject, metric) or 0.0 for metric in figure.metrics]
        columns.append((subject, scores, [(score, score) for score in scores]))
    for label, values in figure.said.items():
        if len(values) != len(figure.metrics):
            raise UsageError(f"{figure.file}: {label!r} has {len(values)} values for {len(figure.metrics)} metrics")
        columns.append((label, values, [(value, value) for value in values]))
    return columns


def summarise(
    found: list[tuple[float, float | None, float | None] | None], metric: str, label: str
) -> tuple[float, tuple[float, float]]:
    """Return a height and what its whisker spans, from the values of one or several runs. Raises NotFoundError."""
    known = [value for value in found if value is not None]
    if not known:
        raise NotFoundError(f"no run of {label!r} recorded {metric}")
    if len(known) == 1:
        value, low, high = known[0]
        return value, (value if low is None else low, value if high is None else high)
    values = [value for value, _, _ in known]
    mean, sd = statistics.fmean(values), statistics.stdev(values)
    return mean, (mean - sd, mean + sd)


def draw_lines(figure: Figure, source: Source, axes: Axes) -> None:
    """One line for each label and metric over the steps; a band of ± sd where several runs have a step."""
    for place, (label, pattern) in enumerate(figure.runs.items()):
        for number, metric in enumerate(figure.metrics):
            by_step = defaultdict(list)
            for run_id in source.named(pattern):
                for step, value in source.history(run_id, metric):
                    by_step[step].append(value)
            if not by_step:
                raise NotFoundError(f"no run of {label!r} recorded the series {metric}")
            colour = COLOURS[(place * len(figure.metrics) + number) % len(COLOURS)]
            steps = sorted(by_step)
            means = [statistics.fmean(by_step[step]) for step in steps]
            sds = [statistics.stdev(by_step[step]) if len(by_step[step]) > 1 else 0.0 for step in steps]
            name = f"{label}: {metric}" if len(figure.runs) * len(figure.metrics) > 1 else label
            few = len(steps) < 60
            axes.plot(
                steps, means, STYLES[place % len(STYLES)], color=colour, label=name, linewidth=1.3,
                marker=MARKS[number % len(MARKS)] if few else None, markersize=3,
            )  # fmt: skip
            if any(sds):
                edges = [[mean + sign * sd for mean, sd in zip(means, sds, strict=True)] for sign in (-1, 1)]
                axes.fill_between(steps, *edges, color=colour, alpha=0.18, linewidth=0)
    axes.set_xlabel("step")


def main() -> int:
    """Draw what was asked for and name each file; return the exit code."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("families", nargs="*", metavar="FAMILY")
    parser.add_argument("--db", help="the registry; default: the nearest runs.db upward")
    parser.add_argument("--out", type=Path, default=PICTURES, help="where the PNG files go")
    options = parser.parse_args()
    try:
        with registry.open(options.db) as record:
            source = Source(record)
            for family in options.families or known_families():
                for figure in read_figures(family):
                    draw(figure, source, options.out / figure.file)
                    print(options.out / figure.file)
    except HoldfastError as error:
        print(f"figures: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())

"""The comparison table: every variant on every data source with several seeds, made of recorded runs and nothing else.

`python -m runners.lvm.table --data rotation --data docs.npz --seeds 3` trains what is missing, one run after another,
and prints the table; a run that is in the registry already is not made again.
"""

import argparse
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from registry import events, places
from registry.errors import HoldfastError
from registry.gates import Facts, Observed, judge, load_suite_text, parse_suite
from runners.lvm import FAMILY
from runners.lvm.synthetic import PROCESSES
from runners.training.start import train_family

EXPERIMENT = "lvm-table"
AT_THE_END = "val/cosine"
COLUMNS = {
    "cosine": "5cat/cosine",
    "at the end": AT_THE_END,
    "skill": "5cat/skill_cosine",
    "forward": "5cat/forward",
    "margin": "5cat/margin",
    "R@1": "5cat/r1",
    "R@5": "5cat/r5",
    "R@5 over copy": "5cat/skill_r5",
    "order lost": "5cat/order_shuffle",
    "rollout": "5cat/rollout",
    "repeat": "5cat/rollout_repeat",
    "out of domain": "5cat/bins_delta",
}
"""The columns, all of the best checkpoint but `at the end`: what the validation cosine was after the last step."""
WITH_INTERVAL = ("5cat/skill_cosine", "5cat/skill_r5")
OLD_COLUMNS = {
    "margin": "5cat-v1/margin",
    "R@5": "5cat-v1/r5",
    "rollout": "5cat-v1/rollout",
    "R@5 in training": "5cat-v1/mini_r5",
}
BESIDE = ("oracle", "constant", "copy_last", "shuffled", "mean_context", "ar5", "copy_last_centred")


@dataclass(frozen=True)
class Scored:
    """What one finished run recorded: its checkpoint's scores, and those of each control and baseline."""

    own: dict[str, Observed]
    subjects: dict[str, dict[str, Observed]]


def run_name(variant: str, source: str, preset: str, seed: int) -> str:
    """Return the name of one cell's run."""
    short = source if source in PROCESSES else Path(source).stem
    return f"{variant}-{short}-{preset}-s{seed}"


def find_scored(name: str) -> Scored | None:
    """Return what the newest finished run of this name recorded, None when there is none."""
    runs = places.runs_folder(places.registry_url())
    journals = sorted(runs.glob(f"{name}-??????????/{places.JOURNAL_NAME}"), key=lambda path: path.stat().st_mtime)
    return next((found for path in reversed(journals) if (found := _scored(path))), None)


def _scored(journal: Path) -> Scored | None:
    own: dict[str, Observed] = {}
    subjects: dict[str, dict[str, Observed]] = {}
    finished = False
    for event in _events(journal):
        if isinstance(event, events.Evaluation):
            into = own if event.digest else subjects.setdefault(str(event.subject), {})
            into.update(_observed(event))
        elif isinstance(event, events.Metrics) and AT_THE_END in event.v:
            own[AT_THE_END] = Observed(events.plain_number(event.v[AT_THE_END]))
        finished |= isinstance(event, events.End) and event.status == "finished"
    return Scored(own, subjects) if finished and subjects else None


def _events(journal: Path) -> Iterator[events.AnyEvent]:
    for line in journal.read_bytes().splitlines():
        try:
            yield events.decode(line)
        except ValueError:
            continue


def _observed(event: events.Evaluation) -> dict[str, Observed]:
    none = (None, None)
    return {
        name: Observed(
            events.plain_number(value), low=event.intervals.get(name, none)[0], high=event.intervals.get(name, none)[1]
        )
        for name, value in event.metrics.items()
    }


def train_missing(
    variants: Sequence[str], sources: Sequence[str], preset: str, seeds: int, overrides: Sequence[str]
) -> None:
    """Train every cell that is not in the registry yet, each with one CPU thread; says on stderr what it does."""
    for source in sources:
        for variant in variants:
            for seed in range(seeds):
                name = run_name(variant, source, preset, seed)
                if find_scored(name):
                    continue
                texts = (f"data={source}", f"seed={seed}", "threads=1", *overrides)
                settings = FAMILY.build(variant, preset, texts)
                gates = "5cat-control" if source == "rotation" else None
                outcome = train_family(
                    FAMILY, settings, variant=variant, preset=preset, name=name, experiment=EXPERIMENT, gates=gates
                )
                print(f"{name}: {outcome.status}, {outcome.duration_s:.1f} s", file=sys.stderr, flush=True)
                if outcome.status != "finished":
                    raise KeyboardInterrupt


def table(variants: Sequence[str], source: str, preset: str, seeds: int) -> str:
    """Return the Markdown table of one source: mean ± standard deviation over seeds, and the widest interval seen."""
    suite_name = "5cat-control" if source == "rotation" else "5cat"
    lines = [
        f"| {source if source in PROCESSES else Path(source).stem} | {' | '.join(COLUMNS)} | gates of `{suite_name}` "
        f"| {' | '.join(f'{title} (notebook)' for title in OLD_COLUMNS)} |",
        "|---" * (len(COLUMNS) + len(OLD_COLUMNS) + 2) + "|",
    ]
    beside: dict[str, list[Scored]] = {}
    for variant in variants:
        cells = [find_scored(run_name(variant, source, preset, seed)) for seed in range(seeds)]
        scored = [cell for cell in cells if cell]
        lines.append(_row(variant, scored, suite_name))
        for cell in scored[:1]:
            for name in BESIDE:
                beside.setdefault(name, [Scored(cell.subjects.get(name, {}), cell.subjects)])
    return "\n".join(lines + [_row(f"*{name}*", cells, suite_name) for name, cells in beside.items()])


def _row(title: str, cells: Sequence[Scored], suite: str) -> str:
    new = [_cell(cells, metric, metric in WITH_INTERVAL) for metric in COLUMNS.values()]
    old = [_cell(cells, metric, False) for metric in OLD_COLUMNS.values()]
    return f"| {title} | {' | '.join(new)} | {_gates(cells, suite)} | {' | '.join(old)} |"


def _cell(cells: Sequence[Scored], metric: str, with_interval: bool) -> str:
    found = [cell.own[metric] for cell in cells if metric in cell.own]
    if not found:
        return "–"
    values = [one.value for one in found]
    text = f"{statistics.mean(values):.3f}"
    if len(values) > 1:
        text += f" ± {statistics.stdev(values):.3f}"
    lows, highs = (
        [bound for bound in bounds if bound is not None]
        for bounds in zip(*((one.low, one.high) for one in found), strict=True)
    )
    if with_interval and lows:
        text += f" [{min(lows):.3f}, {max(highs):.3f}]"
    return text


def _gates(cells: Sequence[Scored], suite_name: str) -> str:
    """Return how many required gates pass, of how many, seed by seed where the seeds differ."""
    suite = parse_suite(load_suite_text(suite_name)[1], suite_name)
    counts = []
    for cell in cells:
        facts = Facts(
            checkpoint="best",
            evaluated={name: (value,) for name, value in cell.own.items()},
            subjects=cell.subjects,
        )
        verdicts = [verdict for verdict in judge(suite, facts) if verdict.required]
        counts.append(f"{sum(verdict.verdict == 'pass' for verdict in verdicts)}/{len(verdicts)}")
    return ", ".join(dict.fromkeys(counts)) or "–"


def main(arguments: Sequence[str] | None = None) -> int:
    """Train what is missing and print the tables; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m runners.lvm.table", description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data", action="append", metavar="SOURCE", help="rotation, ar, shuffled or an .npz file; may be repeated"
    )
    parser.add_argument("--variants", default=",".join(FAMILY.variants), help="names, separated by commas; default all")
    parser.add_argument("--preset", default="cpu", help="smoke, cpu or gpu")
    parser.add_argument("--seeds", type=int, default=3, help="how many seeds, from 0")
    parser.add_argument(
        "--set", action="append", default=[], metavar="KEY=VALUE", help="change one setting in every run"
    )
    parser.add_argument("--print-only", action="store_true", help="train nothing")
    asked = parser.parse_args(arguments)
    sources, variants = asked.data or ["rotation", "ar", "shuffled"], asked.variants.split(",")
    try:
        if not asked.print_only:
            train_missing(variants, sources, asked.preset, asked.seeds, asked.set)
        for source in sources:
            print(table(variants, source, asked.preset, asked.seeds), end="\n\n")
    except HoldfastError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())

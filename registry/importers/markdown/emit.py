"""What a report says, as the events of runs: one way of naming a metric per report, each number said once, what the
report asks for as a gate suite, and what it thinks of a run as notes and tags.
"""

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from registry import events
from registry.importers.markdown.names import MetricName, slug
from registry.importers.markdown.said import Report, ReportedRun, Said, Wanted
from registry.metrics import infer_goal

_GATE = "[[gate]]\n"
_GOAL_OF = {">=": "max", ">": "max", "<=": "min", "<": "min"}


@dataclass(frozen=True)
class Fact:
    """One number under its final name; `is_course` marks a point of the training's course."""

    name: str
    value: float
    step: int | None
    basis: str | None
    subject: str | None
    n: int | None
    is_course: bool


def run_events(report: Report, run: ReportedRun, source: str, at: float) -> list[events.AnyEvent]:
    """Return the events of one reported run, its start first; `at` is the report's own time (unix seconds)."""
    names = _Names(report)
    begun = run.at if run.at is not None else at
    start = events.Start(
        at=begun,
        run="",
        name=run.name,
        experiment=report.experiment,
        params={**run.params, **({"reported_status": "; ".join(run.status_words)} if run.status_words else {})},
        tags=["reported", *(["deployed"] if any("deployed" in words.lower() for words in run.status_words) else [])],
        source="import",
    )
    facts = list(_facts(run, names))
    return [
        start,
        *(events.UseDataset(at=begun, name=name, version=version, role=role) for name, version, role in run.datasets),
        *_definitions(run, names, begun),
        *_course(facts, begun),
        *_evaluations(facts, begun),
        *_suite(report, run, names, begun),
        *_notes(report, source, begun),
        events.End(
            at=begun, status=run.status or ("finished" if run.said else "unknown"), evidence=f"reported in {source}"
        ),
    ]


class _Names:
    """One name for each metric of a report: `Margin` is also `Margin (VAL)`, `A: Offset Margin` is `Margin`, and
    `VAE-A Coverage` is the coverage of the category `VAE-A`.
    """

    def __init__(self, report: Report) -> None:
        self._categories = {
            slug(said.category): said.category for run in report.runs for said in run.said if said.category
        }
        said = [said.metric for run in report.runs for said in run.said if not said.subject and not said.category]
        self._plain = {metric.base for metric in said if not metric.is_coded}
        self._validated = {self._base(metric) for metric in said if metric.split == "val"}

    def _base(self, metric: MetricName) -> str:
        last = metric.base.rpartition("_")[2]
        return last if metric.is_coded and last in self._plain else metric.base

    def of(self, metric: MetricName) -> str:
        """Return the name of a metric."""
        base = self._base(metric)
        first, _, rest = base.partition("_")
        if rest and first in self._categories:
            return f"{rest}/{self._categories[first]}"
        split = metric.split or ("val" if base in self._validated else "")
        return f"{split}/{base}" if split else base

    def said(self, said: Said) -> str:
        """Return the name of a metric where it stands: of a category, of a baseline, or of the run."""
        if said.category:
            return f"{said.metric.full}/{said.category}"
        return said.metric.full if said.subject else self.of(said.metric)


def _facts(run: ReportedRun, names: _Names) -> Iterator[Fact]:
    """Return the numbers of a run, each once.

    A range is two of them, `3/5` is the part (of gates: `passed`) and the total. A number that is said again without
    its basis has the basis it was said with.
    """
    facts = [
        Fact(f"{names.said(said)}{suffix}", value, said.step, said.basis, said.subject, said.n, said.is_course)
        for said in run.said
        for suffix, value in _parts(said)
    ]
    with_basis = {(fact.name, fact.value, fact.subject) for fact in facts if fact.basis}
    said_again = (fact for fact in facts if fact.basis or (fact.name, fact.value, fact.subject) not in with_basis)
    yield from dict.fromkeys(said_again)


def _parts(said: Said) -> list[tuple[str, float]]:
    value = said.value
    if value.high is not None:
        return [("/min", value.number), ("/max", value.high)]
    if value.whole is not None:
        part = "/passed" if said.metric.base == "gates" else ""
        return [(part, value.number), ("/total", value.whole)]
    return [("", value.number)]


def _course(facts: Sequence[Fact], at: float) -> Iterator[events.Metrics]:
    for fact in sorted((fact for fact in facts if fact.is_course), key=lambda fact: fact.step or 0):
        yield events.Metrics(at=at, v={fact.name: fact.value}, s=fact.step, b=fact.basis)


def _evaluations(facts: Sequence[Fact], at: float) -> Iterator[events.Evaluation]:
    """Return evaluations of one step, basis, subject and number of cases each; those without a step come last."""
    groups: dict[tuple[int | None, str | None, str | None, int | None, int], dict[str, events.Number]] = {}
    for fact in facts:
        if not fact.is_course:
            key = (fact.step, fact.basis, fact.subject, fact.n)
            repeat = next(i for i in range(len(facts)) if fact.name not in groups.get((*key, i), {}))
            groups.setdefault((*key, repeat), {})[fact.name] = fact.value
    for (step, basis, subject, n, _), metrics in sorted(groups.items(), key=lambda item: item[0][0] is None):
        counts = dict.fromkeys(metrics, n) if n else {}
        yield events.Evaluation(at=at, metrics=metrics, step=step, basis=basis, subject=subject, counts=counts)


def _definitions(run: ReportedRun, names: _Names, at: float) -> Iterator[events.Define]:
    goals: dict[str, str] = {}
    for wanted in run.wanted:
        name, op = _gated(wanted, names), _operator(wanted)
        if op in _GOAL_OF and infer_goal(name) is None:
            goals[name] = _GOAL_OF[op]
    for name, goal in goals.items():
        yield events.Define(at=at, name=name, goal=goal)


# --- targets


def _operator(wanted: Wanted) -> str:
    """Return the operator of a target; one that names none asks for at least, or at most where less is better."""
    return wanted.target.op or ("<=" if infer_goal(wanted.metric.base) == "min" else ">=")


def _gated(wanted: Wanted, names: _Names) -> str:
    name = names.of(wanted.metric)
    return f"{name}/passed" if wanted.metric.base == "gates" else name


def _suite(report: Report, run: ReportedRun, names: _Names, at: float) -> Iterator[events.Gates]:
    """Return what the report asks of the run as a gate suite."""
    ranges = {names.of(said.metric) for said in run.said if said.value.high is not None}
    gates: dict[str, str] = {}
    for wanted in run.wanted:
        name, op, bases = _gated(wanted, names), _operator(wanted), [wanted.metric.basis or "measured"]
        if name in ranges:
            name += "/min" if op in (">=", ">") else "/max"
        label = name if bases == ["measured"] else f"{name} ({bases[0]})"
        gates.setdefault(
            label,
            f"{_GATE}name = {_toml(label)}\nmetric = {_toml(name)}\nop = {_toml(op)}\n"
            f"threshold = {wanted.target.value.number!r}\nbasis = {_toml(bases[0])}\n",
        )
    if gates:
        suite = f"{report.experiment}-targets"
        text = f"name = {_toml(suite)}\ndescription = {_toml(f'The targets of: {report.title}')}\n\n"
        yield events.Gates(at=at, suite=suite, text=text + "\n".join(gates.values()))


def _toml(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _notes(report: Report, source: str, at: float) -> Iterator[events.Note]:
    yield events.Note(at=at, text=f"imported from {source}: {report.title}")
    if report.status:
        yield events.Note(at=at, level="warning", text=f"the report says: {report.status}")
    if report.encoding.suffered:
        yield events.Note(at=at, text=f"its text was {report.encoding}")


# --- several reports of one run


def merge(parts: Iterable[Sequence[events.AnyEvent]]) -> list[events.AnyEvent]:
    """Return the events of one run of which several reports speak: each number once, the most exact date, `failed`
    before `finished` before `unknown`.
    """
    batches = [list(part) for part in parts]
    starts = [event for batch in batches for event in batch if isinstance(event, events.Start)]
    ends = [event for batch in batches for event in batch if isinstance(event, events.End)]
    chosen = min(starts, key=lambda start: (start.at % 86_400.0 == 0.0, start.at))
    params: dict[str, object] = {}
    for start in starts:
        params = {**start.params, **params}
    tags = list(dict.fromkeys(tag for start in starts for tag in start.tags))
    first = events.Start(
        at=chosen.at, run=chosen.run, name=chosen.name, experiment=chosen.experiment, params=params, tags=tags,
        source=chosen.source, foreign_id=chosen.foreign_id,
    )  # fmt: skip
    order = ("failed", "killed", "crashed", "finished")
    end = min(ends, key=lambda event: order.index(event.status) if event.status in order else len(order))
    middle = [event for batch in batches for event in batch if not isinstance(event, events.Start | events.End)]
    facts = sorted(_said_once(middle), key=_said_last)
    return [first, *_one_suite(facts), events.End(at=chosen.at, status=end.status, evidence=end.evidence)]


def _said_last(event: events.AnyEvent) -> int:
    """Order facts so that the values without a step come after those with one."""
    if isinstance(event, events.Metrics):
        return 1
    return 0 if not isinstance(event, events.Evaluation) else 2 if event.step is not None else 3


def _said_once(batch: Iterable[events.AnyEvent]) -> Iterator[events.AnyEvent]:
    """Yield events without what was said before, whenever it was said."""
    seen: set[str] = set()
    for event in batch:
        fields = {name: getattr(event, name) for name in event.__struct_fields__ if name != "at"}
        if isinstance(event, events.Evaluation):
            about = f"{event.step} {event.basis} {event.subject}"
            event.metrics = {
                name: value for name, value in event.metrics.items() if f"{about} {name} {value}" not in seen
            }
            event.counts = {name: n for name, n in event.counts.items() if name in event.metrics}
            seen |= {f"{about} {name} {value}" for name, value in event.metrics.items()}
            if event.metrics:
                yield event
        elif (key := f"{type(event).__name__} {fields!r}") not in seen:
            seen.add(key)
            yield event


def _one_suite(batch: Sequence[events.AnyEvent]) -> Iterator[events.AnyEvent]:
    """Yield events with the suites of one name joined: each gate once, the first that was named."""
    suites = [event for event in batch if isinstance(event, events.Gates)]
    yield from (event for event in batch if not isinstance(event, events.Gates))
    for name in dict.fromkeys(event.suite for event in suites):
        same = [event for event in suites if event.suite == name]
        head = same[0].text.split(_GATE, 1)[0]
        blocks = [_GATE + block.strip() + "\n" for event in same for block in event.text.split(_GATE)[1:]]
        named = {block.splitlines()[1]: block for block in reversed(blocks)}
        ordered = [block for block in dict.fromkeys(blocks) if named[block.splitlines()[1]] == block]
        yield events.Gates(at=same[0].at, suite=name, text=head + "\n".join(ordered))

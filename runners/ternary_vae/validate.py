"""Validate a trained run: make some of the twelve tests, record them against its best weights beside their controls."""

import dataclasses
import math
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import registry
from registry import events, places
from registry.errors import CheckFailedError, NotFoundError, UsageError
from registry.gates import Facts, Observed, judge, load_suite_text, parse_suite
from runners.ternary_vae import FAMILY
from runners.ternary_vae.checks import ANEW, TESTS, Anew, Metrics, Series, Subject, measure
from runners.ternary_vae.controls import control_scores
from runners.ternary_vae.many import ManyVaes
from runners.ternary_vae.model import DualVae
from runners.ternary_vae.operations import make_task
from runners.ternary_vae.settings import Settings
from runners.ternary_vae.study import STUDIES, Bests, refuse_sick
from runners.training.checkpoints import FOLDER_NAME, load_weights
from runners.training.machine import Machine, prepare
from runners.training.start import find_folder

SUITE = "ternary-vae-validation"
BEST = Path(FOLDER_NAME) / "best.safetensors"


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What came of a validation: the run it is recorded as, its metrics, and the verdicts of the gates they meet."""

    run_id: str
    metrics: Metrics
    verdicts: dict[str, str]


def validate(
    reference: str, asked: Sequence[str] = (), *, preset: str = "smoke", n_seeds: int = 3, db: str | None = None
) -> Outcome:
    """Make the tests asked for, or all that the run's recipe allows, and record them as a child run.

    `preset` sizes the models trained anew. Raises NotFoundError for no such run or no weights, UsageError for a run of
    another family and for tests that its recipe cannot be trained anew for, CheckFailedError for changed weights.
    """
    folder = find_folder(reference, db)
    settings, subject, digest, step = read_subject(folder)
    possible = [name for name in TESTS if settings.recipe == "calibrated" or name not in ANEW]
    if refused := [name for name in asked if name not in possible]:
        raise UsageError(
            f"{', '.join(refused)}: recipe {settings.recipe} is not trained anew",
            hint=f"possible: {', '.join(possible)}",
        )
    tests = list(asked or possible)
    wanted = [name for name in tests if name in ANEW]
    with registry.init(
        experiment="ternary_vae",
        name=f"validate-{folder.name.rpartition('-')[0]}",
        parent=folder.name.rpartition("-")[2],
        params={"family": "ternary_vae", "variant": "validate", "tests": tests, "preset": preset},
        gates=SUITE,
        db=db,
    ) as run:
        require_recorded(run.log_artifact(folder / BEST, role="best", step=step), digest, folder)
        machine = prepare(dataclasses.replace(settings, device="cpu"))
        anew = train_anew(wanted, resized(settings, preset), n_seeds, machine) if wanted else Anew({})
        metrics = measure(tests, subject, anew)
        run.log_evaluation("best", metrics, step=step, basis="measured", suite=SUITE)
        run.log(metrics, step=step, basis="measured")
        scores = control_scores(tests)
        for name, values in scores.items():
            run.log_evaluation(subject=name, metrics=values, suite=SUITE)
    return Outcome(run.id, metrics, verdicts(metrics, scores))


def require_recorded(found: str, recorded: str, folder: Path) -> None:
    """Raise CheckFailedError when the weights on the disk are not those that the run recorded."""
    if found != recorded:
        raise CheckFailedError(f"{folder / BEST} is not what the run recorded: {found[:10]} is not {recorded[:10]}")


def verdicts(metrics: Metrics, scores: Mapping[str, Metrics]) -> dict[str, str]:
    """Return, by metric, the verdicts of the suite's gates on what was measured."""
    suite = parse_suite(load_suite_text(SUITE)[1], SUITE)
    facts = Facts(
        checkpoint="best",
        evaluated={name: (Observed(value),) for name, value in metrics.items()},
        subjects={name: {key: Observed(value) for key, value in own.items()} for name, own in scores.items()},
    )
    return {verdict.metric: verdict.verdict for verdict in judge(suite, facts) if verdict.metric in metrics}


def read_subject(folder: Path) -> tuple[Settings, Subject, str, int]:
    """Return a run's settings, what is to be looked at, and the digest and step of its best weights."""
    lines = [events.decode(line) for line in (folder / places.JOURNAL_NAME).read_bytes().splitlines()]
    params = next((event.params for event in lines if isinstance(event, events.Start)), {})
    if params.get("family") != FAMILY.name:
        raise UsageError(f"{folder.name} is no run of {FAMILY.name}", hint="`registry ls` shows which are")
    known = {field.name for field in dataclasses.fields(Settings)}
    settings = Settings(**{key: value for key, value in params.items() if key in known})
    best = [event for event in lines if isinstance(event, events.Artifact) and event.role == "best"]
    if not best:
        raise NotFoundError(f"{folder.name} has no best weights", hint="of many models: validate one of its children")
    weights, _ = load_weights(folder / BEST)
    model = DualVae()
    model.load_state_dict(weights)
    digests = [event.digest for event in lines if isinstance(event, events.UseDataset) and event.digest]
    task = make_task(settings.seed, settings.holdout, settings.targets)
    subject = Subject(model, task, series_of(lines), digests[-1] if digests else "")
    return settings, subject, best[-1].digest, best[-1].step or 0


def series_of(lines: Sequence[Any]) -> Series:
    """Return the points of a journal's metrics; a look during the training is told from the judgement at its end."""
    found: Series = {}
    for event in lines:
        if isinstance(event, events.Metrics) and event.s is not None:
            for name, value in event.v.items():
                if not (name.startswith("coverage") and event.b != "sampled"):
                    found.setdefault(name, []).append((event.s, float(value)))
    return {name: sorted(dict(points).items()) for name, points in found.items()}


def resized(settings: Settings, preset: str) -> Settings:
    """Return the run's settings at the size of a preset, for one model; `own` leaves the size as it is."""
    changes = {} if preset == "own" else dict(FAMILY.presets[preset])
    return dataclasses.replace(settings, **{**changes, "n_models": 1, "study": "none", "device": "cpu"})


def train_anew(tests: Sequence[str], base: Settings, n_seeds: int, machine: Machine) -> Anew:
    """Train, all at once, the models that some tests need."""
    wanted: dict[str, list[Settings]] = {}
    if "holdout_shuffle" in tests:
        wanted["permuted"] = [dataclasses.replace(base, targets="permuted")]
    if "novel_operations" in tests:
        wanted["commutative"] = [dataclasses.replace(base, holdout="commutative")]
    if "seed_variance" in tests:
        wanted["seeds"] = [dataclasses.replace(base, seed=base.seed + number) for number in range(n_seeds)]
    if "collapse_sweep" in tests:
        wanted |= {label: [dataclasses.replace(base, **changes)] for label, changes in STUDIES["collapse"].items()}
    members = list(dict.fromkeys(own for group in wanted.values() for own in group))
    tasks = {own: make_task(own.seed, own.holdout, own.targets) for own in members}
    total_steps = base.epochs * math.ceil(len(tasks[members[0]].split.train) / base.batch_size)
    many = ManyVaes(members, list(tasks.values()), total_steps, machine)
    bests = Bests(many, list(tasks.values()))
    every = max(1, total_steps // base.n_evaluations)
    for step in range(1, total_steps + 1):
        many.step(step)
        if step % every == 0 or step == total_steps:
            refuse_sick(many, step)
            bests.look(step)
            print(f"{len(members)} models anew: step {step}/{total_steps}", file=sys.stderr, flush=True)
    models = {own: many.model(index, bests.weights) for index, own in enumerate(members)}
    return Anew({label: [(models[own], tasks[own]) for own in group] for label, group in wanted.items()})

"""Trainings side by side, made all at once: several seeds, the ablation, the sweep of the KL weight.

The run that was asked for holds all models together and the comparison; when they are trained, each becomes a child
run with its own settings, weights, evaluation and gates. The parent's own evaluation is the worst of its seeds.
"""

import dataclasses
import hashlib
import math
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

import torch

import registry
from registry import events, places
from registry.places import find_run_folder
from registry.run import Run
from runners.ternary_vae import evaluate as evaluation
from runners.ternary_vae.many import ManyVaes
from runners.ternary_vae.model import VAES
from runners.ternary_vae.operations import Task, make_task
from runners.ternary_vae.record import define_metrics, finish, use_dataset
from runners.ternary_vae.schedule import BetaWatch, activation_step, phase_at
from runners.ternary_vae.settings import Settings
from runners.training.checkpoints import Checkpoints, NotFiniteError, is_better
from runners.training.loop import Control, Loop
from runners.training.machine import Machine
from runners.training.settings import as_params

STUDIES: dict[str, dict[str, dict[str, Any]]] = {
    "none": {"calibrated": {}},
    "ablation": {
        "calibrated": {},
        "no-calibration": {"calibrate": False},
        "no-statenet": {"statenet": "off"},
        "no-uniformity": {"uniformity": 0.0},
        "no-ramp": {"activation_ramp": 1e-6},
        "no-free-bits": {"free_bits": 0.0},
        "cross-injection": {"cross_injection": 0.3},
    },
    "collapse": {f"beta-{beta:g}": {"beta": beta} for beta in (0.0, 0.03, 0.1, 0.3, 1.0, 3.0)},
}
"""For each study the rows of its table: a label, and the settings that make it so."""
COLUMNS = (
    "coverage_argmax@50000",
    "coverage_eff@50000",
    "coverage_argmax@195000",
    "exact_test",
    "active_dims",
    "reach",
    "kl_total",
)
LOWER_IS_BETTER = ("coverage_excess_sd", "holdout_leak", "beta_max_jump", "exact_test_shuffled", "missing@")
TABLE_NAME = "table.md"


@dataclasses.dataclass(frozen=True)
class Member:
    """One row of a study with one seed."""

    label: str
    settings: Settings

    @property
    def name(self) -> str:
        """The end of its child run's name."""
        return f"{self.label}-s{self.settings.seed}"


def members_of(settings: Settings) -> list[Member]:
    """Return every row of the study with every seed."""
    return [
        Member(label, dataclasses.replace(settings, seed=seed, n_models=1, study="none", **changes))
        for label, changes in STUDIES[settings.study].items()
        for seed in range(settings.seed, settings.seed + settings.n_models)
    ]


def train_many(settings: Settings, run: Run, control: Control, machine: Machine) -> None:
    """Train all members at once, then judge and record each as a child run, and compare them in the parent."""
    members = members_of(settings)
    trained = list(dict.fromkeys(as_trained(member.settings) for member in members))
    tasks = {own: make_task(own.seed, own.holdout, own.targets) for own in trained}
    define_metrics(run)
    run.log_params({"n_trained": len(trained), "n_members": len(members)})

    steps_per_epoch = math.ceil(len(tasks[trained[0]].split.train) / settings.batch_size)
    total_steps = settings.epochs * steps_per_epoch
    evaluate_every = max(1, total_steps // settings.n_evaluations)
    many = ManyVaes(trained, list(tasks.values()), total_steps, machine)
    bests = Bests(many, list(tasks.values()))
    loop = Loop(
        run,
        control,
        total_steps=total_steps,
        parts={"models": many, "bests": bests},
        weights=lambda: many.weights,
        checkpoint_every=settings.checkpoint_every,
        about={"family": "ternary_vae", "seeds": [own.seed for own in trained]},
    )
    loop.rehearse(lambda: many.step(1), lambda: evaluation.quick_look(many.model(0), tasks[trained[0]]))
    for step in loop.steps():
        if step == activation_step(settings, total_steps):
            run.note("disruption: from here B pays for its KL", step=step)
        parts = many.step(step)
        bests.watch(step, total_steps)
        if step % evaluate_every == 0 or step == total_steps:
            refuse_sick(many, step)
            loop.log({name: float(values.mean()) for name, values in parts.items()} | {"epoch": step / steps_per_epoch})
            criteria = bests.look(step)
            loop.log({"criterion/mean": statistics.fmean(criteria), "criterion/min": min(criteria)}, basis="sampled")
            loop.show(f"criterion {min(criteria):.3f} to {max(criteria):.3f}")
    if loop.interrupted or None in bests.values:
        return

    metrics = {}
    for member in members:
        index = trained.index(as_trained(member.settings))
        metrics[member] = judge(run, member, many, bests, index, tasks[trained[index]])
    compare(run, metrics, loop.step)


def as_trained(settings: Settings) -> Settings:
    """Return the settings without what only counts after the training: members that agree in them share a model."""
    return dataclasses.replace(settings, calibrate=True)


def refuse_sick(many: ManyVaes, step: int) -> None:
    """Raise NotFiniteError when a model's loss was not finite: its weights are those from before it."""
    sick = [own.seed for own, is_bad in zip(many.members, many.is_bad.tolist(), strict=True) if is_bad]
    if sick:
        raise NotFiniteError(
            f"the loss of {len(sick)} of {len(many.members)} models is not finite by step {step} (seeds {sick[:8]})",
            hint="lower the learning rate or look at the settings",
        )


class Bests:
    """Each model's best weights by the family's criterion, its looks and its largest jump of a KL weight."""

    def __init__(self, many: ManyVaes, tasks: Sequence[Task]) -> None:
        self._many, self._tasks = many, list(tasks)
        n = len(many.members)
        self.values: list[float | None] = [None] * n
        self.steps = [0] * n
        self.weights = {name: tensor.detach().clone() for name, tensor in many.weights.items()}
        self.newborn = {name: tensor.detach().clone() for name, tensor in many.weights.items() if "statenet" in name}
        self.looks: list[dict[str, Any]] = []
        self.watches = [BetaWatch() for _ in range(n)]

    def watch(self, step: int, total_steps: int) -> None:
        """Note the KL weights of the step just made."""
        for own, watch in zip(self._many.members, self.watches, strict=True):
            watch.observe(phase_at(own, step, total_steps))

    @torch.no_grad()
    def look(self, step: int) -> list[float]:
        """Look at every model, keep the weights of those that are at their best; return the criteria."""
        criteria = []
        for index, task in enumerate(self._tasks):
            values = evaluation.quick_look(self._many.model(index), task)
            self.looks.append({"step": step, "index": index, "values": values})
            criteria.append(evaluation.criterion(values))
            if is_better(criteria[-1], self.values[index], "max"):
                self.values[index], self.steps[index] = criteria[-1], step
                for name, tensor in self._many.weights.items():
                    self.weights[name][index].copy_(tensor[index])
        return criteria

    def statenet_moved(self, index: int) -> float:
        """Return the largest change of a controller's weight between the beginning and the best."""
        return max(float((self.weights[name][index] - old[index]).abs().max()) for name, old in self.newborn.items())

    def state_dict(self) -> dict[str, Any]:
        """Return everything as tensors and plain values."""
        return {
            "values": list(self.values),
            "steps": list(self.steps),
            "weights": self.weights,
            "looks": list(self.looks),
            "watches": [watch.state_dict() for watch in self.watches],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over a state."""
        self.values, self.steps, self.looks = list(state["values"]), list(state["steps"]), list(state["looks"])
        for name, tensor in self.weights.items():
            tensor.copy_(state["weights"][name])
        for watch, own in zip(self.watches, state["watches"], strict=True):
            watch.load_state_dict(own)


def judge(run: Run, member: Member, many: ManyVaes, bests: Bests, index: int, task: Task) -> dict[str, float]:
    """Record one member as a child run and return its evaluation; a child that is whole already is only read."""
    child_id = hashlib.sha256(f"{run.id}/{member.name}".encode()).hexdigest()[:10]
    known = _recorded(run, child_id)
    if known:
        return known
    params = as_params(member.settings) | {"family": "ternary_vae", "variant": member.label}
    with registry.init(
        id=child_id,
        resume="allow",
        parent=run.id,
        experiment=run.experiment,
        name=f"{run.name}-{member.name}",
        params=params,
        gates=evaluation.SUITE,
        db=run.address,
    ) as child:
        use_dataset(child, member.settings, task.split)
        define_metrics(child)
        for look in (look for look in bests.looks if look["index"] == index):
            child.log(look["values"], step=look["step"], basis="sampled")
        model = many.model(index, bests.weights)
        checkpoints = Checkpoints(child)
        about = {
            "criterion": evaluation.CRITERION,
            "criterion_value": bests.values[index],
            "seed": member.settings.seed,
        }
        checkpoints.save_weights("best", model.state_dict(), bests.steps[index], about)
        facts = {"beta_max_jump": bests.watches[index].max_jump}
        if member.settings.statenet == "trained":
            facts["statenet_moved"] = bests.statenet_moved(index)
        return finish(member.settings, child, checkpoints, model, task.to(next(model.parameters()).device), facts)


def _recorded(run: Run, child_id: str) -> dict[str, float] | None:
    """Return the evaluation that a finished child wrote in its journal."""
    folder = find_run_folder(run.folder.parent, child_id)
    if folder is None:
        return None
    lines = [events.decode(line) for line in (folder / places.JOURNAL_NAME).read_bytes().splitlines()]
    done = any(isinstance(event, events.End) and event.status == "finished" for event in lines)
    scores = [event.metrics for event in lines if isinstance(event, events.Evaluation) and event.digest]
    return {name: float(value) for name, value in scores[-1].items()} if done and scores else None


def compare(run: Run, metrics: Mapping[Member, Mapping[str, float]], step: int) -> None:
    """Record the means and spreads of each row, the worst of the first row's seeds, and the table as a file."""
    rows: dict[str, list[Mapping[str, float]]] = {}
    for member, values in metrics.items():
        rows.setdefault(member.label, []).append(values)
    first = next(iter(rows.values()))
    run.log_evaluation("last", worst(first), step=step, basis="measured", suite=evaluation.SUITE)
    for label, seeds in rows.items():
        for name in (f"{column}/{vae}" for column in COLUMNS for vae in VAES):
            mean, sd = spread([values[name] for values in seeds])
            run.log({f"{label}/{name}": mean} | ({f"{label}/{name}/sd": sd} if len(seeds) > 1 else {}), step=step)
    path = run.folder / TABLE_NAME
    path.write_text(as_table(rows))
    run.log_artifact(path, role="report", step=step)


def worst(seeds: Sequence[Mapping[str, float]]) -> dict[str, float]:
    """Return the worst value of each metric over the seeds, and how far the seeds' efficiencies spread."""
    found = {}
    for name in seeds[0]:
        values = [own[name] for own in seeds]
        found[name] = max(values) if name.startswith(LOWER_IS_BETTER) else min(values)
    if len(seeds) > 1:
        for vae in VAES:
            found[f"seed_sd/coverage_eff@50000/{vae}"] = statistics.stdev(
                [own[f"coverage_eff@50000/{vae}"] for own in seeds]
            )
    return found


def spread(values: Sequence[float]) -> tuple[float, float]:
    """Return mean and standard deviation over the seeds; of one seed the latter is 0."""
    return statistics.fmean(values), statistics.stdev(values) if len(values) > 1 else 0.0


def as_table(rows: Mapping[str, Sequence[Mapping[str, float]]]) -> str:
    """Return the comparison as a Markdown table, A / B in each cell, mean ± sd over the seeds."""
    lines = ["| run | seeds | " + " | ".join(COLUMNS) + " |", "|---" * (len(COLUMNS) + 2) + "|"]
    for label, seeds in rows.items():
        cells = [
            " / ".join(_cell(column, [own[f"{column}/{vae}"] for own in seeds]) for vae in VAES) for column in COLUMNS
        ]
        lines.append(f"| {label} | {len(seeds)} | " + " | ".join(cells) + " |")
    return "\n".join(lines) + "\n"


def _cell(column: str, values: Sequence[float]) -> str:
    mean, sd = spread(values)
    percent = column.startswith(("coverage_argmax", "exact"))
    scale, digits = (100.0, 2) if percent else (1.0, 4 if "eff" in column else 1)
    text = f"{scale * mean:.{digits}f}" + (f" ± {scale * sd:.{digits}f}" if len(values) > 1 else "")
    return text + (" %" if percent else "")

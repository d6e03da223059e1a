"""Train on EdgeJSON, top to bottom: checked rows, a base (given, or trained here), an adapter on what is new.

Two phases share one loop: a small base learns its schemas, then the adapter learns the new ones.
"""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from transformers import PreTrainedTokenizerBase
from transformers.utils.logging import disable_progress_bar

from registry.run import Run
from runners.edgejson import base as bases
from runners.edgejson import model as models
from runners.edgejson.data import RowSet, open_rows
from runners.edgejson.evaluate import evaluate, record_evaluation
from runners.edgejson.settings import EdgeJsonSettings
from runners.edgejson.tokens import train_tokenizer
from runners.training.checkpoints import load_weights
from runners.training.loop import Control, Criterion, Loop
from runners.training.machine import Machine, prepare, stream
from runners.training.optimise import Stepper

WARM_UP = 0.05


@dataclass(frozen=True)
class Phase:
    """A stretch of the training: which tensors learn, how fast, from what loss of step k and pass i."""

    name: str
    steps: int
    learning_rate: float
    trains_base: bool
    loss: Callable[[int, int], Tensor]


def train(settings: EdgeJsonSettings, run: Run, control: Control) -> None:
    """Train and evaluate; refuses data that does not pass its checks before anything is loaded."""
    rows = open_rows(settings)
    machine = prepare(settings)
    for role in ("train", "test"):
        run.use_dataset(rows.reference, role=role, digest=rows.digest)
    run.log_params(machine.describe() | {f"data/{check.id}": "pass" for check in rows.checks})

    model, tokenizer = _base_of(settings, rows, machine)
    own = [name for name, _ in model.named_parameters()] if not settings.base else []
    if settings.method == "lora":
        model = models.adapt(model, settings)
        own = [name for name, one in model.named_parameters() if not one.requires_grad] if not settings.base else []
    model.to(machine.device)
    parameters = dict(model.named_parameters())
    adapter = [name for name in parameters if name not in own and parameters[name].requires_grad]
    trained = models.TrainedTensors(model, [*own, *adapter])
    run.log_params(bases.describe(model) | {"base/digest": bases.digest_of_base(settings.base)})

    phases = _phases(settings, rows, model, tokenizer, machine)
    steppers = {
        trains_base: _stepper(settings, [parameters[name] for name in names], machine)
        for trains_base, names in ((True, own), (False, adapter))
        if names
    }
    total_steps = sum(phase.steps for phase in phases)
    first_of_last = total_steps - phases[-1].steps + 1
    validation = models.tokenise(rows.validation, tokenizer, settings.max_tokens)
    loop = Loop(
        run,
        control,
        total_steps=total_steps,
        parts={"tensors": trained}
        | {f"optimiser_{'base' if key else 'adapter'}": one.optimiser for key, one in steppers.items()},
        weights=trained.state_dict,
        checkpoint_every=settings.checkpoint_every,
        criterion=Criterion("val/loss", "min"),
        about={"family": "edgejson", "settings": asdict(settings)},
    )

    def one_step(step: int) -> float:
        phase, done = _phase_of(phases, step)
        stepper = steppers[phase.trains_base]
        model.train()
        for trains_base, names in ((True, own), (False, adapter)):
            for name in names:
                parameters[name].requires_grad_(trains_base == phase.trains_base)
        for group in stepper.optimiser.param_groups:
            group["lr"] = phase.learning_rate * _one_cycle(done)
        return stepper.step(lambda index: phase.loss(step, index))

    @torch.no_grad()
    def validate() -> float:
        model.eval()
        pad = models.pad_of(tokenizer)
        parts = [validation[start : start + 64] for start in range(0, len(validation), 64)]
        with machine.autocast():
            losses = [float(models.answer_loss(model, part, pad, machine.device)) * len(part) for part in parts]
        return sum(losses) / len(validation)

    loop.rehearse(lambda: one_step(first_of_last), validate)
    every = max(1, phases[-1].steps // settings.evaluations)
    for step in loop.steps():
        loss = one_step(step)
        phase, _ = _phase_of(phases, step)
        loop.log({f"train/loss_{phase.name}": loss})
        loop.show(f"{phase.name} {loss:.4g}")
        if step == first_of_last - 1:
            run.note(f"the base is ready at step {step}", step=step)
        if step >= first_of_last and ((step - first_of_last + 1) % every == 0 or step == total_steps):
            value = validate()
            loop.log({"val/loss": value})
            loop.offer(value)
    if loop.interrupted or loop.best_step is None:
        return

    trained.load_state_dict(load_weights(loop.checkpoints.path("best"))[0])
    _keep_model(run, settings, model, tokenizer, loop.best_step)
    record_evaluation(run, evaluate(model.eval(), tokenizer, rows, settings), loop.best_step)


# --- what is trained


def _base_of(settings: EdgeJsonSettings, rows: RowSet, machine: Machine) -> tuple[Any, PreTrainedTokenizerBase]:
    if settings.base:
        half = machine.precision == "bf16" and machine.device.type == "cuda"
        return bases.load_base(settings.base, torch.bfloat16 if half else torch.float32)
    texts = (row.prompt + models.answer_text(row.answer) for row in [*rows.base_train, *rows.new_train])
    tokenizer = train_tokenizer(texts, settings.vocabulary)
    return bases.small_base(settings, tokenizer), tokenizer


def _stepper(settings: EdgeJsonSettings, parameters: list[torch.nn.Parameter], machine: Machine) -> Stepper:
    optimiser = torch.optim.AdamW(parameters, 1.0, betas=(0.9, 0.98), weight_decay=settings.weight_decay)
    return Stepper(optimiser, parameters, machine, clip_norm=settings.clip_norm, accumulate=settings.accumulate)


# --- the phases


def _phases(
    settings: EdgeJsonSettings, rows: RowSet, model: Any, tokenizer: PreTrainedTokenizerBase, machine: Machine
) -> list[Phase]:
    """Return the phases that have steps, in their order."""
    known = models.tokenise(rows.base_train, tokenizer, settings.max_tokens)
    new = models.tokenise(rows.new_train, tokenizer, settings.max_tokens)
    n_replayed = round(settings.replay * settings.batch_size) if settings.method == "lora" and known else 0
    pad = models.pad_of(tokenizer)

    def answering(examples: list[models.Example], others: list[models.Example], n_others: int) -> Callable[..., Tensor]:
        def loss(step: int, index: int) -> Tensor:
            number = step * settings.accumulate + index
            batch = _drawn(examples, settings.batch_size - n_others, stream(settings.seed, 0, number))
            batch += _drawn(others, n_others, stream(settings.seed, 1, number))
            return models.answer_loss(model, batch, pad, machine.device)

        return loss

    phases = []
    if not settings.base:
        phases.append(
            Phase("base", settings.base_steps, settings.base_learning_rate, True, answering(known, [], 0)),
        )
    if settings.method == "lora":
        learning = answering(new, known, n_replayed)
        phases.append(Phase("adapter", settings.adapter_steps, settings.adapter_learning_rate, False, learning))
    return [phase for phase in phases if phase.steps]


def _drawn(examples: list[models.Example], n: int, rng: np.random.Generator) -> list[models.Example]:
    """Return a random batch. Rows of about one length would pad less, but are of few schemas, and learn worse."""
    return [examples[index] for index in rng.integers(len(examples), size=n)] if n else []


def _phase_of(phases: list[Phase], step: int) -> tuple[Phase, float]:
    """Return the phase that a step (from 1) is in, and the share of it that is done before the step."""
    for phase in phases:
        if step <= phase.steps:
            return phase, (step - 1) / phase.steps
        step -= phase.steps
    raise ValueError(f"step {step} is after the last phase")


def _one_cycle(done: float) -> float:
    """Return the learning rate's share of its largest value: a short rise, then half a cosine down to nothing."""
    if done < WARM_UP:
        return (done + 1e-3) / (WARM_UP + 1e-3)
    return 0.5 * (1.0 + float(np.cos(np.pi * (done - WARM_UP) / (1.0 - WARM_UP))))


# --- what is kept


def _keep_model(
    run: Run, settings: EdgeJsonSettings, model: Any, tokenizer: PreTrainedTokenizerBase, step: int
) -> None:
    """Keep the model as others can load it: the adapter and its tokenizer, and the base where it was trained here.

    The folder is the run's best from here on: it is what is scored, promoted and served. An adapter names its base by
    the words it was given, never by a path of this machine.
    """
    folder = run.folder / "model"
    disable_progress_bar()
    is_folder = bool(settings.base) and Path(settings.base).expanduser().is_dir()
    named = Path(settings.base).name if is_folder else settings.base or "base"
    tokenizer.save_pretrained(folder)
    if settings.method == "full":
        model.save_pretrained(folder)
    else:
        model.peft_config["default"].base_model_name_or_path = named
        model.save_pretrained(folder, save_embedding_layers=False)
        if not settings.base:
            bare = {name.replace(".base_layer", ""): tensor for name, tensor in _base_state(model).items()}
            model.get_base_model().save_pretrained(folder / "base", state_dict=bare)
    (folder / "README.md").unlink(missing_ok=True)
    run.log_artifact(folder, "best", step=step, metadata={"what": "model folder for transformers and peft"})


def _base_state(model: Any) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in model.get_base_model().state_dict().items() if ".lora_" not in name}

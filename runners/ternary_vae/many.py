"""Many models trained at once: their weights are stacked, one step moves them all (torch.func, vmap).

Each model has its own seed, operations, noise and loss weights, and ends where a training of its own would, but for
rounding. On a GPU a step is a CUDA graph; there all models draw from one generator, so they equal their own trainings
in distribution only.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import fields
from typing import Any

import torch
from torch import Tensor, nn
from torch.func import functional_call, stack_module_state, vmap

from runners.ternary_vae.model import LATENT_DIM, DualVae
from runners.ternary_vae.objective import Weights, calibrated_loss, draw_noise, weights_at
from runners.ternary_vae.operations import Task, all_operations, as_input, batch_ids
from runners.ternary_vae.schedule import Phase, phase_at
from runners.ternary_vae.settings import Settings
from runners.training.machine import Machine

WARM_UP_STEPS = 3
"""Steps made, and undone, before a CUDA graph is captured: libraries allocate on first use."""


class Objective(nn.Module):
    """A model together with its loss, so that `functional_call` finds a forward."""

    def __init__(self, model: DualVae) -> None:
        super().__init__()
        self.model = model

    def forward(
        self, x: Tensor, trits: Tensor, noise: dict[str, Tensor], weights: dict[str, Tensor]
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of one model and its parts."""
        return calibrated_loss(self.model, x, trits, noise, Weights(**weights))


class ManyVaes:
    """Stacked models with their optimiser; `step(n)` makes one step of all, `state_dict` is all it takes to go on."""

    def __init__(self, members: Sequence[Settings], tasks: Sequence[Task], total_steps: int, machine: Machine) -> None:
        self.members = list(members)
        self._tasks = list(tasks)
        self._total_steps = total_steps
        self._machine = machine
        self._generators: list[torch.Generator] = []
        models = [self._newborn(settings.seed) for settings in members]
        self.weights, _ = stack_module_state(models)
        self._shell = Objective(DualVae()).to(machine.device)
        self._x = as_input(all_operations()).to(machine.device)
        self._targets = torch.stack([task.targets for task in tasks]).to(machine.device)
        on_gpu = machine.device.type == "cuda"
        rate = members[0].learning_rate
        self.optimiser = torch.optim.AdamW(
            self.weights.values(),
            lr=torch.tensor(rate, device=machine.device) if on_gpu else rate,
            weight_decay=members[0].weight_decay,
            fused=True,
            capturable=on_gpu,
        )
        self._graphs: dict[tuple[int, ...], GraphedStep] | None = {} if on_gpu else None
        self.is_bad = torch.zeros(len(members), dtype=torch.bool, device=machine.device)
        """Models whose loss or gradient was not finite; their weights have not moved by it."""

    def _newborn(self, seed: int) -> Objective:
        """Return the model that a training of this seed begins with, and keep the generator that it would draw from."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            model = Objective(DualVae())
            self._generators.append(torch.Generator().set_state(torch.get_rng_state()))
        return model.to(self._machine.device)

    def model(self, index: int, weights: dict[str, Tensor] | None = None) -> DualVae:
        """Return one of the models, with its present weights or with those of `weights` (stacked)."""
        stacked = self.weights if weights is None else weights
        alone = Objective(DualVae()).to(self._machine.device)
        alone.load_state_dict({name: tensor[index] for name, tensor in stacked.items()})
        return alone.model

    def step(self, number: int) -> dict[str, Tensor]:
        """Make step `number` of every model; return each model's loss and its parts, (n_models) each."""
        ids, weights, sizes, phases = self.inputs(number)
        self._set_rate(phases[0].learning_rate)
        if self._graphs is None:
            return self.move(ids, self._own_noise(ids.shape[1], phases, sizes), weights)
        if sizes not in self._graphs:
            self._graphs[sizes] = GraphedStep(self, ids, weights, sizes)
        return self._graphs[sizes](ids, weights)

    def inputs(self, number: int) -> tuple[Tensor, dict[str, Tensor], tuple[int, ...], list[Phase]]:
        """Return a step's operation ids (n_models, n), loss weights, sizes (see `noise_keys`) and phases."""
        phases = [phase_at(settings, number, self._total_steps) for settings in self.members]
        ids = self._batch(number)
        sizes = (ids.shape[1], *(int(any(getattr(phase, name) > 0 for phase in phases)) for name in UNIFORMITY))
        return ids, self._weights_of(phases), sizes, phases

    def _batch(self, number: int) -> Tensor:
        ids = [
            batch_ids(task.split, settings.seed, settings.batch_size, number)
            for task, settings in zip(self._tasks, self.members, strict=True)
        ]
        return torch.stack(ids).to(self._machine.device)

    def _weights_of(self, phases: Sequence[Phase]) -> dict[str, Tensor]:
        rows = [weights_at(settings, phase) for settings, phase in zip(self.members, phases, strict=True)]
        return {
            field.name: torch.tensor([getattr(row, field.name) for row in rows], device=self._machine.device)
            for field in fields(Weights)
        }

    def _own_noise(self, n: int, phases: Sequence[Phase], sizes: tuple[int, ...]) -> dict[str, Tensor]:
        """Return what each model draws from its own generator; zeros where it draws nothing and others do."""
        drawn = [
            draw_noise(n, settings, phase, torch.device("cpu"), generator)
            for settings, phase, generator in zip(self.members, phases, self._generators, strict=True)
        ]
        keys = noise_keys(sizes)
        nothing = torch.zeros(self.members[0].uniformity_draws, LATENT_DIM)
        return {key: torch.stack([own.get(key, nothing) for own in drawn]) for key in keys}

    def shared_noise(self, n: int, sizes: tuple[int, ...]) -> dict[str, Tensor]:
        """Return noise for all models from the device's own generator, which a CUDA graph can advance."""
        counts = {key: n if key.startswith("latent") else self.members[0].uniformity_draws for key in noise_keys(sizes)}
        m, device = len(self.members), self._machine.device
        return {key: torch.randn(m, count, LATENT_DIM, device=device) for key, count in counts.items()}

    def move(self, ids: Tensor, noise: dict[str, Tensor], weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Compute all losses, clip each model's gradient by its own norm, and move the weights of the healthy ones."""
        with self._machine.autocast():
            rows = torch.arange(len(self.members), device=ids.device)[:, None]
            loss, parts = vmap(self._loss)(self.weights, self._x[ids], self._targets[rows, ids], noise, weights)
        self.optimiser.zero_grad(set_to_none=True)
        loss.sum().backward()
        norms = self._clip()
        self.is_bad |= ~(torch.isfinite(loss.detach()) & torch.isfinite(norms))
        self.optimiser.step()
        return {"train/loss": loss.detach(), "train/gradient_norm": norms, **parts}

    def _loss(self, own: dict[str, Tensor], *inputs: Any) -> tuple[Tensor, dict[str, Tensor]]:
        return functional_call(self._shell, own, inputs)

    def _clip(self) -> Tensor:
        """Scale each model's gradient to at most the largest norm, that of a sick one to nothing; return the norms."""
        gradients = [tensor.grad for tensor in self.weights.values() if tensor.grad is not None]
        norms = torch.stack([g.flatten(1).norm(dim=1) for g in gradients]).norm(dim=0)
        scale = (self.members[0].clip_norm / (norms + 1e-6)).clamp(max=1.0)
        scale = torch.where(self.is_bad | ~torch.isfinite(norms), 0.0, scale)
        for gradient in gradients:
            shape = (-1, *[1] * (gradient.dim() - 1))
            gradient.copy_(torch.nan_to_num(gradient, 0.0, 0.0, 0.0) * scale.view(shape))
        return norms

    def _set_rate(self, rate: float) -> None:
        for group in self.optimiser.param_groups:
            if isinstance(group["lr"], Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate

    def state_dict(self) -> dict[str, Any]:
        """Return weights, optimiser and generators."""
        return {
            "weights": {name: tensor.detach() for name, tensor in self.weights.items()},
            "optimiser": self.optimiser.state_dict(),
            "generators": [generator.get_state() for generator in self._generators],
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a state; the tensors stay where they are, as CUDA graphs need."""
        with torch.no_grad():
            for name, tensor in self.weights.items():
                tensor.copy_(state["weights"][name])
        self.optimiser.load_state_dict(state["optimiser"])
        for generator, own in zip(self._generators, state["generators"], strict=True):
            generator.set_state(own)
        if self._graphs is not None:
            self._graphs = {}


UNIFORMITY = ("uniformity_a", "uniformity_b")


def noise_keys(sizes: tuple[int, ...]) -> list[str]:
    """Return the keys of a step's noise; `sizes` is the batch size and whether A's and B's collisions count."""
    return ["latent/A", "latent/B", *(f"prior/{name}" for name, counts in zip("AB", sizes[1:], strict=True) if counts)]


class GraphedStep:
    """One step captured as a CUDA graph: inputs are copied into fixed tensors, then all its kernels run at once.

    Capturing needs a few real steps first; weights, moments and health are put back after them.
    """

    def __init__(self, many: ManyVaes, ids: Tensor, weights: dict[str, Tensor], sizes: tuple[int, ...]) -> None:
        self._ids = ids.clone()
        self._weights = {name: tensor.clone() for name, tensor in weights.items()}
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side), _put_back(many):
            for _ in range(WARM_UP_STEPS):
                many.move(self._ids, many.shared_noise(ids.shape[1], sizes), self._weights)
        torch.cuda.current_stream().wait_stream(side)
        self._graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(self._graph):
            self._outputs = many.move(self._ids, many.shared_noise(ids.shape[1], sizes), self._weights)

    def __call__(self, ids: Tensor, weights: dict[str, Tensor]) -> dict[str, Tensor]:
        """Make the step on these inputs; the tensors returned are overwritten by the next."""
        self._ids.copy_(ids)
        for name, tensor in weights.items():
            self._weights[name].copy_(tensor)
        self._graph.replay()
        return self._outputs


@contextmanager
def _put_back(many: ManyVaes) -> Iterator[None]:
    """Undo, in place, what the block does to weights, moments and health."""
    before = {id(tensor): tensor.detach().clone() for tensor in _moving(many)}
    yield
    with torch.no_grad():
        for tensor in _moving(many):
            if id(tensor) in before:
                tensor.copy_(before[id(tensor)])
            else:
                tensor.zero_()


def _moving(many: ManyVaes) -> list[Tensor]:
    """Return the tensors that a step changes; the moments are missing before the first step."""
    moments = [value for own in many.optimiser.state.values() for value in own.values() if isinstance(value, Tensor)]
    return [*many.weights.values(), *moments, many.is_bad]

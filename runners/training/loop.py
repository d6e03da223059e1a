"""The loop every family runs: steps, checkpoints, the best of the run, stopping. Resuming equals the straight run.

A step is a number from 1 to `total_steps`; everything that step k draws depends on the seed and k (see
`machine.stream`) or on the generators whose states the checkpoint keeps, so a run killed anywhere and resumed from its
checkpoint makes the same weights, bit for bit, on the same machine.
"""

import contextlib
import random
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from registry.errors import CheckFailedError, UsageError
from registry.run import Run
from runners.training import distributed
from runners.training.checkpoints import Checkpoints, NotFiniteError, is_better, load_weights
from runners.training.stopping import Stop

Progress = Callable[[int, int, str], None]


class Stateful(Protocol):
    """What a checkpoint can hold: models, optimisers, schedulers, scalers."""

    def state_dict(self) -> dict[str, Any]:
        """Return the state as tensors and plain values."""
        ...

    def load_state_dict(self, state: dict[str, Any]) -> Any:
        """Take over such a state."""
        ...


@dataclass(frozen=True)
class Criterion:
    """What "best" means in this run, by name, and when to stop for lack of it.

    `patience` counts offers without improvement before the run stops early; 0 never stops.
    """

    name: str
    goal: str
    patience: int = 0


@dataclass
class Control:
    """What the one who starts a training hands to it: how to stop, whom to tell, where to go on from."""

    stop: Stop = field(default_factory=Stop)
    progress: Progress = lambda step, total, text: None
    resume: dict[str, Any] | None = None
    loop: "Loop | None" = None
    """The loop that the training made; there to be asked how it ended."""

    @property
    def step(self) -> int:
        """The number of steps made so far."""
        return self.loop.step if self.loop else 0


class Loop:
    """Steps through a training; made once by each family, then iterated with `for step in loop.steps():`.

    `parts` are the objects whose states make up the training; `weights()` returns the tensors that a deployed model
    needs; `about` goes into every weight file. Raises UsageError when the resume state belongs to other parts.
    """

    def __init__(
        self,
        run: Run,
        control: Control,
        *,
        total_steps: int,
        parts: Mapping[str, Stateful],
        weights: Callable[[], Mapping[str, Tensor]],
        checkpoint_every: int,
        criterion: Criterion | None = None,
        about: Mapping[str, Any] | None = None,
    ) -> None:
        self.run = run
        self.total_steps = total_steps
        self.step = 0
        self.ended_by = ""
        """Why the loop ended before its last step: a signal, the maximum time, early stopping; empty otherwise."""
        self.best_value: float | None = None
        self.best_step: int | None = None
        self.checkpoints = Checkpoints(run)
        self._control = control
        self._parts = dict(parts)
        self._weights = weights
        self._every = checkpoint_every
        self.criterion = criterion
        self._about = dict(about or {})
        self._making = 0
        self._kept_step = 0
        self._n_stale = 0
        self._text = ""
        self._told_at = 0.0
        control.loop = self
        if criterion:
            run.log_params({"best/criterion": f"{criterion.goal} {criterion.name}"})
        if control.resume is not None:
            self._restore(control.resume)

    @property
    def current(self) -> int:
        """The number of the step being made; after the loop, of the last one made."""
        return max(self._making, self.step)

    @property
    def interrupted(self) -> bool:
        """Whether a signal ended the loop: then there is no time left for a long evaluation."""
        return self.ended_by.startswith("SIG")

    def steps(self) -> Iterator[int]:
        """Yield the number of each step still to be made; keep a checkpoint every so often and after the last.

        Ends early, after a checkpoint, on a signal, at the maximum time, or when `offer` found no improvement for too
        long. An exception in the loop's body leaves the last checkpoint as it is.
        """
        while self.step < self.total_steps and not self.ended_by:
            self._making = self.step + 1
            yield self._making
            self.step = self._making
            self._tell()
            self.ended_by = distributed.agree(self.ended_by or self._control.stop.reason)
            if self.step % self._every == 0 and self.step < self.total_steps and not self.ended_by:
                self.save()
        self.save()
        if self.checkpoints.problem:
            raise CheckFailedError(self.checkpoints.problem, hint="free some space and resume the run")

    def log(self, metrics: Mapping[str, Any], *, basis: str | None = None) -> None:
        """Record metrics of the step that is being made."""
        self.run.log(metrics, step=self.current, basis=basis)

    def show(self, text: str) -> None:
        """Set the words beside the progress bar."""
        self._text = text

    def offer(self, value: float) -> bool:
        """Offer the present weights as the best of the run; keep them under the role `best` if they are.

        `value` is the criterion's; NaN is never better. Counts towards early stopping.
        """
        criterion = self.criterion
        if criterion is None:
            raise ValueError("this loop was made without a criterion")
        if not is_better(value, self.best_value, criterion.goal):
            self._n_stale += 1
            if 0 < criterion.patience <= self._n_stale:
                self.ended_by = f"early stop: no better {criterion.name} in {self._n_stale} evaluations"
            return False
        about = self._about | {"criterion": criterion.name, "criterion_value": value}
        if self.checkpoints.save_weights("best", self._weights(), self.current, about):
            self.best_value, self.best_step, self._n_stale = value, self.current, 0
        return True

    def save(self) -> None:
        """Keep the present weights under the role `last`, and the resume state."""
        self.checkpoints.save_weights("last", self._weights(), self.step, self._about)
        if not self.checkpoints.problem:
            self.checkpoints.save_state(self._state(), self.step)
            self._kept_step = self.step

    def rehearse(self, one_step: Callable[[], object], evaluate: Callable[[], object]) -> None:
        """Walk the whole way once before the first real step: train, evaluate, save, hash, reload; then go back.

        Does nothing in a resumed run. Raises CheckFailedError when the weights read back are not those written.
        """
        if self.step:
            return
        before = self._state(copy=True)
        one_step()
        evaluate()
        self._restore(before)
        self.save()
        if self.checkpoints.problem:
            raise CheckFailedError(self.checkpoints.problem, hint="see to the disk before training")
        kept, _ = load_weights(self.checkpoints.path("last"))
        for name, tensor in self._weights().items():
            if not torch.equal(kept[name], tensor.detach().cpu()):
                raise CheckFailedError(f"weights {name} read back differ from those written", hint="check the disk")

    def keep_last_good(self, error: NotFiniteError) -> None:
        """After a loss that is not finite: keep the weights as they stand if they are finite, and say what happened."""
        with contextlib.suppress(NotFiniteError):
            self.save()
        self.run.note(
            f"{error.message} at step {self.current}; the weights of step {self._kept_step} are kept",
            level="critical",
            step=self.step,
        )

    def _tell(self) -> None:
        now = time.monotonic()
        if now - self._told_at > 0.1 or self.step == self.total_steps:
            self._told_at = now
            self._control.progress(self.step, self.total_steps, self._text)

    def _state(self, *, copy: bool = False) -> dict[str, Any]:
        parts = {name: part.state_dict() for name, part in self._parts.items()}
        return {
            "step": self.step,
            "total_steps": self.total_steps,
            "threads": torch.get_num_threads(),
            "best": {"value": self.best_value, "step": self.best_step, "n_stale": self._n_stale},
            "parts": _copied(parts) if copy else parts,
            "random": random_state(),
        }

    def _restore(self, state: Mapping[str, Any]) -> None:
        if set(state["parts"]) != set(self._parts):
            raise UsageError(
                f"the resume state holds {sorted(state['parts'])}, this training {sorted(self._parts)}",
                hint="resume with the program that made it",
            )
        for name, part in self._parts.items():
            part.load_state_dict(state["parts"][name])
        self.step = self._making = self._kept_step = int(state["step"])
        self.best_value = state["best"]["value"]
        self.best_step = state["best"]["step"]
        self._n_stale = state["best"]["n_stale"]
        set_random_state(state["random"])


def _copied(value: Any) -> Any:
    if isinstance(value, Tensor):
        return value.detach().clone()
    if isinstance(value, Mapping):
        return {key: _copied(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(_copied(item) for item in value)
    return value


def random_state() -> dict[str, Any]:
    """Return the states of all global generators (torch, CUDA, numpy, random) as tensors and plain values."""
    kind, keys, position, has_gauss, gauss = np.random.get_state()
    return {
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        "numpy": [kind, torch.from_numpy(keys.astype(np.int64)), position, has_gauss, gauss],
        "random": random.getstate(),
    }


def set_random_state(state: Mapping[str, Any]) -> None:
    """Put the global generators back into the states that `random_state` returned."""
    torch.set_rng_state(state["torch"])
    if state["cuda"] and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(state["cuda"])
    kind, keys, position, has_gauss, gauss = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), position, has_gauss, gauss))
    version, numbers, gauss_next = state["random"]
    random.setstate((version, tuple(numbers), gauss_next))

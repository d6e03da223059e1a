"""One optimiser step, the same for every family: accumulate, unscale, clip, look at the numbers, only then move."""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

from runners.training import distributed
from runners.training.checkpoints import NotFiniteError
from runners.training.machine import Machine


class Stepper:
    """Makes optimiser steps of `accumulate` forward and backward passes each.

    Loss and gradient norm are looked at before the weights move, so weights that were finite stay finite. With fp16 a
    gradient that overflows lowers the loss scale and skips the step, as mixed precision has to. Of several processes
    each computes its part; loss and gradient are the means over all.
    """

    def __init__(
        self,
        optimiser: torch.optim.Optimizer,
        parameters: Iterable[Tensor],
        machine: Machine,
        *,
        clip_norm: float = float("inf"),
        accumulate: int = 1,
    ) -> None:
        self.optimiser = optimiser
        self.accumulate = accumulate
        self.scaler = torch.amp.GradScaler(machine.device.type, enabled=machine.precision == "fp16")
        self._parameters = list(parameters)
        self._machine = machine
        self._clip_norm = clip_norm
        self.gradient_norm = 0.0
        distributed.same_weights(self._parameters)

    def step(self, loss_of: Callable[[int], Tensor]) -> float:
        """Make one step on the mean of `loss_of(0) … loss_of(accumulate - 1)` and return that mean.

        Raises NotFiniteError, with the weights untouched, when the loss or (but for fp16) the gradient is not finite.
        """
        self.optimiser.zero_grad(set_to_none=True)
        total = 0.0
        for index in range(self.accumulate):
            with self._machine.autocast():
                loss = loss_of(index) / self.accumulate
            value = distributed.average(float(loss.detach()), loss.device)
            if not abs(value) < float("inf"):
                raise NotFiniteError(f"the loss is {value}", hint="lower the learning rate or look at the data")
            self.scaler.scale(loss).backward()
            total += value
        distributed.average_gradients(self._parameters)
        self.scaler.unscale_(self.optimiser)
        norm = torch.nn.utils.clip_grad_norm_(self._parameters, self._clip_norm)
        self.gradient_norm = float(norm)
        if not self.scaler.is_enabled() and not abs(self.gradient_norm) < float("inf"):
            raise NotFiniteError(f"the gradient's norm is {self.gradient_norm}", hint="lower the learning rate")
        self.scaler.step(self.optimiser)
        self.scaler.update()
        return total

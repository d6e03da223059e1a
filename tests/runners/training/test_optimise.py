"""A step: parts of a batch add up to it, bf16 computes with float32 weights, what is not finite moves nothing."""

import pytest
import torch

from runners.training.checkpoints import NotFiniteError
from runners.training.machine import Machine
from runners.training.optimise import Stepper

CPU = torch.device("cpu")


def _trained(
    accumulate: int, precision: str = "fp32", n_steps: int = 5
) -> tuple[torch.Tensor, float, set[torch.dtype]]:
    torch.manual_seed(0)
    model = torch.nn.Linear(4, 1)
    x = torch.randn(5, 12, 4)
    optimiser = torch.optim.SGD(model.parameters(), 0.1)
    stepper = Stepper(optimiser, model.parameters(), Machine(CPU, precision, 1), clip_norm=1.0, accumulate=accumulate)
    seen = set()
    for batch in x:
        pieces = batch.chunk(accumulate)

        def loss_of(index: int, pieces: tuple[torch.Tensor, ...] = pieces) -> torch.Tensor:
            answer = model(pieces[index])
            seen.add(answer.dtype)
            return (answer.float() - pieces[index].sum(1, keepdim=True)).square().mean()

        loss = stepper.step(loss_of)
    return model.weight.detach().clone(), loss, seen


@pytest.mark.parametrize("accumulate", [2, 3, 4])
def test_the_parts_of_a_batch_make_the_step_of_the_whole(accumulate: int) -> None:
    whole, parts = _trained(1), _trained(accumulate)
    assert torch.allclose(parts[0], whole[0], atol=1e-6) and parts[1] == pytest.approx(whole[1], rel=1e-5)


def test_bf16_computes_in_halves_and_keeps_whole_weights() -> None:
    weight, loss, seen = _trained(1, "bf16")
    exact, exact_loss, _ = _trained(1)
    assert seen == {torch.bfloat16} and weight.dtype == torch.float32
    assert loss == pytest.approx(exact_loss, rel=0.05) and torch.allclose(weight, exact, atol=0.02)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_a_loss_or_gradient_that_is_not_finite_moves_nothing(bad: float) -> None:
    weight = torch.nn.Parameter(torch.zeros(1))
    optimiser = torch.optim.SGD([weight], 0.1)
    stepper = Stepper(optimiser, [weight], Machine(CPU, "fp32", 1))
    with pytest.raises(NotFiniteError, match="the loss is"):
        stepper.step(lambda _: (weight * bad).sum() + bad)
    with pytest.raises(NotFiniteError, match="gradient"):
        stepper.step(lambda _: weight.sqrt().sum())
    assert float(weight.detach()) == 0.0

"""Prior calibration: 27 output biases of a decoder, fitted on draws of the prior alone, no operation looked at.

Most of what keeps prior samples from covering the operations is that single trits are unevenly likely; a bias for
each of the 9 x 3 logits takes that away. It is an explicit step with its own record, never hidden in the training.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from runners.ternary_vae.model import LATENT_DIM
from runners.training.machine import torch_stream

N_ROUNDS = 40
DRAWS_PER_ROUND = 16_384


@torch.no_grad()
def fit_biases(decoder: nn.Module, seed: int, n_rounds: int = N_ROUNDS, n_draws: int = DRAWS_PER_ROUND) -> Tensor:
    """Move the decoder's output biases until each trit value is drawn equally often; return the change (27).

    Each round moves a logit against the excess of its value's frequency over 1/3. A frequency changes with its logit
    about as 1 / (standard deviation of the logit), so that is the step; steps shrink as the rounds go on.
    """
    bias = decoder.out.bias
    before = bias.clone()
    for number in range(n_rounds):
        generator = torch_stream(seed, 27, number, device=bias.device)
        z = torch.randn(n_draws, LATENT_DIM, generator=generator, device=bias.device)
        logits = decoder(z)
        frequency = F.one_hot(logits.argmax(-1), 3).float().mean(0).flatten()
        bias -= (frequency - 1.0 / 3.0) * logits.flatten(1).std(0) * 0.95**number
    return bias - before

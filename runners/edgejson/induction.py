"""Attention that can repeat before anything is learnt, for a small Llama: what extraction needs first, given at birth.

Two layers make the circuit. In the first, head h looks h + 1 tokens back, by position alone, and writes down what stood
there; in the second, head h looks for the place whose token h + 1 back is the present token h back, which is where this
text went on before, and says what stands there. Left to chance, so small a model sits for half its training on a
plateau where it writes well-formed answers of wrong values, until it has found just this. All of it is trained on.

The circuit: Elhage et al., A Mathematical Framework for Transformer Circuits (2021); Olsson et al., In-context Learning
and Induction Heads (2022).
"""

import torch
from torch import Tensor
from transformers import LlamaForCausalLM

LOOK_BACK = 4.8
"""Size of the position biases: nine tenths of a head's attention falls on its place."""
MATCH = 2.4
"""Scale of the second layer's queries and keys: a token that is the same stands out among a hundred others."""
NOTE = 0.15
"""How loud the first layer writes down: about as loud as a token itself, whose norm is 1."""
SAY = 0.5
"""How loud the second layer says what it found."""
WHISPER = 0.1
"""Scale of what would disturb at birth: content in the first layer's attention, what MLPs and later layers write."""


@torch.no_grad()
def give_induction(model: LlamaForCausalLM, seed: int) -> None:
    """Set the first two layers' attention so that the model continues a text as it went on before.

    Raises ValueError for a model of fewer than two layers, or without biases in its attention.
    """
    config = model.config
    if config.num_hidden_layers < 2 or not config.attention_bias:
        raise ValueError("induction takes two layers with attention biases")
    first, second = (layer.self_attn for layer in model.model.layers[:2])
    n_heads, width = config.num_attention_heads, config.hidden_size
    head_width = width // n_heads
    noted, written, found = _orthogonal(3, width, seed)
    for projection in (first.q_proj, first.k_proj):
        projection.weight.mul_(WHISPER)
    for head in range(n_heads):
        part = slice(head * head_width, (head + 1) * head_width)
        before = slice(part.start - head_width, part.start)
        first.q_proj.bias[part] = _position(0, head_width, config.rope_parameters["rope_theta"])
        first.k_proj.bias[part] = _position(head + 1, head_width, config.rope_parameters["rope_theta"])
        first.v_proj.weight[part] = noted[:head_width]
        first.o_proj.weight[:, part] = NOTE * written[:, part]
        second.q_proj.weight[part] = MATCH * (written[:, before].T if head else noted[:head_width])
        second.k_proj.weight[part] = MATCH * written[:, part].T
        second.v_proj.weight[part] = found[part]
        second.o_proj.weight[:, part] = SAY * found[part].T
    for number, layer in enumerate(model.model.layers):
        layer.mlp.down_proj.weight.mul_(WHISPER)
        if number >= 2:
            layer.self_attn.o_proj.weight.mul_(WHISPER)


def _orthogonal(n: int, width: int, seed: int) -> list[Tensor]:
    """Return n random orthogonal matrices (width, width)."""
    generator = torch.Generator().manual_seed(seed)
    return [torch.linalg.qr(torch.randn(width, width, generator=generator))[0] for _ in range(n)]


def _position(offset: int, head_width: int, theta: float) -> Tensor:
    """Return a head's bias (head_width,) that meets another one `offset` tokens later, as rotary positions turn it."""
    half = head_width // 2
    angles = offset * theta ** (-torch.arange(half) / half)
    return LOOK_BACK * torch.cat([torch.cos(angles), torch.sin(angles)])

"""A bidirectional transformer layer with rotary positions, the same for every model of the family."""

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Block(nn.Module):
    """A pre-norm transformer layer, bidirectional, with rotary positions (Su et al. 2021, arXiv 2104.09864)."""

    def __init__(self, width: int, heads: int, mlp: int) -> None:
        super().__init__()
        self.heads, self.head_width = heads, width // heads
        self.norm_attention, self.norm_mlp = nn.LayerNorm(width), nn.LayerNorm(width)
        self.qkv, self.out = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.up, self.down = nn.Linear(width, mlp * width), nn.Linear(mlp * width, width)

    def forward(self, x: Tensor, mask: Tensor | None, rotation: tuple[Tensor, Tensor]) -> Tensor:
        """Return the layer's output; `mask` (batch, 1, 1, n) is true where there is a token."""
        batch, n, width = x.shape
        q, k, v = self.qkv(self.norm_attention(x)).view(batch, n, 3, self.heads, self.head_width).unbind(2)
        q, k, v = (part.transpose(1, 2) for part in (_rotate(q, *rotation), _rotate(k, *rotation), v))
        mixed = F.scaled_dot_product_attention(q, k, v, attn_mask=mask)
        x = x + self.out(mixed.transpose(1, 2).reshape(batch, n, width))
        return x + self.down(F.gelu(self.up(self.norm_mlp(x))))


def rotations(n: int, head_width: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Return cosines and sines of positions 0 to n - 1, each (n, 1, head_width / 2)."""
    rates = 1000.0 ** (-torch.arange(0, head_width, 2, device=device) / head_width)
    angles = (torch.arange(n, device=device)[:, None] * rates)[:, None, :]
    return angles.cos(), angles.sin()


def _rotate(x: Tensor, cosines: Tensor, sines: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    return torch.cat([first * cosines - second * sines, second * cosines + first * sines], dim=-1).to(x.dtype)

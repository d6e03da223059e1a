"""The two autoencoders and the small controller, in the published sizes: 50,203 + 117,499 + 1,068 parameters."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from runners.ternary_vae.operations import N_TRITS

LATENT_DIM = 16
N_LOGITS = N_TRITS * 3
VAES = ("A", "B")


class Encoder(nn.Module):
    """Operations as -1, 0, 1 (n, 9) -> mean and log variance of the latent, (n, 16) each."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(
            nn.Linear(N_TRITS, 256), nn.ReLU(), nn.Linear(256, 128), nn.ReLU(), nn.Linear(128, 64), nn.ReLU()
        )
        self.mean = nn.Linear(64, LATENT_DIM)
        self.log_variance = nn.Linear(64, LATENT_DIM)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return mean and log variance, (n, 16) each."""
        hidden = self.trunk(x)
        return self.mean(hidden), self.log_variance(hidden)


class PlainDecoder(nn.Module):
    """Latents (n, 16) -> logits (n, 9, 3); the small decoder, of A."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Sequential(nn.Linear(LATENT_DIM, 32), nn.ReLU(), nn.Linear(32, 64), nn.ReLU())
        self.out = nn.Linear(64, N_LOGITS)

    def forward(self, z: Tensor) -> Tensor:
        """Return the logits."""
        return self.out(self.trunk(z)).unflatten(-1, (N_TRITS, 3))


class ResidualDecoder(nn.Module):
    """Latents (n, 16) -> logits (n, 9, 3); the large decoder, of B."""

    def __init__(self, width: int = 128) -> None:
        super().__init__()
        self.inlet = nn.Linear(LATENT_DIM, width)
        self.blocks = nn.ModuleList(
            nn.Sequential(nn.Linear(width, width), nn.ReLU(), nn.Linear(width, width)) for _ in range(2)
        )
        self.out = nn.Linear(width, N_LOGITS)

    def forward(self, z: Tensor) -> Tensor:
        """Return the logits."""
        first, second = self.blocks
        hidden = F.relu(self.inlet(z))
        hidden = F.relu(hidden + first(hidden))
        return self.out(hidden + second(hidden)).unflatten(-1, (N_TRITS, 3))


class StateNet(nn.Module):
    """Nine numbers that describe the training -> four corrections between -1 and 1."""

    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(
            nn.Linear(9, 32), nn.LayerNorm(32), nn.Tanh(), nn.Linear(32, 8), nn.Linear(8, 32), nn.ReLU(),
            nn.Linear(32, 4), nn.Tanh(),
        )  # fmt: skip

    def forward(self, state: Tensor) -> Tensor:
        """Return the corrections."""
        return self.net(state)


class Vae(nn.Module):
    """One encoder and one decoder."""

    def __init__(self, decoder: nn.Module) -> None:
        super().__init__()
        self.encoder = Encoder()
        self.decoder = decoder

    @torch.no_grad()
    def rebuild(self, x: Tensor) -> Tensor:
        """Return the trits (n, 9) decoded, by argmax, from the mean of each operation's latent."""
        return self.decoder(self.encoder(x)[0]).argmax(-1)

    @torch.no_grad()
    def generate(self, z: Tensor) -> Tensor:
        """Return the trits (n, 9) decoded, by argmax, from latents."""
        return self.decoder(z).argmax(-1)


class DualVae(nn.Module):
    """VAE A (small decoder), VAE B (residual decoder) and the controller."""

    def __init__(self) -> None:
        super().__init__()
        self.vaes = nn.ModuleDict({"A": Vae(PlainDecoder()), "B": Vae(ResidualDecoder())})
        self.statenet = StateNet()


def shifted(mean: Tensor, log_variance: Tensor, noise: Tensor) -> Tensor:
    """Return the latent that standard normal `noise` stands for (the reparameterisation)."""
    return mean + noise * (0.5 * log_variance).exp()


def sample_latent(mean: Tensor, log_variance: Tensor, temperature: float = 1.0) -> Tensor:
    """Return a reparameterised draw of the latent; its noise is multiplied by `temperature`."""
    return shifted(mean, log_variance, torch.randn_like(mean) * temperature)


def kl_per_dim(mean: Tensor, log_variance: Tensor) -> Tensor:
    """Return KL(q(z|x) || N(0, 1)) of each operation and dimension in nats (Kingma & Welling 2014, appendix B)."""
    return 0.5 * (mean.square() + log_variance.exp() - 1.0 - log_variance)

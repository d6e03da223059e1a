"""The published baseline: a bidirectional transformer that names, at each position, the clean document's token there.

Position i of the answer is predicted from the whole broken text, so a token too many or too few shifts all that
follows: this is what the model has to learn besides repairing, and why one pass is rarely enough for several faults.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from runners.json_repair import vocabulary
from runners.json_repair.documents import Documents
from runners.json_repair.examples import break_text, draw_text
from runners.json_repair.grammar import parses
from runners.json_repair.lexer import lex
from runners.json_repair.repair import Repair
from runners.json_repair.settings import Settings
from runners.json_repair.transformer import Block, rotations
from runners.training.machine import Machine, stream

MLP = 4
N_VALIDATION = 256
"""Pairs behind a validation loss."""
_PAD = vocabulary.ID_OF[vocabulary.PAD]


class Denoiser(nn.Module):
    """Embeds ids, attends, and reads one distribution over the vocabulary at each position."""

    def __init__(self, width: int, layers: int, heads: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(len(vocabulary.VOCABULARY), width)
        self.blocks = nn.ModuleList(Block(width, heads, MLP) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, len(vocabulary.VOCABULARY))

    def forward(self, ids: Tensor) -> Tensor:
        """Return logits (batch, n, vocabulary) for ids (batch, n); PAD is read as any other token."""
        x = self.embedding(ids)
        rotation = rotations(ids.shape[1], self.blocks[0].head_width, ids.device)
        for block in self.blocks:
            x = block(x, None, rotation)
        return self.head(self.norm(x))


@dataclass(frozen=True)
class Pair:
    """A broken text and its document as ids, of equal length: the shorter of the two is padded."""

    broken: list[int]
    clean: list[int]


def draw_pair(texts: Sequence[str], settings: Settings, rng: np.random.Generator) -> Pair:
    """Return a pair of at most `settings.max_tokens` ids."""
    while True:
        text = draw_text(texts, settings.real_share, rng)
        broken, _ = break_text(text, settings.max_stacked, rng)
        ids, clean = vocabulary.encode(lex(broken)), vocabulary.encode(lex(text))
        n = max(len(ids), len(clean))
        if n <= settings.max_tokens:
            return Pair(_padded(ids, n), _padded(clean, n))


def as_batch(rows: Sequence[list[int]], device: torch.device) -> Tensor:
    """Return rows of ids as one tensor, padded to the longest."""
    n = max(map(len, rows))
    return torch.tensor([_padded(row, n) for row in rows], device=device)


def as_tensors(pairs: Sequence[Pair], device: torch.device) -> tuple[Tensor, Tensor]:
    """Return the broken and the clean ids of pairs, each (batch, n)."""
    return as_batch([pair.broken for pair in pairs], device), as_batch([pair.clean for pair in pairs], device)


def denoising_loss(model: nn.Module, broken: Tensor, clean: Tensor) -> Tensor:
    """Return the cross entropy at every position, that of padding included."""
    return F.cross_entropy(model(broken).flatten(0, 1).float(), clean.flatten())


def _padded(ids: list[int], n: int) -> list[int]:
    return ids + [_PAD] * (n - len(ids))


class DenoiserTask:
    """How the denoiser is trained: pairs of a step, sorted by length and cut into parts of like length."""

    def __init__(self, settings: Settings, documents: Documents, machine: Machine) -> None:
        self.settings, self.texts, self.machine = settings, documents.train, machine
        self.model = Denoiser(settings.width, settings.layers, settings.heads).to(machine.device)
        self.called = torch.compile(self.model, dynamic=True) if settings.compile else self.model
        self._drawn: tuple[int, list[Pair]] = (0, [])
        self._validation = self._pairs(documents.validation, N_VALIDATION, 2)

    def _pairs(self, texts: Sequence[str], n: int, *keys: int) -> list[Pair]:
        """Return n pairs by rising length; they depend on the seed and the keys alone."""
        drawn = [draw_pair(texts, self.settings, stream(self.settings.seed, *keys, k)) for k in range(n)]
        return sorted(drawn, key=lambda pair: len(pair.broken))

    def part(self, step: int, index: int) -> tuple[Tensor, Tensor]:
        """Return broken and clean ids of part `index` of a step."""
        if self._drawn[0] != step:
            self._drawn = step, self._pairs(self.texts, self.settings.batch_size, 1, step)
        n = self.settings.batch_size // self.settings.accumulate
        return as_tensors(self._drawn[1][index * n : (index + 1) * n], self.machine.device)

    def loss(self, step: int, index: int) -> Tensor:
        """Return the loss of part `index` of a step."""
        broken, clean = self.part(step, index)
        return denoising_loss(self.called, broken, clean)

    @torch.no_grad()
    def validation_loss(self) -> float:
        """Return the loss of one pass on the same validation pairs each time."""
        parts = [self._validation[start : start + 32] for start in range(0, N_VALIDATION, 32)]
        device = self.machine.device
        losses = [float(denoising_loss(self.model, *as_tensors(part, device))) * len(part) for part in parts]
        return sum(losses) / N_VALIDATION

    def facts(self) -> dict[str, float]:
        """Return what else is worth logging of the step just made."""
        return {}

    def repairer(self) -> "DenoiserRepairer":
        """Return the model as it is now, as a repairer."""
        return DenoiserRepairer("denoiser", self.model.eval(), self.settings.max_tokens, passes=1)


@dataclass(frozen=True)
class DenoiserRepairer:
    """Repairs by passes of a denoiser, each over the answer of the one before.

    It stops when the answer parses, when a pass changes nothing (convergence, to an answer that may not parse) or after
    `passes`. A text of more than `max_tokens` ids stays as it is.
    """

    name: str
    model: Denoiser
    max_tokens: int
    passes: int
    batch_size: int = 64

    def repair(self, texts: Sequence[str]) -> list[Repair]:
        """Return one repair for each text; confidence 0 where the answer does not parse."""
        return self.repair_and_count(texts)[0]

    def repair_and_count(self, texts: Sequence[str]) -> tuple[list[Repair], list[int]]:
        """Return the repairs, and for each how many passes it took; the negative of it where it converged unparsed."""
        encoded = [vocabulary.encode(lex(text)) for text in texts]
        repairs = [Repair(text, 0.0) for text in texts]
        counts = [0] * len(texts)
        waiting = sorted((len(ids), place) for place, ids in enumerate(encoded) if len(ids) <= self.max_tokens)
        for start in range(0, len(waiting), self.batch_size):
            places = [place for _, place in waiting[start : start + self.batch_size]]
            for place, (text, confidence, n) in zip(places, self._passes([encoded[p] for p in places]), strict=True):
                repairs[place] = Repair(text, confidence if parses(text) else 0.0)
                counts[place] = n
        return repairs, counts

    @torch.inference_mode()
    def _passes(self, rows: list[list[int]]) -> list[tuple[str, float, int]]:
        device = next(self.model.parameters()).device
        room = min(self.max_tokens, max(map(len, rows)) + 8)
        ids = as_batch([_padded(row, room) for row in rows], device)
        answers: list[tuple[str, float, int]] = [("", 0.0, 0)] * len(rows)
        open_places = list(range(len(rows)))
        for n in range(1, self.passes + 1):
            log_probabilities = F.log_softmax(self.model(ids[open_places]).float(), -1)
            best, following = log_probabilities.max(-1)
            same = (following == ids[open_places]).all(1).tolist()
            ids[open_places] = following
            still_open = []
            for row, place in enumerate(open_places):
                text = vocabulary.decode(following[row].tolist())
                is_stuck = same[row] and not parses(text)
                answers[place] = (text, float(best[row].min().exp()), -n if is_stuck else n)
                if not is_stuck and not parses(text):
                    still_open.append(place)
            open_places = still_open
            if not open_places:
                break
        return answers

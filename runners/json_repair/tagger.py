"""The tagger: a small bidirectional transformer that says of each token what to do and what is missing before it.

Its input are the features of the tokens, its output log probabilities of tags; what JSON they make is `decode`'s part.
Positions enter as rotations of queries and keys, so a text may be longer than any that was trained on.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from runners.json_repair.align import INSERTIONS
from runners.json_repair.documents import Documents
from runners.json_repair.examples import Example, draw_example
from runners.json_repair.features import SIZES, features_of
from runners.json_repair.lexer import Token
from runners.json_repair.repair import TagRepairer
from runners.json_repair.settings import Settings
from runners.json_repair.transformer import Block, rotations
from runners.training.machine import Machine, stream

MAX_TOKENS = 1024
"""Longer texts are tagged in windows of so many tokens, of which the outer OVERLAP count only at the text's ends."""
OVERLAP = 128
MLP = 3
IGNORED = -100
N_VALIDATION = 256
"""Examples behind a validation loss."""
_TEXT_COLUMN = 1
_TEXT_WIDTH = 32


class Tagger(nn.Module):
    """Embeds features, mixes five neighbours, attends, and reads two heads: (n, 2) and (n, INSERTIONS)."""

    def __init__(self, width: int, layers: int, heads: int) -> None:
        super().__init__()
        sizes = [size for column, size in enumerate(SIZES) if column != _TEXT_COLUMN]
        self.table = nn.Embedding(sum(sizes), width)
        self.texts = nn.Embedding(SIZES[_TEXT_COLUMN], _TEXT_WIDTH)
        self.text_projection = nn.Linear(_TEXT_WIDTH, width, bias=False)
        self.neighbours = nn.Conv1d(width, width, 5, padding=2)
        self.blocks = nn.ModuleList(Block(width, heads, MLP) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.edit_head = nn.Linear(width, 2)
        self.insertion_head = nn.Linear(width, len(INSERTIONS))
        starts = np.cumsum([0, *sizes[:-1]])
        self.register_buffer("starts", torch.tensor(starts), persistent=False)
        nn.init.normal_(self.table.weight, std=0.3)
        nn.init.normal_(self.texts.weight, std=1.0)

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Return the logits of edits and insertions of features (batch, n, columns), 0 beyond a text."""
        others = torch.cat([features[..., :_TEXT_COLUMN], features[..., _TEXT_COLUMN + 1 :]], dim=-1)
        n = features.shape[1]
        inside = torch.arange(n, device=features.device) < lengths[:, None]
        x = self.table(others + self.starts).sum(2) + self.text_projection(self.texts(features[..., _TEXT_COLUMN]))
        x = x * inside[..., None]
        x = x + F.gelu(self.neighbours(x.transpose(1, 2)).transpose(1, 2))
        mask = None if bool(inside.all()) else inside[:, None, None, :]
        rotation = rotations(n, self.blocks[0].head_width, features.device)
        for block in self.blocks:
            x = block(x, mask, rotation)
        x = self.norm(x)
        return self.edit_head(x), self.insertion_head(x)


@dataclass(frozen=True)
class Batch:
    """Texts of one batch: features (batch, n, columns) and lengths (batch), padded with zeros to the longest."""

    features: Tensor
    lengths: Tensor


def collate(rows: Sequence[np.ndarray], device: torch.device | str = "cpu") -> Batch:
    """Return feature rows as one padded batch."""
    features = np.zeros((len(rows), max(map(len, rows)), len(SIZES)), dtype=np.int64)
    for place, row in enumerate(rows):
        features[place, : len(row)] = row
    lengths = torch.tensor([len(row) for row in rows])
    return Batch(torch.from_numpy(features).to(device), lengths.to(device))


@torch.inference_mode()
def tag(model: Tagger, texts: Sequence[list[Token]], batch_tokens: int = 4096) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return the log probabilities of each text's tags: edits (n, 2), insertions (n, INSERTIONS)."""
    if not texts:
        return []
    device = next(model.parameters()).device
    windows = [
        (place, start, rows[start : start + MAX_TOKENS])
        for place, rows in enumerate(map(features_of, texts))
        for start in _window_starts(len(rows))
    ]
    windows.sort(key=lambda window: len(window[2]))
    found: list[list[tuple[int, np.ndarray, np.ndarray]]] = [[] for _ in texts]
    for part in _parts([len(rows) for _, _, rows in windows], batch_tokens):
        batch = collate([rows for _, _, rows in windows[part]], device)
        logits = model(batch.features, batch.lengths)
        edits, insertions = (F.log_softmax(head.float(), -1).cpu().numpy() for head in logits)
        for (place, start, rows), edit, insertion in zip(windows[part], edits, insertions, strict=True):
            found[place].append((start, edit[: len(rows)], insertion[: len(rows)]))
    return [_joined(sorted(pieces, key=lambda piece: piece[0])) for pieces in found]


def _window_starts(n: int) -> list[int]:
    """Return where the windows over n tokens begin; the last one ends with the text."""
    if n <= MAX_TOKENS:
        return [0]
    stride = MAX_TOKENS - 2 * OVERLAP
    return [*range(0, n - MAX_TOKENS, stride), n - MAX_TOKENS]


def _parts(lengths: Sequence[int], batch_tokens: int) -> list[slice]:
    """Return slices of rising lengths whose padded size stays within `batch_tokens`."""
    parts, start = [], 0
    for place, length in enumerate(lengths):
        if place > start and (place - start + 1) * length > batch_tokens:
            parts.append(slice(start, place))
            start = place
    return [*parts, slice(start, len(lengths))]


def _joined(pieces: list[tuple[int, np.ndarray, np.ndarray]]) -> tuple[np.ndarray, np.ndarray]:
    """Return the windows of one text as one; each place is taken from the window in which it stands further inside."""
    edits, insertions = list(pieces[0][1]), list(pieces[0][2])
    for start, edit, insertion in pieces[1:]:
        cut = (len(edits) - start) // 2
        del edits[start + cut :], insertions[start + cut :]
        edits.extend(edit[cut:])
        insertions.extend(insertion[cut:])
    return np.array(edits), np.array(insertions)


# --- training


def tag_loss(model: nn.Module, examples: Sequence[Example], device: torch.device) -> Tensor:
    """Return the mean over examples of the negative log probability of all tags of an example."""
    batch = collate([example.features for example in examples], device)
    edits, insertions = model(batch.features, batch.lengths)
    targets = torch.full((2, *batch.features.shape[:2]), IGNORED)
    for place, example in enumerate(examples):
        targets[0, place, : len(example.edits)] = torch.tensor(example.edits)
        targets[1, place, : len(example.insertions)] = torch.tensor(example.insertions)
    targets = targets.to(device)
    total = sum(
        F.cross_entropy(logits.flatten(0, 1).float(), target.flatten(), ignore_index=IGNORED, reduction="sum")
        for logits, target in zip((edits, insertions), targets, strict=True)
    )
    return total / len(examples)


class TaggerTask:
    """How the tagger is trained: examples of a step, sorted by length and cut into parts of like length."""

    def __init__(self, settings: Settings, documents: Documents, machine: Machine) -> None:
        self.settings, self.texts, self.machine = settings, documents.train, machine
        self.model = Tagger(settings.width, settings.layers, settings.heads).to(machine.device)
        self._called = torch.compile(self.model, dynamic=True) if settings.compile else self.model
        self._drawn: tuple[int, list[Example]] = (0, [])
        self._validation = self._examples(documents.validation, N_VALIDATION, 2)

    def _examples(self, texts: Sequence[str], n: int, *keys: int) -> list[Example]:
        """Return n examples by rising length; they depend on the seed and the keys alone."""
        drawn = [draw_example(texts, self.settings, stream(self.settings.seed, *keys, k)) for k in range(n)]
        return sorted(drawn, key=lambda example: len(example.edits))

    def loss(self, step: int, index: int) -> Tensor:
        """Return the loss of part `index` of a step."""
        if self._drawn[0] != step:
            self._drawn = step, self._examples(self.texts, self.settings.batch_size, 1, step)
        n = self.settings.batch_size // self.settings.accumulate
        return tag_loss(self._called, self._drawn[1][index * n : (index + 1) * n], self.machine.device)

    @torch.no_grad()
    def validation_loss(self) -> float:
        """Return the loss on the same validation examples each time."""
        parts = [self._validation[start : start + 32] for start in range(0, N_VALIDATION, 32)]
        losses = [float(tag_loss(self.model, part, self.machine.device)) * len(part) for part in parts]
        return sum(losses) / N_VALIDATION

    def facts(self) -> dict[str, float]:
        """Return what else is worth logging of the step just made."""
        return {}

    def repairer(self) -> TagRepairer:
        """Return the model as it is now, as a repairer."""
        return repairer_of(self.model)


def repairer_of(model: Tagger) -> TagRepairer:
    """Return a model as a repairer."""
    return TagRepairer("tagger", partial(tag, model.eval()))

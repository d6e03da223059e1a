"""A sequence store on a device: contexts, targets and banks are gathered by row number, never kept as copies."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from runners.lvm.sequences import CONTEXT, SequenceStore


@dataclass(frozen=True)
class Bank:
    """Candidates of a batch of windows: vectors (b, m, d), `is_candidate` (b, m), and the column of the target (b,)."""

    vectors: Tensor
    is_candidate: Tensor
    target_column: Tensor


class Pages:
    """The vectors of a store on a device, and where the page and the sequence of each row begin and end."""

    def __init__(self, store: SequenceStore, device: torch.device | str = "cpu") -> None:
        half = torch.device(device).type == "cuda"
        self.vectors = torch.from_numpy(store.vectors).to(device, torch.float16 if half else torch.float32)
        self.page = torch.from_numpy(store.document).to(device)
        self._page_first, self._page_end = self._bounds(store.document)
        self._sequence_first, self._sequence_end = self._bounds(store.sequence)

    def _bounds(self, ids: np.ndarray) -> tuple[Tensor, Tensor]:
        starts = np.flatnonzero(np.diff(ids, prepend=ids[0] - 1))
        lengths = np.diff([*starts, len(ids)])
        first = torch.from_numpy(np.repeat(starts, lengths)).to(self.vectors.device)
        end = torch.from_numpy(np.repeat(starts + lengths, lengths)).to(self.vectors.device)
        return first, end

    @property
    def device(self) -> torch.device:
        """Where the vectors are."""
        return self.vectors.device

    def at(self, rows: Tensor) -> Tensor:
        """Return the vectors of rows, of any shape, in single precision."""
        return self.vectors[rows].float()

    def context(self, rows: Tensor) -> Tensor:
        """Return the contexts (b, CONTEXT, d) of windows, oldest first."""
        return self.at(rows[:, None] + torch.arange(-CONTEXT, 0, device=self.device))

    def has(self, rows: Tensor, offset: int) -> Tensor:
        """Return, for each window, whether the vector `offset` after its target is of the same sequence."""
        return (rows + offset >= self._sequence_first[rows]) & (rows + offset < self._sequence_end[rows])

    def longest(self, rows: Tensor) -> int:
        """Return the number of vectors of the longest page among windows."""
        return int((self._page_end[rows] - self._page_first[rows]).max())

    def bank(self, rows: Tensor, *, with_inputs: bool = False) -> Bank:
        """Return every vector of each window's own page as candidates, without the window's inputs unless asked for."""
        candidates = self._page_first[rows][:, None] + torch.arange(self.longest(rows), device=self.device)
        valid = candidates < self._page_end[rows][:, None]
        if not with_inputs:
            valid &= (candidates < rows[:, None] - CONTEXT) | (candidates >= rows[:, None])
        return self._bank(candidates, valid, rows - self._page_first[rows])

    def sampled_bank(self, rows: Tensor, n: int, generator: torch.Generator) -> Bank:
        """Return at most `n` candidates of each window's page, none twice: the target first, no inputs among them."""
        if self.longest(rows) <= n:
            return self.bank(rows)
        first, end = self._page_first[rows][:, None], self._page_end[rows][:, None]
        drawn = torch.rand(len(rows), n - 1, generator=generator, device=generator.device).to(self.device)
        others = (first + (drawn * (end - first)).long()).sort(1).values
        candidates = torch.cat([rows[:, None], others], 1)
        valid = (candidates < rows[:, None] - CONTEXT) | (candidates > rows[:, None])
        valid[:, 1:] &= others.diff(prepend=first - 1) != 0
        valid[:, 0] = True
        return self._bank(candidates, valid, torch.zeros_like(rows))

    def _bank(self, candidates: Tensor, valid: Tensor, column: Tensor) -> Bank:
        vectors = self.at(candidates.clamp(max=len(self.vectors) - 1))
        return Bank(vectors, valid, column)

"""Confidence intervals that respect pages: neighbouring windows are alike, so documents are drawn, not windows."""

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from runners.training.estimates import Estimate

N_REPLICATES = 1000
LEVEL_PERCENT = (2.5, 97.5)

Floats = NDArray[np.float64]


class PageBootstrap:
    """Draws pages with replacement, the same draws for every statistic, so that differences are paired."""

    def __init__(self, page: NDArray[np.int64], seed: int = 0) -> None:
        self._pages, self._index = np.unique(page, return_inverse=True)
        n = len(self._pages)
        drawn = np.random.default_rng([seed, 13]).multinomial(n, np.full(n, 1 / n), size=N_REPLICATES)
        self._weights = np.concatenate([np.ones((1, n)), drawn])

    def means(self, values: Floats) -> Floats:
        """Return the mean of finite values: over all windows first, then for each replicate."""
        there = np.isfinite(values)
        sums = np.bincount(self._index, np.where(there, values, 0.0), minlength=len(self._pages))
        counts = np.bincount(self._index, there.astype(float), minlength=len(self._pages))
        with np.errstate(invalid="ignore", divide="ignore"):
            return (self._weights @ sums) / (self._weights @ counts)

    def estimate(self, columns: Sequence[Floats], statistic: Callable[..., Floats] | None = None) -> Estimate | None:
        """Return a statistic of the means of columns, with its interval; None when there is nothing finite to say.

        `statistic` takes one array a column (all windows, then the replicates) and returns one; without it: the mean.
        """
        with np.errstate(invalid="ignore", divide="ignore"):
            means = [self.means(column) for column in columns]
            replicates = statistic(*means) if statistic else means[0]
        drawn = replicates[1:][np.isfinite(replicates[1:])]
        if not np.isfinite(replicates[0]) or len(drawn) < N_REPLICATES // 2:
            return None
        low, high = np.percentile(drawn, LEVEL_PERCENT)
        n = int(min(np.isfinite(column).sum() for column in columns))
        return Estimate(float(replicates[0]), float(low), float(high), n)

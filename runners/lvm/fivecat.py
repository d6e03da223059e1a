"""5CAT, version 2: five tests of a predictor of next vectors, each against what knows nothing, each with its interval.

| test | asks | against |
| --- | --- | --- |
| A offset | is the prediction nearest to the next vector? | the three vectors after it, and all around it |
| B bank | is the next vector found among the page's others? | copy-last; the context itself is no candidate |
| C order | how much skill is lost with the context's order? | the context of another page: no skill at all |
| D rollout | does feeding predictions back stay on course? | repeating the last vector |
| E bins | is it as good out of domain, at equal coherence of the context? | |

Offset 0 is the target. Ties in a rank count half. All differences are paired and resampled by page.
"""

from collections.abc import Mapping

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cosine_similarity, normalize

from runners.lvm.pages import Bank, Pages
from runners.lvm.predictors import Predictor
from runners.lvm.resampling import LEVEL_PERCENT, PageBootstrap
from runners.lvm.sequences import CONTEXT
from runners.training.estimates import Estimate

OFFSETS = range(-3, 4)
ROLLOUT_STEPS = 5
NORMAL_COHERENCE = (0.45, 0.55)
MIN_PER_BIN = 100
LEAST_CANDIDATES = 2
BATCH_NUMBERS = 40_000_000
"""Numbers that a batch of banks may hold."""

Floats = NDArray[np.float64]
Columns = dict[str, Floats]
"""One value a window, NaN where the window cannot be asked."""


@torch.no_grad()
def measure(pages: Pages, rows: Tensor, predictor: Predictor, seed: int = 0) -> Columns:
    """Return what a predictor scores on each window: see `_measure_batch` for the columns."""
    size = max(16, BATCH_NUMBERS // (pages.longest(rows) * pages.vectors.shape[1]))
    batches = [_measure_batch(pages, batch, predictor, seed + number) for number, batch in enumerate(rows.split(size))]
    return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}


def _measure_batch(pages: Pages, rows: Tensor, predictor: Predictor, seed: int) -> Columns:
    """Return `cosine`, `offset-3…3`, `rank`, `chance_r5`, `order_…`, `rollout`, `repeat` and `coherence`."""
    context, target = pages.context(rows), pages.at(rows)
    prediction = predictor.predict(context, rows)
    columns: dict[str, Tensor] = {"cosine": cosine_similarity(prediction, target, dim=-1)}
    columns |= {f"offset{offset:+d}": near for offset, near in offset_cosines(pages, rows, prediction).items()}
    bank = pages.bank(rows)
    columns["rank"], columns["chance_r5"] = rank_of_target(predictor.score(context, prediction, bank), bank)
    for name, ablated in ablations(context, seed).items():
        columns[f"order_{name}"] = cosine_similarity(predictor.predict(ablated, rows), target, dim=-1)
    columns["rollout"], columns["repeat"] = _roll_out(pages, rows, context, prediction, predictor)
    columns["coherence"] = coherence(context)
    return {name: column.double().cpu().numpy() for name, column in columns.items()}


def offset_cosines(pages: Pages, rows: Tensor, prediction: Tensor) -> dict[int, Tensor]:
    """Return cos(prediction, vector at the offset from the target), NaN for windows that lack any of the offsets."""
    whole = pages.has(rows, OFFSETS[0]) & pages.has(rows, OFFSETS[-1])
    found = {}
    for offset in OFFSETS:
        near = cosine_similarity(prediction, pages.at((rows + offset).clamp(max=len(pages.vectors) - 1)), dim=-1)
        found[offset] = near.masked_fill(~whole, torch.nan)
    return found


def rank_of_target(scores: Tensor, bank: Bank) -> tuple[Tensor, Tensor]:
    """Return the rank (1 is best, ties count half) of the target among its candidates, and what chance gives for R@5.

    Both are NaN for a window with fewer than two candidates.
    """
    scores = scores.masked_fill(~bank.is_candidate, -torch.inf)
    own = scores.gather(1, bank.target_column[:, None])
    better, equal = (scores > own).sum(1), (scores == own).sum(1) - 1
    n = bank.is_candidate.sum(1)
    alone = n < LEAST_CANDIDATES
    rank = (1 + better + equal / 2).masked_fill(alone | own[:, 0].isnan(), torch.nan)
    return rank, (5 / n).clamp(max=1.0).masked_fill(alone, torch.nan)


def ablations(context: Tensor, seed: int) -> dict[str, Tensor]:
    """Return contexts robbed of something: their order, its direction, or all they have to do with the target."""
    generator = torch.Generator().manual_seed(seed)
    order = torch.rand(len(context), CONTEXT, generator=generator).argsort(1).to(context.device)
    return {
        "shuffle": context.gather(1, order[..., None].expand_as(context)),
        "reverse": context.flip(1),
        "other": context.roll(len(context) // 2, 0),
    }


def coherence(context: Tensor) -> Tensor:
    """Return the mean cosine of adjacent vectors of each context."""
    return cosine_similarity(context[:, 1:], context[:, :-1], dim=-1).mean(1)


def _roll_out(
    pages: Pages, rows: Tensor, context: Tensor, prediction: Tensor, predictor: Predictor
) -> tuple[Tensor, Tensor]:
    """Return the mean cosines of five fed-back predictions: with the five next vectors, and each with the next."""
    valid, last = pages.has(rows, ROLLOUT_STEPS - 1), len(pages.vectors) - 1
    hits, repeats = [], []
    for step in range(ROLLOUT_STEPS):
        hits.append(cosine_similarity(prediction, pages.at((rows + step).clamp(max=last)), dim=-1))
        if step == ROLLOUT_STEPS - 1:
            break
        context = torch.cat([context[:, 1:], normalize(prediction, dim=-1)[:, None]], 1)
        following = predictor.predict(context, (rows + step + 1).clamp(max=last))
        repeats.append(cosine_similarity(prediction, following, dim=-1))
        prediction = following
    mean, repeat = torch.stack(hits).mean(0), torch.stack(repeats).mean(0)
    return mean.masked_fill(~valid, torch.nan), repeat.masked_fill(~valid, torch.nan)


def summarise(columns: Columns, rivals: Mapping[str, Columns], bootstrap: PageBootstrap) -> dict[str, Estimate]:
    """Return the scores of a predictor by name, with intervals; `rivals` are baselines measured on the same windows.

    Skill is the difference to what needs no learning: the cosine to the best of all rivals, R@5 and MRR to the better
    of `copy_last` and `constant`, the rollout to `copy_last`. What cannot be measured is left out.
    """
    copy, constant = rivals["copy_last"], rivals["constant"]
    offsets = {offset: columns[f"offset{offset:+d}"] for offset in OFFSETS}
    after = [offsets[offset] for offset in OFFSETS if offset > 0]
    around = [offsets[offset] for offset in OFFSETS if offset]
    hit5, blind5 = hits(columns, 5), [hits(copy, 5), hits(constant, 5)]
    near, blind_near = 1 / columns["rank"], [1 / copy["rank"], 1 / constant["rank"]]
    found: dict[str, Estimate | None] = {
        "cosine": bootstrap.estimate([columns["cosine"]]),
        "skill_cosine": bootstrap.estimate([columns["cosine"], *(one["cosine"] for one in rivals.values())], _lead),
        "forward": bootstrap.estimate([offsets[0], *after], _lead),
        "margin": bootstrap.estimate([offsets[0], *around], _lead),
        "r1": bootstrap.estimate([hits(columns, 1)]),
        "r5": bootstrap.estimate([hit5]),
        "mrr": bootstrap.estimate([near]),
        "chance_r5": bootstrap.estimate([columns["chance_r5"]]),
        "skill_r5": bootstrap.estimate([hit5, *blind5], _lead),
        "skill_mrr": bootstrap.estimate([near, *blind_near], _lead),
        "rollout": bootstrap.estimate([columns["rollout"]]),
        "skill_rollout": bootstrap.estimate([columns["rollout"] - copy["rollout"]]),
        "rollout_repeat": bootstrap.estimate([columns["repeat"]]),
    }
    for name in ("shuffle", "reverse"):
        parts = [columns["cosine"], columns[f"order_{name}"], columns["order_other"]]
        found[f"order_{name}"] = bootstrap.estimate(parts, _share_lost)
    return {name: estimate for name, estimate in found.items() if estimate is not None}


def hits(columns: Columns, k: int) -> Floats:
    """Return 1 where the target is among the first `k`, 0 where not, NaN where there is no rank."""
    return np.where(np.isnan(columns["rank"]), np.nan, columns["rank"] <= k)


def _lead(own: Floats, *others: Floats) -> Floats:
    return own - np.max(others, axis=0)


def _share_lost(whole: Floats, ablated: Floats, nothing: Floats) -> Floats:
    """Return the share of skill lost; none where there is no skill to lose."""
    skill = whole - nothing
    return np.where(skill > 1e-3, (whole - ablated) / np.maximum(skill, 1e-3), 0.0)


def bins_delta(
    test: Columns, test_pages: NDArray[np.int64], ood: Columns, ood_pages: NDArray[np.int64], *, has_skill: bool
) -> Estimate | None:
    """Return |test − out of domain| of the mean cosine at normal coherence; None with fewer than 100 windows on a side.

    A predictor without skill is as bad everywhere, which is no merit: its difference counts as 1.
    """
    replicates, counts = [], []
    for number, (columns, page) in enumerate(((test, test_pages), (ood, ood_pages))):
        low, high = NORMAL_COHERENCE
        normal = (columns["coherence"] >= low) & (columns["coherence"] < high)
        if normal.sum() < MIN_PER_BIN:
            return None
        replicates.append(PageBootstrap(page[normal], seed=number).means(columns["cosine"][normal]))
        counts.append(int(normal.sum()))
    if not has_skill:
        return Estimate(1.0, 1.0, 1.0, min(counts))
    gaps = np.abs(replicates[0] - replicates[1])
    low, high = np.percentile(gaps[1:], LEVEL_PERCENT)
    return Estimate(float(gaps[0]), float(low), float(high), min(counts))

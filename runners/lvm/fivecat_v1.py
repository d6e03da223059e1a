"""5CAT as the notebooks ran it, kept so that their numbers can be compared. Never judge a model by it.

Offset 0 is the trained target, but test A wants offset +1 to win, and test D compares the first prediction with it: a
perfect oracle fails both. Test B counts the inputs among the candidates. The R@5 of the training ranks 1 among 6, where
chance is 5 in 6.
"""

import torch
from torch import Tensor
from torch.nn.functional import cosine_similarity, normalize

from runners.lvm.fivecat import OFFSETS, ROLLOUT_STEPS, ablations
from runners.lvm.pages import Pages
from runners.lvm.predictors import Predictor, cosine_scores

MAX_WINDOWS = 2000
"""The notebooks tested 2,000 to 5,000 windows."""
_SEED = 17


@torch.no_grad()
def measure_v1(pages: Pages, rows: Tensor, predictor: Predictor) -> dict[str, float]:
    """Return the scores of the five tests and of the training-time test (`mini_…`), each a plain mean.

    What asks for vectors after the target is left out where no page is long enough.
    """
    rows = rows[:: max(1, -(-len(rows) // MAX_WINDOWS))]
    context, target = pages.context(rows), pages.at(rows)
    prediction = predictor.predict(context, rows)
    cosine = cosine_similarity(prediction, target, dim=-1)
    scores = _offsets(pages, rows, prediction) | _retrieval(pages, rows, prediction)
    for name, ablated in ablations(context, _SEED).items():
        if name != "other":
            change = cosine_similarity(predictor.predict(ablated, rows), target, dim=-1) - cosine
            scores[f"ablation_{name}"] = float(change.mean())
    return scores | _rollout(pages, rows, context, prediction, predictor) | _mini(context, target, prediction)


def _offsets(pages: Pages, rows: Tensor, prediction: Tensor) -> dict[str, float]:
    """Test A: the mean cosine one after the target, less the best of all other offsets."""
    whole = pages.has(rows, OFFSETS[0]) & pages.has(rows, OFFSETS[-1])
    if not whole.any():
        return {}
    rows, prediction = rows[whole], prediction[whole]
    means = {offset: float(cosine_similarity(prediction, pages.at(rows + offset), dim=-1).mean()) for offset in OFFSETS}
    return {"margin": means[1] - max(mean for offset, mean in means.items() if offset != 1)}


def _retrieval(pages: Pages, rows: Tensor, prediction: Tensor) -> dict[str, float]:
    """Test B: the rank among all vectors of the article, the five inputs included, in favour of the target at a tie."""
    ranks = []
    for part, answer in zip(rows.split(500), prediction.split(500), strict=True):
        bank = pages.bank(part, with_inputs=True)
        scores = cosine_scores(answer, bank).masked_fill(~bank.is_candidate, -torch.inf)
        ranks.append(1 + (scores > scores.gather(1, bank.target_column[:, None])).sum(1))
    rank = torch.cat(ranks).float()
    return {
        "r1": float((rank <= 1).float().mean()),
        "r5": float((rank <= 5).float().mean()),
        "mrr": float((1 / rank).mean()),
    }


def _rollout(pages: Pages, rows: Tensor, context: Tensor, prediction: Tensor, predictor: Predictor) -> dict[str, float]:
    """Test D: five predictions fed back, the first of them compared with the vector after its target."""
    valid = pages.has(rows, ROLLOUT_STEPS)
    if not valid.any():
        return {}
    rows, context, prediction = rows[valid], context[valid], prediction[valid]
    total = cosine_similarity(prediction, pages.at(rows + 1), dim=-1)
    for step in range(1, ROLLOUT_STEPS):
        context = torch.cat([context[:, 1:], normalize(prediction, dim=-1)[:, None]], 1)
        prediction = predictor.predict(context, rows + step)
        total += cosine_similarity(prediction, pages.at(rows + step + 1), dim=-1)
    return {"rollout": float((total / ROLLOUT_STEPS).mean())}


def _mini(context: Tensor, target: Tensor, prediction: Tensor) -> dict[str, float]:
    """Return the test of the training: the margin over the last input, and R@5 of the target among the inputs."""
    own = cosine_similarity(prediction, target, dim=-1)
    inputs = cosine_similarity(prediction[:, None], context, dim=-1)
    rank = 1 + (inputs > own[:, None]).sum(1)
    return {"mini_margin": float((own - inputs[:, -1]).mean()), "mini_r5": float((rank <= 5).float().mean())}

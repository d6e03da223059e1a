"""What a metric's name says when nobody defined it: its goal. Pure; used wherever "best" is asked for."""

import re
from functools import lru_cache

_MIN = {
    "loss", "nll", "error", "err", "perplexity", "ppl", "mse", "rmse", "mae", "mape", "wer", "cer", "ter", "fid", "kl",
    "kld",
    "bpb", "bpc", "bpd", "lpips", "ece", "brier", "regret", "violations", "missing", "logloss",
    "cost", "latency", "xent",
}  # fmt: skip
_MAX = {
    "acc", "accuracy", "acc1", "acc5", "top1", "top5", "f1", "auc", "auroc", "ap", "map", "map50", "map5095", "ar",
    "recall", "precision", "bleu", "rouge", "rouge1", "rouge2",
    "rougel", "meteor", "cider", "psnr", "ssim", "iou", "miou", "dice", "reward",
    "return",
    "score", "em", "exact", "exact_match", "success", "mrr", "ndcg", "r1", "r5", "r10", "cos", "cosine", "margin",
    "coverage", "similarity", "kappa", "throughput", "winrate", "elo", "r2", "spearman", "pearson", "parse_success",
    "efficiency", "rollout", "mcc", "hit", "ips", "mfu",
}  # fmt: skip

_NEITHER = {
    "scale",
    "weight",
    "coef",
    "coefficient",
    "rate",
    "time",
    "norm",
    "lr",
    "std",
    "seed",
    "epoch",
    "step",
    "beta",
}


@lru_cache(maxsize=4096)
def infer_goal(name: str) -> str | None:
    """Return `min`, `max`, or None when the name does not tell (a learning rate has no best).

    The last path part decides, word by word from its end; `R@5` reads as `r5`, `loss_scale` has no goal.
    """
    for part in reversed(name.lower().replace("@", "").split("/")):
        words = [word for word in re.split(r"[^a-z0-9]+", part) if word]
        if words and words[-1] in _NEITHER:
            return None
        for word in (part.strip(), *reversed(words)):
            if word in _MIN or re.sub(r"\d+$", "", word) in _MIN:
                return "min"
            if word in _MAX or re.sub(r"\d+$", "", word) in _MAX:
                return "max"
    return None

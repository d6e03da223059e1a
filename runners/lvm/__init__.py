"""The family `lvm`: the next sentence's vector from the five before it. Imports no torch."""

from runners.lvm.settings import LvmSettings
from runners.training.family import Family, Variant

FAMILY = Family(
    name="lvm",
    summary="latent vector model: the next sentence's vector from the five before it",
    settings=LvmSettings,
    train="runners.lvm.train:train",
    suite="5cat",
    default_variant="rank",
    variants={
        "p1": Variant("squared error and nothing else: the notebooks' baseline"),
        "p2": Variant("the last vector plus a learnt residual: copies", {"architecture": "residual"}),
        "p3": Variant(
            "p1 with a tiny directional hinge from 30 % on",
            {"direction_weight": 0.002, "direction_margin": 0.01, "direction_from": 0.3, "context_drop": 0.05},
        ),
        "v3": Variant(
            "p1 with the strong directional hinge that wrecked it",
            {"direction_weight": 0.01, "anti_copy_weight": 0.01, "direction_from": 0.25, "context_drop": 0.05},
        ),
        "p4": Variant(
            "p1 with a loss on its own rollout and an adaptive hinge",
            {"rollout_weight": 0.05, "direction_weight": 0.002, "direction_from": 0.3, "direction_adaptive": True},
        ),
        "p5": Variant(
            "curriculum from the least copyable windows, weak slot numbers",
            {"curriculum": True, "position_scale": 0.03},
        ),
        "p5.1": Variant(
            "p5 with a bias against the last slot, noise on it, and a soft ranking term",
            {
                "curriculum": True,
                "position_scale": 0.10,
                "position_ramp": 0.15,
                "attention_bias": 0.6,
                "attention_bias_ramp": 0.2,
                "last_noise_chance": 0.15,
                "last_swap_chance": 0.05,
                "micro_rank_weight": 0.001,
            },
        ),
        "p6": Variant(
            "a learned NEXT query reads the context, itself unseen",
            {"architecture": "next_query", "attention_bias": 0.6},
        ),
        "amn": Variant("mean of the context plus an attended residual", {"architecture": "amn"}),
        "gru": Variant("mean of the context plus a gated recurrent network", {"architecture": "gru"}),
        "lstm": Variant("mean of the context plus an LSTM", {"architecture": "lstm"}),
        "cosine": Variant("p1 trained on the cosine that is asked of it", {"loss": "cosine"}),
        "rank": Variant(
            "cosine, a mixture by likeness, and a second head that ranks the page's other vectors",
            {"loss": "cosine", "architecture": "likeness", "ranker": True},
        ),
    },
    presets={
        "smoke": {
            "n_documents": 60,
            "document_length": 20,
            "dimensions": 16,
            "width": 32,
            "layers": 1,
            "heads": 2,
            "epochs": 12.0,
            "batch_size": 64,
            "evaluations": 3,
        },
        "cpu": {},
        "gpu": {"width": 512, "layers": 4, "heads": 8, "batch_size": 1024, "epochs": 20.0, "learning_rate": 5e-4},
    },
)

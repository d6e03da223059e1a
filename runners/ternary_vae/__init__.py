"""Two variational autoencoders over the 19,683 ternary operations, with a coverage that means something."""

from runners.ternary_vae.settings import Settings
from runners.training.family import Family, Variant

_FEWER_DRAWS = {"gpu": {"evaluation_draws": 1_000_000}}
"""Of the presets of a study, which judges hundreds of models."""

FAMILY = Family(
    name="ternary_vae",
    summary="dual VAE over all 3^9 = 19,683 ternary operations (168,770 parameters)",
    settings=Settings,
    train="runners.ternary_vae.train:train",
    variants={
        "calibrated": Variant("prior draws spread evenly, ramped activation of B, 27 biases calibrated at the end"),
        "ablation": Variant(
            "what each part of the recipe is worth, seven rows at once", {"study": "ablation"}, _FEWER_DRAWS
        ),
        "collapse": Variant("the weight of the KL from 0 to 3, six rows at once", {"study": "collapse"}, _FEWER_DRAWS),
        "v5.5": Variant(
            "the published recipe: adaptive weights, step-like activation of B at epoch 50, random StateNet",
            settings={
                "recipe": "v5.5",
                "epochs": 106,
                "batch_size": 64,
                "learning_rate": 1e-3,
                "statenet": "frozen",
                "calibrate": False,
            },
            presets={
                "smoke": {"epochs": 12, "batch_size": 256},
                "cpu": {"epochs": 106, "batch_size": 256, "learning_rate": 2e-3},
                "gpu": {"n_models": 1},
            },
        ),
    },
    presets={
        "smoke": {
            "epochs": 12,
            "batch_size": 256,
            "beta": 0.15,
            "beta_warmup": 0.8,
            "uniformity_from": 0.45,
            "uniformity_draws": 512,
            "n_evaluations": 4,
            "evaluation_draws": 200_000,
            "checkpoint_every": 200,
        },
        "cpu": {"epochs": 80, "batch_size": 512},
        "gpu": {"epochs": 160, "batch_size": 512, "n_models": 32, "precision": "fp32", "evaluation_draws": 10_000_000},
    },
    default_variant="calibrated",
    suite="ternary-vae",
)

"""The family `json_repair`: give back the document that was broken, not just one that parses. Imports no torch."""

from runners.json_repair.settings import Settings
from runners.training.family import Family, Variant

_DENOISER_SIZE = {"width": 512, "layers": 8, "heads": 8, "max_tokens": 512, "learning_rate": 3e-4}
_DENOISER_PRESETS = {
    "smoke": {"width": 32, "layers": 2, "heads": 2, "max_tokens": 128, "learning_rate": 2e-3},
    "cpu": {
        "width": 96,
        "layers": 3,
        "heads": 3,
        "max_tokens": 192,
        "steps": 300,
        "test_cases": 100,
        "batch_size": 32,
        "learning_rate": 2e-3,
    },
}

FAMILY = Family(
    name="json_repair",
    summary="repair broken JSON: exactly what was broken, with a grammar that makes every answer parse",
    settings=Settings,
    train="runners.json_repair.train:train",
    suite="json-repair",
    default_variant="tagger",
    variants={
        "tagger": Variant("tags for the tokens of a lenient lexer, searched under the JSON grammar"),
        "denoiser": Variant(
            "the published baseline: each position predicts the clean document's token at that position",
            {"model": "denoiser", **_DENOISER_SIZE},
            presets=_DENOISER_PRESETS,
        ),
        "iterative": Variant(
            "the denoiser run again on its own answer until it parses or stands still, trained with REINFORCE",
            {"model": "iterative", **_DENOISER_SIZE},
            presets=_DENOISER_PRESETS | {"cpu": _DENOISER_PRESETS["cpu"] | {"steps": 150}},
        ),
    },
    presets={
        "smoke": {
            "documents": "synthetic",
            "n_synthetic": 200,
            "real_share": 0.2,
            "width": 32,
            "layers": 1,
            "heads": 2,
            "max_tokens": 160,
            "steps": 40,
            "batch_size": 16,
            "n_evaluations": 2,
            "validation_cases": 2,
            "test_cases": 8,
            "checkpoint_every": 10,
        },
        "cpu": {"steps": 400},
        "gpu": {
            "steps": 20_000,
            "batch_size": 512,
            "accumulate": 1,
            "learning_rate": 1e-3,
            "compile": True,
            "checkpoint_every": 1_000,
        },
    },
)

"""The family `edgejson`: read documents into JSON of 25 schemas, with a small language model. Imports no torch."""

from runners.edgejson.settings import EdgeJsonSettings
from runners.training.family import Family, Variant

FAMILY = Family(
    name="edgejson",
    summary="documents into JSON: LoRA on a small language model, on data that was checked",
    settings=EdgeJsonSettings,
    train="runners.edgejson.train:train",
    suite="edgejson-v1",
    default_variant="lora",
    variants={
        "lora": Variant("a base trained here on some schemas, an adapter on two new ones"),
        "scratch": Variant("all weights from scratch, on the schemas asked for", {"method": "full", "new_schemas": ""}),
        "pretrained": Variant(
            "an adapter on a base that is given (SmolLM2-135M), on all 25 schemas",
            {
                "base": "HuggingFaceTB/SmolLM2-135M",
                "schemas": "all",
                "new_schemas": "",
                "replay": 0.0,
                "dropout": 0.1,
                "adapter_learning_rate": 2e-4,
                "batch_size": 4,
                "accumulate": 8,
            },
        ),
    },
    presets={
        "smoke": {
            "schemas": "contact_info,simple_config",
            "new_schemas": "rating",
            "forms": "list",
            "rows_per_schema": 60,
            "test_rows": 10,
            "width": 32,
            "heads": 2,
            "vocabulary": 400,
            "base_steps": 20,
            "adapter_steps": 20,
            "batch_size": 8,
            "evaluations": 2,
        },
        "cpu": {"forms": "list"},
        "gpu": {
            "schemas": "all",
            "rows_per_schema": 8000,
            "test_rows": 40,
            "width": 512,
            "layers": 8,
            "heads": 8,
            "vocabulary": 4096,
            "base_steps": 6000,
            "adapter_steps": 600,
            "batch_size": 128,
            "base_learning_rate": 1e-3,
        },
    },
)

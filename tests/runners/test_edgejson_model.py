"""The small base can repeat before it has learnt anything; a base of any kind can be adapted; the large preset runs."""

import dataclasses

import numpy as np
import pytest
import torch

from registry.errors import HoldfastError, UsageError
from runners.edgejson import FAMILY, base
from runners.edgejson.forms import TRAINED_FORMS
from runners.edgejson.generate import make_rows
from runners.edgejson.induction import give_induction
from runners.edgejson.model import answer_text
from runners.edgejson.tokens import train_tokenizer
from runners.training import start
from runners.training.checkpoints import load_weights


@pytest.fixture(autouse=True)
def registry_here(tmp_path, monkeypatch):
    monkeypatch.setenv("REGISTRY_DB", str(tmp_path / "runs.db"))
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")


@pytest.fixture(scope="module")
def tokenizer():
    made = make_rows(["rating", "log_entry", "product_info"], 60, 10, 0)["train"]
    return train_tokenizer([row["prompt"] + answer_text(row["expected_output"]) for row in made], 2048)


def born(tokenizer, seed: int = 0, **sizes: int):
    torch.manual_seed(seed)
    return base.small_base(dataclasses.replace(FAMILY.build("lora", "cpu"), seed=seed, **sizes), tokenizer)


def repetition_loss(model, tokenizer) -> float:
    """The mean cross-entropy of the third token of random pieces that are said again in another order."""
    rng = np.random.default_rng(1)
    pieces = rng.integers(2, len(tokenizer), size=(64, 8, 3))
    again = np.stack([row[rng.permutation(8)] for row in pieces])
    ids = torch.from_numpy(np.concatenate([pieces, again], 1).reshape(64, -1))
    with torch.no_grad():
        logits = model(input_ids=ids).logits[:, 25::3]
    return float(torch.nn.functional.cross_entropy(logits.flatten(0, 1), ids[:, 26::3].flatten()))


@pytest.mark.parametrize("sizes", [{}, {"width": 256, "heads": 4}, {"layers": 3}])
def test_a_base_just_born_repeats_better_than_chance(tokenizer, sizes):
    assert repetition_loss(born(tokenizer, **sizes), tokenizer) < np.log(len(tokenizer)) - 0.5


def test_without_the_circuit_it_does_not(tokenizer):
    model = born(tokenizer)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=model.config.initializer_range)
    assert repetition_loss(model, tokenizer) > np.log(len(tokenizer)) - 0.1


def test_heads_of_the_first_layer_look_at_their_places(tokenizer):
    model = born(tokenizer)
    model.set_attn_implementation("eager")
    ids = torch.from_numpy(np.random.default_rng(0).integers(2, len(tokenizer), size=(4, 40)))
    with torch.no_grad():
        attention = model(input_ids=ids, output_attentions=True).attentions[0].mean(0)
    for head, seen in enumerate(attention):
        assert seen.diagonal(-(head + 1))[10:].mean() > 0.8


def test_the_circuit_needs_two_layers_and_biases(tokenizer):
    with pytest.raises(UsageError, match="layers"):
        born(tokenizer, layers=1)
    model = born(tokenizer)
    model.config.attention_bias = False
    with pytest.raises(ValueError, match="biases"):
        give_induction(model, 0)


def test_a_value_is_the_same_tokens_in_every_form_and_in_the_answer(tokenizer):
    values = ["Ada Lund", "The amber basin moved", "2024-05-01T10:30:00Z", "116.74", "AB-1234"]
    for value in values:
        own = tokenizer.encode(value)
        for around in ("Name: {}\n", "| Name | {} |", '{{"name":"{}"}}'):
            tokens = tokenizer.encode(around.format(value))
            assert any(tokens[start : start + len(own)] == own for start in range(len(tokens))), (value, around)
            assert tokenizer.decode(tokens) == around.format(value)


def test_a_base_of_another_kind_is_adapted_in_all_its_linear_maps(tmp_path, tokenizer):
    from transformers import GPTNeoXConfig, GPTNeoXForCausalLM

    folder = tmp_path / "neox"
    config = GPTNeoXConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=32
    )
    GPTNeoXForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    overrides = (f"base={folder}", "schemas=contact_info,simple_config,rating", "threads=1", "adapter_steps=4")
    settings = FAMILY.build("pretrained", "smoke", (*overrides, "batch_size=4", "accumulate=2", "max_new_tokens=8"))
    outcome = start.train_family(FAMILY, settings, variant="pretrained", preset="smoke")
    assert outcome.status == "finished" and outcome.step == 4
    trained, _ = load_weights(outcome.folder / "checkpoints" / "best.safetensors")
    assert trained and all(".lora_" in name for name in trained)
    assert any(tensor.abs().sum() > 0 for name, tensor in trained.items() if "lora_B" in name)
    kept = outcome.folder / "model"
    assert not (kept / "base").exists() and str(tmp_path) not in (kept / "adapter_config.json").read_text()
    model, _ = base.load_kept(kept, str(folder), torch.float32)
    assert torch.equal(dict(model.named_parameters())[f"{next(iter(trained))}"], next(iter(trained.values())))


def test_a_folder_that_holds_no_model_is_told_in_one_line(tmp_path):
    with pytest.raises(HoldfastError, match="no kept EdgeJSON model") as caught:
        base.load_kept(tmp_path, "", torch.float32)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("variant", ["scratch", "lora"])
def test_the_large_preset_runs(variant):
    """Its phases and forms over a model and a data set that a CPU can carry."""
    whole = FAMILY.build(variant, "gpu")
    assert whole.schemas == "all" and whole.forms.split(",") == list(TRAINED_FORMS)
    small = ("width=64", "layers=3", "vocabulary=600", "schemas=rating,contact_info,simple_config", "batch_size=2")
    few = ("rows_per_schema=12", "test_rows=10", "base_steps=1", "adapter_steps=1", "evaluations=1")
    settings = FAMILY.build(variant, "gpu", (*small, *few, "max_new_tokens=8", "threads=1", "device=cpu"))
    outcome = start.train_family(FAMILY, settings, variant=variant, preset="gpu")
    assert outcome.status == "finished" and outcome.best_step == outcome.total_steps

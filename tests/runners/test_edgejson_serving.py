"""A promoted model reads documents into JSON, says what is wrong with what it read, and only with the base it had."""

from pathlib import Path

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM

from registry.database import open_database
from registry.errors import CheckFailedError, HoldfastError
from registry.record import Registry
from runners.edgejson import FAMILY
from runners.edgejson.tokens import train_tokenizer
from runners.serving.deployed import find_deployed, proven_copy
from runners.serving.edgejson import ExtractRequest, _judged, load
from runners.serving.endpoint import BadRequestError, find_load
from runners.training import start


@pytest.fixture
def trained(monkeypatch):
    """A run of the smoke preset."""
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")
    settings = FAMILY.build("lora", "smoke", ("threads=1",))
    return start.train_family(FAMILY, settings, variant="lora", preset="smoke")


def test_what_is_promoted_is_what_was_scored_and_it_answers(cli, trained):
    Path("registry.toml").write_text("[policy]\nrequire_other_domain = false\nnum_copies = 1\n")
    Path("vault").mkdir()
    cli("remote", "add", "vault", "vault")
    cli("copy", trained.run_id, "--to", "vault")
    cli("promote", trained.run_id, "--override", "gates", "--reason", "a smoke run answers nothing right")
    with Registry(open_database()) as record:
        deployed = find_deployed(record, "production")
    assert deployed.path == trained.folder / "model"
    with proven_copy(deployed) as folder:
        predict = find_load("edgejson")(folder, deployed.params)["predict"]
    asked = [
        ExtractRequest(text="Review Rating\n\nRating: 4\nReviewer Name: Ada Lund", schema_id="rating"),
        ExtractRequest(text="x", schema_id="ratings"),
        ExtractRequest(text="a b " * 4000, schema_id="rating"),
    ]
    read, unknown, too_long = predict.answer(asked)
    assert isinstance(read, predict.response) and isinstance(read.said, str)
    assert isinstance(unknown, BadRequestError) and "contact_info" in str(unknown)
    assert isinstance(too_long, BadRequestError) and "tokens" in str(too_long)
    assert predict.answer(asked[:1]) == [read]
    assert isinstance(predict.answer(asked[1:2])[0], BadRequestError)


def test_an_answer_says_what_is_wrong_with_it():
    right = _judged("rating", 'Sure: {"rating": 4, "reviewer_name": "Ada Lund"} and more')
    assert right.fields == {"rating": 4, "reviewer_name": "Ada Lund"} and right.problems == []
    assert _judged("rating", "no").problems == ["no JSON object in the answer"]
    assert _judged("rating", "no").fields is None
    assert "'reviewer_name' is a required property" in _judged("rating", '{"rating": 4}').problems[0]
    order = '{"order_id": "A", "customer_name": "B", "total_amount": 9.0, "items": %s}'
    items = '[{"product_name": "X", "quantity": 2, "price": 3.0}]'
    assert _judged("order_details", order % items).problems == ["total does not hold"]


def test_a_folder_without_a_model_and_another_base_are_refused(tmp_path):
    with pytest.raises(HoldfastError, match="no kept EdgeJSON model"):
        load(tmp_path, {})
    folder = tmp_path / "base"
    tokenizer = train_tokenizer(["a text"], 300)
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), num_key_value_heads=2, **sizes)).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    with pytest.raises(CheckFailedError, match="another base"):
        load(tmp_path, {"base": str(folder), "base/digest": "0" * 64})

"""Training on EdgeJSON: checked data only, the end token learnt, exact resume, and a base that is given or missing."""

import json
import os
import signal

import pytest
import torch

from registry import events
from registry.errors import CheckFailedError, NotFoundError, RefusedError, UnreachableError, UsageError
from runners.edgejson import FAMILY, base
from runners.edgejson.generate import make_rows, write_set
from runners.edgejson.model import Example, answer_loss, generate, tokenise
from runners.edgejson.rows import Row
from runners.edgejson.tokens import train_tokenizer
from runners.training import start
from runners.training.checkpoints import load_weights
from runners.training.loop import Loop


@pytest.fixture(autouse=True)
def registry_here(tmp_path, monkeypatch):
    monkeypatch.setenv("REGISTRY_DB", str(tmp_path / "runs.db"))
    monkeypatch.delenv("REGISTRY_RUN_ID", raising=False)
    monkeypatch.setenv("TOKENIZERS_PARALLELISM", "false")
    monkeypatch.chdir(tmp_path)


def train(variant: str, *overrides: str, **more):
    settings = FAMILY.build(variant, "smoke", ("threads=1", *overrides))
    return start.train_family(FAMILY, settings, variant=variant, preset="smoke", **more)


def journal(outcome) -> list[events.AnyEvent]:
    return [events.decode(line) for line in (outcome.folder / "journal.jsonl").read_bytes().splitlines()]


def test_an_adapter_is_scored_beside_its_base_the_rules_and_the_controls():
    outcome = train("lora")
    evaluations = [e for e in journal(outcome) if isinstance(e, events.Evaluation)]
    by_name = {e.subject or "model": e for e in evaluations}
    assert outcome.status == "finished"
    assert {"model", "base", "rules", "oracle", "empty_object"} <= by_name.keys()
    assert by_name["oracle"].metrics["edge/json_exact"] == 1.0 == by_name["model"].metrics["edge/harness"]
    assert by_name["empty_object"].metrics["edge/json_exact"] == 0.0
    assert {"edge/exact_gain", "edge/forgetting", "edge/json_exact/held_out"} <= by_name["model"].metrics.keys()
    low, high = by_name["rules"].intervals["edge/json_exact"]
    assert low <= by_name["rules"].metrics["edge/json_exact"] <= high


@pytest.mark.filterwarnings("ignore:.is_gradient_checkpointing:FutureWarning")
def test_the_kept_folder_loads_with_transformers_and_peft_and_names_no_path_of_this_machine():
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = train("lora").folder / "model"
    config = json.loads((folder / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == "base"
    model = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(folder / "base"), folder)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    row = Row("t", "test", 1, make_rows(["rating"], 1, 1, 0, ["list"])["test"][0])
    loaded = generate(model.eval(), [row.prompt], tokenizer, 8)
    merged = generate(model.merge_and_unload(), [row.prompt], tokenizer, 8)
    assert loaded == merged


def test_a_stopped_training_goes_on_to_the_same_weights(monkeypatch):
    straight = train("lora", name="straight")
    _stop_at(37, monkeypatch)
    stopped = train("lora", "checkpoint_every=5", name="stopped")
    assert stopped.status == "killed" and stopped.step == 37
    left, about = load_weights(stopped.folder / "checkpoints" / "last.safetensors")
    assert about["step"] == 37 and all(tensor.isfinite().all() for tensor in left.values())
    resumed = start.resume_family(stopped.run_id)
    assert resumed.status == "finished"
    one, other = (load_weights(o.folder / "checkpoints" / "last.safetensors")[0] for o in (straight, resumed))
    assert all(torch.equal(one[name], other[name]) for name in one)


def _stop_at(step: int, monkeypatch) -> None:
    """Send this process SIGTERM while it makes a step."""

    def show(loop: Loop, text: str) -> None:
        if loop.current == step:
            os.kill(os.getpid(), signal.SIGTERM)

    monkeypatch.setattr(Loop, "show", show)


def test_a_given_base_is_adapted_and_never_written_again():
    kept = train("scratch").folder / "model"
    outcome = train("lora", f"base={kept}", "new_schemas=rating")
    state, _ = load_weights(outcome.folder / "checkpoints" / "best.safetensors")
    assert state and all("lora_" in name for name in state)
    params = next(e for e in journal(outcome) if isinstance(e, events.Params) and "base/digest" in e.values)
    assert len(params.values["base/digest"]) == 64


def test_a_base_that_is_not_there_is_told_in_one_line(tmp_path, monkeypatch):
    with pytest.raises(NotFoundError, match="no model folder"):
        base.load_base(str(tmp_path / "nowhere"), torch.float32)
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotFoundError, match="holds no model") as caught:
        base.load_base(str(tmp_path / "empty"), torch.float32)
    assert "\n" not in str(caught.value)
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(UnreachableError, match="SmolLM2-135M"):
        base.load_base("HuggingFaceTB/SmolLM2-135M", torch.float32)


def test_data_that_does_not_pass_its_checks_is_refused(tmp_path):
    made = make_rows(["contact_info", "simple_config", "rating"], 30, 12, 0, ["list"])
    made["train"][3]["expected_output"] = {"name": 5}
    write_set(tmp_path / "bad", made)
    with pytest.raises(CheckFailedError, match="V2"):
        train("lora", f"data={tmp_path / 'bad'}")


def test_data_that_the_registry_calls_invalid_is_refused(tmp_path):
    from registry.database import open_database
    from registry.datasets import add_dataset, decide
    from runners.edgejson.data import open_rows

    made = make_rows(["contact_info", "simple_config", "rating"], 30, 12, 0, ["list"])
    write_set(tmp_path / "set", made)
    reference = open_rows(FAMILY.build("lora", "smoke", (f"data={tmp_path / 'set'}",))).reference
    db = open_database(create=True)
    add_dataset(db, reference, [str(tmp_path / "set" / f"{split}.jsonl") for split in ("train", "test")])
    decide(db, reference, "invalid", "a wrong generator")
    with pytest.raises(RefusedError, match="wrong generator"):
        train("lora", f"data={tmp_path / 'set'}")


def test_the_end_of_an_answer_is_learnt_and_the_prompt_is_not():
    rows = [Row("t", "train", 1, make_rows(["rating"], 1, 1, 0, ["list"])["train"][0])]
    tokenizer = train_tokenizer([rows[0].prompt], 300)
    (example,) = tokenise(rows, tokenizer, 1024)
    assert example.answer[-1] == tokenizer.eos_token_id
    model = base.small_base(FAMILY.build("lora", "smoke"), tokenizer)
    longer = Example((5,) * 140, example.answer)
    with torch.no_grad():
        both, one, other = (
            float(answer_loss(model, batch, 1, torch.device("cpu")))
            for batch in ([example, longer], [example], [longer])
        )
    assert both == pytest.approx((one + other) / 2, rel=1e-3)
    with pytest.raises(CheckFailedError, match="over 10"):
        tokenise(rows, tokenizer, 10)


def test_wrong_choices_are_refused_in_one_line():
    with pytest.raises(UsageError, match="ratings"):
        train("lora", "schemas=ratings")
    with pytest.raises(UsageError, match="form"):
        train("lora", "forms=poem")
    with pytest.raises(UsageError, match="base"):
        train("scratch", "base=x")
    with pytest.raises(NotFoundError, match="jsonl"):
        train("lora", "data=nowhere")

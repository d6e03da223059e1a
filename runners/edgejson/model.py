"""What is trained: a base, perhaps with an adapter on it, and the batches it sees. The loss is on the answer alone.

Every answer ends with the end token, which is learnt like any other: a model that never saw it does not stop.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import PreTrainedTokenizerBase

from registry.errors import CheckFailedError
from runners.edgejson.base import without_peft_noise
from runners.edgejson.rows import Row
from runners.edgejson.settings import EdgeJsonSettings

PROJECTIONS = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
"""The seven linear maps of a Llama layer; a base without any of them is adapted in all its linear maps."""
GENERATION_ROWS = 64
_IGNORED = -100


@dataclass(frozen=True)
class Example:
    """One row as tokens; the answer includes the end token."""

    prompt: tuple[int, ...]
    answer: tuple[int, ...]


def answer_text(answer: Mapping[str, Any]) -> str:
    """Return an answer as a model is to write it: JSON without spaces."""
    return json.dumps(answer, separators=(",", ":"), ensure_ascii=False)


def tokenise(rows: Sequence[Row], tokenizer: PreTrainedTokenizerBase, max_tokens: int) -> list[Example]:
    """Return rows as tokens. Raises CheckFailedError for a row that is longer than `max_tokens`: nothing is cut off."""
    examples = []
    for row in rows:
        prompt = tokenizer.encode(row.prompt)
        answer = [*tokenizer.encode(answer_text(row.answer), add_special_tokens=False), tokenizer.eos_token_id]
        if len(prompt) + len(answer) > max_tokens:
            raise CheckFailedError(
                f"{row.file} line {row.number} is {len(prompt) + len(answer)} tokens, over {max_tokens}",
                hint="raise max_tokens, or leave such rows out",
            )
        examples.append(Example(tuple(prompt), tuple(answer)))
    return examples


def pad_of(tokenizer: PreTrainedTokenizerBase) -> int:
    """Return what fills up a short row; it is masked, so the end token may do."""
    return int(tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id)


def adapt(model: torch.nn.Module, settings: EdgeJsonSettings) -> PeftModel:
    """Return the model with a LoRA adapter, which says nothing yet."""
    names = {name.rpartition(".")[2] for name, _ in model.named_modules()}
    targets: Any = PROJECTIONS if names & set(PROJECTIONS) else "all-linear"
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=targets,
        task_type="CAUSAL_LM",
    )
    with without_peft_noise():
        return get_peft_model(model, config)


def answer_loss(model: torch.nn.Module, examples: Sequence[Example], pad: int, device: torch.device) -> Tensor:
    """Return the mean cross-entropy of the answers' tokens.

    Rows are padded on the left, so that the answers stand together at the end and nothing else needs logits.
    """
    longest = max(len(one.answer) for one in examples)
    tokens = [[*one.prompt, *one.answer] for one in examples]
    ids, mask = _padded(tokens, pad, device)
    labels = torch.full((len(examples), longest), _IGNORED)
    for index, one in enumerate(examples):
        labels[index, longest - len(one.answer) :] = torch.tensor(one.answer)
    logits = model(input_ids=ids, attention_mask=mask, logits_to_keep=longest + 1).logits[:, :-1]
    return cross_entropy(logits.flatten(0, 1).float(), labels.to(device).flatten(), ignore_index=_IGNORED)


def _padded(tokens: Sequence[Sequence[int]], pad: int, device: torch.device) -> tuple[Tensor, Tensor]:
    longest = max(map(len, tokens))
    ids = torch.full((len(tokens), longest), pad)
    mask = torch.zeros((len(tokens), longest), dtype=torch.long)
    for index, row in enumerate(tokens):
        ids[index, longest - len(row) :] = torch.tensor(row)
        mask[index, longest - len(row) :] = 1
    return ids.to(device), mask.to(device)


@torch.no_grad()
def generate(
    model: torch.nn.Module, prompts: Sequence[str], tokenizer: PreTrainedTokenizerBase, max_new_tokens: int
) -> list[str]:
    """Return the model's greedy answer to each prompt, shorter ones together; special tokens are left out."""
    device = next(model.parameters()).device
    pad = pad_of(tokenizer)
    encoded = [tokenizer.encode(prompt) for prompt in prompts]
    order = sorted(range(len(encoded)), key=lambda index: len(encoded[index]))
    answers = [""] * len(encoded)
    for start in range(0, len(order), GENERATION_ROWS):
        chosen = order[start : start + GENERATION_ROWS]
        ids, mask = _padded([encoded[index] for index in chosen], pad, device)
        said = model.generate(
            input_ids=ids,
            attention_mask=mask,
            max_new_tokens=max_new_tokens,
            do_sample=False,
            pad_token_id=pad,
            eos_token_id=tokenizer.eos_token_id,
        )
        for index, tokens in zip(chosen, said[:, ids.shape[1] :], strict=True):
            answers[index] = tokenizer.decode(tokens, skip_special_tokens=True)
    return answers


class TrainedTensors:
    """The tensors that a training changes, as a part of its checkpoint: never the weights of a base that was given."""

    def __init__(self, model: torch.nn.Module, names: Sequence[str]) -> None:
        parameters = dict(model.named_parameters())
        self._tensors = {name: parameters[name] for name in names}

    def state_dict(self) -> dict[str, Tensor]:
        """Return the tensors by name."""
        return {name: tensor.detach() for name, tensor in self._tensors.items()}

    @torch.no_grad()
    def load_state_dict(self, state: Mapping[str, Tensor]) -> None:
        """Take over tensors. Raises CheckFailedError when they are not those of this training."""
        if state.keys() != self._tensors.keys():
            raise CheckFailedError("the checkpoint is of another model", hint="use the settings it was made with")
        for name, tensor in state.items():
            self._tensors[name].copy_(tensor)

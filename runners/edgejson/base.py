"""The language model that is adapted: one given by folder or hub name, or a small one, to be trained here."""

import hashlib
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerBase

from registry.errors import HoldfastError, NotFoundError, UnreachableError
from registry.hashing import FrozenFile, digest_file, manifest_text
from runners.edgejson.induction import give_induction
from runners.edgejson.settings import EdgeJsonSettings

ROPE_BASE = 10_000.0


def load_base(name: str, dtype: torch.dtype) -> tuple[torch.nn.Module, PreTrainedTokenizerBase]:
    """Return model and tokenizer of a folder, or of a hub name (from the local cache, else from the hub).

    Raises NotFoundError for a folder or a name that is not there, UnreachableError when the hub does not answer.
    """
    path = Path(name).expanduser()
    is_folder = path.is_dir()
    if not is_folder and (path.is_absolute() or name.startswith((".", "~"))):
        raise NotFoundError(f"no model folder {name}", hint=_INSTEAD)
    if is_folder and not (path / "config.json").is_file():
        raise NotFoundError(f"{name} holds no model: it has no config.json", hint=_INSTEAD)
    source = str(path) if is_folder else name
    try:
        tokenizer = AutoTokenizer.from_pretrained(source, local_files_only=is_folder)
        model = AutoModelForCausalLM.from_pretrained(source, local_files_only=is_folder, dtype=dtype)
    except OSError as error:
        raise _why_not_loaded(name, is_folder, error) from None
    except (ValueError, KeyError) as error:
        raise HoldfastError(f"{name} is no causal language model: {_first_line(error)}", hint=_INSTEAD) from None
    if tokenizer.eos_token_id is None:
        raise HoldfastError(
            f"the tokenizer of {name} has no end token", hint="an answer could never end; take another base"
        )
    return model, tokenizer


def load_kept(folder: Path, base: str, dtype: torch.dtype) -> tuple[torch.nn.Module, PreTrainedTokenizerBase]:
    """Return model and tokenizer of a folder that a training kept: whole, or an adapter with its base inside.

    `base` is the folder or hub name of an adapter whose base was given. Raises NotFoundError and UnreachableError as
    `load_base` does, HoldfastError for a folder that holds neither.
    """
    if (folder / "config.json").is_file():
        return load_base(str(folder), dtype)
    try:
        tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
        is_inside = (folder / "base" / "config.json").is_file()
        bare = (
            AutoModelForCausalLM.from_pretrained(folder / "base", local_files_only=True, dtype=dtype)
            if is_inside
            else load_base(base, dtype)[0]
        )
        with without_peft_noise():
            return PeftModel.from_pretrained(bare, folder, local_files_only=True), tokenizer
    except (OSError, ValueError, KeyError) as error:
        raise HoldfastError(f"{folder.name} holds no kept EdgeJSON model: {_first_line(error)}") from None


@contextmanager
def without_peft_noise() -> Iterator[None]:
    """Within it peft may ask transformers for a property by its older name, without a warning to whoever trains."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "`is_gradient_checkpointing`", FutureWarning)
        yield


_INSTEAD = "put the model's folder in place and pass --set base=FOLDER, or leave base empty to train a small one here"


def _why_not_loaded(name: str, is_folder: bool, error: OSError) -> HoldfastError:
    said = _first_line(error)
    if is_folder:
        return NotFoundError(f"{name} holds no model: {said}", hint=_INSTEAD)
    if os.environ.get("HF_HUB_OFFLINE") or "connect" in said or "offline" in said.lower():
        return UnreachableError(
            f"the model {name} is not in the local cache and the hub does not answer", hint=_INSTEAD
        )
    return NotFoundError(f"no model {name} on the hub: {said}", hint=_INSTEAD)


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:200]


def digest_of_base(name: str) -> str:
    """Return the digest of a base's folder (of its files' manifest; a hub cache links to them), "" for any other."""
    path = Path(name).expanduser()
    if not name or not path.is_dir():
        return ""
    files = sorted(one for one in path.rglob("*") if one.is_file())
    frozen = [FrozenFile(one.relative_to(path).as_posix(), *digest_file(one.resolve())) for one in files]
    return hashlib.sha256(manifest_text(frozen)).hexdigest()


def small_base(settings: EdgeJsonSettings, tokenizer: PreTrainedTokenizerBase) -> LlamaForCausalLM:
    """Return an untrained Llama of the size that the settings say, which can already repeat (see `induction`).

    Its weights are at the scale of its width: the usual 0.02 is made for thousands of dimensions, and attention would
    start blind.
    """
    config = LlamaConfig(
        vocab_size=len(tokenizer),
        hidden_size=settings.width,
        intermediate_size=2 * settings.width,
        num_hidden_layers=settings.layers,
        num_attention_heads=settings.heads,
        num_key_value_heads=settings.heads,
        attention_bias=True,
        max_position_embeddings=2 * settings.max_tokens,
        tie_word_embeddings=True,
        initializer_range=settings.width**-0.5,
        rope_parameters={"rope_type": "default", "rope_theta": ROPE_BASE},
        bos_token_id=None,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    model = LlamaForCausalLM(config)
    give_induction(model, settings.seed)
    return model


def describe(model: torch.nn.Module) -> dict[str, Any]:
    """Return the size of a model as params of a run."""
    parameters = list(model.parameters())
    n_trained = sum(one.numel() for one in parameters if one.requires_grad)
    return {"model/parameters": sum(one.numel() for one in parameters), "model/trained_parameters": n_trained}

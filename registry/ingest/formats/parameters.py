"""Files of parameters beside a run: `args.yaml`, `hparams.yaml`, `config.json`, `params.yaml`, …

YAML is read without its tags: what `!!python/object` would build stays an opaque word, nothing is ever built or run.
"""

import re
import tomllib
from typing import Any

import yaml

from registry.ingest import decode
from registry.ingest.fileformat import FileFormat
from registry.ingest.formats.documents import decode_document
from registry.ingest.records import Inputs, Record, State

MAX_BYTES = 4 << 20
MAX_PARAMS = 2000
MAX_VALUE_CHARS = 2000
MAX_LIST = 64
NAME = re.compile(
    r"(?:.*[_\-.])?(?:args|arguments|config|configs|configuration|cfg|hparams|hyperparams|hyperparameters|hyper_parameters|"
    r"params|parameters|opt|options|hyp|settings|training_args|flags|model_args|run_config|overrides)",
    re.IGNORECASE,
)
_SUFFIXES = frozenset({"yaml", "yml", "json", "toml"})
_NOT = re.compile(
    r"(?:tokenizer|generation|special_tokens|preprocessor|processor|adapter|quantiz|ds_|zero|accelerate|conda|docker|eslint|jsconfig|tsconfig)",
    re.IGNORECASE,
)


def is_parameters(name: str) -> bool:
    """Return whether a file's name says that it holds parameters."""
    stem, _, suffix = name.rpartition(".")
    return suffix.lower() in _SUFFIXES and bool(NAME.fullmatch(stem)) and not _NOT.search(stem)


class _Opaque(yaml.SafeLoader if not yaml.__with_libyaml__ else yaml.CSafeLoader):  # type: ignore[misc]
    """Reads YAML and leaves unknown tags alone."""


def _opaque(_loader: Any, suffix: str, node: yaml.Node) -> Any:
    return node.value if isinstance(node, yaml.ScalarNode) and node.value else f"<{suffix.rsplit(':', 1)[-1]}>"


_Opaque.add_multi_constructor("!", _opaque)
_Opaque.add_multi_constructor("tag:yaml.org,2002:python/", _opaque)


def decode_parameters(name: str, buffer: bytes) -> dict[str, Any]:
    """Return the parameters in a file, nested ones joined by dots. Raises ValueError for a file that is none."""
    text = buffer.decode(decode.encoding_of(buffer[:4096]), "replace").lstrip("\ufeff")
    suffix = name.rsplit(".", 1)[-1].lower()
    try:
        if suffix == "json":
            found = decode_document(buffer)
        elif suffix == "toml":
            found = tomllib.loads(text)
        else:
            found = yaml.load(text, Loader=_Opaque)
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(str(error)) from None
    if not isinstance(found, dict):
        raise ValueError("no mapping")
    return flatten(found)


def flatten(found: dict[Any, Any], prefix: str = "", depth: int = 0) -> dict[str, Any]:
    """Return nested parameters as one mapping; W&B's `{key: {desc, value}}` comes out as `key`."""
    flat: dict[str, Any] = {}
    for key, value in found.items():
        name = f"{prefix}{key}"
        if str(key) in ("_wandb", "wandb_version") or len(flat) >= MAX_PARAMS:
            continue
        if isinstance(value, dict) and "value" in value and value.keys() <= {"desc", "value"}:
            value = value["value"]
        if isinstance(value, dict) and value and depth < 8:
            flat.update(flatten(value, f"{name}.", depth + 1))
        elif isinstance(value, str | int | float | bool) or value is None:
            flat[name] = value if not isinstance(value, str) else value[:MAX_VALUE_CHARS]
        elif isinstance(value, list | tuple) and len(value) <= MAX_LIST:
            flat[name] = str(value)[:MAX_VALUE_CHARS]
        else:
            flat[name] = str(value)[:200]
    return dict(list(flat.items())[:MAX_PARAMS])


def read(state: State, buffer: bytes, base: int, *, last: bool) -> tuple[list[Record], int]:
    """Return the parameters of a whole file; one that does not parse is left until it does."""
    if not last or base:
        return [], 0
    if len(buffer) > MAX_BYTES:
        state["reason"] = f"a parameter file of {len(buffer)} bytes is not read"
        return [], len(buffer)
    try:
        return [Inputs(decode_parameters(state["name"], buffer))], len(buffer)
    except ValueError as error:
        state["reason"] = f"no parameters: {str(error).splitlines()[0] if str(error) else 'empty'}"
        return [], 0


FORMAT = FileFormat(
    name="parameters",
    version=1,
    read=read,
    whole=True,
    start=lambda name: {"name": name},
    files="args.yaml, hparams.yaml, config.json, params.yaml, hyperparams.json, …",
    example="lr0: 0.01",
    step="-",
)

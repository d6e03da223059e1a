"""A family's settings: one frozen dataclass, checked field by field, with the meaning of each field beside it.

A field is written `name: Annotated[type, Meta(bounds, description="…")] = default`; bounds are enforced however the
settings come about, and the description is what `registry train FAMILY --list` shows.
"""

import dataclasses
import difflib
import math
import typing
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Literal

import msgspec
from msgspec import Meta

from registry.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class CommonSettings:
    """What every family lets one choose: the seed, the machine, how often to keep a checkpoint."""

    seed: Annotated[int, Meta(ge=0, lt=2**31, description="Seed of every random choice.")] = 0
    device: Annotated[Literal["auto", "cpu", "cuda"], Meta(description="Where to compute; auto takes a GPU.")] = "auto"
    precision: Annotated[
        Literal["auto", "fp32", "bf16", "fp16"],
        Meta(description="Arithmetic of the forward pass; auto is bf16 where the GPU has it, else fp32."),
    ] = "auto"
    threads: Annotated[int, Meta(ge=0, le=256, description="CPU threads; 0 takes the idle cores.")] = 0
    checkpoint_every: Annotated[int, Meta(ge=1, description="Steps between two checkpoints.")] = 500

    def __post_init__(self) -> None:
        validate(self)


def validate(settings: Any) -> None:
    """Check every field of a settings dataclass against its type and bounds. Raises UsageError naming the field."""
    for name, hint in _hints(type(settings)).items():
        _convert(name, getattr(settings, name), hint, strict=True)


def build(cls: type, *layers: Mapping[str, Any], overrides: Iterable[str] = ()) -> Any:
    """Return settings of class `cls`: its defaults, then each layer of values, then `key=value` texts, later ones win.

    Raises UsageError with one line for an unknown key, a value of the wrong type or out of bounds.
    """
    hints = _hints(cls)
    chosen: dict[str, Any] = {}
    for layer in layers:
        for key, value in layer.items():
            chosen[key] = _convert(key, value, _hint(cls, hints, key), strict=True)
    for text in overrides:
        key, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"--set {text!r} has no value", hint="write --set key=value")
        hint = _hint(cls, hints, key.strip())
        chosen[key.strip()] = _convert(key.strip(), value.strip(), hint, strict=False)
    return cls(**chosen)


def as_params(settings: Any) -> dict[str, Any]:
    """Return settings as plain values: what the run records and what a checkpoint carries."""
    return dataclasses.asdict(settings)


def describe(cls: type) -> list[tuple[str, str, str]]:
    """Return one row for each field: its name, its default as text, and what it means."""
    properties = next(
        schema["properties"] for schema in msgspec.json.schema(cls)["$defs"].values() if schema["title"] == cls.__name__
    )
    return [
        (field.name, str(field.default), properties[field.name].get("description", ""))
        for field in dataclasses.fields(cls)
    ]


def _hints(cls: type) -> dict[str, Any]:
    return typing.get_type_hints(cls, include_extras=True)


def _hint(cls: type, hints: Mapping[str, Any], key: str) -> Any:
    if key in hints:
        return hints[key]
    near = difflib.get_close_matches(key, hints, n=1)
    raise UsageError(
        f"no setting {key!r}", hint=f"did you mean {near[0]}?" if near else f"settings: {', '.join(sorted(hints))}"
    )


def _convert(key: str, value: Any, hint: Any, *, strict: bool) -> Any:
    if isinstance(value, float | str) and _is_infinite(value):
        raise UsageError(f"{key}={value}: not a finite number")
    if isinstance(value, str) and value.lower() == "none" and not strict:
        value = None
    try:
        return msgspec.convert(value, hint, strict=strict)
    except msgspec.ValidationError as error:
        reason = str(error).replace("`", "").replace("Expected", "expected").replace("Invalid", "invalid")
        choices = _choices(hint)
        hint_text = f"one of {', '.join(choices)}" if choices else _meaning(hint)
        raise UsageError(f"{key}={value}: {reason}", hint=hint_text) from None


def _is_infinite(value: float | str) -> bool:
    try:
        return not math.isfinite(float(value))
    except ValueError:
        return False


def _choices(hint: Any) -> list[str]:
    bare = typing.get_args(hint)[0] if typing.get_origin(hint) is Annotated else hint
    return [str(choice) for choice in typing.get_args(bare)] if typing.get_origin(bare) is Literal else []


def _meaning(hint: Any) -> str:
    notes = getattr(hint, "__metadata__", ())
    return next((note.description for note in notes if getattr(note, "description", None)), "")

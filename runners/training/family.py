"""What a training family is, and how one is found: the entry points `holdfast.families` name `Family` objects.

A family module stays free of torch, so that listing families is quick; `train` is named as text and imported on use.
"""

import difflib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from registry.errors import HoldfastError, UsageError
from runners.training import settings as settings_module

PRESETS = ("smoke", "cpu", "gpu")


@dataclass(frozen=True)
class Variant:
    """A named way to train a family: one line that says what it is, and the settings that make it so."""

    summary: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    presets: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """What this variant alone changes in a preset; laid over the family's preset."""


@dataclass(frozen=True)
class Family:
    """A training family: what it is called, what one may choose, and the function that trains it.

    `train` is `module:function`, called as `train(settings, run, control)`. Settings come about in layers, later ones
    winning: the dataclass's defaults, the preset, the variant, the variant's own preset, then `key=value` texts.
    """

    name: str
    summary: str
    settings: type
    train: str
    variants: Mapping[str, Variant]
    presets: Mapping[str, Mapping[str, Any]]
    default_variant: str
    suite: str | None = None

    def __post_init__(self) -> None:
        if self.default_variant not in self.variants or set(self.presets) != set(PRESETS):
            raise ValueError(f"family {self.name}: its default variant and the presets {PRESETS} must exist")

    def build(self, variant: str, preset: str, overrides: tuple[str, ...] = ()) -> Any:
        """Return validated settings of a variant and preset. Raises UsageError naming what is wrong."""
        chosen = self.variants[_known("variant", variant, self.variants, self.name)]
        layers = (
            self.presets[_known("preset", preset, self.presets, self.name)],
            chosen.settings,
            chosen.presets.get(preset, {}),
        )
        return settings_module.build(self.settings, *layers, overrides=overrides)

    def load_train(self) -> Callable[..., None]:
        """Import and return the function that trains this family."""
        module, _, name = self.train.partition(":")
        return getattr(import_module(module), name)


def split_name(text: str) -> tuple[str, str | None]:
    """Return family and variant of `FAMILY` or `FAMILY:VARIANT`."""
    family, colon, variant = text.partition(":")
    if not family or (colon and not variant):
        raise UsageError(f"{text!r} names no family", hint="write FAMILY or FAMILY:VARIANT")
    return family, variant or None


def family_names() -> list[str]:
    """Return the names of all installed families, sorted."""
    return sorted({point.name for point in entry_points(group="holdfast.families")})


def find_family(name: str) -> Family:
    """Return the installed family of this name.

    Raises UsageError for an unknown name, HoldfastError for a family that cannot be imported.
    """
    points = {point.name: point for point in entry_points(group="holdfast.families")}
    point = points[_known("family", name, points)]
    try:
        family = point.load()
    except (ImportError, AttributeError) as error:
        raise HoldfastError(f"family {name} cannot be loaded: {error}", hint="pip install 'holdfast[train]'") from None
    if not isinstance(family, Family):
        raise HoldfastError(f"family {name}: {point.value} is not a runners.training.family.Family")
    return family


def _known(what: str, name: str, names: Mapping[str, Any], owner: str = "") -> str:
    if name in names:
        return name
    near = difflib.get_close_matches(name, names, n=1)
    of = f" of {owner}" if owner else ""
    hint = f"did you mean {near[0]}?" if near else f"known: {', '.join(sorted(names))}"
    raise UsageError(f"no {what} {name!r}{of}", hint=hint)

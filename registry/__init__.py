"""Holdfast's record of runs: `init` and `Run` write it, `open` reads it. Everything heavy is imported on first use."""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from registry.errors import (
        CheckFailedError,
        HoldfastError,
        MetricError,
        NotFoundError,
        RefusedError,
        RegistryUnusableError,
        SourceChangedError,
        UnreachableError,
        UsageError,
    )
    from registry.record import Registry, open
    from registry.run import Run
    from registry.starting import init

_HOME = {
    "init": "registry.starting",
    "Run": "registry.run",
    "open": "registry.record",
    "Registry": "registry.record",
    "HoldfastError": "registry.errors",
    "UsageError": "registry.errors",
    "MetricError": "registry.errors",
    "RefusedError": "registry.errors",
    "NotFoundError": "registry.errors",
    "UnreachableError": "registry.errors",
    "CheckFailedError": "registry.errors",
    "SourceChangedError": "registry.errors",
    "RegistryUnusableError": "registry.errors",
}

__all__ = [
    "CheckFailedError",
    "HoldfastError",
    "MetricError",
    "NotFoundError",
    "RefusedError",
    "Registry",
    "RegistryUnusableError",
    "Run",
    "SourceChangedError",
    "UnreachableError",
    "UsageError",
    "init",
    "open",
]


def __getattr__(name: str) -> Any:
    if name in _HOME:
        import importlib

        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module 'registry' has no attribute {name!r}")


def __dir__() -> list[str]:
    return __all__

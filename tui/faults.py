"""What a person is told when something fails in a worker. A dashboard does not die of one bad read."""

import os

from registry.errors import HoldfastError


def explained(error: Exception) -> HoldfastError:
    """Return what a person is told of an error; anything unforeseen is a fault of the program and says so."""
    if isinstance(error, HoldfastError):
        return error
    if os.environ.get("REGISTRY_DEBUG"):
        raise error
    said = str(error).strip().partition("\n")[0]
    return HoldfastError(
        f"this could not be done: {type(error).__name__}: {said}",
        hint="a fault of the program; REGISTRY_DEBUG=1 shows where",
    )

"""What a family must offer to be served: one function, named by an entry point `holdfast.endpoints`.

    def load(folder: Path, params: Mapping[str, Any]) -> Mapping[str, Call]

`folder` holds the deployed artifact (one file, or a tree), already compared with its digest; `params` are those of the
run that made it. The answer names the calls: `predict` is `POST /predict`, any other name (`chat`) its own address.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import entry_points
from pathlib import Path
from typing import Any

from pydantic import BaseModel

from registry.errors import HoldfastError, UsageError

GROUP = "holdfast.endpoints"


class BadRequestError(Exception):
    """A request that has the right shape and still cannot be answered; its words reach the one who asked."""


@dataclass(frozen=True)
class Call:
    """One thing a model answers: the shape of a request, the shape of an answer, and the function between them.

    `answer` gets 1 to `max_batch` requests that waited together and returns one answer for each, in their order; a
    BadRequestError in the place of an answer goes to its asker alone. It runs in one thread, never twice at a time.
    """

    request: type[BaseModel]
    response: type[BaseModel]
    answer: Callable[[Sequence[Any]], Sequence[BaseModel | BadRequestError]]
    max_batch: int = 32


Load = Callable[[Path, Mapping[str, Any]], Mapping[str, Call]]


def find_load(family: str) -> Load:
    """Return the function that loads a family's artifacts. Raises UsageError for a family that cannot be served."""
    points = {point.name: point for point in entry_points(group=GROUP)}
    if family not in points:
        raise UsageError(
            f"nothing here serves the family {family!r}",
            hint=f"families with an endpoint: {', '.join(sorted(points)) or 'none'}",
        )
    try:
        return points[family].load()
    except ImportError as error:
        raise HoldfastError(
            f"the endpoint of {family} cannot be loaded: {error}", hint="pip install 'holdfast[train,serve]'"
        ) from None

"""What a training says, as JSON can hold it. Standard library only."""

from collections.abc import Mapping
from typing import Any

from registry import events
from registry.errors import MetricError


def metric_number(name: str, value: Any) -> events.Number:
    """Return a metric value as it is written: bool and int as int, 0-d tensors and arrays as their number."""
    if isinstance(value, bool | int):
        return int(value)
    if isinstance(value, float):
        return events.wire_number(float(value))
    item = getattr(value, "item", None)
    if item is not None and getattr(value, "shape", ()) in ((), (1,)):
        return metric_number(name, item())
    shape = getattr(value, "shape", None)
    kind = f"a tensor of shape {tuple(shape)}" if shape is not None else f"{type(value).__name__} {value!r:.60}"
    raise MetricError(f"metric {name!r} is {kind}, not a number", hint="log a float, an int or a 0-d tensor")


def plain_params(params: Mapping[str, Any]) -> dict[str, Any]:
    """Return params as JSON can hold them: numbers, text, lists and dicts stay, anything else becomes its text."""

    def plain(value: Any) -> Any:
        if value is None or isinstance(value, bool | int | str):
            return value
        if isinstance(value, float):
            return events.wire_number(value)
        if isinstance(value, Mapping):
            return {str(key): plain(item) for key, item in value.items()}
        if isinstance(value, list | tuple | set):
            return [plain(item) for item in value]
        return str(value)

    return {str(key): plain(value) for key, value in params.items()}

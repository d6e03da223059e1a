"""What a person should be told of a run's numbers: a series without a finite value, a loss that grew. Pure."""

from dataclasses import dataclass

from registry.metrics import infer_goal

GROWTH = 2.0
MIN_POINTS = 5


@dataclass(frozen=True)
class Summary:
    """A series in short."""

    name: str
    count: int
    non_finite: int
    first: float | None
    last: float | None
    lowest: float | None


def doubts(series: list[Summary]) -> list[str]:
    """Return one sentence for each doubt; each stays the same while more values come, so it is told once."""
    found = []
    for one in series:
        if one.count and one.non_finite == one.count:
            found.append(f"{one.name}: its values are not finite, none of them")
        elif _grew(one):
            found.append(f"{one.name} grew instead of falling")
    return found


def _grew(one: Summary) -> bool:
    if one.count < MIN_POINTS or one.first is None or one.last is None or one.lowest is None:
        return False
    is_loss = "loss" in one.name.lower() and infer_goal(one.name) == "min"
    return is_loss and one.lowest > 0 and one.last > GROWTH * max(one.first, one.lowest)

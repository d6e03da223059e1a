"""Pins: word left at a place that some copies must stay for now, for every registry that shares the place to see."""

import json
from collections.abc import Iterable, Sequence

from registry import clock
from registry.remotes.base import Store

CLOCK_MARGIN_S = 3600.0
"""A pin is believed this long after its end: clocks of different machines differ."""


def write_pin(store: Store, permit_id: str, expires_at: float, digests: Sequence[str]) -> None:
    """Say that copies of these blobs must stay until `expires_at` (unix seconds)."""
    pin = {"permit": permit_id, "expires": expires_at, "digests": list(digests)}
    store.write_small(f"pins/{permit_id}.json", json.dumps(pin).encode())


def remove_pin(store: Store, permit_id: str) -> None:
    """Take a pin back."""
    store.remove(f"pins/{permit_id}.json")


def pinned_by_others(store: Store, permit_id: str, digests: Iterable[str]) -> dict[str, str]:
    """Return which blobs somebody else's pin holds at a place, and whose; a pin that cannot be read holds them all."""
    wanted = set(digests)
    held: dict[str, str] = {}
    for key in store.keys("pins"):
        if key == f"pins/{permit_id}.json":
            continue
        try:
            pin = json.loads(store.read_small(key) or b"null")
            if pin is None or float(pin["expires"]) + CLOCK_MARGIN_S < clock.now():
                continue
            held |= {digest: str(pin["permit"]) for digest in wanted.intersection(pin["digests"])}
        except (ValueError, KeyError, TypeError):
            held |= dict.fromkeys(wanted, key)
    return held

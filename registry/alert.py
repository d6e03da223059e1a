"""One warning: something true right now that a person should know, and what to type to end it."""

from dataclasses import asdict, dataclass
from typing import Any

from registry import clock

SEVERITIES = ("critical", "warning", "info")


@dataclass(frozen=True)
class Alert:
    """One warning: a stable `code`, what it is about, since when (unix seconds), and what to type to end it."""

    severity: str
    code: str
    subject: str
    message: str
    since: float | None
    hint: str

    def as_json(self) -> dict[str, Any]:
        """Return the alert in the shape of the JSON contract."""
        return {**asdict(self), "since": clock.iso(self.since)}

"""One look for each state, everywhere: a symbol, a word and a tone. Colour never says anything alone."""

from typing import NamedTuple


class Mark(NamedTuple):
    """How a state looks: `symbol` (one cell), `word`, and the `tone` that `theme.Ink` turns into a colour."""

    symbol: str
    word: str
    tone: str

    def __str__(self) -> str:
        return f"{self.symbol} {self.word}"


STATUS = {
    "queued": Mark("○", "queued", "muted"),
    "running": Mark("●", "running", "live"),
    "finished": Mark("✓", "finished", "ok"),
    "failed": Mark("✗", "failed", "bad"),
    "killed": Mark("■", "killed", "warn"),
    "crashed": Mark("✗", "crashed", "bad"),
    "stalled": Mark("◌", "stalled", "warn"),
    "unknown": Mark("?", "unknown", "warn"),
}

VERDICT = {
    "pass": Mark("✓", "pass", "ok"),
    "fail": Mark("✗", "fail", "bad"),
    "unknown": Mark("?", "unknown", "warn"),
    "uncalibrated": Mark("≁", "uncalibrated", "warn"),
    "overridden": Mark("!", "overridden", "warn"),
}

COPY = {
    "verified": Mark("✓", "verified", "ok"),
    "stale": Mark("◌", "stale", "warn"),
    "present": Mark("·", "unverified", "warn"),
    "flaky": Mark("≈", "flaky", "warn"),
    "missing": Mark("✗", "missing", "bad"),
    "corrupt": Mark("✗", "corrupt", "bad"),
    "foreign": Mark("?", "foreign", "bad"),
    "unknown": Mark("?", "unknown", "warn"),
}

DATASET = {
    "unchecked": Mark("○", "unchecked", "muted"),
    "unregistered": Mark("?", "unregistered", "warn"),
    "valid": Mark("✓", "valid", "ok"),
    "invalid": Mark("✗", "invalid", "bad"),
    "deprecated": Mark("■", "deprecated", "warn"),
}

SEVERITY = {
    "critical": Mark("✗", "critical", "bad"),
    "warning": Mark("!", "warning", "warn"),
    "info": Mark("·", "info", "muted"),
}

HEALTH = {
    "healthy": Mark("✓", "healthy", "ok"),
    "unhealthy": Mark("✗", "unhealthy", "bad"),
    "unknown": Mark("?", "not checked", "muted"),
}


def mark(table: dict[str, Mark], state: str) -> Mark:
    """Return the mark of a state; one that the table does not know is shown by its own word."""
    return table.get(state) or Mark("?", state, "warn")

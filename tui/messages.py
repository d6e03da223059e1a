"""What workers tell screens, in the past tense. A worker posts one of these and never touches a widget."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from textual.message import Message

from registry.errors import HoldfastError
from tui.facts import Opened, Status

if TYPE_CHECKING:
    from tui.jobs import JobState


@dataclass
class RegistryOpened(Message):
    """The registry was opened for the first time."""

    opened: Opened


@dataclass
class RegistryChanged(Message):
    """Somebody wrote to the registry (or it was opened): what is on screen may be old."""

    version: int

    def can_replace(self, message: Message) -> bool:
        """Only the newest version matters."""
        return isinstance(message, RegistryChanged)


@dataclass
class RegistryLost(Message):
    """The registry is missing, locked or unreadable; what was read before stays on screen."""

    error: HoldfastError

    def can_replace(self, message: Message) -> bool:
        """Only the newest state matters."""
        return isinstance(message, RegistryLost)


@dataclass
class SnapshotLoaded(Message):
    """A worker answered a screen's question."""

    question: str
    answer: Any


@dataclass
class SnapshotFailed(Message):
    """A worker could not answer a screen's question."""

    question: str
    error: HoldfastError


@dataclass
class StatusLoaded(Message):
    """What the bars of every screen say: alerts by severity and how many runs are running."""

    status: Status


@dataclass
class JobProgressed(Message):
    """A job got further."""

    state: "JobState"

    def can_replace(self, message: Message) -> bool:
        """Only how far it is now matters."""
        return isinstance(message, JobProgressed) and message.state.title == self.state.title


@dataclass
class JobEnded(Message):
    """A job ended: `lines` say what came of it, or `error` why nothing did."""

    title: str
    lines: tuple[str, ...] = ()
    error: HoldfastError | None = None

"""One way for a screen to ask the registry: in a worker thread, with the answer coming back as a message.

One question of a kind is in flight at a time and only the newest waits, so a hundred changes a second cost one read
after the other, not a queue.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from textual.screen import Screen

from registry.errors import HoldfastError
from tui.background import in_background
from tui.faults import explained
from tui.messages import SnapshotFailed, SnapshotLoaded
from tui.snapshots import Store

if TYPE_CHECKING:
    from tui.app import Dashboard

    _Screen = Screen[Any]
else:
    _Screen = object


class Asking(_Screen):
    """Mixed into a screen that asks: an answer to `ask("runs", …)` comes to `take_runs`, failures to `show_trouble`."""

    def __init__(self) -> None:
        super().__init__()
        self._in_flight: set[str] = set()
        self._waiting: dict[str, Callable[[Store], Any]] = {}

    @property
    def dashboard(self) -> "Dashboard":
        """The app, by its own type."""
        return cast("Dashboard", self.app)

    def ask(self, question: str, how: Callable[[Store], Any]) -> None:
        """Let a worker answer `how`; the newest question of a kind wins."""
        if question in self._in_flight:
            self._waiting[question] = how
            return
        self._in_flight.add(question)
        in_background(self.app, partial(self._answer, question, how), question)

    @property
    def is_busy(self) -> bool:
        """Whether an answer is still to come."""
        return bool(self._in_flight or self._waiting)

    def _answer(self, question: str, how: Callable[[Store], Any]) -> None:
        try:
            answer = how(self.dashboard.store)
        except Exception as error:
            self.post_message(SnapshotFailed(question, explained(error)))
        else:
            self.post_message(SnapshotLoaded(question, answer))

    def on_snapshot_loaded(self, message: SnapshotLoaded) -> None:
        """Show an answer and ask what was waiting."""
        message.stop()
        self._in_flight.discard(message.question)
        getattr(self, f"take_{message.question}")(message.answer)
        self._ask_waiting(message.question)

    def on_snapshot_failed(self, message: SnapshotFailed) -> None:
        """Say why there is no answer."""
        message.stop()
        self._in_flight.discard(message.question)
        self.show_trouble(message.error)
        self._ask_waiting(message.question)

    def _ask_waiting(self, question: str) -> None:
        if (how := self._waiting.pop(question, None)) is not None:
            self.ask(question, how)

    def show_trouble(self, error: HoldfastError) -> None:
        """Show what is wrong."""

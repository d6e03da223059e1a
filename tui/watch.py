"""The thread that watches the registry and tells the app, in messages, what changed. It never touches a widget."""

import threading
import time
from collections.abc import Callable

from textual.message import Message

from tui.faults import explained
from tui.messages import RegistryChanged, RegistryLost, RegistryOpened, StatusLoaded
from tui.snapshots import Store

POLL_S = 0.4
STATUS_AFTER_CHANGE_S = 1.0
STATUS_SHARE = 0.05
"""At most this share of the time goes into deriving the alerts, however large the registry and busy the runs."""
STATUS_AT_LEAST_EVERY_S = 15.0
"""Some alerts come with time alone: a heartbeat that stops, a verification that grows old."""


class Watcher:
    """Polls a store and posts what it sees: opened, changed, lost, and the status that the bars show."""

    def __init__(self, store: Store, post: Callable[[Message], bool]) -> None:
        self._store = store
        self._post = post
        self._version: int | None = None
        self._opened = False
        self._status_due_at = 0.0
        self._status_not_before = 0.0

    def run(self, stop: threading.Event) -> None:
        """Watch until `stop` is set, then give the store back."""
        while not stop.is_set():
            self.look()
            stop.wait(POLL_S)
        self._store.close()

    def look(self) -> None:
        """Look once."""
        try:
            version = self._store.poll()
            if not self._opened:
                self._opened = self._post(RegistryOpened(self._store.opened()))
            if version != self._version:
                self._version = version
                self._post(RegistryChanged(version))
                soon = max(time.monotonic() + STATUS_AFTER_CHANGE_S, self._status_not_before)
                self._status_due_at = min(self._status_due_at, soon)
            if time.monotonic() >= self._status_due_at:
                self._look_at_status()
        except Exception as error:
            self._version, self._status_due_at = None, 0.0
            self._post(RegistryLost(explained(error)))

    def _look_at_status(self) -> None:
        began = time.monotonic()
        self._post(StatusLoaded(self._store.status()))
        ended = time.monotonic()
        self._status_due_at = ended + STATUS_AT_LEAST_EVERY_S
        self._status_not_before = ended + min((ended - began) / STATUS_SHARE, STATUS_AT_LEAST_EVERY_S)

"""Threads that may be left behind: what hangs (a silent host, a dead mount) never keeps the dashboard from ending.

Nothing here touches a widget; a thread tells what it found in messages.
"""

import contextlib
import contextvars
import threading
from collections.abc import Callable
from typing import Any

from textual.app import App


def in_background(app: App[Any], work: Callable[[], None], name: str) -> threading.Thread:
    """Do `work` in a thread of its own. What it raises ends the app with a traceback: a fault of the program."""

    def run() -> None:
        try:
            work()
        except Exception as error:
            # The app may be gone by now, and with it whoever wants to know.
            with contextlib.suppress(RuntimeError):
                app.call_later(_raise, error)

    thread = threading.Thread(target=contextvars.copy_context().run, args=(run,), name=name, daemon=True)
    thread.start()
    return thread


def _raise(error: Exception) -> None:
    raise error

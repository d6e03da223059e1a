"""When a training has to end early: a signal or the maximum time. Asked between two steps, never inside one."""

import signal
import threading
import time
from types import FrameType

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stop:
    """Inside the `with` block SIGTERM and SIGINT set `reason` instead of ending the process; so does the maximum time.

    A second signal is the user's impatience: it raises KeyboardInterrupt at once.
    """

    def __init__(self, max_time_s: float | None = None) -> None:
        self.signal_name = ""
        self._deadline = None if max_time_s is None else time.monotonic() + max_time_s
        self._max_time_s = max_time_s
        self._before: dict[int, object] = {}

    def __enter__(self) -> "Stop":
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._on_signal) for number in SIGNALS}
        return self

    def __exit__(self, *_: object) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)  # type: ignore[arg-type]

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        if self.signal_name:
            raise KeyboardInterrupt
        self.signal_name = signal.Signals(number).name

    @property
    def reason(self) -> str:
        """Why to stop now; empty while there is no reason."""
        if self.signal_name:
            return self.signal_name
        if self._deadline is not None and time.monotonic() >= self._deadline:
            return f"maximum time of {self._max_time_s:g} s"
        return ""

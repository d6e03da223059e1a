"""The model that answers now, and the thread that follows the registry: promotion and rollback swap it between two
batches. The one before answers what it was asked already; a new one that cannot be served never takes its place.
"""

import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import Any

from registry.clock import iso, now
from registry.errors import HoldfastError
from registry.record import Registry
from runners.serving.batching import Batcher
from runners.serving.deployed import Deployed, find_deployed, proven_copy
from runners.serving.endpoint import Call, find_load

FOLLOW_INTERVAL_S = 0.5


@dataclass(frozen=True)
class Serving:
    """A loaded model: what it is, its calls, and the batcher of each."""

    deployed: Deployed
    calls: dict[str, Call]
    batchers: dict[str, Batcher]
    loaded_at: str


def load(deployed: Deployed, executor: ThreadPoolExecutor) -> Serving:
    """Prove the bytes, load the model and return it ready. Raises HoldfastError when it cannot be served."""
    family_load = find_load(deployed.family)
    with proven_copy(deployed) as folder:
        try:
            calls = dict(family_load(folder, deployed.params))
        except HoldfastError:
            raise
        except Exception as error:
            raise HoldfastError(
                f"{deployed.path.name} of {deployed.run_name} does not load as a {deployed.family}:"
                f" {type(error).__name__}: {error}"
            ) from error
    batchers = {name: Batcher(call, executor) for name, call in calls.items()}
    return Serving(deployed, calls, batchers, iso(now()) or "")


@dataclass
class Service:
    """Keeps `current` at what the target has deployed; `trouble` says why it could not be followed."""

    record: Registry
    target: str
    tell: Callable[[str], None]
    current: Serving = field(init=False)
    trouble: str = field(init=False, default="")
    _executor: ThreadPoolExecutor = field(init=False, default_factory=lambda: ThreadPoolExecutor(1, "model"))
    _stop: threading.Event = field(init=False, default_factory=threading.Event)
    _thread: threading.Thread | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self.current = load(find_deployed(self.record, self.target), self._executor)

    def health(self) -> dict[str, Any]:
        """Return what is deployed and answering: `ok`, or `behind` with the reason why the newest is not served."""
        deployed = self.current.deployed
        return {
            "status": "behind" if self.trouble else "ok",
            "target": self.target,
            "run": deployed.run_id,
            "run_name": deployed.run_name,
            "family": deployed.family,
            "digest": deployed.digest,
            "since": deployed.since,
            "loaded_at": self.current.loaded_at,
            "calls": sorted(self.current.calls),
            **({"reason": self.trouble} if self.trouble else {}),
        }

    def follow(self) -> None:
        """Begin to follow the registry in a thread of its own."""
        self._thread = threading.Thread(target=self._follow, name="follow", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop following, and let the model finish what it works on."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join()
        self._executor.shutdown()

    def _follow(self) -> None:
        seen: int | None = None
        while not self._stop.wait(FOLLOW_INTERVAL_S):
            try:
                version = self.record.data_version()
                if version != seen or self.trouble:
                    self.catch_up()
                seen = version
            except HoldfastError as error:
                self._trouble(f"the registry cannot be read: {error}")

    def catch_up(self) -> None:
        """Serve what is deployed now; what answers so far goes on when that is impossible."""
        try:
            wanted = find_deployed(self.record, self.target)
            if not wanted.same_bytes_of_same_run(self.current.deployed):
                self.current = load(wanted, self._executor)
                self.tell(f"{self.target} now serves {wanted.run_name} ({wanted.run_id}), {wanted.digest[:12]}")
        except HoldfastError as error:
            self._trouble(str(error))
        else:
            self.trouble = ""

    def _trouble(self, words: str) -> None:
        if words != self.trouble:
            self.tell(f"still serving {self.current.deployed.run_name}: {words}")
        self.trouble = words

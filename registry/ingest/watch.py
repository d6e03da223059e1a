"""Watch folders: file events wake the engine at once, a rescan now and then finds what no event told.

Where no file events are to be had (network mounts, too few inotify watches) the rescan alone does it.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from watchdog.events import FileSystemEvent, FileSystemEventHandler
from watchdog.observers import Observer

from registry.ingest.engine import Engine, Look

MAX_PAUSE_S = 0.05
"""After a look the watcher rests for twice its CPU time, at most this long: a busy log costs no whole core."""


class _Changes(FileSystemEventHandler):
    """Collects the paths that changed until somebody takes them."""

    def __init__(self) -> None:
        self.woken = threading.Event()
        self._paths: set[str] = set()
        self._lock = threading.Lock()

    def on_any_event(self, event: FileSystemEvent) -> None:
        """Note what changed; opening and closing without a write is no change."""
        if event.is_directory and event.event_type == "modified":
            return
        if event.event_type in ("opened", "closed_no_write"):
            return
        with self._lock:
            self._paths.update(os.fsdecode(path) for path in (event.src_path, event.dest_path) if path)
        self.woken.set()

    def take(self) -> set[str]:
        """Return the changed paths and forget them."""
        with self._lock:
            self.woken.clear()
            taken, self._paths = self._paths, set()
        return taken


def watch(
    engine: Engine,
    roots: list[Path],
    *,
    rescan_interval_s: float,
    stop: threading.Event,
    told: Callable[[Look], None],
    complain: Callable[[str], None],
) -> None:
    """Look at the folders until `stop` is set; `told` gets what each look came to, if it came to anything."""
    changes = _Changes()
    with _observed(roots, changes, complain):
        rescan_at = 0.0
        while not stop.is_set():
            changed = changes.take()
            started, worked = time.monotonic(), time.thread_time()
            look = engine.glance(changed) if changed and started < rescan_at else None
            if look is None and (changed or started >= rescan_at):
                look = engine.look(roots)
                rescan_at = time.monotonic() + rescan_interval_s
            if look is not None and (look.n_points or look.new_runs):
                told(look)
            stop.wait(min(MAX_PAUSE_S, 2 * (time.thread_time() - worked)))
            changes.woken.wait(max(0.0, rescan_at - time.monotonic()))


@contextmanager
def _observed(roots: list[Path], changes: _Changes, complain: Callable[[str], None]) -> Iterator[None]:
    observer = Observer()
    try:
        for root in roots:
            observer.schedule(changes, str(root if root.is_dir() else root.parent), recursive=root.is_dir())
        observer.start()
    except OSError as error:
        complain(f"no file events ({error.strerror or error}): looking again every few seconds instead")
        yield
        return
    try:
        yield
    finally:
        observer.stop()
        observer.join()

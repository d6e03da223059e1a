"""The journal and the output of a run elsewhere, kept here byte for byte. Their sizes are the offsets to go on from, so
a cut connection, or a killed program, loses nothing and doubles nothing.
"""

import contextlib
import os
import sys
from pathlib import Path

from registry import places


class Mirror:
    """The folder of a run here, into which blocks from there are appended in their order."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.journal = folder / places.JOURNAL_NAME
        self.output = folder / places.OUTPUT_NAME
        self._show = True

    def offsets(self) -> dict[str, int]:
        """Return how much is here of the journal and of the output, in bytes."""
        return {"journal": _size(self.journal), "output": _size(self.output)}

    def take(self, kind: str, block: bytes) -> None:
        """Append a block of the journal (J), or of the output (O), which is shown as well."""
        if kind == "J":
            _append(self.journal, block)
        elif kind == "O":
            _append(self.output, block)
            self._shown(block)

    def _shown(self, block: bytes) -> None:
        """Pass output on; a terminal that went away does not stop the recording."""
        if self._show:
            try:
                sys.stdout.buffer.write(block)
                sys.stdout.buffer.flush()
            except (OSError, ValueError):
                self._show = False


def _size(path: Path) -> int:
    with contextlib.suppress(FileNotFoundError):
        return path.stat().st_size
    return 0


def _append(path: Path, block: bytes) -> None:
    """Append a block; after a full disk the file ends where it could, and the rest is asked for again."""
    descriptor = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o644)
    try:
        view = memoryview(block)
        while view:
            view = view[os.write(descriptor, view) :]
    finally:
        os.close(descriptor)

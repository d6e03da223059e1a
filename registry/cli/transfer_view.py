"""What a person sees while bytes move: one progress line on stderr, on a terminal only; Ctrl-C ends it cleanly."""

import contextlib
import re
import sys
from collections.abc import Iterator

from registry.cli.context import Context
from registry.copies.transfer import Progress
from registry.errors import UsageError
from registry.remotes.base import Meter

_UNITS = {"": 1, "k": 10**3, "m": 10**6, "g": 10**9, "t": 10**12}


def parse_size(text: str) -> int:
    """Return the bytes of `500`, `500k`, `20M`, `1.5G`. Raises UsageError."""
    match = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*([kmgt]?)i?b?\s*(?:/s)?\s*", text.lower())
    if not match or float(match[1]) <= 0:
        raise UsageError(f"not a size: {text!r}", hint="write 500k, 20M or 1.5G")
    return int(float(match[1]) * _UNITS[match[2]])


@contextlib.contextmanager
def transfer_view(options: Context, rate: str | None = None) -> Iterator[Progress]:
    """Yield what transfers report to; draws only on a terminal."""
    limit = parse_size(rate) if rate else None
    if options.quiet or options.json or not sys.stderr.isatty():
        yield Progress(Meter(limit))
        return
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn, TransferSpeedColumn
    from rich.progress import Progress as Bar

    from registry.cli.output import out

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TransferSpeedColumn(),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=out.errors, transient=True) as bar:
        task = bar.add_task("", total=None)

        def phase(words: str, n_files: int, n_bytes: int) -> None:
            bar.reset(task, description=f"{words} {n_files} files", total=max(n_bytes, 1), completed=0)

        meter = Meter(limit, report=lambda n_bytes: bar.advance(task, n_bytes))
        yield Progress(meter, phase)

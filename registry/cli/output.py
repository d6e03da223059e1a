"""The only writer to stdout: tables, lines and JSON. Complaints and progress go to stderr."""

import json
import os
import sys
from collections.abc import Iterable, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console, RenderableType
    from rich.text import Text

PLAIN_WIDTH = 200
_STYLES = {
    "pass": "green", "finished": "green", "verified": "green", "valid": "green", "ok": "green",
    "fail": "bold red", "failed": "bold red", "crashed": "bold red", "corrupt": "bold red", "missing": "bold red",
    "critical": "bold red", "invalid": "bold red", "refused": "bold red",
    "running": "cyan", "unknown": "yellow", "warning": "yellow", "killed": "yellow", "stale": "yellow",
    "uncalibrated": "yellow", "overridden": "magenta", "unchecked": "yellow", "deprecated": "yellow",
}  # fmt: skip
_MARKS = {
    "pass": "✓", "fail": "✗", "unknown": "?", "uncalibrated": "≁", "overridden": "!",
    "finished": "✓", "failed": "✗", "crashed": "✗", "killed": "■", "running": "●", "verified": "✓",
    "critical": "✗", "warning": "!", "info": "·", "corrupt": "✗", "missing": "✗", "stale": "~",
}  # fmt: skip


class Output:
    """Where the words of a command go."""

    @cached_property
    def console(self) -> "Console":
        """The rich console of stdout; wide when it is no terminal, so that nothing is cut for a pipe."""
        from rich.console import Console

        class PipedConsole(Console):
            def on_broken_pipe(self) -> None:
                """Leave it to the command: a reader that has seen enough (`| head`) is no failure."""
                raise BrokenPipeError

        return self._console(PipedConsole)

    @cached_property
    def errors(self) -> "Console":
        """The rich console of stderr."""
        from rich.console import Console

        return Console(stderr=True, highlight=False, soft_wrap=True)

    @staticmethod
    def _console(kind: "type[Console]") -> "Console":
        piped = not sys.stdout.isatty() and "COLUMNS" not in os.environ
        return kind(highlight=False, width=PLAIN_WIDTH if piped else None)

    def line(self, words: str = "", style: str | None = None) -> None:
        """Print one line; nothing in it is read as markup."""
        from rich.text import Text

        self.console.print(Text(words, style=style or ""), soft_wrap=True)

    def json(self, value: Any) -> None:
        """Print a value as JSON."""
        sys.stdout.write(json.dumps(value, indent=2, ensure_ascii=False, default=str) + "\n")

    def text(self, words: str) -> None:
        """Print a document as it is (Markdown, CSV)."""
        sys.stdout.write(words if words.endswith("\n") else words + "\n")

    def raw(self, block: bytes) -> None:
        """Write bytes through, unchanged and at once."""
        sys.stdout.buffer.write(block)
        sys.stdout.flush()

    def show(self, renderable: "RenderableType") -> None:
        """Print anything that rich can draw."""
        self.console.print(renderable)

    def table(
        self,
        columns: Sequence[str],
        rows: Iterable[Sequence[Any]],
        *,
        title: str | None = None,
        numeric: Sequence[str] = (),
        foot: str | None = None,
    ) -> None:
        """Print a table; cells are text or rich Text, columns named in `numeric` are set to the right."""
        from rich import box
        from rich.table import Table
        from rich.text import Text

        table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False, title_style="bold")
        for name in columns:
            table.add_column(Text(name), justify="right" if name in numeric else "left", overflow="fold")
        for row in rows:
            table.add_row(*(cell if isinstance(cell, Text) else Text(_plain(cell)) for cell in row))
        self.console.print(table)
        if foot:
            self.line(foot, style="dim")

    def warn(self, words: str) -> None:
        """Print one line on stderr."""
        from rich.text import Text

        self.errors.print(Text(f"registry: {words}"))


def _plain(cell: Any) -> str:
    return "" if cell is None else str(cell)


def confirm(question: str, yes: bool) -> None:
    """Ask before something is done. Raises UsageError when nobody can answer, RefusedError for a no."""
    from registry.errors import RefusedError, UsageError

    if yes:
        return
    if not (sys.stdin.isatty() and sys.stderr.isatty()):
        raise UsageError(question, hint="nobody is there to answer: add --yes")
    sys.stderr.write(f"{question} [y/N] ")
    sys.stderr.flush()
    if sys.stdin.readline().strip().lower() not in ("y", "yes"):
        raise RefusedError("nothing was changed")


def word(name: str) -> "Text":
    """Return a status or verdict with its mark and colour; the word itself is always there."""
    from rich.text import Text

    mark = _MARKS.get(name)
    return Text(f"{mark} {name}" if mark else name, style=_STYLES.get(name, ""))


def number(value: float | None, precision: int = 4) -> str:
    """Return a number for a table: `precision` significant digits, never scientific where it can be avoided."""
    if value is None:
        return "nan"
    if value == int(value) and abs(value) < 1e7:
        return str(int(value))
    return f"{value:.{precision}g}" if 1e-4 <= abs(value) < 1e6 else f"{value:.{max(precision - 1, 1)}e}"


def size(size_bytes: int) -> str:
    """Return a size for people: `412 B`, `1.4 MB`, `2.0 GB` (decimal units)."""
    amount = float(size_bytes)
    for unit in ("B", "kB", "MB", "GB"):
        if amount < 1000:
            return f"{amount:.0f} {unit}" if unit == "B" else f"{amount:.1f} {unit}"
        amount /= 1000
    return f"{amount:.1f} TB"


out = Output()

"""The end of a run's output: follows what is added, finds text, shows every byte as text and obeys none of them."""

from collections.abc import Sequence

from rich.segment import Segment
from textual.geometry import Size
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui.text import fit
from tui.theme import Ink


class LogView(ScrollView, can_focus=True):
    """Lines of text, the last ones in view while `following`."""

    following: reactive[bool] = reactive(True)
    needle: reactive[str] = reactive("")

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self._lines: tuple[str, ...] = ()

    def show(self, lines: Sequence[str]) -> None:
        """Show other lines."""
        self._lines = tuple(lines)
        self.virtual_size = Size(self.size.width, len(self._lines))
        if self.following:
            self.scroll_end(animate=False, force=True)
        self.refresh()

    def on_resize(self) -> None:
        """Keep the last lines in view."""
        self.show(self._lines)

    @property
    def matches(self) -> list[int]:
        """The lines that hold what is searched for."""
        needle = self.needle.lower()
        return [at for at, line in enumerate(self._lines) if needle and needle in line.lower()]

    def find_next(self, by: int) -> bool:
        """Scroll to the next line that matches; False when none does."""
        matches = self.matches
        if not matches:
            return False
        self.following = False
        here = self.scroll_offset.y
        later = [at for at in matches if at > here] if by > 0 else [at for at in matches[::-1] if at < here]
        self.scroll_to(y=(later or (matches if by > 0 else matches[::-1]))[0], animate=False, force=True)
        return True

    def watch_needle(self) -> None:
        """Show what matches."""
        self.refresh()

    def render_line(self, y: int) -> Strip:
        """Draw one line."""
        width, base = self.scrollable_content_region.width, self.rich_style
        at = self.scroll_offset.y + y
        if at >= len(self._lines):
            return Strip.blank(width, base)
        line = self._lines[at]
        ink = Ink.of(self.app)
        found = bool(self.needle) and self.needle.lower() in line.lower()
        mark = Segment("▌" if found else " ", base + ink.tone("accent"))
        style = base + ink.tone("accent") if found else base
        return Strip([mark, Segment(fit(line, width - 1), style)])

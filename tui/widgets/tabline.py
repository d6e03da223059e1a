"""The names of a screen's pages on one line; the one that is shown stands out."""

from textual.content import Content
from textual.message import Message
from textual.reactive import reactive
from textual.style import Style
from textual.widget import Widget


class TabLine(Widget):
    """One line of names; a click on a name asks for it."""

    ALLOW_SELECT = False
    auto_links = False
    active: reactive[str] = reactive("")
    note: reactive[str] = reactive("")
    """A word about the page that is shown, on the right."""

    class Asked(Message):
        """A name was clicked."""

        def __init__(self, name: str) -> None:
            super().__init__()
            self.name = name

    def __init__(self, names: dict[str, str]) -> None:
        super().__init__()
        self.names = names

    def render(self) -> Content:
        """Draw the names."""
        parts = []
        for name, title in self.names.items():
            link = Style.from_meta({"@click": f"ask('{name}')"})
            style = "bold underline $text-accent" if name == self.active else "$text-muted"
            parts.append(Content.styled(title, style).stylize(link))
        names = Content(" ") + Content("  ").join(parts)
        note = Content.styled(f"{self.note} ", "$text-muted")
        gap = self.size.width - names.cell_length - note.cell_length
        return names + Content(" " * gap) + note if gap > 1 else names

    def places(self) -> list[tuple[str, int]]:
        """Return each name and where its title begins."""
        left, found = 1, []
        for name, title in self.names.items():
            found.append((name, left))
            left += len(title) + 2
        return found

    def action_ask(self, name: str) -> None:
        """Ask for a page."""
        self.post_message(self.Asked(name))

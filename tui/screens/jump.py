"""Jump mode: a letter on everything one can go to; the letter goes there."""

from typing import NamedTuple

from textual import events
from textual.app import ComposeResult
from textual.content import Content
from textual.screen import ModalScreen, Screen
from textual.widget import Widget
from textual.widgets import Static

from tui.widgets.bars import TopBar
from tui.widgets.tabline import TabLine

LETTERS = "asdfghjklqwertyuiopzxcvbnm"


class Target(NamedTuple):
    """Somewhere to go: where its letter stands, and the action (or the widget to focus) behind it."""

    x: int
    y: int
    action: str
    widget: Widget


def targets(screen: Screen[object]) -> list[Target]:
    """Return everything on a screen that can be gone to: the screens, the pages, the widgets that take the focus."""
    found = []
    for bar in screen.query(TopBar):
        found += [Target(bar.region.x + x, bar.region.y, f"app.mode('{mode}')", bar) for mode, x in bar.places()]
    for line in screen.query(TabLine):
        found += [Target(line.region.x + x, line.region.y, f"ask('{name}')", line) for name, x in line.places()]
    for widget in screen.focus_chain:
        if widget.region and widget.display:
            found.append(Target(widget.region.x, widget.region.y, "", widget))
    return found[: len(LETTERS)]


class JumpScreen(ModalScreen[Target | None]):
    """Shows the letters over the screen below."""

    def __init__(self, below: Screen[object]) -> None:
        super().__init__()
        self.targets = dict(zip(LETTERS, targets(below), strict=False))

    def compose(self) -> ComposeResult:
        """Put each letter where its target is."""
        for letter, target in self.targets.items():
            label = Static(Content(letter), classes="jump")
            label.styles.offset = (target.x, target.y)
            yield label

    def on_key(self, event: events.Key) -> None:
        """Go where the letter stands; anything else leaves."""
        event.stop()
        self.dismiss(self.targets.get(event.character or ""))

"""Every key that works on a screen, made from the table of actions and the bindings that are really active."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen, Screen
from textual.widgets import Static

from tui.actions import ACTIONS, key_text

_TITLES = {"app": "Everywhere", "table": "In a table"}
KEY_WIDTH = 14
SIGNS = (
    ("◆", "marked for comparing, in the colour its curve has"),
    ("▣", "the baseline"),
    ("▲", "deployed"),
    ("0.31 @12", "the best value and its step"),
    ("73% 1h22m", "how much is done and the time left"),
    ("~  ≈", "sampled, estimated (no sign: measured)"),
    ("✓ ✗ ? ≁ !", "pass, fail, unknown, uncalibrated, overridden"),
)


class HelpScreen(ModalScreen[None]):
    """The keys of the screen below."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,question_mark,q", "dismiss", "Close", id="help.close")]

    def __init__(self, below: Screen[object]) -> None:
        super().__init__()
        self._lines = help_lines(_active_keys(below))

    def compose(self) -> ComposeResult:
        """One list, the screen's own keys first."""
        with Vertical(classes="dialog wide") as box:
            box.border_title = "Keys"
            box.border_subtitle = "esc closes"
            with VerticalScroll():
                yield Static(self._lines, id="help")


def _active_keys(screen: Screen[object]) -> dict[str, str]:
    """Return the keys that work on a screen now, by the id of their action."""
    keys: dict[str, list[str]] = {}
    for key, active in screen.active_bindings.items():
        if active.enabled and active.binding.id:
            keys.setdefault(active.binding.id, []).append(key)
    return {action_id: ",".join(found) for action_id, found in keys.items()}


def help_lines(keys_by_id: dict[str, str]) -> Content:
    """Return the help for the actions in `keys_by_id`, grouped by where they belong, in the order of the table."""
    scopes: dict[str, list[Content]] = {}
    for action in sorted(ACTIONS, key=lambda action: action.scope in _TITLES):
        if action.id in keys_by_id:
            key = Content.styled(key_text(keys_by_id[action.id]).rjust(KEY_WIDTH), "bold $text-accent")
            line = key + Content(f"  {action.help}") + Content.styled(f"  {action.id}", "$text-disabled")
            scopes.setdefault(action.scope, []).append(line)
    parts = []
    for scope, lines in scopes.items():
        title = Content.styled(_TITLES.get(scope, f"On {scope}"), "bold $text-primary")
        parts.append(Content("\n").join([title, *lines]))
    signs = [Content.styled(sign.rjust(KEY_WIDTH), "bold") + Content(f"  {word}") for sign, word in SIGNS]
    parts.append(Content("\n").join([Content.styled("Signs", "bold $text-primary"), *signs]))
    note = 'Keys are changed in registry.toml: [keys] then "runs.sort" = "S"'
    return Content("\n\n").join([*parts, Content.styled(note, "$text-muted")])

"""Which remote? The dialog before a copy: the remotes there are, or how to make one known."""

from typing import ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Vertical
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import OptionList, Static

from registry.errors import HoldfastError
from tui.screens.asking import Asking
from tui.snapshots import Store
from tui.text import clean


class RemoteDialog(Asking, ModalScreen[str | None]):
    """Choose a remote."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Cancel", id="dialog.close")]

    def __init__(self, title: str) -> None:
        super().__init__()
        self.heading = title
        self.names: tuple[str, ...] = ()

    def compose(self) -> ComposeResult:
        """A sentence, and the remotes."""
        with Vertical(classes="dialog") as box:
            box.border_title = self.heading
            box.border_subtitle = "enter copies, esc leaves"
            yield Static("reading …", classes="about")
            yield OptionList(compact=True, markup=False)

    def on_mount(self) -> None:
        """Ask which remotes there are."""
        self.ask("remotes", Store.remote_names)

    def take_remotes(self, names: tuple[str, ...]) -> None:
        """Show them."""
        self.names = names
        said = (
            "every byte is read back after it was sent" if names else "no remotes yet: registry remote add NAME PLACE"
        )
        self.query_one(Static).update(Content.styled(said, "$text-muted" if names else "$text-warning"))
        options = self.query_one(OptionList)
        options.add_options([Content(clean(name)) for name in names])
        options.highlighted = 0 if names else None
        options.focus()

    def show_trouble(self, error: HoldfastError) -> None:
        """Say why they cannot be read."""
        self.query_one(Static).update(Content.styled(clean(error), "$text-error"))

    @on(OptionList.OptionSelected)
    def _chosen(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self.names[event.option_index])

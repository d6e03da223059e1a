"""Data sets: their versions and states, what the checks found, and everything that hangs on a version."""

from functools import partial
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.containers import Container, VerticalScroll
from textual.content import Content
from textual.widgets import Static

from registry.errors import HoldfastError
from tui import acts
from tui.actions import bindings
from tui.facts import DatasetSnapshot
from tui.screens.base import RegistryScreen
from tui.snapshots import Store
from tui.text import clean, count
from tui.views import datasets as views
from tui.widgets.table import Cell, ListLines, Table


class DatasetsScreen(RegistryScreen):
    """The versions, and beside them the chosen one in full."""

    MODE = "datasets"
    BINDINGS: ClassVar[list[BindingType]] = bindings("datasets")
    AUTO_FOCUS = "Table"

    def __init__(self) -> None:
        super().__init__()
        self.datasets: tuple[dict[str, Any], ...] | None = None

    def compose_body(self) -> ComposeResult:
        """A caption, the table, the chosen version."""
        yield Static(classes="caption")
        with Container(classes="desk"):
            yield Table(views.COLUMNS)
            with VerticalScroll(classes="beside"):
                yield Static(id="dataset-text")

    @property
    def table(self) -> Table:
        """The table."""
        return self.query_one(Table)

    def begin(self) -> None:
        """Say that the data sets are being read."""
        self.table.show_state(Cell("reading …", "muted"))

    def on_resize(self) -> None:
        """Put the chosen version beside or below the table."""
        wide = self.app.size.width >= 120
        self.query_one(".desk").set_class(wide, "-beside").set_class(not wide, "-below")

    def reload(self) -> None:
        """Ask for the versions."""
        self.ask("datasets", Store.datasets)

    def take_datasets(self, datasets: tuple[dict[str, Any], ...]) -> None:
        """Show them."""
        self.datasets = datasets
        said = f" {count(len(datasets), 'data set version')}"
        self.query_one(".caption", Static).update(Content.styled(said, "bold"))
        if datasets:
            self.table.show(ListLines(views.lines(datasets)))
        else:
            self.table.show_state(
                Cell("no data sets yet", "strong"), Cell(""), Cell("registry dataset add NAME@VERSION PATH", "accent")
            )
            self.query_one("#dataset-text", Static).update("")
        self._ask_chosen()
        self.refresh_bindings()

    def show_trouble(self, error: HoldfastError) -> None:
        """Say what is wrong."""
        if self.datasets is None:
            self.table.show_state(Cell(clean(error.message), "bad"), Cell(clean(error.hint), "muted"))
        else:
            self.dashboard.tell(error)

    @on(Table.Highlighted)
    def _ask_chosen(self) -> None:
        if self.table.cursor_key is not None:
            self.ask("dataset", partial(Store.dataset, reference=self.table.cursor_key))

    def take_dataset(self, snapshot: DatasetSnapshot) -> None:
        """Show the chosen version in full."""
        self.query_one("#dataset-text", Static).update(views.detail(snapshot))

    def is_possible(self, action: str) -> bool:
        """Without a version there is nothing to decide."""
        return self.table.cursor_key is not None

    def action_invalidate(self) -> None:
        """Declare the version invalid: everything that read it is flagged."""
        reference = self.table.cursor_key
        if reference is not None:
            from tui.screens.dialogs import TextDialog

            about = (
                f"{clean(reference)}: every run trained or evaluated on it, every number and every deployment"
                " downstream will be flagged with the reason. Nothing is deleted."
            )
            dialog = TextDialog("Declare invalid", about, placeholder="what is wrong with it")
            self.app.push_screen(dialog, partial(self._invalidate, reference))

    def _invalidate(self, reference: str, reason: str | None) -> None:
        if reason:
            self.ask("invalidated", partial(acts.invalidate, reference=reference, reason=reason))

    def take_invalidated(self, said: str) -> None:
        """Say so and read again."""
        self.notify(clean(said), markup=False)
        self.reload()


SCREEN = DatasetsScreen

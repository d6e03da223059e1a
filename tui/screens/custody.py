"""Custody: where the copies of everything that matters are, when each was last read back, and what is missing."""

from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.widgets import Static

from registry import clock
from registry.errors import HoldfastError
from tui import acts
from tui.actions import bindings
from tui.facts import Custody
from tui.screens.base import RegistryScreen
from tui.snapshots import Store
from tui.text import clean
from tui.views import custody as views
from tui.widgets.table import Cell, ListLines, Table

if TYPE_CHECKING:
    from registry.copies.overview import ArtifactCustody


class CustodyScreen(RegistryScreen):
    """The remotes, and below them the artifacts."""

    MODE = "custody"
    BINDINGS: ClassVar[list[BindingType]] = bindings("custody")
    AUTO_FOCUS = "#artifacts"

    def __init__(self) -> None:
        super().__init__()
        self.custody: Custody | None = None
        self.everything = False

    def compose_body(self) -> ComposeResult:
        """The remotes, the artifacts, the chosen artifact in full."""
        yield Static(classes="caption")
        yield Table(views.REMOTE_COLUMNS, id="remotes")
        yield Table(views.ARTIFACT_COLUMNS, id="artifacts", fixed=2, opens=True)
        yield Static(classes="detail")

    @property
    def remotes(self) -> Table:
        """The table of remotes."""
        return self.query_one("#remotes", Table)

    @property
    def artifacts(self) -> Table:
        """The table of artifacts."""
        return self.query_one("#artifacts", Table)

    def begin(self) -> None:
        """Say that the copies are being read."""
        self.artifacts.show_state(Cell("reading …", "muted"))
        self.remotes.styles.height = 2

    def reload(self) -> None:
        """Ask for the remotes and the artifacts."""
        self.ask("custody", partial(Store.custody, everything=self.everything))

    def take_custody(self, custody: Custody) -> None:
        """Show them."""
        self.custody = custody
        now = clock.now()
        remotes = views.remote_lines(custody, now)
        if remotes:
            self.remotes.show(ListLines(remotes))
        else:
            self.remotes.show_state(Cell("no remotes yet: registry remote add NAME PLACE", "warn"))
        self.remotes.styles.height = min(7, max(2, len(remotes) + 1))
        lines = views.artifact_lines(custody, now)
        if lines:
            self.artifacts.show(ListLines(lines))
        elif custody.n_artifacts:
            self.artifacts.show_state(
                Cell("✓ every artifact has its verified copies", "ok"), Cell(""), Cell("v shows all of them", "muted")
            )
        else:
            self.artifacts.show_state(Cell("no artifacts were recorded yet", "muted"))
        self.query_one(".caption", Static).update(views.caption(custody, everything=self.everything))
        self._show_detail()
        self.refresh_bindings()

    def show_trouble(self, error: HoldfastError) -> None:
        """Say what is wrong when there is nothing to show yet."""
        if self.custody is None:
            self.artifacts.show_state(Cell(clean(error.message), "bad"), Cell(clean(error.hint), "muted"))

    def chosen(self) -> "ArtifactCustody | None":
        """Return the artifact under the cursor."""
        key = self.artifacts.cursor_key
        if key is None or self.custody is None:
            return None
        return next((item for item in self.custody.artifacts if str(item.artifact.id) == key), None)

    @on(Table.Highlighted, "#artifacts")
    def _show_detail(self) -> None:
        item = self.chosen()
        detail = self.query_one(".detail", Static)
        detail.display = item is not None
        if item is not None:
            detail.update(views.detail(item))

    @on(Table.Chosen, "#artifacts")
    def _open(self) -> None:
        item = self.chosen()
        if item is not None:
            self.dashboard.open_run(item.artifact.run_id, "artifacts")

    # --- actions

    def is_possible(self, action: str) -> bool:
        """Without artifacts there is nothing to copy; without remotes nowhere to look."""
        if action in ("copy", "verify"):
            return self.chosen() is not None
        if action in ("look", "verify_all"):
            return bool(self.custody and self.custody.remotes)
        return True

    def action_toggle_all(self) -> None:
        """Show all artifacts, or only those that lack copies."""
        self.everything = not self.everything
        self.reload()

    def action_copy(self) -> None:
        """Copy the artifacts of the chosen run to a remote and read them back."""
        item = self.chosen()
        if item is not None:
            self.dashboard.begin_copy((item.artifact.run_id,), item.artifact.run_name)

    def action_verify(self) -> None:
        """Read the copies of the chosen run back."""
        item = self.chosen()
        if item is not None:
            self.dashboard.begin_verify((item.artifact.run_id,), item.artifact.run_name)

    def action_copy_all(self) -> None:
        """Copy everything that was ever recorded to a remote."""
        self.dashboard.begin_copy(None, "everything")

    def action_verify_all(self) -> None:
        """Read every copy back, the least recently read first."""
        self.dashboard.begin_verify(None, "everything")

    def action_look(self) -> None:
        """Reach every remote: is it the place it was, and how much room is there?"""
        for remote in self.custody.remotes if self.custody else ():
            self.dashboard.begin_job(f"look at {remote.name}", partial(acts.look_at, self.dashboard.store, remote.name))

    def action_release(self) -> None:
        """Ask the guard whether this machine may be released."""
        self.dashboard.begin_job("may this machine be released?", partial(acts.may_release, self.dashboard.store))


SCREEN = CustodyScreen

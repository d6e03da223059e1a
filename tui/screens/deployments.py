"""Deployments: what serves each target, since when, with which overrides; what served before; roll back."""

from functools import partial
from typing import Any, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.widgets import Static

from registry.errors import HoldfastError
from tui import acts
from tui.actions import bindings
from tui.screens.base import RegistryScreen
from tui.snapshots import Store
from tui.text import clean, count
from tui.views import deployments as views
from tui.widgets.table import Cell, ListLines, Table


class DeploymentsScreen(RegistryScreen):
    """The deployments, live ones first."""

    MODE = "deployments"
    BINDINGS: ClassVar[list[BindingType]] = bindings("deployments")
    AUTO_FOCUS = "Table"

    def __init__(self) -> None:
        super().__init__()
        self.deployments: tuple[dict[str, Any], ...] | None = None

    def compose_body(self) -> ComposeResult:
        """A caption, the table, the chosen deployment in full."""
        yield Static(classes="caption")
        yield Table(views.COLUMNS, fixed=2, opens=True)
        yield Static(classes="detail")

    @property
    def table(self) -> Table:
        """The table."""
        return self.query_one(Table)

    def begin(self) -> None:
        """Say that the deployments are being read."""
        self.table.show_state(Cell("reading …", "muted"))

    def reload(self) -> None:
        """Ask for the deployments."""
        self.ask("deployments", Store.deployments)

    def take_deployments(self, deployments: tuple[dict[str, Any], ...]) -> None:
        """Show them."""
        self.deployments = deployments
        if deployments:
            self.table.show(ListLines(views.lines(deployments)))
        else:
            self.table.show_state(
                Cell("nothing is deployed", "strong"), Cell(""), Cell("P on a run checks whether it may be", "muted")
            )
        n_live = sum(row["until"] is None for row in deployments)
        said = f" {count(n_live, 'target')} served, {count(len(deployments), 'deployment')} in all"
        self.query_one(".caption", Static).update(Content.styled(said, "bold"))
        self._show_detail()
        self.refresh_bindings()

    def show_trouble(self, error: HoldfastError) -> None:
        """Say what is wrong."""
        if self.deployments is None:
            self.table.show_state(Cell(clean(error.message), "bad"), Cell(clean(error.hint), "muted"))
        else:
            self.dashboard.tell(error)

    def chosen(self) -> dict[str, Any] | None:
        """Return the deployment under the cursor."""
        key = self.table.cursor_key
        return self.deployments[int(key)] if key is not None and self.deployments else None

    @on(Table.Highlighted)
    def _show_detail(self) -> None:
        row = self.chosen()
        detail = self.query_one(".detail", Static)
        detail.display = row is not None
        if row is not None:
            detail.update(views.detail(row))
        self.refresh_bindings()

    @on(Table.Chosen)
    def _open(self) -> None:
        row = self.chosen()
        if row is not None:
            self.dashboard.open_run(row["run"])

    def is_possible(self, action: str) -> bool:
        """Only what serves now can be rolled back."""
        row = self.chosen()
        return row is not None and (action != "roll_back" or row["until"] is None)

    def action_promote(self) -> None:
        """Check whether the run of this deployment may be deployed again, and do it."""
        row = self.chosen()
        if row is not None:
            from tui.screens.promote import PromoteDialog

            self.app.push_screen(PromoteDialog(row["run"], row["run_name"]))

    def action_roll_back(self) -> None:
        """Put back what the target served before."""
        row = self.chosen()
        if row is None or self.deployments is None:
            return
        from tui.screens.dialogs import ConfirmDialog

        target = row["target"]
        earlier = next((r for r in self.deployments if r["target"] == target and r["until"] == row["since"]), None)
        before = f"{earlier['run_name']} ({earlier['run']})" if earlier else "what served before"
        lines = [
            f"{target} serves {row['run_name']} ({row['run']}) now.",
            f"It would serve {before} again; its bytes are read first.",
            "The change is kept in the history.",
        ]
        dialog = ConfirmDialog(f"Roll back {target}", lines, "Roll back")
        self.app.push_screen(dialog, partial(self._roll_back, target))

    def _roll_back(self, target: str, yes: bool | None) -> None:
        if yes:
            self.ask("rolled_back", partial(acts.roll_back, target=target, reason="rolled back in the dashboard"))

    def take_rolled_back(self, lines: tuple[str, ...]) -> None:
        """Say what changed."""
        self.notify("\n".join(map(clean, lines)), markup=False)
        self.reload()


SCREEN = DeploymentsScreen

"""Alerts: everything true now that a person should know, the gravest first, with what ends each of them."""

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
from tui.headlines import Kind, kinds
from tui.screens.base import RegistryScreen
from tui.snapshots import Store
from tui.text import clean
from tui.views import alerts as views
from tui.widgets.table import Cell, ListLines, Table

if TYPE_CHECKING:
    from registry.alert import Alert


class AlertsScreen(RegistryScreen):
    """The kinds of alerts, their alerts, and in full what is under the cursor."""

    MODE = "alerts"
    BINDINGS: ClassVar[list[BindingType]] = bindings("alerts")
    AUTO_FOCUS = "Table"

    def __init__(self) -> None:
        super().__init__()
        self.kinds: list[Kind] = []
        self.turned: set[str] = set()
        self.with_acknowledged = False
        self._loaded = False

    def compose_body(self) -> ComposeResult:
        """A caption, the list, the chosen alert in full."""
        yield Static(classes="caption")
        yield Table(views.COLUMNS, fixed=2, opens=True)
        yield Static(id="alert-detail", classes="detail")

    @property
    def table(self) -> Table:
        """The table."""
        return self.query_one(Table)

    def begin(self) -> None:
        """Say that the alerts are being read."""
        self.table.show_state(Cell("reading …", "muted"))

    def reload(self) -> None:
        """Ask for the alerts."""
        self.ask("alerts", partial(Store.alerts, acknowledged=self.with_acknowledged))

    def take_alerts(self, alerts: "tuple[Alert, ...]") -> None:
        """Show them by kind."""
        self.kinds, self._loaded = kinds(alerts), True
        self.query_one(".caption", Static).update(views.caption(self.kinds, acknowledged=self.with_acknowledged))
        self._show()

    def _show(self) -> None:
        if self.kinds:
            self.table.show(ListLines(views.lines(self.kinds, self.turned, clock.now())))
        else:
            self.table.show_state(Cell("✓ nothing to worry about", "ok"))
        self._show_detail()
        self.refresh_bindings()

    def show_trouble(self, error: HoldfastError) -> None:
        """Say what is wrong when there is nothing to show yet."""
        if not self._loaded:
            self.table.show_state(Cell(clean(error.message), "bad"), Cell(clean(error.hint), "muted"))
        else:
            self.notify(clean(error), severity="error", markup=False)

    def chosen(self) -> "tuple[Alert, ...]":
        """Return the alert under the cursor, or all of the kind under it."""
        key = self.table.cursor_key
        for kind in self.kinds:
            if key == views.kind_key(kind):
                return kind.alerts
            if found := tuple(alert for alert in kind.alerts if key == views.alert_key(alert)):
                return found
        return ()

    def _chosen_kind(self) -> Kind | None:
        key = self.table.cursor_key
        return next((kind for kind in self.kinds if views.kind_key(kind) == key), None)

    @on(Table.Highlighted)
    def _highlighted(self) -> None:
        self._show_detail()
        self.refresh_bindings()

    def _show_detail(self) -> None:
        chosen, kind = self.chosen(), self._chosen_kind()
        detail = self.query_one("#alert-detail", Static)
        detail.display = bool(chosen)
        if kind is not None:
            detail.update(views.detail(kind.severity, kind.code, kind.sentence, kind.hint))
        elif chosen:
            detail.update(views.detail(chosen[0].severity, chosen[0].code, chosen[0].message, chosen[0].hint))

    @on(Table.Chosen)
    def _open(self) -> None:
        if self._chosen_kind() is not None:
            self.action_fold()
        else:
            self.action_go()

    # --- actions

    def is_possible(self, action: str) -> bool:
        """A critical alert cannot be acknowledged away; without alerts there is nothing to do."""
        chosen = self.chosen()
        if action == "acknowledge":
            return bool(chosen) and chosen[0].severity != "critical"
        if action == "fold":
            return self._chosen_kind() is not None
        return action == "toggle_all" or bool(chosen)

    def action_fold(self) -> None:
        """Show the alerts of the kind under the cursor, or only the kind."""
        key = self.table.cursor_key
        if key is not None:
            self.turned ^= {key}
            self._show()

    def action_go(self) -> None:
        """Go to what the alert is about."""
        chosen = self.chosen()
        if not chosen:
            return
        alert = chosen[0]
        kind = alert.code.partition("-")[0]
        if kind in ("artifact", "copies", "copy", "remote", "backup"):
            self.dashboard.action_mode("custody")
        elif kind in ("deployed", "override", "deployment"):
            self.dashboard.action_mode("deployments")
        elif kind == "dataset":
            self.dashboard.action_mode("datasets")
        else:
            self.dashboard.open_run(alert.subject.partition(" ")[0])

    def action_copy_hint(self) -> None:
        """Copy the command that ends the alert, or all of the kind."""
        chosen, kind = self.chosen(), self._chosen_kind()
        if chosen:
            self.app.copy_to_clipboard(kind.hint if kind is not None else chosen[0].hint)
            self.notify("copied", markup=False)

    def action_toggle_all(self) -> None:
        """Show acknowledged alerts too, or not."""
        self.with_acknowledged = not self.with_acknowledged
        self.reload()

    def action_acknowledge(self) -> None:
        """Say why the alert may stay."""
        from tui.screens.dialogs import TextDialog

        chosen, kind = self.chosen(), self._chosen_kind()
        if chosen:
            message = kind.sentence if kind is not None else chosen[0].message
            about = f"{clean(message)}\n{'It hides until it ends' if len(chosen) == 1 else 'They hide until they end'};"
            self.app.push_screen(
                TextDialog("Acknowledge", f"{about} the reason is kept.", placeholder="why it may stay"),
                partial(self._acknowledge, chosen),
            )

    def _acknowledge(self, chosen: "tuple[Alert, ...]", reason: str | None) -> None:
        if reason:
            subjects = tuple(alert.subject for alert in chosen)
            self.ask("acknowledged", partial(acts.acknowledge, code=chosen[0].code, subjects=subjects, reason=reason))

    def take_acknowledged(self, said: str) -> None:
        """Say so and read again."""
        self.notify(clean(said), markup=False)
        self.reload()


SCREEN = AlertsScreen

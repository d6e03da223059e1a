"""Alerts: everything true now that a person should know, the gravest first, with what ends each of them."""

import re
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import BindingType
from textual.content import Content
from textual.widgets import Static

from registry import clock
from registry.errors import HoldfastError
from tui import acts
from tui.actions import bindings
from tui.marks import SEVERITY, mark
from tui.screens.base import RegistryScreen
from tui.snapshots import Store
from tui.text import ago, clean, count
from tui.widgets.table import Cell, Column, Line, ListLines, Table

if TYPE_CHECKING:
    from registry.alert import Alert

COLUMNS = (
    Column("severity", "Severity", minimum=10, maximum=10),
    Column("message", "What", minimum=20, maximum=200, weight=1),
    Column("since", "Since", align="right", minimum=6, maximum=8),
)

_RUN_FOLDER = re.compile(r"^\w+ runs/[^/\s]+/")
"""The list leaves it out: the message names the run anyway, and the detail has the whole path."""


class AlertsScreen(RegistryScreen):
    """The list of alerts, and in full the one under the cursor."""

    MODE = "alerts"
    BINDINGS: ClassVar[list[BindingType]] = bindings("alerts")
    AUTO_FOCUS = "Table"

    def __init__(self) -> None:
        super().__init__()
        self.alerts: tuple[Alert, ...] = ()
        self.with_acknowledged = False
        self._loaded = False

    def compose_body(self) -> ComposeResult:
        """A caption, the list, the chosen alert in full."""
        yield Static(classes="caption")
        yield Table(COLUMNS, fixed=2, opens=True)
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
        """Show them."""
        self.alerts, self._loaded = alerts, True
        said = f" {count(len(alerts), 'alert')}" + ("  acknowledged ones too" if self.with_acknowledged else "")
        self.query_one(".caption", Static).update(Content.styled(said, "bold"))
        if alerts:
            now = clock.now()
            self.table.show(ListLines([_line(at, alert, now) for at, alert in enumerate(alerts)]))
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

    def chosen(self) -> "Alert | None":
        """Return the alert under the cursor."""
        key = self.table.cursor_key
        return self.alerts[int(key.partition(":")[0])] if key is not None and self.alerts else None

    @on(Table.Highlighted)
    def _highlighted(self) -> None:
        self._show_detail()

    def _show_detail(self) -> None:
        alert = self.chosen()
        detail = self.query_one("#alert-detail", Static)
        detail.display = alert is not None
        if alert is not None:
            state = mark(SEVERITY, alert.severity)
            head = Content.styled(f"{state} ", f"bold ${'text-error' if state.tone == 'bad' else 'text-warning'}")
            lines = [head + Content.styled(clean(alert.code), "$text-muted"), Content(clean(alert.message))]
            lines.append(Content.styled("do: ", "$text-muted") + Content.styled(clean(alert.hint), "$text-accent"))
            detail.update(Content("\n").join(lines))

    # --- actions

    def is_possible(self, action: str) -> bool:
        """A critical alert cannot be acknowledged away; without alerts there is nothing to do."""
        if action in ("go", "copy_hint"):
            return self.chosen() is not None
        alert = self.chosen()
        return action != "acknowledge" or (alert is not None and alert.severity != "critical")

    @on(Table.Chosen)
    def action_go(self) -> None:
        """Go to what the alert is about."""
        alert = self.chosen()
        if alert is None:
            return
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
        """Copy the command that ends the alert."""
        alert = self.chosen()
        if alert is not None:
            self.app.copy_to_clipboard(alert.hint)
            self.notify("copied", markup=False)

    def action_toggle_all(self) -> None:
        """Show acknowledged alerts too, or not."""
        self.with_acknowledged = not self.with_acknowledged
        self.reload()

    def action_acknowledge(self) -> None:
        """Say why the alert may stay."""
        from tui.screens.dialogs import TextDialog

        alert = self.chosen()
        if alert is not None:
            about = f"{clean(alert.message)}\nIt hides until it ends; the reason is kept."
            self.app.push_screen(
                TextDialog("Acknowledge", about, placeholder="why it may stay"), partial(self._acknowledge, alert)
            )

    def _acknowledge(self, alert: "Alert", reason: str | None) -> None:
        if reason:
            how = partial(acts.acknowledge, code=alert.code, subject=alert.subject, reason=reason)
            self.ask("acknowledged", how)

    def take_acknowledged(self, said: str) -> None:
        """Say so and read again."""
        self.notify(clean(said), markup=False)
        self.reload()


def _line(at: int, alert: "Alert", now: float) -> Line:
    state = mark(SEVERITY, alert.severity)
    message = _RUN_FOLDER.sub("", clean(alert.message))
    cells = (Cell(str(state), state.tone), Cell(message), Cell(ago(alert.since, now), "muted"))
    return Line(f"{at}:{alert.code}:{alert.subject}", cells)


SCREEN = AlertsScreen

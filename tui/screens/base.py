"""What every screen over the registry shares: the three bars, and asking again when the registry changed."""

from typing import ClassVar

from textual.app import ComposeResult
from textual.screen import Screen

from tui.actions import ACTIONS, Action
from tui.headlines import headlines, n_alerts
from tui.messages import SnapshotFailed
from tui.screens.asking import Asking
from tui.widgets.bars import AlertBar, JobBar, KeyBar, TopBar

_BY_ID = {action.id: action for action in ACTIONS}
_CHANGING = {(action.scope, action.name) for action in ACTIONS if action.changes}


class RegistryScreen(Asking, Screen[None]):
    """A screen that shows something of the registry and asks again when the registry changed."""

    MODE: ClassVar[str] = ""

    def __init__(self) -> None:
        super().__init__()
        self.is_stale = True
        self._has_failed = False
        self._begun = False

    # --- composing

    def compose(self) -> ComposeResult:
        """Put the bars around the body."""
        yield TopBar()
        yield from self.compose_body()
        yield JobBar()
        yield AlertBar()
        yield KeyBar()

    def compose_body(self) -> ComposeResult:
        """Yield what is between the bars."""
        yield from ()

    def on_mount(self) -> None:
        """Show the bars and ask for the first time."""
        self.bindings_updated_signal.subscribe(self, lambda _screen: self._show_keys())
        self.begin()
        self._begun = True
        self.catch_up()

    def begin(self) -> None:
        """Prepare the widgets, once, when they exist."""

    def on_screen_resume(self) -> None:
        """Ask again when something changed while another screen was shown."""
        if self._begun:
            self.catch_up()

    # --- asking again

    def catch_up(self) -> None:
        """Show the state of things in the bars, and ask again unless the picture is held."""
        self._show_bars()
        app = self.dashboard
        if (self.is_stale or self._has_failed) and app.store.is_open and app.held is None:
            self.is_stale = self._has_failed = False
            self.reload()
        elif app.trouble is not None and not app.store.is_open:
            self.show_trouble(app.trouble)

    def reload(self) -> None:
        """Ask for everything this screen shows."""

    def on_snapshot_failed(self, message: SnapshotFailed) -> None:
        """Ask again at the next change of the registry."""
        self._has_failed = True

    # --- bars

    def _show_bars(self) -> None:
        app = self.dashboard
        top, alerts = self.query_one(TopBar), self.query_one(AlertBar)
        top.mode, top.held, top.view_only = self.MODE, app.held, app.view_only
        self.query_one(JobBar).job = app.job
        alerts.trouble = str(app.trouble) if app.trouble else ""
        if app.status is not None:
            top.n_running, top.n_alerts = app.status.n_running, n_alerts(app.status.alerts)
            alerts.alerts, alerts.loaded = headlines(app.status.alerts), True

    def _show_keys(self) -> None:
        shown: dict[str, tuple[Action, str]] = {}
        for key, active in self.active_bindings.items():
            action = _BY_ID.get(active.binding.id or "")
            if action is None or not action.footer or not active.enabled:
                continue
            if action.id not in shown or key == action.keys.partition(",")[0]:
                shown[action.id] = (action, key)
        self.query_one(KeyBar).actions = tuple(sorted(shown.values(), key=lambda item: item[0].footer))

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Only what is possible now is offered: nothing that writes where the dashboard may only look."""
        if self.dashboard.view_only and (self.MODE, action) in _CHANGING:
            return False
        return self.is_possible(action) if self._begun else True

    def is_possible(self, action: str) -> bool:
        """Return whether an action makes sense now."""
        return True

"""The dashboard's wiring: which screens there are, who watches the registry, what the screens share.

Paint first: nothing here imports the store. A watching thread opens it after the first picture and from then on posts
`RegistryChanged` whenever anybody wrote; the screen on top asks again, the others when they come back.
"""

import os
import threading
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from textual.app import App
from textual.binding import BindingType
from textual.command import Provider
from textual.screen import Screen

from registry.errors import HoldfastError
from tui import acts, theme
from tui.actions import MODES, bindings, keymap_problems
from tui.background import in_background
from tui.facts import Status
from tui.jobs import FAREWELL_S, Jobs, JobState, Work
from tui.memory import recall, remember, state_file
from tui.messages import JobEnded, JobProgressed, RegistryChanged, RegistryLost, RegistryOpened, StatusLoaded
from tui.screens.base import RegistryScreen
from tui.snapshots import Store
from tui.text import clean
from tui.watch import Watcher

if TYPE_CHECKING:
    from tui.screens.jump import Target


def _screen(mode: str) -> Callable[[], Screen[Any]]:
    """Return a maker of the screen of a mode that imports it when it is first shown."""

    def make() -> Screen[Any]:
        screen: Screen[Any] = import_module(f"tui.screens.{mode}").SCREEN()
        return screen

    return make


def _palette() -> type[Provider]:
    """Return the palette's provider, imported when the palette is first opened."""
    from tui.palette import ActionsProvider

    return ActionsProvider


class Dashboard(App[None]):
    """The dashboard over one registry."""

    TITLE = "Holdfast"
    CSS_PATH = Path(__file__).parent / "app.tcss"
    BINDINGS: ClassVar[list[BindingType]] = bindings("app")
    COMMANDS: ClassVar[set[type[Provider] | Callable[[], type[Provider]]]] = {_palette}
    MODES: ClassVar[dict[str, str | Callable[[], Screen[Any]]]] = {mode: _screen(mode) for mode in MODES}
    DEFAULT_MODE = "runs"

    def __init__(self, url: str | None = None, *, view_only: bool = False) -> None:
        super().__init__(ansi_color=True if "NO_COLOR" in os.environ else None)
        self.store = Store(url, view_only=view_only)
        self.view_only = view_only
        self.status: Status | None = None
        self.trouble: HoldfastError | None = None
        self.held: int | None = None
        self.current_run: str | None = None
        self.marked: tuple[str, ...] = ()
        self.baseline: str | None = None
        self.memory = recall(self.store.url)
        self._been: list[str] = []
        self.jobs = Jobs(self.post_message, partial(in_background, self, name="job"))
        self._stop = threading.Event()
        self._watching: threading.Thread | None = None
        for own in theme.OWN_THEMES:
            self.register_theme(own)
        plain = theme.first_theme(self.console.color_system, self.no_color)
        remembered = self.memory.theme if self.memory.theme in self.available_themes else plain
        self.theme = plain if plain != theme.DEEP.name else remembered

    # --- watching the registry

    def on_mount(self) -> None:
        """Begin to watch once the first picture is on the screen."""
        self.call_after_refresh(self._watch)

    def _watch(self) -> None:
        watcher = Watcher(self.store, self.post_message)
        self._watching = in_background(self, partial(watcher.run, self._stop), "watch")

    def on_unmount(self) -> None:
        """Let the jobs and the watching thread go; one that hangs is left behind."""
        self._stop.set()
        self.jobs.stop_all()
        if self._watching is not None:
            self._watching.join(FAREWELL_S)

    def on_registry_opened(self, message: RegistryOpened) -> None:
        """Put the keys where registry.toml wants them."""
        keys = message.opened.keys
        self.set_keymap({name: key for name, key in keys.items() if name not in keymap_problems(keys)})
        for name in keymap_problems(keys):
            self.notify(f"registry.toml: [keys] names {name!r}, which no action has", severity="warning", markup=False)

    def on_registry_changed(self, message: RegistryChanged) -> None:
        """Let the screen on top ask again, or count the change while the picture is held."""
        self.trouble = None
        if self.held is not None:
            self.held += 1
        self._tell_screens()

    def on_registry_lost(self, message: RegistryLost) -> None:
        """Say what is wrong; what was read before stays on the screen."""
        self.trouble = message.error
        self._tell_screens()

    def on_status_loaded(self, message: StatusLoaded) -> None:
        """Show the alerts on every screen."""
        self.status = message.status
        self._tell_screens(stale=False)

    def _tell_screens(self, *, stale: bool = True) -> None:
        for stack in self._screen_stacks.values():
            for screen in stack:
                if isinstance(screen, RegistryScreen):
                    screen.is_stale = screen.is_stale or stale
        for screen in reversed(self.screen_stack):
            if isinstance(screen, RegistryScreen):
                screen.catch_up()
                return

    # --- jobs

    def begin_job(self, title: str, work: Work) -> None:
        """Begin something that takes a while, unless it is going on already."""
        if not self.jobs.begin(title, work):
            self.notify(f"{title}: already going on", markup=False)

    def begin_copy(self, run_ids: Sequence[str] | None, name: str) -> None:
        """Ask for a remote, then copy runs (None: all) to it."""
        from tui.screens.remotes import RemoteDialog

        self.push_screen(RemoteDialog(f"Copy {clean(name)} to"), partial(self._copy_to, run_ids, name))

    def _copy_to(self, run_ids: Sequence[str] | None, name: str, remote: str | None) -> None:
        if remote:
            self.begin_job(f"copy {clean(name)} to {remote}", partial(acts.copy, self.store, run_ids, remote))

    def begin_verify(self, run_ids: Sequence[str] | None, name: str) -> None:
        """Read the copies of runs (None: all) back."""
        self.begin_job(f"verify {clean(name)}", partial(acts.verify, self.store, run_ids, None))

    @property
    def job(self) -> JobState | None:
        """How far the job is that was begun last, of those going on."""
        return self.jobs.newest

    def on_job_progressed(self, message: JobProgressed) -> None:
        """Show how far the job is."""
        self._tell_screens(stale=False)

    def on_job_ended(self, message: JobEnded) -> None:
        """Say what came of a job; what has many lines gets a page of its own."""
        if message.error is not None:
            self.tell(message.error)
        elif len(message.lines) > 2:
            from tui.screens.dialogs import LinesDialog

            self.push_screen(LinesDialog(message.title, message.lines))
        else:
            self.notify("\n".join(map(clean, message.lines)), title=message.title, markup=False, timeout=8)
        self._tell_screens()

    def tell(self, error: HoldfastError) -> None:
        """Say what went wrong, with every reason."""
        lines = [error.message, *error.details, error.hint]
        text = "\n".join(clean(line) for line in lines if line)
        self.notify(text, severity="error", markup=False, timeout=15)

    def action_cancel_job(self) -> None:
        """Stop the job that was begun last."""
        title = self.jobs.cancel()
        self.notify(f"stopping: {title}" if title else "no job is going on", markup=False)

    # --- actions that work everywhere

    def action_mode(self, mode: str) -> None:
        """Go to a screen."""
        self._been = [*(been for been in self._been if been != self.current_mode), self.current_mode]
        self._go(mode)

    def _go(self, mode: str) -> None:
        while len(self.screen_stack) > 1:
            self.pop_screen()
        self.switch_mode(mode)

    def open_run(self, run_id: str, tab: str | None = None) -> None:
        """Show one run."""
        self.current_run = run_id
        self.action_mode("run")
        self.call_after_refresh(self.screen.call_later, getattr(self.screen, "open_tab", lambda tab: None), tab)

    async def action_back(self) -> None:
        """Go back to the screen before."""
        if self.current_mode != "runs":
            self._go(self._been.pop() if self._been else "runs")

    def action_press(self, key: str) -> None:
        """Do as if a key had been pressed: a click on the footer."""
        self.simulate_key(key)

    def action_pause(self) -> None:
        """Hold the picture, or let it go on."""
        self.held = None if self.held is not None else 0
        self._tell_screens()

    def action_reload(self) -> None:
        """Read everything again."""
        self._tell_screens()

    def action_next_theme(self) -> None:
        """Change between our dark and our light theme."""
        self.theme = theme.SHORE.name if self.current_theme.dark else theme.DEEP.name
        self.remember(theme=self.theme)

    def remember(self, **changes: Any) -> None:
        """Remember something for the next session."""
        self.memory = replace(self.memory, **changes)
        if not remember(self.store.url, self.memory):
            self.notify(f"{state_file()} cannot be written: not remembered", severity="warning", markup=False)

    def action_jump(self) -> None:
        """Put a letter on everything one can go to."""
        from tui.screens.jump import JumpScreen

        self.push_screen(JumpScreen(self.screen), self._jumped)

    async def _jumped(self, target: "Target | None") -> None:
        if target is not None and target.action:
            await self.run_action(target.action, target.widget)
        elif target is not None:
            target.widget.focus()

    def action_help(self) -> None:
        """Show every key that works here."""
        from tui.screens.help import HelpScreen

        self.push_screen(HelpScreen(self.screen))

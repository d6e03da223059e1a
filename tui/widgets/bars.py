"""The three lines that every screen has: where one is, what should worry one, what one can press."""

from typing import ClassVar

from rich.cells import cell_len
from textual.content import Content
from textual.reactive import reactive
from textual.style import Style
from textual.widget import Widget

from tui.actions import MODES, Action, key_text
from tui.jobs import JobState
from tui.marks import SEVERITY
from tui.text import bar, clean, count, fit, size
from tui.theme import content_style

NAME = "HOLDFAST"
MIN_HEADLINE = 34
"""An alert that is cut shorter than this says nothing."""


def _link(action: str) -> Style:
    return Style.from_meta({"@click": action})


class TopBar(Widget):
    """The name of the program, the screens with their numbers, and what runs at the moment."""

    ALLOW_SELECT = False
    auto_links = False
    mode: reactive[str] = reactive("runs")
    n_running: reactive[int] = reactive(0)
    n_alerts: reactive[int] = reactive(0)
    held: reactive[int | None] = reactive(None)
    """How many changes the pause holds back; None while there is no pause."""
    view_only: reactive[bool] = reactive(False)

    def render(self) -> Content:
        """Draw the line."""
        state = self._state()
        tabs = Content(" ").join(self._tab(mode, name) for mode, name in self._names().items())
        line = Content.styled(f" {NAME} ", "bold $background on $primary") + Content(" ") + tabs
        return line + Content(" " * (self.size.width - line.cell_length - state.cell_length)) + state

    def places(self) -> list[tuple[str, int]]:
        """Return each screen and where its name begins."""
        left, found = len(NAME) + 3, []
        for mode, name in self._names().items():
            found.append((mode, left))
            left += len(name) + (3 if mode == self.mode else 1)
        return found

    def _names(self) -> dict[str, str]:
        """Return what each screen is called; counts, then the names of other screens give way when there is no room."""
        room = self.size.width - len(NAME) - 3 - self._state().cell_length
        counts = {
            "live": f" ●{self.n_running}" * bool(self.n_running),
            "alerts": f" {self.n_alerts}" * bool(self.n_alerts),
        }
        names = {
            mode: f"{number} {title}{counts.get(mode, '')}" for number, (mode, title) in enumerate(MODES.items(), 1)
        }
        if sum(len(name) + 1 for name in names.values()) + 2 > room:
            names = {mode: f"{number} {title}" for number, (mode, title) in enumerate(MODES.items(), 1)}
        if sum(len(name) + 1 for name in names.values()) + 2 > room:
            names = {mode: name if mode == self.mode else name[0] for mode, name in names.items()}
        return names

    def _tab(self, mode: str, name: str) -> Content:
        link = _link(f"app.mode('{mode}')")
        if mode == self.mode:
            return Content.styled(f" {name} ", "bold $background on $accent").stylize(link)
        live = mode == "live" and self.n_running
        return Content.styled(name, "$text-primary" if live else "$text-muted").stylize(link)

    def _state(self) -> Content:
        if self.held is not None:
            return Content.styled(f" ‖ paused, {count(self.held, 'change')} held ", "bold $text-warning")
        return Content.styled(" view only ", "$text-muted") if self.view_only else Content("")


class AlertBar(Widget):
    """The worst that is true right now. A critical one cannot be closed; only ending its cause takes it away."""

    ALLOW_SELECT = False
    auto_links = False
    alerts: reactive[tuple[tuple[str, str], ...]] = reactive(())
    """`(severity, message)` in the order of urgency."""
    trouble: reactive[str] = reactive("")
    """What is wrong with the registry itself; it outranks every alert."""
    loaded: reactive[bool] = reactive(False)

    def render(self) -> Content:
        """Draw the line: as many alerts as fit, and how many more there are."""
        if self.trouble:
            return Content.styled(f" ✗ {clean(self.trouble)}", "bold $text-error")
        if not self.loaded:
            return Content.styled(" … reading the registry", "$text-muted")
        if not self.alerts:
            return Content.styled(" ✓ nothing to worry about", "$text-success")
        return self._alerts(self.size.width).stylize(_link("app.mode('alerts')"))

    def _alerts(self, width: int) -> Content:
        parts: list[Content] = []
        used = 0
        for at, (severity, message) in enumerate(self.alerts):
            mark = SEVERITY[severity]
            text = f" {mark.symbol} {clean(message)} "
            left = len(self.alerts) - at
            room = width - used - (14 if left > 1 else 0)
            if parts and cell_len(text) > room and room > MIN_HEADLINE:
                text = fit(text, room)
            if parts and cell_len(text) > room:
                parts.append(Content.styled(f" +{left} more (8)", "$text-muted"))
                break
            weight = "bold " if severity == "critical" else ""
            parts.append(Content.styled(text, weight + content_style(mark.tone)))
            used += cell_len(text)
        return Content("").join(parts)


class JobBar(Widget):
    """How far the job is that was begun last; away when there is none."""

    ALLOW_SELECT = False
    job: reactive[JobState | None] = reactive(None)

    def watch_job(self, job: JobState | None) -> None:
        """Come and go with the job."""
        self.display = job is not None

    def render(self) -> Content:
        """Draw the title, a bar, the share, and how to stop it."""
        job = self.job
        if job is None:
            return Content("")
        line = Content.styled(f" {clean(job.title)} ", "bold") + Content.styled(f" {clean(job.what)} ", "$text-muted")
        if job.share is not None:
            line += Content.styled(f" {bar(job.share, 16)} {job.share:.0%} ", "$text-primary")
            line += Content.styled(f" {size(job.done)} of {size(job.total)} ", "$text-muted")
        return line + Content.styled(" ctrl+x stops it", "$text-muted")


class KeyBar(Widget):
    """The keys that matter here, most useful first, as many as fit; `?` shows the rest."""

    ALLOW_SELECT = False
    auto_links = False
    ALWAYS: ClassVar[tuple[str, ...]] = ("app.quit", "app.help")
    actions: reactive[tuple[tuple[Action, str], ...]] = reactive(())
    """What can be done now, with the key it is on."""

    def render(self) -> Content:
        """Draw as many keys as fit on the line."""
        items = [(self._item(action, keys), action) for action, keys in self.actions]
        kept = sum(item.cell_length for item, action in items if action.id in self.ALWAYS)
        parts, used = [], 0
        for item, action in items:
            if action.id in self.ALWAYS:
                parts.append(item)
            elif used + item.cell_length <= self.size.width - kept:
                parts.append(item)
                used += item.cell_length
        return Content("").join(parts)

    @staticmethod
    def _item(action: Action, keys: str) -> Content:
        link = _link(f"app.press('{keys.partition(',')[0]}')")
        key = Content.styled(f" {key_text(keys, first=True)}", "bold $text-accent")
        return (key + Content.styled(f" {action.label.lower()} ", "$text-muted")).stylize(link)

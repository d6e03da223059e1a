"""The one table of everything a key can do. Bindings, the footer, the palette, the help and the key table of the docs
are all made from it, so none of them can disagree.

An action's id is what `[keys]` in registry.toml names; its first part is the screen or widget that knows the action.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from textual.binding import Binding, BindingType

MODES: Final = {
    "runs": "Runs",
    "run": "Run",
    "compare": "Compare",
    "custody": "Custody",
    "deployments": "Deploy",
    "datasets": "Data",
    "live": "Live",
    "alerts": "Alerts",
}


@dataclass(frozen=True)
class Action:
    """One thing a person can do.

    `do` is the Textual action, `label` at most a dozen letters for the footer, `help` one sentence. `footer` orders the
    footer (0: not there). `changes` marks what writes to the record: it is off where the dashboard may only look.
    """

    id: str
    keys: str
    do: str
    label: str
    help: str
    footer: int = 0
    changes: bool = False

    @property
    def scope(self) -> str:
        """The screen or widget that knows the action."""
        return self.id.partition(".")[0]

    @property
    def name(self) -> str:
        """The name of the Textual action, without its parameters."""
        return self.do.partition("(")[0]


def _modes() -> Iterator[Action]:
    for number, (mode, title) in enumerate(MODES.items(), 1):
        yield Action(f"app.{mode}", str(number), f"mode('{mode}')", title, f"Go to {title}.")


ACTIONS: Final[tuple[Action, ...]] = (
    *_modes(),
    Action("app.help", "question_mark,f1", "help", "Help", "Show every key that works here.", 99),
    Action("app.palette", "ctrl+p,colon", "command_palette", "Palette", "Find an action by its name."),
    Action("app.back", "escape", "back", "Back", "Leave this screen, close what is open."),
    Action("app.jump", "ctrl+o", "jump", "Jump", "Put a letter on everything that can be focused, and go there."),
    Action("app.pause", "z", "pause", "Pause", "Hold the picture still; what happens meanwhile is counted, not lost."),
    Action("app.cancel", "ctrl+x", "cancel_job", "Stop job", "Stop the job that was begun last."),
    Action("app.refresh", "ctrl+r", "reload", "Reload", "Read everything again."),
    Action("app.theme", "t", "next_theme", "Theme", "Switch between the dark and the light theme."),
    Action("app.quit", "q,ctrl+q", "quit", "Quit", "Leave the dashboard; nothing that runs is touched.", 98),
    Action("table.down", "j,down", "move(1)", "Down", "Next row."),
    Action("table.up", "k,up", "move(-1)", "Up", "Previous row."),
    Action("table.page_down", "pagedown,ctrl+d", "page(1)", "Page down", "One screen down."),
    Action("table.page_up", "pageup,ctrl+u", "page(-1)", "Page up", "One screen up."),
    Action("table.first", "home", "end(False)", "First", "The first row."),
    Action("table.last", "end,G", "end(True)", "Last", "The last row."),
    Action("table.right", "l,right", "sideways(1)", "Right", "Show the columns further right."),
    Action("table.left", "h,left", "sideways(-1)", "Left", "Show the columns further left."),
    Action("table.open", "enter", "choose", "Open", "Open the row under the cursor.", 2),
    Action("runs.mark", "space", "mark", "Mark", "Mark the run for comparing, or take the mark away.", 1),
    Action("runs.unmark", "u", "unmark", "Unmark", "Take every mark away."),
    Action("runs.pin", "b", "pin", "Baseline", "Make this run the baseline that others are compared with."),
    Action("runs.filter", "slash", "filter", "Filter", "Show only the runs that match what you type.", 3),
    Action("runs.leave_filter", "escape", "leave_filter", "Clear filter", "Clear the filter, back to all runs.", 1),
    Action("runs.sort", "s", "sort", "Sort", "Choose what the runs are sorted by.", 4),
    Action("runs.reverse", "x", "reverse", "Reverse", "Turn the order around."),
    Action("runs.group", "g", "group", "Group", "Group the runs: by experiment, by parent, by seed, or not."),
    Action("runs.columns", "o", "columns", "Columns", "Choose the columns; the choice is remembered."),
    Action("runs.compare", "c", "compare", "Compare", "Compare the marked runs.", 5),
    Action("runs.promote", "P", "promote", "Promote", "Check whether this run may be deployed; deploy it.", 6, True),
    Action("runs.preview", "m", "preview", "Preview", "Show or hide the preview.", 7),
    Action("runs.metric", "right_square_bracket", "metric(1)", "Next metric", "Show the next metric in the preview."),
    Action("runs.metric_back", "left_square_bracket", "metric(-1)", "Last metric", "Show the metric before."),
    Action("runs.log_scale", "y", "log_scale", "Log scale", "Logarithmic or linear value axis."),
    Action("run.next_tab", "tab,right_square_bracket", "tab(1)", "Next page", "Show the next page of the run.", 1),
    Action("run.last_tab", "shift+tab,left_square_bracket", "tab(-1)", "Page before", "Show the page before."),
    Action("run.promote", "P", "promote", "Promote", "Check whether this run may be deployed; deploy it.", 6, True),
    Action("run.copy", "c", "copy", "Copy", "Copy the run's artifacts to a remote and read them back.", 3, True),
    Action("run.verify", "v", "verify", "Verify", "Read the copies of the run's artifacts back.", 4, True),
    Action("run.turn", "pagedown,n", "turn(1)", "Next charts", "Show the next charts.", 2),
    Action("run.turn_back", "pageup,N", "turn(-1)", "Charts before", "Show the charts before."),
    Action("run.log_scale", "y", "log_scale", "Log scale", "Logarithmic or linear value axis.", 3),
    Action("run.smooth", "w", "smooth", "Smooth", "Smooth the curves: not, a little, much.", 4),
    Action("run.x", "a", "x_axis", "X axis", "Draw over steps, time, or epochs.", 5),
    Action("run.alone", "f", "alone", "One chart", "Let the first chart fill the screen, or show all.", 5),
    Action("run.zoom", "plus,equals_sign", "zoom(1)", "Zoom in", "Show the later half of what is shown."),
    Action("run.zoom_out", "minus", "zoom(-1)", "Zoom out", "Show twice as much."),
    Action("run.system", "S", "system", "Machine", "Show the machine's own metrics too, or not."),
    Action("run.search", "slash", "search", "Search", "Search the run's output.", 2),
    Action("run.find", "n", "find(1)", "Next match", "Go to the next line that matches."),
    Action("run.find_back", "N", "find(-1)", "Match before", "Go to the line before that matches."),
    Action("run.follow", "f", "follow", "Follow", "Follow what is added to the output, or stay.", 3),
    Action("compare.differences", "d", "differences", "Differences", "Show only what differs, or everything.", 1),
    Action("compare.baseline", "b", "baseline", "Baseline", "Make the next run the baseline.", 2),
    Action("compare.last", "L", "last", "Best/last", "Compare best values, or the last ones.", 3),
    Action("compare.copy", "e", "export", "Export", "Copy the table to the clipboard or write it to a file.", 4),
    Action("compare.chart", "m", "chart", "Chart", "Show or hide the chart.", 5),
    Action("compare.log_scale", "y", "log_scale", "Log scale", "Logarithmic or linear value axis.", 6),
    Action("compare.smooth", "w", "smooth", "Smooth", "Smooth the curves: not, a little, much.", 7),
    Action("compare.x", "a", "x_axis", "X axis", "Draw over steps or over time.", 8),
    Action("custody.copy", "c", "copy", "Copy", "Copy the run's artifacts to a remote, read them back.", 1, True),
    Action("custody.verify", "v", "verify", "Verify", "Read the copies of the chosen run back.", 3, True),
    Action("custody.copy_all", "C", "copy_all", "Copy all", "Copy everything that is recorded to a remote.", 6, True),
    Action("custody.scrub", "V", "verify_all", "Scrub", "Read every copy back, the longest unread first.", 5, True),
    Action("custody.look", "p", "look", "Look", "Reach every remote: is it there, is it itself, how full?", 7, True),
    Action("custody.release", "r", "release", "Release?", "May this machine be released? With every reason.", 4, True),
    Action("custody.all", "a", "toggle_all", "All", "Show all artifacts, or those that lack copies.", 8),
    Action("deployments.promote", "P", "promote", "Promote", "Check this run again and deploy it.", 3, True),
    Action("deployments.rollback", "R", "roll_back", "Roll back", "Put back what the target served before.", 1, True),
    Action("datasets.invalidate", "I", "invalidate", "Invalidate", "Declare the version invalid.", 1, True),
    Action("live.log", "o", "log", "Output", "Show the chosen run's whole output.", 1),
    Action("alerts.go", "g", "go", "Go there", "Go to what the alert is about.", 1),
    Action("alerts.fold", "space", "fold", "Fold", "Show the alerts of this kind, or only how many they are.", 3),
    Action("alerts.acknowledge", "a", "acknowledge", "Acknowledge", "Say why it (or its kind) may stay.", 4, True),
    Action("alerts.all", "v", "toggle_all", "Hidden ones", "Show acknowledged alerts too, or not.", 5),
    Action("alerts.copy", "y", "copy_hint", "Copy command", "Copy the command that ends the alert.", 2),
)  # fmt: skip


def of_scope(scope: str) -> list[Action]:
    """Return the actions of one screen or widget, in the order of the table."""
    return [action for action in ACTIONS if action.scope == scope]


def bindings(scope: str) -> list[BindingType]:
    """Return the bindings of one screen or widget; each carries its id, so that registry.toml can move it."""
    return [
        Binding(action.keys, action.do, action.label, show=bool(action.footer), id=action.id, tooltip=action.help)
        for action in of_scope(scope)
    ]


_KEY_SYMBOLS = {
    "space": "space", "slash": "/", "question_mark": "?", "escape": "esc", "pagedown": "pgdn", "pageup": "pgup",
    "right_square_bracket": "]", "left_square_bracket": "[", "colon": ":", "full_stop": ".", "comma": ",",
    "exclamation_mark": "!", "plus": "+", "minus": "-", "equals_sign": "=",
    "up": "↑", "down": "↓", "left": "←", "right": "→", "enter": "enter",
}  # fmt: skip


def key_text(keys: str, *, first: bool = False) -> str:
    """Return keys as people read them: `j ↓` for `j,down`; only the first of them for the footer."""
    words = []
    for key in keys.split(","):
        *modifiers, last = key.strip().split("+")
        words.append("".join(f"{word}+" for word in modifiers) + _KEY_SYMBOLS.get(last, last))
    return words[0] if first else " ".join(words)


def keymap_problems(keymap: Iterable[str]) -> list[str]:
    """Return the ids of a user's keymap that no action has."""
    known = {action.id for action in ACTIONS}
    return sorted(name for name in keymap if name not in known)

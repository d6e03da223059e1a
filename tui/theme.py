"""Colours: two themes of our own, and `Ink`, which turns a tone word into a style of whatever theme is on.

Tones: "" plain, strong, muted, faint, ok, warn, bad, live, accent, primary, struck. Run colours are stable (a hash of
the run's id), from eight that people with any colour vision tell apart (Okabe and Ito, 2008), tuned for each ground.
"""

import zlib
from collections.abc import Mapping, Sequence
from typing import Any

from rich.style import Style
from textual.app import App
from textual.color import Color
from textual.theme import Theme

DEEP = Theme(
    name="holdfast-deep",
    dark=True,
    primary="#4fb8a8",
    secondary="#3a7f8c",
    accent="#e3a857",
    foreground="#d5dfdb",
    background="#0c1416",
    surface="#111c1f",
    panel="#18272b",
    success="#6fbf8f",
    warning="#e3a857",
    error="#e8705f",
    variables={
        "text-muted": "#7f9496",
        "text-disabled": "#4d6164",
        "text-primary": "#5cc9b8",
        "text-accent": "#e8b468",
        "text-success": "#7fcf9f",
        "text-warning": "#e8b468",
        "text-error": "#f08373",
        "border": "#2c4348",
        "border-blurred": "#223438",
        "block-cursor-background": "#1f4046",
        "block-cursor-foreground": "#f2f7f4",
        "block-cursor-text-style": "none",
        "block-cursor-blurred-background": "#182c30",
        "block-cursor-blurred-foreground": "#d5dfdb",
        "scrollbar": "#2c4348",
        "scrollbar-hover": "#3a7f8c",
        "scrollbar-active": "#4fb8a8",
        "scrollbar-background": "#0c1416",
        "scrollbar-background-hover": "#0c1416",
        "scrollbar-background-active": "#0c1416",
        "scrollbar-corner-color": "#0c1416",
        "input-selection-background": "#1f4046",
    },
)

SHORE = Theme(
    name="holdfast-shore",
    dark=False,
    primary="#0f6f68",
    secondary="#4b7f86",
    accent="#9a5b00",
    foreground="#1d2b2e",
    background="#f8f5ee",
    surface="#f1ede3",
    panel="#e7e1d3",
    success="#1f7a4d",
    warning="#8f5600",
    error="#b3362b",
    variables={
        "text-muted": "#65736f",
        "text-disabled": "#9aa39c",
        "text-primary": "#0b5f59",
        "text-accent": "#8a5200",
        "text-success": "#196840",
        "text-warning": "#8a5200",
        "text-error": "#a52d23",
        "border": "#c9c0ac",
        "border-blurred": "#d8d1c0",
        "block-cursor-background": "#cfe3dc",
        "block-cursor-foreground": "#10201f",
        "block-cursor-text-style": "none",
        "block-cursor-blurred-background": "#e3e8dd",
        "block-cursor-blurred-foreground": "#1d2b2e",
        "scrollbar": "#c9c0ac",
        "scrollbar-hover": "#4b7f86",
        "scrollbar-active": "#0f6f68",
        "scrollbar-background": "#f8f5ee",
        "scrollbar-background-hover": "#f8f5ee",
        "scrollbar-background-active": "#f8f5ee",
        "scrollbar-corner-color": "#f8f5ee",
        "input-selection-background": "#cfe3dc",
    },
)

OWN_THEMES = (DEEP, SHORE)

_ON_DARK = ("#56b4e9", "#e69f00", "#2ec4a0", "#f0e442", "#dd8fbe", "#f07f4f", "#8fa8ff", "#c8c8c8")
_ON_LIGHT = ("#0072b2", "#b36b00", "#00795c", "#7a6f00", "#a8478a", "#c04a00", "#4450b8", "#4a4a4a")
_ON_ANSI = ("bright_blue", "yellow", "green", "bright_yellow", "magenta", "red", "cyan", "white")

_TONE_VARIABLES = {
    "muted": "text-muted",
    "faint": "text-disabled",
    "ok": "text-success",
    "warn": "text-warning",
    "bad": "text-error",
    "live": "text-primary",
    "accent": "text-accent",
    "primary": "text-primary",
}


def first_theme(color_system: str | None, no_color: bool) -> str:
    """Return the theme to begin with: our own, or the terminal's colours where it has sixteen or none are wanted."""
    return "ansi-dark" if no_color or color_system in ("standard", "windows") else DEEP.name


def colour_index(run_id: str) -> int:
    """Return which of the eight run colours a run has, the same in every session and on every screen."""
    return zlib.crc32(run_id.encode()) % len(_ON_DARK)


def run_tones(run_ids: Sequence[str]) -> dict[str, str]:
    """Return a tone (`series:N`) for each run shown together: its own stable colour, or the next free one."""
    tones: dict[str, str] = {}
    taken: set[int] = set()
    for run_id in run_ids:
        first = colour_index(run_id)
        free = (at for k in range(len(_ON_DARK)) if (at := (first + k) % len(_ON_DARK)) not in taken)
        index = next(free, first)
        taken.add(index)
        tones[run_id] = f"series:{index}"
    return tones


def content_style(tone: str) -> str:
    """Return the style of a tone as Textual's `Content` names it."""
    if tone == "strong":
        return "bold"
    if tone == "struck":
        return "strike $text-muted"
    return f"${_TONE_VARIABLES[tone]}" if tone in _TONE_VARIABLES else ""


class Ink:
    """The styles of one theme, for widgets that draw their own lines."""

    def __init__(self, variables: Mapping[str, str], *, dark: bool, ansi: bool) -> None:
        self.ansi = ansi
        self._variables = variables
        self.series = _ON_ANSI if ansi else _ON_DARK if dark else _ON_LIGHT
        self._styles = {"": Style(), "strong": Style(bold=True), "struck": Style(strike=True, dim=ansi)}
        for tone, variable in _TONE_VARIABLES.items():
            self._styles[tone] = self._from_variable(variables.get(variable, ""), tone, ansi)

    @staticmethod
    def _from_variable(value: str, tone: str, ansi: bool) -> Style:
        if ansi and tone in ("muted", "faint"):
            return Style(dim=True)
        if not value or value.startswith("auto"):
            return Style(dim=tone in ("muted", "faint"))
        return Style(color=Color.parse(value).rich_color)

    @classmethod
    def of(cls, app: App[Any]) -> "Ink":
        """Return the ink of the theme that `app` shows now."""
        theme = app.current_theme
        return cls(app.theme_variables, dark=theme.dark, ansi=theme.ansi)

    def tone(self, tone: str) -> Style:
        """Return the style of a tone word, or of `series:N`, the N-th run colour."""
        style = self._styles.get(tone)
        if style is None:
            style = self._styles[tone] = self._coloured(tone)
        return style

    def _coloured(self, tone: str) -> Style:
        kind, _, number = tone.partition(":")
        return Style(color=self.series[int(number)]) if kind == "series" else Style()

    def ground(self, plain: Style, state: int) -> Style:
        """Return what a row stands on: 0 the widget's own ground, 1 the cursor's with focus, 2 without focus."""
        if state == 0:
            return plain
        if self.ansi:
            return Style(reverse=True) if state == 1 else Style(underline=True)
        name = "block-cursor-background" if state == 1 else "block-cursor-blurred-background"
        return Style(color=plain.color, bgcolor=Color.parse(self._variables[name]).rich_color)

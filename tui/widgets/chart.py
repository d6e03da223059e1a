"""A chart with its title, its legend and an honest word about what is not drawn."""

from dataclasses import dataclass, replace

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from rich.text import Text
from textual.reactive import reactive
from textual.strip import Strip
from textual.widget import Widget

from tui import charts
from tui.charts import Curve, Look
from tui.text import clean, count, fit, number
from tui.theme import Ink

MAX_LEGEND_LINES = 4


@dataclass(frozen=True)
class Figure:
    """What a chart shows: a title, a word on the right (a value), the curves, and what to say when there are none."""

    title: str = ""
    value: str = ""
    curves: tuple[Curve, ...] = ()
    empty: str = "no points yet"


class Chart(Widget):
    """Draws a `Figure` as large as it is; the picture is built once for a size and a figure."""

    figure: reactive[Figure] = reactive(Figure())
    look: reactive[Look] = reactive(Look())
    smoothing: reactive[float] = reactive(0.0)

    def __init__(self, *, id: str | None = None, classes: str | None = None, legend: bool = True) -> None:
        super().__init__(id=id, classes=classes)
        self.legend = legend
        self._lines: tuple[Strip, ...] | None = None

    def watch_figure(self) -> None:
        """Build the picture anew."""
        self._lines = None

    def watch_look(self) -> None:
        """Build the picture anew."""
        self._lines = None

    def watch_smoothing(self) -> None:
        """Build the picture anew."""
        self._lines = None

    def on_resize(self) -> None:
        """Build the picture anew."""
        self._lines = None

    def notify_style_update(self) -> None:
        """Build the picture anew: the theme changed."""
        super().notify_style_update()
        self._lines = None

    def render_line(self, y: int) -> Strip:
        """Return one line of the built picture."""
        if self._lines is None:
            self._lines = self._build()
        return self._lines[y] if y < len(self._lines) else Strip.blank(self.size.width, self.rich_style)

    def _build(self) -> tuple[Strip, ...]:
        width, height = self.size
        ink = Ink.of(self.app)
        curves = tuple(self._inked(charts.smooth(curve, self.smoothing), ink) for curve in self.figure.curves)
        footer = self._footer(curves, ink, width)
        look = replace(self.look, dark=self.app.current_theme.dark, ansi=self.app.current_theme.ansi)
        lines = [self._title(ink, width), *charts.draw(curves, width, height - 1 - len(footer), look)]
        if len(lines) == 1:
            lines += self._nothing(ink, width, height - 1 - len(footer))
        return tuple(self._strip(line, width) for line in (*lines, *footer))

    @staticmethod
    def _inked(curve: Curve, ink: Ink) -> Curve:
        colour = ink.tone(curve.colour).color
        return replace(curve, colour=colour.name if colour else "default")

    def _title(self, ink: Ink, width: int) -> Text:
        scale = " log" * self.look.log + f" smoothed {self.smoothing:g}" * (self.smoothing > 0)
        value = self.figure.value
        room = max(0, width - cell_len(value) - cell_len(scale) - 1)
        title = clean(self.figure.title)
        title = title if cell_len(title) <= room else fit(title, room)
        gap = width - cell_len(title) - cell_len(scale) - cell_len(value)
        return Text.assemble(
            (title, ink.tone("strong")), (scale, ink.tone("muted")), " " * max(0, gap), (value, ink.tone("primary"))
        )

    def _nothing(self, ink: Ink, width: int, height: int) -> list[Text]:
        above = [Text("")] * max(0, (height - 1) // 2)
        return [*above, Text(self.figure.empty.center(width), style=ink.tone("muted"))]

    def _footer(self, curves: tuple[Curve, ...], ink: Ink, width: int) -> list[Text]:
        lines = []
        if self.legend and len(curves) > 1:
            lines += self._legend(curves, ink, width)
        said = self._left_out(curves)
        if said:
            lines.append(Text(fit(said, width), style=ink.tone("warn")))
        return lines

    @staticmethod
    def _legend(curves: tuple[Curve, ...], ink: Ink, width: int) -> list[Text]:
        """Return the names of the curves in columns, at most MAX_LEGEND_LINES lines."""
        longest = min(max(cell_len(clean(curve.label)) for curve in curves), max(8, width // 2 - 5))
        per_line = max(1, width // (longest + 4))
        lines = []
        for first in range(0, min(len(curves), per_line * MAX_LEGEND_LINES), per_line):
            line = Text()
            for curve in curves[first : first + per_line]:
                line.append("◆ ", Style(color=curve.colour)).append(
                    fit(clean(curve.label), longest + 2), ink.tone("muted")
                )
            lines.append(line)
        return lines

    def _left_out(self, curves: tuple[Curve, ...]) -> str:
        said = []
        n_bad = sum(curve.n_non_finite for curve in curves)
        if n_bad:
            said.append(f"✗ {count(n_bad, 'value')} not finite")
        if self.look.log and (n_hidden := charts.n_not_positive(curves)):
            said.append(f"{count(n_hidden, 'point')} not above 0")
        if far := charts.far_out(curves, self.look):
            said.append(f"{count(len(far), 'value')} far out, up to {number(max(far, key=abs))} (y: logarithmic axis)")
        return " · ".join(said)

    def _strip(self, line: Text, width: int) -> Strip:
        base = self.rich_style
        segments = [Segment(text, base + style if style else base) for text, style, _ in line.render(self.app.console)]
        return Strip(segment for segment in segments if segment.text).adjust_cell_length(width, base)

"""A grid of charts as large as the screen allows, page by page; one of them can fill the whole."""

from collections.abc import Sequence

from textual.app import ComposeResult
from textual.containers import Grid
from textual.message import Message
from textual.reactive import reactive

from tui.charts import Look
from tui.widgets.chart import Chart, Figure

MIN_WIDTH, MIN_HEIGHT = 38, 10
MAX_CHARTS = 12


class ChartGrid(Grid):
    """Shows some of a list of named figures; `shown_names` says which of them fit on the page."""

    can_focus = True
    look: reactive[Look] = reactive(Look())
    smoothing: reactive[float] = reactive(0.0)

    class Paged(Message):
        """Other figures are on the page now: they have to be loaded."""

    def __init__(self, *, id: str | None = None) -> None:
        super().__init__(id=id)
        self.names: tuple[str, ...] = ()
        self.first = 0
        self.alone = False
        self._figures: dict[str, Figure] = {}

    def compose(self) -> ComposeResult:
        """As many charts as there can ever be; those without a figure are not displayed."""
        for _ in range(MAX_CHARTS):
            yield Chart()

    def on_mount(self) -> None:
        """Show nothing yet."""
        self._place()

    def on_resize(self) -> None:
        """More or fewer charts fit now."""
        self._place()
        self.post_message(self.Paged())

    @property
    def per_page(self) -> tuple[int, int]:
        """How many columns and rows of charts fit."""
        if self.alone or not self.names:
            return 1, 1
        n_columns = max(1, min(3, self.size.width // MIN_WIDTH))
        n_rows = max(1, min(MAX_CHARTS // n_columns, self.size.height // MIN_HEIGHT))
        n = min(len(self.names), n_columns * n_rows)
        n_columns = next(k for k in range(1, n_columns + 1) if -(-n // k) <= n_rows)
        return n_columns, -(-n // n_columns)

    @property
    def shown_names(self) -> tuple[str, ...]:
        """The names on this page."""
        n_columns, n_rows = self.per_page
        return self.names[self.first : self.first + n_columns * n_rows]

    @property
    def chart_width(self) -> int:
        """How many cells wide a chart may be."""
        return max(20, self.app.size.width // self.per_page[0])

    def offer(self, names: Sequence[str]) -> None:
        """Say which figures there are."""
        if tuple(names) != self.names:
            self.names = tuple(names)
            self.first = min(self.first, max(0, len(self.names) - 1))
            self._place()

    def show(self, figures: dict[str, Figure]) -> None:
        """Draw figures by their names."""
        self._figures.update(figures)
        self._fill()

    def figure(self, name: str) -> Figure | None:
        """Return the figure that was drawn for a name."""
        return self._figures.get(name)

    def _place(self) -> None:
        n_columns, n_rows = self.per_page
        self.styles.grid_size_columns, self.styles.grid_size_rows = n_columns, n_rows
        self._fill()

    def _fill(self) -> None:
        shown = self.shown_names
        for at, chart in enumerate(self.query(Chart)):
            chart.display = at < len(shown)
            if at < len(shown):
                chart.figure = self._figures.get(shown[at], Figure(shown[at], empty="…"))

    def watch_look(self, look: Look) -> None:
        """Draw every chart with the same axes."""
        for chart in self.query(Chart):
            chart.look = look

    def watch_smoothing(self, smoothing: float) -> None:
        """Smooth every chart alike."""
        for chart in self.query(Chart):
            chart.smoothing = smoothing

    def turn(self, pages: int) -> None:
        """Show the page after or before this one."""
        n_columns, n_rows = self.per_page
        step = n_columns * n_rows
        last = (len(self.names) - 1) // step * step
        self.first = max(0, min(self.first + pages * step, last))
        self._fill()
        self.post_message(self.Paged())

    def toggle_alone(self) -> None:
        """Let the first chart of the page fill the grid, or show all again."""
        self.alone = not self.alone
        self._place()
        self.post_message(self.Paged())

"""A table that draws only the lines on screen, from a source that may hold a hundred thousand and load them by pages.

The widget knows text, tones and keys; what a row means is its screen's business. The first `fixed` columns stay while
the others scroll sideways by whole columns, so nothing is ever cut in the middle on the left.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, NamedTuple, Protocol

from rich.cells import cell_len
from rich.segment import Segment
from rich.style import Style
from textual import events
from textual.binding import BindingType
from textual.geometry import Region, Size
from textual.message import Message
from textual.reactive import reactive
from textual.scroll_view import ScrollView
from textual.strip import Strip

from tui.actions import bindings
from tui.text import fit
from tui.theme import Ink

GUTTER = 2
GAP = 2
CUT_SIGN_WIDTH = 2


class Column(NamedTuple):
    """How a column is named and how wide it may be; a column with a `weight` gives way first and takes what is left."""

    key: str
    title: str
    align: str = "left"
    minimum: int = 4
    maximum: int = 24
    weight: int = 0
    sortable: bool = False


class Cell(NamedTuple):
    """One value, already text, and its tone; a quieter `tail` may follow it."""

    text: str
    tone: str = ""
    tail: str = ""
    tail_tone: str = "muted"


@dataclass(frozen=True, slots=True)
class Line:
    """One row: its key, its cells, and whether it is a heading of a group or struck through."""

    key: str
    cells: tuple[Cell, ...]
    heading: bool = False
    struck: bool = False


class Lines(Protocol):
    """Where a table's rows come from; `line` is None for a row that is not loaded yet."""

    def __len__(self) -> int: ...
    def line(self, index: int) -> Line | None:
        """Return the row at `index`, None while it is being loaded."""

    def key(self, index: int) -> str:
        """Return the key of the row at `index`."""

    def index(self, key: str) -> int | None:
        """Return where the row with `key` stands, None when it is gone."""


class ListLines:
    """Rows that are all in memory."""

    def __init__(self, lines: Sequence[Line] = ()) -> None:
        self._lines = tuple(lines)
        self._at = {line.key: at for at, line in enumerate(self._lines)}

    def __len__(self) -> int:
        return len(self._lines)

    def line(self, index: int) -> Line | None:
        """Return the row at `index`."""
        return self._lines[index]

    def key(self, index: int) -> str:
        """Return the key of the row at `index`."""
        return self._lines[index].key

    def index(self, key: str) -> int | None:
        """Return where the row with `key` stands, None when it is gone."""
        return self._at.get(key)


class Sorting(NamedTuple):
    """Which column the rows are sorted by, and whether the largest comes first."""

    column: str = ""
    descending: bool = False


class Table(ScrollView, can_focus=True):
    """Rows and columns with a cursor, marks, a pinned row and a header that can be clicked."""

    DEFAULT_CSS = """
    Table {
        height: 1fr;
        width: 1fr;
        scrollbar-size-vertical: 1;
        scrollbar-gutter: stable;
        overflow-x: hidden;
        overflow-y: auto;
    }
    """
    BINDINGS: ClassVar[list[BindingType]] = bindings("table")
    cursor: reactive[int] = reactive(0, repaint=False)
    marked: reactive[Mapping[str, str]] = reactive(dict)
    """The tones of the marked rows, by key."""
    pinned: reactive[str | None] = reactive(None)

    class Highlighted(Message):
        """The cursor moved to another row."""

        def __init__(self, table: "Table", key: str | None) -> None:
            super().__init__()
            self.table, self.key = table, key

        @property
        def control(self) -> "Table":
            """The table it happened in."""
            return self.table

        def can_replace(self, message: Message) -> bool:
            """Only where the cursor stands now is of interest."""
            return isinstance(message, Table.Highlighted) and message.table is self.table

    class Chosen(Message):
        """A row was opened with Enter or a double click."""

        def __init__(self, table: "Table", key: str) -> None:
            super().__init__()
            self.table, self.key = table, key

        @property
        def control(self) -> "Table":
            """The table it happened in."""
            return self.table

    class HeaderClicked(Message):
        """A column that can be sorted by was clicked."""

        def __init__(self, table: "Table", column: str) -> None:
            super().__init__()
            self.table, self.column = table, column

        @property
        def control(self) -> "Table":
            """The table it happened in."""
            return self.table

    class Wanted(Message):
        """Rows `first` up to `last` are on screen and not loaded."""

        def __init__(self, table: "Table", first: int, last: int) -> None:
            super().__init__()
            self.table, self.first, self.last = table, first, last

        @property
        def control(self) -> "Table":
            """The table it happened in."""
            return self.table

        def can_replace(self, message: Message) -> bool:
            """Only what is on screen now is of interest."""
            return isinstance(message, Table.Wanted) and message.table is self.table

    def __init__(
        self, columns: Sequence[Column] = (), *, fixed: int = 1, opens: bool = False, id: str | None = None
    ) -> None:
        super().__init__(id=id)
        self.opens = opens
        self.columns: tuple[Column, ...] = tuple(columns)
        self.fixed = fixed
        self.sorting = Sorting()
        self.first_column = 0
        self.state_text: tuple[Cell, ...] = ()
        self._lines: Lines = ListLines()
        self._natural: dict[str, int] = {}
        self._widths = {column.key: column.minimum for column in self.columns}
        self._shown: list[int] | None = None
        self._measured_width = -1
        self._strips: dict[tuple[int, bool], Strip] = {}
        self._styles: dict[tuple[str, int], Style] = {}
        self._ink: Ink | None = None

    # --- what it shows

    def show(self, lines: Lines, columns: Sequence[Column] | None = None, sorting: Sorting | None = None) -> None:
        """Show other rows (and columns); the cursor stays on the row it was on, wherever that is now."""
        key = self.cursor_key
        had_rows = len(self._lines) > 0
        self._lines = lines
        if columns is not None and tuple(columns) != self.columns:
            self.columns = tuple(columns)
            self._natural.clear()
            self._shown = None
            self._widths = {column.key: column.minimum for column in self.columns}
            self.first_column = min(self.first_column, max(0, len(self.columns) - self.fixed - 1))
        if sorting is not None:
            self.sorting = sorting
        self.state_text = ()
        at = lines.index(key) if key is not None else None
        self.set_reactive(Table.cursor, self._clamp(self.cursor if at is None else at))
        self._resize_content()
        self.redraw()
        if at is not None and had_rows:
            self._scroll_to_cursor()
        if self.cursor_key != key:
            self.post_message(self.Highlighted(self, self.cursor_key))

    def show_state(self, *lines: Cell) -> None:
        """Show a few centred lines instead of rows: empty, loading, or what went wrong."""
        if lines == self.state_text:
            return
        self._lines = ListLines()
        self.state_text = lines
        self._resize_content()
        self.redraw()

    def redraw(self) -> None:
        """Draw the rows anew: their content, the marks or the theme changed."""
        self._strips.clear()
        self._measure()
        self.refresh()

    @property
    def cursor_key(self) -> str | None:
        """The key of the row under the cursor, None when there are no rows."""
        return self._lines.key(self.cursor) if 0 <= self.cursor < len(self._lines) else None

    @property
    def n_rows(self) -> int:
        """How many rows there are."""
        return len(self._lines)

    def move_to(self, key: str) -> bool:
        """Put the cursor on the row with `key`; False when there is none."""
        at = self._lines.index(key)
        if at is None:
            return False
        self.cursor = at
        return True

    # --- measuring

    @property
    def _room(self) -> Size:
        """What is left for the table beside its scrollbar."""
        return self.scrollable_content_region.size

    def _visible_rows(self) -> range:
        top = self.scroll_offset.y
        return range(top, min(len(self._lines), top + max(0, self._room.height - 1)))

    def _measure(self) -> None:
        """Set each column's width from its title and the rows on screen; widths only ever grow, so nothing jumps."""
        natural = self._natural
        for column in self.columns:
            title = cell_len(column.title) + (2 if column.sortable else 0)
            natural.setdefault(column.key, max(column.minimum, min(title, column.maximum)))
        for index in self._visible_rows():
            line = self._lines.line(index)
            if line is None:
                continue
            for column, cell in zip(self.columns, line.cells, strict=False):
                if len(cell.text) + len(cell.tail) > natural[column.key] < column.maximum:
                    length = cell_len(cell.text) + cell_len(cell.tail)
                    natural[column.key] = min(max(natural[column.key], length), column.maximum)
        widths = self._share(dict(natural))
        shown = self._fitting(widths)
        self._give_back(widths, natural, shown)
        self._measured_width = self._room.width
        if widths != self._widths or shown != self._shown:
            self._widths, self._shown = widths, shown
            self._strips.clear()

    def _share(self, widths: dict[str, int]) -> dict[str, int]:
        """Take from the weighted columns what is too much for the screen, down to their minimum."""
        spare = self._room.width - GUTTER + GAP - sum(widths[column.key] + GAP for column in self.columns)
        while spare < 0:
            givers = [column for column in self.columns if column.weight and widths[column.key] > column.minimum]
            if not givers:
                break
            widest = max(givers, key=lambda column: widths[column.key])
            widths[widest.key] -= 1
            spare += 1
        return widths

    def _give_back(self, widths: dict[str, int], natural: dict[str, int], shown: Sequence[int]) -> None:
        """Let the weighted columns on screen have what whole columns leave over, the narrowest first."""
        spare = self._limit(cut=len(shown) < self._n_reachable) - self._total(widths, shown)
        while spare > 0:
            takers = [c for c in map(self.columns.__getitem__, shown) if c.weight and widths[c.key] < natural[c.key]]
            if not takers:
                return
            widths[min(takers, key=lambda column: widths[column.key]).key] += 1
            spare -= 1

    @property
    def _n_reachable(self) -> int:
        """How many columns there are without those that were scrolled away."""
        n_fixed = min(self.fixed, len(self.columns))
        return n_fixed + max(0, len(self.columns) - n_fixed - self.first_column)

    def _limit(self, *, cut: bool) -> int:
        """Return how many cells columns and their gaps may take; the sign that more follow needs some."""
        return self._room.width - GUTTER + GAP - (CUT_SIGN_WIDTH if cut else 0)

    def _total(self, widths: dict[str, int], shown: Sequence[int]) -> int:
        return sum(widths[self.columns[at].key] + GAP for at in shown)

    def _fitting(self, widths: dict[str, int]) -> list[int]:
        """Return the columns that fit whole, the fixed ones first."""
        n_fixed = min(self.fixed, len(self.columns))
        order = [*range(n_fixed), *range(n_fixed + self.first_column, len(self.columns))]
        if self._total(widths, order) <= self._limit(cut=False):
            return order
        while len(order) > 1 and self._total(widths, order) > self._limit(cut=True):
            order.pop()
        return order

    def _shown_columns(self) -> list[int]:
        """Return the columns on screen, as they were last measured."""
        if self._shown is None:
            self._measure()
        return self._shown or []

    def _resize_content(self) -> None:
        self.virtual_size = Size(self._room.width, len(self._lines) + 1)

    def on_resize(self) -> None:
        """Fit the columns to the new width."""
        self._resize_content()
        self.redraw()
        self._scroll_to_cursor()

    # --- drawing

    def notify_style_update(self) -> None:
        """Take the colours of the theme that is on now."""
        super().notify_style_update()
        self._ink = None
        self._styles.clear()
        self._strips.clear()

    def watch_scroll_y(self, old_value: float, new_value: float) -> None:
        """Measure and ask for the rows that came into view."""
        super().watch_scroll_y(old_value, new_value)
        if round(old_value) != round(new_value):
            self._measure()
            self._ask_for_missing()

    def _ask_for_missing(self) -> None:
        missing = [index for index in self._visible_rows() if self._lines.line(index) is None]
        if missing:
            self.post_message(self.Wanted(self, missing[0], missing[-1] + 1))

    def render_line(self, y: int) -> Strip:
        """Draw one line of the screen: the header, a row, a line of the state text, or nothing."""
        width = self._room.width
        if width != self._measured_width:
            self._strips.clear()
            self._measure()
        if y == 0:
            return self._header() if self.columns and not self.state_text else self._blank(width)
        if self.state_text:
            return self._state_line(y, width)
        index = self.scroll_offset.y + y - 1
        if index >= len(self._lines):
            return self._blank(width)
        is_cursor = index == self.cursor
        strip = self._strips.get((index, is_cursor))
        if strip is None:
            if len(self._strips) > 2000:
                self._strips.clear()
            strip = self._strips[index, is_cursor] = self._row(index, is_cursor)
        return strip

    def _blank(self, width: int) -> Strip:
        return Strip.blank(width, self.rich_style)

    def _style(self, tone: str, state: int) -> Style:
        """Return the style of a tone in a row's state: 0 plain, 1 cursor with focus, 2 cursor without."""
        style = self._styles.get((tone, state))
        if style is None:
            if self._ink is None:
                self._ink = Ink.of(self.app)
            style = self._ink.ground(self.rich_style, state) + self._ink.tone(tone)
            self._styles[tone, state] = style
        return style

    def _row(self, index: int, is_cursor: bool) -> Strip:
        line = self._lines.line(index)
        key = self._lines.key(index)
        state = 0 if not is_cursor else 1 if self.has_focus else 2
        segments = [
            Segment("▌" if is_cursor else " ", self._style("accent", state)),
            Segment(*self._gutter_mark(key, state)),
        ]
        if line is None:
            segments.append(Segment("…", self._style("faint", state)))
        elif line.heading:
            segments.extend(self._heading(line, state))
        else:
            segments.extend(self._cells(line, state))
        return self._finish(segments, self._style("", state))

    def _gutter_mark(self, key: str, state: int) -> tuple[str, Style]:
        if key == self.pinned:
            return "▣", self._style("accent", state)
        if key in self.marked:
            return "◆", self._style(self.marked[key], state)
        return " ", self._style("", state)

    def _cells(self, line: Line, state: int) -> list[Segment]:
        segments, plain = [], self._style("", state)
        for at in self._shown_columns():
            if at >= len(line.cells):
                break
            column, cell = self.columns[at], line.cells[at]
            tone = "struck" if line.struck and at == 0 else cell.tone
            segments += self._cell(cell, tone, self._widths[column.key], column.align, state)
            segments.append(Segment(" " * GAP, plain))
        return segments

    def _cell(self, cell: Cell, tone: str, width: int, align: str, state: int) -> list[Segment]:
        style = self._style(tone, state)
        left = width - cell_len(cell.tail)
        if tone == "struck":
            text = fit(cell.text, min(width, cell_len(cell.text)))
            return [Segment(text, style), Segment(" " * (width - cell_len(text)), self._style("", state))]
        if not cell.tail or cell_len(cell.text) > left:
            return [Segment(fit(cell.text, width, align), style)]
        if align == "right":
            return [Segment(fit(cell.text, left, align), style), Segment(cell.tail, self._style(cell.tail_tone, state))]
        rest = width - cell_len(cell.text)
        return [Segment(cell.text, style), Segment(fit(cell.tail, rest), self._style(cell.tail_tone, state))]

    def _heading(self, line: Line, state: int) -> list[Segment]:
        segments = []
        for at in self._shown_columns():
            if at >= len(line.cells):
                break
            column, cell = self.columns[at], line.cells[at]
            segments += self._cell(cell, cell.tone or "strong", self._widths[column.key], column.align, state)
            segments.append(Segment(" " * GAP, self._style("", state)))
        return segments

    def _header(self) -> Strip:
        style, active = self._style("muted", 0), self._style("primary", 0)
        segments = [Segment(" " * GUTTER, style)]
        for at in self._shown_columns():
            column = self.columns[at]
            is_sorted = column.key == self.sorting.column
            title = column.title + (" ▼" if self.sorting.descending else " ▲") * is_sorted
            segments.append(Segment(fit(title, self._widths[column.key], column.align), active if is_sorted else style))
            segments.append(Segment(" " * GAP, style))
        return self._finish(segments, style, more=self._is_cut())

    def _is_cut(self) -> bool:
        return bool(self.columns) and self._shown_columns()[-1] < len(self.columns) - 1

    def _finish(self, segments: list[Segment], style: Style, *, more: bool = False) -> Strip:
        strip = Strip(segments).adjust_cell_length(self._room.width, style)
        if more:
            strip = Strip.join([strip.crop(0, self._room.width - 2), Strip([Segment(" ›", self._style("accent", 0))])])
        return strip

    def _state_line(self, y: int, width: int) -> Strip:
        top = max(1, (self._room.height - len(self.state_text)) // 2)
        if not top <= y < top + len(self.state_text):
            return self._blank(width)
        cell = self.state_text[y - top]
        text = fit(cell.text, min(width, cell_len(cell.text)))
        left = (width - cell_len(text)) // 2
        strip = Strip([Segment(" " * left, self._style("", 0)), Segment(text, self._style(cell.tone, 0))])
        return strip.adjust_cell_length(width, self._style("", 0))

    # --- moving

    def _clamp(self, index: int) -> int:
        return max(0, min(index, len(self._lines) - 1))

    def validate_cursor(self, cursor: int) -> int:
        """Keep the cursor on a row."""
        return self._clamp(cursor)

    def watch_cursor(self, before: int, after: int) -> None:
        """Draw the two rows that changed, scroll when the new one is not in view."""
        if before == after:
            return
        for index in (before, after):
            self._refresh_row(index)
        self._scroll_to_cursor()
        self.post_message(self.Highlighted(self, self.cursor_key))

    def _refresh_row(self, index: int) -> None:
        line = index - self.scroll_offset.y + 1
        if 0 < line < self._room.height:
            self.refresh(Region(0, line, self._room.width, 1))

    def _scroll_to_cursor(self) -> None:
        height = max(1, self._room.height - 1)
        top = self.scroll_offset.y
        if self.cursor < top:
            self.scroll_to(y=self.cursor, animate=False, force=True)
        elif self.cursor >= top + height:
            self.scroll_to(y=self.cursor - height + 1, animate=False, force=True)

    def watch_marked(self) -> None:
        """Draw the marks."""
        self._strips.clear()

    def watch_pinned(self) -> None:
        """Draw the pin."""
        self._strips.clear()

    def watch_has_focus(self, value: bool) -> None:
        """Draw the cursor as it looks with or without focus."""
        super().watch_has_focus(value)
        self._strips = {at: strip for at, strip in self._strips.items() if not at[1]}
        self._refresh_row(self.cursor)

    def check_action(self, action: str, parameters: tuple[object, ...]) -> bool | None:
        """Open is offered only where a row can be opened."""
        return action != "choose" or (self.opens and self.n_rows > 0)

    def action_move(self, rows: int) -> None:
        """Move the cursor down by `rows`."""
        self.cursor += rows

    def action_page(self, pages: int) -> None:
        """Move the cursor by whole screens."""
        self.cursor += pages * max(1, self._room.height - 2)

    def action_end(self, last: bool) -> None:
        """Move the cursor to the first or the last row."""
        self.cursor = len(self._lines) - 1 if last else 0

    def action_sideways(self, columns: int) -> None:
        """Scroll the columns that are not fixed."""
        if columns > 0 and not self._is_cut():
            return
        limit = max(0, len(self.columns) - self.fixed - 1)
        self.first_column = max(0, min(self.first_column + columns, limit))
        self.redraw()

    def action_choose(self) -> None:
        """Open the row under the cursor."""
        if self.cursor_key is not None:
            self.post_message(self.Chosen(self, self.cursor_key))

    def on_click(self, event: events.Click) -> None:
        """A click puts the cursor there, a double click opens, a click on a title sorts."""
        if event.y == 0:
            column = self._column_at(event.x)
            if column is not None and column.sortable:
                self.post_message(self.HeaderClicked(self, column.key))
            return
        index = self.scroll_offset.y + event.y - 1
        if index < len(self._lines):
            self.cursor = index
            if event.chain == 2 and self.opens:
                self.action_choose()

    def _column_at(self, x: int) -> Column | None:
        left = GUTTER
        for at in self._shown_columns():
            column = self.columns[at]
            left += self._widths[column.key] + GAP
            if x < left:
                return column
        return None

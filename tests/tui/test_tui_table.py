"""The table draws what is on screen and nothing else, and the cursor stays on its row."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from textual.app import App, ComposeResult
from textual.pilot import Pilot
from tui_screen_text import screen_text

from tui.widgets.table import Cell, Column, Line, ListLines, Sorting, Table

COLUMNS = (
    Column("name", "Name", minimum=6, maximum=20, weight=1, sortable=True),
    Column("a", "Alpha", align="right", minimum=6),
    Column("b", "Beta", minimum=10),
    Column("c", "Gamma", minimum=10),
)


def line(key: str) -> Line:
    return Line(key, (Cell(f"run {key}"), Cell(key, "ok", " @1"), Cell("beta"), Cell("gamma")))


class Paged:
    """A hundred thousand rows of which only those that were asked for are there."""

    def __init__(self, n_rows: int) -> None:
        self.n_rows = n_rows
        self.loaded: set[int] = set()
        self.looked_at: set[int] = set()

    def __len__(self) -> int:
        return self.n_rows

    def line(self, index: int) -> Line | None:
        self.looked_at.add(index)
        return line(str(index)) if index in self.loaded else None

    def key(self, index: int) -> str:
        return str(index)

    def index(self, key: str) -> int | None:
        return int(key)


class Host(App[None]):
    def __init__(self) -> None:
        super().__init__()
        self.said: list[object] = []

    def compose(self) -> ComposeResult:
        yield Table(COLUMNS, opens=True)

    def on_table_wanted(self, message: Table.Wanted) -> None:
        self.said.append(("wanted", message.first, message.last))

    def on_table_chosen(self, message: Table.Chosen) -> None:
        self.said.append(("chosen", message.key))

    def on_table_header_clicked(self, message: Table.HeaderClicked) -> None:
        self.said.append(("header", message.column))


@asynccontextmanager
async def table(size: tuple[int, int] = (60, 12)) -> AsyncIterator[tuple[Host, Table, Pilot[None]]]:
    app = Host()
    async with app.run_test(size=size) as pilot:
        await pilot.pause()
        yield app, app.query_one(Table), pilot


async def test_the_cursor_stays_on_its_row_when_the_rows_change() -> None:
    async with table() as (_, shown, pilot):
        shown.show(ListLines([line(k) for k in "abcdef"]))
        shown.move_to("d")
        shown.show(ListLines([line(k) for k in "zydxa"]))
        await pilot.pause()
        assert (shown.cursor_key, shown.cursor) == ("d", 2)


async def test_a_row_that_is_gone_leaves_the_cursor_where_it_was() -> None:
    async with table() as (_, shown, pilot):
        shown.show(ListLines([line(k) for k in "abcdef"]))
        shown.move_to("d")
        shown.show(ListLines([line(k) for k in "ab"]))
        await pilot.pause()
        assert shown.cursor_key == "b"


async def test_only_the_rows_on_screen_are_looked_at() -> None:
    async with table() as (app, shown, pilot):
        rows = Paged(100_000)
        shown.show(rows)
        await pilot.press("end")
        await pilot.pause()
        assert shown.cursor == 99_999
        assert len(rows.looked_at) < 60
        assert app.said[-1] == ("wanted", 99_989, 100_000)
        rows.loaded |= set(range(99_900, 100_000))
        shown.redraw()
        await pilot.pause()
        assert "run 99999" in screen_text(app)


async def test_keys_move_the_cursor_and_the_view_follows() -> None:
    async with table() as (app, shown, pilot):
        shown.show(ListLines([line(str(k)) for k in range(50)]))
        await pilot.press("j", "down", "k", "pagedown", "pagedown")
        assert shown.cursor == 21
        await pilot.press("home", "G", "ctrl+u")
        assert shown.cursor == 39
        await pilot.pause()
        assert "run 39" in screen_text(app)


async def test_columns_that_do_not_fit_are_reached_sideways_and_never_cut() -> None:
    async with table((34, 8)) as (app, shown, pilot):
        shown.show(ListLines([line("a")]))
        await pilot.pause()
        text = screen_text(app)
        assert "Gamma" not in text
        assert "›" in text.splitlines()[0]
        await pilot.press("l", "l")
        await pilot.pause()
        assert "Gamma" in screen_text(app)
        assert "run a" in screen_text(app)
        await pilot.press("left", "h", "h")
        await pilot.pause()
        assert shown.first_column == 0


async def test_the_sign_that_more_follows_covers_no_title_and_names_get_the_room_that_is_left() -> None:
    async with table((30, 8)) as (app, shown, pilot):
        shown.show(ListLines([Line("a", (Cell("a long run name"), Cell("1"), Cell("2"), Cell("3")))]))
        await pilot.pause()
        head, row = screen_text(app).splitlines()[:2]
        assert head.split() == ["Name", "Alpha", "›"]
        assert "a long run name" in row


async def test_a_click_chooses_a_row_two_open_it_and_a_title_sorts() -> None:
    async with table() as (app, shown, pilot):
        shown.show(ListLines([line(k) for k in "abc"]), sorting=Sorting("name", True))
        await pilot.click(Table, offset=(5, 2))
        assert shown.cursor_key == "b"
        await pilot.click(Table, offset=(5, 3), times=2)
        await pilot.click(Table, offset=(4, 0))
        await pilot.pause()
        assert ("chosen", "c") in app.said
        assert ("header", "name") in app.said
        assert "▼" in screen_text(app)


async def test_enter_opens_and_marks_and_the_pin_are_drawn() -> None:
    async with table() as (app, shown, pilot):
        shown.show(ListLines([line(k) for k in "abc"]))
        shown.marked, shown.pinned = {"b": "series:1"}, "c"
        await pilot.press("enter")
        await pilot.pause()
        text = screen_text(app)
        assert ("chosen", "a") in app.said
        assert "◆run b" in text
        assert "▣run c" in text


async def test_wide_characters_do_not_push_the_columns_out_of_line() -> None:
    async with table((60, 8)) as (_, shown, pilot):
        names = ["日本語モデル" * 4, "plain", "e\u0301" * 30, "שלום", "👩‍🔬 lab"]
        shown.show(ListLines([Line(n, (Cell(n), Cell("x"), Cell("BETA"), Cell("g"))) for n in names]))
        await pilot.pause()
        strips = [shown.render_line(y) for y in range(1, 6)]
        assert {strip.cell_length for strip in strips} == {shown.scrollable_content_region.width}


async def test_a_state_is_shown_instead_of_rows() -> None:
    async with table((40, 9)) as (app, shown, pilot):
        shown.show_state(Cell("nothing here", "muted"), Cell("really"))
        await asyncio.sleep(0)
        await pilot.pause()
        assert "nothing here" in screen_text(app)
        assert shown.cursor_key is None

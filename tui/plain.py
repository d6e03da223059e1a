"""The dashboard printed once, as plain text, for whoever has no terminal: a pipe, a log, the end of a script."""

from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from registry import clock
from tui import columns
from tui.marks import SEVERITY, mark
from tui.snapshots import RunsIndex, RunsQuery, Status, Store
from tui.text import clean, count

if TYPE_CHECKING:
    from collections.abc import Iterator

MAX_RUNS = 20
MAX_ALERTS = 10
_STYLES = {"ok": "green", "bad": "red", "warn": "yellow", "live": "cyan", "accent": "yellow", "muted": "", "faint": ""}


def print_dashboard(url: str | None, console: Console | None = None) -> None:
    """Print what the first screen shows: the newest runs, what is deployed, the alerts. Raises NotFoundError."""
    console = console or Console(highlight=False)
    store = Store(url)
    try:
        store.poll()
        index = store.runs_index(RunsQuery())
        status = store.status()
        sparks = store.sparks(index.ids[:MAX_RUNS], [index.primary] if index.primary else [])
    finally:
        store.close()
    console.print(_runs(index, sparks))
    if len(index.ids) > MAX_RUNS:
        console.print(f"{MAX_RUNS} of {count(len(index.ids), 'run')}; `registry ls` lists all of them")
    for line in _alerts(status):
        console.print(line, soft_wrap=True)


def _runs(index: RunsIndex, sparks: dict[tuple[str, str], str]) -> Table:
    keys = columns.default_keys(index.primary, index.metrics, index.n_experiments)
    title = Text(f"HOLDFAST  {count(index.n_total, 'run')}", style="bold")
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
    for key in keys:
        found = columns.column(key)
        table.add_column(Text(found.title), justify="right" if found.align == "right" else "left", no_wrap=True)
    now = clock.now()
    for run_id in index.ids[:MAX_RUNS]:
        run = index.first_page.get(run_id)
        if run is not None:
            cells = columns.cells(run, keys, now, sparks)
            table.add_row(*(Text(cell.text, style=_STYLES.get(cell.tone, "")) + cell.tail for cell in cells))
    return table


def _alerts(status: Status) -> "Iterator[Text]":
    if not status.alerts:
        yield Text("✓ nothing to worry about", style="green")
    for alert in status.alerts[:MAX_ALERTS]:
        state = mark(SEVERITY, alert.severity)
        yield Text.assemble((f"{state} ", _STYLES[state.tone]), clean(alert.message))
        yield Text(f"    {clean(alert.hint)}", style="dim")
    if len(status.alerts) > MAX_ALERTS:
        yield Text(f"and {count(len(status.alerts) - MAX_ALERTS, 'more alert')}; `registry alerts` lists all of them")

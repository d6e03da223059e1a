"""The dashboard printed once, as plain text, for whoever has no terminal: a pipe, a log, the end of a script."""

from rich import box
from rich.table import Table
from rich.text import Text

from registry import clock
from registry.cli.output import out
from tui import columns
from tui.facts import RunsIndex, RunsQuery, Status
from tui.headlines import headlines
from tui.marks import SEVERITY
from tui.snapshots import Store
from tui.text import clean, count

MAX_RUNS = 20
_STYLES = {"ok": "green", "bad": "red", "warn": "yellow", "live": "cyan", "accent": "yellow"}


def print_dashboard(url: str | None) -> None:
    """Print what the first screen shows: the newest runs and the alerts. Raises NotFoundError."""
    store = Store(url)
    try:
        store.poll()
        index, status = store.runs_index(RunsQuery()), store.status()
        sparks = store.sparks(index.ids[:MAX_RUNS], [index.trend] if index.trend else [])
    finally:
        store.close()
    out.show(_runs(index, sparks))
    if len(index.ids) > MAX_RUNS:
        out.line(f"{MAX_RUNS} of {count(len(index.ids), 'run')}; `registry ls` lists all of them", "dim")
    _alerts(status)


def _runs(index: RunsIndex, sparks: dict[tuple[str, str], str]) -> Table:
    keys = columns.default_keys(index)
    title = Text(f"HOLDFAST  {count(index.n_total, 'run')}", style="bold")
    table = Table(box=box.SIMPLE_HEAD, title=title, title_justify="left", pad_edge=False)
    for key in keys:
        found = columns.column(key)
        table.add_column(Text(found.title), justify="right" if found.align == "right" else "left", no_wrap=True)
    now = clock.now()
    for run_id in index.ids[:MAX_RUNS]:
        run = index.rows.get(run_id)
        if run is not None:
            cells = columns.cells(run, keys, now, sparks)
            table.add_row(*(Text(cell.text, style=_STYLES.get(cell.tone, "")) + cell.tail for cell in cells))
    return table


def _alerts(status: Status) -> None:
    if not status.alerts:
        out.line("✓ nothing to worry about", "green")
        return
    for severity, sentence in headlines(status.alerts):
        mark = SEVERITY[severity]
        out.line(f"{mark} {clean(sentence)}", _STYLES.get(mark.tone))
    out.line("`registry alerts` names each of them and what ends it", "dim")

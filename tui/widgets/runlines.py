"""The runs of the table as lines: ids in order, and the rows that were loaded of them."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tui import columns
from tui.widgets.table import Line

if TYPE_CHECKING:
    from registry.queries import RunSummary
    from tui.snapshots import RunsIndex

MAX_ROWS_KEPT = 4000


class RunLines:
    """Lines of a `RunsIndex`; a run whose row is not loaded yet has none."""

    def __init__(self) -> None:
        self._ids: Sequence[str] = ()
        self._at: dict[str, int] | None = None
        self._rows: dict[str, RunSummary] = {}
        self._keys: tuple[str, ...] = ()
        self._now = 0.0
        self._lines: dict[str, Line] = {}
        self.sparks: dict[tuple[str, str], str] = {}

    def following(self, index: "RunsIndex", keys: tuple[str, ...], now: float) -> "RunLines":
        """Return the lines of a newer index; rows known before are shown until they are read again."""
        after = RunLines()
        after._ids, after._keys, after._now = index.ids, keys, now
        after._rows = {**(self._rows if len(self._rows) < MAX_ROWS_KEPT else {}), **index.first_page}
        after.sparks = self.sparks
        return after

    def __len__(self) -> int:
        return len(self._ids)

    def key(self, index: int) -> str:
        """Return the id of the run at `index`."""
        return self._ids[index]

    def index(self, key: str) -> int | None:
        """Return where a run stands, None when it does not match any more."""
        if self._at is None:
            self._at = {run_id: at for at, run_id in enumerate(self._ids)}
        return self._at.get(key)

    def row(self, run_id: str) -> "RunSummary | None":
        """Return the loaded row of a run."""
        return self._rows.get(run_id)

    def missing(self, first: int, last: int) -> tuple[str, ...]:
        """Return the ids from `first` to `last` whose rows are not loaded."""
        return tuple(run_id for run_id in self._ids[first:last] if run_id not in self._rows)

    def add(self, rows: "dict[str, RunSummary]") -> None:
        """Take loaded rows."""
        self._rows.update(rows)
        for run_id in rows:
            self._lines.pop(run_id, None)

    def add_sparks(self, sparks: dict[tuple[str, str], str]) -> None:
        """Take trends; those known before are shown until they are read again."""
        self.sparks.update(sparks)
        for run_id, _ in sparks:
            self._lines.pop(run_id, None)

    def line(self, index: int) -> Line | None:
        """Return the line of the run at `index`, None while it is being loaded."""
        run_id = self._ids[index]
        line = self._lines.get(run_id)
        if line is None and (run := self._rows.get(run_id)) is not None:
            cells = columns.cells(run, self._keys, self._now, self.sparks)
            line = self._lines[run_id] = Line(run_id, cells, struck=run.invalid is not None)
        return line

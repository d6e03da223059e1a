"""The runs of the table as lines: keys in order (runs, and headings of groups), and the rows loaded of them."""

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

from tui import columns
from tui.widgets.table import Line

if TYPE_CHECKING:
    from registry.queries import RunSummary
    from tui.facts import Group, RunsIndex

MAX_ROWS_KEPT = 4000
HEADING = "group:"


class RunLines:
    """Lines of a `RunsIndex`; a run whose row is not loaded yet has none."""

    def __init__(self) -> None:
        self._keys: Sequence[str] = ()
        self._at: dict[str, int] | None = None
        self._rows: dict[str, RunSummary] = {}
        self._groups: dict[str, Group] = {}
        self._columns: tuple[str, ...] = ()
        self._now = 0.0
        self._folded: frozenset[str] = frozenset()
        self._lines: dict[str, Line] = {}
        self.sparks: dict[tuple[str, str], str] = {}

    def following(
        self, index: "RunsIndex", column_keys: tuple[str, ...], now: float, folded: Iterable[str] = ()
    ) -> "RunLines":
        """Return the lines of a newer index; rows known before are shown until they are read again."""
        after = RunLines()
        after._columns, after._now, after._folded = column_keys, now, frozenset(folded)
        after._groups = {HEADING + group.label: group for group in index.groups}
        after._keys = index.ids if not index.groups else after._grouped_keys()
        after._rows = {**(self._rows if len(self._rows) < MAX_ROWS_KEPT else {}), **index.rows}
        after.sparks = self.sparks
        return after

    def _grouped_keys(self) -> list[str]:
        keys: list[str] = []
        for heading, group in self._groups.items():
            keys.append(heading)
            if heading not in self._folded:
                keys += group.ids
        return keys

    def __len__(self) -> int:
        return len(self._keys)

    def key(self, index: int) -> str:
        """Return the id of the run, or the key of the heading, at `index`."""
        return self._keys[index]

    def index(self, key: str) -> int | None:
        """Return where a run stands, None when it does not match any more."""
        if self._at is None:
            self._at = {found: at for at, found in enumerate(self._keys)}
        return self._at.get(key)

    def row(self, run_id: str) -> "RunSummary | None":
        """Return the loaded row of a run."""
        return self._rows.get(run_id)

    def members(self, heading: str) -> tuple[str, ...]:
        """Return the runs of a group."""
        return self._groups[heading].ids

    def missing(self, first: int, last: int) -> tuple[str, ...]:
        """Return the runs from `first` to `last` whose rows are not loaded."""
        return tuple(key for key in self._keys[first:last] if key not in self._rows and key not in self._groups)

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
        """Return the line at `index`, None while it is being loaded."""
        key = self._keys[index]
        line = self._lines.get(key)
        if line is None and (group := self._groups.get(key)) is not None:
            cells = columns.group_cells(group, self._columns, folded=key in self._folded)
            line = self._lines[key] = Line(key, cells, heading=True)
        elif line is None and (run := self._rows.get(key)) is not None:
            cells = columns.cells(run, self._columns, self._now, self.sparks)
            line = self._lines[key] = Line(key, cells, struck=run.invalid is not None)
        return line

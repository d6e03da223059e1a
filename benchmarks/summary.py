"""All results in one table: our figure, the peer's, the ratio, the goal, and whether it is reached. What was measured
against several peers stands beside the strongest of them.
"""

import json
from pathlib import Path

from harness import RESULTS, Row, show

FIELDS = ("what", "ours", "unit", "goal", "peer", "theirs")
MORE_IS_BETTER = ("/s", "rate")


def read(path: Path) -> list[Row]:
    """Return the rows of a result file; one without rows has none."""
    found = json.loads(path.read_text())
    return [Row(**{name: row[name] for name in FIELDS}) for row in found.get("rows", [])]


def beside_the_strongest(rows: list[Row]) -> list[Row]:
    """Return one row for each thing that was measured: that of the peer who comes nearest to us, or beats us."""
    chosen: dict[tuple[str, str], Row] = {}
    for row in rows:
        before = chosen.get((row.what, row.goal))
        if before is None or _strength(row) > _strength(before):
            chosen[row.what, row.goal] = row
    return list(chosen.values())


def _strength(row: Row) -> float:
    if row.theirs is None:
        return float("-inf")
    return row.theirs if any(word in row.unit for word in MORE_IS_BETTER) else -row.theirs


if __name__ == "__main__":
    rows = [(path.stem, row) for path in sorted(RESULTS.glob("*.json")) for row in beside_the_strongest(read(path))]
    show("every benchmark, beside the strongest peer", rows)
    with_goal = [row.reached for _, row in rows if row.reached is not None]
    print(f"{sum(with_goal)} of {len(with_goal)} goals reached")
    for name, row in rows:
        if row.reached is False:
            print(f"  not reached: {name}: {row.what}: {row.ours:,.4g} {row.unit} (goal {row.goal})")

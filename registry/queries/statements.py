"""How the read side asks: plain SQL in, rows out; many runs are asked for in slices."""

from collections.abc import Iterable, Sequence
from typing import Any

from sqlalchemy import bindparam, text
from sqlmodel import Session

_IDS_PER_QUERY = 5_000


def all_rows(session: Session, sql: str, **values: Any) -> Sequence[Any]:
    """Return every row of a query."""
    return session.connection().execute(text(sql), values).all()


def _grouped(rows: Iterable[Any]) -> dict[str, list[Any]]:
    groups: dict[str, list[Any]] = {}
    for row in rows:
        groups.setdefault(row.run_id, []).append(row)
    return groups


def per_run(session: Session, sql: str, ids: Sequence[str], **values: Any) -> dict[str, list[Any]]:
    """Run a query that holds `run_id IN :ids` for all ids, in slices, and group its rows by run."""
    statement = text(sql).bindparams(bindparam("ids", expanding=True))
    if ":names" in sql:
        statement = statement.bindparams(bindparam("names", expanding=True))
    rows: list[Any] = []
    for start in range(0, len(ids), _IDS_PER_QUERY):
        rows += session.connection().execute(statement, {"ids": ids[start : start + _IDS_PER_QUERY], **values})
    return _grouped(rows)


def finite(value: float | None) -> float | None:
    """Return the value, None for one that JSON cannot hold."""
    return value if value is not None and value - value == 0.0 else None

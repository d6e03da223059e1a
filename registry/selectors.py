"""What a person types for RUN: an id or its start, a name, `experiment/name`, `@target`, `latest`, `best:METRIC`."""

from sqlalchemy import text
from sqlmodel import Session, select

from registry.errors import NotFoundError, UsageError
from registry.queries import RunFilter, list_runs, metric_goal
from registry.settings import Settings
from registry.tables import RunRow

_MIN_PREFIX = 2


def select_run(session: Session, words: str, *, deleted: bool = False) -> RunRow:
    """Return the run that `words` name.

    Raises NotFoundError when there is none, UsageError when several are meant (with their ids).
    """
    run_id = _select(session, words.strip(), deleted)
    run = session.get(RunRow, run_id)
    assert run is not None
    return run


def select_runs(session: Session, words: list[str]) -> list[RunRow]:
    """Return the runs that the words name, in their order, each once."""
    found = {run.id: run for run in (select_run(session, word) for word in words)}
    return list(found.values())


def _select(session: Session, words: str, deleted: bool) -> str:
    if words.startswith("@"):
        return _deployed(session, words[1:])
    if words == "latest":
        return _first(session, "SELECT id FROM run WHERE deleted_at IS NULL ORDER BY started_at DESC, id LIMIT 1")
    if words.startswith("best:"):
        return _best(session, words.removeprefix("best:"))
    gone = "IS NOT NULL" if deleted else "IS NULL"
    by_name = (
        f"SELECT r.id FROM run r JOIN experiment e ON e.id = r.experiment_id WHERE r.deleted_at {gone}"
        " AND (r.name = :words OR e.name || '/' || r.name = :words) ORDER BY r.started_at DESC"
    )
    queries = [f"SELECT id FROM run WHERE deleted_at {gone} AND id = :words", by_name]
    if len(words) >= _MIN_PREFIX:
        queries.append(
            f"SELECT id FROM run WHERE deleted_at {gone} AND substr(id, 1, {len(words)}) = :words ORDER BY id"
        )
    for query in queries:
        found = [row.id for row in session.connection().execute(text(query), {"words": words})]
        if len(found) == 1:
            return str(found[0])
        if found:
            raise _ambiguous(session, words, found)
    raise _unknown(session, words, deleted)


def _ambiguous(session: Session, words: str, found: list[str]) -> UsageError:
    shown = ", ".join(found[:6]) + (f" and {len(found) - 6} more" if len(found) > 6 else "")
    return UsageError(f"{words!r} means {len(found)} runs: {shown}", hint="write more of the id")


def _unknown(session: Session, words: str, deleted: bool) -> NotFoundError:
    other = session.exec(select(RunRow).where((RunRow.id == words) | (RunRow.name == words))).first()
    if other is not None and not deleted:
        return NotFoundError(f"run {words!r} was removed", hint=f"registry restore-run {other.id}")
    if not words:
        return NotFoundError("no run named", hint="`registry ls` shows what there is")
    return NotFoundError(f"no run {words!r}", hint="`registry ls` shows what there is")


def _first(session: Session, query: str) -> str:
    found = session.connection().execute(text(query)).scalar()
    if found is None:
        raise NotFoundError("no runs yet", hint="registry run -- python train.py")
    return str(found)


def _deployed(session: Session, target: str) -> str:
    query = text("SELECT run_id FROM deployment WHERE target = :target AND until IS NULL")
    found = session.connection().execute(query, {"target": target}).scalar()
    if found is None:
        raise NotFoundError(f"nothing is deployed to {target!r}", hint="`registry deployments` shows the targets")
    return str(found)


def _best(session: Session, metric: str) -> str:
    if metric_goal(session, metric) is None:
        raise UsageError(f"{metric!r} has no goal, so none is best", hint="run.define_metric(name, goal='min')")
    page = list_runs(session, Settings(), RunFilter(), sort_by=metric, limit=1, metrics=[metric])
    if not page.rows or not page.rows[0].metrics:
        raise NotFoundError(f"no run has the metric {metric!r}")
    return page.rows[0].id

"""The reader's side in Python: `registry.open()` gives the record as plain values in the JSON contract's shapes."""

from types import TracebackType
from typing import Any

from registry import queries
from registry.catchup import catch_up
from registry.database import Database, open_database
from registry.deployments import live_deployments
from registry.selectors import select_run


class Registry:
    """An open registry. Use it as a context manager; every call sees what was recorded up to then."""

    def __init__(self, database: Database) -> None:
        self.database = database

    def __enter__(self) -> "Registry":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give the connections back."""
        self.database.close()

    def runs(self, **wanted: Any) -> list[dict[str, Any]]:
        """Return the runs, newest first; keywords as of `registry.queries.RunFilter` (experiment, statuses, tags …)."""
        catch_up(self.database)
        with self.database.read() as session:
            page = queries.list_runs(session, self.database.settings, queries.RunFilter(**wanted))
            return [run.as_json() for run in page.rows]

    def run(self, words: str) -> dict[str, Any]:
        """Return everything about one run. Raises NotFoundError, or UsageError when several are meant."""
        catch_up(self.database)
        with self.database.read() as session:
            found = select_run(session, words)
            return queries.show_run(session, self.database.settings, found.id).as_json()

    def history(self, words: str, metric: str) -> list[tuple[int | None, float | None]]:
        """Return the `(step, value)` points of a metric in the order they were logged; None stands for NaN."""
        catch_up(self.database)
        with self.database.read() as session:
            found = select_run(session, words)
            return [(point.step, point.value) for point in queries.history(session, found.id, metric)]

    def deployments(self) -> list[dict[str, Any]]:
        """Return what serves each target now, in the shape of `registry deployments --json`."""
        with self.database.read() as session:
            return live_deployments(session, self.database.settings)

    def data_version(self) -> int:
        """Return a number that changes whenever another process has written; costs microseconds."""
        return self.database.data_version()


def open(url: str | None = None) -> Registry:
    """Open the registry for reading (default: REGISTRY_DB, else the nearest runs.db upward)."""
    return Registry(open_database(url))

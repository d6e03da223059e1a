"""The only module that asks the registry. Every method runs in a worker thread and returns something frozen.

The store behind it (sqlmodel and all) is imported on the first question, after the first picture is on the screen.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from registry import clock, places
from registry.errors import HoldfastError, NotFoundError, RefusedError, UsageError
from tui.arranging import (
    charted,
    common_metrics,
    common_primary,
    common_trend,
    differing,
    grouped,
    is_machine,
    log_lines,
    over_epochs,
)
from tui.charts import Curve
from tui.columns import SORTS
from tui.facts import (
    Compared,
    Custody,
    DatasetSnapshot,
    Live,
    LiveRun,
    LogTail,
    Names,
    Opened,
    Preview,
    RemoteState,
    RunsIndex,
    RunsQuery,
    Status,
)
from tui.series import Sketches, curve_of
from tui.text import number, sparkline
from tui.theme import run_tones
from tui.widgets.chart import Figure

if TYPE_CHECKING:
    from registry.alert import Alert
    from registry.database import Database
    from registry.queries import RunDetail, RunSummary

PAGE_ROWS = 100
N_SPARK = 12
MAX_CUSTODY = 1000
MAX_GROUPED = 2000
MAX_LIVE = 100
LOG_TAIL_BYTES = 256 * 1024
NO_OUTPUT = "no output was kept; registry run -- COMMAND keeps it"


class Store:
    """The registry as the dashboard asks it; one object for the whole session, used by several threads."""

    def __init__(self, url: str | None = None, *, view_only: bool = False) -> None:
        self.url = places.registry_url(url)
        self.view_only = view_only
        self._db: Database | None = None
        self._inode: int | None = None
        self._sketches = Sketches()
        self.free_bytes: dict[str, int | None] = {}
        """How much room a remote had when it was last looked at in this session."""

    # --- opening and noticing

    @property
    def is_open(self) -> bool:
        """Whether the registry was opened and can be asked."""
        return self._db is not None

    @property
    def db(self) -> "Database":
        """The open registry. Raises NotFoundError before `poll` opened it."""
        if self._db is None:
            raise NotFoundError(f"no registry at {self.url}")
        return self._db

    def for_change(self) -> "Database":
        """Return the open registry to somebody who will change it. Raises RefusedError where one may only look."""
        if self.view_only:
            raise RefusedError("this dashboard may only look", hint="registry tui, or registry web --allow-actions")
        return self.db

    def poll(self) -> int:
        """Open the registry if need be, read what processes wrote since, and return a number that changes with it.

        Raises HoldfastError while the registry is missing, locked or unreadable; asking again later is right.
        """
        from registry.catchup import catch_up

        self._check_file()
        if self._db is None:
            self._open()
        try:
            catch_up(self.db)
            return self.db.data_version()
        except HoldfastError:
            self.close()
            raise

    def opened(self) -> Opened:
        """Return where the registry is and what it says about keys."""
        return Opened(self.url, dict(self.db.settings.keys))

    def close(self) -> None:
        """Give the connections back and forget what was read."""
        self._sketches.clear()
        if self._db is not None:
            self._db.close()
            self._db = None

    def _open(self) -> None:
        from registry.database import open_database

        journals_wait = not places.is_server(self.url) and places.runs_folder(self.url).is_dir()
        self._db = open_database(self.url, create=journals_wait, readonly=self._is_readonly())
        self._inode = self._file_inode()

    def _is_readonly(self) -> bool:
        path = Path(self.url).expanduser()
        if places.is_server(self.url) or not path.exists():
            return False
        return not (os.access(path, os.W_OK) and os.access(path.parent, os.W_OK))

    def _check_file(self) -> None:
        """Let go of a file that is no longer the one at its path: it was deleted, or another was put there."""
        if places.is_server(self.url):
            return
        if self._db is not None and self._file_inode() != self._inode:
            self.close()

    def _file_inode(self) -> int | None:
        try:
            return os.stat(Path(self.url).expanduser()).st_ino
        except OSError:
            return None

    # --- what every screen shows

    def status(self) -> Status:
        """Return the alerts, the most urgent first, and how many runs are running."""
        from registry.alerts import current_alerts
        from registry.queries import totals

        alerts = current_alerts(self.db)
        with self.db.read() as session:
            totals_now = totals(session)
        return Status(tuple(alerts), totals_now["running"], totals_now["runs"])

    # --- runs

    def runs_index(self, query: RunsQuery, metrics: Sequence[str] | None = None) -> RunsIndex:
        """Return the runs that match, in order, with the rows of the first page, or in groups with all rows.

        `metrics` limits which metrics the rows hold (None: all). Raises UsageError for a filter that says nothing, or
        for groups of more than MAX_GROUPED runs.
        """
        from registry import queries

        with self.db.read() as session:
            wanted = queries.RunFilter(expression=query.filter)
            ids = queries.run_ids(session, wanted, sort_by=query.sort_by, descending=query.descending)
            is_metric = query.sort_by not in SORTS and not query.sort_by.startswith(("params.", "last:"))
            goal = queries.metric_goal(session, query.sort_by) if is_metric else None
            if query.group and len(ids) > MAX_GROUPED:
                raise UsageError(
                    f"{len(ids):,} runs are too many to group", hint=f"filter them first (/), down to {MAX_GROUPED:,}"
                )
            first = queries.RunFilter(ids=tuple(ids if query.group else ids[:PAGE_ROWS]))
            page = queries.list_runs(session, self.db.settings, first, metrics=metrics)
        rows = {row.id: row for row in page.rows}
        return RunsIndex(
            query, tuple(ids), page.n_total, common_metrics(page.rows), len({row.experiment for row in page.rows}),
            common_primary(page.rows), common_trend(page.rows), goal, rows, grouped(rows, ids, query.group),
        )  # fmt: skip

    def names(self) -> Names:
        """Return every metric (the machine's last) and every parameter there is."""
        from registry import queries

        with self.db.read() as session:
            metrics = sorted((found.name for found in queries.metric_names(session)), key=is_machine)
            return Names(tuple(metrics), tuple(found.name for found in queries.param_names(session)))

    def rows(self, ids: Sequence[str], metrics: Sequence[str] | None = None) -> "dict[str, RunSummary]":
        """Return the rows of these runs by id; a run that is gone has none."""
        from registry import queries

        if not ids:
            return {}
        with self.db.read() as session:
            page = queries.list_runs(session, self.db.settings, queries.RunFilter(ids=tuple(ids)), metrics=metrics)
        return {row.id: row for row in page.rows}

    def sparks(self, ids: Sequence[str], metrics: Sequence[str]) -> dict[tuple[str, str], str]:
        """Return the trend of each metric of each run as a dozen characters, by `(run id, metric)`."""
        from registry import queries

        found = {}
        with self.db.read() as session:
            for metric in metrics:
                for run_id, values in queries.sparks(session, list(ids), metric, N_SPARK).items():
                    found[run_id, metric] = sparkline(values, N_SPARK)
        return found

    def preview(
        self, run_id: str, others: Sequence[str], metric: str | None, baseline: str | None, n_columns: int
    ) -> Preview | None:
        """Return what stands beside the table for one run, None when it is gone."""
        wanted = list(dict.fromkeys([run_id, *others, *([baseline] if baseline else [])]))
        rows = self.rows(wanted)
        if run_id not in rows:
            return None
        summary = rows[run_id]
        name = metric if metric in summary.metrics else charted(summary)
        shown = [row for row in (rows.get(key) for key in (run_id, *others)) if row is not None]
        curves = self.curves([(row.id, row.name) for row in shown], name, n_columns) if name else ()
        return Preview(run_id, name, curves, summary, differing(summary, rows.get(baseline or "")))

    def curves(
        self, runs: Sequence[tuple[str, str]], metric: str, n_columns: int, x: str = "step"
    ) -> tuple[Curve, ...]:
        """Return one metric of several `(id, label)` runs, each at most two points a column wide."""

        tones = run_tones([run_id for run_id, _ in runs])
        found = []
        with self.db.read() as session:
            for run_id, label in runs:
                sketch = self._sketches.read(session, run_id, metric, x)
                if sketch is not None:
                    found.append(curve_of(sketch, label, tones[run_id], n_columns))
        return tuple(found)

    def latest_run(self) -> str | None:
        """Return the id of the newest run."""
        from registry import queries

        with self.db.read() as session:
            ids = queries.run_ids(session)
        return ids[0] if ids else None

    def figures(self, run_id: str, names: Sequence[str], n_columns: int, x: str) -> dict[str, Figure]:
        """Return charts of a run's metrics by name. `x` is step, time or epoch (as the metric `epoch` says)."""
        summary = self.rows([run_id]).get(run_id)
        figures = {}
        for name in names:
            metric = summary.metrics.get(name) if summary else None
            if summary is None or metric is None:
                continue
            curves = self.curves([(run_id, summary.name)], name, n_columns, "step" if x == "epoch" else x)
            if x == "epoch":
                curves = over_epochs(curves, summary.metrics.get("epoch"))
            word = "best" if metric.goal else "last"
            at = f" @{metric.shown_step:,}" if metric.shown_step is not None else ""
            basis = "" if metric.basis == "measured" else f" {metric.basis}"
            figures[name] = Figure(name, f"{word} {number(metric.shown)}{at}{basis}", curves)
        return figures

    def log_tail(self, folder: str | None) -> LogTail:
        """Return the end of a run's output, without colours, progress bars as they last stood."""
        if folder is None:
            return LogTail(note=NO_OUTPUT)
        path = self.db.root / folder / places.OUTPUT_NAME
        try:
            with open(path, "rb", opener=_open_no_link) as file:
                size_bytes = file.seek(0, os.SEEK_END)
                start = max(0, size_bytes - LOG_TAIL_BYTES)
                file.seek(start)
                text = file.read().decode("utf-8", "replace")
        except FileNotFoundError:
            return LogTail(note=NO_OUTPUT)
        except OSError as error:
            return LogTail(note=f"its output cannot be read: {error.strerror}")
        return LogTail(log_lines(text), start)

    def compared(self, ids: tuple[str, ...], baseline: str | None, last: bool, only_changed: bool) -> Compared:
        """Return runs side by side, in the order of `ids`."""
        from registry import queries
        from registry.comparison import compare

        rows = self.rows(ids)
        runs = [rows[run_id] for run_id in ids if run_id in rows]
        comparison = compare(runs, baseline_id=baseline, last=last, only_changed=only_changed)
        verdicts: dict[str, dict[str, str]] = {}
        with self.db.read() as session:
            for run in runs:
                for gate in queries.gates_of(session, run.id):
                    verdicts.setdefault(f"{gate['suite']}/{gate['name']}", {})[run.id] = gate["verdict"]
        gates = {name: tuple(found.get(run.id, "") for run in runs) for name, found in sorted(verdicts.items())}
        if only_changed:
            gates = {name: found for name, found in gates.items() if len(set(found)) > 1}
        return Compared(comparison, gates, run_tones(ids), len(ids) - len(runs))

    def comparison_text(self, compared: Compared, kind: str) -> str:
        """Return a comparison as Markdown (`md`) or as CSV (`csv`)."""
        from registry.comparison import as_csv, as_markdown, plain_rows, rows_of

        if kind == "md":
            return as_markdown(*rows_of(compared.comparison, 4))
        return as_csv(*plain_rows(compared.comparison))

    def run(self, run_id: str) -> "RunDetail":
        """Return everything about one run."""
        from registry import queries

        with self.db.read() as session:
            return queries.show_run(session, self.db.settings, run_id)

    # --- alerts

    def alerts(self, acknowledged: bool) -> "tuple[Alert, ...]":
        """Return the alerts, the gravest first; acknowledged ones only when asked for."""
        from registry.alerts import current_alerts

        return tuple(current_alerts(self.db, acknowledged=acknowledged))

    # --- deploying

    def targets(self) -> tuple[str, ...]:
        """Return the targets that registry.toml names or that serve something; `production` when there is none."""
        from registry.deployments import live_deployments

        with self.db.read() as session:
            live = [row["target"] for row in live_deployments(session, self.db.settings)]
        named = [*self.db.settings.targets, *live]
        return tuple(dict.fromkeys(named)) or ("production",)

    def deployments(self) -> tuple[dict[str, Any], ...]:
        """Return every deployment there ever was, what serves now first."""
        from registry.deployments import all_deployments

        with self.db.read() as session:
            return tuple(all_deployments(session, self.db.settings))

    # --- custody

    def custody(self, everything: bool) -> Custody:
        """Return the remotes and the artifacts that lack copies, or the newest ones beside them when `everything`."""
        from registry.copies import overview, record, remotes
        from registry.queries import run_ids

        now, settings = clock.now(), self.db.settings
        with self.db.read() as session:
            held = remotes.holdings(session)
            places = [_remote(row, held.get(row.id, {})) for row in record.active_remotes(session)]
            tallies = [part for part in overview.tally(session, now, settings) if part.role in settings.policy.roles]
            ids = overview.unsafe_ids(session, now, settings, MAX_CUSTODY)
            found = overview.artifact_custody(session, ids, now, settings)
            if everything:
                newest = run_ids(session)[: MAX_CUSTODY // 4]
                artifacts = record.load_artifacts(session, run_ids=newest)
                found |= overview.custody_of(session, artifacts[:MAX_CUSTODY], now, settings)
        wanted = [item for item in found.values() if everything or (item.required and not item.safe)]
        return Custody(
            tuple(places),
            tuple(sorted(wanted, key=lambda item: (item.safe, -item.artifact.recorded_at))),
            sum(part.n_artifacts for part in tallies),
            sum(part.n_artifacts for part in tallies if part.unsafe),
            settings.policy.require_other_domain,
            dict(self.free_bytes),
        )

    def remote_names(self) -> tuple[str, ...]:
        """Return the names of the remotes in use."""
        from registry.copies.record import active_remotes

        with self.db.read() as session:
            return tuple(remote.name for remote in active_remotes(session))

    # --- data sets

    def datasets(self) -> tuple[dict[str, Any], ...]:
        """Return every data set version that is known."""
        from registry.dataset_views import list_datasets

        with self.db.read() as session:
            return tuple(list_datasets(session))

    def dataset(self, reference: str) -> DatasetSnapshot:
        """Return one version with its checks and what hangs on it."""
        from registry.dataset_views import impact, show_dataset

        with self.db.read() as session:
            hanging = impact(session, reference)
            about = None
            if hanging["state"] != "unregistered":
                about = show_dataset(session, self.db.root, reference)
        return DatasetSnapshot(about, hanging)

    # --- live

    def live(self) -> Live:
        """Return the running runs, the newest first, and the run that ended last."""
        from registry import queries

        with self.db.read() as session:
            running = queries.list_runs(
                session, self.db.settings, queries.RunFilter(statuses=("running",)), limit=MAX_LIVE
            )
            ended = queries.list_runs(session, self.db.settings, sort_by="ended", descending=True, limit=1)
        return Live(running.rows, ended.rows[0] if ended.rows and ended.rows[0].ended_at else None)

    def live_run(self, run_id: str, n_columns: int) -> LiveRun | None:
        """Return the chart, the machine's metrics and the last lines of one running run."""
        from registry.queries import show_run

        summary = self.rows([run_id]).get(run_id)
        if summary is None:
            return None
        name = charted(summary)
        figures = self.figures(run_id, [name], n_columns, "step") if name else {}
        with self.db.read() as session:
            folder = show_run(session, self.db.settings, run_id).folder
        figure = next(iter(figures.values()), Figure(empty="no metrics yet"))
        return LiveRun(run_id, figure, tuple(summary.metrics.values()), self.log_tail(folder))


def _remote(row: Any, held: dict[str, int]) -> RemoteState:
    return RemoteState(
        row.name, row.url, row.domain, row.klass, row.trust, row.probe, row.probed_at,
        held.get("copies", 0), held.get("size_bytes", 0),
    )  # fmt: skip


def _open_no_link(path: str, flags: int) -> int:
    return os.open(path, flags | os.O_NOFOLLOW)

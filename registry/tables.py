"""The tables, the same on SQLite and PostgreSQL. Times are unix seconds (UTC), sizes bytes, JSON columns plain text.

What a journal says is written by `projection` alone; what a person decides by `promotion`, `datasets`, `copies` and
`audit`, one transaction each. Copy events, permits, deployments and audit rows are only ever added.
"""

from sqlalchemy import BigInteger, Column, Float, Index, LargeBinary, Text, UniqueConstraint, text
from sqlmodel import Field, SQLModel


def _big(**arguments: object) -> Column:  # type: ignore[type-arg]
    return Column(BigInteger, **arguments)  # type: ignore[arg-type]


class Meta(SQLModel, table=True):
    """Facts about the registry itself: its id, when it was made, when it was last backed up."""

    key: str = Field(primary_key=True)
    value: str


class Experiment(SQLModel, table=True):
    """A named group of runs."""

    id: int | None = Field(default=None, primary_key=True)
    name: str = Field(unique=True)
    created_at: float
    primary_metric: str | None = None
    primary_goal: str | None = None


class RunRow(SQLModel, table=True):
    """One execution."""

    __tablename__ = "run"
    id: str = Field(primary_key=True)
    name: str = Field(index=True)
    experiment_id: int = Field(foreign_key="experiment.id", index=True)
    status: str = Field(index=True)
    evidence: str = ""
    started_at: float | None = Field(default=None, index=True)
    ended_at: float | None = None
    heartbeat_at: float | None = None
    exit_code: int | None = None
    command: str = Field(default="[]", sa_column=Column(Text))
    cwd: str = ""
    folder: str | None = None
    roots: str = Field(default="[]", sa_column=Column(Text))
    git: str | None = Field(default=None, sa_column=Column(Text))
    host: str = Field(default="{}", sa_column=Column(Text))
    device: str = Field(default="{}", sa_column=Column(Text))
    environment: str = Field(default="[]", sa_column=Column(Text))
    parent_id: str | None = Field(default=None, index=True)
    source: str = "journal"
    foreign_id: str | None = Field(default=None, index=True)
    total_steps: int | None = Field(default=None, sa_column=_big())
    segment: int = 0
    inner_status: str | None = None
    cost_per_hour: float | None = None
    deleted_at: float | None = None


class Tag(SQLModel, table=True):
    """A word a run was given."""

    run_id: str = Field(foreign_key="run.id", primary_key=True)
    tag: str = Field(primary_key=True)


class Note(SQLModel, table=True):
    """Something said about a run: by its process, by a person, or by the one who reads its journal."""

    id: int | None = Field(default=None, primary_key=True)
    run_id: str = Field(foreign_key="run.id", index=True)
    at: float
    level: str
    text: str = Field(sa_column=Column(Text))
    step: int | None = Field(default=None, sa_column=_big())
    by: str = ""


class Param(SQLModel, table=True):
    """An input of a run; `value` is JSON."""

    run_id: str = Field(foreign_key="run.id", primary_key=True)
    key: str = Field(primary_key=True)
    value: str = Field(sa_column=Column(Text))


class MetricDefinition(SQLModel, table=True):
    """What a run said about a metric: its goal, basis, unit, and whether it is the primary one."""

    __tablename__ = "metric_definition"
    run_id: str = Field(foreign_key="run.id", primary_key=True)
    name: str = Field(primary_key=True)
    goal: str | None = None
    basis: str | None = None
    unit: str | None = None
    primary: bool = False


class MetricSeries(SQLModel, table=True):
    """The summary of one metric of one run on one basis; lists, sorts and compares read only this."""

    __tablename__ = "metric_series"
    __table_args__ = (
        UniqueConstraint("run_id", "name", "basis"),
        Index("ix_metric_series_name", "name", "run_id"),
    )
    id: int | None = Field(default=None, primary_key=True)
    run_id: str = Field(foreign_key="run.id")
    name: str
    basis: str = "measured"
    count: int = Field(default=0, sa_column=_big(nullable=False))
    non_finite: int = Field(default=0, sa_column=_big(nullable=False))
    non_finite_step: int | None = Field(default=None, sa_column=_big())
    first_step: int | None = Field(default=None, sa_column=_big())
    first_value: float | None = None
    last_step: int | None = Field(default=None, sa_column=_big())
    last_value: float | None = None
    last_at: float | None = None
    min_step: int | None = Field(default=None, sa_column=_big())
    min_value: float | None = None
    max_step: int | None = Field(default=None, sa_column=_big())
    max_value: float | None = None
    segment: int = 0


class MetricPoint(SQLModel, table=True):
    """One value, in the order it was said (`seq`); a step that goes back is a new `segment`, nothing is dropped.

    `elapsed_ms` counts from the run's start. SQLite keeps NaN as NULL in `value`, so `value` NULL means NaN.
    """

    __tablename__ = "metric_point"
    __table_args__ = {"sqlite_with_rowid": False}
    series_id: int = Field(primary_key=True, foreign_key="metric_series.id")
    seq: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    step: int | None = Field(default=None, sa_column=_big())
    value: float | None = Field(default=None, sa_column=Column(Float(53)))
    elapsed_ms: int | None = Field(default=None, sa_column=_big())
    segment: int = Field(default=0)


class Segment(SQLModel, table=True):
    """Where a run began anew: a resume, or a step that fell back."""

    run_id: str = Field(foreign_key="run.id", primary_key=True)
    number: int = Field(primary_key=True)
    at: float
    reason: str
    metric: str | None = None
    from_step: int | None = Field(default=None, sa_column=_big())
    to_step: int | None = Field(default=None, sa_column=_big())


class Evaluation(SQLModel, table=True):
    """Values that belong to an artifact (by digest), or to a control or baseline (`subject`) of a suite.

    `basis` is None where the evaluation did not say: then each metric's own definition counts.
    """

    id: int | None = Field(default=None, primary_key=True)
    run_id: str = Field(foreign_key="run.id", index=True)
    digest: str | None = Field(default=None, index=True)
    subject: str | None = None
    suite: str | None = Field(default=None, index=True)
    step: int | None = Field(default=None, sa_column=_big())
    basis: str | None = None
    dataset: str | None = None
    at: float


class EvaluationValue(SQLModel, table=True):
    """One value of an evaluation, with its confidence interval and the number of cases behind it."""

    __tablename__ = "evaluation_value"
    evaluation_id: int = Field(foreign_key="evaluation.id", primary_key=True)
    name: str = Field(primary_key=True)
    value: float | None = None
    low: float | None = None
    high: float | None = None
    n: int | None = Field(default=None, sa_column=_big())


_uncopied = text("copied_at IS NULL")
_absolute = text("path LIKE '/%'")


class Artifact(SQLModel, table=True):
    """A file or a tree that a run produced.

    `superseded_at`: the run wrote other bytes to the same path later, or threw it away. `dropped_at`: the file was
    removed where it was made, after its copies were proven. `discarded_reason`: a person said that it need not be kept.
    `copied_at`: when all of its blobs first had a row in `copy` (those without are looked at one by one).
    """

    __table_args__ = (
        Index("ix_artifact_run", "run_id", "role"),
        Index("ix_artifact_uncopied", "id", sqlite_where=_uncopied, postgresql_where=_uncopied),
        Index("ix_artifact_absolute", "id", sqlite_where=_absolute, postgresql_where=_absolute),
    )
    id: int | None = Field(default=None, primary_key=True)
    run_id: str = Field(foreign_key="run.id")
    role: str
    path: str
    kind: str = "file"
    digest: str = Field(index=True)
    size_bytes: int = Field(sa_column=_big(nullable=False))
    step: int | None = Field(default=None, sa_column=_big())
    recorded_at: float
    superseded_at: float | None = None
    dropped_at: float | None = None
    copied_at: float | None = None
    discarded_reason: str | None = None
    details: str = Field(default="{}", sa_column=Column(Text))


class ArtifactBlob(SQLModel, table=True):
    """One file of an artifact tree (a single file has one row with its own name)."""

    __tablename__ = "artifact_blob"
    artifact_id: int = Field(foreign_key="artifact.id", primary_key=True)
    path: str = Field(primary_key=True)
    digest: str = Field(index=True)
    size_bytes: int = Field(sa_column=_big(nullable=False))


class Remote(SQLModel, table=True):
    """A place copies can live; `id` is the identity written into the place itself.

    `host` and `filesystem` say which machine and which disk it is; `labelled` whether a person named its failure
    domain. `probe` is what the last look at the place found: `ok`, `unreachable` or `foreign`.
    """

    id: str = Field(primary_key=True)
    name: str = Field(index=True)
    url: str
    kind: str
    domain: str
    labelled: bool = False
    klass: str = "ephemeral"
    trust: str = "normal"
    added_at: float
    host: str = ""
    filesystem: str = ""
    medium: str = "disk"
    removed_at: float | None = None
    probe: str = "ok"
    probed_at: float | None = None
    probe_error: str = ""


_troubled = text("trouble <> ''")


class Copy(SQLModel, table=True):
    """One blob on one remote, and what its events come to.

    No state is stored: it is computed at each look from the columns below `created_at`, which `custody.fold` makes of
    the events in the same transaction (`doctor` folds them again), and from the time.
    """

    __table_args__ = (
        UniqueConstraint("digest", "remote_id"),
        Index("ix_copy_remote", "remote_id", "trouble", "verified_at"),
        Index("ix_copy_standing", "digest", "remote_id", "trouble", "verified_at", "verified_from", "verified_level"),
        Index("ix_copy_trouble", "trouble", sqlite_where=_troubled, postgresql_where=_troubled),
    )
    id: int | None = Field(default=None, primary_key=True)
    digest: str
    size_bytes: int = Field(sa_column=_big(nullable=False))
    remote_id: str = Field(foreign_key="remote.id")
    path: str
    created_at: float
    put_at: float | None = None
    verified_from: float | None = None
    verified_at: float | None = None
    verified_level: int = 0
    method: str = ""
    token: str = ""
    seen_level: int = 0
    trouble: str = ""
    trouble_at: float | None = None
    doubt: str = Field(default="", sa_column=Column(Text))


class CopyEvent(SQLModel, table=True):
    """Something that was done to, or seen of, a copy. Only ever added."""

    __tablename__ = "copy_event"
    id: int | None = Field(default=None, primary_key=True)
    copy_id: int = Field(foreign_key="copy.id", index=True)
    kind: str
    started_at: float
    ended_at: float
    level: int = 0
    cold: bool = False
    result: str = ""
    digest: str | None = None
    size_bytes: int | None = Field(default=None, sa_column=_big())
    marker_start: str | None = None
    marker_end: str | None = None
    stat_before: str | None = None
    stat_after: str | None = None
    method: str = ""
    host: str = ""
    error: str = Field(default="", sa_column=Column(Text))


class Permit(SQLModel, table=True):
    """Leave to release a machine or drop copies: what it rests on, until when, and what came of it."""

    id: str = Field(primary_key=True)
    subject: str
    runs: str = Field(sa_column=Column(Text))
    proof: str = Field(sa_column=Column(Text))
    issued_at: float
    expires_at: float
    used_at: float | None = None
    outcome: str | None = None
    outcome_at: float | None = None
    by: str = ""


class Backup(SQLModel, table=True):
    """A snapshot of the registry that was put on a remote: a tree, known by its manifest's digest."""

    digest: str = Field(primary_key=True)
    remote_id: str = Field(foreign_key="remote.id", primary_key=True)
    at: float
    n_files: int
    size_bytes: int = Field(sa_column=_big(nullable=False))
    by: str = ""


class Dataset(SQLModel, table=True):
    """A version of a data set and its state: unchecked, valid, invalid, deprecated."""

    __table_args__ = (UniqueConstraint("name", "version"),)
    id: int | None = Field(default=None, primary_key=True)
    name: str
    version: str
    digest: str | None = None
    state: str = "unchecked"
    reason: str | None = None
    superseded_by: str | None = None
    n_records: int | None = Field(default=None, sa_column=_big())
    added_at: float
    changed_at: float
    details: str = Field(default="{}", sa_column=Column(Text))


class DatasetFile(SQLModel, table=True):
    """One file of a data set version."""

    __tablename__ = "dataset_file"
    dataset_id: int = Field(foreign_key="dataset.id", primary_key=True)
    path: str = Field(primary_key=True)
    split: str = ""
    digest: str
    size_bytes: int = Field(sa_column=_big(nullable=False))
    n_records: int | None = Field(default=None, sa_column=_big())
    stat_token: str = ""


class DatasetCheck(SQLModel, table=True):
    """One check made on a data set version and what it said; `report` is JSON, in full an artifact of `run_id`."""

    __tablename__ = "dataset_check"
    id: int | None = Field(default=None, primary_key=True)
    dataset_id: int = Field(foreign_key="dataset.id", index=True)
    name: str
    kind: str
    verdict: str
    n_checked: int = Field(default=0, sa_column=_big(nullable=False))
    n_violations: int = Field(default=0, sa_column=_big(nullable=False))
    at: float
    run_id: str | None = None
    report: str = Field(default="{}", sa_column=Column(Text))


class DatasetUse(SQLModel, table=True):
    """A run read a data set version, in a role (train, val, test, bank); `override` says why, where policy refused."""

    __tablename__ = "dataset_use"
    run_id: str = Field(foreign_key="run.id", primary_key=True)
    name: str = Field(primary_key=True, index=True)
    version: str = Field(primary_key=True)
    role: str = Field(primary_key=True)
    digest: str | None = None
    override: str | None = None
    at: float


class GateSuite(SQLModel, table=True):
    """The text of a gate suite as it was when it was used."""

    __tablename__ = "gate_suite"
    digest: str = Field(primary_key=True)
    name: str = Field(index=True)
    text: str = Field(sa_column=Column(Text))
    added_at: float


class RunSuite(SQLModel, table=True):
    """A gate suite applies to a run."""

    __tablename__ = "run_suite"
    run_id: str = Field(foreign_key="run.id", primary_key=True)
    suite: str = Field(primary_key=True)
    suite_digest: str = Field(foreign_key="gate_suite.digest")


class GateResult(SQLModel, table=True):
    """The verdict of one gate on a run's checkpoint, as last computed from the record.

    `threshold` is JSON (a number or [low, high]); `beside` the scores of controls and baselines, JSON.
    """

    __tablename__ = "gate_result"
    run_id: str = Field(foreign_key="run.id", primary_key=True)
    suite: str = Field(primary_key=True)
    name: str = Field(primary_key=True)
    stage: str = Field(default="", primary_key=True)
    position: int = 0
    artifact_id: int | None = None
    metric: str
    op: str
    threshold: str
    observed: float | None = None
    low: float | None = None
    high: float | None = None
    step: int | None = Field(default=None, sa_column=_big())
    basis: str | None = None
    required: bool = True
    verdict: str
    reason: str = Field(default="", sa_column=Column(Text))
    beside: str = Field(default="[]", sa_column=Column(Text))


class Deployment(SQLModel, table=True):
    """An artifact of a run serves a target since a time; `until` is set when another took its place.

    `previous_id` is the deployment that a rollback goes back to. One deployment a target is live.
    """

    __table_args__ = (
        Index(
            "ux_deployment_live",
            "target",
            unique=True,
            sqlite_where=text("until IS NULL"),
            postgresql_where=text("until IS NULL"),
        ),
    )
    id: int | None = Field(default=None, primary_key=True)
    target: str = Field(index=True)
    run_id: str = Field(foreign_key="run.id", index=True)
    artifact_id: int = Field(foreign_key="artifact.id")
    digest: str
    since: float
    until: float | None = None
    by: str
    reason: str = ""
    overrides: str = Field(default="[]", sa_column=Column(Text))
    checks: str = Field(default="[]", sa_column=Column(Text))
    health: str = "unknown"
    action: str = "promote"
    previous_id: int | None = None


class Audit(SQLModel, table=True):
    """What a person decided; each row carries the hash of the row before it."""

    id: int | None = Field(default=None, primary_key=True)
    at: float
    by: str
    action: str
    subject: str
    details: str = Field(default="{}", sa_column=Column(Text))
    previous_hash: str
    hash: str


class Acknowledgement(SQLModel, table=True):
    """A person has seen an alert, and says why it may stay."""

    id: int | None = Field(default=None, primary_key=True)
    code: str
    subject: str
    at: float
    by: str
    reason: str


class JournalCursor(SQLModel, table=True):
    """How far a journal was read; moved in the same transaction as the rows that were made of it."""

    __tablename__ = "journal_cursor"
    path: str = Field(primary_key=True)
    run_id: str | None = Field(default=None, index=True)
    offset: int = Field(default=0, sa_column=_big(nullable=False))
    inode: int = Field(default=0, sa_column=_big(nullable=False))
    bad_lines: int = 0
    read_at: float = 0.0


class LogCursor(SQLModel, table=True):
    """How far a foreign log was read, and its parser's state; moved in the same transaction as the points.

    `path` is absolute (or the foreign id of an imported run), `roles` says for each series of the file whether the
    file owns it, repeats another file's, or has it under a name of its own.
    """

    __tablename__ = "log_cursor"
    id: int | None = Field(default=None, primary_key=True)
    path: str = Field(unique=True)
    candidate: str = Field(default="", index=True)
    run_id: str | None = Field(default=None, index=True)
    format: str = ""
    format_version: int = 1
    device: int = Field(default=0, sa_column=_big(nullable=False))
    inode: int = Field(default=0, sa_column=_big(nullable=False))
    size_bytes: int = Field(default=0, sa_column=_big(nullable=False))
    mtime_ns: int = Field(default=0, sa_column=_big(nullable=False))
    offset: int = Field(default=0, sa_column=_big(nullable=False))
    head_digest: str = ""
    tail_digest: str = ""
    state: str = Field(default="{}", sa_column=Column(Text))
    roles: str = Field(default="{}", sa_column=Column(Text))
    generation: int = 0
    settled: bool = False
    read_at: float = 0.0


class PointOrigin(SQLModel, table=True):
    """Where `n_points` points of a series, from `seq` on, stand in a foreign log: a compressed list of byte offsets."""

    __tablename__ = "point_origin"
    series_id: int = Field(primary_key=True, foreign_key="metric_series.id")
    seq: int = Field(sa_column=Column(BigInteger, primary_key=True, autoincrement=False))
    cursor_id: int = Field(foreign_key="log_cursor.id", index=True)
    n_points: int
    offsets: bytes = Field(sa_column=Column(LargeBinary, nullable=False))

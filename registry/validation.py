"""Validation of data sets: the declared checks are made, the state follows from them, and the report is an artifact
of a run of its own.
"""

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from sqlmodel import Session, col, select

from registry import clock
from registry.catchup import catch_up
from registry.checks import Outcome, parse_checks, validate
from registry.checks.declare import CheckSuite, built_in
from registry.checks.records import DataFile, is_json
from registry.data_policy import Registered, changed_files
from registry.database import Database
from registry.datasets import CHECKS, PERSON, as_registered, checks_details, find_dataset, set_state
from registry.errors import CheckFailedError, UsageError
from registry.hashing import stat_token
from registry.starting import describe_start, new_run_id, start_run
from registry.tables import Dataset, DatasetCheck, DatasetFile

EXPERIMENT = "datasets"
MAX_ROW_VIOLATIONS = 50
"""Violations kept in the check's row; the report, an artifact of the validation's run, has all of them."""


@dataclass(frozen=True)
class Validation:
    """What the checks of a data set said, the state it has now, and where the whole report is."""

    reference: str
    state: str
    reason: str
    outcomes: tuple[Outcome, ...]
    report: Path
    run_id: str
    is_declared: bool

    @property
    def ok(self) -> bool:
        """Whether the data set is valid."""
        return self.state == "valid"


def validate_dataset(db: Database, reference: str, *, checks: Path | None = None, reinstate: str = "") -> Validation:
    """Make the checks of a data set version and set its state by them; the report is an artifact of a run of its own.

    A version that a person declared invalid or deprecated stays so unless `reinstate` gives the reason to trust it
    again. Raises CheckFailedError when its files are not those that were registered, NotFoundError, UsageError.
    """
    with db.read() as session:
        row = find_dataset(session, reference)
        registered = as_registered(session, row)
        files = session.exec(
            select(DatasetFile).where(DatasetFile.dataset_id == row.id).order_by(col(DatasetFile.path))
        ).all()
        details = {**json.loads(row.details), **checks_details(checks)}
    if not files:
        raise UsageError(f"{reference} has no files to check", hint=f"registry dataset add {reference} PATH…")
    if changed := changed_files(db.root, registered):
        raise CheckFailedError(
            f"{reference} is not what was registered: {changed[0]}",
            details=changed,
            hint="put the files back, or register them as a new version",
        )
    suite = _suite(details, files)
    outcomes = validate(_data_files(db, files), suite.make())
    run_id, report = _record_run(db, reference, registered, outcomes)
    with db.write() as session:
        row = find_dataset(session, reference)
        row.details = json.dumps(details)
        _renew_tokens(session, db, row)
        _store_outcomes(session, row, outcomes, run_id)
        declared = details.get("decided_by") == PERSON
        state, reason = verdict_of(row.state, row.reason, outcomes, reinstate, declared=declared)
        if (state, reason) != (row.state, row.reason or ""):
            set_state(session, row, state, reason, PERSON if reinstate else CHECKS)
    return Validation(reference, state, reason, tuple(outcomes), report, run_id, "checks" in details)


def verdict_of(
    state: str, reason: str | None, outcomes: Sequence[Outcome], reinstate: str, *, declared: bool
) -> tuple[str, str]:
    """Return the state of a data set after its checks, and why. `declared`: a person gave it the state it has."""
    failed = [outcome for outcome in outcomes if outcome.verdict == "fail"]
    unknown = [outcome for outcome in outcomes if outcome.verdict == "unknown"]
    if failed:
        said = "; ".join(f"{outcome.name}: {outcome.n_violations} of {outcome.n_checked}" for outcome in failed)
        return "invalid", f"its checks failed ({said})"
    if declared and state in ("invalid", "deprecated") and not reinstate:
        return state, reason or ""
    if unknown:
        said = "; ".join(f"{outcome.name}: {outcome.reason}" for outcome in unknown)
        return "unchecked", f"some checks could not be made ({said})"
    return "valid", reinstate


def _renew_tokens(session: Session, db: Database, row: Dataset) -> None:
    """Remember how the files look that were just found to hold the registered bytes."""
    for file in session.exec(select(DatasetFile).where(DatasetFile.dataset_id == row.id)):
        file.stat_token = stat_token(os.stat(db.root / file.path))


def _suite(details: dict[str, Any], files: Sequence[DatasetFile]) -> CheckSuite:
    if "checks" in details:
        path = Path(details["checks_path"])
        return parse_checks(details["checks"], str(path), path.parent)
    if not any(is_json(Path(file.path)) for file in files):
        raise UsageError(
            "no checks are declared, and the files are of no kind that can be checked without",
            hint="--checks FILE.toml (docs/datasets.md shows how to write one)",
        )
    return built_in([file.split for file in files])


def _data_files(db: Database, files: Sequence[DatasetFile]) -> list[DataFile]:
    return [DataFile(db.root / file.path, file.path, file.split) for file in files]


def _record_run(db: Database, reference: str, dataset: Registered, outcomes: Sequence[Outcome]) -> tuple[str, Path]:
    """Record the validation as a run whose artifact is the whole report; returns the run's id and the report's path."""
    run_id = new_run_id()
    start = describe_start(
        run_id,
        name=f"validate {reference}",
        experiment=EXPERIMENT,
        command=["registry", "dataset", "validate", reference],
        params={"dataset": reference, "digest": dataset.digest},
    )
    with start_run(db.url, start) as run:
        report = run.folder / "report.json"
        report.write_text(_report_text(reference, dataset, outcomes))
        run.log_artifact(report, role="report")
    catch_up(db)
    return run_id, report


def _report_text(reference: str, dataset: Registered, outcomes: Sequence[Outcome]) -> str:
    report = {
        "dataset": reference,
        "digest": dataset.digest,
        "made_at": clock.iso(clock.now()),
        "checks": [asdict(outcome) for outcome in outcomes],
    }
    return json.dumps(report, indent=1, ensure_ascii=False, default=str) + "\n"


def _store_outcomes(session: Session, row: Dataset, outcomes: Sequence[Outcome], run_id: str) -> None:
    assert row.id is not None
    for outcome in outcomes:
        shown = [asdict(violation) for violation in outcome.violations[:MAX_ROW_VIOLATIONS]]
        report = {"violations": shown, "reason": outcome.reason}
        session.add(
            DatasetCheck(
                dataset_id=row.id,
                name=outcome.name,
                kind=outcome.kind,
                verdict=outcome.verdict,
                n_checked=outcome.n_checked,
                n_violations=outcome.n_violations,
                at=clock.now(),
                run_id=run_id,
                report=json.dumps(report, ensure_ascii=False, default=str),
            )
        )

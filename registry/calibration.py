"""Calibration: a suite's controls are measured and recorded, and the gates asked whether they tell them apart.

Commands of controls are run only from a suite that was named as a file or is shipped, never from one that came with a
run.
"""

import json
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlmodel import Session, col, select

from registry.catchup import catch_up
from registry.database import Database
from registry.errors import HoldfastError, NotFoundError, UsageError
from registry.gate_facts import refresh_suite, subject_scores
from registry.gates import Facts, Suite, judge, load_suite_text, parse_suite, shipped_suites
from registry.starting import describe_start, new_run_id, start_run
from registry.tables import GateSuite, RunSuite

EXPERIMENT = "calibration"
CONTROL_TIMEOUT_S = 3600.0


@dataclass(frozen=True)
class Score:
    """What a control or a baseline scored: numbers by metric, with confidence intervals where they are known."""

    metrics: Mapping[str, float]
    intervals: Mapping[str, tuple[float, float]]


@dataclass(frozen=True)
class Separation:
    """What one gate says of one control (or baseline: `must` is None): `ok` when it says what it must."""

    gate: str
    stage: str
    subject: str
    must: str | None
    value: float | None
    verdict: str

    @property
    def ok(self) -> bool:
        """Whether the gate says of the control what it must."""
        return self.must is None or self.verdict == self.must


def find_suite(session: Session, source: str) -> Suite:
    """Return a suite by file, by shipped name, or by the name under which runs used it (the newest text).

    Raises NotFoundError, UsageError.
    """
    try:
        name, text = load_suite_text(source)
    except NotFoundError as error:
        row = session.exec(
            select(GateSuite).where(GateSuite.name == source).order_by(col(GateSuite.added_at).desc())
        ).first()
        if row is None:
            raise error from None
        name, text = row.name, row.text
    return parse_suite(text, name)


def known_suites(session: Session) -> dict[str, tuple[Suite, int]]:
    """Return every shipped suite and every suite that runs used (its newest text), with the number of its runs."""
    counts: dict[str, int] = {}
    for name in session.exec(select(RunSuite.suite)):
        counts[name] = counts.get(name, 0) + 1
    names = {*shipped_suites(), *session.exec(select(GateSuite.name))}
    return {name: (find_suite(session, name), counts.get(name, 0)) for name in sorted(names)}


def separation(session: Session, suite: Suite, run_id: str = "") -> list[Separation]:
    """Return what every gate says of its controls and baselines, by the newest scores recorded for the suite."""
    subjects = subject_scores(session, run_id, suite)
    found = []
    for verdict in judge(suite, Facts(subjects=subjects)):
        for score in verdict.beside:
            found.append(Separation(verdict.name, verdict.stage, score.name, score.must, score.value, score.verdict))
    return found


def is_calibrated(rows: Sequence[Separation]) -> bool | None:
    """Return whether every control reads as it must; None for a suite without controls."""
    controls = [row for row in rows if row.must is not None]
    return all(row.ok for row in controls) if controls else None


# --- measuring


def read_scores(path: Path) -> dict[str, Score]:
    """Return the scores in a JSON file: `{"oracle": {"margin": 0.6, …}, …}`; a value may be [value, low, high].

    Raises NotFoundError, UsageError.
    """
    try:
        said = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise NotFoundError(f"no file {path}") from None
    except (OSError, ValueError) as error:
        raise UsageError(f"{path} is not JSON: {error}") from None
    if not isinstance(said, dict) or not all(isinstance(metrics, dict) for metrics in said.values()):
        raise UsageError(f"{path} is no table of scores", hint='write {"oracle": {"metric": 0.6}, …}')
    return {name: _score(metrics, f"{path}: {name}") for name, metrics in said.items()}


def _score(said: Mapping[str, Any], where: str) -> Score:
    metrics, intervals = {}, {}
    for name, value in said.items():
        numbers = value if isinstance(value, list) else [value]
        if len(numbers) not in (1, 3) or not all(_is_number(number) for number in numbers):
            raise UsageError(f"{where}: {name} is {value!r}", hint="write a number, or [value, low, high]")
        metrics[name] = float(numbers[0])
        if len(numbers) == 3:
            intervals[name] = (float(numbers[1]), float(numbers[2]))
    return Score(metrics, intervals)


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def measure(suite: Suite, folder: Path) -> dict[str, Score]:
    """Run the commands of the suite's controls in `folder` and return what they print: JSON objects of metrics.

    Raises UsageError for a control whose command fails or prints no score.
    """
    return {
        control.name: _measure_one(control.name, control.command, folder)
        for control in suite.controls
        if control.command
    }


def _measure_one(name: str, command: Sequence[str], folder: Path) -> Score:
    try:
        done = subprocess.run(
            command, cwd=folder, stdin=subprocess.DEVNULL, capture_output=True, timeout=CONTROL_TIMEOUT_S, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UsageError(f"control {name}: {command[0]} cannot be run: {error}") from None
    if done.returncode:
        said = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise UsageError(f"control {name}: {command[0]} ended with {done.returncode}: {said[-1] if said else ''}")
    scores: dict[str, Any] = {}
    for line in done.stdout.decode("utf-8", "replace").splitlines():
        try:
            found = json.loads(line)
        except ValueError:
            continue
        scores |= found if isinstance(found, dict) else {}
    if not scores:
        raise UsageError(f"control {name}: {command[0]} printed no score", hint='print {"metric": value} as JSON')
    return _score(scores, f"control {name}")


def calibrate(db: Database, source: str, scores: Mapping[str, Score]) -> tuple[Suite, list[Separation]]:
    """Record scores of a suite's controls and baselines as a run, judge its runs anew, and return what separates.

    Raises NotFoundError for an unknown suite, UsageError for a suite without controls or a score of nobody it names.
    """
    with db.read() as session:
        suite = find_suite(session, source)
    known = [control.name for control in suite.controls] + [baseline.name for baseline in suite.baselines]
    if not suite.controls:
        raise UsageError(f"suite {suite.name} names no controls", hint="docs/gates.md shows how to add them")
    for name in scores:
        if name not in known:
            raise UsageError(f"suite {suite.name} names no {name!r}", hint=f"it names {', '.join(known)}")
    run_id = _record(db, suite, scores) if scores else ""
    catch_up(db)
    with db.write(durable=False) as session:
        refresh_suite(session, suite.name)
        return suite, separation(session, suite, run_id)


def _record(db: Database, suite: Suite, scores: Mapping[str, Score]) -> str:
    start = describe_start(
        new_run_id(),
        name=f"calibrate {suite.name}",
        experiment=EXPERIMENT,
        command=["registry", "gate", "calibrate", suite.name],
        params={"suite": suite.name},
    )
    with start_run(db.url, start) as run:
        for name, score in scores.items():
            run.log_evaluation(subject=name, suite=suite.name, metrics=score.metrics, intervals=score.intervals)
    return run.id


def suite_folder(source: str) -> Path | None:
    """Return the folder in which a suite's commands are run: that of its file, the working one when it is shipped.

    None for a suite that is known only from runs: its commands are not run.
    """
    try:
        load_suite_text(source)
    except HoldfastError:
        return None
    path = Path(source)
    return path.resolve().parent if path.is_file() else Path.cwd()

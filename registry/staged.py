"""Stages carried out: each attempt of a command is a child run of one parent, which says how it went on."""

import json
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace

from registry.catchup import catch_up
from registry.copy_along import CopyAlong
from registry.database import Database
from registry.gate_facts import verdicts_for
from registry.gates import parse_suite
from registry.run import Run
from registry.stages import Attempt, Attempted, filled, follow, stage_verdicts
from registry.starting import describe_start, new_run_id, start_run
from registry.tables import RunRow
from registry.wrapper import Declared, run_command

PARAMS_VARIABLE = "REGISTRY_PARAMS"
"""Environment variable in which a stage's command finds its params, as JSON."""


def run_staged(db: Database, declared: Declared, tell: Callable[[str], None] = lambda words: None) -> tuple[str, int]:
    """Run a command stage by stage as its suite says; returns the parent's id and the exit code.

    `{param}` in the command is replaced by the attempt's value, and REGISTRY_PARAMS holds them all as JSON. The exit
    code is 0 when the last stage passed, the command's own when it failed, else 1. Raises UsageError when the suite
    has no stages, or is not declared.
    """
    assert declared.suite is not None
    suite = parse_suite(declared.suite[1], declared.suite[0])
    parent = _open_parent(db, declared)
    codes: list[int] = []
    copying: list[CopyAlong] = []

    def attempt(wanted: Attempt) -> Attempted:
        child = replace(
            declared,
            command=filled(declared.command, wanted.params),
            name=f"{parent.name} {wanted.name}",
            params=dict(wanted.params),
            parent=parent.id,
        )
        with _environment(PARAMS_VARIABLE, json.dumps(child.params)):
            outcome = run_command(db.url, child)
        codes.append(outcome.exit_code)
        copying.append(outcome.copying)
        catch_up(db)
        with db.read() as session:
            run = session.get(RunRow, outcome.run_id)
            status = run.status if run else "unknown"
            verdicts = stage_verdicts(wanted.stage, verdicts_for(session, outcome.run_id))
        return Attempted(wanted, outcome.run_id, status, verdicts)

    with parent:
        _, decision = follow(suite, declared.params, attempt, parent.note)
        parent.finish("finished" if decision.passed else "failed", evidence=decision.reason)
    catch_up(db)
    problems = [line for each in copying for line in each.finish(tell)]
    for line in problems:
        tell(line)
    code = 0 if decision.passed else (codes[-1] if codes and codes[-1] else 1)
    return parent.id, code or (1 if problems else 0)


@contextmanager
def _environment(name: str, value: str) -> Iterator[None]:
    before = os.environ.get(name)
    os.environ[name] = value
    try:
        yield
    finally:
        os.environ.pop(name)
        if before is not None:
            os.environ[name] = before


def _open_parent(db: Database, declared: Declared) -> Run:
    start = describe_start(
        new_run_id(),
        name=declared.name or "stages",
        experiment=declared.experiment,
        command=declared.command,
        params=declared.params,
        tags=declared.tags,
        parent=declared.parent,
    )
    return start_run(db.url, start)

"""Gates: `gate ls`, `gate check`, `gate calibrate`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from registry.cli.context import context
from registry.cli.output import number, out, word

if TYPE_CHECKING:
    from registry.calibration import Separation
    from registry.gates import GateVerdict, Suite

gate = typer.Typer(
    help="Requirements on the checkpoint that would be promoted.", no_args_is_help=True, rich_markup_mode=None
)


@gate.command("ls")
def list_suites() -> None:
    """List the gate suites: shipped ones and those that runs used, and whether their controls separate."""
    rows = _suite_rows()
    if context().json:
        out.json(rows)
        return
    words = {True: word("pass"), False: word("uncalibrated"), None: "no controls"}
    out.table(
        ["suite", "gates", "stages", "controls", "calibrated", "runs", "asks"],
        [
            (
                row["suite"],
                row["gates"],
                " → ".join(row["stages"]),
                ", ".join(row["controls"]),
                words[row["calibrated"]],
                row["runs"],
                row["description"],
            )
            for row in rows
        ],
        numeric=["gates", "runs"],
    )


def _suite_rows() -> list[dict[str, Any]]:
    """Return the suites; where there is no registry yet, the shipped ones."""
    from registry.calibration import is_calibrated, known_suites, separation
    from registry.errors import NotFoundError
    from registry.gates import load_suite_text, parse_suite, shipped_suites

    try:
        with context().db().read() as session:
            return [
                _suite_row(suite, n_runs, is_calibrated(separation(session, suite)))
                for suite, n_runs in known_suites(session).values()
            ]
    except NotFoundError:
        shipped = [parse_suite(load_suite_text(name)[1], name) for name in shipped_suites()]
        return [_suite_row(suite, 0, False if suite.controls else None) for suite in shipped]


def _suite_row(suite: "Suite", n_runs: int, calibrated: bool | None) -> dict[str, Any]:
    return {
        "suite": suite.name,
        "gates": len(suite.gates),
        "stages": [stage.name for stage in suite.stages],
        "controls": [control.name for control in suite.controls],
        "baselines": [baseline.name for baseline in suite.baselines],
        "calibrated": calibrated,
        "runs": n_runs,
        "description": suite.description,
    }


@gate.command("check")
def check(
    run: Annotated[str, typer.Argument(metavar="RUN", help="id, name, @target, latest or best:METRIC.")],
    suite: Annotated[
        str | None, typer.Option(metavar="FILE|NAME", help="Another suite than the run's own; nothing is stored.")
    ] = None,
    artifact: Annotated[
        str | None, typer.Option(metavar="ROLE", help="The artifact to look at (default: the run's best).")
    ] = None,
) -> int:
    """Judge a run's checkpoint by its gates, with the reason and the controls beside each verdict.

    Exit code 1 when a required gate does not pass, or when there is none.
    """
    from registry.calibration import find_suite
    from registry.errors import UsageError
    from registry.gate_facts import artifact_of, verdict_json, verdicts_for
    from registry.gates import passes
    from registry.selectors import select_run

    options = context()
    with options.db().read() as session:
        run_row = select_run(session, run)
        chosen = artifact_of(session, run_row.id, artifact) if artifact else None
        verdicts = verdicts_for(
            session, run_row.id, chosen.id if chosen else None, [find_suite(session, suite)] if suite else None
        )
        name = f"{run_row.name} ({run_row.id})"
    if not verdicts:
        raise UsageError(f"{name} has no gates", hint="--suite NAME checks one; `registry gate ls` lists them")
    if options.json:
        out.json([verdict_json(verdict) for verdict in verdicts])
    else:
        _print_verdicts(name, verdicts)
    return 0 if passes(verdicts) else 1


def _print_verdicts(title: str, verdicts: "list[GateVerdict]") -> None:
    rows = [
        (
            f"{verdict.suite} {verdict.stage}".strip(),
            verdict.name + ("" if verdict.required else " (advisory)"),
            target_words(verdict.metric, verdict.op, verdict.threshold),
            observed_words(verdict.observed, verdict.low, verdict.high, verdict.basis),
            verdict.step,
            word(verdict.verdict),
            ", ".join(beside_words(score.name, score.value, score.must) for score in verdict.beside),
            verdict.reason,
        )
        for verdict in verdicts
    ]
    heads = ["suite", "gate", "target", "achieved", "step", "status", "controls and baselines", "reason"]
    out.table(heads, rows, title=title, numeric=["achieved", "step"])


def target_words(metric: str, op: str, threshold: Any) -> str:
    """Return what a gate asks for: `5cat/margin >= 0.02`."""
    if isinstance(threshold, list | tuple):
        return f"{metric} in [{number(threshold[0])}, {number(threshold[1])}]"
    return f"{metric} {op.replace('_', ' ')} {number(threshold)}"


def observed_words(value: float | None, low: float | None, high: float | None, basis: str | None) -> str:
    """Return what a gate saw, with its interval; `≈` marks a value that was not measured."""
    if value is None:
        return ""
    interval = f" [{number(low)}, {number(high)}]" if low is not None and high is not None else ""
    return f"{'' if basis in (None, 'measured') else '≈'}{number(value)}{interval}"


def beside_words(name: str, value: float | None, must: str | None) -> str:
    """Return what a control or a baseline scored: `oracle 0.596 (must pass)`."""
    shown = "not measured" if value is None else number(value)
    return f"{name} {shown}" + (f" (must {must})" if must else "")


@gate.command("calibrate")
def calibrate(
    suite: Annotated[str, typer.Argument(metavar="SUITE", help="A suite file, a shipped name, or one that runs used.")],
    scores: Annotated[
        Path | None,
        typer.Option(metavar="FILE.json", help='Scores measured elsewhere: {"oracle": {"metric": 0.6}, …}.'),
    ] = None,
) -> int:
    """Measure a suite's controls, record their scores, and show whether every gate tells them apart.

    The commands of its controls are run; scores measured elsewhere are given with --scores. With neither, the scores
    recorded so far are shown. Exit code 1 when a control does not read as it must.
    """
    from registry import calibration

    options = context()
    db = options.db(create=True)
    found = calibration.read_scores(scores) if scores else {}
    folder = calibration.suite_folder(suite)
    if folder is not None:
        with db.read() as session:
            measured = calibration.measure(calibration.find_suite(session, suite), folder)
        found = {**measured, **found}
    named, rows = calibration.calibrate(db, suite, found)
    if options.json:
        out.json([{**vars(row), "ok": row.ok} for row in rows])
    else:
        _print_separation(named.name, rows)
    return 0 if calibration.is_calibrated(rows) else 1


def _print_separation(name: str, rows: "list[Separation]") -> None:
    out.table(
        ["gate", "control or baseline", "scored", "reads", "must", ""],
        [
            (
                f"{row.stage} {row.gate}".strip(),
                row.subject,
                "not measured" if row.value is None else number(row.value),
                word(row.verdict),
                row.must or "",
                "" if row.must is None else word("ok") if row.ok else word("uncalibrated"),
            )
            for row in rows
        ],
        title=name,
        numeric=["scored"],
    )
    wrong = {f"{row.stage} {row.gate}".strip() for row in rows if not row.ok}
    out.line(
        f"controls are not separated by: {', '.join(sorted(wrong))}" if wrong else "every gate separates its controls",
        style="yellow" if wrong else "green",
    )

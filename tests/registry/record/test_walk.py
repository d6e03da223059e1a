"""The walk of the README: reports come in, their data turns out bad, and nothing built on it is promoted any more."""

from pathlib import Path

REPORTS = Path(__file__).parents[3] / "docs" / "examples" / "reports"


def test_reports_are_imported_the_data_invalidated_the_runs_flagged_promotion_refused_and_reported(cli, own_folder):
    cli("import", *sorted(REPORTS.glob("*.md")))
    runs = {run["name"]: run for run in cli("ls", "--json").json}
    assert len(runs) == 15 and all(run["invalid"] is None for run in runs.values())

    before = cli("dataset", "impact", "edgejson@v2", "--json").json
    assert {run["name"] for run in before["runs"]} == {"Base Model", "Fine-tuned v2"}
    reason = "cart totals are random"
    cli("dataset", "invalidate", "edgejson@v2", "--reason", reason, "--superseded-by", "edgejson@v3")

    flagged = {run["name"]: run["invalid"] for run in cli("ls", "--json").json if run["invalid"]}
    assert set(flagged) == {"Base Model", "Fine-tuned v2"}
    assert flagged["Fine-tuned v2"] == (
        f"trained on and evaluated on edgejson@v2, which is invalid: {reason} (superseded by edgejson@v3)"
    )
    assert "INVALID" in cli("show", "Fine-tuned v2").out and reason in cli("compare", "Base Model", "P1 Baseline").out

    refused = cli("promote", "Fine-tuned v2", code=3)
    assert "checks refuse" in refused.err and reason in refused.err
    verdicts = {
        check["check"]: check["verdict"]
        for check in cli("promote", "Fine-tuned v2", "--dry-run", "--json", code=3).json["checks"]
    }
    assert verdicts["run-valid"] == "fail" and verdicts["artifact-present"] == "fail"
    assert cli("deployments", "--json").json == []

    card = cli("report", "card", "Fine-tuned v2").out
    assert "Its numbers are not to be quoted" in card and "edgejson@v3" in card
    session = cli("report", "session", "--since", "1h").out
    assert "dataset-invalid" in session and reason in session
    board = cli("report", "leaderboard", "--experiment", "lvm", "--metric", "val/margin").out
    assert board.index("| 1 | AMN 790k Split") < board.index("| 2 | P5 Stage A")
    assert all(run["id"] for run in runs.values()) and len(cli("ls", "--json").json) == 15


def test_a_dry_run_of_the_import_shows_what_was_understood_and_keeps_nothing(cli, own_folder):
    cli("init")
    said = cli("import", REPORTS / "lvm-comparison.md", "--dry-run")
    shown = said.out + said.err
    assert "UTF-8 read as Mac Roman" in shown and "run P1 Baseline: finished" in shown
    assert cli("ls", "--json").json == []

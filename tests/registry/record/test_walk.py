"""The walk of the README: reports come in, their data turns out bad, and nothing built on it is promoted any more."""

import shlex
from pathlib import Path

ROOT = Path(__file__).parents[3]


def commands():
    """Return the words of each command of the README's section, with its files found."""
    section = (ROOT / "README.md").read_text().split("## When the data was wrong\n")[1].split("\n## ")[0]
    block = section.split("```")[1]
    lines = [shlex.split(line, comments=True)[1:] for line in block.splitlines() if line.startswith("registry")]
    return [
        [name for word in words for name in (sorted(ROOT.glob(word)) if "*" in word else [word])] for words in lines
    ]


def test_reports_are_imported_the_data_invalidated_the_runs_flagged_promotion_refused_and_reported(cli, own_folder):
    take_over, impact, invalidate, ls, promote, card, session = commands()
    cli(*take_over)
    runs = cli("ls", "--json").json
    assert len(runs) == 15 and all(run["invalid"] is None for run in runs)

    assert {run["name"] for run in cli(*impact, "--json").json["runs"]} == {"Base Model", "Fine-tuned v2"}
    cli(*invalidate)
    reason = "edgejson@v2, which is invalid: cart totals are random (superseded by edgejson@v3)"
    flagged = {run["name"]: run["invalid"] for run in cli("ls", "--json").json if run["invalid"]}
    assert flagged == {"Base Model": f"evaluated on {reason}", "Fine-tuned v2": f"trained on and evaluated on {reason}"}
    assert cli(*ls).out.count("INVALID") == 2 and len(cli("ls", "--json").json) == 15
    assert "INVALID" in cli("show", "Fine-tuned v2").out and reason in cli("compare", "Base Model", "P1 Baseline").out

    refused = cli(*promote, code=3)
    assert "checks refuse" in refused.err and reason in refused.err
    checks = cli(*promote, "--dry-run", "--json", code=3).json["checks"]
    refusing = {check["check"] for check in checks if check["verdict"] in ("fail", "unknown")}
    assert {"run-valid", "artifact-present"} <= refusing
    assert cli("deployments", "--json").json == []

    assert "Its numbers are not to be quoted" in (document := cli(*card).out) and "edgejson@v3" in document
    told = cli(*session).out
    assert "dataset-invalid" in told and "cart totals are random" in told
    board = cli("report", "leaderboard", "--experiment", "lvm", "--metric", "val/margin").out
    assert board.index("| 1 | AMN 790k Split") < board.index("| 2 | P5 Stage A")


def test_a_dry_run_of_the_import_shows_what_was_understood_and_keeps_nothing(cli, own_folder):
    cli("init")
    said = cli("import", ROOT / "docs/examples/reports/lvm-comparison.md", "--dry-run")
    shown = said.out + said.err
    assert "UTF-8 read as Mac Roman" in shown and "run P1 Baseline: finished" in shown
    assert cli("ls", "--json").json == []

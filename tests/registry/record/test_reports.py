"""Reports say when and from which runs they were made, and nothing that the record does not say."""

from pathlib import Path

import pytest

import registry
from registry import clock
from registry.reports import page
from registry.reports.session import since

SUITE = """
[[gate]]
name = "acc"
metric = "val/acc"
op = ">="
threshold = 0.8
[[control]]
name = "oracle"
must = "pass"
"""


@pytest.fixture
def models(cli, own_folder):
    """Two runs of one experiment, the better of them on data that was declared invalid, and a suite with a control."""
    Path("suite.toml").write_text(SUITE)
    Path("registry.toml").write_text(
        "[policy]\nrequire_other_domain = false\nnum_copies = 1\n[hosts.default]\ncost_per_hour = 3600.0\n"
    )
    ids = {}
    for name, acc in (("weak", 0.7), ("good", 0.9)):
        run = registry.init(experiment="exp", name=name, params={"lr": acc / 10, "size": 3}, gates="suite.toml")
        run.use_dataset(f"{name}-data@v1")
        run.log({"val/acc": acc, "coverage": 0.5}, step=4)
        run.log({"coverage": 0.9}, step=4, basis="sampled")
        Path(f"{name}.bin").write_bytes(name.encode() * 30)
        run.log_artifact(f"{name}.bin", role="best", step=4)
        run.log_evaluation(
            subject="oracle", suite="suite", metrics={"val/acc": 1.0}, intervals={"val/acc": (0.99, 1.0)}
        )
        run.finish()
        ids[name] = run.id
    cli("ls")
    return ids


def test_every_report_says_when_and_from_which_runs_it_was_made(cli, models):
    with clock.frozen(1_763_640_000.0):
        for words in (
            ("compare", "weak", "good"),
            ("leaderboard", "-e", "exp"),
            ("card", "weak"),
            ("session", "--since", "400d"),
        ):
            text = cli("report", *words).out
            assert "Made 2025-11-20 12:00:00 UTC by holdfast" in text
            assert "from registry" in text and models["weak"] in text


def test_a_report_is_made_again_word_for_word_from_the_same_record(cli, models):
    with clock.frozen(clock.now() + 5):
        assert cli("report", "card", "weak").out == cli("report", "card", "weak").out
        assert cli("report", "session").out == cli("report", "session").out


def test_the_comparison_shows_what_differs_and_what_is_not_to_be_relied_on(cli, models):
    cli("dataset", "invalidate", "good-data@v1", "--reason", "random totals")
    text = cli("report", "compare", "weak", "good", "--baseline", "weak").out
    assert "| lr | 0.07 | 0.09 |" in text.replace("0.06999999999999999", "0.07").replace("0.09000000000000001", "0.09")
    assert "| size |" not in text
    assert "0.9@4 (+0.2)*" in text and "≈0.9@4" not in text.split("val/acc")[0]
    assert "## Not to be relied on" in text and "random totals" in text


def test_the_leaderboard_ranks_by_the_best_and_does_not_rank_what_is_invalid(cli, models):
    text = cli("report", "leaderboard", "-e", "exp", "--metric", "val/acc").out
    assert text.index("| 1 | good") < text.index("| 2 | weak")
    cli("dataset", "invalidate", "good-data@v1", "--reason", "random totals")
    text = cli("report", "leaderboard", "-e", "exp", "--metric", "val/acc").out
    assert "| 1 | weak" in text and "| 2 |" not in text
    assert "## Not ranked" in text and f"good ({models['good']}): invalid: trained on good-data@v1" in text


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [(("-e", "none"), 4, "no runs in experiment 'none'"), (("-e", "exp", "--metric", "zz"), 2, "'zz' has no goal")],
)
def test_a_leaderboard_of_nothing_says_so(cli, models, words, code, said):
    assert said in cli("report", "leaderboard", *words, code=code).err


def test_the_card_tells_data_targets_bases_copies_and_limits(cli, models):
    cli("dataset", "invalidate", "weak-data@v1", "--reason", "random totals", "--superseded-by", "weak-data@v2")
    text = cli("report", "card", "weak").out
    assert "**INVALID: trained on weak-data@v1, which is invalid: random totals" in text
    assert "| train | weak-data@v1 | invalid | random totals (superseded by weak-data@v2) |" in text
    assert "| suite | val/acc | >= 0.8 | 0.7 | fail | 0.7 is not >= 0.8" in text
    assert "| coverage (sampled) | ≈0.9@4 | ≈0.9 | sampled | max | 1 |  |" in text
    assert "| oracle | val/acc | 1 [0.99, 1] |" in text
    assert "- no verified copy elsewhere: weak.bin" in text
    assert "- gate acc reads fail" in text
    assert "- not measured but sampled or estimated: coverage (sampled)" in text
    assert "coverage is 0.9 sampled and 0.5 measured" in text


def test_a_card_of_a_run_without_anything_lists_what_is_missing(cli, own_folder):
    registry.init(name="bare").finish("failed")
    text = cli("report", "card", "bare").out
    for line in (
        "the run did not finish: failed",
        "no weights are recorded",
        "no gates: nobody said what it must reach",
    ):
        assert f"- {line}" in text


def test_the_session_tells_what_ran_passed_was_deployed_decided_is_at_risk_and_cost(cli, models):
    Path("vault").mkdir()
    cli("remote", "add", "vault", "vault")
    cli("copy", "good", "--to", "vault")
    cli("promote", "good", "--reason", "it passed")
    text = cli("report", "session", "--since", "1h").out
    assert "2 runs; cost: " in text and "unknown price" not in text
    assert f"- good ({models['good']}): all 1 gate" in text and "- 1 run did not pass every gate" in text
    assert f"| production | good ({models['good']}) |" in text and "it passed" in text
    assert "| promote | production |" in text
    assert "## What is at risk" in text and "artifact-no-verified-copy" in text
    assert "0 runs" in cli("report", "session", "--since", "2999-01-01").out


def test_since_is_a_duration_a_day_or_a_moment(cli, models):
    with clock.frozen(1_763_640_000.0):
        assert since("24h") == 1_763_640_000.0 - 86_400
        assert since("today") == since("2025-11-20") == 1_763_596_800.0
        assert since("2025-11-20T10:00+01:00") == 1_763_596_800.0 + 9 * 3600
    assert "write 24h" in cli("report", "session", "--since", "lately", code=2).err


def test_a_report_goes_to_a_file_and_to_json(cli, models):
    cli("report", "card", "weak", "--out", "card.md")
    assert Path("card.md").read_text().startswith("# Model card: weak")
    assert cli("report", "card", "weak", "--json").json["markdown"].startswith("# Model card: weak")
    assert "cannot write" in cli("report", "card", "weak", "--out", "gone/card.md", code=2).err


def test_words_from_the_record_cannot_become_marks_or_break_a_table():
    assert page.plain("a*b_c[d](e)\n`f`<g>#h") == "a\\*b\\_c\\[d](e) \\`f\\`\\<g>\\#h"
    assert page.table(["x"], [["a|b"]]) == ["| x |\n| --- |\n| a\\|b |"]


def test_costs_are_added_up_and_the_unknown_ones_said(cli, own_folder):
    Path("registry.toml").write_text("[hosts.elsewhere]\ncost_per_hour = 2.0\n")
    registry.init(experiment="e", name="a").finish()
    assert "no price is known" in cli("report", "session").out

"""Results that people wrote down become runs: the facts of five laboratory reports, by name.

The reports of docs/examples are read; the originals too, when HOLDFAST_NOTEBOOKS names their folder.
"""

import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from registry import events
from registry.database import open_database
from registry.errors import NotFoundError, UsageError
from registry.gates import parse_suite
from registry.importers import record
from registry.importers.markdown import MarkdownImporter, explain, understand
from registry.importers.markdown.cells import Value, is_missing, target_of, value_of, verdict_of
from registry.importers.markdown.emit import merge, run_events
from registry.importers.markdown.encoding import decode, repair
from registry.importers.markdown.names import MetricName, dataset_of, dates_in, experiment_of
from registry.importers.markdown.report import read_report

EXAMPLES = Path(__file__).parents[3] / "docs" / "examples" / "reports"
FOLDERS = [EXAMPLES, *(Path(folder) for folder in [os.environ.get("HOLDFAST_NOTEBOOKS")] if folder)]


@pytest.fixture(scope="module", params=FOLDERS, ids=lambda folder: folder.name)
def runs(request, tmp_path_factory):
    """Import five reports, one after the other, twice; returns the runs by name."""
    from registry import queries

    db = open_database(str(tmp_path_factory.mktemp("reports") / "runs.db"), create=True)
    reports = sorted(path for path in request.param.iterdir() if path.suffix in (".md", ".txt"))
    assert len(reports) == 5
    for _ in range(2):
        again = [one for path in reports for one in record(db, MarkdownImporter().read(path))]
    assert {one.verdict for one in again} == {"unchanged"}
    with db.read() as session:
        page = queries.list_runs(session, db.settings)
        shown = {run.name: queries.show_run(session, db.settings, run.id).as_json() for run in page.rows}
    db.close()
    return shown


def last(run, metric):
    return run["metrics"][metric]["last"]


LVM = {
    "P5 Stage A": ("2025-11-02T10:06", "failed", 0.463, -0.041, 0.032, 0.175, 1),
    "P4 Rollout": ("2025-11-01T18:09", "failed", 0.338, -0.149, 0.01, 0.221, 2),
    "P3 Tiny Guards": ("2025-11-01T15:55", "finished", 0.526, -0.064, None, None, None),
    "P2 Residual": ("2025-11-01T14:50", "failed", 0.472, -0.534, None, None, None),
    "P1 Baseline": ("2025-11-01T13:41", "finished", 0.550, -0.167, 0.0108, 0.243, 2),
    "V3 Directional": ("2025-10-31T15:01", "failed", 0.354, -0.132, None, None, None),
    "Directional Fix": ("2025-10-31T10:59", "failed", None, None, None, None, None),
    "584k Stable": ("2025-10-31T08:37", "finished", None, None, None, None, None),
    "AMN 790k Split": ("2025-10-31T00:17", "finished", None, -0.002, None, None, None),
    "Transformer Optimized": ("2025-10-24T08:55", "failed", None, -0.134, None, None, None),
    "AMN 584k Fresh": ("2025-10-28T22:33", "finished", None, None, None, None, None),
}


def test_eleven_vector_models_of_two_reports_are_eleven_runs(runs):
    assert {name for name, run in runs.items() if run["experiment"] == "lvm"} == set(LVM)


@pytest.mark.parametrize("name", LVM)
def test_each_vector_model_has_its_date_status_cosine_margin_retrieval_and_gates(runs, name):
    date, status, cosine, margin, r1, r5, gates = LVM[name]
    run = runs[name]
    assert run["started_at"].startswith(date) and run["status"] == status
    for metric, value in (("val/cosine", cosine), ("val/margin", margin), ("val/r@1", r1), ("gates/passed", gates)):
        assert (last(run, metric) if metric in run["metrics"] else None) == value
    assert (round(last(run, "val/r@5"), 3) if "val/r@5" in run["metrics"] else None) == r5
    assert "gates/total" not in run["metrics"] or last(run, "gates/total") == 5


def test_the_deployed_model_is_known_by_a_tag_and_its_words(runs):
    assert [name for name, run in runs.items() if "deployed" in run["tags"]] == ["P1 Baseline"]
    assert "DEPLOYED" in runs["P1 Baseline"]["params"]["reported_status"]


def test_out_of_domain_values_stand_beside_the_validation_ones(runs):
    assert last(runs["P5 Stage A"], "ood/margin") == -0.046 and last(runs["P5 Stage A"], "ood/r@5") == 0.109
    assert last(runs["P1 Baseline"], "ood/rollout") == 0.493


def test_what_the_reports_asked_for_are_gates_with_their_verdicts(runs):
    gates = {gate["metric"]: gate for gate in runs["P5 Stage A"]["gates"]}
    assert (gates["val/margin"]["op"], gates["val/margin"]["threshold"]) == (">=", 0.02)
    assert (gates["val/margin"]["observed"], gates["val/margin"]["verdict"]) == (-0.041, "fail")
    assert gates["val/rollout"]["verdict"] == "fail" and gates["ood/rollout"]["verdict"] == "pass"
    assert gates["val/bins_delta"]["verdict"] == "pass" and gates["val/ablations"]["verdict"] == "fail"
    assert gates["gates/passed"]["threshold"] == 3 and gates["gates/passed"]["verdict"] == "fail"


def test_the_course_of_a_collapse_has_its_steps(runs):
    cosine = runs["V3 Directional"]["metrics"]["val/cosine"]
    assert (cosine["best"], cosine["best_step"], cosine["last"]) == (0.54, 3, 0.354)


CORRUPTIONS = {
    "block_comment": 1.0, "delete_brace": 0.92, "delete_bracket": 0.88, "delete_colon": 1.0, "delete_comma": 1.0,
    "insert_comma": 0.96, "line_comment": 1.0, "markdown_fence": 1.0, "markdown_fence_plain": 1.0, "mask_token": 0.96,
    "prose_wrap": 1.0, "python_false": 1.0, "python_null": 1.0, "python_true": 1.0, "single_quotes": 1.0,
    "swap_adjacent": 1.0, "trailing_comma_arr": 1.0, "trailing_comma_obj": 1.0, "truncate": 0.24, "unquote_keys": 1.0,
}  # fmt: skip


def test_twenty_kinds_of_corruption_have_their_parse_success(runs):
    run = runs["Phase 32 V2"]
    found = {
        name.removeprefix("parse_success/"): last(run, name)
        for name in run["metrics"]
        if name.startswith("parse_success/")
    }
    assert found == CORRUPTIONS
    assert run["metrics"]["parse_success/truncate"]["last_step"] == 100
    assert last(run, "acc/truncate") == 0.19


def test_best_and_final_of_the_denoiser_are_both_kept(runs):
    run = runs["Phase 32 V2"]
    success = run["metrics"]["val/parse_success"]
    assert success["best"] == 0.938 and success["count"] == 2
    assert last(run, "val/loss") == 0.0525 and last(run, "val/token_acc") == 0.988
    assert run["status"] == "finished" and run["started_at"].startswith("2025-11-29")
    beside = {e["subject"]: (e["basis"], e["values"]) for e in run["evaluations"] if e["subject"]}
    assert {round(v["value"], 3) for _, values in beside.values() for v in values.values()} == {
        0.938,
        0.95,
        0.97,
        0.989,
    }
    assert [basis for basis, _ in beside.values()].count("estimated") == 1


def test_base_and_fine_tuned_stand_side_by_side_and_no_expectation_is_a_result(runs):
    base, tuned = runs["Base Model"], runs["Fine-tuned v2"]
    assert (last(base, "json_exact"), last(base, "field_f1"), last(base, "schema_compliance")) == (0.019, 0.024, 0.019)
    assert (last(tuned, "json_exact"), last(tuned, "field_f1"), last(tuned, "schema_compliance")) == (
        0.253,
        0.55,
        0.405,
    )
    assert tuned["started_at"].startswith("2025-11-20")
    used = {(data["name"], data["version"], data["role"]) for data in tuned["datasets"]}
    assert used == {("edgejson", "v2", "train"), ("edgejson", "v2", "test")}
    assert {data["role"] for data in base["datasets"]} == {"test"}
    assert not any("v3" in name for name in runs)


def test_targets_and_what_was_achieved_of_the_ternary_vae(runs):
    run = runs["Ternary VAE v5.5"]
    gates = {gate["name"]: (gate["op"], gate["threshold"], gate["observed"], gate["verdict"]) for gate in run["gates"]}
    assert gates == {
        "latent_variance/min": (">", 0.1, 0.24, "pass"),
        "holdout/accuracy": (">", 0.7, 1.0, "pass"),
        "reconstruction": (">", 0.8, 1.0, "pass"),
        "coverage": (">", 0.7, 0.86, "pass"),
        "coverage (sampled)": (">", 0.9, 0.994, "pass"),
        "active_dimensions": (">=", 16.0, 16.0, "pass"),
    }
    assert (last(run, "val/loss"), run["metrics"]["val/loss"]["best_step"]) == (0.2843, 6)


def test_sampled_and_measured_coverage_never_share_a_series(runs):
    coverage = {name: m for name, m in runs["Ternary VAE v5.5"]["metrics"].items() if name.startswith("coverage/VAE-A")}
    assert {(m["basis"], m["last"]) for m in coverage.values()} == {("measured", 0.8646), ("sampled", 0.9942)}
    assert not any(m["basis"] == "measured" and m["last"] > 0.9 for m in coverage.values())


# --- cells


@pytest.mark.parametrize(
    ("cell", "value"),
    [
        ("**-0.041**", Value(-0.041)),
        ("17.5%", Value(0.175)),
        ("1/5", Value(1.0, whole=5.0)),
        ("0.24-0.78", Value(0.24, high=0.78)),
        ("~95-97%", Value(0.95, high=0.97, is_estimate=True)),
        ("100% (both)", Value(1.0)),
        ("0.2843 (epoch 6)", Value(0.2843, step=6)),
        ("19,683", Value(19683.0)),
        ("−3.5e-4", Value(-3.5e-4)),
        ("`0.5`", Value(0.5)),
        ("✅ PASS", Value(1.0)),
        ("Fail", Value(0.0)),
        ("13.3x", None),
        ("205M", None),
        ("about nothing", None),
        ("Max jump 0.006", None),
        ("v2", None),
        ("?", None),
    ],
)
def test_a_cell_is_the_number_it_shows_or_none(cell, value):
    assert value_of(cell) == value


@pytest.mark.parametrize(
    ("cell", "op", "number"),
    [
        ("≥ +0.02", ">=", 0.02),
        (">70%", ">", 0.7),
        ("<= 5", "<=", 5),
        ("at least 3", ">=", 3),
        ("16/16", "", 16),
        ("Pass", "==", 1),
    ],
)
def test_a_target_is_an_operator_and_a_number(cell, op, number):
    found = target_of(cell)
    assert (found.op, found.value.number) == (op, number)


def test_what_is_missing_is_missing_and_a_dash_is_no_minus():
    assert all(is_missing(cell) for cell in ("?", "N/A", "-", "—", "", "**?**", "TBD", "XX%"))
    assert not is_missing("0")


@pytest.mark.parametrize(
    ("words", "verdict"),
    [
        ("❌ Backward bias", "failed"),
        ("FAILED (worse)", "failed"),
        ("⚠️ Partial", "finished"),
        ("✅ Stable", "finished"),
        ("Random", ""),
    ],
)
def test_status_words_and_symbols_say_whether_it_worked(words, verdict):
    assert verdict_of(words) == verdict


# --- names


@pytest.mark.parametrize(
    ("label", "name"),
    [
        ("Margin (VAL)", "val/margin"),
        ("Val Cos", "val/cosine"),
        ("Val Cosine", "val/cosine"),
        ("JSONExact", "json_exact"),
        ("Field F1", "field_f1"),
        ("**R@5** (OOD)", "ood/r@5"),
        ("Final Val Token Acc", "val/token_acc"),
        ("Sampling Coverage", "coverage"),
        ("Gates Passed", "gates"),
    ],
)
def test_a_metric_has_one_name_however_it_is_written(label, name):
    assert MetricName(label).full == name


def test_experiments_dates_and_data_sets_are_read_out_of_words():
    assert experiment_of("LVM Training Session Summary - November 2, 2025") == "lvm"
    assert experiment_of("LVM Model Comparison Table - Recent Training Session") == "lvm"
    assert dates_in("Nov 2, 10:06", 2025) == [(1762077960.0, True)] == dates_in("2025-11-02 10:06")
    assert dates_in("November 2, 2025, 10:06 PM")[0][0] == 1762077960.0 + 12 * 3600
    assert dates_in("Nov 31, 2025") == dates_in("Nov 2") == []
    assert dataset_of("data/edgejson_train_v2.jsonl (old)") == ("edgejson", "v2", "train")
    assert dataset_of("all of the clean data") is None


# --- encodings


@pytest.mark.parametrize("wrong", ["latin-1", "cp1252", "cp1254", "mac_roman"])
def test_letters_that_were_misread_are_put_right(wrong):
    words = "margin ≥ +0.02 → naïve α·Δ – “quoted” ✅ ❌ ⏳ fail"
    broken = words.encode().decode(wrong, "ignore")
    found = repair(broken)
    assert found.text == words and found.suffered and found.n_left == 0


@pytest.mark.parametrize("wrong", ["latin-1", "mac_roman"])
def test_letters_that_were_misread_twice_are_put_right_twice(wrong):
    words = "≥ naïve ✅ ❌"
    assert repair(words.encode().decode(wrong).encode().decode(wrong)).text == words


def test_text_that_is_whole_stays_as_it_is():
    words = "Größe ≥ 3 → ∞, ça va — “ok” ✅ 日本語 Ünïcödé É Ø å"
    assert repair(words).text == words and repair(words).suffered == ()
    assert decode(words.encode("utf-16")).text == words
    assert decode(b"\xef\xbb\xbfabc").text == "abc"
    assert "Windows-1252" in str(decode("größer – so".encode("cp1252")))


def test_the_repair_is_told_with_the_encoding_it_found():
    found = {path.name: str(understand(path).encoding) for path in EXAMPLES.iterdir()}
    assert found["lvm-comparison.md"].startswith("UTF-8 read as Mac Roman: ")
    assert found["lvm-session.md"].startswith("UTF-8 read as Windows-1254: ")
    assert found["edgejson.md"] == "the encoding is whole"


# --- what is not understood


def test_a_dry_run_says_what_was_understood_and_what_was_not():
    lines = "\n".join(explain(understand(EXAMPLES / "edgejson.md")))
    assert "run Fine-tuned v2: finished, 3 values, 0 targets, train on edgejson@v2" in lines
    assert "not taken, line 23: JSONExact | 60-70% (Expected v3 is no measurement)" in lines
    assert "Max jump 0.006 (no number stands there)" in "\n".join(explain(understand(EXAMPLES / "ternary-vae.md")))


def test_a_heading_in_code_style_is_the_metrics_own_name(own_folder):
    path = own_folder / "r.md"
    path.write_text("# Sum-up\n\n| model | `5cat/R@5_Best` | val loss |\n|---|---|---|\n| one | 0.24 | 0.5 |\n")
    (run,) = understand(path).runs
    assert {item.metric.full for item in run.said} == {"5cat/R@5_Best", "val/loss"}


def test_a_text_without_results_is_refused(own_folder):
    importer = MarkdownImporter()
    Path("talk.md").write_text("# Talk\n\nNo table | here.\n")
    assert not importer.recognises(Path("talk.md")) and not importer.recognises(Path("gone.md"))
    with pytest.raises(UsageError, match="no table of results"):
        list(importer.read(Path("talk.md")))
    with pytest.raises(NotFoundError):
        list(importer.read(Path("gone.md")))
    assert importer.recognises(EXAMPLES / "edgejson.md")


@pytest.mark.parametrize(
    "text",
    [
        "",
        "|",
        "# \n|a|b|\n|-|-|\n|x|",
        "|Model|Acc|\n|-|-|\n||0.5|\n",
        "|Metric|\n|-|\n|a|\n",
        "|Epoch|loss|\n|-|-|\n|x|y|\n",
        "\x00|é|",
    ],
)
def test_odd_tables_are_read_without_harm(text):
    read_report(repair(text))


HEADS = [
    "Model",
    "Metric",
    "Epoch",
    "Tool",
    "Target",
    "Result",
    "Status",
    "Date",
    "Margin (VAL)",
    "VAL Score",
    "#",
    "Own",
]
CELLS = [
    "P1",
    "**0.5**",
    "17%",
    "?",
    "1/5",
    "≥ 0.02",
    "❌",
    "Nov 2, 10:06",
    "1-3",
    "~95-97%",
    "A: Offset Margin",
    "1e999",
]
TABLES = st.integers(1, 5).flatmap(
    lambda n: st.tuples(
        st.lists(st.sampled_from(HEADS), min_size=n, max_size=n),
        st.lists(st.lists(st.sampled_from(CELLS), min_size=n, max_size=n), max_size=4),
    )
)


@given(st.lists(TABLES, max_size=4), st.text(max_size=40))
def test_whatever_tables_say_becomes_events_that_can_be_written_and_suites_that_can_be_read(tables, words):
    def line(cells):
        return "| " + " | ".join(cells) + " |"

    parts = ["# LVM results", words]
    parts += ["\n".join([line(heads), line(["---"] * len(heads)), *map(line, rows)]) for heads, rows in tables]
    report = read_report(repair("\n\n".join(parts)))
    for run in report.runs:
        said = run_events(report, run, "f.md", 0.0)
        written = [events.decode(events.encode(event)) for event in said]
        for event in merge([said, written]):
            assert not isinstance(event, events.Gates) or parse_suite(event.text).gates


def test_a_report_that_is_corrected_replaces_what_it_said_before_and_nothing_else(own_folder):
    db = open_database("runs.db", create=True)
    importer = MarkdownImporter()
    table = "# LVM results\n\n**Date**: 2025-11-02\n\n| Model | Val Cos | Status |\n|---|---|---|\n| P1 | {} | ✅ |\n"
    Path("one.md").write_text(table.format("0.5"))
    Path("two.md").write_text("# LVM notes\n\n| Model | Margin |\n|---|---|\n| P1 | -0.1 |\n")
    for name in ("one.md", "two.md"):
        record(db, importer.read(Path(name)))
    Path("one.md").write_text(table.format("0.6"))
    assert [one.verdict for one in record(db, importer.read(Path("one.md")))] == ["changed"]
    from registry import queries

    with db.read() as session:
        runs = queries.list_runs(session, db.settings).rows
    assert [(name, m.last, m.count) for name, m in runs[0].metrics.items()] == [
        ("margin", -0.1, 1),
        ("val/cosine", 0.6, 1),
    ]

"""Documents come from where one says, no two parts share one, and a score says what was really recovered."""

import json
from pathlib import Path

import numpy as np
import pytest

from registry.errors import NotFoundError, UsageError
from runners.json_repair.documents import (
    MAX_CHARACTERS,
    MIN_CHARACTERS,
    Documents,
    open_documents,
    reformat,
)
from runners.json_repair.evaluate import CLEAN, STACKED, Case, evaluate, make_cases, summarise, table
from runners.json_repair.grammar import parses, strict_loads
from runners.json_repair.repair import (
    FALLBACK,
    UNCHANGED,
    Repair,
    TagRepairer,
    WithFallback,
    grammar_repairer,
    repair_all,
)
from runners.json_repair.rivals import EMPTY_OBJECT, HEURISTIC, IDENTITY, heuristic, installed_rivals
from runners.json_repair.scoring import macro, same_value, score, similarity
from runners.json_repair.synthetic import make_value
from runners.training.estimates import wilson


@pytest.fixture(scope="module")
def made() -> Documents:
    return open_documents("synthetic", 7, 60)


def write_packages(folder: Path, n: int) -> None:
    """Write n packages of unequal size, each with a file that is too long to be one document."""
    for number in range(n):
        package = folder / f"package{number}"
        package.mkdir()
        for k in range(2 + number % 3):
            record = {"package": number, "file": k, "text": "x" * 60, "list": [1, 2, 3]}
            (package / f"{k}.json").write_text(json.dumps(record, indent=2))
        rows = [{"package": number, "row": row, "note": "y" * 80} for row in range(40)]
        (package / "rows.json").write_text(json.dumps({"rows": rows}, indent=4))
        (package / "broken.json").write_text("{'no': json}" * 10)


def test_a_folder_is_split_by_its_packages(tmp_path: Path) -> None:
    write_packages(tmp_path, 12)
    documents = open_documents(str(tmp_path), 0, 0)
    packages = {
        name: {strict_loads(text).get("package") for text in getattr(documents, name)}
        for name in ("train", "validation", "test")
    }
    assert not packages["train"] & packages["test"] and not packages["train"] & packages["validation"]
    assert packages["test"] and packages["validation"]
    assert set(documents.sources["test"]) == {f"package{number}" for number in packages["test"]}
    assert len(documents.train) > len(documents.test) > len(documents.validation)


def test_documents_are_as_they_are_written(tmp_path: Path) -> None:
    write_packages(tmp_path, 8)
    documents = open_documents(str(tmp_path), 0, 0)
    texts = [*documents.train, *documents.validation, *documents.test]
    assert all(MIN_CHARACTERS <= len(text) <= MAX_CHARACTERS and parses(text) for text in texts)
    assert len(texts) == len(set(texts))
    rows = [text for text in texts if '"row"' in text]
    assert rows and all(text.startswith('{\n    "package"') and text.endswith("\n}") for text in rows)
    assert open_documents(str(tmp_path), 5, 0).digest() == documents.digest()


def test_a_json_lines_file_is_split_by_document(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"row": row, "text": "z" * 50}) + "\n" for row in range(50)))
    documents = open_documents(str(path), 0, 0)
    assert [len(getattr(documents, name)) for name in ("train", "validation", "test")] == [30, 5, 15]
    assert not set(documents.train) & {*documents.test, *documents.validation}


def test_places_that_hold_nothing_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(NotFoundError, match="no folder or file"):
        open_documents(str(tmp_path / "nowhere"), 0, 0)
    with pytest.raises(UsageError, match="holds 0 documents"):
        open_documents(str(tmp_path), 0, 0)


def test_installed_packages_hold_documents() -> None:
    documents = open_documents("installed", 0, 0)
    assert len(documents.train) > 200 and len(documents.test) > 100
    assert not set(documents.sources["train"]) & set(documents.sources["test"])


def test_made_documents_follow_their_seed(made: Documents) -> None:
    assert made == open_documents("synthetic", 7, 60)
    assert made != open_documents("synthetic", 8, 60)
    assert not set(made.train) & set(made.test)


def test_formats_do_not_change_the_value() -> None:
    shapes = set()
    for seed in range(40):
        rng = np.random.default_rng(seed)
        value = make_value(rng)
        text = reformat(value, rng)
        assert same_value(strict_loads(text), value)
        shapes.add(("\n" in text, ": " in text, "\t" in text))
    assert len(shapes) >= 4


# --- scores


@pytest.mark.parametrize(
    ("original", "repaired", "parses_", "exact"),
    [
        ('{"a": 1, "b": 2}', '{"b": 2, "a": 1}', True, True),
        ('{"a": 1}', '{"a": 1.0}', True, False),
        ('{"a": 1}', '{"a": true}', True, False),
        ("[1, 2]", "[2, 1]", True, False),
        ('{"a": 1}', "{}", True, False),
        ('{"a": 1}', "{'a': 1}", False, False),
        ("[1]", "[NaN]", False, False),
    ],
)
def test_exact_is_the_same_value_type_by_type(original: str, repaired: str, parses_: bool, exact: bool) -> None:
    found = score(original, repaired)
    assert (found.parses, found.exact) == (parses_, exact)
    assert (found.similarity == 1.0) == exact and 0 <= found.similarity <= 1


def test_similarity_falls_with_what_is_lost() -> None:
    whole = {"a": [1, 2, 3], "b": {"c": "long text"}}
    assert similarity(whole, whole) == 1
    one_lost = similarity(whole, {"a": [1, 3], "b": {"c": "long text"}})
    half_lost = similarity(whole, {"a": [1, 2, 3]})
    cut_string = similarity(whole, {"a": [1, 2, 3], "b": {"c": "long tex"}})
    assert 1 > cut_string > one_lost > half_lost > similarity(whole, {}) > 0
    assert similarity(1, 1.0) == similarity(True, 1) == similarity([], {}) == 0


def test_intervals_hold_the_mean_and_shrink() -> None:
    few, many = wilson([1.0] * 9 + [0.0]), wilson([1.0] * 900 + [0.0] * 100)
    assert few.low < few.value == 0.9 < few.high and few.low < many.low and many.high < few.high
    assert (many.low, many.high) == pytest.approx((0.8798, 0.9171), abs=1e-4)
    assert wilson([1.0] * 5).high == 1.0 and macro([[1.0] * 10, [0.0] * 10]).value == 0.5


# --- cases and repairers


def test_cases_are_whole_and_follow_their_seed(made: Documents) -> None:
    cases = make_cases(made.test, 6, 3)
    assert cases == make_cases(made.test, 6, 3) != make_cases(made.test, 6, 4)
    counts = {kind: sum(case.kind == kind for case in cases) for kind in {case.kind for case in cases}}
    assert len(counts) == 22 and set(counts.values()) == {6}
    for case in cases:
        assert parses(case.original) and parses(case.broken) == (case.kind == CLEAN)


def test_a_good_score_cannot_be_had_for_nothing(made: Documents) -> None:
    cases = make_cases(made.test, 10, 0)
    broken = [case.broken for case in cases]
    oracle = summarise(cases, [Repair(case.original, 1.0) for case in cases]).metrics
    empty = summarise(cases, EMPTY_OBJECT.repair(broken)).metrics
    same = summarise(cases, IDENTITY.repair(broken)).metrics
    assert (oracle["repair/parse"], oracle["repair/exact"], oracle["repair/clean_unchanged"]) == (1, 1, 1)
    assert (empty["repair/parse"], empty["repair/exact"], empty["repair/clean_unchanged"]) == (1, 0, 0)
    assert (same["repair/parse"], same["repair/exact"], same["repair/clean_unchanged"]) == (0, 0, 1)


def test_the_limit_of_truncate_is_what_was_cut_without_content() -> None:
    whole = '{"a": [1, true, "xy"]}'
    cuts = {whole[:-1]: 1, whole[:-3]: 1, '{"a": [1, true, "x': 0, '{"a": [1, tr': 0, '{"a": [1': 0}
    cases = [Case("truncate", whole, broken) for broken in cuts]
    answers = grammar_repairer().repair([case.broken for case in cases])
    metrics = summarise(cases, answers).metrics
    assert metrics["repair/exact_limit/truncate"] == metrics["repair/exact/truncate"] == sum(cuts.values()) / len(cuts)


def test_the_search_alone_always_parses_and_beats_the_heuristic(made: Documents) -> None:
    cases = make_cases(made.test, 12, 0)
    grammar, rival = evaluate(grammar_repairer(), cases), evaluate(heuristic(), cases)
    assert grammar.metrics["repair/parse"] == grammar.metrics["repair/clean_unchanged"] == 1
    assert grammar.metrics["repair/exact"] > rival.metrics["repair/exact"]
    assert grammar.intervals["repair/exact/delete_comma"][0] <= grammar.metrics["repair/exact/delete_comma"]
    assert grammar.counts[f"repair/exact/{STACKED}"] == 12
    lines = table({"grammar": grammar, HEURISTIC: rival})
    assert len({line.count("|") for line in lines}) == 1 and "delete_brace" in "\n".join(lines)


@pytest.mark.parametrize("text", ["", "hello world", '{"a": [1, {"b', "}}}]]", "[" * 600, '{"a" = 1; }', "\x00\ud800"])
def test_the_search_alone_makes_json_of_anything(text: str) -> None:
    assert parses(grammar_repairer().repair([text])[0].text)


def test_what_parses_stays_as_it_is() -> None:
    texts = ['{ "a" : 1.50 }\n', "{'a': 1}", '"text"']
    repairs = repair_all(EMPTY_OBJECT, texts)
    assert [repair.text for repair in repairs] == [texts[0], "{}", texts[2]]
    assert [repair.source for repair in repairs] == [UNCHANGED, "model", UNCHANGED]


def test_the_fallback_answers_where_the_first_is_unsure_and_it_parses() -> None:
    class Unsure:
        name = "unsure"

        def repair(self, texts):
            return [Repair("[]", 0.9 if "sure" in text else 0.2) for text in texts]

    both = WithFallback(Unsure(), heuristic(), below=0.5)
    repairs = both.repair(["[sure", "[1, 2"])
    assert [(repair.text, repair.source) for repair in repairs] == [("[]", "model"), ("[1, 2]", FALLBACK)]
    assert repairs[1].confidence == 0.2
    assert WithFallback(Unsure(), IDENTITY).repair(["[1, 2"])[0].text == "[]"


def test_rivals_that_raise_leave_the_text() -> None:
    def fail(text: str) -> str:
        raise RuntimeError(text)

    from runners.json_repair.rivals import FunctionRepairer

    assert FunctionRepairer("fails", fail).repair(["[1"])[0].text == "[1"
    assert HEURISTIC in {rival.name for rival in installed_rivals()}


def test_confidence_is_the_probability_of_the_least_sure_tag() -> None:
    from runners.json_repair.align import INSERTIONS

    def tag(texts):
        return [
            (
                np.log(np.tile([0.9, 0.1], (len(tokens), 1))),
                np.log(np.tile(np.eye(len(INSERTIONS))[0] * (1 - 1e-6) + 1e-12, (len(tokens), 1))),
            )
            for tokens in texts
        ]

    assert grammar_repairer().repair(["[1"])[0].confidence is None
    repair = TagRepairer("fixed", tag).repair(["[1]"])[0]
    assert repair.text == "[1]" and repair.confidence == pytest.approx(0.9, rel=1e-3)

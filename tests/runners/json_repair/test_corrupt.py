"""Every corruption breaks a document, does what its name says, and depends on its seed alone."""

import json

import numpy as np
import pytest

from runners.json_repair import lexer
from runners.json_repair.align import DELETE, INSERTION_OF, INSERTIONS, KEEP, gold_tags, read_document
from runners.json_repair.corrupt import CORRUPTIONS, TRUNCATE, TYPES, corrupt, corrupt_stacked
from runners.json_repair.decode import Path, decode, render
from runners.json_repair.documents import reformat
from runners.json_repair.grammar import completion, parses, strict_loads, walk
from runners.json_repair.lexer import lex
from runners.json_repair.scoring import same_value
from runners.json_repair.synthetic import make_value

DOCUMENT = json.dumps(
    {"name": 'it\'s "x"', "list": [1, 2.5, [3]], "inner": {"yes": True, "no": False, "none": None}, "e": {}}, indent=2
)
ONE_LINE = json.dumps(json.loads(DOCUMENT), separators=(",", ":"))


def draw(seed: int) -> np.random.Generator:
    return np.random.default_rng(seed)


def test_there_are_twenty() -> None:
    assert len(TYPES) == len(set(TYPES)) == 20


@pytest.mark.parametrize("name", TYPES)
@pytest.mark.parametrize("document", [DOCUMENT, ONE_LINE])
def test_it_breaks_the_document_and_its_seed_decides_how(name: str, document: str) -> None:
    broken = [corrupt(document, name, draw(seed)) for seed in range(20)]
    assert all(one is not None and not parses(one) for one in broken)
    assert broken == [corrupt(document, name, draw(seed)) for seed in range(20)]


@pytest.mark.parametrize(
    ("name", "document", "broken"),
    [
        ("delete_comma", "[1,2]", "[1 2]"),
        ("delete_comma", "[1, 2]", "[1 2]"),
        ("delete_colon", '{"a": 1}', '{"a" 1}'),
        ("python_true", "[true]", "[True]"),
        ("python_false", "[false]", "[False]"),
        ("python_null", "[null]", "[None]"),
        ("single_quotes", '{"it\'s": "\\"x\\""}', "{'it\\'s': '\"x\"'}"),
        ("unquote_keys", '{"a": {"b c": "d"}}', '{a: {"b c": "d"}}'),
        ("trailing_comma_obj", '{"a": 1}', '{"a": 1,}'),
        ("trailing_comma_arr", "[1]", "[1,]"),
        ("markdown_fence", "[1]", "```json\n[1]\n```"),
        ("markdown_fence_plain", "[1]", "```\n[1]\n```"),
    ],
)
def test_what_it_does(name: str, document: str, broken: str) -> None:
    assert corrupt(document, name, draw(0)) == broken


@pytest.mark.parametrize(
    ("name", "document"),
    [
        ("delete_comma", '{"a": 1}'),
        ("delete_bracket", '{"a": 1}'),
        ("delete_colon", "[1, 2]"),
        ("python_true", '{"true": "true"}'),
        ("unquote_keys", '{"a b": 1}'),
        ("trailing_comma_arr", "[]"),
    ],
)
def test_it_leaves_alone_what_it_does_not_apply_to(name: str, document: str) -> None:
    assert corrupt(document, name, draw(0)) is None


@pytest.mark.parametrize("name", ["delete_brace", "delete_bracket", "mask_token", "swap_adjacent", "insert_comma"])
def test_all_places_are_reached(name: str) -> None:
    broken = {corrupt(DOCUMENT, name, draw(seed)) for seed in range(300)}
    assert len(broken) >= {"delete_brace": 6, "delete_bracket": 4}.get(name, 20)


def test_truncation_keeps_at_least_half() -> None:
    for seed in range(50):
        broken = corrupt(DOCUMENT, TRUNCATE, draw(seed))
        assert broken is not None and DOCUMENT.startswith(broken) and len(broken) >= len(DOCUMENT) // 2


def test_stacked_ones_name_what_was_done() -> None:
    seen = set()
    for seed in range(200):
        n = 1 + seed % 5
        stacked = corrupt_stacked(DOCUMENT, n, draw(seed))
        assert stacked is not None
        broken, names = stacked
        assert not parses(broken) and 1 <= len(names) <= n and set(names) <= set(CORRUPTIONS)
        seen.add(len(names))
    assert seen == {1, 2, 3, 4, 5}


def path_of(edits: list[int], insertions: list[int]) -> Path:
    """Return tags as a path; what a text lacks at its end follows from what came before."""
    return Path(tuple(edits), (*(INSERTIONS[i] for i in insertions[:-1]), ""), 0.0, searched=False)


@pytest.mark.parametrize("name", TYPES)
def test_gold_tags_lead_back_to_the_document(name: str) -> None:
    """For every type, and both for one fault and (below) for several."""
    n_tagged = 0
    for seed in range(25):
        rng = draw(seed)
        document = reformat(make_value(rng), rng)
        broken = corrupt(document, name, rng)
        if broken is None:
            continue
        tokens = lex(broken)
        tags = gold_tags(tokens, read_document(lex(document)), cut=name == TRUNCATE)
        assert tags is not None, broken
        repaired = render(tokens, path_of(*tags))
        assert parses(repaired)
        if name != TRUNCATE:
            assert same_value(strict_loads(repaired), strict_loads(document)), f"{broken}\n{repaired}"
        n_tagged += 1
    assert n_tagged >= 5


def test_gold_tags_of_stacked_faults_lead_back_too() -> None:
    n_tagged = 0
    types = [name for name in TYPES if name != TRUNCATE]
    for seed in range(60):
        rng = draw(seed)
        document = reformat({"a": make_value(rng), "b": [1, True]}, rng)
        stacked = corrupt_stacked(document, 5, rng, types)
        assert stacked is not None
        tokens = lex(stacked[0])
        tags = gold_tags(tokens, read_document(lex(document)), cut=False)
        if tags is None:
            continue
        repaired = render(tokens, path_of(*tags))
        assert same_value(strict_loads(repaired), strict_loads(document)), f"{stacked[0]}\n{repaired}"
        n_tagged += 1
    assert n_tagged >= 50


def test_of_equal_ways_back_the_one_that_keeps_early_is_taken() -> None:
    edits, insertions = gold_tags(lex("[1,,2]"), read_document(lex("[1,2]")), cut=False) or ([], [])
    assert edits == [KEEP, KEEP, KEEP, DELETE, KEEP, KEEP, KEEP]
    assert insertions == [0] * 7
    edits, insertions = gold_tags(lex('{"a":{"b":1}'), read_document(lex('{"a":{"b":1}}')), cut=False) or ([], [])
    assert edits == [KEEP] * 9 and insertions == [0] * 8 + [INSERTION_OF["$1"]]


def test_content_is_never_invented() -> None:
    assert gold_tags(lex("[1]"), read_document(lex("[1, 2]")), cut=False) is None


def test_what_is_no_document_is_refused() -> None:
    for text in ("[1", "[1] 2", "{1: 2", "tru,"):
        with pytest.raises(ValueError, match="not a"):
            read_document(lex(text))


def test_whatever_the_probabilities_the_result_parses() -> None:
    rng = draw(3)
    for seed in range(150):
        document = reformat(make_value(draw(seed)), draw(seed))
        stacked = corrupt_stacked(document, 1 + seed % 5, draw(seed))
        tokens = lex(stacked[0] if stacked else document)
        edits = np.log(rng.dirichlet([1, 1], len(tokens)))
        insertions = np.log(rng.dirichlet([0.3] * len(INSERTIONS), len(tokens)) + 1e-9)
        assert parses(render(tokens, decode(tokens, edits, insertions, width=1 + seed % 12)))


def test_the_automaton_knows_json() -> None:
    for symbols in ("{}", "[]", "[x,x]", "{x:x,x:[{}]}", "x", "{x:n}"):
        assert walk("T", symbols) == "D"
    for symbols in ("{x}", "[x,]", "{,", "[:", "xx", "{x:x x", "{x::", "]", "{n:x}"):
        assert walk("T", symbols) is None
    assert completion(walk("T", "{x:[{x") or "") == ":n}]}"
    assert walk("T", "[" * 400) and walk("T", "[" * 401) is None


def test_numbers_of_many_digits_and_deep_nesting_are_no_accident() -> None:
    assert parses("[" + "9" * 5000 + "]")
    assert not parses("[" * 100_000)
    assert not parses("[NaN]")
    assert lexer.join(lex("[" * 1000)) == "[" * 1000

"""Every violation is reported with the number of its record and the values that show it."""

import gzip
import json
import sys
from pathlib import Path

import pytest

from registry.checks import parse_checks, validate
from registry.checks.records import DataFile, count_records, normalised
from registry.errors import UsageError


@pytest.fixture
def run_checks(own_folder):
    """Declare checks, write records as JSON lines, and return the outcomes by name."""

    def run(declared, **splits):
        files = []
        for split, records in splits.items():
            path = Path(f"{split}.jsonl")
            path.write_text("".join((r if isinstance(r, str) else json.dumps(r)) + "\n" for r in records))
            files.append(DataFile(path, path.name, split))
        suite = parse_checks(declared, "checks.toml", own_folder)
        return {outcome.name: outcome for outcome in validate(files, suite.make())}

    return run


def check(kind, **values):
    lines = [f"{key} = {json.dumps(value)}" for key, value in values.items()]
    return "\n".join([f'[[check]]\nkind = "{kind}"', *lines]) + "\n"


def test_a_broken_line_is_found_whatever_is_declared(run_checks):
    outcomes = run_checks(check("unique", fields=["id"]), train=[{"id": 1}, '{"id": 2', '{"id": NaN}', {"id": 3}])
    found = outcomes["every record can be read"]
    assert (found.verdict, found.n_checked, found.n_violations) == ("fail", 4, 2)
    assert [violation.record for violation in found.violations] == [2, 3]


def test_json_within_a_field_is_checked_where_it_is_said_to_be(run_checks):
    records = [{"answer": '{"a": 1}'}, {"answer": "{a: 1}"}, {"answer": {"a": 1}}, {}]
    found = run_checks(check("json", name="j", at="answer"), train=records)["j"]
    assert [(violation.record, violation.message[:8]) for violation in found.violations] == [
        (2, "not JSON"),
        (4, "no field"),
    ]


def test_a_schema_is_the_real_json_schema_with_formats(run_checks):
    Path("schemas").mkdir()
    Path("schemas/cart.json").write_text(
        json.dumps({"type": "object", "required": ["total"], "properties": {"total": {"type": "number"}}})
    )
    Path("schemas/mail.json").write_text(json.dumps({"properties": {"to": {"type": "string", "format": "email"}}}))
    records = [
        {"kind": "cart", "answer": {"total": 1}},
        {"kind": "cart", "answer": {"total": "1"}},
        {"kind": "cart", "answer": {}},
        {"kind": "mail", "answer": {"to": "nobody"}},
        {"kind": "ship", "answer": {}},
        {"kind": "cart"},
    ]
    found = run_checks(check("schema", name="s", schemas="schemas", by="kind", at="answer"), train=records)["s"]
    assert [violation.record for violation in found.violations] == [2, 3, 4, 5, 6]
    assert found.violations[0].values == {"$.total": "1"}
    assert "no schema for kind = 'ship'" in found.violations[3].message


def test_a_relation_shows_both_sides_and_the_fields_it_read(run_checks):
    rule = "abs(subtotal + tax - total) < 0.02"
    records = [
        {"id": "a", "cart": {"subtotal": 1.0, "tax": 0.5, "total": 1.5}},
        {"id": "b", "cart": {"subtotal": 120.59, "tax": 228.95, "total": 89.33}},
        {"id": "c", "cart": {"subtotal": 1.0, "total": 1.0}},
        {"id": "d"},
    ]
    found = run_checks(check("relation", name="math", at="cart", where="id != 'd'", rule=rule), train=records)["math"]
    assert (found.n_checked, found.n_violations) == (3, 2)
    broken, missing = found.violations
    assert broken.record == 2 and broken.values == {"subtotal": 120.59, "tax": 228.95, "total": 89.33}
    assert broken.message == "260.21 < 0.02 does not hold"
    assert missing.record == 3 and missing.message == "no field tax"


def test_records_of_an_object_stored_as_text_are_opened(run_checks):
    records = [{"cart": json.dumps({"total": 2})}, {"cart": json.dumps({"total": 0})}]
    found = run_checks(check("relation", name="r", at="cart", rule="total > 0"), train=records)["r"]
    assert [violation.record for violation in found.violations] == [2]


def test_a_twin_is_named_with_the_record_it_repeats(run_checks):
    found = run_checks(check("unique", name="u", fields=["id"]), train=[{"id": 1}, {"id": 2}, {"id": 1}, {"x": 1}])["u"]
    assert [(v.record, v.message) for v in found.violations] == [
        (3, "the same as record 1 of train.jsonl"),
        (4, "no field id"),
    ]
    whole = run_checks(check("unique", name="u"), train=[{"a": 1, "b": 2}, {"b": 2, "a": 1}])["u"]
    assert whole.n_violations == 1


def test_a_leak_is_found_word_for_word_and_but_for_case_and_spacing(run_checks):
    train = [{"q": "What is  the CAPITAL of France?"}, {"q": "two"}, {"q": "three"}]
    test = [{"q": "what is the capital of france"}, {"q": "two"}, {"q": "four"}]
    found = run_checks(check("leakage", name="l", fields=["q"]), train=train, test=test)["l"]
    assert [(v.record, v.message) for v in found.violations] == [
        (1, "is, but for case, spacing or punctuation, record 1 of train.jsonl (train)"),
        (2, "is record 2 of train.jsonl (train)"),
    ]
    exact = run_checks(check("leakage", name="l", fields=["q"], normalise=False), train=train, test=test)["l"]
    assert exact.n_violations == 1


@pytest.mark.parametrize("kind", ["leakage", "min_per_class", "distribution"])
def test_a_check_of_a_split_that_is_not_there_is_unknown_not_passed(run_checks, kind):
    values = {
        "leakage": {},
        "min_per_class": {"field": "c", "split": "test"},
        "distribution": {"field": "c", "max_ratio": 2},
    }
    found = run_checks(check(kind, name="x", **values[kind]), train=[{"c": "a"}])["x"]
    assert found.verdict == "unknown" and "test" in found.reason


def test_a_class_with_too_few_examples_is_named_also_one_with_none(run_checks):
    train = [{"c": "a"}] * 5 + [{"c": "b"}] * 5
    found = run_checks(
        check("min_per_class", name="m", field="c", split="test", minimum=2, classes=["z"]),
        train=train,
        test=[{"c": "a"}] * 2,
    )["m"]
    assert [v.values for v in found.violations] == [{"class": "b", "count": 0}, {"class": "z", "count": 0}]


def test_splits_may_differ_by_the_factor_and_no_more(run_checks):
    train = [{"c": "a"}] * 50 + [{"c": "b"}] * 40 + [{"c": "c"}] * 10
    test = [{"c": "a"}] * 10 + [{"c": "b"}] * 8 + [{"c": "d"}] * 2
    declared = check("distribution", name="d", field="c", max_ratio=2)
    found = run_checks(declared, train=train, test=test)["d"]
    assert [v.values["class"] for v in found.violations] == ["c", "d"]
    assert "ratio of infinite" in found.violations[0].message
    assert run_checks(declared, train=train, test=train)["d"].verdict == "pass"


def test_a_users_command_says_what_it_found_in_json_lines_and_by_its_exit_code(run_checks):
    Path("own.py").write_text(
        "import json, sys\nprint('reading', len(sys.argv) - 1)\n"
        "print(json.dumps({'record': 2, 'file': 'train.jsonl', 'message': 'odd', 'values': {'n': 1}}))\nsys.exit(1)"
    )
    found = run_checks(check("command", name="own", command=[sys.executable, "own.py"]), train=[{}, {}])["own"]
    assert (found.verdict, found.n_violations) == ("fail", 1)
    assert found.violations[0].record == 2 and found.violations[0].values == {"n": 1}


@pytest.mark.parametrize(
    ("script", "verdict", "said"),
    [
        ("print('done')", "pass", ""),
        ("import sys; sys.exit('cannot')", "fail", "exit code 1: cannot"),
        ('print(\'{"message": "bad"}\')', "fail", "bad"),
    ],
)
def test_a_command_is_judged_by_exit_code_and_lines_together(run_checks, script, verdict, said):
    found = run_checks(check("command", name="own", command=[sys.executable, "-c", script]), train=[{}])["own"]
    assert found.verdict == verdict
    assert said in "".join(violation.message for violation in found.violations)


def test_a_command_that_cannot_be_run_or_does_not_end_is_unknown(run_checks):
    gone = run_checks(check("command", name="c", command=["no-such-program"]), train=[{}])["c"]
    assert gone.verdict == "unknown" and "no-such-program" in gone.reason
    slow = check("command", name="c", command=[sys.executable, "-c", "import time; time.sleep(60)"], timeout_s=0.2)
    assert run_checks(slow, train=[{}])["c"].reason == "no answer within 0.2 s"


@pytest.mark.parametrize(
    ("declared", "said"),
    [
        ('[[check]]\nkind = "relaton"\nrule = "a > 1"', "did you mean 'relation'"),
        (
            '[[check]]\nkind = "relation"\nrul = "a > 1"',
            "line 3: check 1 has an unknown key 'rul' (did you mean 'rule'?)",
        ),
        ('[[check]]\nkind = "relation"\nrule = "a ** 2 > 1"', "line 3: check 1 has a wrong rule"),
        ('[[check]]\nkind = "relation"', "has no rule"),
        ('[[check]]\nrule = "a > 1"', "has no kind"),
        ('[[check]]\nkind = "schema"\nschema = "gone.json"', "cannot read"),
        ('[[check]]\nkind = "schema"\nschemas = "gone"\nby = "k"', "finds no schema"),
        ('[[check]]\nkind = "schema"\nschemas = "gone"', "needs one schema"),
        ('[[check]]\nkind = "schema"\nschema = {type = "objct"}', "has a wrong schema"),
        ('[[check]]\nkind = "distribution"\nfield = "c"\nmax_ratio = 0.5', "write 1 or more"),
        ('[[check]]\nkind = "min_per_class"', "names no field"),
        ('[[check]]\nkind = "leakage"\nbetween = ["train"]', "needs two splits"),
        ('[[check]]\nkind = "command"', "has no command"),
        ('[[check]]\nkind = "json"\nname = "x"\n[[check]]\nkind = "json"\nname = "x"', "has the name of another"),
        ("", "declares no check"),
    ],
)
def test_a_check_that_could_be_misread_is_refused_with_its_place(own_folder, declared, said):
    with pytest.raises(UsageError) as caught:
        parse_checks(declared, "checks.toml", own_folder)
    assert said in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "n_records"),
    [
        ("a.jsonl", b'{"a": 1}\n\n{"a": 2}\n', 2),
        ("a.jsonl.gz", gzip.compress(b'{"a": 1}\n{"a": 2}', mtime=0), 2),
        ("a.json", b'[{"a": 1}, {"a": 2}, {"a": 3}]', 3),
        ("a.json", b'{"a": 1}', 1),
        ("a.csv", b'a,b\n1,"x\ny"\n2,z\n', 2),
        ("a.tsv", b"a\tb\n1\t2\n", 1),
        ("a.txt", b"eins\nzwei\n", 2),
        ("a.npz", b"PK", None),
    ],
)
def test_records_are_counted_in_every_kind_of_file_that_has_them(own_folder, name, content, n_records):
    Path(name).write_bytes(content)
    assert count_records(Path(name)) == n_records


def test_a_command_alone_judges_files_that_hold_no_records(own_folder):
    Path("a.npz").write_bytes(b"PK")
    Path("b.jsonl").write_text("{}\n{\n")
    for code, verdict in (("pass", "pass"), ("raise SystemExit(1)", "fail")):
        suite = parse_checks(check("command", name="own", command=[sys.executable, "-c", code]), "c", own_folder)
        arrays = {o.name: o.verdict for o in validate([DataFile(Path("a.npz"), "a.npz")], suite.make())}
        assert arrays == {"every record can be read": "pass", "own": verdict}
        lines = {o.name: o.verdict for o in validate([DataFile(Path("b.jsonl"), "b.jsonl")], suite.make())}
        assert lines["every record can be read"] == "fail"


def test_cells_of_a_table_are_numbers_where_they_are_written_so(own_folder):
    Path("t.csv").write_text("net,tax,total\n1.5,0.5,2\n1,1,3\n1,1\n")
    suite = parse_checks(check("relation", name="r", rule="net + tax == total"), "c", own_folder)
    outcomes = {o.name: o for o in validate([DataFile(Path("t.csv"), "t.csv")], suite.make())}
    assert [v.record for v in outcomes["r"].violations] == [2]
    assert [v.message for v in outcomes["every record can be read"].violations] == ["no cell for total"]


def test_the_normal_form_forgets_case_spacing_punctuation_and_unicode_form():
    assert normalised("Ｗhat  is\tIT?!") == normalised("what is it") == "what is it"
    assert normalised("straße") == normalised("STRASSE")

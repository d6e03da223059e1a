"""The filter language means what its page says, on real rows, and every wrong word is told in one line."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry import clock, events, filters, queries
from registry.catchup import catch_up
from registry.database import Database, open_database
from registry.errors import UsageError

NOW = 1_790_000_000.0
DAY_S = 86_400.0


def write(root: Path, name: str, *more: events.Event, days_ago: float = 10, status: str = "finished", **start) -> None:
    """Write the journal of one run whose id is its name in hexadecimal."""
    run_id = name.encode().hex()
    folder = root / "runs" / f"{name}-{run_id}"
    folder.mkdir(parents=True)
    began = NOW - days_ago * DAY_S
    lines: list[events.Event] = [events.Start(at=began, run=run_id, name=name, **{"experiment": "lab", **start}), *more]
    lines.append(events.End(at=began + 3600 * days_ago, status=status))
    (folder / "journal.jsonl").write_bytes(b"".join(map(events.encode, lines)))


@pytest.fixture(scope="module")
def db(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Database]:
    root = tmp_path_factory.mktemp("filters")
    at = NOW - DAY_S
    m = events.Metrics
    write(
        root,
        "p5-mse",
        m(at=at, s=1, v={"val/loss": 0.5}),
        m(at=at, s=2, v={"val/loss": 0.2}),
        m(at=at, s=3, v={"val/loss": 0.4, "acc": 0.9}),
        params={"lr": 1e-3, "opt": "adam", "deep": True},
        tags=["sweep", "keep"],
        days_ago=1,
    )
    write(
        root,
        "p6-next",
        m(at=at, s=1, v={"val/loss": 0.35, "parse/a": 0.95}),
        params={"lr": 1e-4, "opt": "sgd"},
        tags=["sweep"],
        status="failed",
        days_ago=5,
    )
    write(
        root,
        "draft_100%",
        m(at=at, s=1, v={"val/loss": "NaN"}),
        events.Note(at=at, text="out of memory", level="warning"),
        params={"lr": "auto"},
        experiment="other",
        status="killed",
        days_ago=20,
        git={"commit": "abc", "branch": "main", "dirty": True},
    )
    write(
        root,
        "quoted name",
        events.UseDataset(at=at, name="seq", version="v2"),
        days_ago=30,
        parent=b"p5-mse".hex(),
    )
    opened = open_database(str(root / "runs.db"), create=True)
    catch_up(opened)
    yield opened
    opened.close()


def names(db: Database, expression: str) -> set[str]:
    with db.read() as session, clock.frozen(NOW):
        page = queries.list_runs(session, db.settings, queries.RunFilter(expression=expression))
    return {run.name for run in page.rows}


A, B, C, D = "p5-mse", "p6-next", "draft_100%", "quoted name"


@pytest.mark.parametrize(
    ("expression", "wanted"),
    [
        ("", {A, B, C, D}), ("p5", {A}), ("P5-MSE", {A}), ("p*", {A, B}), ('"quoted name"', {D}), ("quoted name", {D}),
        ("100%", {C}), ("_", {C}), ("sweep", {A, B}), ("memory", {C}), ("other", {C}),
        ("-p5", {B, C, D}), ("NOT p5", {B, C, D}), ("p5 OR p6", {A, B}), ("(p5 OR p6) tag:keep", {A}),
        ("NOT (p5 OR p6)", {C, D}), ("p5 AND sweep", {A}), ("p5 p6", set()),
        ("status:failed,killed", {B, C}), ("status:fail", {B}), ("is:finished", {A, D}), ("is:ended", {A, B, C, D}),
        ("tag:sweep", {A, B}), ("tag:swee", set()), ("tag:s*", {A, B}), ("tag!=keep", {B, C, D}),
        ("exp:lab", {A, B, D}), ("experiment:oth", {C}), ("name=p5-mse", {A}), ("name~mse", {A}),
        ("params.lr>1e-4", {A}), ("params.lr<=1e-3", {A, B}), ("params.opt=adam", {A}), ("params.opt!=adam", {B}),
        ("params.lr=auto", {C}), ("params.deep=true", {A}), ("lr=0.001", {A}), ("opt~gd", {B}),
        ("val/loss<0.3", {A}), ("val/loss<0.4", {A, B}), ("last:val/loss<0.4", {B}), ("val/loss>=0.35", {B}),
        ("acc>0.8", {A}), ("parse/*>0.9", {B}), ("has:nan", {C}), ("has:val/loss", {A, B, C}), ("has:lr", {A, B, C}),
        ("has:dataset", {D}), ("dataset:seq@v2", {D}), ("has:parent", {D}), ("has:children", {A}), ("has:git", {C}),
        ("is:dirty", {C}), ("note:memory", {C}), ("age<7d", {A, B}), ("age>=7d", {C, D}), ("duration>6h", {C, D}),
        ("started<2026-09-08", {C, D}), ("id:7035", {A}), ("has:checkpoint", set()), ("is:deployed", set()),
        ("is:invalid", set()), ("has:tag has:params", {A, B}),
    ],
)  # fmt: skip
def test_what_is_written_is_what_is_found(db: Database, expression: str, wanted: set[str]) -> None:
    assert names(db, expression) == wanted


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("colour:red", "no field 'colour'"), ("(p5", r"a \( is not closed"), ("p5)", r"a \) without its \("),
        ('"open', "a quote is not closed"), ("is:green", "is:green"), ("val/loss<abc", "is no number"),
        ("duration>soon", "not a duration"), ("started<yesterday", "is no date"), ("NOT", "NOT says nothing"),
        ("status:", "status: what?"), ("lr>", "nothing to compare"), ("name<3", "name is text"),
        ("(" * 40 + "a" + ")" * 40, "nested too deeply"), (" ".join(["a"] * 500), "too long"),
        ("last:x", "compares with nothing"),
    ],
)  # fmt: skip
def test_a_wrong_word_is_told_in_one_line(expression: str, said: str) -> None:
    with pytest.raises(UsageError, match=said):
        filters.where(expression, NOW)


@given(st.text(max_size=60))
def test_any_text_is_a_filter_or_a_usage_error(expression: str) -> None:
    try:
        condition, values = filters.where(expression, NOW)
    except UsageError:
        return
    assert isinstance(condition, str)
    assert all(f":{name}" in condition for name in values)


words = st.sampled_from(
    ["p5", "tag:sweep", "status:failed", "val/loss<0.4", "has:nan", "params.lr>1e-4", "is:finished"]
)
trees = st.recursive(
    words,
    lambda inner: st.one_of(
        st.tuples(inner, inner).map(lambda p: f"({p[0]} OR {p[1]})"),
        st.tuples(inner, inner).map(lambda p: f"({p[0]} {p[1]})"),
        inner.map(lambda p: f"NOT {p}"),
    ),
    max_leaves=6,
)


@settings(max_examples=60, deadline=None)
@given(trees, trees)
def test_the_words_between_conditions_are_those_of_logic(db: Database, left: str, right: str) -> None:
    everything = names(db, "")
    assert names(db, f"({left}) OR ({right})") == names(db, left) | names(db, right)
    assert names(db, f"({left}) ({right})") == names(db, left) & names(db, right)
    assert names(db, f"NOT ({left})") == everything - names(db, left)

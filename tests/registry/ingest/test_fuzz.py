# ruff: noqa: E501
"""Nothing that stands in a file may raise, take for ever, or make a parser's state anything but plain JSON."""

import json
import random
import string
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from registry.ingest import decode, numbers, prefixes, text
from registry.ingest.fileformat import FileFormat
from registry.ingest.formats.files import FILE_FORMATS
from registry.ingest.records import State, Values
from registry.ingest.verdicts import verdict
from tests.registry.ingest.styles import CASES
from tests.registry.ingest.test_styles import STYLES

WORDS = st.sampled_from([
    "step", "epoch", "iter", "loss", "acc", "val", "[TRAIN]", "[EVAL]", "lr", "nan", "inf", "Epoch(val)", "{", "}", "[", "]",
    ":", "=", "|", ",", "%|", "it/s", "/", "1", "2/3", "0.5", "1e-3", "-1", "1,087", "Traceback (most recent call last)",
    "ppl:", "*****", "metrics", "'loss':", '"loss":', "num_updates", "skipped=", "global_step=", ":::MLLOG", "\t", "  ", "----",
    "Process 1 exits successfully", "Killed", "\x1b[31m", "█", "2023-01-01 00:00:00", "[rank1]:", "0: ", "step:1/2 ", "s:1 tel:",
])  # fmt: skip
LINES = st.one_of(
    st.text(max_size=200), st.lists(WORDS, max_size=14).map(" ".join), st.lists(WORDS, max_size=14).map("".join)
)


def records_of(lines: list[str], *, through_json: bool) -> list[Any]:
    state: State = {}
    found: list[Any] = []
    for number, line in enumerate(lines):
        found += text.feed(state, number, line)
        dumped = json.dumps(state)
        if through_json:
            state = json.loads(dumped)
    return found + list(text.settle(state))


@settings(max_examples=300, deadline=None)
@given(st.lists(LINES, max_size=12))
def test_text_parsers_take_any_line_and_their_state_survives_a_restart(lines: list[str]) -> None:
    straight = records_of(lines, through_json=False)
    restarted = records_of(lines, through_json=True)
    assert repr(straight) == repr(restarted)


KNOWN = [*(style.text for style in STYLES), *(str(text) for case in CASES for text in case.files.values())]


@pytest.mark.parametrize("part", range(4))
def test_a_shortcut_gives_what_reading_word_by_word_gives(part: int) -> None:
    """Lines like one that was understood are read by an expression: same records, same state, whatever the style."""
    for content in KNOWN[part::4]:
        lines, _ = decode.take_lines(content.encode() * 4, 0, last=True)
        slowly: State = {}
        quickly: State = {}
        expected = [text.feed(slowly, offset, line) for offset, line in lines]
        assert repr(list(text.feed_all(quickly, lines))) == repr(expected)
        assert quickly == slowly


@settings(max_examples=100, deadline=None)
@given(st.sampled_from(KNOWN), st.randoms(use_true_random=False))
def test_a_shortcut_does_not_mistake_a_line_that_was_tampered_with(content: str, chance: random.Random) -> None:
    lines = [line for line in content.splitlines() if line.strip()][:40]
    told = [tampered(chance.choice(lines), chance) for _ in range(60)]
    numbered = list(enumerate(told))
    slowly: State = {}
    quickly: State = {}
    expected = [text.feed(slowly, offset, line) for offset, line in numbered]
    assert repr(list(text.feed_all(quickly, numbered))) == repr(expected)


def tampered(line: str, chance: random.Random) -> str:
    """Change a few characters of a line, mostly digits: other numbers, other kinds of numbers, other words."""
    letters = list(line)
    for _ in range(chance.choice((0, 0, 1, 2, 3))):
        place = chance.randrange(len(letters))
        letters[place] = chance.choice(["0", "7", "12", ".", "-", "e", ",", ":", " ", "  ", "nan", "%", "/", "", "x"])
    return "".join(letters)


@settings(max_examples=200, deadline=None)
@given(LINES)
def test_small_parsers_take_any_line(line: str) -> None:
    prefixes.peel(line)
    verdict({}, line, 0)
    for found in (numbers.pairs(line), numbers.spaced_pairs(line)):
        assert all(isinstance(value, float) for value in found.values())
    numbers.to_number(line)


@pytest.mark.parametrize("form", FILE_FORMATS.values(), ids=list(FILE_FORMATS))
@settings(max_examples=60, deadline=None)
@given(
    content=st.one_of(
        st.binary(max_size=400),
        st.lists(LINES, max_size=8).map(lambda lines: "\n".join(lines).encode("utf-8", "replace")),
    )
)
def test_file_formats_take_any_bytes(form: FileFormat, content: bytes) -> None:
    state: State = {**form.start("metrics.json"), "name": "metrics.json", "metric": "loss"}
    found, consumed = form.read(state, content, 0, last=True)
    assert 0 <= consumed <= len(content)
    for record in [*found, *form.settle(state)]:
        if isinstance(record, Values):
            assert record.step is None or abs(record.step) < 2**63
            assert all(isinstance(name, str) and isinstance(value, float) for name, value in record.values.items())
    json.dumps(state)


@settings(max_examples=200, deadline=None)
@given(st.text(alphabet="ab\n\r\x08é█", max_size=60), st.integers(0, 60))
def test_lines_do_not_depend_on_where_the_bytes_are_cut(content: str, cut: int) -> None:
    data = content.encode()
    whole, _ = decode.take_lines(data, 0, last=True)
    first, consumed = decode.take_lines(data[:cut], 0)
    rest, _ = decode.take_lines(data[consumed:], consumed, last=True)
    assert first + rest == whole
    for offset, line in whole:
        assert data[offset:].decode("utf-8", "replace").startswith(line)


@pytest.mark.parametrize("n_chars", [20_000, 1_000_000])
@pytest.mark.parametrize(
    "start", ["", "step 1 loss: ", "step:1/2 ", "{'loss': ", " 7%|", "Epoch 1/", "[2023-01-01 00:00:00] "]
)
def test_a_long_line_of_one_character_ends(start: str, n_chars: int) -> None:
    """Every expression is linear: a quadratic one would not come back within the time of a test."""
    for letter in string.printable + "█é\x1b":
        text.feed({}, 0, start + letter * n_chars)


@pytest.mark.parametrize("name", ["table", "tensorboard", "wandb", "mlflow metric", "dvclive series"])
def test_a_long_row_of_one_character_ends(name: str) -> None:
    form = FILE_FORMATS[name]
    for letter in (",", '"', "1", " ", "\0", "a,", '"a",', "\t"):
        state: State = {**form.start("metrics.csv"), "metric": "loss"}
        form.read(state, (letter * 1_000_000).encode() + b"\n", 0, last=True)

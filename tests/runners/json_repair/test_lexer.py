"""The lexer loses nothing and never fails; what people write where JSON should be becomes the tokens they meant."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from runners.json_repair import lexer
from runners.json_repair.grammar import canonical
from runners.json_repair.lexer import join, lex

JSON_LIKE = st.text(st.sampled_from(list("{}[]:,\"' \n\\truefalsn01.-+eE/*#`<>MASK[]“”é")), max_size=60)


@settings(max_examples=300, deadline=None)
@given(st.one_of(st.text(max_size=60), JSON_LIKE))
def test_tokens_and_white_space_are_the_text_again(text: str) -> None:
    tokens = lex(text)
    assert join(tokens) == text
    assert tokens[-1].kind == lexer.END
    assert all(not token.text[:1].isspace() for token in tokens)


@pytest.mark.parametrize(
    ("text", "kinds"),
    [
        ("{'a': True}", [0, lexer.OTHER_STRING, 4, lexer.PYTHON_LITERAL, 1]),
        ("{a: .5, b: 0x1F}", [0, lexer.WORD, 4, lexer.ODD_NUMBER, 5, lexer.WORD, 4, lexer.ODD_NUMBER, 1]),
        ("[1 // one\n, 2 /* two */]", [2, lexer.NUMBER, lexer.LINE_COMMENT, 5, lexer.NUMBER, lexer.BLOCK_COMMENT, 3]),
        ("```json\n[]\n```", [lexer.FENCE, 2, 3, lexer.FENCE]),
        ("[<MASK>, [MASK]]", [2, lexer.MASK, 5, lexer.MASK, 3]),
        ('{"a"true}', [0, lexer.STRING, lexer.LITERAL, 1]),
        ("Here's it: 2024-01-01", [lexer.WORD, lexer.WORD, 4, lexer.WORD]),
        ("{a: http://x.y/z}", [0, lexer.WORD, 4, lexer.WORD, 1]),
        ("", []),
    ],
)
def test_kinds(text: str, kinds: list[int]) -> None:
    assert [token.kind for token in lex(text)[:-1]] == kinds


@pytest.mark.parametrize(
    ("text", "strings"),
    [
        ('{"a": "he said "hi" to me"}', ['"a"', '"he said "hi" to me"']),
        ('{"a": "lost end, "b": 1}', ['"a"', '"lost end', '"b"']),
        ('{"a": "lost end,\n"b": 1}', ['"a"', '"lost end', '"b"']),
        ('{"a": "two\nlines", "b": 1}', ['"a"', '"two\nlines"', '"b"']),
        ('{"a": lost", "b": 1}', ['"a"', 'lost"', '"b"']),
        ('{"a": "b" junk, "c": 1}', ['"a"', '"b"', '"c"']),
        ('["cut', ['"cut']),
        ('["a\\"b"]', ['"a\\"b"']),
        ("['it\\'s']", ["'it\\'s'"]),
        ("[“a”, «b»]", ["“a”", "«b»"]),
    ],
)
def test_where_a_string_ends(text: str, strings: list[str]) -> None:
    kinds = (lexer.STRING, lexer.OTHER_STRING, lexer.CUT_STRING)
    assert [token.text for token in lex(text) if token.kind in kinds] == strings


@pytest.mark.parametrize(
    ("text", "as_key", "written"),
    [
        ("'it\\'s \"x\"'", False, '"it\'s \\"x\\""'),
        ('"C:\\dir\\q"', False, '"C:\\\\dir\\\\q"'),
        ('"tab\there"', False, '"tab\\there"'),
        ('"\\ud83d\\ude00"', False, '"\\ud83d\\ude00"'),
        ("'\\ud83d\\ude00'", False, '"😀"'),
        ("True", False, "true"),
        ("None", False, "null"),
        ("NaN", False, "null"),
        ("true", True, '"true"'),
        ("12", True, '"12"'),
        ("007", False, "7"),
        ("+.5", False, "0.5"),
        ("1.", False, "1.0"),
        ("-0xff", False, "-255"),
        ("1_000", False, "1000"),
        ("1.2.3", False, '"1.2.3"'),
        ("abc", False, '"abc"'),
    ],
)
def test_scalars_are_written_as_json(text: str, as_key: bool, written: str) -> None:
    token = lex(text)[0]
    assert token.text == text
    assert canonical(token, as_key=as_key) == written


def test_the_beginning_of_a_literal_at_the_end_is_that_literal() -> None:
    assert [canonical(lex(text)[0], as_key=False, is_last=True) for text in ("tru", "f", "No")] == [
        "true",
        "false",
        "null",
    ]

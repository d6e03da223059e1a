"""What the pages about gates and data sets show is what the program understands."""

import re
from pathlib import Path

import pytest

from registry.checks import parse_checks
from registry.errors import UsageError
from registry.gates import parse_suite
from registry.settings import load_settings

DOCS = Path(__file__).parents[3] / "docs"


def blocks(page):
    return re.findall(r"```toml\n(.*?)```", (DOCS / page).read_text(), re.DOTALL)


def test_the_suite_on_the_page_is_a_suite():
    suite = parse_suite(blocks("gates.md")[0], "docs/gates.md")
    assert suite.name == "my-suite" and len(suite.gates) == 2 and suite.stages[0].max_retries == 2
    assert suite.control("constant").command and suite.baselines[0].name == "copy_last"


def test_the_checks_on_the_page_are_checks(tmp_path):
    (tmp_path / "schemas").mkdir()
    (tmp_path / "schemas/shopping_cart.json").write_text("{}")
    text = blocks("datasets.md")[0]
    assert len(parse_checks(text, "docs/datasets.md", tmp_path).declarations) == text.count("[[check]]")
    with pytest.raises(UsageError):
        parse_checks(text.replace("schemas = ", "schema = "), "docs/datasets.md", tmp_path)


def test_the_settings_on_the_page_are_settings(tmp_path):
    (tmp_path / "registry.toml").write_text(blocks("datasets.md")[1])
    settings = load_settings(tmp_path)
    assert settings.data_policy("edgejson").unchecked == "refuse"
    assert settings.data_policy("other").unchecked == "allow"

"""The pages that are made from the code are current, and what they link to is there."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])


def test_generated_pages_are_current():
    done = subprocess.run([sys.executable, str(ROOT / "docs/generate.py"), "--check"], capture_output=True, text=True)
    assert done.returncode == 0, f"run `make docs`: {done.stdout}{done.stderr}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#]+?)(?:#[^)]*)?\)", page.read_text()):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_the_readme_shows_the_two_commands():
    text = (ROOT / "README.md").read_text()
    assert "make demo" in text and "make test" in text


def test_every_verb_that_the_pages_name_exists():
    from registry.cli.main import COMMANDS, plugins

    known = {*COMMANDS, *plugins(), "VERB"}
    for page in PAGES:
        for block in re.findall(r"```(?:\w*\n)?(.*?)```", page.read_text(), re.DOTALL):
            for verb in re.findall(r"^\s*(?:\$ )?registry ([a-z-]+)", block, re.MULTILINE):
                assert verb in known, f"{page.name} names `registry {verb}`"

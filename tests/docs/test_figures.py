"""Figures show what was recorded: the right heights, the spread of the seeds, nothing that is not in the registry."""

import importlib.util
import sys
from pathlib import Path

import pytest

import registry

SCRIPT = Path(__file__).parents[2] / "docs" / "families" / "figures.py"
PNG = b"\x89PNG\r\n\x1a\n"
BARS = """
[[figure]]
file = "bars.png"
title = "t"
kind = "bars"
metrics = ["exact"]
runs = { "ours" = "seed-*" }
subjects = ["constant"]
said = { "theirs" = [0.5] }
marks = { "bound" = 0.95 }
percent = true
"""
LINES = '[[figure]]\nfile = "lines.png"\ntitle = "t"\nkind = "lines"\nmetrics = ["loss"]\nruns = { ours = "seed-*" }\n'


@pytest.fixture(scope="module")
def figures():
    spec = importlib.util.spec_from_file_location("family_figures", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules["family_figures"] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def page(figures, own_folder, monkeypatch):
    """Return what writes a page's list and draws it into the folder `out`; the exit code comes back."""
    for seed, exact in enumerate((0.90, 0.92, 0.94)):
        with registry.init(name=f"seed-{seed}") as run:
            run.log({"loss": 1.0 - exact}, step=1)
            run.log({"loss": float("nan")}, step=2)
            Path("w").write_text(f"weights of {seed}")
            run.log_artifact("w", role="best", step=1)
            run.log_evaluation("best", {"exact": exact})
            run.log_evaluation(subject="constant", metrics={"exact": 0.1})
    monkeypatch.setattr(figures, "HERE", own_folder)

    def draw(text):
        Path("f.figures.toml").write_text(text)
        monkeypatch.setattr(sys, "argv", ["figures.py", "f", "--out", "out"])
        return figures.main()

    return draw


def test_a_page_becomes_pictures(page):
    assert page(BARS + LINES) == 0
    for name in ("bars", "lines"):
        assert Path(f"out/{name}.png").read_bytes().startswith(PNG)


def test_heights_are_the_recorded_values_and_their_spread(figures, page):
    page(BARS)
    (figure,) = figures.read_figures("f")
    with registry.open() as record:
        ours, constant, theirs = figures.bar_columns(figure, figures.Source(record))
    assert ours[0] == "ours\n3 seeds" and ours[1] == [pytest.approx(0.92)]
    assert ours[2][0] == pytest.approx((0.90, 0.94))
    assert constant[1] == [0.1] and theirs[1] == [0.5]


@pytest.mark.parametrize(
    ("change", "code", "said"),
    [
        (("seed-*", "nobody"), 4, "no run is called nobody"),
        (('["exact"]', '["absent"]'), 4, "recorded absent"),
        (("[0.5]", "[0.5, 0.6]"), 2, "2 values for 1 metrics"),
        (("percent", "per_cent"), 2, "per_cent"),
        (('"bars"', '"pie"'), 2, "pie"),
        (("[[figure]]", "[[figures]]"), 2, "f.figures.toml"),
    ],
)
def test_a_mistake_is_one_line(page, capsys, change, code, said):
    assert page(BARS.replace(*change)) == code
    err = capsys.readouterr().err
    assert said in err and err.count("\n") == 1


def test_the_lists_of_all_pages_are_well_formed(figures):
    for family in figures.known_families():
        for figure in figures.read_figures(family):
            assert figure.file.startswith(family) and figure.file.endswith(".png")

"""What others published stands beside our runs, under the same names, and is held against the same bound."""

from pathlib import Path

import pytest

import registry
from runners.ternary_vae.coverage import HEADLINE_K, check_claim, efficiency
from runners.ternary_vae.operations import N_OPERATIONS

PUBLISHED = Path(__file__).parents[3] / "docs" / "families" / "published" / "ternary_vae.md"


def test_published_rows_and_ours_are_one_table(cli) -> None:
    cli("import", str(PUBLISHED))
    with registry.init(experiment="ternary_vae", name="ours") as run:
        run.define_metric("coverage_argmax@50000/A", goal="max")
        run.log({"coverage_argmax@50000/A": 0.904, "coverage_eff@50000/A": 0.9814}, step=1)
    found = cli("compare", "published v5.5", "published later", "ours", "--json").json
    values = [cell["value"] for cell in found["metrics"]["coverage_argmax@50000/A"]["values"]]
    assert values == [0.8646, 0.8737, 0.904]
    assert [cell["best"] for cell in found["metrics"]["coverage_argmax@50000/A"]["values"]] == [False, False, True]


@pytest.mark.parametrize("line", [line for line in PUBLISHED.read_text().splitlines() if line.startswith("| publ")])
def test_what_was_published_is_possible_and_its_efficiency_is_what_we_say(line: str) -> None:
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    for share, stated in ((cells[1], cells[3]), (cells[2], cells[4])):
        if share:
            check_claim(float(share) * N_OPERATIONS, HEADLINE_K)
            assert efficiency(float(share) * N_OPERATIONS, HEADLINE_K) == pytest.approx(float(stated), abs=1e-4)

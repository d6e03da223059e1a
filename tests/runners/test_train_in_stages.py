"""`registry train --stages`: each try of a stage is a child run of the family, with the settings of the try."""

from pathlib import Path

import pytest

SUITE = """
name = "short"
[[gate]]
name = "loss"
metric = "val/loss"
op = "<="
threshold = 100
on = "last"
stage = "A"
[[stage]]
name = "A"
set = {{ {setting} = 1 }}
"""


def test_a_stage_is_trained_with_its_settings_as_a_child_of_the_chain(cli, own_folder):
    Path("short.toml").write_text(SUITE.format(setting="epochs"))
    cli(
        "train",
        "ternary_vae",
        "--preset",
        "smoke",
        "--set",
        "threads=1",
        "--stages",
        "--gates",
        "short.toml",
        "--name",
        "c",
    )
    parent = cli("show", "c", "--json").json
    assert parent["status"] == "finished" and [link["stage"] for link in parent["chain"]] == ["A"]
    child = cli("show", parent["chain"][0]["run_id"], "--json").json
    assert child["params"]["epochs"] == 1 and child["params"]["stage"] == "A" and child["status"] == "finished"
    assert [gate["verdict"] for gate in child["gates"]] == ["pass"]


@pytest.mark.parametrize(
    ("suite", "said"),
    [
        (SUITE.format(setting="epocs"), "sets 'epocs', which ternary_vae does not have"),
        ('[[gate]]\nmetric = "m"\nop = ">"\nthreshold = 0\n', "has no stages"),
    ],
)
def test_a_suite_that_cannot_be_followed_is_refused_before_anything_is_trained(cli, own_folder, suite, said):
    Path("odd.toml").write_text(suite)
    assert said in cli("train", "ternary_vae", "--stages", "--gates", "odd.toml", code=2).err
    assert not Path("runs").exists()

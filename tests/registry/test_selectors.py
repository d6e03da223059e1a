"""What a person may type for RUN."""

import pytest

import registry


@pytest.fixture
def runs(own_folder):
    for run_id, name, loss in (
        ("aa11000000", "first", 0.5),
        ("aa22000000", "second", 0.2),
        ("bb33000000", "first", 0.9),
    ):
        with registry.init(experiment=f"e-{run_id[:2]}", name=name, id=run_id) as run:
            run.log({"val/loss": loss}, step=0)


@pytest.mark.parametrize(
    ("words", "run_id"),
    [
        ("aa11000000", "aa11000000"),
        ("aa1", "aa11000000"),
        ("bb", "bb33000000"),
        ("second", "aa22000000"),
        ("e-bb/first", "bb33000000"),
        ("latest", "bb33000000"),
        ("best:val/loss", "aa22000000"),
    ],
)
def test_a_run_is_found_by(cli, runs, words, run_id):
    assert cli("show", words, "--json").json["id"] == run_id


@pytest.mark.parametrize(
    ("words", "code", "line"),
    [
        ("aa", 2, "'aa' means 2 runs: aa11000000, aa22000000"),
        ("first", 2, "'first' means 2 runs"),
        ("nobody", 4, "no run 'nobody'"),
        ("", 4, "no run named"),
        ("a", 4, "no run 'a'"),
        ("@production", 4, "nothing is deployed to 'production'"),
        ("best:lr", 2, "has no goal"),
        ("best:acc", 4, "no run has the metric 'acc'"),
        ("%", 4, "no run '%'"),
        ("aa' OR '1'='1", 4, "no run"),
    ],
)
def test_what_names_no_run_is_one_clear_line(cli, runs, words, code, line):
    said = cli("show", words, code=code)
    assert line in said.err and said.out == ""


def test_a_removed_run_is_named_as_removed_and_can_come_back(cli, runs):
    assert "nobody is there to answer" in cli("rm", "aa11", code=2).err
    cli("rm", "aa11", "--yes", "--reason", "a mistake")
    assert "was removed" in cli("show", "aa11000000", code=4).err
    assert [run["id"] for run in cli("ls", "--json").json] == ["bb33000000", "aa22000000"]
    assert [run["id"] for run in cli("ls", "--deleted", "--json").json] == ["aa11000000"]
    cli("restore-run", "aa11")
    assert cli("show", "aa11", "--json").json["name"] == "first"


def test_latest_of_nothing_says_how_to_begin(cli, own_folder):
    cli("init")
    assert "no runs yet" in cli("show", "latest", code=4).err

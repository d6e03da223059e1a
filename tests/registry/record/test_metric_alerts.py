"""Best is not last, two bases are not one, and what is not finite is told with its step."""

from pathlib import Path

import pytest

import registry
from registry.metric_alerts import Story, bases_differ, lost_share, wasted_share


def story(goal, *, best, best_step, worst=None, worst_step=None, last=None, last_step=100, first_step=0, count=100):
    least, least_step = (best, best_step) if goal == "min" else (worst, worst_step)
    greatest, greatest_step = (worst, worst_step) if goal == "min" else (best, best_step)
    steps = (count, first_step, last_step, last)
    return Story(
        "r", "r", "finished", "val/m", "measured", goal, *steps, least, least_step, greatest, greatest_step, None
    )


def test_the_wasted_share_is_what_came_after_the_best():
    assert wasted_share(story("min", best=0.28, best_step=6, last=4.82, last_step=106)) == pytest.approx(100 / 106)
    assert wasted_share(story("min", best=0.28, best_step=100)) == 0.0
    assert wasted_share(story("min", best=0.28, best_step=6, count=2)) == 0.0
    assert wasted_share(story("min", best=0.28, best_step=None)) == 0.0


def test_the_lost_share_looks_at_the_worst_after_the_best():
    fell = story("max", best=0.54, best_step=3, worst=0.354, worst_step=4, last=0.5, last_step=9)
    assert lost_share(fell) == pytest.approx(1 - 0.354 / 0.54)
    low_start = story("max", best=0.9, best_step=50, worst=0.1, worst_step=0, last=0.88)
    assert lost_share(low_start) == pytest.approx(0.02 / 0.9)
    rose = story("min", best=0.5, best_step=3, worst=2.0, worst_step=9, last=1.0)
    assert lost_share(rose) == pytest.approx(0.75)
    assert lost_share(story("max", best=0.9, best_step=100, last=0.9)) == 0.0


@pytest.mark.parametrize(
    ("values", "pair"),
    [
        ({"sampled": 0.9942, "measured": 0.8646}, ("measured", "sampled")),
        ({"sampled": 0.90, "measured": 0.88}, None),
        ({"measured": 0.5}, None),
        ({"measured": 0.0, "sampled": 0.0}, None),
        ({"measured": -1.0, "sampled": 1.0}, ("measured", "sampled")),
    ],
)
def test_two_bases_that_differ_beyond_the_tolerance_are_named(values, pair):
    assert bases_differ(values, 0.05) == pair


def alerts(cli):
    return {alert["code"]: alert for alert in cli("alerts", "--json").json}


def train(curves, *, name="r", step=None, primary=None, finish=True):
    run = registry.init(name=name)
    if primary:
        run.define_metric(primary, primary=True)
    for at in range(max(len(curve) for curve in curves.values())):
        run.log({metric: curve[at] for metric, curve in curves.items() if at < len(curve)}, step=at)
    if step is not None:
        Path(f"{name}.bin").write_bytes(name.encode() * 30)
        run.log_artifact(f"{name}.bin", role="best", step=step)
    if finish:
        run.finish()
    return run


def test_a_run_without_a_story_raises_no_alert(cli, own_folder):
    train({"val/loss": [1.0, 0.8, 0.6, 0.5, 0.45, 0.44], "lr": [0.1] * 6}, step=5)
    told = {"metric-not-finite", "bases-disagree", "metric-collapsed", "best-too-early", "checkpoint-not-best"}
    assert not told & set(alerts(cli))


def test_a_best_long_before_the_end_is_told_once_the_run_has_ended(cli, own_folder):
    run = train({"val/loss": [1.0, 0.2, *(0.21 + i / 1000 for i in range(20))]}, finish=False)
    assert "best-too-early" not in alerts(cli)
    run.finish()
    alert = alerts(cli)["best-too-early"]
    assert "was best at step 1 of 21; 95% of the run came after it" in alert["message"]


def test_a_collapse_is_told_with_both_steps_and_both_values(cli, own_folder):
    run = train({"val/cosine": [0.3, 0.5, 0.54, 0.354, 0.36]})
    alert = alerts(cli)["metric-collapsed"]
    assert "fell from 0.54 at step 2 to 0.36 at step 4" in alert["message"] and run.id in alert["subject"]


def test_training_metrics_may_move_as_they_like(cli, own_folder):
    train({"train/acc": [0.9, 0.1, 0.1], "val/lr": [1.0, 0.1, 0.01]})
    assert "metric-collapsed" not in alerts(cli)


def test_how_much_is_a_collapse_is_a_setting(cli, own_folder):
    train({"val/acc": [0.9, 0.8, 0.75]})
    assert "metric-collapsed" not in alerts(cli)
    Path("registry.toml").write_text("[metrics]\ncollapse_share = 0.1\n")
    assert "metric-collapsed" in alerts(cli)


def test_values_that_are_not_finite_are_counted_with_the_first_step(cli, own_folder):
    train({"loss": [1.0, 0.5, float("nan"), float("inf"), 0.4]})
    alert = alerts(cli)["metric-not-finite"]
    assert "2 of 5 values of loss are not finite, the first at step 2" in alert["message"]


def test_two_bases_of_one_metric_that_disagree_are_told(cli, own_folder):
    run = registry.init(name="vae")
    run.log({"coverage": 0.9942}, step=106, basis="sampled")
    run.log({"coverage": 0.8646}, step=106)
    run.finish()
    assert "coverage is 0.9942 sampled and 0.8646 measured" in alerts(cli)["bases-disagree"]["message"]


def test_a_checkpoint_called_best_that_is_not_is_told(cli, own_folder):
    train({"val/loss": [1.0, 0.5, 0.6, 0.7]}, step=3, primary="val/loss")
    alert = alerts(cli)["checkpoint-not-best"]
    assert "offers as its best r.bin of step 3, but val/loss was best at step 1 (0.5)" in alert["message"]


def test_a_checkpoint_as_good_as_the_best_is_the_best(cli, own_folder):
    train({"val/acc": [0.5, 1.0, 0.9, 1.0]}, step=3, primary="val/acc")
    assert "checkpoint-not-best" not in alerts(cli)


def test_what_is_deployed_is_compared_with_the_best_of_its_run(cli, own_folder):
    Path("registry.toml").write_text("[policy]\nrequire_other_domain = false\nnum_copies = 1\n")
    Path("vault").mkdir()
    cli("init")
    cli("remote", "add", "vault", "vault")
    run = train({"val/acc": [0.5, 0.9, 0.7]}, step=2, primary="val/acc")
    cli("copy", run.id, "--to", "vault")
    cli("promote", run.id, "--override", "gates", "--reason", "only one")
    assert "production serves r.bin of step 2" in alerts(cli)["checkpoint-not-best"]["message"]


def test_a_removed_run_is_silent(cli, own_folder):
    run = train({"loss": [float("nan")]})
    assert "metric-not-finite" in alerts(cli)
    cli("rm", run.id, "--yes")
    assert "metric-not-finite" not in alerts(cli)

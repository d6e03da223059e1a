"""Three hundred alerts of one kind are one line that says so, and what ends all of them."""

from registry.alert import Alert
from tui import headlines
from tui.views import alerts as views

NOW = 1_000_000.0


def uncopied(k: int) -> Alert:
    run = f"{k:010x}"
    return Alert(
        "critical", "artifact-no-verified-copy", f"{run} best.bin", f"best runs/r-{run}/best.bin of run r has no copy",
        NOW - k, f"registry copy {run} --to REMOTE",
    )  # fmt: skip


MORE = Alert("critical", "artifact-no-verified-copy", "more", "1,200 more artifacts have no verified copy", None, "x")
FEW = Alert("warning", "artifact-too-few-copies", "policy", "8 artifacts have fewer copies than wanted", None, "y")
CRASH = Alert("warning", "run-crashed", "ab", "run a (ab) crashed: no heartbeat", NOW, "registry log ab")


def test_the_bar_counts_what_alerts_stand_for_and_begins_with_what_has_no_copy() -> None:
    found = [FEW, CRASH, *map(uncopied, range(300)), MORE]
    assert headlines.headlines(found) == (
        ("critical", "1,500 artifacts have no verified copy"),
        ("warning", "8 artifacts have too few copies"),
        ("warning", "1 run crashed"),
    )
    assert headlines.n_alerts(found) == 1502


def test_a_kind_says_what_ends_all_of_it_where_one_command_does() -> None:
    (copies,) = headlines.kinds([uncopied(k) for k in range(3)])
    assert copies.hint == "registry copy --all --to REMOTE"
    (mixed,) = headlines.kinds([CRASH, Alert(CRASH.severity, CRASH.code, "cd", "…", NOW, "registry log cd")])
    assert mixed.hint == "registry log ab"


def test_many_alerts_of_a_kind_begin_folded_and_few_do_not() -> None:
    many = headlines.kinds([*map(uncopied, range(300)), CRASH])
    shown = views.lines(many, set(), NOW)
    assert [line.cells[1].text for line in shown] == ["▸ 300 artifacts have no verified copy", CRASH.message]
    assert shown[0].cells[2].text == "4 min", "since the oldest of them"
    assert len(views.lines(many, {views.kind_key(many[0])}, NOW)) == 302
    assert len(views.lines(headlines.kinds([uncopied(0), uncopied(1)]), set(), NOW)) == 3


def test_an_alert_about_a_run_is_found_by_the_run_its_artifacts_and_its_target() -> None:
    class Row:
        id, deployed_to = "ab", ("production",)

    serving = Alert("warning", "override-in-force", "production", "…", NOW, "…")
    assert headlines.about_run([CRASH, serving, uncopied(1)], Row()) == (CRASH, serving)

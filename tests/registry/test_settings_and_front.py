"""Small rooms at the front: durations, what a metric's name says, which process lives, the table of verbs."""

import importlib
import subprocess
import sys

import pytest

from registry import clock, hosts, metrics


@pytest.mark.parametrize(
    ("name", "goal"),
    [
        ("val/loss", "min"),
        ("train_loss", "min"),
        ("val/perplexity", "min"),
        ("test_acc1", "max"),
        ("eval/f1", "max"),
        ("parse_success/truncate", "max"),
        ("R@5", "max"),
        ("coverage_argmax@50000", "max"),
        ("metrics/mAP50(B)", "max"),
        ("val/cos", "max"),
        ("lr", None),
        ("epoch", None),
        ("grad_norm", None),
        ("step_time", None),
        ("loss_scale", None),
    ],
)
def test_what_a_name_says_of_its_goal(name, goal):
    assert metrics.infer_goal(name) == goal


def test_durations():
    assert [clock.parse_duration(text) for text in ("90", "90s", "15m", "6h", "30d", "2w", "1.5h")] == [
        90,
        90,
        900,
        21600,
        2592000,
        1209600,
        5400,
    ]
    for wrong in ("", "soon", "5 parsecs", "-3s"):
        with pytest.raises(ValueError, match="not a duration"):
            clock.parse_duration(wrong)


def test_times_are_iso_utc():
    assert clock.iso(0.5) == "1970-01-01T00:00:00.500Z" and clock.iso(None) is None


def test_this_process_lives_and_a_dead_one_does_not():
    assert hosts.is_alive(hosts.this_process()) is True
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    seen = hosts.this_process(process.pid)
    assert hosts.is_alive(seen) is True
    process.communicate()
    assert hosts.is_alive(seen) is False
    assert hosts.is_alive({**seen, "name": "another-host"}) is None
    assert hosts.is_alive({**seen, "boot_id": "before-the-reboot"}) is False


def test_every_verb_of_the_table_exists():
    from registry.cli.main import COMMANDS

    for target in COMMANDS.values():
        module, _, name = target.partition(":")
        assert hasattr(importlib.import_module(module), name), target

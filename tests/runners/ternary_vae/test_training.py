"""The whole way from the command line: train, be killed anywhere, resume, judge by gates that know their controls."""

import fcntl
import json
import os
import random
import signal
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from registry import events, gates
from runners.training.checkpoints import load_weights
from tests.runners.training.helpers import digest, journal, of_kind

TINY = ["--preset", "smoke"]
for text in ("epochs=6", "batch_size=1024", "threads=1", "checkpoint_every=9", "n_evaluations=4", "device=cpu"):
    TINY += ["--set", text]
TOTAL_STEPS = 96
SCRIPT = "import sys; from registry.cli.main import main; sys.exit(main({words!r}))"
DEADLINE_S = 100.0

Start = Callable[..., "subprocess.Popen[str]"]


def _wait_for_step(folder_of: Callable[[], Path | None], step: int, process: "subprocess.Popen[str]") -> None:
    """Wait until the journal shows a step, or the process ended."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline and process.poll() is None:
        folder = folder_of()
        if folder is not None and _last_step(folder) >= step:
            return
        time.sleep(0.005)
    assert process.poll() is not None, "no such step in time"


def _last_step(folder: Path) -> int:
    lines = (folder / "journal.jsonl").read_bytes().split(b"\n")[:-1]
    steps = [event.s for event in map(events.decode, lines) if isinstance(event, events.Metrics) and event.s]
    return max(steps, default=0)


def _folder(name: str) -> Path | None:
    return next(iter(sorted(Path("runs").glob(f"{name}-*"))), None)


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run that nothing interrupted; the workers of one test session share it."""
    if not os.environ.get("PYTEST_XDIST_WORKER"):
        return _train_straight(tmp_path_factory.mktemp("straight"))
    root = tmp_path_factory.getbasetemp().parent / "ternary-vae-straight"
    root.mkdir(exist_ok=True)
    with open(root / "lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        made = next((root / "runs").glob("straight-*"), None)
        return made or _train_straight(root)


def _train_straight(root: Path) -> Path:
    words = ["train", "ternary_vae", *TINY, "--name", "straight"]
    done = subprocess.run(
        [os.sys.executable, "-c", SCRIPT.format(words=words)], cwd=root, capture_output=True, text=True, timeout=150
    )
    assert done.returncode == 0, done.stderr
    return next((root / "runs").glob("straight-*"))


def test_killed_at_random_steps_and_resumed_it_makes_the_same_bytes(straight: Path, python: Start) -> None:
    seed = random.randrange(10**6)
    draw = random.Random(seed)
    words = ["train", "ternary_vae", *TINY, "--name", "victim"]
    process = python(SCRIPT.format(words=words))
    for _ in range(2):
        _wait_for_step(lambda: _folder("victim"), draw.randrange(5, TOTAL_STEPS), process)
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        folder = _folder("victim")
        assert folder is not None
        if not (folder / "checkpoints" / "resume.pt").exists():
            pytest.fail(f"seed {seed}: no checkpoint although steps were made")
        process = python(SCRIPT.format(words=["train", "--resume", "victim"]))
    _, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, f"seed {seed}: {err}"
    for role in ("best", "last"):
        name = f"checkpoints/{role}.safetensors"
        assert digest(folder / name) == digest(straight / name), f"seed {seed}: {role} differs"
    assert [end.status for end in of_kind(folder, events.End)] == ["finished"]
    assert _evaluation(folder) == _evaluation(straight)


def _evaluation(folder: Path) -> dict[str, Any]:
    return next(event.metrics for event in reversed(of_kind(folder, events.Evaluation)) if event.digest)


def test_sigterm_ends_it_in_good_order_and_names_the_way_on(python: Start) -> None:
    process = python(SCRIPT.format(words=["train", "ternary_vae", *TINY, "--name", "stopped"]))
    _wait_for_step(lambda: _folder("stopped"), 3, process)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 130, err
    assert "killed: SIGTERM at step" in out and "--resume" in err
    folder = _folder("stopped")
    assert folder is not None
    end = of_kind(folder, events.End)[-1]
    assert end.status == "killed" and "the checkpoint is good" in end.evidence
    _, about = load_weights(folder / "checkpoints" / "last.safetensors")
    assert about["step"] == _last_step(folder)


def test_the_best_checkpoint_carries_its_own_evaluation(straight: Path) -> None:
    best = digest(straight / "checkpoints" / "best.safetensors")
    evaluation = next(event for event in of_kind(straight, events.Evaluation) if event.digest)
    _, about = load_weights(straight / "checkpoints" / "best.safetensors")
    assert (evaluation.digest, evaluation.step, evaluation.basis) == (best, about["step"], "measured")
    bases = {event.b for event in of_kind(straight, events.Metrics) if "coverage_argmax@50000/A" in event.v}
    assert bases == {"sampled", "measured"}


def test_gates_tell_their_controls_apart(straight: Path) -> None:
    suite = gates.parse_suite(gates.load_suite_text("ternary-vae")[1])
    subjects: dict[str, dict[str, gates.Observed]] = {}
    for event in of_kind(straight, events.Evaluation):
        if event.subject:
            scores = {name: gates.Observed(events.plain_number(value)) for name, value in event.metrics.items()}
            subjects[event.subject] = scores
    evaluated = {name: (gates.Observed(value),) for name, value in _evaluation(straight).items()}
    facts = gates.Facts(checkpoint="best", step=1, evaluated=evaluated, subjects=subjects)
    verdicts = {verdict.name: verdict for verdict in gates.judge(suite, facts)}
    assert {control.name for control in suite.controls} == set(subjects)
    assert not [verdict for verdict in verdicts.values() if verdict.verdict in ("uncalibrated", "unknown")]
    assert verdicts["controller alive"].verdict == "pass"
    assert verdicts["every operation reached A"].verdict == "fail"
    assert verdicts["coverage A is possible"].verdict == "pass"
    assert verdicts["no leak"].verdict == "pass"


def test_what_is_recorded_before_the_first_step(straight: Path) -> None:
    start, *rest = journal(straight)
    assert isinstance(start, events.Start)
    assert start.params["family"] == "ternary_vae" and start.params["epochs"] == 6
    uses = [event for event in rest if isinstance(event, events.UseDataset)]
    assert uses[0].name == "ternary-operations" and uses[0].digest
    assert (straight / "origin.json").read_text().count("runners/ternary_vae/") > 5
    notes = [event.text for event in rest if isinstance(event, events.Note)]
    assert any(text.startswith("disruption") for text in notes)


def test_a_finished_run_is_not_resumed(straight: Path, monkeypatch: pytest.MonkeyPatch, cli: Any) -> None:
    monkeypatch.chdir(straight.parent.parent)
    assert "has finished all 96 steps" in cli("train", "--resume", "straight", code=2).err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["train", "ternary_va"], 2, "did you mean ternary_vae"),
        (["train", "ternary_vae:v5"], 2, "no variant 'v5'"),
        (["train", "ternary_vae:"], 2, "names no family"),
        (["train", "ternary_vae", "--preset", "tiny"], 2, "no preset 'tiny'"),
        (["train", "ternary_vae", "--set", "epochs=many"], 2, "epochs=many: expected int"),
        (["train", "ternary_vae", "--max-time", "soon"], 2, "--max-time"),
        (["train", "ternary_vae", "--set", "device=cuda"], 2, "torch sees no GPU"),
        (["train", "--resume", "nobody"], 4, "no run 'nobody'"),
        (["train", "--resume", "nobody", "--seed", "3"], 2, "goes on with the run as it began"),
        (["train", "ternary_vae", "--gates", "none-such"], 4, "no gate suite"),
    ],
)
def test_wrong_words_are_one_line_and_no_run(cli: Any, words: list[str], code: int, said: str) -> None:
    import torch

    if "device=cuda" in words and torch.cuda.is_available():
        pytest.skip("this machine has a GPU")
    assert said in cli(*words, code=code).err
    assert "device=cuda" in words or not list(Path().glob("runs/*"))


def test_what_there_is_to_train(cli: Any) -> None:
    assert "ternary_vae:calibrated (default)" in cli("train").out
    assert "cross_injection" in cli("train", "ternary_vae", "--list").out
    described = cli("--json", "train", "ternary_vae", "--list").json
    assert set(described[0]["presets"]) == {"smoke", "cpu", "gpu"}


def test_a_validation_is_a_child_run_that_speaks_of_the_best_weights(straight: Path) -> None:
    words = ["-m", "runners.ternary_vae", "validate", "straight", "--json"]
    words += ["--test", "latent_spectrum", "--test", "true_holdout", "--test", "kl_annealing"]
    done = subprocess.run(
        [os.sys.executable, *words], cwd=straight.parents[1], capture_output=True, text=True, timeout=100
    )
    assert done.returncode in (0, 1), done.stderr
    said = json.loads(done.stdout)
    (child,) = straight.parent.glob(f"validate-straight-{said['run']}")
    assert journal(child)[0].parent == straight.name.rpartition("-")[2]
    own, *controls = of_kind(child, events.Evaluation)
    (weights,) = of_kind(child, events.Artifact)
    assert (weights.role, weights.digest) == ("best", own.digest)
    assert own.digest == digest(straight / "checkpoints" / "best.safetensors")
    assert own.metrics["validate/true_holdout_is_recorded"] == 1.0 and own.metrics["validate/beta_jump/B"] < 0.05
    assert said["gates"]["validate/true_holdout_shared"] == "pass"
    assert [control.subject for control in controls] == ["ideal", "broken"]

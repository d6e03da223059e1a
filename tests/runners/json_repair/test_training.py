"""The whole way from the command line: train, be killed anywhere, resume, be judged, be deployed, repair."""

import io
import json
import math
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from registry import events
from runners.json_repair import FAMILY
from runners.json_repair.__main__ import main
from runners.json_repair.grammar import parses
from runners.json_repair.repair import grammar_repairer, repair_all
from runners.serving import json_repair as endpoint
from runners.training.checkpoints import NotFiniteError, load_weights
from runners.training.start import train_family
from tests.runners.training.helpers import digest, of_kind

TINY = ["--preset", "smoke"]
TOTAL_STEPS = 24
SMALL = ("width=16", "batch_size=8", "threads=1", "checkpoint_every=5", "test_cases=3", "device=cpu")
for setting in (f"steps={TOTAL_STEPS}", *SMALL):
    TINY += ["--set", setting]
SCRIPT = "import sys; from registry.cli.main import main; sys.exit(main({words!r}))"
DEADLINE_S = 100.0

Start = Callable[..., "subprocess.Popen[str]"]


@pytest.fixture(scope="module")
def straight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a tagger's run that nothing interrupted."""
    root = tmp_path_factory.mktemp("straight")
    words = ["train", "json_repair", *TINY, "--name", "straight"]
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT.format(words=words)], cwd=root, capture_output=True, text=True, timeout=150
    )
    assert done.returncode == 0, done.stderr
    return next((root / "runs").glob("straight-*"))


def wait_for_step(name: str, step: int, process: "subprocess.Popen[str]") -> Path:
    """Wait until the journal of a run shows a step, or the process ended; return the run's folder."""
    deadline = time.monotonic() + DEADLINE_S
    while time.monotonic() < deadline:
        journal = next(Path("runs").glob(f"{name}-*/journal.jsonl"), None)
        folder = journal.parent if journal else None
        if folder is not None and (last_step(folder) >= step or process.poll() is not None):
            return folder
        time.sleep(0.005)
    raise AssertionError(f"no step {step} in time")


def last_step(folder: Path) -> int:
    lines = (folder / "journal.jsonl").read_bytes().split(b"\n")[:-1]
    steps = [event.s for event in map(events.decode, lines) if isinstance(event, events.Metrics) and event.s]
    return max(steps, default=0)


def test_killed_at_random_steps_and_resumed_it_makes_the_same_bytes(straight: Path, python: Start) -> None:
    seed = random.randrange(10**6)
    draw = random.Random(seed)
    process = python(SCRIPT.format(words=["train", "json_repair", *TINY, "--name", "victim"]))
    for _ in range(2):
        folder = wait_for_step("victim", draw.randrange(2, TOTAL_STEPS), process)
        process.send_signal(signal.SIGKILL)
        process.wait(10)
        process = python(SCRIPT.format(words=["train", "--resume", "victim"]))
    _, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 0, f"seed {seed}: {err}"
    for role in ("best", "last"):
        name = f"checkpoints/{role}.safetensors"
        assert digest(folder / name) == digest(straight / name), f"seed {seed}: {role} differs"
    assert exact_scores(folder) == exact_scores(straight)


def exact_scores(folder: Path) -> dict[str, Any]:
    """Return the recorded evaluation of the best weights, less how fast it was."""
    found = next(event for event in reversed(of_kind(folder, events.Evaluation)) if event.digest)
    return {name: value for name, value in found.metrics.items() if name != "repair/docs_per_cpu_s"}


def test_sigterm_leaves_a_good_checkpoint(python: Start) -> None:
    process = python(SCRIPT.format(words=["train", "json_repair:iterative", *TINY, "--name", "stopped"]))
    folder = wait_for_step("stopped", 2, process)
    process.send_signal(signal.SIGTERM)
    out, err = process.communicate(timeout=DEADLINE_S)
    assert process.returncode == 130, err
    assert "killed: SIGTERM at step" in out and "--resume" in err
    _, about = load_weights(folder / "checkpoints" / "last.safetensors")
    assert about["step"] == last_step(folder) and about["settings"]["model"] == "iterative"


def test_a_loss_that_is_not_finite_stops_the_run_and_keeps_the_last_good_weights(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from runners.json_repair.tagger import TaggerTask

    honest = TaggerTask.loss
    monkeypatch.setattr(
        TaggerTask, "loss", lambda self, step, index: honest(self, step, index) * (math.nan if step == 7 else 1.0)
    )
    overrides = tuple(TINY[3::2])
    settings = FAMILY.build("tagger", "smoke", overrides)
    with pytest.raises(NotFiniteError, match="the loss is nan"):
        train_family(FAMILY, settings, variant="tagger", preset="smoke", name="nan")
    folder = next(Path("runs").glob("nan-*"))
    weights, about = load_weights(folder / "checkpoints" / "last.safetensors")
    assert about["step"] == 6 and all(torch.isfinite(tensor).all() for tensor in weights.values())
    assert of_kind(folder, events.End)[-1].status == "failed"
    assert any(note.level == "critical" for note in of_kind(folder, events.Note))


def test_the_best_weights_carry_their_evaluation_beside_the_controls(straight: Path) -> None:
    best = digest(straight / "checkpoints" / "best.safetensors")
    found = of_kind(straight, events.Evaluation)
    mine = next(event for event in found if event.digest == best)
    assert mine.metrics["repair/parse"] == mine.metrics["repair/clean_unchanged"] == 1.0
    subjects = {event.subject: event.metrics for event in found if event.subject}
    assert {"oracle", "empty_object", "unchanged", "grammar", "json-repair"} <= set(subjects)
    assert subjects["oracle"]["repair/exact"] == 1 and subjects["empty_object"]["repair/exact"] == 0
    uses = of_kind(straight, events.UseDataset)
    assert {use.role for use in uses} == {"train", "test"} and all(use.digest for use in uses)
    series = {name for event in of_kind(straight, events.Metrics) for name in event.v}
    assert {"val/exact", "val/loss", "train/loss", "parse_success/truncate", "repair/exact/swap_adjacent"} <= series


def test_its_gates_know_their_controls(straight: Path, monkeypatch: pytest.MonkeyPatch, cli: Any) -> None:
    monkeypatch.chdir(straight.parent.parent)
    shown = {gate["name"]: gate for gate in cli("--json", "show", "straight").json["gates"]}
    assert "uncalibrated" not in {gate["verdict"] for gate in shown.values()}
    assert shown["parse"]["verdict"] == shown["clean input unchanged"]["verdict"] == "pass"
    assert shown["exact"]["verdict"] == "fail", "24 steps of a model of width 16"


@pytest.fixture
def deployed(straight: Path, monkeypatch: pytest.MonkeyPatch, cli: Any, tmp_path: Path) -> Path:
    """The registry's folder, with the trained run serving production."""
    root = straight.parent.parent
    monkeypatch.chdir(root)
    reasons = ["--override", "gates", "--override", "copies", "--reason", "a test"]
    cli("promote", "straight", *reasons, code=None)
    return root


def ask(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str, str]:
    """Run the tool in this process; return its exit code, stdout and stderr."""
    capsys.readouterr()
    code = main(list(words))
    said = capsys.readouterr()
    return code, said.out, said.err


def test_the_deployed_model_repairs_a_file(
    deployed: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("broken.json").write_text("{'a': True, 'b': [1, 2,}")
    code, out, err = ask(capsys, "repair", "broken.json")
    assert code == 0 and parses(out) and "confidence" in err
    code, out, _ = ask(capsys, "repair", "broken.json", "--json")
    assert {"text", "confidence", "source"} == set(json.loads(out)) and parses(json.loads(out)["text"])
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(b'{"a": 1}')))
    assert ask(capsys, "repair", "-") == (0, '{"a": 1}', "unchanged: it parses\n")


def test_the_endpoint_answers_what_the_tool_answers(straight: Path) -> None:
    call = endpoint.load(straight / "checkpoints", {})["predict"]
    texts = ['{"a": 1}', "[1, 2", "{'a': None}"]
    requests = [call.request(text=text, fallback=text == "[1, 2", below=1.0) for text in texts]
    answers = call.answer(requests)
    assert [answer.source for answer in answers] == ["unchanged", "fallback", "model"]
    assert answers[0].text == texts[0] and answers[1].text == "[1, 2]" and parses(answers[2].text)
    with pytest.raises(ValueError, match="extra"):
        call.request(text="[", more=1)


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (["repair", "none.json", "--model", "grammar"], 4, "cannot read none.json"),
        (["repair", "empty.json", "--model", "grammar"], 2, "is empty"),
        (["repair", "one.json", "--model", "nothing"], 4, "without weights there are: grammar, json-repair"),
        (["repair", "one.json", "--model", "one.json"], 1, "is not a safetensors file"),
        (["repair", "one.json"], 4, "--model grammar"),
        (["evaluate", "--model", "grammar", "--documents", "nowhere"], 4, "no folder or file nowhere"),
    ],
)
def test_wrong_words_are_one_line(
    words: list[str], code: int, said: str, cli: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    cli("init")
    Path("one.json").write_text("[1")
    Path("empty.json").write_text(" \n")
    got, out, err = ask(capsys, *words)
    assert got == code and said in err and not out, err


def test_the_tool_works_without_a_model_and_reads_what_is_not_utf8(capsys: pytest.CaptureFixture[str]) -> None:
    Path("old.json").write_bytes("{'caf\u00e9': 1,}".encode("latin-1"))
    code, out, err = ask(capsys, "repair", "old.json", "--model", "grammar")
    assert (code, json.loads(out)) == (0, {"caf\u00e9": 1}) and "read as latin-1" in err
    Path("wide.json").write_bytes("[1,".encode("utf-16"))
    assert ask(capsys, "repair", "wide.json", "--model", "json-repair")[1] == "[1]\n"


def test_the_tool_compares_repairers(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["evaluate", "--model", "grammar", "--documents", "synthetic", "--cases", "2", "--compact"]
    code, out, _ = ask(capsys, *words)
    assert code == 0 and "delete_brace" in out and "| json-repair |" in out.splitlines()[0]
    assert repair_all(grammar_repairer(), []) == []


def test_what_there_is_to_train(cli: Any) -> None:
    listed = cli("train", "json_repair", "--list").out
    assert all(f"json_repair:{name}" in listed for name in FAMILY.variants) and "reinforce_from" in listed
    assert os.fspath(Path("runs")) not in listed

"""The writer's side: what `registry.init` and `Run` promise to a training script."""

import sys

import pytest

import registry
from registry import events
from registry.errors import MetricError, NotFoundError, RefusedError, UsageError


@pytest.fixture
def record(own_folder):
    from registry.database import open_database

    open_database(create=True).close()
    with registry.open() as opened:
        yield opened


def test_a_context_manager_that_ends_well_is_finished(record):
    with registry.init(experiment="lvm", name="p5", params={"lr": 1e-3, "deep": {"layers": [1, 2]}}) as run:
        run.log({"val/loss": 0.5}, step=0)
        run.log({"val/loss": 0.3}, step=1)
        run.log({"val/loss": 0.4}, step=2)
    row = record.run("p5")
    assert row["status"] == "finished" and row["experiment"] == "lvm"
    assert row["params"] == {"lr": 0.001, "deep": {"layers": [1, 2]}}
    metric = row["metrics"]["val/loss"]
    assert (metric["best"], metric["best_step"], metric["last"], metric["last_step"]) == (0.3, 1, 0.4, 2)
    assert metric["goal"] == "min" and metric["basis"] == "measured" and metric["count"] == 3


def test_an_exception_marks_the_run_failed_and_says_which(record):
    with pytest.raises(ValueError), registry.init(name="bad"):
        raise ValueError("loss exploded")
    row = record.run("bad")
    assert row["status"] == "failed" and row["evidence"] == "ValueError: loss exploded"


def test_ctrl_c_marks_the_run_killed(record):
    with pytest.raises(KeyboardInterrupt), registry.init(name="stopped"):
        raise KeyboardInterrupt
    assert record.run("stopped")["status"] == "killed"


def test_an_unhandled_exception_without_a_context_manager_is_seen_too(record, python):
    process = python("import registry; registry.init(name='plain'); raise RuntimeError('no')")
    assert process.wait(60) == 1
    assert record.run("plain")["evidence"] == "RuntimeError: no"


def test_a_process_that_ends_without_finish_proves_nothing(record, python):
    assert python("import registry; registry.init(name='silent').log({'a': 1.0})").wait(60) == 0
    assert record.run("silent")["status"] == "crashed"


def test_params_and_metrics_default_steps_and_later_params(record):
    with registry.init(name="auto") as run:
        for value in (3.0, 2.0, 1.0):
            run.log({"loss": value})
        run.log_params({"late": True})
    assert record.history("auto", "loss") == [(0, 3.0), (1, 2.0), (2, 1.0)]
    assert record.run("auto")["params"] == {"late": True}


@pytest.mark.parametrize("value", ["0.5", None, [1.0], {"a": 1}, object()])
def test_a_metric_that_is_no_number_is_told_at_once_and_the_others_are_kept(record, value):
    run = registry.init(name="wrong")
    with pytest.raises(MetricError, match=r"metric 'bad' is .*, not a number"):
        run.log({"good": 1.0, "bad": value}, step=0)
    run.finish()
    assert record.history("wrong", "good") == [(0, 1.0)]
    assert "bad" not in record.run("wrong")["metrics"]


def test_tensors_and_arrays_of_one_number_are_numbers(record):
    torch = pytest.importorskip("torch")
    numpy = pytest.importorskip("numpy")
    with registry.init(name="tensors") as run:
        run.log({"t": torch.tensor(0.5), "n": numpy.float32(0.25), "i": numpy.int64(3), "b": True}, step=numpy.int64(7))
        with pytest.raises(MetricError, match=r"metric 'many' is a tensor of shape \(2,\)"):
            run.log({"many": torch.zeros(2)}, step=8)
    metrics = record.run("tensors")["metrics"]
    assert {name: metric["last"] for name, metric in metrics.items()} == {"t": 0.5, "n": 0.25, "i": 3.0, "b": 1.0}
    assert metrics["t"]["last_step"] == 7


def test_a_fraction_is_no_step(own_folder):
    run = registry.init(name="half")
    with pytest.raises(MetricError, match=r"step 0\.5 is not a whole number"):
        run.log({"a": 1.0}, step=0.5)
    run.log({"a": 1.0}, step=2.0)
    run.finish()


def test_a_step_that_goes_back_opens_a_new_segment_and_nothing_is_dropped(record):
    with registry.init(name="back") as run:
        for step in (0, 1, 2, 3):
            run.log({"loss": 4.0 - step, "acc": float(step)}, step=step)
        for step in (2, 3, 4):
            run.log({"loss": 2.0 - step / 10, "acc": step + 0.5}, step=step)
    row = record.run("back")
    assert [segment["reason"] for segment in row["segments"]] == ["start", "restart"]
    assert row["segments"][1]["from_step"] == 3 and row["segments"][1]["to_step"] == 2
    assert [step for step, _ in record.history("back", "loss")] == [0, 1, 2, 3, 2, 3, 4]


def test_a_metric_logged_late_for_an_older_step_of_another_metric_is_no_restart(record):
    with registry.init(name="late") as run:
        run.log({"train/loss": 1.0}, step=10)
        run.log({"val/loss": 1.0}, step=9)
        run.log({"train/loss": 0.9}, step=11)
    assert len(record.run("late")["segments"]) == 1


def test_resume_continues_the_same_run(record):
    with registry.init(name="long", id="abcdef0123") as run:
        run.log({"loss": 1.0}, step=0)
    with registry.init(id="abcdef0123", resume="must") as again:
        assert again.name == "long"
        again.log({"loss": 0.5}, step=1)
    row = record.run("abcdef0123")
    assert row["status"] == "finished" and [s["reason"] for s in row["segments"]] == ["start", "resume"]
    assert record.history("long", "loss") == [(0, 1.0), (1, 0.5)]


def test_a_resumed_run_knows_the_artifacts_it_recorded_before(record, own_folder):
    (own_folder / "best.bin").write_bytes(b"weights")
    with registry.init(name="long", id="abcdef0123") as run:
        run.log_artifact("best.bin", role="best", step=1)
    with registry.init(id="abcdef0123", resume="must") as again:
        again.log_evaluation("best", {"acc": 0.9}, step=1)
        with pytest.raises(NotFoundError, match="no artifact 'last' yet"):
            again.log_evaluation("last", {"acc": 0.9})
    lines = (again.folder / "journal.jsonl").read_bytes().splitlines()
    recorded = [event for event in map(events.decode, lines) if isinstance(event, events.Evaluation)]
    assert [event.digest for event in recorded] == [record.run("long")["artifacts"][0]["digest"]]


def test_resume_never_and_must_say_what_is_wrong(own_folder):
    registry.init(name="x", id="abcdef0123").finish()
    with pytest.raises(UsageError, match="exists already"):
        registry.init(id="abcdef0123")
    with pytest.raises(NotFoundError, match="no run 1234567890 to resume"):
        registry.init(id="1234567890", resume="must")
    with pytest.raises(UsageError, match="resume='maybe'"):
        registry.init(resume="maybe")


def test_artifacts_are_hashed_and_the_bytes_that_were_replaced_are_superseded(record, own_folder):
    weights = own_folder / "best.bin"
    with registry.init(name="keeps") as run:
        weights.write_bytes(b"first")
        run.log_artifact("best.bin", role="best", step=1)
        weights.write_bytes(b"second")
        digest = run.log_artifact("best.bin", role="best", step=2)
        run.log_evaluation(artifact="best", metrics={"val/acc": 0.9}, intervals={"val/acc": (0.8, 0.95)})
    row = record.run("keeps")
    assert [(a["role"], a["step"], a["digest"]) for a in row["artifacts"]] == [("best", 2, digest)]
    assert row["artifacts"][0]["path"] == "best.bin" and row["artifacts"][0]["size_bytes"] == 6
    evaluation = row["evaluations"][0]
    assert evaluation["digest"] == digest and evaluation["step"] == 2
    assert evaluation["values"]["val/acc"] == {"value": 0.9, "low": 0.8, "high": 0.95, "n": None}
    assert row["metrics"]["val/acc"]["best"] == 0.9


def test_a_folder_is_an_artifact_too(record, own_folder):
    (own_folder / "shards" / "a").mkdir(parents=True)
    (own_folder / "shards" / "a" / "0.bin").write_bytes(b"x" * 10)
    (own_folder / "shards" / "1.bin").write_bytes(b"y" * 20)
    with registry.init(name="tree") as run:
        run.log_artifact("shards", role="checkpoint")
    artifact = record.run("tree")["artifacts"][0]
    assert artifact["kind"] == "tree" and artifact["size_bytes"] == 30


@pytest.mark.parametrize(
    ("make", "error", "words"),
    [
        (lambda p: None, NotFoundError, "no file"),
        (lambda p: p.touch(), RefusedError, "is empty"),
        (lambda p: p.mkdir(), RefusedError, "is an empty folder"),
        (lambda p: p.symlink_to(sys.executable), RefusedError, "is a symlink"),
    ],
)
def test_an_artifact_that_is_no_artifact_is_refused(own_folder, make, error, words):
    path = own_folder / "weights.pt"
    make(path)
    run = registry.init(name="refused")
    with pytest.raises(error, match=words):
        run.log_artifact(path)
    run.finish()


def test_an_evaluation_needs_a_subject(own_folder):
    run = registry.init(name="evaluates")
    with pytest.raises(NotFoundError, match="no artifact 'best' yet"):
        run.log_evaluation(artifact="best", metrics={"a": 1.0})
    with pytest.raises(UsageError, match="an evaluation of nothing"):
        run.log_evaluation(metrics={"a": 1.0})
    run.finish()


def test_two_bases_of_one_metric_never_share_a_series(record):
    with registry.init(name="bases") as run:
        run.define_metric("coverage", goal="max")
        run.log({"coverage": 0.9942}, step=1, basis="sampled")
        run.log({"coverage": 0.8646}, step=1)
    metrics = record.run("bases")["metrics"]
    assert metrics["coverage"]["basis"] == "measured" and metrics["coverage"]["best"] == 0.8646
    assert metrics["coverage (sampled)"]["best"] == 0.9942


def test_a_metric_defined_as_sampled_is_recorded_as_sampled(record):
    with registry.init(name="defined") as run:
        run.define_metric("est", goal="max", basis="estimated", unit="%")
        run.log({"est": 1.0}, step=0)
    metric = record.run("defined")["metrics"]["est"]
    assert metric["basis"] == "estimated" and metric["goal"] == "max" and metric["unit"] == "%"


@pytest.mark.parametrize("words", [{"goal": "up"}, {"basis": "guessed"}])
def test_a_definition_with_a_wrong_word_is_told(own_folder, words):
    run = registry.init(name="define")
    with pytest.raises(UsageError):
        run.define_metric("a", **words)
    run.finish()


def test_data_sets_need_a_version(record):
    with registry.init(name="data") as run:
        run.use_dataset("sequences@584k-clean", role="train")
        with pytest.raises(UsageError, match="names no version"):
            run.use_dataset("sequences")
    assert record.run("data")["datasets"][0]["name"] == "sequences"
    assert record.run("data")["datasets"][0]["version"] == "584k-clean"


def test_logging_after_the_end_says_how_to_go_on(own_folder):
    run = registry.init(name="over")
    run.finish()
    run.finish("failed")
    assert run.status == "finished"
    with pytest.raises(UsageError, match="has ended"):
        run.note("too late")


def test_names_from_the_environment(record, monkeypatch):
    monkeypatch.setenv("REGISTRY_EXPERIMENT", "group")
    monkeypatch.setenv("REGISTRY_RUN_NAME", "from-outside")
    registry.init().finish()
    assert record.run("group/from-outside")["name"] == "from-outside"


def test_strange_names_are_kept_as_they_are(record, own_folder):
    name = "ünï/../[bold]x[/] 模型 \u202eabc"
    registry.init(name=name).finish()
    assert record.run("latest")["name"] == name
    assert all(folder.parent == own_folder / "runs" for folder in (own_folder / "runs").iterdir())
    with pytest.raises(UsageError, match="run name of 300 characters"):
        registry.init(name="x" * 300)


def test_environment_values_are_never_recorded(own_folder, monkeypatch):
    monkeypatch.setenv("SECRET_TOKEN", "hunter2")
    registry.init(name="env").finish()
    journal = next((own_folder / "runs").glob("*/journal.jsonl")).read_text()
    assert "SECRET_TOKEN" in journal and "hunter2" not in journal


def test_evaluating_an_earlier_checkpoint_is_no_restart(record, own_folder):
    (own_folder / "best.bin").write_bytes(b"weights")
    with registry.init(name="looks-back") as run:
        for step in range(10):
            run.log({"val/acc": step / 10}, step=step)
        run.log_artifact("best.bin", role="best", step=4)
        run.log_evaluation(artifact="best", metrics={"val/acc": 0.95})
        run.log({"val/acc": 1.0}, step=10)
    row = record.run("looks-back")
    assert len(row["segments"]) == 1
    metric = row["metrics"]["val/acc"]
    assert (metric["last"], metric["last_step"], metric["count"]) == (1.0, 10, 12)


def test_letters_that_utf8_cannot_hold_never_stop_a_training(record):
    with registry.init(name="odd letters", params={"path": "a\udce9b"}) as run:
        run.note("half an emoji \ud83d")
        run.log({"loss\udcff": 1.0}, step=0)
    row = record.run("odd letters")
    assert row["params"] == {"path": "a\\udce9b"} and list(row["metrics"]) == ["loss\\udcff"]

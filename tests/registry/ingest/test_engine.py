"""What happens to logs in the world: they are rotated, truncated, replaced, copied, moved, torn and written by many.
Whatever happens, each value is recorded once, and what was recorded stays."""

import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlmodel import select

from registry import clock
from registry.ingest.origins import locate
from registry.tables import Note, Segment
from tests.registry.ingest.conftest import Registry


def steps(n: int, start: int = 1) -> str:
    return "".join(f"step {step} loss: {1 / step:.6f}\n" for step in range(start, start + n))


def loss(n: int, start: int = 1) -> list[tuple[int, float]]:
    return [(step, float(f"{1 / step:.6f}")) for step in range(start, start + n)]


def notes(registry: Registry) -> list[str]:
    with registry.db.read() as session:
        return list(session.exec(select(Note.text)))


def age(path: Path, seconds: float) -> None:
    """Make a file look as if it was last written `seconds` ago."""
    at = clock.now() - seconds
    os.utime(path, (at, at))


# --- one file that changes


def test_a_growing_log_is_read_on(registry: Registry, logs: Path) -> None:
    log = logs / "a.log"
    for start in (1, 11, 21):
        with open(log, "a") as file:
            file.write(steps(10, start))
        registry.look(logs)
    assert registry.series()["loss"] == loss(30)


def test_a_rotated_log_goes_on_in_its_successor(registry: Registry, logs: Path) -> None:
    log = logs / "train.log"
    log.write_text(steps(10))
    registry.look(logs)
    with open(log, "a") as file:
        file.write(steps(5, 11))
    log.rename(logs / "train.log.1")
    log.write_text(steps(10, 16))
    registry.look(logs)
    (logs / "train.log.1").rename(logs / "train.log.2")
    log.rename(logs / "train.log.1")
    log.write_text(steps(5, 26))

    registry.look(logs)

    assert registry.series()["loss"] == loss(30)
    assert len(registry.runs()) == 1


def test_logs_that_were_rotated_before_the_first_look_are_read_in_order(registry: Registry, logs: Path) -> None:
    (logs / "train.log.2").write_text(steps(10))
    (logs / "train.log.1").write_text(steps(10, 11))
    (logs / "train.log").write_text(steps(10, 21))

    registry.look(logs)

    assert registry.series()["loss"] == loss(30)


def test_a_truncated_log_keeps_what_was_recorded(registry: Registry, logs: Path) -> None:
    log = logs / "a.log"
    log.write_text(steps(20))
    registry.look(logs)
    log.write_text(steps(3, 21))

    registry.look(logs)

    assert registry.series()["loss"] == loss(23)


@pytest.mark.parametrize("how", ["in place", "by rename"])
def test_a_log_written_anew_with_its_old_lines_adds_only_the_new(registry: Registry, logs: Path, how: str) -> None:
    log = logs / "a.log"
    log.write_text(steps(20))
    registry.look(logs)
    header = "a new first line\n" if how == "in place" else ""
    (logs / "new").write_text(header + steps(25))
    if how == "in place":
        log.write_text((logs / "new").read_text())
        (logs / "new").unlink()
    else:
        (logs / "new").replace(log)

    assert registry.look(logs) == 5
    assert registry.series()["loss"] == loss(25)


def test_a_restart_in_one_file_is_a_new_segment(registry: Registry, logs: Path) -> None:
    (logs / "a.log").write_text(steps(10) + steps(6))

    registry.look(logs)

    assert registry.series()["loss"] == loss(10) + loss(6)
    with registry.db.read() as session:
        (segment,) = session.exec(select(Segment)).all()
    assert (segment.reason, segment.metric, segment.from_step, segment.to_step) == ("restart", "loss", 10, 1)


def test_a_csv_that_gains_a_column_is_not_recorded_twice(registry: Registry, logs: Path) -> None:
    """Lightning's CSV logger writes the whole file anew when a new metric comes."""
    table = logs / "version_0" / "metrics.csv"
    table.parent.mkdir()
    table.write_text("epoch,step,train_loss\n" + "".join(f"0,{n},0.{n}\n" for n in range(1, 6)))
    registry.look(logs)
    table.write_text(
        "epoch,step,train_loss,val_loss\n" + "".join(f"0,{n},0.{n},\n" for n in range(1, 6)) + "0,5,,0.25\n"
    )

    registry.look(logs)

    series = registry.series()
    assert series["train_loss"] == [(n, float(f"0.{n}")) for n in range(1, 6)]
    assert series["val_loss"] == [(5, 0.25)]


def test_a_document_written_anew_adds_only_the_new(registry: Registry, logs: Path) -> None:
    state = logs / "trainer_state.json"
    entries = [f'{{"step": {n}, "loss": 0.{n}, "epoch": 0.1}}' for n in range(1, 6)]
    for upto in (2, 5):
        state.write_text(f'{{"global_step": {upto}, "max_steps": 9, "log_history": [{", ".join(entries[:upto])}]}}')
        registry.look(logs)

    assert registry.series()["loss"] == [(n, float(f"0.{n}")) for n in range(1, 6)]
    assert registry.run().status == "unknown"


def test_the_newest_checkpoint_state_speaks_for_the_run(registry: Registry, logs: Path) -> None:
    entries = [f'{{"step": {n}, "loss": 0.{n}}}' for n in range(1, 7)]
    for step in (2, 4, 6):
        folder = logs / "out" / f"checkpoint-{step}"
        folder.mkdir(parents=True)
        body = f'{{"global_step": {step}, "max_steps": 6, "log_history": [{", ".join(entries[:step])}]}}'
        (folder / "trainer_state.json").write_text(body)
        registry.look(logs)

    assert registry.series("out")["loss"] == [(n, float(f"0.{n}")) for n in range(1, 7)]
    assert registry.runs()["out"].status == "finished"


# --- torn ends


def test_half_a_line_is_no_value(registry: Registry, logs: Path) -> None:
    log = logs / "a.log"
    log.write_text(steps(5) + "step 6 loss: 0.1")
    registry.look(logs)
    assert registry.series()["loss"] == loss(5)
    with open(log, "a") as file:
        file.write("66667\n" + steps(1, 7))

    registry.look(logs)

    assert registry.series()["loss"] == loss(7)


def test_a_last_line_without_its_newline_counts_once(registry: Registry, logs: Path) -> None:
    log = logs / "a.log"
    log.write_text(steps(6).rstrip("\n"))
    registry.look(logs)
    assert registry.series()["loss"] == loss(6)
    with open(log, "a") as file:
        file.write("\n" + steps(2, 7))

    registry.look(logs)

    assert registry.series()["loss"] == loss(8)


def test_a_last_line_that_goes_on_after_all_is_read_again(registry: Registry, logs: Path) -> None:
    log = logs / "a.jsonl"
    log.write_text('{"step": 1, "loss": 0.5}\n{"step": 2, "loss": 0.25}\n{"step": 3, "loss": 0.125} ')
    registry.look(logs)
    with open(log, "a") as file:
        file.write('\n{"step": 4, "loss": 0.1}\n')
    registry.look(logs)
    assert registry.series()["loss"] == [(1, 0.5), (2, 0.25), (3, 0.125), (4, 0.1)]


def test_a_truncated_mlflow_value_is_never_a_value(registry: Registry, logs: Path) -> None:
    run = logs / "mlruns" / "1" / ("a" * 32)
    (run / "metrics").mkdir(parents=True)
    (run / "meta.yaml").write_text(f"run_id: {'a' * 32}\nrun_name: one\nstart_time: 1700000000000\nstatus: 1\n")
    metric = run / "metrics" / "loss"
    metric.write_text("1700000000001 3.75 0\n1700000000002 3.5")
    age(metric, 1e6)
    registry.look(logs)
    assert registry.series()["loss"] == [(0, 3.75)]
    with open(metric, "a") as file:
        file.write("25 1\n1700000000003 3.0 2 data abc\n")

    registry.look(logs)

    assert registry.series()["loss"] == [(0, 3.75), (1, 3.525), (2, 3.0)]


# --- several files of one run


def two_sources(folder: Path, *, same: bool) -> None:
    folder.mkdir(exist_ok=True)
    shift = 0.0 if same else 0.5
    rows = [(n, 1 / n) for n in range(1, 31)]
    (folder / "metrics.csv").write_text("epoch,train_loss\n" + "".join(f"{n},{value!r}\n" for n, value in rows))
    (folder / "train.log").write_text("".join(f"epoch {n}: train_loss={value + shift:.4f}\n" for n, value in rows))


@pytest.mark.parametrize("first", ["metrics.csv", "train.log"])
def test_the_same_series_in_two_files_is_recorded_once_and_precisely(
    registry: Registry, logs: Path, first: str
) -> None:
    two_sources(logs / "run", same=True)
    (second,) = {"metrics.csv", "train.log"} - {first}
    (logs / "run" / second).rename(logs / "later")
    registry.look(logs / "run")
    (logs / "later").rename(logs / "run" / second)

    registry.look(logs / "run")

    assert registry.series() == {"train_loss": [(n, 1 / n) for n in range(1, 31)]}
    assert any("repeats train_loss" in text for text in notes(registry))


def test_different_series_of_one_name_are_both_kept(registry: Registry, logs: Path) -> None:
    two_sources(logs / "run", same=False)

    registry.look(logs)

    series = registry.series()
    assert series["train_loss"] == [(n, 1 / n) for n in range(1, 31)]
    assert series["train/train_loss"] == [(n, float(f"{1 / n + 0.5:.4f}")) for n in range(1, 31)]
    assert any("differs" in text for text in notes(registry))


def test_ranks_in_files_of_their_own_count_once_but_their_errors_count(registry: Registry, logs: Path) -> None:
    (logs / "workerlog.0").write_text(steps(5))
    (logs / "workerlog.1").write_text(steps(5) + "Traceback (most recent call last):\nRuntimeError: NCCL died\n")

    registry.look(logs)

    assert registry.series()["loss"] == loss(5)
    run = registry.run()
    assert (run.status, "NCCL died" in run.evidence) == ("failed", True)


def test_logs_with_names_of_their_own_are_runs_of_their_own(registry: Registry, logs: Path) -> None:
    for name in ("resnet18.log", "resnet50.log", "vit.csv"):
        (logs / name).write_text("epoch,loss\n1,0.5\n2,0.4\n3,0.3\n" if name.endswith("csv") else steps(4))
    (logs / "vit_config.json").write_text('{"lr": 0.1}')

    registry.look(logs)

    assert set(registry.runs()) == {"resnet18", "resnet50", "vit"}


def test_the_nearest_parameters_belong_to_a_run(registry: Registry, logs: Path) -> None:
    run = logs / "exp" / "run1"
    run.mkdir(parents=True)
    (logs / "exp" / "config.yaml").write_text(
        "optim:\n  lr: 0.1\nevil: !!python/object/apply:os.system ['touch gone']\n"
    )
    (run / "metrics.csv").write_text("step,loss\n1,0.5\n2,0.4\n3,0.3\n")

    registry.look(logs)

    params = registry.dump()["exp/run1"][1]
    assert params["optim.lr"] == 0.1
    assert not Path("gone").exists()


# --- copies and moves


def test_a_copy_of_a_run_folder_is_no_second_run(registry: Registry, logs: Path) -> None:
    two_sources(logs / "run-a", same=True)
    registry.look(logs)
    shutil.copytree(logs / "run-a", logs / "latest-run")

    assert registry.look(logs) == 0
    assert len(registry.runs()) == 1


def test_a_moved_run_folder_stays_the_same_run(registry: Registry, logs: Path) -> None:
    two_sources(logs / "before", same=True)
    registry.look(logs)
    (logs / "before").rename(logs / "after")
    with open(logs / "after" / "metrics.csv", "a") as file:
        file.write("31,0.03125\n")

    assert registry.look(logs) == 1
    assert len(registry.runs()) == 1


def test_two_runs_that_begin_alike_stay_two(registry: Registry, logs: Path) -> None:
    """The same seed gives the same first rows: that alone makes no copy."""
    for name, last in (("a", 0.1), ("b", 0.2)):
        (logs / name).mkdir()
        rows = "".join(f"{n},0.5,0.25,0.125,0.0625\n" for n in range(1, 40))
        (logs / name / "results.csv").write_text(f"epoch,train/loss,val/loss,acc,lr\n{rows}40,{last},0,0,0\n")

    registry.look(logs)

    assert len(registry.runs()) == 2


def test_a_deleted_log_leaves_its_run(registry: Registry, logs: Path) -> None:
    (logs / "a.log").write_text(steps(5))
    registry.look(logs)
    (logs / "a.log").unlink()

    assert registry.look(logs) == 0
    assert registry.series()["loss"] == loss(5)


# --- bytes


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le"])
@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_encodings_and_line_ends(registry: Registry, logs: Path, encoding: str, newline: str) -> None:
    text = "step,loss,größe\n" + "".join(f"{n},0.{n},{n}\n" for n in range(1, 6))
    (logs / "a.csv").write_bytes(text.replace("\n", newline).encode(encoding))
    (logs / "b.log").write_bytes(steps(5).replace("\n", newline).encode(encoding))

    registry.look(logs)

    assert registry.series("a")["größe"] == [(n, float(n)) for n in range(1, 6)]
    assert registry.series("b")["loss"] == loss(5)


def test_bad_bytes_and_a_huge_line_do_no_harm(registry: Registry, logs: Path) -> None:
    (logs / "a.log").write_bytes(
        steps(3).encode() + b"\xe2\x96 \xff\n" + b"x" * (9 << 20) + b"\n" + steps(3, 4).encode()
    )

    registry.look(logs)

    assert registry.series()["loss"] == loss(6)


def test_what_carries_no_metrics_makes_no_run(registry: Registry, logs: Path) -> None:
    (logs / "model.log").write_bytes(bytes(range(256)) * 40)
    (logs / "requirements.txt").write_text("torch==2.1.0\nnumpy==1.26.4\n" * 5)
    (logs / "debug-internal.log").write_text('{"time": "2026", "level": "INFO", "step": 1, "loss": 1}\n' * 9)
    (logs / "train.py").write_text("for step in range(10):\n    print(f'step: {step} loss: {loss}')\n")
    (logs / "notes.txt").write_text("lr = 0.1\nepochs: 100\nloss: 0.5\nWe saw loss = 0.3 at step 100.\n")
    (logs / "summary.csv").write_text("run,lr,best_loss\n" + "".join(f"r{n},0.1,0.{n}\n" for n in range(1, 9)))
    (logs / "labels.csv").write_text("id,label\n" + "".join(f"{n},cat\n" for n in range(20)))
    (logs / "config.yaml").write_text("epochs: 10\nloss: mse\nstep: 5\n")
    (logs / "model.txt").write_text("(fc): Linear(in_features=512, out_features=10)\nTotal params: 11,689,512\n")
    (logs / "empty.log").write_text("")

    assert registry.look(logs) == 0
    assert registry.runs() == {}


def test_a_symlink_out_of_the_folder_is_not_followed(registry: Registry, logs: Path, tmp_path: Path) -> None:
    (tmp_path / "secret.log").write_text(steps(9))
    (logs / "link.log").symlink_to(tmp_path / "secret.log")
    (logs / "loop").symlink_to(logs)

    assert registry.look(logs) == 0


def test_a_point_is_traced_to_its_byte(registry: Registry, logs: Path) -> None:
    log = logs / "a.log"
    log.write_text("# header\n" + steps(500))
    registry.look(logs)
    with open(log, "a") as file:
        file.write(steps(3, 501))
    registry.look(logs)

    for step in (1, 250, 502):
        with registry.db.read() as session:
            ((path, offset),) = locate(session, registry.run().id, "loss", step)
        with open(path) as file:
            file.seek(offset)
            assert file.readline().startswith(f"step {step} ")


def test_a_value_shows_the_line_that_it_came_from(cli: Callable[..., Any], logs: Path) -> None:
    (logs / "a.log").write_text("# header\n" + steps(20))
    cli("watch", logs, "--once")

    said = cli("show", "latest", "--trace", "loss@7")

    assert f"{logs / 'a.log'}:{len('# header') + 1 + len(steps(6))}" in said.out.replace("\n", "")
    assert "step 7 loss: 0.142857" in said.out
    (origin,) = cli("--json", "show", "latest", "--trace", "loss").json
    assert (origin["step"], origin["line"]) == (20, "step 20 loss: 0.050000")
    assert "no log holds" in cli("show", "latest", "--trace", "loss@99", code=4).err
    assert "no metric 'los'" in cli("show", "latest", "--trace", "los", code=4).err


# --- how a run stands


def test_a_run_that_grows_runs_and_one_that_falls_silent_stalls(registry: Registry, logs: Path) -> None:
    log = logs / "a.log"
    log.write_text(steps(5))
    registry.look(logs)
    assert registry.run().status == "unknown"
    with open(log, "a") as file:
        file.write(steps(5, 6))
    registry.look(logs)
    assert registry.run().status == "running"

    with clock.frozen(clock.now() + 3600):
        registry.look(logs)

    run = registry.run()
    assert (run.status, run.evidence) == ("stalled", "nothing written for 1 h, and no line says how it ended")


def test_a_line_ends_a_run_and_later_lines_revive_it(registry: Registry, logs: Path) -> None:
    log = logs / "a.log"
    log.write_text(steps(5) + "Training complete!\n")
    registry.look(logs)
    assert (registry.run().status, "Training complete!" in registry.run().evidence) == ("finished", True)
    with open(log, "a") as file:
        file.write(steps(5))

    registry.look(logs)

    assert registry.run().status == "running"


def test_a_failed_training_without_metrics_is_still_a_run(registry: Registry, logs: Path) -> None:
    (logs / "job.out").write_text(
        'Loading torch 2.1 for training\nTraceback (most recent call last):\n  File "train.py", line 1\n'
        "ModuleNotFoundError: No module named 'apex'\n"
    )

    registry.look(logs)

    run = registry.run()
    assert (run.status, "apex" in run.evidence) == ("failed", True)


def test_a_run_whose_values_are_all_nan_is_told_of(registry: Registry, logs: Path) -> None:
    (logs / "a.log").write_text("".join(f"step {n} loss: nan\n" for n in range(5)))

    registry.look(logs)

    assert any("loss" in text and "not finite" in text for text in notes(registry))


# --- the user's own grammar


def test_a_grammar_in_registry_toml(cli: Callable[..., Any], logs: Path) -> None:
    (logs / "b.log").write_text("@@ 1 <0.5>\n@@ 2 <0.25>\n")
    Path("registry.toml").write_text(
        "[[ingest.grammars]]\nname = 'mine'\nfiles = '*.log'\nhint = '@@'\n"
        "line = '@@ (?P<step>\\d+) <(?P<val__loss>[\\d.]+)>'\n"
    )

    cli("watch", logs, "--once")

    (run,) = cli("export", "--all").json["runs"]
    assert run["metrics"] == {"val/loss": [[1, 0.5], [2, 0.25]]}


def test_the_grammar_that_the_preview_proposes_reads_the_log(cli: Callable[..., Any], logs: Path) -> None:
    (logs / "odd.log").write_text("".join(f"@@ it {n}0 >> L 0.{9 - n}12 / A 0.{n}1\n" for n in (1, 2, 3)))
    said = cli("watch", "--preview", logs / "odd.log").out
    assert "3 lines with numbers were not understood" in said
    Path("registry.toml").write_text(said[said.index("[[ingest.grammars]]") :])

    cli("watch", logs, "--once")

    (run,) = cli("export", "--all").json["runs"]
    assert run["metrics"]["L"] == [[10, 0.812], [20, 0.712], [30, 0.612]]
    assert run["metrics"]["A"] == [[10, 0.11], [20, 0.21], [30, 0.31]]


def test_a_broken_grammar_is_one_clear_line(cli: Callable[..., Any], logs: Path) -> None:
    Path("registry.toml").write_text("[[ingest.grammars]]\nname = 'mine'\nline = '(?P<step>'\n")
    said = cli("watch", logs, "--once", code=2)
    assert "ingest grammar 'mine'" in said.err

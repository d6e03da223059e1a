"""Training the latent vector model: every variant learns, is recorded, stops in order and goes on exactly."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch

from registry import events
from registry.errors import CheckFailedError, NotFoundError, RefusedError, UsageError
from registry.gates import load_suite_text, parse_suite
from runners.lvm import FAMILY, checks, files, synthetic, table
from runners.lvm.answer import load_model
from runners.lvm.sequences import Encoder, unit
from runners.training import start
from runners.training.checkpoints import load_weights
from tests.runners.training.helpers import journal, stop_at


@pytest.fixture(autouse=True)
def registry_here(tmp_path, monkeypatch):
    monkeypatch.setenv("REGISTRY_DB", str(tmp_path / "runs.db"))
    monkeypatch.delenv("REGISTRY_RUN_ID", raising=False)
    monkeypatch.chdir(tmp_path)


def train(variant: str, *overrides: str, **more):
    settings = FAMILY.build(variant, "smoke", ("threads=1", *overrides))
    return start.train_family(FAMILY, settings, variant=variant, preset="smoke", **more)


@pytest.mark.parametrize("variant", sorted(FAMILY.variants))
def test_every_variant_finds_the_rotation_better_than_it_can_be_guessed(variant):
    outcome = train(variant, "epochs=30" if variant in ("amn", "gru", "lstm") else "epochs=12")
    own = next(e for e in journal(outcome.folder) if isinstance(e, events.Evaluation) and e.digest)
    assert outcome.status == "finished"
    assert own.intervals["5cat/skill_cosine"][0] > 0
    assert own.digest == next(
        e.digest for e in reversed(journal(outcome.folder)) if isinstance(e, events.Artifact) and e.role == "best"
    )


def test_controls_and_baselines_are_recorded_beside_the_model():
    subjects = {e.subject for e in journal(train("p1").folder) if isinstance(e, events.Evaluation)}
    assert {"oracle", "constant", "copy_last", "shuffled", "mean_context", "ar5", "copy_last_centred"} <= subjects


def test_a_stopped_training_goes_on_to_the_same_weights(monkeypatch):
    straight = train("rank", name="straight")
    stop_at(30, monkeypatch)
    settings = FAMILY.build("rank", "smoke", ("threads=1", "checkpoint_every=20"))
    stopped = start.train_family(FAMILY, settings, variant="rank", preset="smoke", name="stopped")
    assert stopped.status == "killed" and stopped.step == 30
    usable = load_model(stopped.folder / "checkpoints" / "last.safetensors")
    assert torch.isfinite(usable.model(torch.eye(5, 16)[None])).all()
    resumed = start.resume_family(stopped.run_id)
    assert resumed.status == "finished"
    one, other = (load_weights(o.folder / "checkpoints" / "last.safetensors")[0] for o in (straight, resumed))
    assert all(torch.equal(one[name], other[name]) for name in one)


def test_a_checkpoint_says_enough_to_be_loaded_alone():
    outcome = train("p5.1")
    found = load_model(outcome.folder / "checkpoints" / "best.safetensors")
    assert found.model(torch.zeros(2, 5, 16)).shape == (2, 16)
    assert found.encoder.name == "synthetic rotation" and found.bank is None


def test_the_gpu_preset_trains_here_too_if_only_for_two_steps():
    few = ("n_documents=40", "document_length=12", "dimensions=16", "epochs=0.01", "device=cpu", "threads=1")
    few += ("batch_size=32",)
    settings = FAMILY.build("rank", "gpu", few)
    assert (settings.width, settings.layers) == (512, 4)
    outcome = start.train_family(FAMILY, settings, variant="rank", preset="gpu")
    assert outcome.status == "finished" and outcome.step == 2
    n = sum(one.numel() for one in load_weights(outcome.folder / "checkpoints" / "best.safetensors")[0].values())
    assert 12e6 < n < 20e6, "the notebooks' network had 17.8 million numbers"


def _write_store(path, **changes):
    store = synthetic.make_store("ar", n_documents=60, length=14, dimensions=16, seed=1)
    files.save_store(replace(store, **changes), path)
    return files.load_store(path)


def test_data_that_is_not_fit_is_not_trained_on(tmp_path):
    good = _write_store(tmp_path / "good.npz")
    doubled = good.vectors.copy()
    doubled[:140] = doubled[700:840]
    repeated = good.vectors.copy()
    repeated[1:300:2] = repeated[0:299:2]
    alike = np.random.default_rng(0).normal(size=good.vectors.shape) * 0.01 + np.eye(16)[0]
    noise = np.random.default_rng(0).normal(size=(len(good.vectors), 16))
    for vectors, reason in (
        (doubled, "another document"),
        (repeated, "repeat the row"),
        (unit(alike), "alike"),
        (unit(noise), "no nearer"),
    ):
        _write_store(tmp_path / "bad.npz", vectors=vectors)
        with pytest.raises(CheckFailedError, match="not fit") as caught:
            train("p1", f"data={tmp_path / 'bad.npz'}")
        assert any(reason in line for line in caught.value.details)
        assert checks.main([str(tmp_path / "bad.npz")]) == 1
    assert checks.main([str(tmp_path / "good.npz")]) == 0


def test_a_registered_set_is_checked_before_it_is_trained_on(tmp_path, cli):
    store = _write_store(tmp_path / "walk.npz")
    for words in checks.write_checks(store, tmp_path / "walk.npz"):
        name = words.split()
        if "validate" in name:
            (tmp_path / "registry.toml").write_text('[data]\nunchecked = "refuse"\n')
            with pytest.raises(RefusedError, match="never checked"):
                train("p1", f"data={tmp_path / 'walk.npz'}")
        cli(*name[1:])
    train("p1", f"data={tmp_path / 'walk.npz'}", "epochs=1")
    cli("dataset", "invalidate", store.reference, "--reason", "pages are mixed up")
    with pytest.raises(RefusedError, match="mixed up"):
        train("p1", f"data={tmp_path / 'walk.npz'}")


def test_out_of_domain_vectors_of_another_encoder_are_refused(tmp_path):
    _write_store(tmp_path / "own.npz", encoder=Encoder("m", "a" * 64, "mean", True, ((0.1, 0.2),)))
    for changed in ({"weights": "b" * 64}, {"pooling": "cls"}, {"probes": ((0.1, 0.3),)}, {"weights": ""}):
        other = replace(Encoder("m", "a" * 64, "mean", True, ((0.1, 0.2),)), **changed)
        _write_store(tmp_path / "ood.npz", encoder=other)
        with pytest.raises(CheckFailedError, match="encoder"):
            train("p1", f"data={tmp_path / 'own.npz'}", f"ood={tmp_path / 'ood.npz'}")


def test_wrong_choices_are_refused_in_one_line(tmp_path):
    with pytest.raises(UsageError, match="attention_bias"):
        train("gru", "attention_bias=0.5")
    with pytest.raises(UsageError, match="width"):
        train("p1", "width=30")
    with pytest.raises(NotFoundError, match="no sequence file"):
        train("p1", "data=nowhere.npz")
    with pytest.raises(NotFoundError, match="no stage"):
        train("p1", "start_from=previous")
    with pytest.raises(CheckFailedError, match="window"):
        train(
            "p1",
            "data=rotation",
            "n_documents=20",
            "document_length=12",
            "ood=",
            "split_seed=0",
            "data=" + _tiny(tmp_path),
        )


def _tiny(folder) -> str:
    vectors = np.eye(8)[np.arange(6)]
    np.savez(folder / "tiny.npz", v=vectors, aid=np.zeros(6, dtype=int))
    return str(folder / "tiny.npz")


def test_the_table_is_made_of_what_is_recorded_and_trains_nothing_twice(capsys):
    arguments = ["--preset", "smoke", "--seeds", "2", "--data", "rotation", "--variants", "p1", "--set", "epochs=3"]
    assert table.main(arguments) == 0
    first = capsys.readouterr()
    assert first.err.count("finished") == 2
    assert "| p1 |" in first.out and "±" in first.out and "*oracle*" in first.out
    assert table.main(arguments) == 0
    second = capsys.readouterr()
    assert second.err == "" and second.out == first.out


def test_the_suites_name_only_what_is_measured():
    outcome = train("rank", "n_documents=150")
    own = {name for e in journal(outcome.folder) if isinstance(e, events.Evaluation) and e.digest for name in e.metrics}
    for name in ("5cat", "5cat-control", "5cat-stages"):
        suite = parse_suite(load_suite_text(name)[1], name)
        missing = {gate.metric for gate in suite.gates} - own
        assert missing <= {"5cat/bins_delta"}, missing


def test_listing_families_imports_no_torch():
    code = "import sys; import runners.lvm, runners.edgejson; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"

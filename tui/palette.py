"""The command palette: every action that is possible now, by its name; the themes beside them."""

from collections.abc import Iterator
from functools import partial
from typing import Any

from textual.command import DiscoveryHit, Hit, Hits, Provider

from tui.actions import ACTIONS, key_text

_LATE = {"app": 1, "table": 2}
"""What belongs to the screen is offered first."""


class ActionsProvider(Provider):
    """Offers what the screen's active bindings can do now, from the one table of actions."""

    def _offers(self) -> Iterator[tuple[str, str, Any]]:
        """Yield `(name, help, callback)`; an action on several keys once."""
        by_id = {action.id: action for action in ACTIONS}
        said = set()
        bindings = self.screen.active_bindings.items()
        for key, active in sorted(
            bindings, key=lambda item: _LATE.get((item[1].binding.id or "").partition(".")[0], 0)
        ):
            action = by_id.get(active.binding.id or "")
            if action is None or not active.enabled or action.name == "command_palette" or action.id in said:
                continue
            said.add(action.id)
            name = action.label if action.scope in ("app", "table") else f"{action.scope.title()}: {action.label}"
            callback = partial(self.app.run_action, active.binding.action, active.node)
            yield f"{name}  ({key_text(key)})", action.help, callback
        for theme in self.app.available_themes:
            yield f"Theme: {theme}", "Change the colours.", partial(setattr, self.app, "theme", theme)

    async def discover(self) -> Hits:
        """Offer everything before anything is typed."""
        for name, about, callback in self._offers():
            if not name.startswith("Theme"):
                yield DiscoveryHit(name, callback, help=about)

    async def search(self, query: str) -> Hits:
        """Offer what matches."""
        matcher = self.matcher(query)
        for name, about, callback in self._offers():
            score = matcher.match(name)
            if score > 0:
                yield Hit(score, matcher.highlight(name), callback, help=about)

"""Other repairers, where they are installed, and the answers that need none: what every score is shown beside."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib import import_module

from registry.errors import UsageError
from runners.json_repair.repair import Repair

HEURISTIC = "json-repair"
_FUNCTIONS = {
    "json-repair": ("json_repair", "repair_json"),
    "fast-json-repair": ("fast_json_repair", "repair_json"),
    "repairjson": ("repairjson", "repair"),
    "json5": ("json5", "loads"),
    "demjson3": ("demjson3", "decode"),
    "dirtyjson": ("dirtyjson", "loads"),
    "hjson": ("hjson", "loads"),
}
"""A package's function that repairs, or that reads leniently, by the name that the package index knows it by."""


@dataclass(frozen=True)
class FunctionRepairer:
    """Repairs by a function of one text; what it raises or cannot say as JSON leaves the text as it was."""

    name: str
    function: Callable[[str], object]

    def repair(self, texts: Sequence[str]) -> list[Repair]:
        """Return one repair for each text; these functions do not say how sure they are."""
        return [Repair(self._answer(text), None) for text in texts]

    def _answer(self, text: str) -> str:
        try:
            answer = self.function(text)
            return answer if isinstance(answer, str) else json.dumps(answer, ensure_ascii=False)
        except (Exception, RecursionError):  # whatever a foreign parser raises
            return text


EMPTY_OBJECT = FunctionRepairer("empty_object", lambda text: "{}")
IDENTITY = FunctionRepairer("unchanged", lambda text: text)


def installed_rivals() -> list[FunctionRepairer]:
    """Return every other repairer that can be imported here."""
    found = []
    for name, (module, function) in _FUNCTIONS.items():
        try:
            found.append(FunctionRepairer(name, getattr(import_module(module), function)))
        except (ImportError, AttributeError):
            continue
    return found


def heuristic() -> FunctionRepairer:
    """Return the heuristic to fall back to. Raises UsageError when it is not installed."""
    for rival in installed_rivals():
        if rival.name == HEURISTIC:
            return rival
    raise UsageError(f"{HEURISTIC} is not installed", hint=f"pip install {HEURISTIC}")

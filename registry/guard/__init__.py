"""The guard: a machine goes only with a permit, and a permit is given only when nothing would be lost with it."""

from registry.guard.permit import Outcome, let_go, refusal, settle
from registry.guard.release import Judgement, Release, Wish
from registry.guard.sweep import Ignored, Machine, ThisMachine

__all__ = [
    "Ignored",
    "Judgement",
    "Machine",
    "Outcome",
    "Release",
    "ThisMachine",
    "Wish",
    "let_go",
    "refusal",
    "settle",
]

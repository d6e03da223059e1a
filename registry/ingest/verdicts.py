"""Lines that say how a program ended. Only words that programs print at their end count; everything else is silence."""

import re

from registry.ingest.records import Ended, State

_FINISHED = re.compile(
    r"\btrain(?:ing)?(?: job| run| loop)?(?: is| has been| was)? (?:complet\w+|finished|done|success)\b|"
    r"\b(?:finished|completed|done with|done) (?:train(?:ing)?|run)\b|"
    r"^\W{0,4}(?:run|experiment|job|optimi[sz]ation|learning) (?:complet\w+|finished|done|succeeded)\b|"
    r"\bProcess \d+ exits successfully|\bdone training in \b|\bTotal training time\b|^Training time:? \d|"
    r"`?Trainer\.fit`? stopped: `?max_(?:epochs|steps|time)|\b\d+ epochs completed in \b|"
    r"^\W{0,4}(?:all done|done)[.! ]*$|\bexit(?:ed)?(?: with)? (?:code|status)[ :=]+0\b|\breturn code[ :=]+0\b|"
    r"\[after training is done\]|\btraining_finished\b",
    re.IGNORECASE,
)
_NOT_FINISHED = re.compile(
    r"\b(?:epoch|step|iter\w*|batch|not|before|until|when|if|after|once|will be|first|stage|phase)\b", re.IGNORECASE
)
_KILLED = re.compile(
    r"\bKeyboardInterrupt\b|\bSIG(?:TERM|KILL|INT|HUP|USR1)\b|\b(?:got|received|caught|by|with|termination) signal\b|"
    r"\bsignal[ :=]+(?:2|9|15)\b|^\s*(?:\S+: line \d+: +\d+ )?(?:Killed|Terminated)\b|\bDUE TO TIME LIMIT\b|"
    r"\bCANCELLED (?:AT|\+|by)\b|\boom[-_ ]kill|\bOut of memory: Kill|"
    r"\bexit(?:ed)?(?: with)?[ _]?(?:code|status)[ :=]+-?(?:9|15|137|143|130)\b|"
    r"\bexitcode[ :=]+-(?:9|15)\b|\bTermination signal\b|\binterrupted by user\b|\bDUE TO PREEMPTION\b",
    re.IGNORECASE,
)
_ERROR = re.compile(
    r"^(?:[A-Za-z_][\w]{0,60}\.){0,6}[A-Za-z_]\w{0,60}(?:Error|Exception|Exit|OutOfMemory|Failure|Interrupt)(?::|\s*$)"
)
_FAILED = re.compile(
    r"\bexit(?:ed|s)?(?: with)?(?: a)?(?: non-zero)?[ _]?(?:return )?(?:code|status)[ :=]+(?:[1-9]\d{0,2})\b|"
    r"\bSegmentation fault|\bcore dumped\b|\bCUDA out of memory\b|\bchild process failed\b|\bChildFailedError\b|"
    r"^srun: error\b|\bBus error\b|\bABORTED\b|\btrain(?:ing)?(?: job| run)? (?:failed|aborted|crashed)\b|"
    r"\bNCCL error\b|\breturn code[ :=]+[1-9]",
    re.IGNORECASE,
)
_STEMS = (
    "traceback", "complet", "finish", "done", "success", "succeeded", "total training time", "training time", "stopped",
    "exit", "code", "signal", "sig", "interrupt", "kill", "terminat", "time limit", "cancelled", "preemption",
    "fault", "core dumped", "out of memory", "failed", "childfailed", "srun: error", "bus error", "abort", "crashed",
    "nccl error", "return",
)  # fmt: skip
"""A line that says how a program ended holds one of these."""
_TRACEBACK = "Traceback (most recent call last)"
_TRAINING = re.compile(
    r"\btrain|\bepoch|torch|tensorflow|\bjax\b|deepspeed|accelerate|paddle|\bcuda|nccl|keras", re.IGNORECASE
)
MAX_CHARS = 400


def verdict(state: State, text: str, offset: int) -> Ended | None:
    """Return what a line says about the end of its program, None when it says nothing.

    After a traceback's first line the next line that names an exception is its evidence.
    """
    text = text[:MAX_CHARS]
    lower = text.lower()
    if not any(map(lower.__contains__, _STEMS)) and not state.get("traceback"):
        return None
    if _TRACEBACK in text:
        state["traceback"] = 1
        return Ended(offset, "failed", _TRACEBACK)
    if state.get("traceback") and (error := _ERROR.match(text)):
        state["traceback"] = 0
        killed = error[0].startswith("KeyboardInterrupt") or bool(_KILLED.search(text))
        return Ended(offset, "killed" if killed else "failed", text.strip())
    if _KILLED.search(text):
        return Ended(offset, "killed", text.strip())
    if _FAILED.search(text):
        return Ended(offset, "failed", text.strip())
    done = _FINISHED.search(text)
    if done and not _NOT_FINISHED.search(text[: done.start()]) and not _NOT_FINISHED.match(text[done.end() :].lstrip()):
        return Ended(offset, "finished", text.strip())
    return None


def speaks_of_training(text: str) -> bool:
    """Return whether a line uses a word that only programs that train use."""
    return bool(_TRAINING.search(text[:MAX_CHARS]))

"""How a run stands, from what its files say. Finished needs a line that says so; silence never is success."""

from dataclasses import dataclass

from registry import clock
from registry.ingest.records import Ended, Record, State, Total, Values

MIN_STALL_S = 900.0
STALL_INTERVALS = 10.0
LINES_THAT_REVIVE = 3
_COUNTED = ("step", "epoch")
_SEVERITY = {"failed": 2, "killed": 2, "finished": 1, "running": 0}


@dataclass(frozen=True)
class Standing:
    """A status and the line, or the silence, that says so."""

    status: str
    evidence: str


def fold(facts: State, record: Record, path: str) -> None:
    """Keep in `facts` (plain JSON) what a record of this file says about the run's end."""
    if type(record) is Values:
        fold_values(facts, [record])
    elif type(record) is Ended:
        _fold_end(facts, record, path)
    elif type(record) is Total:
        facts.setdefault("totals", {})[record.axis] = record.steps


def fold_values(facts: State, group: list[Values]) -> None:
    """Keep in `facts` what values that follow one another say: how many, how far, when, and that there is no end."""
    if not group:
        return
    facts["n"] = facts.get("n", 0) + len(group)
    last: dict[str, Values] = {}
    latest, last_at = None, None
    for values in group:
        if facts.get("end") is not None:
            _doubt_end(facts, values)
        if values.step is not None and values.axis in _COUNTED:
            last[values.axis] = latest = values
        if values.at is not None:
            last_at = values.at
            if "first_at" not in facts:
                facts["first_at"] = values.at
    if latest is not None:
        facts["axis"] = latest.axis
        facts.setdefault("last", {}).update({axis: [values.step, values.offset] for axis, values in last.items()})
    if last_at is not None:
        facts["last_at"] = last_at


def _doubt_end(facts: State, values: Values) -> None:
    """A run that goes on after a line about its end has not ended: at once after success, after some lines else."""
    end = facts["end"]
    if end["binding"]:
        return
    end["lines_after"] += 1
    restarted = values.step is not None and end["step"] is not None and values.step != end["step"]
    if (end["status"] == "finished" and restarted) or (
        end["status"] != "finished" and end["lines_after"] >= LINES_THAT_REVIVE
    ):
        facts["end"] = None


def _fold_end(facts: State, end: Ended, path: str) -> None:
    held = facts.get("end")
    if held is not None and held["binding"] and not end.binding:
        return
    if held is not None and not end.binding and _SEVERITY[held["status"]] > _SEVERITY[end.status]:
        return
    last = facts.get("last", {}).get(facts.get("axis", "step"))
    where = f" ({path}:{end.offset})" if end.offset or not end.binding else ""
    facts["end"] = {
        "status": end.status,
        "evidence": f"{end.evidence[:300]}{where}",
        "binding": end.binding,
        "step": last[0] if last else None,
        "lines_after": 0,
    }


def judge(
    files: dict[str, State], *, quiet_s: float, interval_s: float | None, growing: bool, was_running: bool, now: float
) -> Standing:
    """Return how a run stands.

    `files` are the facts of its files by name; `quiet_s` is how long none of them was written, `interval_s` the median
    time between its lines, `growing` whether one of them grew between two looks, `was_running` what was said before.
    A tracker's own word decides; then a line that ends the program, failure before success; then the last step.
    """
    ends = [facts["end"] for facts in files.values() if facts.get("end")]
    for binding in (True, False):
        chosen = [end for end in ends if end["binding"] is binding]
        if chosen:
            worst = max(chosen, key=lambda end: _SEVERITY[end["status"]])
            return Standing(worst["status"], worst["evidence"])
    for path, facts in files.items():
        if complete := _complete(facts):
            return Standing("finished", f"{complete[0]} {complete[1]} of {complete[1]} ({path}:{complete[2]})")
    stall_s = max(MIN_STALL_S, STALL_INTERVALS * (interval_s or 0.0))
    last_at = max((facts["last_at"] for facts in files.values() if facts.get("last_at")), default=None)
    fresh = last_at is not None and abs(now - last_at) < stall_s
    if quiet_s < stall_s and (growing or was_running or fresh):
        return Standing("running", f"written {clock.age(quiet_s)} ago")
    if was_running:
        return Standing("stalled", f"nothing written for {clock.age(quiet_s)}, and no line says how it ended")
    return Standing("unknown", "no line says how it ended")


def _complete(facts: State) -> tuple[str, int, int] | None:
    """Return axis, step and offset of a last step that is the announced total."""
    for axis, total in facts.get("totals", {}).items():
        last = facts.get("last", {}).get(axis)
        if last and total > 0 and last[0] >= total and facts.get("axis") == axis:
            return axis, total, last[1]
    return None

"""Boxes of `| key | value |` rows between rulers: Stable-Baselines3, OpenAI Baselines, Spinning Up."""

import re

from registry.ingest.counters import EPOCH_KEYS, whole_step
from registry.ingest.grammar import LineFormat
from registry.ingest.numbers import to_number
from registry.ingest.records import Line, Record, State, Values

_RULER = re.compile(r"\s*[-+=]{8,}\s*")
_ROW = re.compile(r"\s*\|\s?( {0,60}\S[^|]{0,80}?)\s*\|\s*(\S{0,40})\s*\|\s*")
_STEPS = (
    "total_timesteps", "TotalEnvInteracts", "total timesteps", "timesteps_so_far", "num timesteps", "total_steps",
    "steps", "iterations", "iteration", "nupdates", "Epoch", "epoch",
)  # fmt: skip
MAX_ROWS = 200


def feed(state: State, line: Line) -> list[Record] | None:
    """Keep the rows of a box; the ruler below it gives them out with the step that one of them is."""
    box = state.get("box")
    if found := _ROW.fullmatch(line.raw):
        if box is None or len(box["rows"]) >= MAX_ROWS:
            return None
        _keep(box, found[1], found[2])
        return []
    if not _RULER.fullmatch(line.raw):
        return None
    state["box"] = {"offset": line.offset, "section": "", "rows": {}}
    return _give_out(state, box, line) if box and box["rows"] else None


def _keep(box: State, key: str, value: str) -> None:
    if key.strip().endswith("/") and not value:
        box["section"] = key.strip()
        return
    number = to_number(value)
    if number is not None:
        inside = key.startswith(("  ", "   "))
        box["rows"][(box["section"] if inside else "") + key.strip()] = number


def _give_out(state: State, box: State, line: Line) -> list[Record] | None:
    rows: dict[str, float] = box["rows"]
    by_last = {name.rsplit("/", 1)[-1]: name for name in rows}
    chosen = next((by_last[name] for name in _STEPS if name in by_last), None)
    if chosen is None:
        return None
    step = whole_step(rows.pop(chosen))
    state["box_step"] = step
    axis = "epoch" if chosen.rsplit("/", 1)[-1].lower() in EPOCH_KEYS else "step"
    return [Values(box["offset"], rows, step, line.at, axis)] if rows else []


FORMAT = LineFormat(
    name="key table",
    hints=("| ", "----", "===="),
    feed=feed,
    files="*.log, log.txt",
    example="| rollout/           |          | ⏎ |    ep_rew_mean     | -22.3    | ⏎ |    total_timesteps | 4096     |",
    step="`total_timesteps`, else another counter among the rows",
)

"""DeepSpeed and DeepSpeed-Chat: each engine's `step=…` line, its timer, perplexity after its header, RLHF's losses."""

import re

from registry.ingest import numbers
from registry.ingest.counters import running_step
from registry.ingest.grammar import LineFormat
from registry.ingest.records import Line, Record, State, Values

_STEP = re.compile(r"step=(\d{1,18}), skipped=(\d{1,18}), lr=\[([^\]]{0,400})\]")
_TIMER = re.compile(r"epoch=\d+/micro_step=\d+/global_step=(\d{1,18}), ")
_HEADER = re.compile(r"\*{3,} Evaluating (?:perplexity|reward), Epoch (\d{1,18})/(\d{1,18})")
_EVALUATED = re.compile(r"\s*(ppl|loss|chosen_last_scores \(higher is better\)|acc \(higher is better\)): ")
_RLHF = re.compile(r"epoch: (\d{1,18}) ?\| ?step: (\d{1,18}) ?\| ?ppo_ep: ?\d+ ?\|")
_REWARD = re.compile(r"average reward score: (\S+)")


def feed(state: State, line: Line) -> list[Record] | None:
    """Return the values of one line; `lr` is the first group's, others follow as `lr/1` where they differ."""
    kept = state.setdefault("deepspeed", {})
    text = line.text
    if found := _STEP.search(text):
        values = {"skipped": float(found[2]), **_rates(found[3])}
        return [Values(line.offset, values, int(found[1]), line.at)]
    if found := _TIMER.search(text):
        return [Values(line.offset, numbers.pairs(text, found.end()), int(found[1]), line.at)]
    if found := _HEADER.search(text):
        kept["epoch"] = int(found[1])
        return []
    if "epoch" in kept and _EVALUATED.match(text):
        return [
            Values(line.offset, numbers.pairs(text.replace(" (higher is better)", "")), kept["epoch"], line.at, "epoch")
        ]
    if found := _RLHF.search(text):
        kept["step"] = running_step(kept, "rlhf", int(found[1]), int(found[2]))
        return [Values(line.offset, numbers.pairs(text, found.end()), kept["step"], line.at)]
    if "step" in kept and (found := _REWARD.search(text)):
        number = numbers.to_number(found[1].rstrip(","))
        return (
            [Values(line.offset, {"average reward score": number}, kept["step"], line.at)] if number is not None else []
        )
    return None


def _rates(text: str) -> dict[str, float]:
    rates = [number for part in text.split(",") if (number := numbers.to_number(part.strip())) is not None]
    found = {"lr": rates[0]} if rates else {}
    return found | {f"lr/{place}": rate for place, rate in enumerate(rates[1:], 1) if rate != rates[0]}


FORMAT = LineFormat(
    name="deepspeed",
    hints=("skipped=", "global_step=", "***** Eval", "ppl: ", "higher is better", "ppo_ep", "average reward score"),
    feed=feed,
    files="*.log",
    example="[…] [INFO] [logging.py:96:log_dist] [Rank 0] step=10, skipped=6, lr=[9.6e-06], mom=[(0.9, 0.95)]",
    step="`step=`, `global_step=`; perplexity: the epoch in the header above it",
    end="`Process N exits successfully.`",
)

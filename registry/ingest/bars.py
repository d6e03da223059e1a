"""Progress bars (tqdm and its like): ` 7%|██ | 139/1963 [00:43<06:34, 4.62it/s, loss=0.68]`.

A bar yields a point only when its count advanced; redraws repeat the same values. Found with string searches, so a
line of a million characters costs no more than its length.
"""

import re
from functools import lru_cache

from registry.ingest import numbers
from registry.ingest.counters import counters
from registry.ingest.gate import is_strong
from registry.ingest.naming import MODE_LINE, tidy
from registry.ingest.objects import NEVER, eval_prefix, qualified
from registry.ingest.records import Line, Record, State, Values

_COUNT = re.compile(r"\|\s*(\d[\d,.]*[kMG]?)\s*/\s*(\d[\d,.]*[kMG]?|\?)\s*\[")
_OPEN_COUNT = re.compile(r"(?:^|\s)(\d{1,18})it \[")
_NUMBERS = re.compile(r"\d[\d.]*")
_DASHED = re.compile(r"\s-\s(?=[-+.\d])")
_SCALE = {"k": 1e3, "M": 1e6, "G": 1e9}
MAX_BAR_CHARS = 4000
MAX_BARS = 64


def is_bar(text: str) -> bool:
    """Return whether a line may be a progress bar."""
    return "%|" in text or "it [" in text or "it/s" in text


def feed(state: State, line: Line) -> list[Record] | None:
    """Return the points of a bar, an empty list for a redraw without news, None for no bar at all.

    The bar's description may name an epoch; then steps run on over the epochs.
    """
    text = line.text
    mark = text.find("%|")
    found = _COUNT.search(text, mark, mark + MAX_BAR_CHARS) if mark >= 0 else _OPEN_COUNT.search(text[:MAX_BAR_CHARS])
    if found is None:
        return None
    n = _count(found[1])
    total = _count(found[2]) if mark >= 0 else None
    words = text[:mark].rstrip(" 0123456789") if mark >= 0 else text[: found.start()]
    words = words.strip().rstrip(":")[-200:]
    close = text.find("]", found.end())
    mode = MODE_LINE.match(words)
    prefix = eval_prefix(mode[1]) if mode else ""
    values = _described(words) | _postfix(text[found.end() : close if close >= 0 else len(text)])
    bars = state.setdefault("bars", {})
    step = _advance(bars, words, n, total)
    if step is None or not values:
        return []
    values = {qualified(prefix, name): value for name, value in values.items()}
    return [Values(line.offset, values, step, line.at, "bar")]


def after_bar(text: str) -> str:
    """Return what another line left behind a bar (`… 4.62it/s]Epoch 3: loss 0.5`), empty when there is nothing."""
    close = text.find("]", text.find(" [") + 1)
    rest = text[close + 1 :].strip() if close >= 0 else ""
    return rest if not is_bar(rest) else ""


def _postfix(inside: str) -> dict[str, float]:
    """Return the metrics after the rate: the text between the brackets from the first `, ` on."""
    parts = inside.split(", ", 1)
    if len(parts) < 2:
        return {}
    return _metrics(numbers.signed_fields(_DASHED.sub("=", parts[1])))


@lru_cache(maxsize=1024)
def _described(words: str) -> dict[str, float]:
    """Return the metrics that a bar's description names: `epoch 1 loss 0.52: 10%|`, `1|20|Loss: 1.5:  8%|`."""
    for counter in reversed(counters(words)):
        words = f"{words[: counter.start]};{words[counter.end :]}"
    fields = numbers.signed_fields(words) or numbers.spaced_fields(words)
    return {name: value for name, value in _metrics(tidy(fields)).items() if is_strong(name)}


def _metrics(fields: list[numbers.Field]) -> dict[str, float]:
    return {field.name: field.value for field in fields if field.name.lower() not in NEVER}


def _advance(bars: State, words: str, n: int | None, total: int | None) -> int | None:
    """Return the running step of a bar that moved on, None for a redraw; a bar that begins anew runs on."""
    if n is None:
        return None
    key, epoch = _said_by(words)
    kept = bars.get(key)
    if kept is None:
        if len(bars) >= MAX_BARS:
            return None
        kept = bars[key] = {"epoch": epoch, "n": None, "base": 0, "total": total}
    began_anew = kept["n"] is not None and (epoch != kept["epoch"] or n < kept["n"])
    if began_anew:
        back = epoch is not None and kept["epoch"] is not None and epoch < kept["epoch"]
        kept["base"] = 0 if back else kept["base"] + (kept["total"] or kept["n"])
    elif kept["n"] == n:
        return None
    kept["epoch"], kept["n"], kept["total"] = epoch, n, total
    return int(kept["base"]) + n if n > 0 else None


@lru_cache(maxsize=1024)
def _said_by(words: str) -> tuple[str, int | None]:
    """Return what tells a bar from others, and the epoch that its description names."""
    named = next((counter for counter in counters(words) if counter.axis == "epoch"), None)
    return _NUMBERS.sub("", words[: named.start] if named else words).strip()[:80], named.n if named else None


def _count(digits: str) -> int | None:
    scale = _SCALE.get(digits[-1], 1.0)
    try:
        return int(float(digits.rstrip("kMG").replace(",", "")) * scale)
    except ValueError:
        return None

"""A text log, line by line: the first format that knows a line takes it; what none knows goes through the gate.

`feed` is pure: the same state and line give the same records, and the state is plain JSON.
"""

import ast
import re
from typing import Any

from registry.ingest import bars, gate, jsontext, numbers
from registry.ingest.counters import STEP_KEYS, Counter, counters, running_step, trailing_counter
from registry.ingest.formats import LINE_FORMATS
from registry.ingest.grammar import LineFormat
from registry.ingest.naming import MODE_LINE, named, tidy
from registry.ingest.objects import NEVER, eval_prefix, object_values, qualified
from registry.ingest.prefixes import peel
from registry.ingest.records import Ended, Inputs, Line, Record, State, Total, Values
from registry.ingest.verdicts import speaks_of_training, verdict

MAX_OBJECT_CHARS = 1 << 20
MAX_GENERIC_CHARS = 8192
MAX_FORMAT_CHARS = 65536
MAX_WORDS_CHARS = 2000
MAX_SAMPLES = 8
_HEADER_REST = re.compile(
    r"[\s\-=*#:|.\[\](){}>/]*(?:of \d+|start\w*|begin\w*|\.{3}|training|learning|summary|results?)?[\s\-=*#:|.]*",
    re.IGNORECASE,
)
_MODE = re.compile(
    r"\b(train|training|val|valid|validation|eval|evaluation|test|testing|dev)\b(?!\s*[:=]\s*[-+.\d])", re.IGNORECASE
)
_PREPOSITION = re.compile(r"\s(?:at|after|for|in|of|on|@)\s{1,3}$")
_WITHIN = frozenset({"batch", "batches", "leading", "trailing"})
_GLOBAL = frozenset({"global_step", "num_updates", "nupdates", "total_timesteps", "num_timesteps"})
MAX_REST_CHARS = 16
CERTAIN_FIELDS = 4
_BARE = re.compile(r"\b(?<!['\"])(nan|inf|-inf|None|True|False)\b(?!['\"])")
_WORDS = {"nan": "NaN", "inf": "Infinity", "-inf": "-Infinity", "None": "null", "True": "true", "False": "false"}
_COMMAND = re.compile(r"\s--?([A-Za-z][\w-]*)(?:[= ]((?!-{1,2}[A-Za-z])\S+(?: (?!-)\S+)*))?")
_WRAPPED = re.compile(r"tensor\(|float\d\d\(|[Aa]rray\(|OrderedDict\(")
_WRAPPED_NUMBER = re.compile(
    r"(?:np\.|numpy\.|jnp\.)?(?:tensor|float\d\d|[Aa]rray|DeviceArray)\(([-+\w.]{1,40})"
    r"(?:, [^()]{0,200}(?:\([^()]{0,80}\))?[^()]{0,80})?\)"
)
_ORDERED = re.compile(r"OrderedDict\(\[([^\[\]]{0,4000})\]\)")
_TUPLE = re.compile(r"\(('[^']{1,80}'), ([^()]{1,80})\)")
_TRACE = re.compile(r"\+ (?:export )?([A-Za-z_]\w*)=(\S*)$")


def feed(state: State, offset: int, raw: str, extra: tuple[LineFormat, ...] = ()) -> list[Record]:
    """Return the records of one line; `extra` are the user's own grammars, asked first."""
    text, at, rank = peel(raw)
    if at is None:
        at = state.get("at")
    else:
        state["at"] = at
    line = Line(offset, raw, text, at, rank)
    if rank:
        return _other_rank(state, line)
    for form in (*extra, *LINE_FORMATS) if len(text) <= MAX_FORMAT_CHARS else ():
        for hint in form.hints:
            if hint in text:
                records = form.feed(state, line)
                if records is not None:
                    return _took(state, form.name, records)
                break
        else:
            if not form.hints and (records := form.feed(state, line)) is not None:
                return _took(state, form.name, records)
    return _untabled(state, line)


def settle(state: State) -> list[Record]:
    """The file is at rest: return the values that waited for a next line, or for the gate and are credible."""
    waited = [record for form in LINE_FORMATS if form.settle for record in form.settle(state)]
    return [*waited, *gate.settle(state)]


def _took(state: State, name: str, records: list[Record]) -> list[Record]:
    if records:
        used = state.setdefault("used", {})
        n_values = sum(type(record) is Values for record in records)
        used[name] = used.get(name, 0) + n_values
        state["n_believed"] = state.get("n_believed", 0) + n_values
    return records


def _other_rank(state: State, line: Line) -> list[Record]:
    """Other ranks repeat the metrics of rank 0; only their errors count."""
    said = verdict(state, line.text, line.offset)
    return [said] if said and said.status != "finished" else []


def _untabled(state: State, line: Line) -> list[Record]:
    """A line that no format knows: objects, bars, words about the end, then generic pairs."""
    if "(" in line.text and _WRAPPED.search(line.text):
        line.text = _unwrap(line.text)
    text = line.text
    if "{" in text and (found := decode_object(text)) is not None:
        return _object(state, line, *found)
    if bars.is_bar(text) and (points := bars.feed(state, line)) is not None:
        rest = bars.after_bar(text)
        return [*_took(state, "progress bar", points), *(feed(state, line.offset, rest) if rest else [])]
    if said := verdict(state, text, line.offset):
        return [said]
    generic = _generic(state, line)
    return _inputs(state, line) if generic is None else _took(state, "generic", generic)


def _unwrap(text: str) -> str:
    """Return a line with `tensor(0.5, device='cuda:0')` and `np.float64(0.5)` as `0.5`, an OrderedDict as a dict."""
    text = _WRAPPED_NUMBER.sub(r"\1", text[:MAX_FORMAT_CHARS])
    return _ORDERED.sub(lambda found: "{" + _TUPLE.sub(r"\1: \2", found[1]) + "}", text)


# --- objects in a line


def decode_object(text: str) -> tuple[dict[Any, Any], str] | None:
    """Return the JSON object or Python dict that ends a line, and the words before it; None when there is none."""
    end = text.rstrip()
    start = text.find("{")
    if not end.endswith("}") or start > MAX_WORDS_CHARS or len(end) > MAX_OBJECT_CHARS:
        return None
    body = end[start:]
    found = _decode_json(body) if body[1:2] != "'" else _decode_literal(body)
    return (found, text[:start]) if isinstance(found, dict) and found else None


def _decode_json(body: str) -> Any:
    try:
        return jsontext.loads(body)
    except ValueError:
        return None


def _decode_literal(body: str) -> Any:
    """Decode a Python dict literal: as JSON where quotes and words can be exchanged, else by `ast.literal_eval`."""
    if '"' not in body and "\\" not in body:
        found = _decode_json(_BARE.sub(lambda word: _WORDS[word[0]], body.replace("'", '"')))
        if found is not None:
            return found
    if len(body) > 65536:
        return None
    try:
        return ast.literal_eval(re.sub(r"(?<![\w'\"])nan(?![\w'\"])", "None", body))
    except (ValueError, SyntaxError, MemoryError, RecursionError, TypeError):
        return None


def _object(state: State, line: Line, found: dict[Any, Any], words: str) -> list[Record]:
    inner = next((found[key] for key in ("log", "message", "msg", "text") if isinstance(found.get(key), str)), None)
    if inner is not None and not any(str(key).lower() in STEP_KEYS for key in found):
        return feed(state, line.offset, jsontext.printable(inner)) if not inner.lstrip().startswith("{") else []
    is_trainer = _is_trainer(found)
    values, others = object_values(state, found, line.offset, line.at, epoch_counts=not is_trainer)
    if is_trainer:
        return _trainer(state, values, others)
    if values.step is None:
        _step_from_words(state, values, words)
    if not values.values:
        return others
    prefix = eval_prefix(mode[1]) if (mode := _MODE.search(words)) else ""
    if prefix:
        values.values = {qualified(prefix, name): value for name, value in values.values.items()}
    shape = f"object {values.axis} {' '.join(sorted(values.values))[:400]}"
    admitted = gate.admit(state, shape, values, sure=_known(state, values))
    return _took(state, "json object" if '"' in line.text else "dict literal", [*others, *_believe(state, admitted)])


def _is_trainer(found: dict[Any, Any]) -> bool:
    """Return whether a dict is a Hugging Face Trainer's: it counts in fractions of epochs and names no step."""
    if "epoch" not in found or any(key in found for key in ("step", "global_step", "iter", "iteration")):
        return False
    return bool("train_runtime" in found or "eval_runtime" in found or ("loss" in found and "learning_rate" in found))


def _trainer(state: State, values: Values, others: list[Record]) -> list[Record]:
    state["speaks"] = True
    if "loss" not in values.values:
        values.values.pop("epoch", None)
    records: list[Record] = [*others, values]
    if "train_runtime" in values.values:
        records.append(Ended(values.offset, "finished", f"train_runtime = {values.values['train_runtime']:g} s"))
    return _took(state, "hf trainer", records)


def _step_from_words(state: State, values: Values, words: str) -> None:
    found = counters(words)
    if found:
        values.step, values.axis = _step_of(state, found)
    elif "step" in state:
        values.step, values.axis = state["step"], state["axis"]


def _known(state: State, values: Values) -> bool:
    """Return whether most of the names were believed already on the same axis."""
    names = state.get("names", {})
    n_known = sum(1 for name in values.values if names.get(name) == values.axis)
    return 2 * n_known >= len(values.values)


def _believe(state: State, admitted: list[Values]) -> list[Values]:
    names = state.setdefault("names", {})
    for values in admitted:
        for name in values.values:
            names[name] = values.axis
    return admitted


# --- generic pairs


def _generic(state: State, line: Line) -> list[Record] | None:
    """`name: value` lists on a line that counts, or after a header line that does; None for any other line."""
    text = line.text if len(line.text) <= MAX_GENERIC_CHARS else line.text[:MAX_GENERIC_CHARS]
    found = counters(text)
    fields = _fields(text, found)
    if not fields:
        return _header(state, line, text, found)
    if not found:
        if not _nothing_else(text, fields, strictly=not _in_block(state, line)):
            return None
        found = trailing_counter(text) if state.get("axis") == "epoch" else []
    return _said(state, line, text, found, fields)


def _header(state: State, line: Line, text: str, found: list[Counter]) -> list[Record] | None:
    """A line that only counts, or only names a part of the run, speaks for the lines below it."""
    if found and _is_header(text, found):
        state["step"], state["axis"] = _step_of(state, found)
        state["epoch"] = state["step"] if state["axis"] == "epoch" else None
        state["mode"], state["indent"] = "", _indent(line.raw)
        return _totals(found)
    if not found and len(text) <= 60 and (mode := MODE_LINE.fullmatch(text)):
        state["mode"] = mode[1].lower()
        return []
    if "best iteration" in text.lower():
        state["recall"] = True
    return None


def _said(
    state: State, line: Line, text: str, found: list[Counter], fields: list[numbers.Field]
) -> list[Record] | None:
    """Return the values of a line that was understood, once its shape is believed."""
    step, axis = _step_of(state, found) if found else (state.get("step"), state.get("axis", "step"))
    if found:
        if state.pop("recall", False) and step < state.get("step", 0):
            return []
        if not _within_header(state, found):
            state["step"], state["axis"], state["mode"] = step, axis, ""
            state["epoch"] = None
    if not (state.get("n_believed") or len(fields) >= CERTAIN_FIELDS or _seem_metrics(text, fields)):
        return None
    names = named(text, fields, "" if found else state.get("mode", ""))
    values = {name: fields[place].value for name, place in names.items()}
    counted = "/".join(counter.name for counter in found) or "sticky"
    record = Values(line.offset, values, step, line.at, axis)
    if found and state.get("said") == [step, values]:
        return []
    state["said"] = [step, values]
    shape = f"{counted}: {', '.join(values)[:400]}"
    admitted = gate.admit(state, shape, record, sure=bool(found) and _known(state, record))
    return [*_totals(found), *_believe(state, admitted)] if admitted else []


def _seem_metrics(text: str, fields: list[numbers.Field]) -> bool:
    """Return whether one of the numbers has a colon or an equals sign before it, or a name that metrics have."""
    signed = any(sign in text[field.start : field.number[0]] for field in fields for sign in ":=")
    return signed or any(gate.is_strong(field.name) for field in fields)


def _nothing_else(text: str, fields: list[numbers.Field], *, strictly: bool) -> bool:
    """Return whether a line without a counter is nothing but named numbers, one of them a known metric.

    In a block below a header (not `strictly`) any name will do.
    """
    if strictly and not any(gate.is_strong(field.name) for field in fields):
        return False
    kept, position = [], 0
    for field in sorted(fields, key=lambda field: field.start):
        kept.append(text[position : field.start])
        position = max(position, field.number[1])
    rest = text[field.start + len(field.name) : field.number[0]] if len(fields) == 1 else ""
    left = re.sub(r"[\W_]+", "", "".join(kept) + text[position:])
    return len(left) <= MAX_REST_CHARS and len(rest) <= 48


def _in_block(state: State, line: Line) -> bool:
    """Return whether a line stands deeper than the header above it."""
    return "indent" in state and _indent(line.raw) > state["indent"]


def _indent(raw: str) -> int:
    return len(raw) - len(raw.lstrip())


def _fields(text: str, found: list[Counter]) -> list[numbers.Field]:
    """Return the named numbers of a line without those that are its counters, times and the like."""
    for counter in found:
        start = _before_preposition(text, counter.start)
        filler = " " if start < counter.start else ";"
        text = f"{text[:start]}{filler * (counter.end - start)}{text[counter.end :]}"
    fields = numbers.signed_fields(text)
    if found or not fields:
        rest = text
        for field in fields:
            rest = f"{rest[: field.start]}{';' * (field.number[1] - field.start)}{rest[field.number[1] :]}"
        fields = sorted([*fields, *numbers.spaced_fields(rest)], key=lambda field: field.start)
    return [field for field in tidy(fields) if field.name.lower() not in NEVER and not _is_time(field.name)]


def _before_preposition(text: str, start: int) -> int:
    """`Average loss at step 20: 4.3`: the words `at step 20` stand within a name."""
    found = _PREPOSITION.search(text, max(0, start - 8), start)
    return found.start() if found else start


def _is_time(name: str) -> bool:
    lower = name.lower()
    return lower.startswith(("eta", "remaining")) or lower.endswith(("remaining", " eta", "_eta"))


def _is_header(text: str, found: list[Counter]) -> bool:
    rest = text
    for counter in reversed(found):
        rest = rest[: counter.start] + rest[counter.end :]
    return len(rest) <= 80 and bool(_HEADER_REST.fullmatch(rest))


def _within_header(state: State, found: list[Counter]) -> bool:
    """Return whether a line counts within the epoch that a header above it names."""
    return (
        len(found) == 1 and found[0].name in _WITHIN and found[0].total is not None and state.get("epoch") is not None
    )


def _step_of(state: State, found: list[Counter]) -> tuple[int, str]:
    """Return the step and axis of a line's counters: the finest one, made to run on over epochs."""
    epoch = next((counter for counter in found if counter.axis == "epoch"), None)
    fine = next((counter for counter in found if counter.name in _GLOBAL), None)
    fine = fine or next((counter for counter in found if counter.axis != "epoch"), None)
    if fine is None:
        assert epoch is not None
        return epoch.n, "epoch"
    if epoch is not None:
        return running_step(state, f"line:{fine.name}", epoch.n, fine.n, fine.total), fine.axis
    if _within_header(state, found):
        return running_step(state, f"line:{fine.name}", state["epoch"], fine.n, fine.total), fine.axis
    return fine.n, fine.axis


def _totals(found: list[Counter]) -> list[Record]:
    """Return the end that a counter announces; one that is counted within epochs announces none."""
    if len(found) == 1 and found[0].total is not None and found[0].name not in _WITHIN:
        return [Total(found[0].total, found[0].axis)]
    return []


# --- parameters, and lines that say nothing


def _inputs(state: State, line: Line) -> list[Record]:
    if not state.get("speaks"):
        state["speaks"] = speaks_of_training(line.text)
    text = line.text
    if text.startswith("+ ") and (found := _TRACE.match(text)):
        return [Inputs({found[1]: found[2].strip("'\"")})]
    if " --" in text and re.match(
        r"\s*(?:cmd ?[:=]|\+|\$|>>>?|(?:user )?command ?[:=]|args ?[:=]|(?:python|torchrun|deepspeed|accelerate)\S* )",
        text,
    ):
        return [Inputs(command_inputs(text))] if len(text) < 65536 else []
    return _missed(state, line) if any(letter in text for letter in "=:") else []


def command_inputs(text: str) -> dict[str, Any]:
    """Return the `--name value` arguments of a command line; a flag without a value is true."""
    return {name: value.strip() if value else True for name, value in _COMMAND.findall(text)}


def _missed(state: State, line: Line) -> list[Record]:
    """Keep a few of the lines that hold numbers and were not understood: the preview shows them."""
    if re.search(r"[:=]\s*[-+]?\d", line.text[:400]):
        state["n_missed"] = state.get("n_missed", 0) + 1
        samples = state.setdefault("missed", [])
        if len(samples) < MAX_SAMPLES:
            samples.append([line.offset, line.raw[:300]])
    return []

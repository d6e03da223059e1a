"""A text log, line by line: the first format that knows a line takes it; what none knows goes through the gate.

`feed` is pure: the same state and line give the same records, and the state is plain JSON.
"""

import ast
import re
from collections.abc import Iterator
from typing import Any

from registry.ingest import bars, gate, generic, jsontext
from registry.ingest.counters import STEP_KEYS, counters
from registry.ingest.formats import LINE_FORMATS
from registry.ingest.grammar import LineFormat
from registry.ingest.objects import eval_prefix, lesson_of, object_values, qualified
from registry.ingest.prefixes import peel
from registry.ingest.records import Ended, Inputs, Line, Record, State, Values
from registry.ingest.templates import Templates
from registry.ingest.verdicts import speaks_of_training, verdict

MAX_OBJECT_CHARS = 1 << 20
MAX_FORMAT_CHARS = 65536
MAX_WORDS_CHARS = 2000
MAX_SAMPLES = 8
_MODE = re.compile(
    r"\b(train|training|val|valid|validation|eval|evaluation|test|testing|dev)\b(?!\s*[:=]\s*[-+.\d])", re.IGNORECASE
)
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
_NUMBERED = re.compile(r"[:=]\s*[-+]?\d|[\sA-Za-z=:>]\d+\.\d")
_TRACE = re.compile(r"\+ (?:export )?([A-Za-z_]\w*)=(\S*)$")


def feed_all(state: State, lines: list[tuple[int, str]], extra: tuple[LineFormat, ...] = ()) -> Iterator[list[Record]]:
    """Yield the records of each line, given as byte offset and text; lines of one kind are read by a shortcut."""
    templates = Templates()
    for offset, raw in lines:
        records = templates.feed(state, offset, raw)
        if records is None:
            line = _peeled(state, offset, raw)
            records = _feed(state, line, extra)
            if line.lesson is not None:
                templates.learn(line)
        yield records


def feed(state: State, offset: int, raw: str, extra: tuple[LineFormat, ...] = ()) -> list[Record]:
    """Return the records of one line; `extra` are the user's own grammars, asked first."""
    return _feed(state, _peeled(state, offset, raw), extra)


def _peeled(state: State, offset: int, raw: str) -> Line:
    text, at, rank = peel(raw)
    if at is None:
        at = state.get("at")
    else:
        state["at"] = at
    return Line(offset, raw, text, at, rank)


def _feed(state: State, line: Line, extra: tuple[LineFormat, ...]) -> list[Record]:
    text = line.text
    if line.rank:
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
    said_so = generic.read(state, line)
    return _inputs(state, line) if said_so is None else _took(state, generic.NAME, said_so)


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
        said = body.replace("'", '"')
        if any(word in said for word in _WORDS):
            said = _BARE.sub(lambda word: _WORDS[word[0]], said)
        found = _decode_json(said)
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
    counts = any(str(key).lower() in STEP_KEYS for key in found) or any(isinstance(one, dict) for one in found.values())
    if inner is not None and not counts:
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
    source = "json object" if '"' in line.text else "dict literal"
    if not others and not words and state.get("shapes", {}).get(shape) == gate.BELIEVED:
        line.lesson = lesson_of(found, values, shape, source)
    admitted = gate.admit(state, shape, values, sure=generic.known(state, values))
    return _took(state, source, [*others, *generic.believe(state, admitted)])


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
        values.step, values.axis = generic.step_of(state, found)
    elif "step" in state:
        values.step, values.axis = state["step"], state["axis"]


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
    return _missed(state, line)


def command_inputs(text: str) -> dict[str, Any]:
    """Return the `--name value` arguments of a command line; a flag without a value is true."""
    return {name: value.strip() if value else True for name, value in _COMMAND.findall(text)}


def _missed(state: State, line: Line) -> list[Record]:
    """Keep a few of the lines that hold numbers and were not understood: the preview shows them."""
    if _NUMBERED.search(line.text, 0, 400):
        state["n_missed"] = state.get("n_missed", 0) + 1
        samples = state.setdefault("missed", [])
        if len(samples) < MAX_SAMPLES:
            samples.append([line.offset, line.raw[:300]])
    return []

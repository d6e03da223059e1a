"""Where documents come from: the JSON files of installed packages, a folder or a JSONL file, or a generator.

The parts (train, validation, test) never share a document: they are split by the package, or the first folder, a file
lies in, and by content. A document is 40 to 1,500 characters: a whole file, or an object or array cut out of a larger
file exactly as it is written there.
"""

import hashlib
import json
import re
import site
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from registry.errors import NotFoundError, UsageError
from runners.json_repair.grammar import strict_loads
from runners.json_repair.synthetic import make_value

MIN_CHARACTERS, MAX_CHARACTERS = 40, 1_500
MAX_FILE_BYTES = 300_000
PER_FILE = 12
PER_SOURCE = 400
"""At most so many documents of one source, so that no package speaks for all."""
SHARES = {"train": 0.6, "validation": 0.1, "test": 0.3}
SYNTHETIC, INSTALLED = "synthetic", "installed"

_SYSTEM_FOLDERS = ("/usr/lib/node_modules", "/usr/local/lib/node_modules", "/usr/share")
_OPENING = re.compile(r"(?:^|(?<=[:,\[] )|(?<=[:,\[])|(?<=\s))[{\[]", re.MULTILINE)
_DECODER = json.JSONDecoder()


@dataclass(frozen=True)
class Documents:
    """Texts of three parts that share nothing, and the sources that each part is made of."""

    train: tuple[str, ...]
    validation: tuple[str, ...]
    test: tuple[str, ...]
    sources: dict[str, tuple[str, ...]]

    def digest(self) -> str:
        """Return a sha256 over every document and the part that it is in."""
        content = json.dumps([self.train, self.validation, self.test], ensure_ascii=True)
        return hashlib.sha256(content.encode()).hexdigest()


def open_documents(place: str, seed: int, n_synthetic: int) -> Documents:
    """Return the documents of a place: `installed`, `synthetic`, a folder of JSON files, or a JSON lines file.

    `n_synthetic` documents are made where none are read. Raises NotFoundError for no such place, UsageError when it
    holds too few documents to split.
    """
    if place == SYNTHETIC:
        return _split_made(seed, n_synthetic)
    by_source = _collect(_files(place))
    parts = _split(by_source)
    if min(len(parts[name]) for name in SHARES) < 2:
        n = sum(map(len, by_source.values()))
        raise UsageError(
            f"{place} holds {n} documents of {MIN_CHARACTERS} to {MAX_CHARACTERS} characters, too few to split",
            hint=f"give a folder with more JSON files, or documents={SYNTHETIC}",
        )
    return Documents(*(tuple(parts[name]) for name in SHARES), sources=_sources(by_source, parts))


def _split_made(seed: int, n: int) -> Documents:
    """Return made documents, each part from a stream of its own."""
    made = {
        name: tuple(_made(np.random.default_rng([seed, 40, number]), max(2, round(n * share))))
        for number, (name, share) in enumerate(SHARES.items())
    }
    return Documents(**made, sources=dict.fromkeys(SHARES, (SYNTHETIC,)))


def _made(rng: np.random.Generator, n: int) -> Iterator[str]:
    while n:
        text = reformat(make_value(rng), rng)
        if MIN_CHARACTERS <= len(text) <= MAX_CHARACTERS:
            n -= 1
            yield text


# --- reading


def _files(place: str) -> Iterator[tuple[str, Path]]:
    """Yield each file with its source: the package, or the first folder, that it lies in."""
    roots = _package_folders() if place == INSTALLED else [Path(place)]
    for root in roots:
        if root.is_file():
            yield root.stem, root
            continue
        if not root.is_dir():
            raise NotFoundError(f"no folder or file {root}", hint="give a folder of JSON files, or a .jsonl file")
        for path in sorted(root.rglob("*.json*")):
            if path.suffix in (".json", ".jsonl") and path.is_file():
                inside = path.relative_to(root).parts
                yield _source_of(inside), path


def _source_of(inside: tuple[str, ...]) -> str:
    """Return the first folder of a path; the metadata of all packages, which one program writes, is one source."""
    if len(inside) == 1:
        return Path(inside[0]).stem
    return "package metadata" if inside[0].endswith(".dist-info") else inside[0]


def _package_folders() -> list[Path]:
    """Return where packages are installed: this Python's, that of the one below it, Node's, the system's."""
    prefixes = dict.fromkeys([sys.prefix, sys.base_prefix])
    folders = [*site.getsitepackages(list(prefixes)), *_SYSTEM_FOLDERS]
    return [folder for folder in map(Path, dict.fromkeys(folders)) if folder.is_dir()]


def _collect(files: Iterable[tuple[str, Path]]) -> dict[str, list[str]]:
    """Return the documents of each source, no document twice, at most PER_SOURCE of a source."""
    by_source: dict[str, list[str]] = {}
    for source, path in _in_stable_disorder(files):
        documents = by_source.setdefault(source, [])
        if len(documents) < PER_SOURCE:
            documents += _documents_of(path)
    seen: set[str] = set()
    return {source: kept for source in sorted(by_source) if (kept := _unseen(by_source[source], seen))}


def _in_stable_disorder(files: Iterable[tuple[str, Path]]) -> list[tuple[str, Path]]:
    """Return the files in an order that depends on their names alone and is alike for none of them."""
    return sorted(files, key=lambda pair: hashlib.sha256(f"{pair[0]}/{pair[1].name}".encode()).digest())


def _unseen(documents: Sequence[str], seen: set[str]) -> list[str]:
    """Return the documents whose value no earlier one had."""
    kept = []
    for text in documents:
        value = json.dumps(strict_loads(text), sort_keys=True)
        if value not in seen:
            seen.add(value)
            kept.append(text)
    return kept


def _documents_of(path: Path) -> list[str]:
    try:
        if path.stat().st_size > MAX_FILE_BYTES and path.suffix == ".json":
            return []
        text = path.read_text("utf-8")
    except (OSError, ValueError):
        return []
    pieces = text.splitlines() if path.suffix == ".jsonl" else [text]
    return [piece for one in pieces for piece in _pieces(one.strip())]


def _pieces(text: str) -> list[str]:
    """Return a text that is a document, or documents cut out of it where it is too long."""
    try:
        value = strict_loads(text)
    except ValueError:
        return []
    if not isinstance(value, dict | list):
        return []
    if len(text) <= MAX_CHARACTERS:
        return [text] if len(text) >= MIN_CHARACTERS else []
    return list(_cut_out(text))


def _cut_out(text: str) -> Iterator[str]:
    """Yield up to PER_FILE objects and arrays of a document, spread over it, as they are written there."""
    places = [match.start() for match in _OPENING.finditer(text)]
    n_left, end = PER_FILE, 0
    stride = max(1, len(places) // (PER_FILE * 4))
    for place in places[stride // 2 :: stride]:
        if place < end or not n_left:
            continue
        try:
            value, stop = _DECODER.raw_decode(text, place)
        except ValueError:
            continue
        if value and MIN_CHARACTERS <= stop - place <= MAX_CHARACTERS:
            n_left, end = n_left - 1, stop
            yield _outdented(text, place, stop)


def _outdented(text: str, start: int, stop: int) -> str:
    """Return a part of a text without the indentation of the line that it begins in."""
    line = text[text.rfind("\n", 0, start) + 1 : start]
    indent = line[: len(line) - len(line.lstrip())]
    return text[start:stop].replace("\n" + indent, "\n")


# --- splitting


def _split(by_source: dict[str, list[str]]) -> dict[str, list[str]]:
    """Return the documents of each part: whole sources, the largest first, to the part that lacks most.

    A part that no source was left for (a single package, a flat folder) gets its share of documents instead.
    """
    total = sum(map(len, by_source.values()))
    parts: dict[str, list[str]] = {name: [] for name in SHARES}
    for source in sorted(by_source, key=lambda source: (-len(by_source[source]), source)):
        lacking = max(SHARES, key=lambda name: SHARES[name] - len(parts[name]) / total)
        parts[lacking] += by_source[source]
    if min(map(len, parts.values())) < total * min(SHARES.values()) / 4:
        return _split_by_content([text for source in by_source.values() for text in source])
    return parts


def _split_by_content(texts: Sequence[str]) -> dict[str, list[str]]:
    ordered = sorted(texts, key=lambda text: hashlib.sha256(text.encode()).digest())
    parts, start = {}, 0
    for name, share in SHARES.items():
        stop = len(ordered) if name == "test" else start + round(share * len(ordered))
        parts[name], start = ordered[start:stop], stop
    return parts


def _sources(by_source: dict[str, list[str]], parts: dict[str, list[str]]) -> dict[str, tuple[str, ...]]:
    inside = {name: set(texts) for name, texts in parts.items()}
    return {
        name: tuple(source for source, texts in by_source.items() if not inside[name].isdisjoint(texts))
        for name in SHARES
    }


# --- formatting


def reformat(value: Any, rng: np.random.Generator) -> str:
    """Return a value as JSON in one of the formats that people and programs use."""
    write = _FORMATS[int(rng.choice(len(_FORMATS), p=_FORMAT_SHARES))]
    return write(value, rng)


def compact(value: Any) -> str:
    """Return a value as JSON without any white space."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def _indented(value: Any, rng: np.random.Generator) -> str:
    return json.dumps(value, ensure_ascii=False, indent=(2, 4, 1, 2, "\t", 4, 3, 8)[int(rng.integers(8))])


def _half_indented(value: Any, rng: np.random.Generator) -> str:
    """Return JSON whose short objects and arrays stand on one line."""
    width, indent = int(rng.integers(20, 90)), int(rng.choice([2, 2, 4]))

    def write(part: Any, depth: int) -> str:
        flat = json.dumps(part, ensure_ascii=False)
        if not isinstance(part, dict | list) or len(flat) <= width:
            return flat
        inner = "\n" + " " * indent * (depth + 1)
        if isinstance(part, dict):
            items = [f"{json.dumps(key, ensure_ascii=False)}: {write(item, depth + 1)}" for key, item in part.items()]
        else:
            items = [write(item, depth + 1) for item in part]
        opening, closing = ("{", "}") if isinstance(part, dict) else ("[", "]")
        return opening + inner + ("," + inner).join(items) + "\n" + " " * indent * depth + closing

    return write(value, 0)


_FORMATS: tuple[Callable[[Any, np.random.Generator], str], ...] = (
    _indented,
    _half_indented,
    lambda value, rng: json.dumps(value, ensure_ascii=False),
    lambda value, rng: compact(value),
)
_FORMAT_SHARES = (0.35, 0.2, 0.2, 0.25)

"""Records of data files, one at a time, with the number a person would look them up by."""

import csv
import gzip
import io
import json
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any, NoReturn

from registry.errors import NotFoundError, RefusedError


@dataclass(frozen=True)
class DataFile:
    """One file of a data set: where it is, the name it goes by, and its split (train, test, …; may be empty)."""

    path: Path
    name: str
    split: str = ""


@dataclass(frozen=True)
class Record:
    """One record. `number` is its line in a file of lines, else its position from 1; `error`: why it cannot be read."""

    file: str
    split: str
    number: int
    value: Any
    error: str = ""


def read_records(file: DataFile) -> Iterator[Record] | None:
    """Return the records of a JSON-lines, JSON, CSV, TSV or text file (also gzipped), None for any other kind.

    Raises NotFoundError or RefusedError when the file cannot be read.
    """
    reader = _reader(file.path)
    return None if reader is None else _records(file, reader)


def is_json(path: Path) -> bool:
    """Return whether the records of a file are JSON values."""
    return _reader(path) in (_lines_of_json, _json)


def count_records(path: Path) -> int | None:
    """Return how many records a file holds, None where its kind is not known."""
    records = read_records(DataFile(path, path.name))
    return None if records is None else sum(1 for _ in records)


def normalised(value: Any) -> str:
    """Return a text that is the same for records which differ in case, spacing, punctuation or Unicode form only."""
    text = value if isinstance(value, str) else json.dumps(value, sort_keys=True, ensure_ascii=False)
    folded = unicodedata.normalize("NFKC", text).casefold()
    return " ".join("".join(letter if letter.isalnum() else " " for letter in folded).split())


Reader = Callable[[IO[bytes]], Iterator[tuple[int, Any, str]]]


def _records(file: DataFile, reader: Reader) -> Iterator[Record]:
    with _opened(file.path) as stream:
        try:
            for number, value, error in reader(stream):
                yield Record(file.name, file.split, number, value, error)
        except (gzip.BadGzipFile, EOFError) as error:
            raise RefusedError(f"{file.path} is not whole gzip: {error}") from None
        except csv.Error as error:
            raise RefusedError(f"{file.path} is no table: {error}") from None


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        with gzip.open(path, "rb") if path.suffix == ".gz" else path.open("rb") as stream:
            yield stream
    except FileNotFoundError:
        raise NotFoundError(f"no file {path}") from None
    except OSError as error:
        raise RefusedError(f"cannot read {path}: {error.strerror or error}") from None


def _reader(path: Path) -> Reader | None:
    kinds: dict[str, Reader] = {
        ".jsonl": _lines_of_json,
        ".ndjson": _lines_of_json,
        ".json": _json,
        ".csv": _table(","),
        ".tsv": _table("\t"),
        ".txt": _lines,
    }
    suffixes = [suffix.lower() for suffix in path.suffixes if suffix.lower() != ".gz"]
    return kinds.get(suffixes[-1]) if suffixes else None


def _refuse_constant(word: str) -> NoReturn:
    raise ValueError(f"{word} is not JSON")


def _parsed(text: bytes) -> tuple[Any, str]:
    try:
        return json.loads(text, parse_constant=_refuse_constant), ""
    except (ValueError, RecursionError) as error:
        return None, str(error) or type(error).__name__


def _lines_of_json(stream: IO[bytes]) -> Iterator[tuple[int, Any, str]]:
    for number, line in enumerate(stream, start=1):
        if line.strip():
            yield (number, *_parsed(line))


def _json(stream: IO[bytes]) -> Iterator[tuple[int, Any, str]]:
    value, error = _parsed(stream.read())
    if isinstance(value, list):
        yield from ((number, item, "") for number, item in enumerate(value, start=1))
    else:
        yield 1, value, error


def _lines(stream: IO[bytes]) -> Iterator[tuple[int, Any, str]]:
    for number, line in enumerate(stream, start=1):
        if line.strip():
            yield number, line.decode("utf-8", "replace").rstrip("\r\n"), ""


def _table(delimiter: str) -> Reader:
    """Return a reader of tables; a cell that is a number is one, so that rules can calculate with it."""

    def rows(stream: IO[bytes]) -> Iterator[tuple[int, Any, str]]:
        text = io.TextIOWrapper(stream, encoding="utf-8-sig", errors="replace", newline="")
        try:
            for number, row in enumerate(csv.DictReader(text, delimiter=delimiter), start=1):
                extra = row.pop(None, None)
                missing = [name for name, cell in row.items() if cell is None]
                error = f"{len(extra)} cells too many" if extra else f"no cell for {missing[0]}" if missing else ""
                yield number, {name: _cell(cell) for name, cell in row.items() if cell is not None}, error
        finally:
            text.detach()

    return rows


def _cell(text: str) -> Any:
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text

"""Rows of a data set: read from JSON lines, named by split and line, before anything of them is believed."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from registry.errors import NotFoundError, UsageError
from runners.edgejson.catalogue import SCHEMAS
from runners.edgejson.schema import Schema

TRAIN, TEST = "train", "test"


@dataclass(frozen=True)
class Row:
    """One line of a file; `value` is what it holds, None when it is no JSON object, `error` then says why."""

    file: str
    split: str
    number: int
    value: dict[str, Any] | None
    error: str = ""

    @property
    def schema(self) -> Schema | None:
        """The schema it names, None when it names none of ours."""
        return SCHEMAS.get(str((self.value or {}).get("schema_id")))

    @property
    def answer(self) -> dict[str, Any]:
        """The expected answer; empty when there is none."""
        answer = (self.value or {}).get("expected_output")
        return answer if isinstance(answer, dict) else {}

    @property
    def prompt(self) -> str:
        """What is asked; empty when nothing is."""
        prompt = (self.value or {}).get("prompt")
        return prompt if isinstance(prompt, str) else ""

    @property
    def is_whole(self) -> bool:
        """Whether it has a known schema, a prompt and an answer, so that more can be asked of it."""
        return bool(self.schema and self.prompt and self.answer)


def split_of(path: Path) -> str:
    """Return the split that a file's name says: train, or test for every other."""
    return TRAIN if TRAIN in path.name.lower() else TEST


def read_rows(paths: Iterable[Path]) -> list[Row]:
    """Return the rows of JSON-lines files. Raises NotFoundError, or UsageError for a file that is no text."""
    rows = []
    for path in paths:
        try:
            lines = path.read_text(encoding="utf-8").splitlines()
        except FileNotFoundError:
            raise NotFoundError(f"no file {path}") from None
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(f"cannot read {path}: {error}") from None
        numbered = ((number, line) for number, line in enumerate(lines, start=1) if line.strip())
        rows += [_row(path, number, line) for number, line in numbered]
    return rows


def _row(path: Path, number: int, line: str) -> Row:
    try:
        value = json.loads(line)
    except (ValueError, RecursionError) as error:
        return Row(path.name, split_of(path), number, None, str(error))
    if not isinstance(value, dict):
        return Row(path.name, split_of(path), number, None, "not a JSON object")
    return Row(path.name, split_of(path), number, value)

"""The rows of a training: made or read, checked before anything learns from them, and dealt to roles."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from registry.errors import CheckFailedError, NotFoundError, UsageError
from runners.edgejson.catalogue import SCHEMAS
from runners.edgejson.checks import Result, validate
from runners.edgejson.forms import TRAINED_FORMS
from runners.edgejson.generate import VERSION, make_rows
from runners.edgejson.rows import TEST, TRAIN, Row, read_rows
from runners.edgejson.settings import EdgeJsonSettings

VALIDATION_SHARE = 0.05
MAX_VALIDATION_ROWS = 256
HELD_OUT = "held_out"


@dataclass(frozen=True)
class RowSet:
    """Checked rows: what the base learns and is tested on, what is new to it, and the new rows in the held-out form."""

    reference: str
    digest: str
    base_train: list[Row]
    base_test: list[Row]
    new_train: list[Row]
    new_test: list[Row]
    validation: list[Row]
    held_out: list[Row]
    checks: list[Result]


def open_rows(settings: EdgeJsonSettings) -> RowSet:
    """Return the rows that the settings name. Raises UsageError, NotFoundError, or CheckFailedError for unfit data."""
    new = _schema_names(settings.new_schemas or settings.schemas)
    base = [name for name in _schema_names(settings.schemas) if name not in new or not settings.new_schemas]
    splits, reference = _read(settings) if settings.data else _make(settings, sorted({*base, *new}))
    checked = [*splits[TRAIN], *splits[TEST]]
    checks = validate(checked)
    _refuse_unfit(reference, checks)
    learnt, validation = _hold_back(splits[TRAIN], new)
    rows = RowSet(
        reference=reference,
        digest=_digest(checked),
        base_train=[row for row in learnt if _of(row, base)],
        base_test=[row for row in splits[TEST] if _of(row, base) and not _of(row, new)],
        new_train=[row for row in learnt if _of(row, new)],
        new_test=[row for row in splits[TEST] if _of(row, new)],
        validation=validation,
        held_out=[row for row in splits[HELD_OUT] if _of(row, new)],
        checks=checks,
    )
    if not (rows.new_train and rows.new_test and validation and (rows.base_train or settings.base)):
        raise UsageError(
            f"{reference} has too few rows of {', '.join([*base, *new])}", hint="name schemas that are in it"
        )
    return rows


def _schema_names(text: str) -> list[str]:
    names = list(SCHEMAS) if text == "all" else [name.strip() for name in text.split(",") if name.strip()]
    unknown = [name for name in names if name not in SCHEMAS]
    if unknown or not names:
        raise UsageError(f"no schema {', '.join(unknown) or 'at all'}", hint=f"known: all, {', '.join(SCHEMAS)}")
    return names


def _of(row: Row, names: Sequence[str]) -> bool:
    return row.schema is not None and row.schema.id in names


def _make(settings: EdgeJsonSettings, names: list[str]) -> tuple[dict[str, list[Row]], str]:
    forms = settings.forms.split(",")
    if unknown := [form for form in forms if form not in TRAINED_FORMS]:
        raise UsageError(f"forms={settings.forms}: no form {unknown[0]!r}", hint=f"known: {', '.join(TRAINED_FORMS)}")
    made = make_rows(names, settings.rows_per_schema, settings.test_rows, settings.data_seed, forms)
    rows = {split: _as_rows(split, values) for split, values in made.items()}
    return rows, f"edgejson@{VERSION}-{_digest([*rows[TRAIN], *rows[TEST]])[:12]}"


def _as_rows(split: str, values: Sequence[Mapping[str, Any]]) -> list[Row]:
    return [Row(f"{split}.jsonl", split, number, dict(value)) for number, value in enumerate(values, start=1)]


def _read(settings: EdgeJsonSettings) -> tuple[dict[str, list[Row]], str]:
    folder = Path(settings.data).expanduser()
    files = sorted(folder.glob("*.jsonl"))
    if not files:
        raise NotFoundError(f"no .jsonl file in {folder}", hint="make some: python -m runners.edgejson.generate FOLDER")
    held_out = [path for path in files if HELD_OUT in path.name]
    rows = read_rows(path for path in files if path not in held_out)
    by_split = {split: [row for row in rows if row.split == split] for split in (TRAIN, TEST)}
    return {**by_split, HELD_OUT: read_rows(held_out)}, f"{folder.resolve().name}@{_digest(rows)[:12]}"


def _digest(rows: Sequence[Row]) -> str:
    digest = hashlib.sha256()
    for row in rows:
        digest.update(json.dumps([row.split, row.value], sort_keys=True).encode())
    return digest.hexdigest()


def _refuse_unfit(reference: str, checks: Sequence[Result]) -> None:
    failed = [check for check in checks if not check.passed]
    if failed:
        said = [f"{check.id} {check.title}: {len(check.findings)} of {check.n_checked}" for check in failed]
        raise CheckFailedError(
            f"{reference} is not fit to train on: {said[0]}",
            details=said,
            hint="python -m runners.edgejson.validate FILES shows every row",
        )


def _hold_back(rows: Sequence[Row], names: Sequence[str]) -> tuple[list[Row], list[Row]]:
    """Return rows to learn from, and a few of these schemas, evenly spread, to choose the best checkpoint by."""
    able = [index for index, row in enumerate(rows) if _of(row, names)]
    n = min(MAX_VALIDATION_ROWS, max(1, round(VALIDATION_SHARE * len(able))))
    chosen = set(able[:: max(2, len(able) // n)]) if len(able) > 1 else set()
    return [row for index, row in enumerate(rows) if index not in chosen], [rows[index] for index in sorted(chosen)]

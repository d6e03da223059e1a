"""Make a data set: answers drawn and derived, split before they are said, each said in a surface form.

`python -m runners.edgejson.generate OUT` writes train, test and held-out files, the declared checks, and says how to
register them. Version and seed decide every byte.
"""

import argparse
import hashlib
import json
import random
import sys
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from registry.errors import HoldfastError, UsageError
from runners.edgejson.catalogue import SCHEMAS
from runners.edgejson.checks import CHECKS, SELF_TEST, over_budget
from runners.edgejson.derive import DERIVE
from runners.edgejson.forms import HELD_OUT_FORM, TRAINED_FORMS, render
from runners.edgejson.kinds import KINDS
from runners.edgejson.schema import COMPLEX, Field, Group, Items, Leaf, Schema, outline

VERSION = "g1"
SOURCE = f"holdfast-{VERSION}"
CHANCE = {"simple": 0.7, "medium": 0.6, COMPLEX: 0.4}
"""How often an optional field is there, by complexity."""
LEAST_TEST_SHARE = 0.1
TRIES_PER_ROW = 200
Row = dict[str, Any]


def draw_answer(schema: Schema, rng: random.Random) -> dict[str, Any]:
    """Return an answer that satisfies its JSON Schema and all its invariants."""
    answer = _draw_object(schema.fields, rng, CHANCE[schema.complexity])
    if schema.id in DERIVE:
        DERIVE[schema.id](answer, rng)
    return answer


def _draw_object(fields: tuple[Field, ...], rng: random.Random, chance: float) -> dict[str, Any]:
    drawn = {}
    for one in fields:
        if _is_empty(one) or (one.optional and rng.random() >= chance):
            continue
        drawn[one.name] = _draw(one, rng, chance)
    if not drawn:
        first = next(one for one in fields if not _is_empty(one))
        drawn[first.name] = _draw(first, rng, chance)
    return drawn


def _is_empty(one: Field) -> bool:
    """Return whether a field can hold nothing but `{}`, which no text would show."""
    return isinstance(one, Group) and not one.fields


def _draw(one: Field, rng: random.Random, chance: float) -> Any:
    if isinstance(one, Leaf):
        return rng.choice(one.choices) if one.choices else KINDS[one.kind].draw(rng, one.low, one.high)
    if isinstance(one, Group):
        return _draw_object(one.fields, rng, chance)
    n = rng.randint(1, one.most)
    if isinstance(one, Items):
        return [_draw_object(one.fields, rng, chance) for _ in range(n)]
    return list(dict.fromkeys(KINDS[one.kind].draw(rng, 1, 100) for _ in range(n)))


def answer_key(answer: Mapping[str, Any]) -> str:
    """Return the digest of an answer, whatever the order of its fields."""
    return hashlib.sha256(json.dumps(answer, sort_keys=True).encode()).hexdigest()


def prompt_of(schema: Schema, text: str) -> str:
    """Return what a model is asked: the schema's name and fields, then the document."""
    return f"{schema.id}: {outline(schema.fields)}\n{text}\n"


def rows_of(
    schema: Schema, n_train: int, n_test: int, seed: int, forms: Sequence[str]
) -> tuple[list[Row], list[Row], list[Row]]:
    """Return train, test and held-out rows of a schema, dealt by their answer's digest before they are said.

    No answer is on both sides; test answers are distinct, and each is said twice: in one of `forms` (test) and in the
    held-out form. What does not fit the token budget is drawn again. Raises UsageError when there are too few answers.
    """
    rng = random.Random(f"{VERSION}/{seed}/{schema.id}")
    train: list[Row] = []
    test: list[Row] = []
    held_out: list[Row] = []
    tested: set[str] = set()
    share = max(LEAST_TEST_SHARE, n_test / max(1, n_train + n_test))
    for _ in range(TRIES_PER_ROW * (n_train + n_test)):
        if len(train) == n_train and len(test) == n_test:
            return train, test, held_out
        answer = draw_answer(schema, rng)
        key = answer_key(answer)
        row, prose = (_row(schema, answer, form, rng) for form in (rng.choice(forms), HELD_OUT_FORM))
        if key in tested or any(over_budget(one["prompt"], answer) for one in (row, prose)):
            continue
        for_test = int(key[:16], 16) / 2**64 < share
        if for_test and len(test) < n_test:
            tested.add(key)
            test.append({"id": f"{schema.id}-test-{len(test)}", **row})
            held_out.append({"id": f"{schema.id}-held-out-{len(held_out)}", **prose})
        elif not for_test and len(train) < n_train:
            train.append({"id": f"{schema.id}-train-{len(train)}", **row})
    raise UsageError(f"schema {schema.id} has fewer than {n_test} different test answers", hint="ask for fewer")


def _row(schema: Schema, answer: dict[str, Any], form: str, rng: random.Random) -> Row:
    return {
        "schema_id": schema.id,
        "complexity": schema.complexity,
        "source": SOURCE,
        "form": form,
        "prompt": prompt_of(schema, render(schema, answer, form, rng)),
        "expected_output": answer,
    }


def make_rows(
    schemas: Iterable[str], n_train: int, n_test: int, seed: int, forms: Sequence[str] = TRAINED_FORMS
) -> dict[str, list[Row]]:
    """Return the rows of schemas by split: train, test, held_out. Raises UsageError for an unknown schema."""
    rows: dict[str, list[Row]] = {"train": [], "test": [], "held_out": []}
    for schema_id in schemas:
        if schema_id not in SCHEMAS:
            raise UsageError(f"no schema {schema_id!r}", hint=f"known: {', '.join(SCHEMAS)}")
        for split, made in zip(rows, rows_of(SCHEMAS[schema_id], n_train, n_test, seed, forms), strict=True):
            rows[split] += made
    return rows


# --- from the command line


def write_set(folder: Path, rows: Mapping[str, Sequence[Row]]) -> list[Path]:
    """Write each split as JSON lines, and the declared checks beside them; returns the data files."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = []
    for split, made in rows.items():
        paths.append(folder / f"{split}.jsonl")
        paths[-1].write_text("".join(json.dumps(row, ensure_ascii=False) + "\n" for row in made), encoding="utf-8")
    (folder / "checks.toml").write_text(checks_toml(), encoding="utf-8")
    return paths


def checks_toml() -> str:
    """Return the declaration of the eleven checks for `registry dataset add --checks`."""
    named = {check: title for check, (title, _) in CHECKS.items()} | {SELF_TEST: "the checks find what was broken"}
    tables = []
    for check, title in named.items():
        command = [sys.executable, "-m", "runners.edgejson.validate", "--only", check, "--lines"]
        tables.append(f'[[check]]\nname = "{check} {title}"\nkind = "command"\ncommand = {json.dumps(command)}\n')
    return "\n".join(tables)


def main(arguments: Sequence[str] | None = None) -> int:
    """Write a data set and say how to register it; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m runners.edgejson.generate", description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, help="where to write the files")
    parser.add_argument("--schemas", default=",".join(SCHEMAS), help="names, separated by commas; default all 25")
    parser.add_argument("--train", type=int, default=40, help="training rows a schema")
    parser.add_argument("--test", type=int, default=12, help="test rows a schema")
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args(arguments)
    try:
        rows = make_rows(asked.schemas.split(","), asked.train, asked.test, asked.seed)
        write_set(asked.folder, rows)
    except (HoldfastError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return getattr(error, "exit_code", 1)
    reference = f"edgejson@{VERSION}-s{asked.seed}"
    files = " ".join(f"{split}={asked.folder / split}.jsonl" for split in ("train", "test"))
    print(", ".join(f"{len(made)} {split}" for split, made in rows.items()))
    print(f"registry dataset add {reference} {files} --checks {asked.folder / 'checks.toml'}")
    print(f"registry dataset validate {reference}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

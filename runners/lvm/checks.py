"""Is a store fit to train on? Asked by the registry's data-set checks and again before every training.

`python -m runners.lvm.checks docs.npz` prints what is known of the data, then one JSON line a violation; the exit code
is the verdict. As a check of the registry: kind = "command", command = ["python", "-m", "runners.lvm.checks"].
"""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from registry.errors import CheckFailedError, HoldfastError
from runners.lvm.files import load_store
from runners.lvm.sequences import SequenceStore, Split, row_numbers, split_by_document, statistics

MAX_REPEATED_SHARE = 0.01
"""Rows that are the row before them once more: a page read twice, or a text cut wrongly."""
MAX_DOUBLE_SHARE = 0.05
"""Rows whose vector stands in another document too: the doubles were not taken out."""
MAX_LEAKED_SHARE = 0.05
"""Held-out windows whose target was trained on. They are never asked; so many mean that documents were copied."""
MAX_LIKENESS = 0.95
"""Mean cosine of sentences of different documents from which on all vectors are alike."""
MIN_PAGE_LIKENESS = 0.01
"""How much nearer two neighbours must be than two sentences of different documents: else the ids or the order are lost.
On text it is 0.3."""


@dataclass(frozen=True)
class Violation:
    """What is wrong with a store, with the numbers that show it."""

    message: str
    values: dict[str, float]


def describe(store: SequenceStore, split: Split) -> dict[str, dict[str, float]]:
    """Return what is known of each part before any model: counts, and the statistics of its windows."""
    parts = {"train": split.train, "validation": split.validation, "test": split.test, "ood": split.ood}
    return {
        role: {"n_documents": float(len(np.unique(store.document[rows]))), **statistics(store, rows)}
        for role, rows in parts.items()
        if len(rows)
    }


def violations(store: SequenceStore, split: Split) -> list[Violation]:
    """Return everything that makes a store unfit to train on, an empty list for a good one."""
    found = [
        _share("rows repeat the row before them", _repeated(store), MAX_REPEATED_SHARE),
        _share("rows stand in another document too", _doubles(store), MAX_DOUBLE_SHARE),
        _share("held-out targets stand in a training document", _leaked(split), MAX_LEAKED_SHARE),
    ]
    numbers = statistics(store, split.train)
    if numbers["random_pair"] > MAX_LIKENESS:
        shown = {"random_pair": numbers["random_pair"], "most": MAX_LIKENESS}
        found.append(Violation("all vectors are alike, whatever document they are of", shown))
    nearer = numbers["coherence"] - numbers["random_pair"]
    if numbers["random_pair"] <= MAX_LIKENESS and abs(nearer) < MIN_PAGE_LIKENESS:
        shown = {"nearer": nearer, "least": MIN_PAGE_LIKENESS}
        found.append(Violation("neighbours are no nearer than sentences of different documents", shown))
    return [one for one in found if one is not None]


def refuse_unfit(store: SequenceStore, split: Split) -> None:
    """Raise CheckFailedError that says all that is wrong with a store, if anything is."""
    found = violations(store, split)
    if found:
        raise CheckFailedError(
            f"{store.name} is not fit to train on: {found[0].message}",
            details=[one.message for one in found],
            hint="python -m runners.lvm.checks FILE shows the numbers",
        )


def _share(what: str, share: float, most: float) -> Violation | None:
    return Violation(f"{share:.1%} of {what}", {"share": share, "most": most}) if share > most else None


def _repeated(store: SequenceStore) -> float:
    same = (store.vectors[1:] == store.vectors[:-1]).all(1) & (store.sequence[1:] == store.sequence[:-1])
    return float(same.mean()) if len(same) else 0.0


def _doubles(store: SequenceStore) -> float:
    """Return the share of rows whose vector stands in an earlier document too."""
    number = row_numbers(store.vectors)
    order = np.lexsort((store.document, number))
    first = np.flatnonzero(np.diff(number[order], prepend=-1))
    document_of_first = np.repeat(store.document[order][first], np.diff([*first, len(order)]))
    return float((document_of_first != store.document[order]).mean())


def _leaked(split: Split) -> float:
    n_held_out = len(split.validation) + len(split.test) + split.n_leaked
    return split.n_leaked / max(1, n_held_out)


def write_checks(store: SequenceStore, path: Path) -> list[str]:
    """Write the checks of a store beside its file, and return the commands that register it with them."""
    command = json.dumps([sys.executable, "-m", "runners.lvm.checks"])
    beside = path.with_suffix(".toml")
    beside.write_text(f'[[check]]\nname = "fit to train on"\nkind = "command"\ncommand = {command}\n', encoding="utf-8")
    words = f"registry dataset add {store.reference} {path} --checks {beside}"
    return [words, f"registry dataset validate {store.reference}"]


def main(arguments: Sequence[str] | None = None) -> int:
    """Check files from the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m runners.lvm.checks", description=__doc__.splitlines()[0])
    parser.add_argument("files", nargs="+", type=Path, help=".npz files of sequences")
    code = 0
    for file in parser.parse_args(arguments).files:
        try:
            store = load_store(file)
            split = split_by_document(store)
            for role, numbers in describe(store, split).items():
                told = ", ".join(f"{name} {value:,.4g}" for name, value in numbers.items())
                print(f"{file.name} {role}: {told}", file=sys.stderr)
            found = violations(store, split)
        except HoldfastError as error:
            found = [Violation(str(error), {})]
        for one in found:
            print(json.dumps({"file": file.name, **asdict(one)}))
        code = code or int(bool(found))
    return code


if __name__ == "__main__":
    sys.exit(main())

"""A corpus anybody can make again: pages of Debian documentation packages, and chapters of another book beside them.

`python -m runners.lvm.debian --out build/debian` fetches the packages with `apt-get download` and unpacks them with
`dpkg -x`: no root, nothing is installed. Needs Debian or a child of it, and the extra `text`.
"""

import argparse
import hashlib
import re
import subprocess
import sys
from collections import defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import zip_longest
from pathlib import Path

import numpy as np
import torch

from registry.errors import CheckFailedError, HoldfastError, NotFoundError, UnreachableError, UsageError
from runners.lvm import checks
from runners.lvm.embed import BUNDLED, MAX_SENTENCES, SENTENCE_LETTERS, TextEncoder, embed_documents, sentences_of
from runners.lvm.files import load_store, save_store
from runners.lvm.sequences import split_by_document
from runners.training.machine import idle_cores

PACKAGES = (
    "linux-doc",
    "postgresql-doc",
    "python3-doc",
    "sqlite3-doc",
    "git-doc",
    "debian-policy",
    "debian-reference-en",
    "developers-reference",
)
"""Documentation of many pages. The first three are empty and depend on the one of the release at hand."""
OTHER_PACKAGES = ("bible-kjv", "bible-kjv-text")
"""A text of another kind, for the part that is out of domain: the first prints what the second holds."""
MIN_SENTENCES = 12
N_PAGES = 900
N_CHAPTERS = 70
_TIME_LIMIT_S = 1800
_VERSE = re.compile(r"(\d?\D+?)(\d+):(\d+) (.+)")
_LEFT_OUT = ("translations", "_static", "_sources")
"""Folders without English prose."""


@dataclass(frozen=True)
class Corpus:
    """Documents as lists of sentences, how many of the last ones are out of domain, and how many files were no text."""

    documents: list[list[str]]
    n_other: int
    n_unreadable: int


def fetch(packages: Iterable[str], folder: Path) -> list[Path]:
    """Return the folders of packages, fetched and unpacked below `folder`; what is there already is not fetched again.

    Raises NotFoundError without apt-get and dpkg, UnreachableError when a package cannot be had.
    """
    folder.mkdir(parents=True, exist_ok=True)
    return [_unpacked(package, folder) for name in packages for package in (name, *_meant_by(name))]


def _meant_by(package: str) -> list[str]:
    """Return the documentation packages that an empty one depends on."""
    lines = _said(["apt-cache", "depends", "--important", package]).splitlines()
    needed = [line.partition("Depends:")[2].strip() for line in lines if "Depends:" in line]
    return [name for name in needed if "doc" in name and not name.startswith("<")]


def _unpacked(package: str, folder: Path) -> Path:
    target = folder / package
    if not (target / "usr").is_dir():
        _said(["apt-get", "download", package], cwd=folder)
        archive = max(folder.glob(f"{package}_*.deb"), key=lambda path: path.stat().st_mtime)
        _said(["dpkg", "-x", archive.name, package], cwd=folder)
    return target


def _said(command: list[str], cwd: Path | None = None) -> str:
    """Return what a program prints. Raises NotFoundError when it is not here, UnreachableError when it fails."""
    try:
        done = subprocess.run(command, cwd=cwd, capture_output=True, text=True, timeout=_TIME_LIMIT_S, check=True)
    except FileNotFoundError:
        raise NotFoundError(f"no {command[0]} here", hint="this corpus is made on Debian") from None
    except subprocess.TimeoutExpired:
        raise UnreachableError(f"{' '.join(command)} takes too long") from None
    except subprocess.CalledProcessError as error:
        last = (error.stderr.strip().splitlines() or [f"exit code {error.returncode}"])[-1]
        raise UnreachableError(
            f"{' '.join(command)}: {last}", hint="`apt-get update`, or look at the apt sources"
        ) from None
    return done.stdout


def read_corpus(packages: Sequence[Path], other: Path | None, n_pages: int = N_PAGES) -> Corpus:
    """Return the pages of unpacked packages, then the chapters of the other text; no sentence comes twice anywhere.

    Pages are taken from each package in turn, in an order that their paths alone decide, at most MAX_SENTENCES of
    each, none with fewer than MIN_SENTENCES. Raises CheckFailedError when there is no page.
    """
    turns = zip_longest(*(_pages(package) for package in packages))
    seen: set[str] = set()
    unreadable: list[Path] = []
    pages = _take(_read((path for turn in turns for path in turn if path), unreadable), n_pages, seen)
    if not pages:
        raise CheckFailedError("no page of prose in these packages", hint=", ".join(path.name for path in packages))
    chapters = [] if other is None else _take(read_chapters(other), N_CHAPTERS, seen)
    return Corpus(pages + chapters, len(chapters), len(unreadable))


def _read(paths: Iterable[Path], unreadable: list[Path]) -> Iterator[list[str]]:
    """Yield the sentences of files one by one; those that are no text are noted instead."""
    for path in paths:
        try:
            yield sentences_of(path)
        except UsageError:
            unreadable.append(path)


def _take(documents: Iterable[list[str]], n: int, seen: set[str]) -> list[list[str]]:
    """Return the first `n` documents with enough sentences that were not seen before; what is taken is seen then."""
    least, most = SENTENCE_LETTERS
    taken: list[list[str]] = []
    for document in documents:
        fits = [one for one in dict.fromkeys(document) if least <= len(one) <= most and one not in seen]
        if len(fits) >= MIN_SENTENCES:
            taken.append(fits[:MAX_SENTENCES])
            seen.update(taken[-1])
        if len(taken) == n:
            break
    return taken


def _pages(package: Path) -> list[Path]:
    """Return the pages of a package that are there themselves, in an order that looks random and is always the same."""
    found = [path for path in package.rglob("*.html") if path.is_file() and not path.is_symlink()]
    prose = [path for path in found if not set(_LEFT_OUT) & set(path.parts)]
    return sorted(prose, key=lambda path: _shuffled(path.relative_to(package).as_posix()))


def _shuffled(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def read_chapters(listing: Path) -> list[list[str]]:
    """Return chapters as lists of verses from lines such as `Ge1:1 In the beginning …`, in an order always the same."""
    chapters: dict[str, list[str]] = defaultdict(list)
    for line in listing.read_text(encoding="utf-8", errors="replace").splitlines():
        verse = _VERSE.fullmatch(line.strip())
        if verse:
            chapters[f"{verse[1]} {verse[2]}"].append(verse[4])
    return [chapters[name] for name in sorted(chapters, key=_shuffled)]


def _list_other(folder: Path) -> Path | None:
    """Return a file with all verses, one a line; None when the program of the other text does not run here."""
    program, text = fetch(OTHER_PACKAGES, folder)
    listing = folder / "verses.txt"
    try:
        command = [str(program / "usr/bin/bible"), "-f", "-p", str(text / "usr/lib"), "gen1:1-rev22:21"]
        listing.write_text(_said(command), encoding="utf-8")
    except (HoldfastError, OSError) as error:
        print(f"no out-of-domain part: {error}", file=sys.stderr)
        return None
    return listing


def make_store(corpus: Corpus, model: str, path: Path) -> None:
    """Embed a corpus and write the store. Raises CheckFailedError when it is not fit to train on."""
    store = embed_documents(path.stem, corpus.documents, TextEncoder(model))
    store = replace(store, is_ood=store.document >= len(corpus.documents) - corpus.n_other)
    checks.refuse_unfit(store, split_by_document(store))
    save_store(store, path)


def main(arguments: Sequence[str] | None = None) -> int:
    """Make the corpus from the command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m runners.lvm.debian", description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, required=True, help="the folder to work in; debian.npz comes to be there")
    parser.add_argument("--pages", type=int, default=N_PAGES, help="pages of documentation at most")
    parser.add_argument("--model", default=BUNDLED, help="a sentence-transformers model: folder, name, or bundled")
    asked = parser.parse_args(arguments)
    path = asked.out / "debian.npz"
    torch.set_num_threads(idle_cores())
    try:
        packages = fetch(PACKAGES, asked.out)
        corpus = read_corpus(packages, _list_other(asked.out), asked.pages)
        n_sentences = sum(len(one) for one in corpus.documents)
        print(f"{len(corpus.documents)} documents, {n_sentences} sentences; embedding", file=sys.stderr, flush=True)
        make_store(corpus, asked.model, path)
        _report(path, corpus)
    except (HoldfastError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return getattr(error, "exit_code", 1)
    return 0


def _report(path: Path, corpus: Corpus) -> None:
    """Say what was made and what is known of it; write its checks, and say how it is registered with them."""
    store = load_store(path)
    split = split_by_document(store)
    print(f"{path}: {len(store.vectors)} sentences of {len(np.unique(store.document))} documents")
    for role, numbers in checks.describe(store, split).items():
        print(f"  {role}: {', '.join(f'{name} {value:,.4g}' for name, value in numbers.items())}")
    print(f"  {split.n_leaked} held-out windows left out, {corpus.n_unreadable} files unreadable")
    print("\n".join(checks.write_checks(store, path)))


if __name__ == "__main__":
    sys.exit(main())

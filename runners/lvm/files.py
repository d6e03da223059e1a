"""Sequence stores as .npz files, read without pickle: this project's layout, other banks, the notebooks' windows.

| layout | arrays |
| --- | --- |
| bank | vectors (n, d), document ids (n,), positions (n,) or reading order; which documents are out of domain |
| windows | contexts (n, 5, d), targets (n, d), article ids (n,); overlapping windows become sequences again |
"""

import io
import json
import zipfile
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from registry.errors import NotFoundError, UsageError
from registry.hashing import digest_file
from runners.lvm.sequences import CONTEXT, Encoder, SequenceStore, unit

_NAMES = {
    "vectors": ("vectors", "v", "embeddings"),
    "document": ("document", "doc_id", "doc_ids", "aid", "article_ids", "article_id", "article_indices"),
    "position": ("position", "pos", "cid", "chunk_indices", "chunk_index"),
    "contexts": ("contexts", "context_sequences"),
    "targets": ("targets", "target_vectors"),
}
"""Names under which an array is found, ours first."""


def load_store(path: Path, name: str = "") -> SequenceStore:
    """Read a store from an .npz file; its name is the file's unless given.

    Raises NotFoundError when it is missing, UsageError when it is no such file or holds pickled objects.
    """
    if not path.is_file():
        raise NotFoundError(f"no sequence file {path}", hint="give an .npz file, or rotation, ar or shuffled")
    try:
        with np.load(path, allow_pickle=False) as arrays:
            return _read(arrays, name or path.stem, digest_file(path)[0])
    except (zipfile.BadZipFile, ValueError, OSError, EOFError, AttributeError, TypeError, IndexError) as error:
        reason = "it holds pickled objects" if "allow_pickle" in str(error) else str(error)
        raise UsageError(
            f"{path} is not a file of sequences: {reason}", hint="save plain arrays with numpy.savez"
        ) from None


def _read(arrays: Mapping[str, NDArray[Any]], name: str, digest: str) -> SequenceStore:
    found = {key: next((word for word in words if word in arrays), "") for key, words in _NAMES.items()}
    if found["vectors"]:
        return _read_bank(arrays, found, name, digest)
    if found["contexts"] and found["targets"]:
        return _read_windows(arrays, found, name, digest)
    raise UsageError(
        f"{name}: no vectors among {', '.join(sorted(arrays))}",
        hint="name them vectors and document, or contexts and targets",
    )


def _read_bank(arrays: Mapping[str, NDArray[Any]], found: Mapping[str, str], name: str, digest: str) -> SequenceStore:
    if not found["document"]:
        raise UsageError(f"{name}: vectors without document ids", hint="add an array `document`, one id a row")
    document = _ids(arrays[found["document"]])
    vectors = unit(arrays[found["vectors"]])
    if len(vectors) != len(document):
        raise UsageError(f"{name}: {len(vectors)} vectors and {len(document)} document ids", hint="one of each a row")
    broken = _ids(arrays["sequence"]) if "sequence" in arrays else np.zeros_like(document)
    position = arrays[found["position"]] if found["position"] else np.arange(len(document))
    order = np.lexsort((position, broken, document))
    pieces = np.stack([document, broken])[:, order]
    sequence = np.cumsum((np.diff(pieces, prepend=pieces[:, :1]) != 0).any(0))
    return SequenceStore(
        name=name,
        vectors=vectors[order],
        sequence=sequence,
        document=document[order],
        is_ood=_out_of_domain(arrays, document)[order],
        encoder=_encoder(arrays),
        texts=_texts(arrays, order),
        source_digest=digest,
    )


def _out_of_domain(arrays: Mapping[str, NDArray[Any]], document: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return which rows are out of domain: marked one by one, or the documents from number `n_in` on."""
    if "is_ood" in arrays:
        return arrays["is_ood"].astype(bool)
    if "n_in" in arrays:
        return document >= int(arrays["n_in"])
    return np.zeros(len(document), dtype=bool)


def _read_windows(
    arrays: Mapping[str, NDArray[Any]], found: Mapping[str, str], name: str, digest: str
) -> SequenceStore:
    """Chain windows that continue each other: where one's context ends with the target of the one before."""
    context, target = arrays[found["contexts"]], arrays[found["targets"]]
    if context.ndim != 3 or context.shape[1] != CONTEXT or target.shape != (len(context), context.shape[2]):
        raise UsageError(
            f"{name}: contexts of shape {context.shape} and targets of shape {target.shape}",
            hint=f"(n, {CONTEXT}, d) and (n, d)",
        )
    if not found["document"]:
        raise UsageError(
            f"{name}: windows without article ids", hint="a split by document needs an array `article_ids`"
        )
    document = _ids(arrays[found["document"]])
    if len(document) != len(context):
        raise UsageError(f"{name}: {len(context)} windows and {len(document)} article ids", hint="one of each a row")
    order = np.argsort(document, kind="stable")
    document, context, target = document[order], context[order], target[order]
    follows = np.zeros(len(context), dtype=bool)
    follows[1:] = (
        (document[1:] == document[:-1])
        & (context[1:, :-1] == context[:-1, 1:]).all((1, 2))
        & (context[1:, -1] == target[:-1]).all(1)
    )
    n_rows = np.where(follows, 1, CONTEXT + 1)
    last = np.cumsum(n_rows) - 1
    vectors = np.empty((int(n_rows.sum()), context.shape[2]), dtype=context.dtype)
    vectors[last] = target
    first = np.flatnonzero(~follows)
    vectors[last[first][:, None] + np.arange(-CONTEXT, 0)] = context[first]
    sequence = np.repeat(np.cumsum(~follows) - 1, n_rows)
    rows_document = np.repeat(document, n_rows)
    is_ood = np.zeros(len(vectors), dtype=bool)
    return SequenceStore(name, unit(vectors), sequence, rows_document, is_ood, _encoder(arrays), (), digest)


def _encoder(arrays: Mapping[str, NDArray[Any]]) -> Encoder:
    """Return what a file says of its encoder. Raises ValueError when that cannot be understood."""
    return msgspec.json.decode(str(arrays["encoder"]), type=Encoder) if "encoder" in arrays else Encoder()


def _ids(array: NDArray[Any]) -> NDArray[np.int64]:
    """Return ids as whole numbers; texts are numbered in their order. Raises ValueError for other numbers."""
    if array.dtype.kind in "US":
        return np.unique(array, return_inverse=True)[1].astype(np.int64)
    if array.ndim != 1 or not np.isfinite(array).all() or (array != np.floor(array)).any():
        raise ValueError(f"ids of shape {array.shape} that are not whole numbers")
    return array.astype(np.int64)


def _texts(arrays: Mapping[str, NDArray[Any]], order: NDArray[np.intp]) -> tuple[str, ...]:
    if "text_bytes" not in arrays:
        return ()
    whole, ends = arrays["text_bytes"].tobytes(), arrays["text_ends"]
    starts = np.concatenate([[0], ends[:-1]])
    return tuple(whole[starts[row] : ends[row]].decode() for row in order)


def save_store(store: SequenceStore, path: Path) -> None:
    """Write a store in this project's layout, compressed; `load_store` reads it back the same."""
    arrays: dict[str, NDArray[Any]] = {
        "vectors": store.vectors,
        "document": store.document,
        "sequence": store.sequence,
        "is_ood": store.is_ood,
        "encoder": np.array(json.dumps(asdict(store.encoder))),
    }
    if store.texts:
        encoded = [text.encode() for text in store.texts]
        arrays["text_bytes"] = np.frombuffer(b"".join(encoded), dtype=np.uint8)
        arrays["text_ends"] = np.cumsum([len(text) for text in encoded])
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    path.write_bytes(buffer.getvalue())

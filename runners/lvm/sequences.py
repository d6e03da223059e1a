"""Documents as sequences of unit vectors: the store, its windows, its split by document, its statistics.

A window is named by the row of its target: the context is the CONTEXT rows before it, all of the same sequence. Train,
validation and test share no document, and no held-out target occurs, as the same vector, in a training document.
"""

import hashlib
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from registry.errors import CheckFailedError, UsageError

CONTEXT = 5
"""Vectors a prediction sees (the notebooks' `ctx5`)."""
SPLITS = ("train", "validation", "test")
HELD_OUT_SHARE = {"validation": 0.08, "test": 0.12}
UNIT_TOLERANCE = 2e-2
"""How far a norm may be from one: half precision in the worst case."""
PROBE_TOLERANCE = 5e-3
"""How far one number of a probe's vector may be off: half precision on another machine stays below a third of it."""
N_STATISTICS_ROWS = 20_000


@dataclass(frozen=True)
class Encoder:
    """What made the vectors: enough to tell two builds of one model apart, and to load it again.

    `weights` is the digest of its tensors; `probes` is what a few fixed sentences became, in four decimals; `source`
    the folder or name it was loaded by.
    """

    name: str = "unrecorded"
    weights: str = ""
    pooling: str = ""
    normalised: bool = True
    probes: tuple[tuple[float, ...], ...] = ()
    source: str = ""

    @property
    def is_recorded(self) -> bool:
        """Whether anything is known of the encoder."""
        return bool(self.weights)

    def differences(self, other: "Encoder") -> list[str]:
        """Return in what two encoders differ; empty for the same one, whatever it is called and wherever it ran.

        Probes are compared with a tolerance, for machines do not add up in the same order.
        """
        found = [key for key in ("weights", "pooling", "normalised") if getattr(self, key) != getattr(other, key)]
        return found if _alike(self.probes, other.probes) else [*found, "probes"]


def _alike(probes: tuple[tuple[float, ...], ...], others: tuple[tuple[float, ...], ...]) -> bool:
    if [len(probe) for probe in probes] != [len(other) for other in others]:
        return False
    pairs = (pair for probe, other in zip(probes, others, strict=True) for pair in zip(probe, other, strict=True))
    return all(abs(one - two) <= PROBE_TOLERANCE for one, two in pairs)


@dataclass(frozen=True)
class SequenceStore:
    """Vectors of many documents, in reading order.

    `vectors` is (n, d) float16 with unit rows; `sequence` numbers unbroken runs of rows, `document` the page that a row
    is of (several sequences may be of one page), `is_ood` marks rows of another kind of text, `texts` is empty or one
    text a row.
    """

    name: str
    vectors: NDArray[np.float16]
    sequence: NDArray[np.int64]
    document: NDArray[np.int64]
    is_ood: NDArray[np.bool_]
    encoder: Encoder = field(default_factory=Encoder)
    texts: tuple[str, ...] = ()
    source_digest: str = ""

    def __post_init__(self) -> None:
        n = len(self.vectors)
        if self.vectors.ndim != 2 or n == 0 or self.vectors.shape[1] < 2:
            raise UsageError(f"{self.name}: vectors of shape {self.vectors.shape}", hint="(rows, dimensions)")
        if {len(self.sequence), len(self.document), len(self.is_ood)} != {n} or len(self.texts) not in (0, n):
            raise UsageError(f"{self.name}: {n} vectors, but not as many ids or texts", hint="one of each a row")
        norms = np.linalg.norm(self.vectors.astype(np.float32), axis=1)
        if not np.isfinite(norms).all() or np.abs(norms - 1.0).max() > UNIT_TOLERANCE:
            worst = int(np.nanargmax(np.where(np.isfinite(norms), np.abs(norms - 1.0), np.inf)))
            raise UsageError(
                f"{self.name}: row {worst} has norm {norms[worst]:.4g}", hint="normalise the vectors first"
            )
        n_runs = 1 + np.count_nonzero(np.diff(self.document))
        if (np.diff(self.sequence) < 0).any() or n_runs != len(np.unique(self.document)):
            raise UsageError(f"{self.name}: the rows are not in order", hint="sort them by document and position")

    @property
    def dimensions(self) -> int:
        """The length of one vector."""
        return int(self.vectors.shape[1])

    @property
    def digest(self) -> str:
        """The sha256 of the file it came from, else of its content."""
        if self.source_digest:
            return self.source_digest
        digest = hashlib.sha256()
        for array in (self.vectors, self.sequence, self.document, self.is_ood):
            digest.update(np.ascontiguousarray(array).tobytes())
        return digest.hexdigest()

    @property
    def reference(self) -> str:
        """The data set's name and version, as the registry knows it."""
        return f"{self.name}@{self.digest[:12]}"


def unit(vectors: NDArray[np.floating]) -> NDArray[np.float16]:
    """Return the vectors at length one, in half precision; those that are so already stay as they are.

    Raises UsageError for a zero or non-finite row.
    """
    plain = np.asarray(vectors, dtype=np.float32)
    norms = np.linalg.norm(plain, axis=-1, keepdims=True)
    bad = ~np.isfinite(norms[..., 0]) | (norms[..., 0] == 0)
    if bad.any():
        raise UsageError(f"{int(bad.sum())} vectors are zero or not finite", hint="embed those texts again")
    if vectors.dtype == np.float16 and np.abs(norms - 1.0).max() < UNIT_TOLERANCE:
        return vectors
    return (plain / norms).astype(np.float16)


def window_rows(store: SequenceStore) -> NDArray[np.int64]:
    """Return the target rows of all windows."""
    rows = np.arange(CONTEXT, len(store.vectors))
    return rows[store.sequence[rows] == store.sequence[rows - CONTEXT]]


@dataclass(frozen=True)
class Split:
    """Target rows of the windows of each part, and how many held-out windows a leak check took out."""

    train: NDArray[np.int64]
    validation: NDArray[np.int64]
    test: NDArray[np.int64]
    ood: NDArray[np.int64]
    n_leaked: int


def split_by_document(store: SequenceStore, seed: int = 0) -> Split:
    """Deal the documents to train, validation and test, whole, in shares of 80, 8 and 12 %; the rest is out of domain.

    The deal depends on the document ids and the seed alone. Held-out windows whose target stands in a training
    document too are left out. Raises CheckFailedError when a part has no window.
    """
    rows = window_rows(store)
    part_of = _deal(np.unique(store.document[~store.is_ood]), seed)
    parts = np.array([part_of.get(document, -1) for document in store.document])
    parts[store.is_ood] = -1
    leaked = _occurs_in_training(store, parts)
    chosen = [rows[(parts[rows] == index) & ~leaked[rows]] for index in range(3)]
    n_leaked = int(((parts[rows] > 0) & leaked[rows]).sum())
    for name, part in zip(SPLITS, chosen, strict=True):
        if not len(part):
            left_out = f", and {n_leaked} left out whose targets stand in training" if n_leaked else ""
            raise CheckFailedError(
                f"{store.name}: no {name} window among {len(rows)}{left_out}", hint="give more or longer documents"
            )
    return Split(*chosen, ood=rows[store.is_ood[rows]], n_leaked=n_leaked)


def _deal(documents: NDArray[np.int64], seed: int) -> dict[int, int]:
    """Return the part (0 train, 1 validation, 2 test) of each document."""
    order = np.random.default_rng([seed, 5]).permutation(documents)
    n_validation, n_test = (max(1, round(share * len(order))) for share in HELD_OUT_SHARE.values())
    part = {int(document): 0 for document in order}
    part |= {int(document): 1 for document in order[:n_validation]}
    return part | {int(document): 2 for document in order[n_validation : n_validation + n_test]}


def _occurs_in_training(store: SequenceStore, parts: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Return, for each row outside training, whether the same vector stands in a training document."""
    same = row_numbers(store.vectors)
    in_training = np.zeros(same.max() + 1, dtype=bool)
    in_training[same[parts == 0]] = True
    return in_training[same] & (parts != 0)


def row_numbers(vectors: NDArray[np.float16]) -> NDArray[np.int64]:
    """Return a number for each row, the same for the same vector."""
    whole = np.ascontiguousarray(vectors).view(np.dtype((np.void, vectors.dtype.itemsize * vectors.shape[1])))
    return np.unique(whole.ravel(), return_inverse=True)[1]


def contexts(store: SequenceStore, rows: NDArray[np.int64]) -> NDArray[np.float32]:
    """Return the contexts (n, CONTEXT, d) of windows, oldest first."""
    return store.vectors[rows[:, None] + np.arange(-CONTEXT, 0)].astype(np.float32)


def statistics(store: SequenceStore, rows: NDArray[np.int64]) -> dict[str, float]:
    """Return what is known of windows before any model: cosines, with `narrative_delta` for a caution.

    `copy_last` is cos(last, target); `signal` is cos(last, target) less cos(first, target); `coherence` the mean of
    adjacent cosines in the context; `monotonic` the share of steps towards the target at which the mean cosine rises;
    `random_pair` the cosine of targets of different documents; `narrative_delta` is cos(last, next) less cos(last,
    previous), which is about zero for every stationary sequence and says nothing about how predictable it is.
    """
    n_windows = len(rows)
    if n_windows > N_STATISTICS_ROWS:
        rows = rows[:: len(rows) // N_STATISTICS_ROWS + 1]
    context, target = contexts(store, rows), store.vectors[rows].astype(np.float32)
    to_target = (context * target[:, None]).sum(-1).mean(0)
    adjacent = (context[:, 1:] * context[:, :-1]).sum(-1)
    other = np.roll(target, len(rows) // 2, axis=0)
    return {
        "n_windows": float(n_windows),
        "copy_last": float(to_target[-1]),
        "signal": float(to_target[-1] - to_target[0]),
        "coherence": float(adjacent.mean()),
        "monotonic": float((np.diff(to_target) > 0).mean()),
        "random_pair": float((target * other).sum(-1).mean()),
        "narrative_delta": float(to_target[-1] - adjacent[:, -1].mean()),
    }


def join(store: SequenceStore, ood: SequenceStore) -> SequenceStore:
    """Return the store with the rows of another one as its out-of-domain part.

    Raises CheckFailedError unless both were made by the same encoder, and both say so.
    """
    refuse_other_encoder(store, ood)
    return replace(
        store,
        vectors=np.concatenate([store.vectors, ood.vectors]),
        sequence=np.concatenate([store.sequence, ood.sequence + store.sequence.max() + 1]),
        document=np.concatenate([store.document, ood.document + store.document.max() + 1]),
        is_ood=np.concatenate([store.is_ood, np.ones(len(ood.vectors), dtype=bool)]),
        texts=store.texts + ood.texts if store.texts and ood.texts else (),
        source_digest=hashlib.sha256(f"{store.digest}{ood.digest}".encode()).hexdigest(),
    )


def refuse_other_encoder(store: SequenceStore, other: SequenceStore) -> None:
    """Raise CheckFailedError unless both stores were made by one encoder, and both say so."""
    if store.dimensions != other.dimensions:
        raise CheckFailedError(f"{store.name} has {store.dimensions} dimensions, {other.name} {other.dimensions}")
    for one in (store, other):
        if not one.encoder.is_recorded:
            raise CheckFailedError(
                f"{one.name} does not say which encoder made it", hint="embed both with `python -m runners.lvm.embed`"
            )
    differing = store.encoder.differences(other.encoder)
    if differing:
        raise CheckFailedError(
            f"{store.name} and {other.name} are of different encoders (they differ in {', '.join(differing)})",
            hint="embed both with the same model",
        )

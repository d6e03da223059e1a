"""Sequences whose truth is known: what a gate must say of a model trained on them is known before any model.

| name | next vector | a good model |
| --- | --- | --- |
| rotation | the last one turned by one fixed rotation of the whole space | finds it always, and copying is far off |
| ar | the last one decayed towards the page's topic, plus noise | does hardly better than weighing the context |
| shuffled | rotation, each page in random order: no order to find, only the topic | is at chance on its page |
"""

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from runners.lvm.sequences import Encoder, SequenceStore, unit

STILL_PLANES = 1 / 3
STILL_ENERGY = (0.25, 0.55)
"""The share of a page that stays, its topic: any two vectors of the page have this cosine, as in text."""
GOLDEN_RATIO = (5**0.5 - 1) / 2
"""Multiples of it fill the circle evenly and never come back: no page repeats itself."""
AR_DECAY = 0.75
AR_TOPIC_SHARE = 0.35
OOD_SHARE = 0.15

Floats = NDArray[np.float64]


def rotation(rng: np.random.Generator, n_documents: int, length: int, dimensions: int, is_ood: bool) -> Floats:
    """Return (documents, length, d): one rotation of the space, a third of its planes still, the others at all angles.

    The angles fill the half circle, so no mixture of the vectors before says what comes next: only the rotation
    does. Pages differ in where their energy is.
    """
    n_planes = dimensions // 2
    n_still = max(1, round(STILL_PLANES * n_planes))
    angles = np.concatenate([np.zeros(n_still), np.pi * (np.arange(1, n_planes - n_still + 1) * GOLDEN_RATIO % 1.0)])
    still = rng.uniform(*STILL_ENERGY, size=(n_documents, 1))
    concentration = 2.0 if is_ood else 4.0
    shares = [rng.dirichlet(np.full(n, concentration), size=n_documents) for n in (n_still, n_planes - n_still)]
    energy = np.concatenate([still * shares[0], (1 - still) * shares[1]], axis=1)
    turned = rng.uniform(0, 2 * np.pi, (n_documents, 1, n_planes)) + np.arange(length)[:, None] * angles
    planes = np.stack([np.cos(turned), np.sin(turned)], -1) * np.sqrt(energy)[:, None, :, None]
    return planes.reshape(n_documents, length, 2 * n_planes)


def autoregressive(rng: np.random.Generator, n_documents: int, length: int, dimensions: int, is_ood: bool) -> Floats:
    """Return (documents, length, d): a walk that decays towards the page's own topic."""
    topic = rng.normal(size=(n_documents, dimensions)) * (1.5 if is_ood else 1.0)
    steps = np.empty((n_documents, length, dimensions))
    steps[:, 0] = topic + rng.normal(size=topic.shape)
    noise = np.sqrt(1 - AR_DECAY**2)
    for step in range(1, length):
        drawn = AR_DECAY * steps[:, step - 1] + noise * rng.normal(size=topic.shape)
        steps[:, step] = drawn + (1 - AR_DECAY) * AR_TOPIC_SHARE * topic
    return steps


def shuffled(rng: np.random.Generator, n_documents: int, length: int, dimensions: int, is_ood: bool) -> Floats:
    """Return the rotation with the rows of each page in random order."""
    pages = rotation(rng, n_documents, length, dimensions, is_ood)
    return np.stack([page[rng.permutation(length)] for page in pages])


PROCESSES: dict[str, Callable[..., Floats]] = {"rotation": rotation, "ar": autoregressive, "shuffled": shuffled}


def make_store(process: str, *, n_documents: int, length: int, dimensions: int, seed: int) -> SequenceStore:
    """Return a store of a named process: `n_documents` pages, and 15 % more that are out of domain.

    The axes are mixed by one random orthogonal matrix, so that no coordinate means anything. Raises KeyError.
    """
    rng = np.random.default_rng([seed, 8])
    n_ood = max(2, round(OOD_SHARE * n_documents))
    pages = [PROCESSES[process](rng, n, length, dimensions, ood) for n, ood in ((n_documents, False), (n_ood, True))]
    axes, _ = np.linalg.qr(rng.normal(size=(dimensions, dimensions)))
    vectors = np.concatenate(pages).reshape(-1, dimensions) @ axes
    document = np.repeat(np.arange(n_documents + n_ood), length)
    encoder = Encoder(f"synthetic {process}", weights=f"{process}-{dimensions}-{seed}", pooling="none")
    name = f"lvm-{process}"
    return SequenceStore(name, unit(vectors), document, document, document >= n_documents, encoder)

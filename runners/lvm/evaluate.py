"""Open a data source, measure a model on it beside controls and baselines, and record every score where it belongs.

What a model scores is recorded against its checkpoint; what controls and baselines score, by their names, in the same
run: a gate whose controls do not separate on this very data is not believed.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import torch
from torch import Tensor

from registry.run import Run
from runners.lvm import fivecat, predictors, sequences, synthetic
from runners.lvm.checks import refuse_unfit
from runners.lvm.files import load_store
from runners.lvm.fivecat_v1 import measure_v1
from runners.lvm.models import LatentVectorModel
from runners.lvm.pages import Pages
from runners.lvm.predictors import Predictor
from runners.lvm.resampling import PageBootstrap
from runners.lvm.sequences import SequenceStore
from runners.lvm.settings import LvmSettings
from runners.training.estimates import Estimate, record_estimates

RIVALS = ("copy_last", "constant", "mean_context", "ar5")
"""What a model has to beat: `fivecat.summarise` says in what."""

Scores = dict[str, Estimate]


@dataclass(frozen=True, eq=False)
class Dataset:
    """A store, its vectors on a device, and the windows of each part: train, validation, test and perhaps ood.

    `files` are the references and digests of what was read, by part; `bank` is the path of the main file, if there is
    one.
    """

    store: SequenceStore
    pages: Pages
    parts: Mapping[str, Tensor]
    n_leaked: int
    files: Mapping[str, tuple[str, str]]
    bank: Path | None = None


def open_dataset(settings: LvmSettings, device: torch.device) -> Dataset:
    """Return the source that the settings name. Raises NotFoundError, UsageError or CheckFailedError for a bad one."""
    return _open_dataset(
        settings.data,
        settings.ood,
        settings.split_seed,
        settings.n_documents,
        settings.document_length,
        settings.dimensions,
        str(device),
    )


@lru_cache(maxsize=2)
def _open_dataset(
    data: str, ood: str, seed: int, n_documents: int, length: int, dimensions: int, device: str
) -> Dataset:
    path = None if data in synthetic.PROCESSES else Path(data).expanduser().resolve()
    if path:
        own = load_store(path)
    else:
        own = synthetic.make_store(data, n_documents=n_documents, length=length, dimensions=dimensions, seed=seed)
    other = load_store(Path(ood).expanduser()) if ood else own
    store = sequences.join(own, other) if ood else own
    split = sequences.split_by_document(store, seed)
    refuse_unfit(store, split)
    parts = {"train": split.train, "validation": split.validation, "test": split.test, "ood": split.ood}
    rows = {role: torch.from_numpy(part).to(device) for role, part in parts.items() if len(part)}
    files = {role: (one.reference, one.digest) for role in rows for one in [other if role == "ood" else own]}
    return Dataset(store, Pages(store, device), rows, split.n_leaked, files, path)


@dataclass(frozen=True)
class Measured:
    """What a predictor said of every window: of the test part, and where there is one of the out-of-domain part."""

    test: fivecat.Columns
    ood: fivecat.Columns | None


@dataclass(frozen=True)
class Surroundings:
    """What stands beside every model on a data source: the rivals, and the scores of all controls and baselines."""

    rivals: Mapping[str, Measured]
    scores: Mapping[str, Scores]
    v1: Mapping[str, Mapping[str, float]]


def measure(dataset: Dataset, predictor: Predictor) -> Measured:
    """Ask a predictor for every window of the test and out-of-domain parts."""
    ood = dataset.parts.get("ood")
    return Measured(
        fivecat.measure(dataset.pages, dataset.parts["test"], predictor),
        None if ood is None else fivecat.measure(dataset.pages, ood, predictor),
    )


@lru_cache(maxsize=2)
def surroundings(dataset: Dataset) -> Surroundings:
    """Return what stands beside every model on this data; measured once a process."""
    pages, train = dataset.pages, dataset.parts["train"]
    controls = predictors.controls(pages, train)
    measured = {name: measure(dataset, one) for name, one in (controls | predictors.baselines(pages, train)).items()}
    rivals = {name: measured[name] for name in RIVALS}
    scores = {name: score(dataset, one, rivals) for name, one in measured.items()}
    v1 = {name: measure_v1(pages, dataset.parts["test"], one) for name, one in controls.items()}
    return Surroundings(rivals, scores, v1)


def score(dataset: Dataset, measured: Measured, rivals: Mapping[str, Measured]) -> Scores:
    """Return 5CAT's scores of the test part, and of the out-of-domain part as `…/ood`."""
    pages = {role: dataset.store.document[rows.cpu().numpy()] for role, rows in dataset.parts.items()}
    found = fivecat.summarise(
        measured.test, {name: one.test for name, one in rivals.items()}, PageBootstrap(pages["test"])
    )
    if measured.ood is None:
        return found
    there = {name: one.ood for name, one in rivals.items() if one.ood is not None}
    own = fivecat.summarise(measured.ood, there, PageBootstrap(pages["ood"]))
    delta = fivecat.bins_delta(
        measured.test, pages["test"], measured.ood, pages["ood"], has_skill=found["skill_cosine"].low > 0
    )
    found |= {f"{name}/ood": value for name, value in own.items()}
    return found if delta is None else found | {"bins_delta": delta}


def record_evaluation(
    run: Run, model: LatentVectorModel, dataset: Dataset, step: int, artifact: str = "best"
) -> Scores:
    """Measure a model by 5CAT and by the notebooks' version of it, record all of it, and return the 5CAT scores."""
    beside = surroundings(dataset)
    scores = score(dataset, measure(dataset, model), beside.rivals)
    v1 = measure_v1(dataset.pages, dataset.parts["test"], model)
    reference = dataset.files["test"][0]
    record_estimates(run, "5cat", scores, artifact=artifact, step=step, dataset=reference)
    record_v1(run, v1, artifact=artifact, step=step, dataset=reference)
    for name, values in beside.scores.items():
        record_estimates(run, "5cat", values, subject=name, dataset=reference)
    for name, plain in beside.v1.items():
        record_v1(run, plain, subject=name, dataset=reference)
    run.log({f"5cat/{name}": value.value for name, value in scores.items()}, step=step)
    return scores


def record_v1(run: Run, scores: Mapping[str, float], **whose: object) -> None:
    """Record scores of the notebooks' 5CAT, of an artifact or of a subject."""
    metrics = {f"5cat-v1/{name}": value for name, value in scores.items()}
    run.log_evaluation(metrics=metrics, **whose)  # type: ignore[arg-type]

"""Which files make one run: rules on folders and names, tried from the most telling to the plainest. Pure but for
`peek`, which returns the first bytes of a file.

A file's run never depends on which other logs have turned up beside it, so a run keeps its identity while it grows.
"""

import bisect
import os
import re
from collections import defaultdict
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from registry.ingest.formats.parameters import is_parameters

Peek = Callable[[str], bytes]

WANDB_FOLDER = re.compile(r"(?:offline-)?run-\d{8}_\d{6}-(?P<id>[\w-]{1,64})")
_WANDB_FILE = re.compile(r"run-(?P<id>[\w-]{1,64})\.wandb")
_CHECKPOINT = re.compile(r"checkpoint-(\d+)")
_RANKED = re.compile(
    r"(?P<stem>.*?(?:workerlog|worker|rank|trainer|node|proc|gpu|default|local_rank|log_rank|stdout_rank))[._-]?(?P<rank>\d{1,5})",
    re.IGNORECASE,
)
_ROTATED = re.compile(
    r"(?P<stem>.+\.(?:log|txt|out|err|csv|jsonl|json))\.(?:(?P<number>\d{1,3})|(?P<old>old|bak))", re.IGNORECASE
)
_MLFLOW_ID = re.compile(r"[0-9a-f]{32}")
_A_STEP = re.compile(r"(?P<stem>.*(?:epoch|step|iter))[_-]?(?P<n>\d{1,12})\.json", re.IGNORECASE)
_UUID = re.compile(r"[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}", re.IGNORECASE)
_EXTENSIONS = re.compile(
    r"(?:\.(?:log\.json|json\.log|log|txt|out|err|stdout|stderr|jsonl|ndjson|json|csv|tsv|ya?ml|toml|console|output))+$",
    re.IGNORECASE,
)
_SUFFIX_WORDS = re.compile(
    r"[_\-.](?:metrics|history|logs?|results|config|params|args|hparams|hyperparams|hyperparameters|scalars)$",
    re.IGNORECASE,
)
_ROLE_WORDS = frozenset({
    "train", "training", "trainer", "val", "valid", "validation", "eval", "evaluation", "test", "log", "logs",
    "logger",
    "output", "out", "stdout", "stderr", "console", "run", "metrics", "metric", "results", "result", "history", "hist",
    "progress", "epoch", "epochs", "step", "steps", "iter", "loss", "losses", "scalars", "stats", "all", "summary",
    "state",
    "nohup", "main", "report", "curve", "curves", "learning", "records", "record", "scores", "performance", "accuracy",
    "acc", "hparams", "params", "parameters", "hyperparams", "hyperparameters", "hyper", "config", "cfg",
    "configuration",
    "args", "arguments", "opt", "options", "hyp", "settings", "done", "finished", "complete", "completed", "status",
    "info", "dev", "final", "best", "monitor", "cout", "job", "error", "errors", "err", "metadata", "meta", "flags",
    "overrides",
})  # fmt: skip
_FOLDED = frozenset({"vis_data", "tensorboard", "tb", "tb_logs", "tensorboard_logs", ".hydra", "csv_logs", "tf_logs"})
_HALVES = {"train": "train/", "validation": "validation/", "val": "val/", "eval": "eval/", "test": "test/"}


@dataclass(frozen=True)
class Source:
    """One file of a run.

    `kind` names the format where the folder tells it (else the file's content will), `metric` is the series' name
    where the path says it, `prefix` goes before the names of its metrics, `rank` is the process that wrote it.
    """

    path: str
    kind: str = ""
    metric: str = ""
    prefix: str = ""
    rank: int = 0


@dataclass(frozen=True)
class Candidate:
    """The files of one run. `certain`: it is a run even if no metric is ever found."""

    key: str
    name: str
    foreign_id: str
    sources: tuple[Source, ...]
    kind: str = "files"
    certain: bool = False
    experiment: str = ""
    started_at: float | None = None


def group(root: str, paths: Iterable[str], peek: Peek) -> list[Candidate]:
    """Return the runs that the files below `root` make, sorted by key; two folders of one run make one."""
    grouper = _Grouper(root, sorted(paths), peek)
    found = grouper.candidates()
    unique: dict[str, Candidate] = {}
    for candidate in sorted(found, key=_originals_first):
        unique.setdefault(candidate.foreign_id, candidate)
    return sorted(unique.values(), key=lambda candidate: candidate.key)


def _originals_first(candidate: Candidate) -> tuple[bool, str]:
    return "latest" in os.path.basename(candidate.key), candidate.key


class _Grouper:
    """Holds the listing while the rules take files out of it."""

    def __init__(self, root: str, paths: list[str], peek: Peek) -> None:
        self.root = root
        self.peek = peek
        self.names: dict[str, list[str]] = defaultdict(list)
        for path in paths:
            self.names[os.path.dirname(path)].append(os.path.basename(path))
        self.below: dict[str, set[str]] = defaultdict(set)
        for folder in list(self.names):
            while len(folder) > len(root) and folder.startswith(root):
                parent = os.path.dirname(folder)
                self.below[parent].add(os.path.basename(folder))
                folder = parent
        self.folders = sorted(self.names)
        self.taken: set[str] = set()

    def candidates(self) -> list[Candidate]:
        """Apply the rules folder by folder, parents before children."""
        found: list[Candidate] = []
        for folder in sorted(set(self.names) | set(self.below)):
            if self._is_taken(folder):
                continue
            special = self._mlflow(folder) or self._wandb(folder) or self._dvclive(folder)
            if special is not None:
                self.taken.add(folder)
                found.append(special)
        plain = [folder for folder in sorted(self.names) if not self._is_taken(folder)]
        found += self._plain(plain)
        return found

    def _is_taken(self, folder: str) -> bool:
        while len(folder) >= len(self.root):
            if folder in self.taken:
                return True
            folder = os.path.dirname(folder)
        return False

    def _tree(self, folder: str) -> list[str]:
        """Return the files in a folder and below it."""
        inside = folder + os.sep
        start = bisect.bisect_left(self.folders, inside)
        end = bisect.bisect_left(self.folders, folder + chr(ord(os.sep) + 1))
        within = [*([folder] if folder in self.names else []), *self.folders[start:end]]
        return [os.path.join(where, name) for where in within for name in self.names[where]]

    def _label(self, folder: str) -> str:
        relative = os.path.relpath(folder, self.root)
        return os.path.basename(self.root) if relative == "." else relative

    # --- folders of trackers

    def _mlflow(self, folder: str) -> Candidate | None:
        if "meta.yaml" not in self.names.get(folder, []):
            self._skip_unfinished_mlflow(folder)
            return None
        head = self.peek(os.path.join(folder, "meta.yaml")).decode("utf-8", "replace")
        found = re.search(r"^run_(?:uu)?id: ['\"]?([\w-]+)['\"]?\n", head, re.MULTILINE)
        if found is None:
            self._skip_unfinished_mlflow(folder)
            return None
        if re.search(r"^lifecycle_stage: deleted", head, re.MULTILINE):
            self.taken.add(folder)
            return None
        sources = [Source(os.path.join(folder, "meta.yaml"), "mlflow meta")]
        for path in sorted(self._tree(folder)):
            part, _, metric = os.path.relpath(path, folder).partition(os.sep)
            if part in ("metrics", "params", "tags") and metric:
                sources.append(Source(path, f"mlflow {part[:-1]}", metric.replace(os.sep, "/")))
        experiment = self._mlflow_experiment(os.path.dirname(folder))
        name = re.search(r"^run_name: ['\"]?(.+?)['\"]?\s*$", head, re.MULTILINE)
        label = name[1] if name and name[1] not in ("''", "") else found[1]
        return Candidate(folder, label, f"mlflow:{found[1]}", tuple(sources), "mlflow", True, experiment)

    def _skip_unfinished_mlflow(self, folder: str) -> None:
        """A run of MLflow whose `meta.yaml` is not written yet is left alone until it is."""
        parts = {"metrics", "params", "tags", "artifacts"} & self.below.get(folder, set())
        if parts and _MLFLOW_ID.fullmatch(os.path.basename(folder)):
            self.taken.add(folder)

    def _mlflow_experiment(self, folder: str) -> str:
        if "meta.yaml" not in self.names.get(folder, []):
            return ""
        head = self.peek(os.path.join(folder, "meta.yaml")).decode("utf-8", "replace")
        found = re.search(r"^name: ['\"]?(.+?)['\"]?\s*$", head, re.MULTILINE)
        return found[1] if found else ""

    def _wandb(self, folder: str) -> Candidate | None:
        names = self.names.get(folder, [])
        stored = next((name for name in names if _WANDB_FILE.fullmatch(name)), None)
        named = WANDB_FOLDER.fullmatch(os.path.basename(folder))
        files = os.path.join(folder, "files")
        inside = set(self.names.get(files, []))
        looks_so = "wandb-summary.json" in inside or ("output.log" in inside and "config.yaml" in inside)
        if stored is None and not (named and inside) and not looks_so:
            return None
        run_id = _WANDB_FILE.fullmatch(stored)["id"] if stored else named["id"] if named else ""  # type: ignore[index]
        sources = [Source(os.path.join(folder, stored), "wandb")] if stored else []
        if "config.yaml" in inside:
            sources.append(Source(os.path.join(files, "config.yaml"), "parameters"))
        if "output.log" in inside:
            sources.append(Source(os.path.join(files, "output.log"), "end of text" if stored else "text"))
        if "wandb-summary.json" in inside and not stored:
            sources.append(Source(os.path.join(files, "wandb-summary.json"), "json document"))
        identity = f"wandb:{run_id}" if run_id else f"files:{folder}"
        return Candidate(folder, run_id or self._label(folder), identity, tuple(sources), "wandb", True)

    def _dvclive(self, folder: str) -> Candidate | None:
        plots = os.path.join(folder, "plots", "metrics")
        series = [path for path in self._tree(plots) if path.endswith(".tsv")] if "plots" in self.below[folder] else []
        if not series:
            return None
        sources = [
            Source(path, "dvclive series", os.path.relpath(path, plots)[: -len(".tsv")].replace(os.sep, "/"))
            for path in sorted(series)
        ]
        names = self.names.get(folder, [])
        sources += [Source(os.path.join(folder, name), "parameters") for name in names if name == "params.yaml"]
        sources += [Source(os.path.join(folder, name), "json document") for name in names if name == "metrics.json"]
        return Candidate(folder, self._label(folder), f"files:{folder}", tuple(sources), "dvclive")

    # --- plain folders

    def _plain(self, folders: list[str]) -> list[Candidate]:
        """Group what is left by folder and stem; parameters go to every run of their folder or of those below."""
        runs: dict[tuple[str, str], list[Source]] = defaultdict(list)
        params: dict[str, list[Source]] = defaultdict(list)
        for folder in folders:
            home, prefix = self._home(folder)
            for name in self.names[folder]:
                path = os.path.join(folder, name)
                if is_parameters(name):
                    params[home].append(Source(path, "parameters"))
                    continue
                stem, rank = stem_of(name)
                kind = "tensorboard" if "tfevents" in name else ""
                runs[home, stem].append(Source(path, kind, prefix=prefix, rank=rank))
        self._follow_mentions(runs)
        found = [self._plain_run(home, stem, sources, params) for (home, stem), sources in sorted(runs.items())]
        with_runs = {home for home, _stem in runs}
        found += [
            self._candidate(home, "", sources, certain=any("args.yaml" in source.path for source in sources))
            for home, sources in sorted(params.items())
            if home not in with_runs
        ]
        return found

    def _home(self, folder: str) -> tuple[str, str]:
        """Return the folder of the run whose part `folder` is, and the prefix of metrics from that part."""
        base, parent = os.path.basename(folder), os.path.dirname(folder)
        if len(parent) < len(self.root):
            return folder, ""
        if _CHECKPOINT.fullmatch(base) and "trainer_state.json" in self.names[folder]:
            return parent, ""
        if base in _FOLDED:
            return parent, ""
        if base in _HALVES and self._has_both_halves(parent):
            return parent, _HALVES[base]
        if base in ("logs", "log") and self._is_run_folder(parent):
            return parent, ""
        return folder, ""

    def _has_both_halves(self, parent: str) -> bool:
        """Return whether a folder has `train` and `validation` folders of event files, as Keras writes them."""
        halves = [
            half
            for half in _HALVES
            if any("tfevents" in name for name in self.names.get(os.path.join(parent, half), []))
        ]
        return "train" in halves and len(halves) > 1

    def _is_run_folder(self, folder: str) -> bool:
        return any(is_parameters(name) for name in self.names.get(folder, []))

    def _follow_mentions(self, runs: dict[tuple[str, str], list[Source]]) -> None:
        """A log whose first line is the name of another log belongs to that run (`logs/<uuid>.txt`)."""
        stems = {stem: (home, stem) for home, stem in runs if stem}
        for (home, stem), sources in list(runs.items()):
            for source in list(sources):
                first = self.peek(source.path)[:300].split(b"\n", 1)[0].decode("utf-8", "replace").strip()
                named, _rank = stem_of(os.path.basename(first)) if 8 < len(first) < 260 else ("", 0)
                if named and named != stem and named in stems:
                    runs[stems[named]].append(source)
                    sources.remove(source)
            if not sources:
                del runs[home, stem]

    def _plain_run(self, home: str, stem: str, sources: list[Source], params: dict[str, list[Source]]) -> Candidate:
        own = _newest_checkpoint(sources)
        return self._candidate(home, stem, [*own, *self._nearest(home, params)])

    def _nearest(self, home: str, params: dict[str, list[Source]]) -> list[Source]:
        """Return the parameter files of a folder, else of the nearest one above it."""
        folder = home
        for _ in range(3):
            if folder in params:
                return params[folder]
            if folder == self.root or len(folder) <= len(self.root):
                return []
            folder = os.path.dirname(folder)
        return []

    def _candidate(self, home: str, stem: str, sources: list[Source], *, certain: bool = False) -> Candidate:
        key = os.path.join(home, stem) if stem else home
        label = self._label(home)
        if stem:
            label = stem if home == self.root else f"{label}/{stem}"
        uuid = _UUID.fullmatch(stem)
        identity = f"uuid:{stem.lower()}" if uuid else f"files:{key}"
        certain = certain or any(os.path.basename(source.path) == "run.json" for source in sources)
        return Candidate(key, label, identity, tuple(sorted(sources, key=_reading_order)), "files", certain)


def stem_of(name: str) -> tuple[str, int]:
    """Return what of a file's name tells its run from its neighbours', and the rank that wrote it.

    The stem is empty for names that every run uses (`train.log`, `metrics.csv`, `events.out.tfevents…`): the folder
    is the run then.
    """
    if "tfevents" in name:
        return "", 0
    if rotated := _ROTATED.fullmatch(name):
        name = rotated["stem"]
    if one := _A_STEP.fullmatch(name):
        name = f"{one['stem']}.json"
    stem = _EXTENSIONS.sub("", name) or name
    rank = 0
    if ranked := _RANKED.fullmatch(stem):
        stem, rank = ranked["stem"].rstrip("._-"), int(ranked["rank"])
    words = [word for word in re.split(r"[_\-. ]+", stem.lower()) if word]
    if not words or all(word in _ROLE_WORDS or word in ("rank", "workerlog", "worker") for word in words):
        return "", rank
    return _SUFFIX_WORDS.sub("", stem), rank


def family_of(path: str) -> str:
    """Return what files have in common that carry on one another's series."""
    folder, name = os.path.split(path)
    if "tfevents" in name:
        return os.path.join(folder, "tfevents")
    rotated = _ROTATED.fullmatch(name) or _A_STEP.fullmatch(name)
    return os.path.join(folder, rotated["stem"]) if rotated else path


def _reading_order(source: Source) -> tuple[int, int, str]:
    """Rotated files before the one they were cut from, the oldest first; documents of a step in the order of steps."""
    name = os.path.basename(source.path)
    rotated = _ROTATED.fullmatch(name)
    age = -(int(rotated["number"]) if rotated["number"] else 1000) if rotated else 0
    if one := _A_STEP.fullmatch(name):
        age = int(one["n"])
    return source.rank, age, source.path


def _newest_checkpoint(sources: list[Source]) -> list[Source]:
    """Of several `checkpoint-N/trainer_state.json` keep the newest: it holds the history of the others."""
    states = [source for source in sources if os.path.basename(source.path) == "trainer_state.json"]
    if len(states) < 2:
        return sources

    def taken_at(source: Source) -> int:
        found = _CHECKPOINT.fullmatch(os.path.basename(os.path.dirname(source.path)))
        return int(found[1]) if found else 1 << 60

    newest = max(states, key=taken_at)
    return [source for source in sources if source not in states or source is newest]

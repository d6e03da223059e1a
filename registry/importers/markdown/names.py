"""Names of runs, metrics and experiments, and dates, out of the words of a report."""

import re
from datetime import UTC, datetime

from registry.importers.markdown.cells import plain

SPLITS = {"val": "val", "valid": "val", "validation": "val", "dev": "val", "test": "test", "train": "train",
          "training": "train", "ood": "ood", "holdout": "holdout", "heldout": "holdout"}  # fmt: skip
_BASIS = {"sampling": "sampled", "sampled": "sampled", "estimated": "estimated", "expected": "estimated",
          "projected": "estimated", "theoretical": "estimated", "true": "measured", "measured": "measured",
          "hash-validated": "measured", "validated": "measured"}  # fmt: skip
_QUALIFIERS = {"best", "final", "overall", "score", "range", "still", "negative", "positive", "the", "of"}
_ALIASES = {"cos": "cosine", "recall@1": "r@1", "recall@5": "r@5", "unique_coverage": "coverage",
            "validation_loss": "loss"}  # fmt: skip
_MONTHS = {name: number for number, name in enumerate(
    ("jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"), start=1)}  # fmt: skip
_CLOCK = r"(?:[,\s]+(?:at\s+)?(?P<hour>\d{1,2}):(?P<minute>\d{2})\s*(?P<half>[AaPp][Mm])?)?"
_ISO = re.compile(rf"(?P<year>\d{{4}})-(?P<month>\d{{2}})-(?P<day>\d{{2}})(?:T(?=\d))?{_CLOCK}")
_WORDS = re.compile(
    r"\b(?P<name>(?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec)[a-z]*)\.?\s+"
    rf"(?P<day>\d{{1,2}})(?:\s*[-–]\s*\d{{1,2}})?(?:,?\s+(?P<year>\d{{4}}))?{_CLOCK}"
)
_LITERAL = re.compile(r"`([^\s`]+/[^\s`]+)`")
"""A metric's own name in code style, `5cat/cosine`: it is kept letter by letter."""
_GENERIC = {
    "training", "session", "summary", "results", "result", "report", "model", "models", "comparison", "table",
    "development", "failure", "analysis", "path", "forward", "recent", "and", "final", "complete", "run", "runs",
    "experiment", "evaluation", "notes", "status", "update", "log", "overview", "detailed", "the", "of",
}  # fmt: skip


def slug(text: str) -> str:
    """Return words as a name: `JSONExact` → `json_exact`, `Field F1` → `field_f1`, `R@1` → `r@1`."""
    words = re.sub(r"\([^)]*\)", " ", plain(text))
    words = re.sub(r"(?<=[a-z])(?=[A-Z][a-z])|(?<=[A-Z])(?=[A-Z][a-z])", "_", words).lower()
    return re.sub(r"[^\w@%.+-]+|_+", "_", words).strip("_")


class MetricName:
    """A metric as a report speaks of it: its name without split and qualifiers, its split, its basis, best or final."""

    def __init__(self, label: str, split: str = "") -> None:
        literal = _LITERAL.fullmatch(label.strip())
        if literal:
            self.base, self.split, self.basis = literal[1], "", None
            self.is_coded = self.is_best = self.is_final = False
            return
        words = plain(label)
        brackets = " ".join(re.findall(r"\(([^)]*)\)", words)).lower()
        coded = re.match(r"[A-Z]\d?:\s+(.*)", words)
        self.is_coded = coded is not None
        parts = slug(coded[1] if coded else words).split("_")
        self.is_best, self.is_final = "best" in parts, "final" in parts
        named = [SPLITS[part] for part in (*re.split(r"[\s,]+", brackets), *parts) if part in SPLITS]
        self.split = split or (named[0] if named else "")
        bases = [_BASIS[part] for part in (*re.split(r"[\s,]+", brackets), *parts) if part in _BASIS]
        self.basis = bases[0] if bases else None
        dropped = _QUALIFIERS | set(SPLITS) | set(_BASIS) - {"validated"}
        kept = [part for part in parts if part not in dropped]
        self.base = _ALIASES.get("_".join(kept), "_".join(kept))
        if "gates" in kept:
            self.base = "gates"

    @property
    def full(self) -> str:
        """The name under which it is recorded, empty when the words name no metric."""
        if not self.base:
            return ""
        return f"{self.split}/{self.base}" if self.split else self.base


def run_key(text: str) -> str:
    """Return what two spellings of one run's name have in common."""
    return " ".join(re.sub(r"[^\w.+]+", " ", plain(text).casefold()).split())


def experiment_of(title: str) -> str:
    """Return a name for what a report is about: its title without dates, brackets and the words of every report."""
    words = re.sub(r"\([^)]*\)", " ", plain(title))
    words = _ISO.sub(" ", _WORDS.sub(" ", words))
    kept = [word for word in re.findall(r"[\w.+]+", words) if word.casefold() not in _GENERIC]
    return "-".join(word.casefold() for word in kept[:5]) or "report"


def dates_in(text: str, year: int | None = None) -> list[tuple[float, bool]]:
    """Return the dates that a text names as unix seconds (UTC), each with whether it names the time of day too.

    A date without a year takes `year`; without that it is left out.
    """
    found = []
    for pattern in (_ISO, _WORDS):
        for match in pattern.finditer(plain(text)):
            moment = _moment(match, year)
            if moment is not None:
                found.append((match.start(), (moment.timestamp(), match["hour"] is not None)))
    return [moment for _, moment in sorted(found)]


def _moment(match: re.Match[str], year: int | None) -> datetime | None:
    groups = match.groupdict()
    month = int(groups["month"]) if groups.get("month") else _MONTHS.get(str(groups.get("name"))[:3].lower())
    chosen = int(groups["year"]) if groups["year"] else year
    hour = int(groups["hour"] or 0)
    if groups["half"]:
        hour = hour % 12 + (12 if groups["half"].lower() == "pm" else 0)
    try:
        return datetime(chosen or 0, month or 0, int(groups["day"]), hour, int(groups["minute"] or 0), tzinfo=UTC)
    except ValueError:
        return None


def dataset_of(text: str) -> tuple[str, str, str] | None:
    """Return the name, the version and the split of a data file that a text names: `edgejson_train_v2.jsonl`."""
    match = re.search(r"([\w.\-/]+)\.(?:jsonl?|csv|tsv|npz|npy|parquet|arrow|txt|zip|h5)\b", plain_path(text))
    if match is None:
        return None
    stem = match[1].rsplit("/", 1)[-1]
    version = re.search(r"[_\-.]?v(\d+(?:\.\d+)*)$", stem)
    words = re.split(r"[_\-]", stem[: version.start()] if version else stem)
    split = next((SPLITS[word] for word in words if word in SPLITS), "")
    name = "_".join(word for word in words if word not in SPLITS) or stem
    return name, f"v{version[1]}" if version else "unversioned", split


def plain_path(text: str) -> str:
    """Return a text without the marks that surround file names."""
    return text.replace("`", " ").replace("**", " ")

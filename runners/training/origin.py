"""Where a training came from, in one JSON file: settings, versions, device, and the source text that ran."""

import hashlib
import json
import platform
import sys
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

PACKAGES = ("torch", "numpy", "safetensors", "transformers", "peft", "tokenizers", "json-repair", "holdfast")


def describe_origin(settings: dict[str, Any], folders: list[Path]) -> bytes:
    """Return the origin of a training as JSON: its settings, the versions, and every Python file in `folders`."""
    origin = {
        "settings": settings,
        "python": sys.version,
        "platform": platform.platform(),
        "versions": package_versions(),
        "source": {path.as_posix(): _source(path) for folder in folders for path in sorted(folder.glob("*.py"))},
    }
    return json.dumps(origin, indent=1, sort_keys=True).encode()


def package_versions() -> dict[str, str]:
    """Return the versions of the packages that decide what a training computes; those not installed are left out."""
    versions = {}
    for name in PACKAGES:
        try:
            versions[name] = version(name)
        except PackageNotFoundError:
            continue
    return versions


def _source(path: Path) -> dict[str, str]:
    text = path.read_bytes()
    return {"sha256": hashlib.sha256(text).hexdigest(), "text": text.decode()}

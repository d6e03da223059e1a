"""What a target has deployed, and its bytes: copied to a private folder while they are hashed, then compared.

A model is loaded from that copy alone, so that bytes which change afterwards are never the ones that answer.
"""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from registry.errors import CheckFailedError, HoldfastError, NotFoundError, UsageError
from registry.hashing import freeze
from registry.record import Registry


@dataclass(frozen=True)
class Deployed:
    """A live deployment: the artifact's digest and place, the run that made it, since when it is live."""

    target: str
    run_id: str
    run_name: str
    family: str
    digest: str
    path: Path
    since: str
    params: dict[str, Any]

    def same_bytes_of_same_run(self, other: "Deployed") -> bool:
        """Return whether both are the same artifact, deployed at one time or another."""
        return (self.run_id, self.digest) == (other.run_id, other.digest)


def find_deployed(record: Registry, target: str) -> Deployed:
    """Return what serves `target` now. Raises NotFoundError for nothing, UsageError for a run without a family."""
    live = {row["target"]: row for row in record.deployments()}
    if target not in live:
        hint = f"deployed: {', '.join(sorted(live))}" if live else f"registry promote RUN --to {target}"
        raise NotFoundError(f"nothing is deployed to {target!r}", hint=hint)
    row = live[target]
    params = record.run(row["run"])["params"]
    family = params.get("family")
    if not isinstance(family, str):
        raise UsageError(f"run {row['run_name']} names no family", hint="its params need family=…, as `train` records")
    return Deployed(
        target=target,
        run_id=row["run"],
        run_name=row["run_name"],
        family=family,
        digest=row["digest"],
        path=record.database.root / row["path"],
        since=row["since"],
        params=params,
    )


@contextmanager
def proven_copy(deployed: Deployed) -> Iterator[Path]:
    """Yield a folder with a copy of the artifact that hashes to the deployment's digest; it is gone afterwards.

    Raises NotFoundError when the artifact is not there, CheckFailedError when its bytes are others.
    """
    if not deployed.path.exists():
        raise NotFoundError(
            f"the deployed artifact {deployed.path} is not there", hint=f"registry fetch {deployed.run_id}"
        )
    with tempfile.TemporaryDirectory(prefix="serve-") as name:
        folder = Path(name)
        copy = folder / deployed.path.name
        try:
            if deployed.path.is_dir():
                shutil.copytree(deployed.path, copy, symlinks=True)
            else:
                shutil.copyfile(deployed.path, copy)
        except OSError as error:
            raise HoldfastError(f"cannot read {deployed.path}: {error.strerror or error}") from None
        digest = freeze(copy).digest
        if digest != deployed.digest:
            raise CheckFailedError(
                f"{deployed.path} is not what was deployed: sha256 {digest[:12]}, not {deployed.digest[:12]}",
                hint=f"registry repair {deployed.run_id}, or promote another run",
            )
        yield copy if copy.is_dir() else folder

"""Getting artifacts back: read from the best place, hashed on the way, the next place when the bytes are wrong.

A file appears under its name only when its digest is right; a file that is there already is never written over.
"""

import os
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass, field
from pathlib import Path

from registry import custody
from registry.copies.record import ArtifactFacts
from registry.copies.transfer import Elsewhere, Progress
from registry.database import Database
from registry.errors import CheckFailedError, HoldfastError, NotFoundError, RefusedError
from registry.hashing import digest_file
from registry.remotes.base import Source
from registry.remotes.disk import digest_blocks, sync_folders
from registry.tables import Artifact


@dataclass
class FetchReport:
    """What became of a fetch: files that are there now, those that were there already, and each failure."""

    fetched: list[Path] = field(default_factory=list)
    there: list[Path] = field(default_factory=list)
    failures: list[tuple[str, HoldfastError]] = field(default_factory=list)


def fetch_artifacts(
    db: Database, artifacts: Sequence[ArtifactFacts], into: Path | None, progress: Progress | None = None
) -> FetchReport:
    """Bring artifacts back to where they were made, or below `into`. Raises CheckFailedError when there are none."""
    if not artifacts:
        raise CheckFailedError(
            "nothing to fetch: no artifact was recorded", reason_code=custody.REASON_CODES["nothing"]
        )
    progress = progress or Progress()
    report = FetchReport()
    wanted = list(_targets(db, artifacts, into))
    progress.phase("fetching", len(wanted), sum(size for _, _, size in wanted))
    with ExitStack() as stack:
        elsewhere = Elsewhere(db, stack)
        for target, digest, size in wanted:
            try:
                if _is_there(target, digest):
                    report.there.append(target)
                else:
                    _fetch(db, elsewhere, target, digest, size, progress)
                    report.fetched.append(target)
            except HoldfastError as error:
                report.failures.append((str(target), error))
    if into is None and not report.failures:
        _note_back(db, artifacts)
    return report


def _note_back(db: Database, artifacts: Sequence[ArtifactFacts]) -> None:
    """Write down that files which had been dropped where they were made are there again."""
    with db.write() as session:
        for artifact in artifacts:
            if artifact.dropped_at is not None and (row := session.get(Artifact, artifact.id)):
                row.dropped_at = None
                session.add(row)


def _targets(db: Database, artifacts: Sequence[ArtifactFacts], into: Path | None) -> Iterator[tuple[Path, str, int]]:
    """Yield where each file goes, its digest and its size."""
    for artifact in artifacts:
        place = db.root / artifact.path if into is None else into / Path(artifact.path).name
        if artifact.kind != "tree":
            yield place, artifact.digest, artifact.size_bytes
            continue
        for name, digest, size in artifact.blobs[:-1]:
            yield place / name, digest, size


def _is_there(target: Path, digest: str) -> bool:
    """Return whether the file is there and right. Raises RefusedError when something else is."""
    try:
        found, _ = digest_file(target)
    except NotFoundError:
        return False
    if found == digest:
        return True
    raise RefusedError(
        f"{target} is there, but it is not what was recorded",
        hint="move it away, or fetch into another folder with --into",
        reason_code=custody.REASON_CODES["refused"],
    )


def _fetch(db: Database, elsewhere: Elsewhere, target: Path, digest: str, size: int, progress: Progress) -> None:
    wrong: list[str] = []
    for name, source in elsewhere.candidates(digest, size):
        try:
            _write(source, target, progress)
            return
        except HoldfastError as error:
            wrong.append(f"{name}: {error.message}")
            elsewhere.look_closer(name, digest, progress.meter)
    why = f" ({'; '.join(wrong)})" if wrong else ""
    raise NotFoundError(
        f"no remote that can be reached gives {target.name} as it was recorded{why}",
        hint="registry where RUN shows its copies; registry remote test NAME tries a place",
        reason_code=custody.REASON_CODES["corrupt" if wrong else "missing"],
    )


def _write(source: Source, target: Path, progress: Progress) -> None:
    """Stream a source into its target. Raises CheckFailedError when its bytes are not the recorded ones."""
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.with_name(f".{target.name[:200]}.{uuid.uuid4().hex[:8]}")
    try:
        with source.open() as stream, open(temporary, "xb", buffering=0) as file:

            def sink(block: memoryview) -> None:
                progress.meter.advance(len(block))
                while block:
                    block = block[file.write(block) :]

            digest, _ = digest_blocks(stream.readinto, source.size_bytes, sink)
            os.fsync(file.fileno())
        if digest != source.digest:
            raise CheckFailedError("its bytes are not the recorded ones", reason_code=custody.REASON_CODES["corrupt"])
        _name(temporary, target)
        sync_folders([str(target.parent)])
    finally:
        with suppress(FileNotFoundError):
            temporary.unlink()


def _name(temporary: Path, target: Path) -> None:
    """Give a file its final name, never over another's; not every file system has links."""
    try:
        os.link(temporary, target)
    except FileExistsError:
        raise RefusedError(f"{target} came while it was fetched", hint="look at it, then fetch again") from None
    except OSError:
        temporary.rename(target)

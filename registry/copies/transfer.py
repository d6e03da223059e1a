"""Copying artifacts to a remote: put every blob, children before manifests, then read every one back.

What is there already is not believed but read; what reads wrong is set aside and put again. A put is recorded as a
put; only the reading makes it a verified copy.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import text

from registry import clock, custody
from registry.copies.record import ArtifactFacts, append_events, ensure_copies, load_copies, load_places, rows_in
from registry.copies.remotes import Connected, connect
from registry.copies.sources import artifact_sources, is_here, nothing_source, store_source
from registry.copies.verify import batches, check_copies
from registry.custody import Event
from registry.database import Database
from registry.errors import CheckFailedError, HoldfastError, NotFoundError, UnreachableError
from registry.hashing import freeze
from registry.remotes.base import Meter, Put, Source
from registry.tables import Copy

BATCH_FILES = 384  # each is an open file until its batch is on the disk, and 1,024 may be open
BATCH_BYTES = 64 << 20


@dataclass
class CopyReport:
    """What became of a copy: counts of blobs, and a line with its error for each that failed."""

    remote: str
    n_files: int = 0
    n_put: int = 0
    n_bytes_put: int = 0
    n_verified: int = 0
    failures: list[tuple[str, HoldfastError]] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """Whether every blob is there and was read back right."""
        return not self.failures and self.n_verified == self.n_files


@dataclass
class Progress:
    """What a transfer tells while it works; every callback may be called from any thread."""

    meter: Meter = field(default_factory=Meter)
    phase: Callable[[str, int, int], None] = lambda words, n_files, n_bytes: None
    done: Callable[[int], None] = lambda n_files: None


def copy_artifacts(
    db: Database,
    artifacts: Sequence[ArtifactFacts],
    remote_name: str,
    *,
    progress: Progress | None = None,
    jobs: int = 2,
    read_back: bool = False,
    mend: bool = False,
) -> CopyReport:
    """Put artifacts on a remote and read them back; with `mend`, a file that is not what it was is not asked for its
    bytes, another remote is. Raises CheckFailedError when there is nothing to copy,
    NotFoundError (no such remote), UnreachableError, NoSpaceError; what was done by then is recorded.
    """
    if not artifacts:
        raise CheckFailedError(
            "nothing to copy: no artifact was recorded",
            hint="record one: Run.log_artifact(path), or registry keep RUN PATH",
            reason_code=custody.REASON_CODES["nothing"],
        )
    with ExitStack() as stack:
        connected = stack.enter_context(connect(db, remote_name))
        transfer = Transfer(db, connected, progress or Progress(), jobs, read_back, mend)
        return transfer.run(artifacts, stack)


class Transfer:
    """One `copy`: the place, the copies it is about, and what became of them. `labels` names blobs in messages."""

    def __init__(
        self,
        db: Database,
        connected: Connected,
        progress: Progress,
        jobs: int = 2,
        read_back: bool = False,
        mend: bool = False,
    ) -> None:
        self._db = db
        self._connected = connected
        self._progress = progress
        self._jobs = jobs
        self._read_back = read_back
        self._mend = mend
        self._copies: dict[str, Copy] = {}
        self._irreplaceable: set[str] = set()
        self.labels: dict[str, str] = {}
        self.report = CopyReport(connected.place.name)

    def run(self, artifacts: Sequence[ArtifactFacts], stack: ExitStack) -> CopyReport:
        """Copy artifacts, and leave word at the place which blob is which file."""
        files, manifests = self._gather(artifacts, stack)
        children = {
            artifact.digest: [digest for _, digest, _ in artifact.blobs[:-1]]
            for artifact in artifacts
            if artifact.digest in manifests
        }
        self.send(files, manifests, children)
        self._note_copied(artifacts)
        self._write_index(artifacts)
        return self.report

    def _note_copied(self, artifacts: Sequence[ArtifactFacts]) -> None:
        """Write down which artifacts have a row for each of their blobs now."""
        whole = [a.id for a in artifacts if all(digest in self._copies for _, digest, _ in a.blobs)]
        with self._db.write() as session:
            statement = text("UPDATE artifact SET copied_at = :now WHERE id = :id AND copied_at IS NULL")
            for artifact_id in whole:
                session.connection().execute(statement, {"now": clock.now(), "id": artifact_id})

    def send(
        self, files: dict[str, Source], manifests: dict[str, Source], children: Mapping[str, Sequence[str]]
    ) -> None:
        """Survey what is there, put files, put the manifests whose children are all there, read back."""
        self.report.n_files = len({**files, **manifests}) + len(self.report.failures)
        self._make_rows([*files.values(), *manifests.values()])
        self._survey()
        arrived = self._put([source for digest, source in files.items() if digest in self._absent])
        here = self._right | arrived
        whole = [
            source
            for digest, source in manifests.items()
            if digest in self._absent and here.issuperset(children[digest])
        ]
        arrived |= self._put(whole)
        self._check([copy for digest, copy in self._copies.items() if digest in arrived], "reading back")
        self.report.n_verified = len(self._right)
        self._connected.store.write_sums()

    def _gather(
        self, artifacts: Sequence[ArtifactFacts], stack: ExitStack
    ) -> tuple[dict[str, Source], dict[str, Source]]:
        """Return the sources of all files and of all tree manifests, each once; what is nowhere is a failure."""
        files: dict[str, Source] = {}
        manifests: dict[str, Source] = {}
        elsewhere = Elsewhere(self._db, stack, but_not=self._connected.place.id)
        for artifact in artifacts:
            for name, digest, _ in artifact.blobs:
                self.labels[digest] = f"{artifact.path}/{name}" if artifact.kind == "tree" else artifact.path
            sources = artifact_sources(artifact, self._db.root)
            if not self._usable(artifact):
                sources = elsewhere.sources(artifact, self._progress.meter) or self._only_here(artifact)
                if not sources:
                    self.report.failures.append((artifact.label, _nowhere(artifact)))
                    continue
            for source in sources[:-1]:
                files[source.digest] = source
            (manifests if artifact.kind == "tree" else files)[sources[-1].digest] = sources[-1]
        return files, manifests

    def _only_here(self, artifact: ArtifactFacts) -> list[Source]:
        """Return sources that nothing can be read from, when the place itself is said to hold all of an artifact: it is
        read there, and what reads wrong stays where it is, for there is nothing to put in its place."""
        digests = [digest for _, digest, _ in artifact.blobs]
        with self._db.read() as session:
            held = load_copies(session, self._connected.place.id, digests)
            usable = [copy.digest for copy in held.values() if copy.put_at and copy.trouble not in UNUSABLE]
        if not usable or set(usable) != set(digests):
            return []
        self._irreplaceable.update(digests)
        return [nothing_source(digest, size, _nowhere(artifact)) for _, digest, size in artifact.blobs]

    def _usable(self, artifact: ArtifactFacts) -> bool:
        """Return whether an artifact's own file is to be copied."""
        if not artifact.is_at_origin or not is_here(artifact, self._db.root):
            return False
        return not self._mend or frozen_digest(self._db.root / artifact.path) == artifact.digest

    def _make_rows(self, sources: Sequence[Source]) -> None:
        with self._db.write() as session:
            blobs = [(source.digest, source.size_bytes) for source in sources]
            self._copies = ensure_copies(session, self._connected.place.id, blobs)
            session.flush()
            session.expunge_all()

    def _survey(self) -> None:
        """See what is there: `_right` reads right; `_absent` is not there, or was set aside for reading wrong."""
        self._right: set[str] = set()
        self._absent: set[str] = set(self._copies)
        found = self._connected.store.find_all([copy.path for copy in self._copies.values()])
        present = [copy for copy in self._copies.values() if copy.path in found]
        self._absent -= {copy.digest for copy in present}
        for copy, event in self._check(present, "reading what is there", tell=False):
            if event.result == "mismatch" and copy.digest in self._irreplaceable:
                self._fail(copy.digest, "mismatch", event.error)
                continue
            if event.result == "mismatch":
                quarantine(self._db, self._connected, copy)
            if event.result in ("mismatch", "missing"):
                self._absent.add(copy.digest)
            elif event.result != "match":
                self._fail(copy.digest, event.result, event.error)

    def _check(self, copies: Sequence[Copy], words: str, *, tell: bool = True) -> list[tuple[Copy, Event]]:
        """Read copies; the verified ones join `_right`, and with `tell` the others are failures."""
        if not copies:
            return []
        self._progress.phase(words, len(copies), sum(copy.size_bytes for copy in copies))
        checked = check_copies(
            self._db,
            self._connected,
            copies,
            self._progress.meter,
            read_back=self._read_back,
            done=self._progress.done,
        )
        for copy in copies:
            doubt = checked.doubt(copy)
            if not doubt:
                self._right.add(copy.digest)
            elif tell or checked.events[copy_id(copy)].result == "match":
                self._fail(copy.digest, doubt, checked.events[copy_id(copy)].error)
        return [(copy, checked.events[copy_id(copy)]) for copy in copies]

    def _fail(self, digest: str, doubt: str, error: str) -> None:
        words = f"{self._connected.place.name}: {self.labels[digest]}: {doubt}" + (f" ({error})" if error else "")
        code = {"mismatch": "corrupt", "missing": "missing"}.get(doubt, "unreachable")
        self.report.failures.append(
            (self.labels[digest], CheckFailedError(words, reason_code=custody.REASON_CODES[code]))
        )

    def _put(self, sources: Sequence[Source]) -> set[str]:
        """Put blobs in batches, several at a time, and return the digests that the place said it has."""
        if not sources:
            return set()
        self._progress.phase("copying", len(sources), sum(source.size_bytes for source in sources))
        arrived: set[str] = set()
        pool = ThreadPoolExecutor(max_workers=self._jobs)
        waiting = [
            pool.submit(self._connected.store.put, part, self._progress.meter)
            for part in batches(sources, BATCH_FILES, BATCH_BYTES)
        ]
        try:
            for future in as_completed(waiting):
                arrived |= self._record(future.result())
        except BaseException:
            self._progress.meter.stopped.set()
            pool.shutdown(wait=True, cancel_futures=True)
            for future in waiting:
                if future.done() and not future.cancelled() and future.exception() is None:
                    self._record([put for put in future.result() if put.digest not in arrived])
            raise
        pool.shutdown()
        return arrived

    def _record(self, puts: Sequence[Put]) -> set[str]:
        """Write down what became of puts; returns the digests that arrived."""
        kind = self._connected.store.kind
        for put in puts:
            if put.error is not None:
                self.report.failures.append((self.labels[put.digest], put.error))
        arrived = [put for put in puts if put.error is None]
        with self._db.write() as session:
            happened = [
                (copy_id(self._copies[put.digest]), Event("put", put.started_at, put.ended_at, "ok", method=kind))
                for put in arrived
            ]
            append_events(session, self._connected.place, happened)
        self.report.n_put += len(arrived)
        self.report.n_bytes_put += sum(self._copies[put.digest].size_bytes for put in arrived)
        self._progress.done(len(puts))
        return {put.digest for put in arrived}

    def _write_index(self, artifacts: Sequence[ArtifactFacts]) -> None:
        """Write, for each run, which blob is which file: a person can find them without this program."""
        store = self._connected.store
        lines: dict[str, list[str]] = {}
        for artifact in artifacts:
            for name, digest, _ in artifact.blobs:
                path = artifact.path if artifact.kind != "tree" else f"{artifact.path}/{name or '(manifest)'}"
                lines.setdefault(artifact.run_id, []).append(f"{digest}  {path}\n")
        for run_id, new in lines.items():
            key = f"index/{run_id}.txt"
            before = (store.read_small(key) or b"").decode(errors="replace").splitlines(keepends=True)
            store.write_small(key, "".join(dict.fromkeys([*before, *new])).encode())


class Elsewhere:
    """Sources of blobs on the remotes that hold them, connected on first use."""

    def __init__(self, db: Database, stack: ExitStack, *, but_not: str = "") -> None:
        self._db = db
        self._stack = stack
        self._but_not = but_not
        self._stores: dict[str, Connected | None] = {}

    def sources(self, artifact: ArtifactFacts, meter: Meter) -> list[Source]:
        """Return a source for every blob of an artifact, in its order, each read right just now; else nothing."""
        found = [self._verified(digest, size, meter) for _, digest, size in artifact.blobs]
        return [source for source in found if source] if all(found) else []

    def _verified(self, digest: str, size_bytes: int, meter: Meter) -> Source | None:
        for name, source in self.candidates(digest, size_bytes):
            if self.look_closer(name, digest, meter):
                return source
        return None

    def candidates(self, digest: str, size_bytes: int) -> Iterator[tuple[str, Source]]:
        """Yield every copy of a blob that can be reached and may be right, with its remote's name, the best first:
        untroubled before troubled, lately read before long ago."""
        with self._db.read() as session:
            places = load_places(session)
            rows = rows_in(session, "SELECT * FROM copy WHERE digest IN :ids", [digest])
        usable = [row for row in rows if row.remote_id in places and row.trouble not in UNUSABLE]
        for row in sorted(usable, key=lambda row: (row.trouble != "", -(row.verified_at or 0.0))):
            name = places[row.remote_id].name
            if row.remote_id != self._but_not and (connected := self._connect(name)):
                yield name, store_source(connected.store, name, digest, size_bytes)

    def look_closer(self, name: str, digest: str, meter: Meter) -> bool:
        """Read one copy whole, record what is found, and return whether it is right."""
        connected = self._connect(name)
        if connected is None:
            return False
        with self._db.read() as session:
            copies = list(load_copies(session, connected.place.id, [digest]).values())
            session.expunge_all()
        try:
            checked = check_copies(self._db, connected, copies, meter, read_back=True)
        except UnreachableError:
            return False
        return all(checked.events[copy_id(copy)].result == "match" for copy in copies)

    def _connect(self, name: str) -> Connected | None:
        if name not in self._stores:
            try:
                self._stores[name] = self._stack.enter_context(connect(self._db, name))
            except HoldfastError:
                self._stores[name] = None
        return self._stores[name]


UNUSABLE = ("deleted", "missing", "quarantined")


def copy_id(copy: Copy) -> int:
    """Return the id of a copy that is in the record."""
    assert copy.id is not None
    return copy.id


def frozen_digest(path: Path) -> str | None:
    """Return the digest of a file or folder as it is now, None when it cannot be had."""
    try:
        return freeze(path).digest
    except HoldfastError:
        return None


def _nowhere(artifact: ArtifactFacts) -> HoldfastError:
    return NotFoundError(
        f"{artifact.path} is not on this machine ({artifact.host or 'unknown host'} made it) and on no remote",
        hint="copy it from where it is, or run this command there",
        reason_code=custody.REASON_CODES["missing"],
    )


def quarantine(db: Database, connected: Connected, copy: Copy) -> str:
    """Move a blob that reads wrong to `quarantine/` and record it; returns its new key. Nothing is removed."""
    started_at = clock.now()
    key = f"quarantine/{copy.digest}"
    for number in range(1, 1000):
        try:
            connected.store.move(copy.path, f"{key}.{number}")
            break
        except FileExistsError:
            continue
    else:
        raise UnreachableError(f"{connected.place.name}: {key} was set aside a thousand times", reason_code=15)
    event = Event("quarantine", started_at, clock.now(), "ok", error=f"moved to {key}.{number}")
    with db.write() as session:
        append_events(session, connected.place, [(copy_id(copy), event)])
    return f"{key}.{number}"

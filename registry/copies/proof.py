"""Proving, now, that blobs are safe elsewhere, and keeping them so until something has been done about it.

One way for releases and drops: read copies back until every blob has as many as it needs, pin those, and right before
the deed look once more. A proof is what was read during this decision; nothing older counts.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from types import TracebackType

from registry import custody
from registry.copies.pins import remove_pin, write_pin
from registry.copies.record import ArtifactFacts, load_copies, load_places, origin_of
from registry.copies.remotes import Connected, connect
from registry.copies.transfer import Progress, copy_id
from registry.copies.verify import check_copies
from registry.custody import REASON_CODES, Blocker, Need, Origin, Place, Proof
from registry.database import Database
from registry.errors import HoldfastError, RefusedError
from registry.remotes.base import blob_key
from registry.tables import Copy

REFUSED = REASON_CODES["refused"]


class Prover:
    """Reads copies back for one decision. Use it as a context manager: it holds the connections until the deed."""

    def __init__(self, db: Database, progress: Progress | None = None) -> None:
        self._db = db
        self._progress = progress or Progress()
        self._stack = ExitStack()
        self._connected: dict[str, Connected] = {}
        self.places: dict[str, Place] = {}
        self.proofs: dict[str, list[Proof]] = {}

    def __enter__(self) -> "Prover":
        with self._db.read() as session:
            self.places = load_places(session)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def all_proofs(self) -> list[Proof]:
        """Return every copy that was proven."""
        return [proof for found in self.proofs.values() for proof in found]

    def needs_of(self, artifacts: Sequence[ArtifactFacts]) -> list[Need]:
        """Return the blobs of artifacts with the numbers of copies that the policy asks for."""
        needs = []
        for artifact in artifacts:
            rule = self._db.settings.policy.rule_for(artifact.experiment, artifact.role, deployed=artifact.deployed)
            for name, digest, _ in artifact.blobs:
                subject = artifact.path if artifact.kind != "tree" else f"{artifact.path}/{name or '(manifest)'}"
                num_copies = rule.num_copies or rule.min_copies
                needs.append(Need(artifact.run_id, subject, digest, rule.min_copies, num_copies))
        return needs

    def not_elsewhere(self, origins: Iterable[Origin]) -> dict[str, str]:
        """Return the places that fail together with any of these origins, or are dead, and why."""
        reasons = {place.id: "it was declared dead" for place in self.places.values() if place.trust == "dead"}
        for origin in origins:
            for place in self.places.values():
                if reason := custody.why_not_elsewhere(place, origin):
                    reasons.setdefault(place.id, reason)
        return reasons

    def origins_of(self, artifacts: Iterable[ArtifactFacts]) -> set[Origin]:
        """Return where artifacts were made."""
        return {origin_of(artifact, self._db.root, self._db.settings) for artifact in artifacts}

    def prove(self, needs: Sequence[Need], not_counting: Mapping[str, str], *, accept_single: bool) -> list[Blocker]:
        """Read copies back, place by place, until every need is met; returns a blocker for each that is not."""
        doubts: dict[str, list[str]] = {}
        useless: dict[str, list[str]] = {}
        for place in sorted(self.places.values(), key=lambda place: place.name):
            if place.id in not_counting:
                for copy in self._held(place, sorted({need.digest for need in needs})):
                    useless.setdefault(copy.digest, []).append(f"{place.name} does not count: {not_counting[place.id]}")
                continue
            lacking = {
                (blocker.run, blocker.subject)
                for blocker in custody.missing_proofs(needs, self.proofs, self.places, not_counting)
            }
            digests = sorted({need.digest for need in needs if (need.run, need.subject) in lacking})
            if digests:
                self._read(place, digests, doubts)
        digest_of = {(need.run, need.subject): need.digest for need in needs}
        blockers = []
        for blocker in custody.missing_proofs(
            needs, self.proofs, self.places, not_counting, accept_single=accept_single
        ):
            digest = digest_of[blocker.run, blocker.subject]
            why = doubts.get(digest, [])
            code = REASON_CODES["unreachable"] if why else blocker.code
            words = "; ".join([blocker.reason, *why, *useless.get(digest, [])])
            blockers.append(Blocker(blocker.run, blocker.subject, words, code))
        return blockers

    def _held(self, place: Place, digests: Sequence[str]) -> list[Copy]:
        """Return the copies of blobs that a place is said to hold."""
        with self._db.read() as session:
            found = load_copies(session, place.id, digests).values()
            session.expunge_all()
        return [
            copy
            for copy in found
            if copy.trouble != "deleted" and (copy.put_at is not None or copy.verified_at is not None)
        ]

    def _read(self, place: Place, digests: Sequence[str], doubts: dict[str, list[str]]) -> None:
        copies = self._held(place, digests)
        if not copies:
            return
        self._progress.phase(f"reading {place.name}:", len(copies), sum(copy.size_bytes for copy in copies))
        try:
            connected = self._stack.enter_context(connect(self._db, place.name))
            read_back = place.trust == "untrusted"
            checked = check_copies(self._db, connected, copies, self._progress.meter, read_back=read_back)
        except HoldfastError as error:
            for copy in copies:
                doubts.setdefault(copy.digest, []).append(error.message)
            return
        self._connected[place.id] = connected
        for copy in copies:
            doubt = checked.doubt(copy)
            if doubt:
                doubts.setdefault(copy.digest, []).append(f"{place.name}: {doubt}")
                continue
            standing = checked.standings[copy_id(copy)]
            assert standing.verified_at is not None
            proof = Proof(copy_id(copy), place.id, copy.digest, standing.verified_at, standing.token)
            self.proofs.setdefault(copy.digest, []).append(proof)

    # keeping what was proven

    def _proven_at(self) -> list[tuple[Connected, list[Proof]]]:
        by_place: dict[str, list[Proof]] = {}
        for proof in self.all_proofs():
            by_place.setdefault(proof.place_id, []).append(proof)
        return [(self._connected[place_id], proofs) for place_id, proofs in by_place.items()]

    def pin(self, permit_id: str, expires_at: float) -> None:
        """Leave word at every place of the proof that these copies must stay, for other registries to see."""
        for connected, proofs in self._proven_at():
            write_pin(connected.store, permit_id, expires_at, sorted({proof.digest for proof in proofs}))

    def unpin(self, permit_id: str) -> None:
        """Take the word back; a place that is silent now keeps it until it expires."""
        for connected, _ in self._proven_at():
            try:
                remove_pin(connected.store, permit_id)
            except HoldfastError:
                continue

    def look_again(self) -> None:
        """See that every place of the proof is still itself and every copy untouched. Raises RefusedError."""
        for connected, proofs in self._proven_at():
            name = connected.place.name
            try:
                identity = connected.store.marker_id()
                found = connected.store.find_all([blob_key(proof.digest) for proof in proofs])
            except HoldfastError as error:
                raise RefusedError(f"{name} went silent: {error.message}", reason_code=REFUSED) from error
            moved = [
                proof
                for proof in proofs
                if blob_key(proof.digest) not in found or found[blob_key(proof.digest)].token != proof.token
            ]
            if identity != connected.place.id or moved:
                what = f"{len(moved)} copies on {name} changed" if moved else f"{name} is another place"
                raise RefusedError(f"{what} since they were read", hint="try again", reason_code=REFUSED)

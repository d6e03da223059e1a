"""The read side of custody: which artifacts have how many copies that count. A few queries, however many there are."""

import socket
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sqlalchemy import text
from sqlmodel import Session

from registry import clock, custody
from registry.copies.record import (
    CURRENT,
    ArtifactFacts,
    filesystem_near,
    host_domain,
    load_artifacts,
    load_places,
    origin_of,
    rows_in,
    standing_of,
)
from registry.custody import Origin, Place, Verdict
from registry.settings import PolicyRule, Settings
from registry.tables import Artifact

_WORST_FIRST = ("corrupt", "foreign", "missing", "flaky", "unknown", "present", "stale", "verified")


@dataclass(frozen=True)
class CopyState:
    """One artifact on one remote; `counts` is whether it is verified and somewhere else than where it was made."""

    remote: str
    domain: str
    path: str
    state: str
    counts: bool
    reason: str
    verified_at: float | None
    method: str

    def as_json(self) -> dict[str, Any]:
        """Return the copy in the shape of the JSON contract."""
        return {
            "remote": self.remote,
            "domain": self.domain,
            "path": self.path,
            "state": self.state,
            "counts": self.counts,
            "reason": self.reason,
            "verified_at": clock.iso(self.verified_at),
            "method": self.method,
        }


@dataclass(frozen=True)
class ArtifactCustody:
    """How safe one artifact is: its copies, how many count, and how many its policy asks for.

    `verified_counting` is the number of independent places with a verified copy; a place that fails together with
    where the artifact was made counts only when the policy does not require another domain.
    """

    artifact: ArtifactFacts
    copies: list[CopyState]
    verified_counting: int
    min_copies: int
    num_copies: int
    required: bool

    @property
    def n_verified(self) -> int:
        """How many copies are verified, wherever they are."""
        return sum(copy.state == "verified" for copy in self.copies)

    @property
    def safe(self) -> bool:
        """Whether at least the hard minimum of verified copies counts."""
        return self.verified_counting >= self.min_copies


def artifact_custody(
    session: Session, artifact_ids: Sequence[int] | None, now: float, settings: Settings
) -> dict[int, ArtifactCustody]:
    """Return the custody of artifacts by their id (None: of every current one), in a constant number of queries."""
    artifacts = load_artifacts(session, ids=artifact_ids)
    return custody_of(session, artifacts, now, settings)


def custody_of(
    session: Session, artifacts: Sequence[ArtifactFacts], now: float, settings: Settings
) -> dict[int, ArtifactCustody]:
    """Return the custody of loaded artifacts by their id."""
    places = load_places(session)
    urls = {row.id: row.url for row in session.connection().execute(text("SELECT id, url FROM remote"))}
    digests = sorted({digest for artifact in artifacts for _, digest, _ in artifact.blobs})
    held: dict[str, dict[str, Any]] = {}
    for row in rows_in(session, "SELECT * FROM copy WHERE digest IN :ids AND trouble <> 'deleted'", digests):
        if row.remote_id in places:
            held.setdefault(row.digest, {})[row.remote_id] = row
    judge = _Judge(places, urls, now, settings)
    root = session.info["root"]
    return {artifact.id: judge.artifact(artifact, held, root) for artifact in artifacts}


class _Judge:
    """Applies the pure rule to artifacts, remembering what does not depend on the artifact."""

    def __init__(self, places: dict[str, Place], urls: dict[str, str], now: float, settings: Settings) -> None:
        self.places = places
        self.now = now
        self.settings = settings
        self._urls = urls
        self._ttl_s = {place.id: settings.policy.freshness.ttl_s(place.klass) for place in places.values()}
        self._groups = custody.domain_groups(list(places.values()))
        self._elsewhere: dict[Origin, dict[str, str]] = {}
        self._rules: dict[tuple[str, str, bool], PolicyRule] = {}

    def artifact(self, artifact: ArtifactFacts, held: dict[str, dict[str, Any]], root: Path) -> ArtifactCustody:
        """Judge one artifact by the copies of its blobs."""
        kind = (artifact.experiment, artifact.role, artifact.deployed)
        if kind not in self._rules:
            policy = self.settings.policy
            self._rules[kind] = policy.rule_for(artifact.experiment, artifact.role, deployed=artifact.deployed)
        rule = self._rules[kind]
        not_elsewhere = self._not_elsewhere(origin_of(artifact, root, self.settings))
        remote_ids = {remote_id for _, digest, _ in artifact.blobs for remote_id in held.get(digest, ())}
        copies: list[CopyState] = []
        counting: dict[int, str] = {}
        for place in sorted((self.places[i] for i in remote_ids), key=lambda place: (place.added_at, place.name)):
            verdict, row = self._on_place(artifact, place, held)
            group = self._groups[place.id]
            reason = not_elsewhere[place.id] or (f"fails together with {counting[group]}" if group in counting else "")
            verified = verdict.state == "verified"
            if verified and not reason:
                counting[group] = place.name
            copies.append(self._copy(place, verdict, row, counts=verified and not reason, reason=reason))
        n_counting = len(counting) if rule.require_other_domain else self._n_independent(copies)
        return ArtifactCustody(
            artifact,
            copies,
            n_counting,
            rule.min_copies,
            rule.num_copies or rule.min_copies,
            artifact.role in self.settings.policy.roles,
        )

    def _not_elsewhere(self, origin: Origin) -> dict[str, str]:
        if origin not in self._elsewhere:
            self._elsewhere[origin] = {
                place.id: custody.why_not_elsewhere(place, origin) for place in self.places.values()
            }
        return self._elsewhere[origin]

    def _on_place(self, artifact: ArtifactFacts, place: Place, held: dict[str, dict[str, Any]]) -> tuple[Verdict, Any]:
        """Return the worst verdict on an artifact's blobs at a place, and the copy row it came from."""
        rows = [held.get(digest, {}).get(place.id) for _, digest, _ in artifact.blobs]
        there = [row for row in rows if row is not None]
        if len(there) < len(rows):
            n_missing = len(rows) - len(there)
            return Verdict("missing", f"{n_missing} of its {len(rows)} files were never copied there"), there[-1]
        judged = [(custody.status(standing_of(row), place, self.now, self._ttl_s[place.id]), row) for row in there]
        return min(judged, key=lambda pair: (_WORST_FIRST.index(pair[0].state), pair[1].verified_at or 0.0))

    def _copy(self, place: Place, verdict: Verdict, row: Any, *, counts: bool, reason: str) -> CopyState:
        return CopyState(
            remote=place.name,
            domain=place.domain,
            path=f"{self._urls[place.id].rstrip('/')}/{row.path}",
            state=verdict.state,
            counts=counts,
            reason="; ".join(words for words in (verdict.reason, reason) if words),
            verified_at=row.verified_at,
            method=row.method,
        )

    def _n_independent(self, copies: list[CopyState]) -> int:
        by_name = {place.name: place for place in self.places.values()}
        return len({self._groups[by_name[copy.remote].id] for copy in copies if copy.state == "verified"})


# --- counting in SQL, for lists and alerts

_LACKING = """
WITH wanted AS NOT MATERIALIZED (
  SELECT a.id, a.run_id, a.role, a.kind, a.digest, a.copied_at, r.experiment_id
  FROM artifact a JOIN run r ON r.id = a.run_id WHERE {current} AND NOT ({special}) {runs}
),
held AS (
  SELECT c.digest, {elsewhere} AS n, {anywhere} AS n_any FROM copy c {only} GROUP BY c.digest
),
few AS MATERIALIZED (SELECT digest, n, n_any FROM held WHERE n < :most),
lacking AS (
  SELECT id, min(n) AS n, min(n_any) AS n_any FROM (
    SELECT w.id, few.n, few.n_any FROM few CROSS JOIN wanted w WHERE w.digest = few.digest
    UNION ALL SELECT w.id, few.n, few.n_any FROM few CROSS JOIN artifact_blob b CROSS JOIN wanted w
      WHERE b.digest = few.digest AND w.id = b.artifact_id AND w.kind = 'tree'
    UNION ALL SELECT w.id, 0, 0 FROM wanted w WHERE w.copied_at IS NULL
      AND NOT EXISTS (SELECT 1 FROM copy c WHERE c.digest = w.digest)
    UNION ALL SELECT w.id, 0, 0 FROM wanted w JOIN artifact_blob b ON b.artifact_id = w.id
      WHERE w.copied_at IS NULL AND w.kind = 'tree'
      AND NOT EXISTS (SELECT 1 FROM copy c WHERE c.digest = b.digest)
  ) AS each_blob GROUP BY id
)
"""
_ONLY = (
    "WHERE c.digest IN (SELECT digest FROM wanted UNION SELECT b.digest FROM wanted w JOIN artifact_blob b"
    " ON b.artifact_id = w.id WHERE w.kind = 'tree')"
)
_ABSOLUTE = "a.path LIKE '/%'"
_ELSEWHERE = "r.host <> '{}' AND substr(r.host, 1, :n_here) <> :here"


@dataclass(frozen=True)
class Tally:
    """How many artifacts of one kind (`key` tells them apart) have fewer copies than somebody may ask for: they have
    `n_counting` that count for their rule, and `n_elsewhere` that would outlive where they were made."""

    key: str
    role: str
    rule: PolicyRule
    n_counting: int
    n_elsewhere: int
    n_artifacts: int

    @property
    def unsafe(self) -> bool:
        """Whether they have fewer than the hard minimum."""
        return self.n_counting < self.rule.min_copies

    @property
    def few(self) -> bool:
        """Whether they have the minimum, but fewer than is wished."""
        return not self.unsafe and self.n_counting < (self.rule.num_copies or 0)


def _here(values: dict[str, Any]) -> dict[str, Any]:
    """Add how the host of a run that ran here begins, as its JSON is written."""
    here = f'{{"name": "{socket.gethostname()}"'
    return {**values, "here": here, "n_here": len(here)}


def _good_copies(session: Session, now: float, settings: Settings) -> tuple[str, str, dict[str, Any]]:
    """Return SQL that counts, for the copies of one blob, the independent places that hold it verified: those that
    count for what was made below the registry's folder, and all of them; and the values both need."""
    places = [place for place in load_places(session).values() if place.trust != "dead"]
    root: Path = session.info["root"]
    here = socket.gethostname()
    origins = [
        Origin(here, filesystem, host_domain(here, settings))
        for filesystem in {filesystem_near(root), filesystem_near(root / "runs")}
    ]
    values: dict[str, Any] = {"now": now}
    groups: dict[int, list[str]] = {}
    counting: set[int] = set()
    numbers = custody.domain_groups(places)
    for i, place in enumerate(places):
        groups.setdefault(numbers[place.id], []).append(_is_good(i, place))
        if not any(custody.why_not_elsewhere(place, origin) for origin in origins):
            counting.add(i)
        values |= {
            f"remote{i}": place.id,
            f"floor{i}": now - settings.policy.freshness.ttl_s(place.klass),
            f"added{i}": place.added_at,
            f"foreign{i}": (place.probed_at or 0.0) if place.probe == "foreign" else -1.0,
        }
    elsewhere = _count_groups(
        [[_is_good(i, place) for i, place in enumerate(places) if i in counting and numbers[place.id] == number]
         for number in groups]
    )  # fmt: skip
    together = any(not rule.require_other_domain for rule in settings.policy.filled_rules())
    return elsewhere, _count_groups(list(groups.values())) if together else elsewhere, values


def _is_good(number: int, place: Place) -> str:
    """Return the condition under which a copy at a place is verified: `custody.status`, said in SQL."""
    least_level = custody.READ_BACK if place.trust == "untrusted" else custody.REMOTE_READ
    return (
        f"(c.remote_id = :remote{number} AND c.trouble = '' AND c.verified_at BETWEEN :floor{number} AND :now"
        f" AND c.verified_at > :foreign{number} AND c.verified_from >= :added{number}"
        f" AND c.verified_level >= {least_level})"
    )


def _count_groups(groups: list[list[str]]) -> str:
    """Return SQL that counts in how many groups any condition holds."""
    parts = [f"max(CASE WHEN {' OR '.join(conditions)} THEN 1 ELSE 0 END)" for conditions in groups if conditions]
    return " + ".join(parts) or "min(0)"


def _lacking(
    session: Session, now: float, settings: Settings, run_ids: Sequence[str] | None
) -> tuple[str, dict[str, Any]]:
    """Return the WITH clause of ordinary artifacts that lack copies, and its values."""
    elsewhere, anywhere, values = _good_copies(session, now, settings)
    most = max(rule.num_copies or rule.min_copies for rule in settings.policy.filled_rules())
    sql = _LACKING.format(
        current=CURRENT,
        special=f"{_ABSOLUTE} OR ({_ELSEWHERE})",
        elsewhere=elsewhere,
        anywhere=anywhere,
        runs="" if run_ids is None else "AND a.run_id IN :ids",
        only="" if run_ids is None else _ONLY,
    )
    return sql, _here({**values, "most": most})


def _special_ids(session: Session, run_ids: Sequence[str] | None) -> list[int]:
    """Return the artifacts that were made elsewhere than below the registry's folder on this machine."""
    found: set[int] = set()
    for source, special in (
        ("artifact a JOIN run r ON r.id = a.run_id", _ABSOLUTE),
        ("run r CROSS JOIN artifact a", f"a.run_id = r.id AND {_ELSEWHERE}"),
    ):
        sql = f"SELECT a.id FROM {source} WHERE {CURRENT} AND {special}"
        if run_ids is None:
            found |= {row.id for row in session.connection().execute(text(sql), _here({}))}
        else:
            found |= {row.id for row in rows_in(session, f"{sql} AND a.run_id IN :ids", run_ids, **_here({}))}
    return sorted(found)


def tally(
    session: Session, now: float, settings: Settings, *, by: str = "role", run_ids: Sequence[str] | None = None
) -> list[Tally]:
    """Return how many artifacts lack copies, and how many copies they have, `by` role or by run, with their rule."""
    sql, values = _lacking(session, now, settings, run_ids)
    key = "w.run_id" if by == "run" else "w.role"
    sql += (
        f"SELECT {key} AS grouped, w.role, e.name AS experiment, l.n, l.n_any, count(*) AS n_artifacts,"
        " CASE WHEN EXISTS (SELECT 1 FROM deployment d WHERE d.artifact_id = w.id AND d.until IS NULL)"
        " THEN 1 ELSE 0 END AS deployed"
        " FROM lacking l JOIN wanted w ON w.id = l.id JOIN experiment e ON e.id = w.experiment_id"
        " GROUP BY 1, 2, 3, 4, 5, 7"
    )
    if run_ids is None:
        rows = list(session.connection().execute(text(sql), values))
    else:
        rows = rows_in(session, sql, run_ids, **values)
    tallies = []
    for row in rows:
        rule = settings.policy.rule_for(row.experiment, row.role, deployed=bool(row.deployed))
        n_counting = row.n if rule.require_other_domain else row.n_any
        tallies.append(Tally(row.grouped, row.role, rule, n_counting, row.n, row.n_artifacts))
    for found in artifact_custody(session, _special_ids(session, run_ids), now, settings).values():
        artifact = found.artifact
        rule = settings.policy.rule_for(artifact.experiment, artifact.role, deployed=artifact.deployed)
        grouped = artifact.run_id if by == "run" else artifact.role
        n_elsewhere = sum(copy.counts for copy in found.copies)
        tallies.append(Tally(grouped, artifact.role, rule, found.verified_counting, n_elsewhere, 1))
    return tallies


def unsafe_ids(session: Session, now: float, settings: Settings, limit: int) -> list[int]:
    """Return up to `limit` artifacts that may have fewer copies than the hard minimum, those made elsewhere first."""
    special = artifact_custody(session, _special_ids(session, None), now, settings).values()
    found = [custody.artifact.id for custody in special if not custody.safe]
    sql, values = _lacking(session, now, settings, None)
    least = max(rule.min_copies for rule in settings.policy.filled_rules())
    sql += "SELECT id FROM lacking WHERE n < :least ORDER BY id LIMIT :limit"
    found += [row.id for row in session.connection().execute(text(sql), {**values, "least": least, "limit": limit})]
    return found[:limit]


def unverified_counts(
    session: Session, run_ids: Sequence[str], now: float, settings: Settings
) -> dict[str, tuple[int, int]]:
    """Return for each run how many artifacts it has, and how many that matter lack the minimum of verified copies."""
    sql = (
        "SELECT a.run_id, count(*) AS n FROM artifact a JOIN run r ON r.id = a.run_id"
        f" WHERE {CURRENT} AND a.run_id IN :ids GROUP BY a.run_id"
    )
    totals = {row.run_id: int(row.n) for row in rows_in(session, sql, list(run_ids))}
    unsafe = dict.fromkeys(totals, 0)
    for part in tally(session, now, settings, by="run", run_ids=list(totals)):
        if part.unsafe and part.role in settings.policy.roles:
            unsafe[part.key] += part.n_artifacts
    return {run_id: (n_total, unsafe[run_id]) for run_id, n_total in totals.items()}


def where_run(session: Session, run_id: str, now: float, settings: Settings) -> list[ArtifactCustody]:
    """Return the custody of a run's current artifacts, in the order they were recorded."""
    artifacts = load_artifacts(session, run_ids=[run_id])
    found = custody_of(session, artifacts, now, settings)
    return [found[artifact.id] for artifact in artifacts]


def local_copy_paths(session: Session, artifact: Artifact) -> list[Path]:
    """Return the files that copies of an artifact (of its manifest, for a tree) are on folders of this machine."""
    query = text(
        "SELECT r.url, c.path FROM copy c JOIN remote r ON r.id = c.remote_id WHERE c.digest = :digest"
        " AND r.kind = 'folder' AND r.removed_at IS NULL AND c.trouble = '' ORDER BY c.verified_at DESC"
    )
    rows = session.connection().execute(query, {"digest": artifact.digest})
    return [path for row in rows if (path := Path(row.url, row.path)).is_file()]

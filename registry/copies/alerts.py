"""What a person should know about copies now: derived from the record at each look, with what to type to end it."""

from collections.abc import Iterator

from sqlalchemy import text
from sqlmodel import Session

from registry import clock
from registry.alert import Alert
from registry.copies.overview import ArtifactCustody, Tally, artifact_custody, tally, unsafe_ids
from registry.copies.record import load_places
from registry.custody import Place
from registry.settings import Settings

MOST_ARTIFACTS = 500


def custody_alerts(session: Session, now: float, settings: Settings) -> list[Alert]:
    """Return every warning about copies, remotes and releases."""
    places = load_places(session)
    return [
        *_about_places(places),
        *_about_artifacts(session, now, settings),
        *_about_copies(session, now, settings, places),
        *_about_releases(session),
    ]


def _about_places(places: dict[str, Place]) -> Iterator[Alert]:
    for place in places.values():
        if place.probe == "foreign":
            yield Alert(
                "critical", "remote-foreign", place.name,
                f"remote {place.name} is not the place it was: {place.probe_error}", place.probed_at,
                f"mount the right drive, then: registry remote test {place.name}",
            )  # fmt: skip
        elif place.probe == "unreachable":
            yield Alert(
                "warning", "remote-unreachable", place.name,
                f"remote {place.name} could not be reached: {place.probe_error}", place.probed_at,
                f"registry remote test {place.name}",
            )  # fmt: skip
        if place.trust == "dead":
            yield Alert(
                "warning", "remote-dead", place.name, f"remote {place.name} was declared dead: nothing there counts",
                None, f"registry remote rm {place.name}",
            )  # fmt: skip


def _about_artifacts(session: Session, now: float, settings: Settings) -> Iterator[Alert]:
    matter = [part for part in tally(session, now, settings) if part.role in settings.policy.roles]
    n_unsafe = sum(part.n_artifacts for part in matter if part.unsafe)
    if n_unsafe:
        ids = unsafe_ids(session, now, settings, MOST_ARTIFACTS)
        found = artifact_custody(session, ids, now, settings)
        for custody in found.values():
            if custody.required and not custody.safe:
                yield _about_artifact(custody)
        if n_unsafe > MOST_ARTIFACTS:
            yield Alert(
                "critical", "artifact-no-verified-copy", "more",
                f"{n_unsafe - MOST_ARTIFACTS:,} more artifacts have no verified copy that counts", None,
                "registry copy --all --to REMOTE",
            )  # fmt: skip
    yield from _together_by_policy(matter, settings)
    n_few = sum(part.n_artifacts for part in matter if part.few)
    if n_few:
        yield Alert(
            "warning", "artifact-too-few-copies", "policy",
            f"{n_few:,} artifacts have fewer verified copies in independent places than the policy's num_copies",
            None, "registry copy --all --to ANOTHER_REMOTE, or set num_copies in registry.toml",
        )  # fmt: skip


def _about_artifact(custody: ArtifactCustody) -> Alert:
    artifact = custody.artifact
    subject = f"{artifact.run_id} {artifact.path}"
    label = f"{artifact.role} {artifact.path} of run {artifact.run_name} ({artifact.run_id})"
    if any(copy.counts for copy in custody.copies):
        return Alert(
            "critical", "artifact-too-few-copies", subject,
            f"{label} has {custody.verified_counting} of the {custody.min_copies} verified copies it must have",
            artifact.recorded_at, f"registry copy {artifact.run_id} --to ANOTHER_REMOTE",
        )  # fmt: skip
    if custody.n_verified:
        reasons = "; ".join(f"{copy.remote}: {copy.reason}" for copy in custody.copies if copy.state == "verified")
        return Alert(
            "critical", "copies-same-failure-domain", subject,
            f"{label} has verified copies, but none that counts ({reasons})", artifact.recorded_at,
            f"copy it to another disk or machine: registry copy {artifact.run_id} --to REMOTE",
        )  # fmt: skip
    states = "; ".join(f"{copy.remote}: {copy.state}" for copy in custody.copies) or "no copy at all"
    verb = f"registry verify {artifact.run_id}" if custody.copies else f"registry copy {artifact.run_id} --to REMOTE"
    return Alert(
        "critical", "artifact-no-verified-copy", subject, f"{label} has no verified copy ({states})",
        artifact.recorded_at, verb,
    )  # fmt: skip


def _together_by_policy(matter: list[Tally], settings: Settings) -> Iterator[Alert]:
    """Keep saying where the policy is content with copies that fail together with what they are copies of."""
    n_together = sum(
        part.n_artifacts
        for part in matter
        if not part.unsafe and not part.rule.require_other_domain and not part.n_elsewhere
    )
    if n_together:
        why = f" ({settings.policy.why})" if settings.policy.why else ""
        yield Alert(
            "warning", "copies-same-failure-domain", "policy",
            f"{n_together:,} artifacts have verified copies only where they would be lost together;"
            f" registry.toml allows it{why}",
            None, "copy them to another disk or machine: registry copy --all --to REMOTE",
        )  # fmt: skip


_TROUBLES = {
    "corrupt": ("critical", "copy-corrupt", "hold other bytes than were recorded", "registry repair {run}"),
    "quarantined": ("critical", "copy-corrupt", "were set aside in quarantine/", "registry repair {run}"),
    "missing": ("critical", "copy-missing", "are not there any more", "registry repair {run}"),
    "flaky": ("warning", "copy-flaky", "read differently from one time to the next", "registry verify {run}"),
    "unreadable": ("warning", "copy-unreadable", "cannot be read", "registry verify {run}"),
    "changed": ("warning", "copy-stale", "were changed since they were read", "registry verify {run}"),
    "deleting": ("warning", "copy-unknown", "were being dropped when it was interrupted", "registry verify {run}"),
}
_TROUBLED = """
SELECT c.remote_id, c.trouble, coalesce(a.run_id, t.run_id) AS run_id, count(DISTINCT c.id) AS n,
  min(c.trouble_at) AS since
FROM copy c
LEFT JOIN artifact a ON a.digest = c.digest AND a.superseded_at IS NULL AND a.discarded_reason IS NULL
LEFT JOIN artifact_blob b ON b.digest = c.digest AND a.id IS NULL
LEFT JOIN artifact t ON t.id = b.artifact_id
WHERE c.trouble NOT IN ('', 'deleted') GROUP BY 1, 2, 3
"""


def _about_copies(session: Session, now: float, settings: Settings, places: dict[str, Place]) -> Iterator[Alert]:
    for row in session.connection().execute(text(_TROUBLED)):
        if row.remote_id in places:
            severity, code, words, hint = _TROUBLES[row.trouble]
            place, run = places[row.remote_id], row.run_id or "--all"
            whose = f" of run {row.run_id}" if row.run_id else ""
            yield Alert(
                severity, code, f"{place.name} {run}", f"{row.n} files{whose} on {place.name} {words}",
                row.since, hint.format(run=run),
            )  # fmt: skip
    for place in places.values():
        yield from _about_age(session, now, settings, place)


def _about_age(session: Session, now: float, settings: Settings, place: Place) -> Iterator[Alert]:
    values = {
        "id": place.id,
        "now": now,
        "floor": max(now - settings.policy.freshness.ttl_s(place.klass), place.added_at),
    }
    count = "SELECT count(*) AS n, min(verified_at) AS first FROM copy WHERE remote_id = :id AND trouble = '' AND "
    stale = session.connection().execute(text(f"{count} verified_at < :floor"), values).one()
    if stale.n:
        yield Alert(
            "warning", "copy-stale", place.name,
            f"{stale.n:,} copies on {place.name} were last read {clock.age(now - stale.first)} ago or less recently"
            f" than {getattr(settings.policy.freshness, place.klass)}",
            stale.first, "registry verify --stale",
        )  # fmt: skip
    unread = session.connection().execute(text(f"{count} verified_at IS NULL"), values).one()
    if unread.n:
        yield Alert(
            "warning", "copy-unverified", place.name, f"{unread.n:,} copies on {place.name} were never read back",
            None, f"registry verify --all --remote {place.name}",
        )  # fmt: skip
    future = session.connection().execute(text(f"{count} verified_at > :now"), values).one()
    if future.n:
        yield Alert(
            "warning", "clock-suspect", place.name,
            f"{future.n:,} copies on {place.name} were verified in the future: a clock is or was wrong",
            None, f"set the clock, then: registry verify --all --remote {place.name}",
        )  # fmt: skip


def _about_releases(session: Session) -> Iterator[Alert]:
    unknown = text(
        "SELECT id, subject, used_at FROM permit WHERE used_at IS NOT NULL AND coalesce(outcome, 'unknown') = 'unknown'"
    )
    for row in session.connection().execute(unknown):
        yield Alert(
            "warning", "release-unknown", row.subject,
            f"the release of {row.subject} was begun, and nobody knows how it ended", row.used_at,
            f"look at the provider, then: registry guard --settle {row.id} --outcome released|failed",
        )  # fmt: skip

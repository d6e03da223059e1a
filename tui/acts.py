"""What the dashboard asks the registry to do, each in a worker thread: a function a deed, what came of it in words."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from tui.jobs import Reporter
from tui.text import count, size

if TYPE_CHECKING:
    from registry.promotion import Proposal
    from tui.snapshots import Store


def copy(store: "Store", run_ids: Sequence[str] | None, remote: str, reporter: Reporter) -> tuple[str, ...]:
    """Copy the artifacts of runs (None: all) to a remote and read every byte back."""
    from registry.copies.record import load_artifacts
    from registry.copies.transfer import copy_artifacts

    with store.for_change().read() as session:
        artifacts = load_artifacts(session, run_ids=None if run_ids is None else list(run_ids))
    report = copy_artifacts(store.for_change(), artifacts, remote, progress=reporter.progress())
    sent = f"{size(report.n_bytes_put)} sent" if report.n_put else "nothing had to be sent"
    failures = (f"{label}: {error}" for label, error in report.failures)
    return f"{report.n_verified} of {report.n_files} files verified on {report.remote}, {sent}", *failures


def verify(store: "Store", run_ids: Sequence[str] | None, remote: str | None, reporter: Reporter) -> tuple[str, ...]:
    """Read copies back, the least recently read first."""
    from registry.copies.scrub import Wanted, scrub

    wanted = Wanted(None if run_ids is None else list(run_ids), remote)
    report = scrub(store.for_change(), wanted, reporter.progress())
    return report.words(), *report.lines()


def look_at(store: "Store", remote: str, reporter: Reporter) -> tuple[str, ...]:
    """Reach a remote, see that it is the place it was, and how much room there is."""
    from registry.copies.remotes import connect

    with connect(store.for_change(), remote) as connected:
        free = connected.store.facts().free_bytes
    store.free_bytes[remote] = free
    room = f", {size(free)} free" if free is not None else ""
    return (f"{remote} answers and is the place it was{room}",)


def may_release(store: "Store", reporter: Reporter) -> tuple[str, ...]:
    """Ask the guard whether this machine may be released, with every reason against it."""
    from registry.guard.release import Release, Wish
    from registry.guard.sweep import ThisMachine

    with Release(store.for_change(), ThisMachine(store.for_change()), Wish(None), reporter.progress()) as release:
        judgement = release.judge()
    about = f"{count(len(judgement.runs), 'run')}, {count(judgement.n_files, 'file')} swept"
    if judgement.ok:
        return (f"yes: nothing would be lost with {judgement.machine} ({about})",)
    reasons = (f"{blocker.subject}: {blocker.reason}" for blocker in judgement.blockers)
    return f"no: {count(len(judgement.blockers), 'reason')} against releasing {judgement.machine} ({about})", *reasons


def propose(store: "Store", run_id: str, target: str) -> "Proposal":
    """Judge a promotion, reading the artifact's bytes again."""
    from registry.promotion import propose as judge

    return judge(store.db, run_id, target)


def promote(store: "Store", run_id: str, target: str, overrides: Sequence[str], reason: str) -> tuple[str, ...]:
    """Deploy a run, and return what changed. Raises RefusedError with every reason."""
    from registry import promotion

    with store.for_change().read() as session:
        before = promotion.live_deployment(session, target)
        served = before.run_id if before else None
    done = promotion.promote(store.for_change(), run_id, target, overrides=overrides, reason=reason)
    lines = [f"{target} serves {done.run_name} ({done.run_id})", f"artifact {done.role}, sha256 {done.digest}"]
    lines.append(f"it served {served} before" if served else "it served nothing before")
    if overrides:
        lines.append(f"overridden: {', '.join(overrides)}, because {reason}; shown for as long as it is in force")
    return tuple(lines)


def roll_back(store: "Store", target: str, reason: str) -> tuple[str, ...]:
    """Put back what a target served before. Raises NotFoundError, RefusedError."""
    from registry.promotion import rollback

    done = rollback(store.for_change(), target, reason=reason)
    return f"{target} serves {done.run_name} ({done.run_id}) again", f"artifact {done.role}, sha256 {done.digest}"


def acknowledge(store: "Store", code: str, subjects: Sequence[str], reason: str) -> str:
    """Record that a person has seen alerts of one code, and return that in words."""
    from registry.alerts import acknowledge_all

    acknowledge_all(store.for_change(), code, subjects, reason)
    return f"acknowledged {code} of {subjects[0]}" if len(subjects) == 1 else f"acknowledged {len(subjects)} {code}"


def invalidate(store: "Store", reference: str, reason: str) -> str:
    """Declare a data set version invalid, and return that in words."""
    from registry.datasets import decide

    decide(store.for_change(), reference, "invalid", reason)
    return f"{reference} is invalid: {reason}"

"""What happened since a time: what ran, what passed, what was decided and deployed, what is at risk, what it cost."""

import json
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

from sqlalchemy import text
from sqlmodel import Session

from registry import clock, comparison
from registry.alert import Alert
from registry.errors import UsageError
from registry.queries import RunFilter, RunSummary, list_runs
from registry.reports import page
from registry.settings import Settings


def since(words: str) -> float:
    """Return the time (unix seconds) that `24h`, `7d`, `today` or an ISO date or time names. Raises UsageError."""
    if words == "today":
        return datetime.fromtimestamp(clock.now(), UTC).replace(hour=0, minute=0, second=0, microsecond=0).timestamp()
    try:
        return clock.now() - clock.parse_duration(words)
    except ValueError:
        pass
    try:
        moment = datetime.fromisoformat(words)
    except ValueError:
        raise UsageError(f"--since {words!r}", hint="write 24h, 7d, today, 2026-11-20 or 2026-11-20T09:00") from None
    return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()


def session_report(session: Session, settings: Settings, begin: float, alerts: Iterable[Alert]) -> str:
    """Return the report of everything since `begin` (unix seconds)."""
    ids = _rows(
        session,
        "SELECT id FROM run WHERE deleted_at IS NULL AND (started_at >= :t OR ended_at >= :t OR status = 'running')",
        t=begin,
    )
    runs = list_runs(session, settings, RunFilter(ids=tuple(row.id for row in ids))).rows
    lines = page.head(session, f"Since {page.when(begin)}", runs)
    lines += [f"{page.counted(len(runs), 'run')}; cost: {page.total_cost(runs)}.", ""]
    lines += page.section("What ran", page.table(_RUN_HEADS, map(_run_row, runs)))
    lines += page.section("What passed its gates", _passed(runs))
    lines += page.section("What was deployed", page.table(_DEPLOYED_HEADS, _deployed(session, begin)))
    lines += page.section(
        "What was decided", page.table(["when", "who", "what", "about", "why"], _decided(session, begin))
    )
    lines += page.section(
        "What is at risk", page.table(["severity", "code", "what", "to end it"], map(_alert_row, alerts))
    )
    return "\n".join(lines)


_RUN_HEADS = ["run", "experiment", "status", "started", "primary metric", "gates", "cost", "invalid"]
_DEPLOYED_HEADS = ["when", "target", "run", "by", "reason", "overrides"]


def _rows(session: Session, sql: str, **values: Any) -> list[Any]:
    return list(session.connection().execute(text(sql), values))


def _run_row(run: RunSummary) -> list[object]:
    primary = run.primary()
    return [
        f"{page.plain(run.name)} ({run.id})",
        page.plain(run.experiment),
        run.status,
        page.when(run.started_at),
        f"{page.plain(primary.name)} {page.value(primary)}" if primary else "",
        comparison.gates_text(run),
        page.money(run.cost),
        page.plain(run.invalid or ""),
    ]


def _passed(runs: Iterable[RunSummary]) -> list[str]:
    judged = [run for run in runs if run.gates]
    passed = [run for run in judged if run.gates.get("pass") == sum(run.gates.values())]
    lines = [f"- {page.plain(run.name)} ({run.id}): all {page.counted(run.gates['pass'], 'gate')}" for run in passed]
    rest = len(judged) - len(passed)
    return [*lines, f"- {page.counted(rest, 'run')} did not pass every gate"] if rest else lines


def _deployed(session: Session, begin: float) -> list[list[object]]:
    rows = _rows(
        session,
        'SELECT d.since, d.target, d.run_id, r.name, d."by", d.reason, d.overrides, d.action FROM deployment d'
        " JOIN run r ON r.id = d.run_id WHERE d.since >= :t ORDER BY d.since, d.id",
        t=begin,
    )
    return [
        [
            page.when(row.since),
            page.plain(row.target),
            f"{page.plain(row.name)} ({row.run_id}){' by rollback' if row.action == 'rollback' else ''}",
            row.by,
            page.plain(row.reason),
            ", ".join(json.loads(row.overrides)),
        ]
        for row in rows
    ]


def _decided(session: Session, begin: float) -> list[list[object]]:
    rows = _rows(session, 'SELECT at, "by", action, subject, details FROM audit WHERE at >= :t ORDER BY id', t=begin)
    return [
        [
            page.when(row.at),
            row.by,
            row.action,
            page.plain(row.subject),
            page.plain(json.loads(row.details).get("reason") or ""),
        ]
        for row in rows
    ]


def _alert_row(alert: Alert) -> list[object]:
    return [alert.severity, alert.code, page.plain(alert.message), page.plain(alert.hint)]

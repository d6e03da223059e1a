"""The paper that every report is written on: Markdown, with a heading, where it came from, tables and lists."""

from collections.abc import Iterable, Sequence
from importlib.metadata import version

from sqlmodel import Session, select

from registry import clock
from registry.comparison import as_markdown
from registry.queries import MetricSummary, RunSummary
from registry.tables import Meta


def head(session: Session, title: str, runs: Sequence[RunSummary]) -> list[str]:
    """Return the opening of a report: its title, when it was made, of which registry and from which runs."""
    registry_id = session.exec(select(Meta.value).where(Meta.key == "registry_id")).first() or "unknown"
    made_at = (clock.iso(clock.now()) or "")[:19].replace("T", " ")
    names = ", ".join(f"{plain(run.name)} ({run.id})" for run in runs[:30])
    more = f" and {len(runs) - 30} more" if len(runs) > 30 else ""
    return [
        f"# {plain(title)}",
        "",
        f"Made {made_at} UTC by holdfast {version('holdfast')} from registry {registry_id[:8]}"
        f" and {counted(len(runs), 'run')}{': ' if runs else ''}{names}{more}.",
        "",
    ]


def counted(n: int, what: str) -> str:
    """Return `1 run`, `2 runs`."""
    return f"{n:,} {what}{'' if n == 1 else 's'}"


def plain(words: object) -> str:
    """Return a value so that Markdown reads it as the words they are."""
    text = " ".join(str(words).split())
    for mark in "\\`*_<[#":
        text = text.replace(mark, f"\\{mark}")
    return text


def section(title: str, lines: Iterable[str]) -> list[str]:
    """Return a section, nothing when it has no lines."""
    found = list(lines)
    return [f"## {title}", "", *found, ""] if found else []


def table(heads: Sequence[str], rows: Iterable[Sequence[object]]) -> list[str]:
    """Return a table, nothing when it has no rows."""
    found = [["" if cell is None else str(cell) for cell in row] for row in rows]
    return [as_markdown(heads, found).rstrip("\n")] if found else []


def when(at: float | None) -> str:
    """Return a time to the minute, UTC."""
    return (clock.iso(at) or "")[:16].replace("T", " ")


def value(metric: MetricSummary) -> str:
    """Return the value a table shows with its basis and step: `≈0.9942@106`."""
    return number(metric.shown, metric.basis) + ("" if metric.shown_step is None else f"@{metric.shown_step}")


def number(amount: float | None, basis: str | None = "measured") -> str:
    """Return a number, marked `≈` when it was not measured."""
    if amount is None:
        return "nan"
    return f"{'' if basis in (None, 'measured') else '≈'}{amount:.6g}"


def money(amount: float | None) -> str:
    """Return a cost, empty when no price is known."""
    return "" if amount is None else f"{amount:.2f}"


def total_cost(runs: Iterable[RunSummary]) -> str:
    """Return in words what runs cost together, and for how many no price is known."""
    costs = [run.cost for run in runs]
    known = [cost for cost in costs if cost is not None]
    if not costs:
        return "0.00"
    if not known:
        return "no price is known for any of them (`cost_per_hour` of a host in registry.toml, or --cost-per-hour)"
    unknown = len(costs) - len(known)
    return f"{sum(known):.2f}" + (f", without {counted(unknown, 'run')} of unknown price" if unknown else "")

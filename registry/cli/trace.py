"""`registry show RUN --trace METRIC[@STEP]`: the line of the log that a value came from."""

from sqlmodel import Session, select

from registry.cli.context import context
from registry.cli.output import number, out
from registry.errors import NotFoundError, UsageError
from registry.ingest.origins import Origin, trace
from registry.tables import MetricSeries


def show_trace(session: Session, run_id: str, wanted: str) -> None:
    """Print where the values of a metric at one step stand: `file:byte offset`, and the line there.

    Without a step it is the last. Raises NotFoundError for an unknown metric, UsageError for a step that is no number.
    """
    name, _, step = wanted.partition("@")
    series = session.exec(select(MetricSeries).where(MetricSeries.run_id == run_id, MetricSeries.name == name)).first()
    if series is None:
        raise NotFoundError(f"run {run_id} has no metric {name!r}", hint=f"`registry show {run_id}` lists them")
    if step and not step.lstrip("-").isdigit():
        raise UsageError(f"{step!r} is no step", hint=f"`--trace {name}@100`")
    at = int(step) if step else series.last_step
    found = trace(session, run_id, name, at)
    if context().json:
        out.json([origin.as_json() for origin in found])
        return
    if not found:
        raise NotFoundError(
            f"no log holds {name} at step {at}", hint="the run itself recorded it, or there is no such step"
        )
    for origin in found:
        _print(name, origin)


def _print(name: str, origin: Origin) -> None:
    step = "-" if origin.step is None else origin.step
    out.line(f"{name} = {number(origin.value)} @ {step}   {origin.path}:{origin.offset}")
    out.line(
        f"    {origin.line}" if origin.line is not None else "    the file is gone or was written anew", style="dim"
    )

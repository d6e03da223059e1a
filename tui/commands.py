"""`registry tui`, `web` and `plot`: the ways to look; nothing heavy is imported before it is needed."""

import sys
from typing import Annotated

import typer


def tui(
    view_only: Annotated[bool, typer.Option("--view-only", help="Offer nothing that changes the record.")] = False,
) -> None:
    """Open the dashboard; where there is no terminal, print it once as text."""
    from registry.cli.context import context

    url = context().db_url
    if sys.stdout.isatty() and sys.stdin.isatty():
        from tui.app import Dashboard

        Dashboard(url, view_only=view_only).run()
    else:
        from tui.plain import print_dashboard

        print_dashboard(url)


def web(
    port: Annotated[int, typer.Option(min=0, max=65535, help="The port.")] = 8765,
    host: Annotated[
        str, typer.Option(help="The address to listen on; another than this machine's own needs --token.")
    ] = ("127.0.0.1"),
    token: Annotated[
        str, typer.Option(envvar="REGISTRY_WEB_TOKEN", metavar="TEXT|auto", help="Let in only who has it.")
    ] = "",
    allow_actions: Annotated[
        bool,
        typer.Option("--allow-actions", help="Offer promotion and whatever else changes the record; needs --token."),
    ] = False,
) -> None:
    """Serve the dashboard to a browser: on this machine only, and for looking only, unless told otherwise."""
    import secrets

    from registry import places
    from registry.cli.context import context
    from registry.errors import UsageError

    try:
        from tui.web.server import WebServer
    except ModuleNotFoundError as error:
        raise UsageError(f"the browser view needs {error.name}", hint="pip install 'holdfast[web]'") from None

    url = places.registry_url(context().db_url)
    secret = secrets.token_urlsafe(24) if token == "auto" else token
    WebServer(url, host=host, port=port, token=secret, allow_actions=allow_actions).serve()


def plot(
    metric: Annotated[str, typer.Argument(help="The metric, as `registry ls` names it.")],
    runs: Annotated[list[str] | None, typer.Argument(metavar="[RUN]...", help="The runs; latest unless named.")] = None,
    x: Annotated[str, typer.Option("--x", metavar="step|time", help="What runs along the bottom.")] = "step",
    log: Annotated[bool, typer.Option("--log", help="A logarithmic scale; values below zero are not drawn.")] = False,
    height: Annotated[int, typer.Option(min=6, max=200, help="Lines of the chart.")] = 20,
) -> None:
    """Print a metric of one or more runs as a chart."""
    import os

    from registry import queries
    from registry.cli.context import context
    from registry.cli.output import out
    from registry.errors import NotFoundError, UsageError
    from registry.selectors import select_runs
    from tui.plot import PlottedCurve, draw

    if x not in ("step", "time"):
        raise UsageError(f"--x {x}", hint="write step or time")
    width = min(out.console.width, 160)
    db = context().db()
    with db.read() as session:
        curves = [
            PlottedCurve(run.name, queries.columns(session, run.id, metric, width, x=x))
            for run in select_runs(session, runs or ["latest"])
        ]
    drawn = [curve for curve in curves if curve.is_drawable(is_log=log)]
    if not drawn:
        raise NotFoundError(
            f"there is nothing of {metric!r} to draw{' above zero' if log else ''}",
            hint="registry show RUN lists its metrics",
        )
    for curve in curves:
        if not curve.columns:
            out.warn(f"{curve.label} has no metric {metric!r}")
        elif curve.n_non_finite:
            out.warn(f"{curve.label}: {curve.n_non_finite} of {curve.n_points} values are not finite and not drawn")
    coloured = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    axis = "seconds" if x == "time" else "step"
    sys.stdout.write(draw(drawn, metric, axis, width, height, is_log=log, coloured=coloured) + "\n")

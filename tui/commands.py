"""`registry tui` and `registry web`: the ways into the dashboard; nothing heavy is imported before it is needed."""

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

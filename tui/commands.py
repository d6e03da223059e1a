"""`registry tui` and `registry web`: the ways into the dashboard; nothing heavy is imported before it is needed."""

import sys


def tui() -> None:
    """Open the dashboard; where there is no terminal, print it once as text."""
    from registry.cli.context import context

    url = context().db_url
    if sys.stdout.isatty() and sys.stdin.isatty():
        from tui.app import Dashboard

        Dashboard(url).run()
    else:
        from tui.plain import print_dashboard

        print_dashboard(url)

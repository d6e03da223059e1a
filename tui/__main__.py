"""The dashboard as the web server starts it: `python -m tui ADDRESS [--view-only]`."""

import sys

from tui.app import Dashboard


def main() -> None:
    """Open the dashboard over the registry at the address given."""
    options = {word for word in sys.argv[1:] if word.startswith("--")}
    addresses = [word for word in sys.argv[1:] if word not in options]
    Dashboard(addresses[0] if addresses else None, view_only="--view-only" in options).run()


main()

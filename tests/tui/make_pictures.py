"""Make docs/pictures/*.svg and the key table of docs/dashboard.md: `python tests/tui/make_pictures.py [--keys|NAME…]`.

The registry in the pictures is the story of `tui_story`, at its frozen time.
"""

import asyncio
import os
import socket
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path[:0] = [str(ROOT), str(Path(__file__).parent)]

import tui_story  # noqa: E402
from conftest import opened, settle  # noqa: E402

from registry import clock  # noqa: E402
from tui.actions import ACTIONS, MODES, key_text  # noqa: E402

PICTURES = ROOT / "docs" / "pictures"
DOCS = ROOT / "docs" / "dashboard.md"
BEGIN, END = "<!-- keys: made by tests/tui/make_pictures.py -->", "<!-- end of keys -->"
WIDE, SMALL = (132, 36), (80, 24)
SHOTS: dict[str, tuple[tuple[int, int], str, list[str]]] = {
    "dashboard": (WIDE, "holdfast-deep", ["down"] * 4 + ["space", "down", "down", "space", "home"] + ["down"] * 3),
    "dashboard-light": (WIDE, "holdfast-shore", ["down"] * 3),
    "dashboard-80x24": (SMALL, "holdfast-deep", ["down"] * 3),
    "groups": (WIDE, "holdfast-deep", ["g", "g", "g"]),
    "run": (WIDE, "holdfast-deep", ["down"] * 5 + ["enter"]),
    "metrics": (WIDE, "holdfast-deep", ["down"] * 5 + ["enter", "tab"]),
    "compare": (WIDE, "holdfast-deep", ["down"] * 8 + ["space", "down", "down", "down", "space", "space", "c"]),
    "promote": (WIDE, "holdfast-deep", ["down"] * 7 + ["P"]),
    "custody": (WIDE, "holdfast-deep", ["4", "a"]),
    "live": (WIDE, "holdfast-deep", ["7"]),
    "alerts": (WIDE, "holdfast-deep", ["8"]),
}


async def take(folder: Path, name: str) -> None:
    """Take one picture."""
    size, theme, keys = SHOTS[name]
    async with opened(folder, size) as (app, pilot):
        app.theme = theme
        for key in keys:
            await pilot.press(key)
            await settle(app, pilot)
        (PICTURES / f"{name}.svg").write_text(app.export_screenshot(title="registry tui"))


def key_table() -> str:
    """Return the table of every action, by the screen it belongs to."""
    lines = []
    for scope in ("app", "table", *MODES):
        title = {"app": "Everywhere", "table": "In a table"}.get(scope) or f"On {MODES[scope]}"
        lines += [f"### {title}", "", "| keys | what happens | id |", "|---|---|---|"]
        lines += [f"| `{key_text(a.keys)}` | {a.help} | `{a.id}` |" for a in ACTIONS if a.scope == scope]
        lines.append("")
    return "\n".join(lines)


def write_keys() -> None:
    """Put the key table into the page."""
    page = DOCS.read_text()
    before, after = page.partition(BEGIN)[0], page.partition(END)[2]
    DOCS.write_text(f"{before}{BEGIN}\n\n{key_table()}{END}{after}")


def main() -> None:
    """Make everything anew."""
    write_keys()
    if "--keys" in sys.argv:
        return
    PICTURES.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as state:
        socket.gethostname = lambda: "box"
        os.environ["XDG_STATE_HOME"], os.environ["REGISTRY_USER"] = state, "lab"
        for name in [word for word in sys.argv[1:] if word in SHOTS] or SHOTS:
            with tempfile.TemporaryDirectory(prefix="holdfast-") as folder:
                tui_story.build(Path(folder))
                with clock.frozen(tui_story.NOW):
                    asyncio.run(take(Path(folder), name))


if __name__ == "__main__":
    main()

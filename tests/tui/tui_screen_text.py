"""A screen as plain text, through the picture that Textual exports."""

import re
from html import unescape

from textual.app import App

_TEXT = re.compile(r'<text class="[^"]*-r\d+" x="([\d.]+)" y="([\d.]+)"[^>]*>([^<]*)</text>')
CELL_WIDTH, LINE_HEIGHT = 12.2, 24.4


def screen_text(app: App[None]) -> str:
    """Return what is on the screen, line by line, without colours."""
    width, height = app.size
    lines = [[" "] * width for _ in range(height)]
    for x, y, text in _TEXT.findall(app.export_screenshot()):
        column, row = round(float(x) / CELL_WIDTH), round((float(y) - 20) / LINE_HEIGHT)
        for char in unescape(text).replace("\xa0", " "):
            if column < width and row < height:
                lines[row][column] = char
                column += 1
    return "\n".join("".join(line).rstrip() for line in lines) + "\n"

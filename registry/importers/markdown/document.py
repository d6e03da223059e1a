"""A Markdown report as a flat list of blocks, each with its line, its headings and the words right above it."""

from collections.abc import Iterator
from dataclasses import dataclass

from markdown_it import MarkdownIt
from markdown_it.token import Token

_MARKDOWN = MarkdownIt("commonmark").enable("table")


@dataclass(frozen=True)
class Heading:
    """A heading: 1 is the title."""

    line: int
    level: int
    text: str


@dataclass(frozen=True)
class Paragraph:
    """A paragraph or the first paragraph of a list item; `lines` are its own lines."""

    line: int
    lines: tuple[str, ...]
    is_item: bool = False


@dataclass(frozen=True)
class Fence:
    """A block of code or of plain lines between fences."""

    line: int
    lines: tuple[str, ...]


@dataclass(frozen=True)
class Table:
    """A table; `row_lines` are the lines of the file on which its rows stand."""

    line: int
    header: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    row_lines: tuple[int, ...]


Block = Heading | Paragraph | Fence | Table


@dataclass(frozen=True)
class Placed:
    """A block with the headings it stands under, the title first, and the last paragraph before it in its section."""

    block: Block
    headings: tuple[str, ...]
    label: str

    @property
    def context(self) -> tuple[str, ...]:
        """The words that say what the block is about, the nearest first."""
        return (self.label, *reversed(self.headings))


def read_document(text: str) -> list[Placed]:
    """Return the blocks of a Markdown text in their order, each with its place."""
    placed: list[Placed] = []
    headings: list[Heading] = []
    label = ""
    for block in _blocks(_MARKDOWN.parse(text)):
        if isinstance(block, Heading):
            headings = [heading for heading in headings if heading.level < block.level] + [block]
            label = ""
        placed.append(Placed(block, tuple(heading.text for heading in headings), label))
        if isinstance(block, Paragraph) and not block.is_item and block.lines:
            label = block.lines[-1]
    return placed


def _blocks(tokens: list[Token]) -> Iterator[Block]:
    item_depth = 0
    position = 0
    while position < len(tokens):
        token = tokens[position]
        line = token.map[0] + 1 if token.map else 0
        item_depth += {"list_item_open": 1, "list_item_close": -1}.get(token.type, 0)
        if token.type == "heading_open":
            yield Heading(line, int(token.tag[1:]), tokens[position + 1].content)
        elif token.type == "paragraph_open":
            yield Paragraph(line, tuple(tokens[position + 1].content.splitlines()), item_depth > 0)
        elif token.type in ("fence", "code_block"):
            yield Fence(line, tuple(token.content.splitlines()))
        elif token.type == "table_open":
            end = next(i for i in range(position, len(tokens)) if tokens[i].type == "table_close")
            yield _table(line, tokens[position:end])
            position = end
        position += 1


def _table(line: int, tokens: list[Token]) -> Table:
    rows: list[list[str]] = []
    lines: list[int] = []
    for token in tokens:
        if token.type == "tr_open":
            rows.append([])
            lines.append(token.map[0] + 1 if token.map else line)
        elif token.type == "inline":
            rows[-1].append(token.content)
    return Table(line, tuple(rows[0]), tuple(tuple(row) for row in rows[1:]), tuple(lines[1:]))

"""Small questions over the screen: a text, a choice, a yes or no. What changes something begins on cancel."""

from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.fuzzy import Matcher
from textual.screen import ModalScreen
from textual.widgets import Button, Input, OptionList, SelectionList, Static
from textual.widgets.option_list import Option
from textual.widgets.selection_list import Selection

from tui.text import clean


class Choice(NamedTuple):
    """One thing to choose: its value, what it is called, a word about it."""

    value: str
    name: str
    about: str = ""


class ChooseDialog(ModalScreen[str | None]):
    """Choose one of many; typing narrows the list."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Close", id="dialog.close")]
    AUTO_FOCUS = "Input"

    def __init__(self, title: str, choices: Sequence[Choice], chosen: str = "") -> None:
        super().__init__()
        self.heading, self.choices, self.chosen = title, tuple(choices), chosen

    def compose(self) -> ComposeResult:
        """A title, a line to type in, the list."""
        with Vertical(classes="dialog") as box:
            box.border_title = self.heading
            yield Input(placeholder="type to narrow", compact=True)
            yield OptionList(compact=True, markup=False)

    def on_mount(self) -> None:
        """Show everything."""
        self._narrow("")

    @on(Input.Changed)
    def _typed(self, event: Input.Changed) -> None:
        self._narrow(event.value)

    def _narrow(self, typed: str) -> None:
        matcher = Matcher(typed)
        shown = [choice for choice in self.choices if not typed or matcher.match(choice.name) > 0]
        if typed:
            shown.sort(key=lambda choice: -matcher.match(choice.name))
        options = self.query_one(OptionList)
        options.clear_options()
        options.add_options([Option(self._line(choice), id=f"choice-{self.choices.index(choice)}") for choice in shown])
        at = next((at for at, choice in enumerate(shown) if choice.value == self.chosen), 0)
        options.highlighted = at if shown else None

    def _line(self, choice: Choice) -> Content:
        mark = Content.styled("● " if choice.value == self.chosen else "  ", "$text-accent")
        return mark + Content(clean(choice.name)) + Content.styled(f"  {clean(choice.about)}", "$text-muted")

    @on(Input.Submitted)
    def _entered(self) -> None:
        options = self.query_one(OptionList)
        if options.highlighted is not None:
            options.action_select()

    @on(OptionList.OptionSelected)
    def _selected(self, event: OptionList.OptionSelected) -> None:
        self.dismiss(self.choices[int((event.option_id or "choice-0").partition("-")[2])].value)

    def key_down(self) -> None:
        """Move in the list while typing."""
        self.query_one(OptionList).action_cursor_down()

    def key_up(self) -> None:
        """Move in the list while typing."""
        self.query_one(OptionList).action_cursor_up()


class ColumnsDialog(ModalScreen[list[str] | None]):
    """Choose which columns are shown; the order is that of the list."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(None)", "Cancel", id="dialog.close"),
        Binding("enter", "take", "Show these", priority=True, id="dialog.take"),
    ]

    def __init__(self, choices: Sequence[Choice], chosen: Sequence[str]) -> None:
        super().__init__()
        self.choices, self.chosen = tuple(choices), tuple(chosen)

    def compose(self) -> ComposeResult:
        """The list of columns, those that are shown first."""
        by_value = {choice.value: choice for choice in self.choices}
        ordered = [by_value[key] for key in self.chosen if key in by_value]
        ordered += [choice for choice in self.choices if choice.value not in self.chosen]
        with Vertical(classes="dialog") as box:
            box.border_title = "Columns"
            box.border_subtitle = "space chooses, enter shows, esc leaves it as it was"
            yield SelectionList[str](
                *(
                    Selection(
                        Content(clean(choice.name)) + Content.styled(f"  {clean(choice.about)}", "$text-muted"),
                        choice.value,
                        choice.value in self.chosen,
                    )
                    for choice in ordered
                ),
                compact=True,
            )

    def action_take(self) -> None:
        """Show the chosen columns."""
        wanted = set(self.query_one(SelectionList).selected)
        kept = [key for key in self.chosen if key in wanted]
        self.dismiss([*kept, *(c.value for c in self.choices if c.value in wanted and c.value not in kept)])


class TextDialog(ModalScreen[str | None]):
    """Ask for one line of text, with a sentence that says what it is for."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape", "dismiss(None)", "Cancel", id="dialog.close")]

    def __init__(self, title: str, about: str, *, placeholder: str = "") -> None:
        super().__init__()
        self.heading, self.about, self.placeholder = title, about, placeholder

    def compose(self) -> ComposeResult:
        """A sentence, and a line to type in."""
        with Vertical(classes="dialog") as box:
            box.border_title = self.heading
            box.border_subtitle = "enter takes it, esc leaves"
            yield Static(Content(self.about), classes="about")
            yield Input(placeholder=self.placeholder, compact=True)

    @on(Input.Submitted)
    def _entered(self, event: Input.Submitted) -> None:
        if event.value.strip():
            self.dismiss(event.value.strip())


class LinesDialog(ModalScreen[None]):
    """Say something that needs more than a moment to read."""

    BINDINGS: ClassVar[list[BindingType]] = [Binding("escape,enter,q", "dismiss", "Close", id="dialog.close")]

    def __init__(self, title: str, lines: Sequence[str]) -> None:
        super().__init__()
        self.heading, self.lines = title, tuple(lines)

    def compose(self) -> ComposeResult:
        """The lines, the first of them loud."""
        first, *rest = self.lines
        text = Content("\n").join([Content.styled(clean(first), "bold"), *(Content(f"- {clean(x)}") for x in rest)])
        with Vertical(classes="dialog wide") as box:
            box.border_title = self.heading
            box.border_subtitle = "esc closes"
            with VerticalScroll():
                yield Static(text)


class ConfirmDialog(ModalScreen[bool]):
    """Say what would happen and ask; the focus is on cancel."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "dismiss(False)", "Cancel", id="dialog.close"),
        Binding("left,h", "app.focus_previous", "Left", show=False),
        Binding("right,l", "app.focus_next", "Right", show=False),
    ]
    AUTO_FOCUS = "#cancel"

    def __init__(self, title: str, consequences: Sequence[str], yes: str) -> None:
        super().__init__()
        self.heading, self.consequences, self.yes = title, tuple(consequences), yes

    def compose(self) -> ComposeResult:
        """The consequences, and two buttons."""
        with Vertical(classes="dialog") as box:
            box.border_title = self.heading
            with VerticalScroll(classes="about"):
                yield Static(Content("\n".join(clean(line) for line in self.consequences)))
            with Horizontal(classes="buttons"):
                yield Button("Cancel", id="cancel", compact=True)
                yield Button(self.yes, id="yes", variant="warning", compact=True)

    @on(Button.Pressed)
    def _pressed(self, event: Button.Pressed) -> None:
        self.dismiss(event.button.id == "yes")

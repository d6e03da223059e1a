"""Promote: the checks one by one with their reasons, then the decision. Nothing happens unless all of it holds.

An override needs the names of the refusing checks typed and a reason; the focus begins on cancel.
"""

import textwrap
from functools import partial
from typing import TYPE_CHECKING, ClassVar

from textual import on
from textual.app import ComposeResult
from textual.binding import Binding, BindingType
from textual.containers import Horizontal, Vertical, VerticalScroll
from textual.content import Content
from textual.screen import ModalScreen
from textual.widgets import Button, Input, Static

from registry.errors import HoldfastError
from tui import acts
from tui.marks import VERDICT, mark
from tui.screens.asking import Asking
from tui.snapshots import Store
from tui.text import clean, count, short_digest
from tui.theme import content_style

if TYPE_CHECKING:
    from registry.promotion import Proposal


class PromoteDialog(Asking, ModalScreen[bool]):
    """Judge a promotion of one run, and make it."""

    BINDINGS: ClassVar[list[BindingType]] = [
        Binding("escape", "close", "Close", id="promote.close"),
        Binding("ctrl+t", "target", "Other target", id="promote.target"),
    ]
    AUTO_FOCUS = "#cancel"

    def __init__(self, run_id: str, run_name: str) -> None:
        super().__init__()
        self.run_id, self.run_name = run_id, run_name
        self.targets: tuple[str, ...] = ()
        self.target = ""
        self.proposal: Proposal | None = None
        self.changed = False

    def compose(self) -> ComposeResult:
        """The checks, the override, the buttons."""
        with Vertical(classes="dialog wide", id="promote") as box:
            box.border_title = f"Promote {clean(self.run_name)}"
            yield Static(id="promote-target")
            with VerticalScroll(id="promote-checks"):
                yield Static(Content.styled("reading the artifact's bytes again …", "$text-muted"), id="promote-text")
            with Vertical(id="promote-override"):
                yield Static(id="promote-ask")
                yield Input(placeholder="the names of the checks to override", id="promote-names", compact=True)
                yield Input(placeholder="why this may be deployed all the same", id="promote-reason", compact=True)
            with Horizontal(classes="buttons"):
                yield Button("Cancel", id="cancel", compact=True)
                yield Button("Promote", id="yes", variant="warning", compact=True, disabled=True)

    def on_mount(self) -> None:
        """Ask which targets there are."""
        self.query_one("#promote-override").display = False
        self.ask("targets", Store.targets)

    def take_targets(self, targets: tuple[str, ...]) -> None:
        """Judge for the first target."""
        self.targets = targets
        self._judge(targets[0])

    def action_target(self) -> None:
        """Judge for the next target."""
        if len(self.targets) > 1 and not self.changed:
            self._judge(self.targets[(self.targets.index(self.target) + 1) % len(self.targets)])

    def _judge(self, target: str) -> None:
        self.target = target
        hint = f"  ctrl+t: another of {len(self.targets)}" if len(self.targets) > 1 else ""
        about = Content("to ") + Content.styled(clean(target), "bold $text-accent")
        self.query_one("#promote-target", Static).update(about + Content.styled(hint, "$text-muted"))
        self.ask("proposal", partial(acts.propose, run_id=self.run_id, target=target))

    # --- the verdict

    def take_proposal(self, proposal: "Proposal") -> None:
        """Show the checks one by one."""
        if proposal.target != self.target:
            return
        self.proposal = proposal
        self._show_checks()
        refusing = self._refusing()
        override = self.query_one("#promote-override")
        override.display = bool(refusing)
        if refusing:
            said = f"Refused by {count(len(refusing), 'check')}. To deploy all the same, type: "
            names = Content.styled(" ".join(refusing), "bold $text-warning")
            self.query_one("#promote-ask", Static).update(Content(said) + names)
        self._enable()

    def on_resize(self) -> None:
        """Wrap the reasons anew."""
        self._show_checks()

    def _show_checks(self) -> None:
        if self.proposal is not None and not self.changed:
            width = max(40, self.query_one("#promote-checks").size.width - 1)
            self.query_one("#promote-text", Static).update(checks_text(self.proposal, width))

    def _refusing(self) -> list[str]:
        checks = self.proposal.checks if self.proposal else []
        return [check.check for check in checks if check.verdict not in ("pass", "overridden")]

    def _typed(self) -> tuple[list[str], str]:
        names = self.query_one("#promote-names", Input).value.replace(",", " ").split()
        return names, self.query_one("#promote-reason", Input).value.strip()

    def _enable(self) -> None:
        names, reason = self._typed()
        refusing = self._refusing()
        allowed = self.proposal is not None and (not refusing or (set(names) == set(refusing) and bool(reason)))
        button = self.query_one("#yes", Button)
        button.disabled = not allowed or self.changed
        button.label = "Override" if refusing else "Promote"

    @on(Input.Changed)
    def _changed(self) -> None:
        self._enable()

    # --- the decision

    @on(Button.Pressed, "#cancel")
    def action_close(self) -> None:
        """Leave; what was done stays done."""
        self.dismiss(self.changed)

    @on(Button.Pressed, "#yes")
    def _promote(self, event: Button.Pressed) -> None:
        if self.dashboard.view_only:
            return
        event.button.disabled = True
        names, reason = self._typed()
        overrides = tuple(names) if self._refusing() else ()
        self.query_one("#promote-ask", Static).update("")
        self.ask(
            "promoted",
            partial(acts.promote, run_id=self.run_id, target=self.target, overrides=overrides, reason=reason),
        )

    def take_promoted(self, lines: tuple[str, ...]) -> None:
        """Say what changed."""
        self.changed = True
        said = [Content.styled(f"✓ {clean(lines[0])}", "bold $text-success"), *(Content(clean(x)) for x in lines[1:])]
        self.query_one("#promote-text", Static).update(Content("\n").join(said))
        self.query_one("#promote-override").display = False
        self.query_one("#yes").display = False
        cancel = self.query_one("#cancel", Button)
        cancel.label = "Close"
        cancel.focus()

    def show_trouble(self, error: HoldfastError) -> None:
        """Say why it was refused, every reason."""
        lines = [Content.styled(f"✗ {clean(error.message)}", "bold $text-error")]
        lines += [Content(f"  {clean(detail)}") for detail in error.details]
        if error.hint:
            lines.append(Content.styled(clean(error.hint), "$text-muted"))
        self.query_one("#promote-text", Static).update(Content("\n").join(lines))
        self._enable()


def checks_text(proposal: "Proposal", width: int) -> Content:
    """Return the checks of a proposal, `width` cells wide: verdict, name and reason of each."""
    lines = [Content.styled(f"artifact {clean(proposal.role)}  {short_digest(proposal.digest)}", "$text-muted")]
    verdict_width = max(len(str(mark(VERDICT, check.verdict))) for check in proposal.checks) + 2
    name_width = max(len(check.check) for check in proposal.checks) + 2
    for check in proposal.checks:
        state = mark(VERDICT, check.verdict)
        head = Content.styled(f"{state.symbol} {state.word}".ljust(verdict_width), content_style(state.tone))
        head += Content.styled(check.check.ljust(name_width), "bold")
        left = verdict_width + name_width
        reason = textwrap.wrap(clean(check.reason), max(20, width - left)) or [""]
        lines.append(head + Content.styled(reason[0], "$text-muted"))
        lines += [Content.styled(" " * left + line, "$text-muted") for line in reason[1:]]
    return Content("\n").join(lines)

"""`registry train`: choose a family, a variant and a preset, train, and say in a few lines what came of it.

stdout has the result, stderr the progress. Nothing heavy is imported before something heavy is asked for.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from registry.clock import parse_duration
from registry.errors import UsageError
from runners.training import family as families
from runners.training import settings as settings_module

if TYPE_CHECKING:
    from registry.run import Run
    from runners.training.loop import Progress
    from runners.training.start import Outcome

EXIT_INTERRUPTED = 130
PLAIN_PROGRESS_INTERVAL_S = 15.0


def train(
    family: Annotated[
        str | None, typer.Argument(metavar="[FAMILY[:VARIANT]]", help="What to train; without it, what there is.")
    ] = None,
    preset: Annotated[str, typer.Option(help="How much: smoke (seconds), cpu (minutes), gpu.")] = "cpu",
    overrides: Annotated[
        list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="Change one setting; may be repeated.")
    ] = None,
    seed: Annotated[int | None, typer.Option(help="The seed, the same as --set seed=N.")] = None,
    name: Annotated[str | None, typer.Option(help="The run's name; default VARIANT-PRESET.")] = None,
    experiment: Annotated[str | None, typer.Option(help="The experiment; default the family's name.")] = None,
    tag: Annotated[list[str] | None, typer.Option(help="A tag of the run; may be repeated.")] = None,
    gates: Annotated[
        str | None, typer.Option(help="A gate suite: a file, or the name of a shipped one; default the family's.")
    ] = None,
    resume: Annotated[
        str | None, typer.Option(metavar="RUN", help="Go on with a run from its last checkpoint (id or name).")
    ] = None,
    max_time: Annotated[
        str | None, typer.Option(metavar="TIME", help="Stop in good order after this time: 90s, 15m, 6h.")
    ] = None,
    list_families: Annotated[
        bool, typer.Option("--list", help="Show families, variants and presets; with FAMILY, its settings.")
    ] = False,
) -> None:
    """Train a built-in family, recorded from the first step.

    SIGTERM, Ctrl-C and --max-time end it between two steps, with a checkpoint that --resume goes on from exactly.
    """
    if resume:
        _refuse_changes_to_resumed(overrides, seed, name, experiment, tag, gates)
        _report(_resume(resume, family, max_time))
    elif list_families or family is None:
        _list(family)
    else:
        texts = tuple(overrides or ()) + ((f"seed={seed}",) if seed is not None else ())
        _report(_train(family, preset, texts, max_time, name=name, experiment=experiment, tags=tag or (), gates=gates))


def _train(text: str, preset: str, overrides: tuple[str, ...], max_time: str | None, **how: Any) -> "Outcome":
    name, variant = families.split_name(text)
    family = families.find_family(name)
    variant = variant or family.default_variant
    settings = family.build(variant, preset, overrides)
    max_time_s = _seconds(max_time)
    from runners.training.start import train_family

    with _progress() as (show, opened):
        return train_family(
            family,
            settings,
            variant=variant,
            preset=preset,
            max_time_s=max_time_s,
            progress=show,
            opened=opened,
            **how,
        )


def _resume(reference: str, family: str | None, max_time: str | None) -> "Outcome":
    if family is not None:
        families.find_family(families.split_name(family)[0])
    max_time_s = _seconds(max_time)
    from runners.training.start import resume_family

    with _progress() as (show, opened):
        return resume_family(reference, max_time_s=max_time_s, progress=show, opened=opened)


def _refuse_changes_to_resumed(*changes: object) -> None:
    if any(change not in (None, []) for change in changes):
        raise UsageError("--resume goes on with the run as it began", hint="drop --set, --seed, --name and the like")


def _seconds(text: str | None) -> float | None:
    if text is None:
        return None
    try:
        return parse_duration(text)
    except ValueError as error:
        raise UsageError(f"--max-time: {error}") from None


# --- what is seen


@contextmanager
def _progress() -> Iterator[tuple["Progress", Any]]:
    """Yield what a training tells its progress to, and what is told of the run when it is open; both on stderr."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True)

    def opened(run: "Run") -> None:
        console.print(f"run {run.id} {run.name}  {run.folder}", markup=False, highlight=False, soft_wrap=True)

    if not console.is_terminal:
        yield _plain_progress, opened
        return
    columns = (BarColumn(None), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.fields[text]}"))
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None, text="")
        yield lambda step, total, text: bar.update(task, completed=step, total=total, text=text), opened


_told_at = time.monotonic()


def _plain_progress(step: int, total: int, text: str) -> None:
    global _told_at
    if time.monotonic() - _told_at >= PLAIN_PROGRESS_INTERVAL_S:
        _told_at = time.monotonic()
        print(f"step {step}/{total} {text}".rstrip(), file=sys.stderr, flush=True)


def _report(outcome: "Outcome") -> None:
    """Print the result; a run that a signal ended exits with 130."""
    print(f"{outcome.run_id}  {outcome.name}  {outcome.status}: {outcome.evidence}, {outcome.duration_s:.1f} s")
    if outcome.best_step is not None:
        print(f"best {outcome.best_value:.6g} at step {outcome.best_step}")
    print(f"registry show {outcome.run_id}")
    if outcome.status == "killed":
        print(f"go on with: registry train --resume {outcome.run_id}", file=sys.stderr)
        raise typer.Exit(EXIT_INTERRUPTED)


def _list(text: str | None) -> None:
    """Print every family with its variants, or one family with its variants, presets and settings."""
    if text is None:
        for name in families.family_names():
            family = families.find_family(name)
            print(f"{name}: {family.summary}")
            _print_rows((f"{name}:{key}", variant.summary) for key, variant in family.variants.items())
        print(f"presets: {', '.join(families.PRESETS)}; settings of a family: registry train FAMILY --list")
        return
    name, variant = families.split_name(text)
    family = families.find_family(name)
    print(f"{name}: {family.summary}\n\nvariants (default {family.default_variant})")
    _print_rows((key, each.summary) for key, each in family.variants.items())
    print("\npresets")
    _print_rows(
        (key, ", ".join(f"{field}={value}" for field, value in layer.items())) for key, layer in family.presets.items()
    )
    print("\nsettings (--set KEY=VALUE)")
    _print_rows((f"{key}={default}", meaning) for key, default, meaning in settings_module.describe(family.settings))


def _print_rows(rows: Iterator[tuple[str, str]]) -> None:
    shown = list(rows)
    width = max((len(left) for left, _ in shown), default=0)
    for left, right in shown:
        print(f"  {left.ljust(width)}  {right}".rstrip())

"""`registry train`: choose a family, a variant and a preset, train, and say in a few lines what came of it.

stdout has the result, stderr the progress. Nothing heavy is imported before something heavy is asked for.
"""

import dataclasses
import sys
import time
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any

import typer

from registry import places, ranks
from registry.cli.context import context
from registry.cli.output import out
from registry.clock import parse_duration
from registry.copy_along import CopyAlong, require_remotes
from registry.errors import HoldfastError, UsageError
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
    stages: Annotated[
        bool, typer.Option("--stages", help="Follow the stages of the gate suite; each try is a child run.")
    ] = False,
    resume: Annotated[
        str | None, typer.Option(metavar="RUN", help="Go on with a run from its last checkpoint (id or name).")
    ] = None,
    max_time: Annotated[
        str | None, typer.Option(metavar="TIME", help="Stop in good order after this time: 90s, 15m, 6h.")
    ] = None,
    copy_to: Annotated[
        list[str] | None,
        typer.Option(
            "--copy-to",
            metavar="REMOTE",
            help="Copy each checkpoint there in the background, soon after it was made, and the rest at the end."
            " Repeatable.",
        ),
    ] = None,
    list_families: Annotated[
        bool, typer.Option("--list", help="Show families, variants and presets; with FAMILY, its settings.")
    ] = False,
) -> int | None:
    """Train a built-in family, recorded from the first step.

    SIGTERM, Ctrl-C and --max-time end it between two steps, with a checkpoint that --resume goes on from exactly. The
    training never waits for --copy-to; the exit code is 1 when it went well and could not be copied whole.
    """
    copies = _Copies(tuple(copy_to or ()))
    if resume:
        _refuse_changes_to_resumed(overrides, seed, name, experiment, tag, gates)
        return _report(_resume(resume, family, max_time, copies), copies)
    if list_families or family is None:
        _list(family)
    else:
        texts = tuple(overrides or ()) + ((f"seed={seed}",) if seed is not None else ())
        if stages:
            return _train_in_stages(
                family, preset, texts, gates, name=name, experiment=experiment, max_time=max_time, copy_to=copy_to or ()
            )
        named = {"name": name, "experiment": experiment, "tags": tag or (), "gates": gates}
        return _report(_train(family, preset, texts, max_time, copies, **named), copies)
    return None


class _Copies:
    """The copying of the run that is trained, from when it was opened."""

    def __init__(self, remotes: tuple[str, ...]) -> None:
        self._remotes = remotes
        self._copying = CopyAlong()
        require_remotes(places.registry_url(context().db_url), remotes)

    def begin(self, run: "Run") -> None:
        """Copy what this run makes from now on."""
        self._copying = CopyAlong(places.registry_url(context().db_url), run.id, self._remotes)

    def finish(self) -> int:
        """Wait for the copies and return the exit code they deserve."""
        lacking = self._copying.finish(lambda words: None if context().quiet else out.warn(words))
        for line in lacking:
            out.warn(line)
        return 1 if lacking else 0


def _train_in_stages(
    text: str,
    preset: str,
    overrides: tuple[str, ...],
    gates: str | None,
    *,
    name: str | None,
    experiment: str | None,
    max_time: str | None,
    copy_to: Iterable[str],
) -> int:
    """Let `registry run --stages` make each try a child run whose command is this training with the try's settings.

    Returns its exit code. Raises UsageError for a suite without stages, or one that changes a setting the family does
    not have.
    """
    import json
    import subprocess

    from registry.gates import load_suite_text, parse_suite

    family_name, variant = families.split_name(text)
    family = families.find_family(family_name)
    variant = variant or family.default_variant
    suite_name, suite_text = load_suite_text(gates or family.suite)
    stages = parse_suite(suite_text, suite_name).stages
    if not stages:
        raise UsageError(f"suite {suite_name} has no stages", hint="--gates with a suite that has [[stage]] tables")
    settings = family.build(variant, preset, overrides)
    params: dict[str, Any] = {"variant": variant}
    for key in sorted({key for stage in stages for key in (*stage.set, *stage.retry, *stage.fallback)} - {"variant"}):
        if not hasattr(settings, key):
            raise UsageError(f"suite {suite_name} sets {key!r}, which {family_name} does not have", hint="--list")
        params[key] = getattr(settings, key)
    registry = [sys.executable, "-m", "registry"]
    command = [*registry, "train", f"{family_name}:{{variant}}", "--preset", preset, "--gates", gates or family.suite]
    for setting in (*overrides, *(f"{key}={{{key}}}" for key in params if key != "variant")):
        command += ["--set", setting]
    command += ["--max-time", max_time] if max_time else []
    run = [*registry, "run", "--stages", "--gates", gates or family.suite, "--name", name or f"{variant}-{preset}"]
    run += ["--experiment", experiment or family.name]
    for key, value in params.items():
        run += ["--param", f"{key}={value if isinstance(value, str) else json.dumps(value)}"]
    run += [word for remote in copy_to for word in ("--copy-to", remote)]
    run += ["--db", context().db_url] if context().db_url else []
    return subprocess.call([*run, "--", *command])


def _train(
    text: str, preset: str, overrides: tuple[str, ...], max_time: str | None, copies: _Copies, **how: Any
) -> "Outcome":
    name, variant = families.split_name(text)
    family = families.find_family(name)
    variant = variant or family.default_variant
    settings = family.build(variant, preset, overrides)
    max_time_s = _seconds(max_time)
    from runners.training.start import train_family

    with _progress(copies) as (show, opened):
        return train_family(
            family,
            settings,
            variant=variant,
            preset=preset,
            max_time_s=max_time_s,
            progress=show,
            opened=opened,
            db=context().db_url,
            **how,
        )


def _resume(reference: str, family: str | None, max_time: str | None, copies: _Copies) -> "Outcome":
    if family is not None:
        families.find_family(families.split_name(family)[0])
    max_time_s = _seconds(max_time)
    from runners.training.start import resume_family

    with _progress(copies) as (show, opened):
        return resume_family(reference, max_time_s=max_time_s, progress=show, opened=opened, db=context().db_url)


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
def _progress(copies: _Copies) -> Iterator[tuple["Progress", Any]]:
    """Yield what a training tells its progress to, and what is told of the run when it is open; both on stderr."""
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    console = Console(stderr=True, quiet=context().quiet)

    def opened(run: "Run") -> None:
        if ranks.rank() > 0:
            return
        copies.begin(run)
        console.print(f"run {run.id} {run.name}  {run.folder}", markup=False, highlight=False, soft_wrap=True)

    if context().quiet or ranks.rank() > 0:
        yield (lambda step, total, text: None), opened
        return
    if not console.is_terminal:
        yield _plain_progress(), opened
        return
    columns = (BarColumn(None), MofNCompleteColumn(), TimeRemainingColumn(), TextColumn("{task.fields[text]}"))
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("", total=None, text="")
        yield lambda step, total, text: bar.update(task, completed=step, total=total, text=text), opened


def _plain_progress() -> "Progress":
    """Return what prints a line every so often, where a moving bar would be noise."""
    told_at = time.monotonic()

    def tell(step: int, total: int, text: str) -> None:
        nonlocal told_at
        if time.monotonic() - told_at >= PLAIN_PROGRESS_INTERVAL_S:
            told_at = time.monotonic()
            print(f"step {step}/{total} {text}".rstrip(), file=sys.stderr, flush=True)

    return tell


def _report(outcome: "Outcome", copies: _Copies) -> int:
    """Print the result, wait for its copies and return the exit code; a run that a signal ended exits with 130.

    Of several processes rank 0 speaks.
    """
    if ranks.rank() > 0:
        return EXIT_INTERRUPTED if outcome.status == "killed" else 0
    if context().json:
        out.json(dataclasses.asdict(outcome))
    else:
        out.line(f"{outcome.run_id}  {outcome.name}  {outcome.status}: {outcome.evidence}, {outcome.duration_s:.1f} s")
        if outcome.best_step is not None:
            out.line(f"best {outcome.best_value:.6g} at step {outcome.best_step}  ({outcome.criterion})")
        out.line(f"look: registry show {outcome.run_id}", style="dim")
    not_copied = copies.finish()
    if outcome.status == "killed":
        print(f"go on with: registry train --resume {outcome.run_id}", file=sys.stderr)
        return EXIT_INTERRUPTED
    return not_copied


def _list(text: str | None) -> None:
    """Print every family with its variants, or one family with its variants, presets and settings."""
    chosen = families.family_names() if text is None else [families.split_name(text)[0]]
    found = list(_loadable(chosen)) if text is None else [families.find_family(name) for name in chosen]
    if context().json:
        out.json([_described(family) for family in found])
        return
    for family in found:
        out.line(f"{family.name}: {family.summary}")
        rows = [(_variant_name(family, name), variant.summary) for name, variant in family.variants.items()]
        out.table(["variant", "is"], rows)
    if text is None:
        out.line(f"presets: {', '.join(families.PRESETS)}; the settings of one: registry train FAMILY --list")
        return
    family = found[0]
    out.table(["preset", "sets"], [(name, _assignments(layer)) for name, layer in family.presets.items()])
    out.table(["setting (--set KEY=VALUE)", "default", "means"], settings_module.describe(family.settings))


def _loadable(names: Iterable[str]) -> Iterator[families.Family]:
    """Yield the families that can be imported; say of the others why not."""
    for name in names:
        try:
            yield families.find_family(name)
        except HoldfastError as error:
            out.warn(str(error))


def _variant_name(family: families.Family, variant: str) -> str:
    return f"{family.name}:{variant}" + (" (default)" if variant == family.default_variant else "")


def _assignments(layer: Mapping[str, Any]) -> str:
    return " ".join(f"{key}={value}" for key, value in layer.items())


def _described(family: families.Family) -> dict[str, Any]:
    return {
        "name": family.name,
        "summary": family.summary,
        "variants": {name: variant.summary for name, variant in family.variants.items()},
        "default_variant": family.default_variant,
        "presets": {name: dict(layer) for name, layer in family.presets.items()},
        "settings": {
            name: {"default": default, "means": meaning}
            for name, default, meaning in settings_module.describe(family.settings)
        },
    }

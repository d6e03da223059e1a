"""Where a stage goes on from: the best checkpoint of the stage before in its chain. Reads journals only."""

from pathlib import Path

from registry import events, places
from registry.errors import NotFoundError
from registry.run import Run

_STAGE = "stage"


def stage_before(run: Run) -> Path | None:
    """Return the best weights of the last other stage of this run's chain, None for the chain's first stage.

    Raises NotFoundError for a run that is no stage of a chain.
    """
    own = _start(run.folder)
    if own is None or own.parent is None or _STAGE not in own.params:
        raise NotFoundError(
            f"run {run.id} is no stage of a chain", hint="start_from=previous is for `registry run --stages`"
        )
    siblings = [(folder, _start(folder)) for folder in run.folder.parent.iterdir() if folder != run.folder]
    before = [
        (start.at, folder)
        for folder, start in siblings
        if start and start.parent == own.parent and start.params.get(_STAGE) not in (None, own.params[_STAGE])
    ]
    if not before:
        return None
    path = max(before)[1] / "checkpoints" / "best.safetensors"
    if not path.is_file():
        raise NotFoundError(f"the stage before left no {path}", hint="look at its run")
    return path


def _start(folder: Path) -> events.Start | None:
    """Return the first event of a run folder, None where it is not a start."""
    try:
        with open(folder / places.JOURNAL_NAME, "rb") as file:
            event = events.decode(file.readline())
    except (OSError, ValueError):
        return None
    return event if isinstance(event, events.Start) else None

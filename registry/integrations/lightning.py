"""A Lightning logger: `Trainer(logger=RegistryLogger(experiment="vae"))`. Checkpoints are hashed as they are saved."""

from argparse import Namespace
from typing import TYPE_CHECKING, Any

from registry.integrations.forgiving import ForgivingRun, open_run
from registry.run import Run

try:
    from lightning.pytorch.loggers.logger import Logger, rank_zero_experiment
    from lightning.pytorch.utilities import rank_zero_only
except ImportError:
    from pytorch_lightning.loggers.logger import Logger, rank_zero_experiment
    from pytorch_lightning.utilities import rank_zero_only

if TYPE_CHECKING:
    from collections.abc import Mapping


class RegistryLogger(Logger):  # type: ignore[misc]
    """Records a Lightning Trainer's run.

    `run` is an open run to record into (it stays open); without one a run is made at the first use and ends with the
    process, with a failed fit, or by `close()`.
    """

    def __init__(
        self,
        run: Run | None = None,
        *,
        name: str | None = None,
        experiment: str | None = None,
        gates: str | None = None,
        tags: tuple[str, ...] = (),
        db: str | None = None,
    ) -> None:
        super().__init__()
        self._arguments = {"name": name, "experiment": experiment, "gates": gates, "tags": tags, "db": db}
        self._given = run
        self._opened: ForgivingRun | None = None
        self._hashed: dict[str, str] = {}

    @property
    def name(self) -> str:
        """What Lightning calls the group of runs: the experiment."""
        return self._arguments["experiment"] or "default"  # type: ignore[return-value]

    @property
    def version(self) -> str:
        """What Lightning calls the run: its id."""
        return self._recorded.run.id

    @property
    @rank_zero_experiment  # type: ignore[untyped-decorator]
    def experiment(self) -> Run:
        """The run itself."""
        return self._recorded.run

    @property
    def _recorded(self) -> ForgivingRun:
        if self._opened is None:
            self._opened = open_run(self._given, **self._arguments)
        return self._opened

    @rank_zero_only  # type: ignore[untyped-decorator]
    def log_hyperparams(self, params: "dict[str, Any] | Namespace", *_: Any, **__: Any) -> None:
        """Record hyperparameters."""
        self._recorded.log_params(vars(params) if isinstance(params, Namespace) else params)

    @rank_zero_only  # type: ignore[untyped-decorator]
    def log_metrics(self, metrics: "Mapping[str, Any]", step: int | None = None) -> None:
        """Record metrics at a step."""
        self._recorded.log({key: value for key, value in metrics.items() if key != "epoch"}, step)

    @rank_zero_only  # type: ignore[untyped-decorator]
    def after_save_checkpoint(self, checkpoint_callback: Any) -> None:
        """Hash the checkpoints that the callback keeps: the best ones, and the last."""
        kept = {
            "best": getattr(checkpoint_callback, "best_model_path", ""),
            "last": getattr(checkpoint_callback, "last_model_path", ""),
        }
        step = getattr(checkpoint_callback, "_last_global_step_saved", None)
        for role, path in kept.items():
            if path and self._hashed.get(role) != f"{path}@{step}":
                self._hashed[role] = f"{path}@{step}"
                self._recorded.log_file(path, role, step)

    @rank_zero_only  # type: ignore[untyped-decorator]
    def finalize(self, status: str) -> None:
        """A failed fit ends the run; after a good one a test may follow, so it stays open."""
        if self._opened is None or self._opened.run.status != "running":
            return
        if status == "success":
            self._opened.run.sync()
        elif self._given is None:
            self._opened.finish("failed", f"Lightning: {status}")

    def close(self) -> None:
        """End the run now, if it was opened here."""
        if self._opened is not None and self._given is None:
            self._opened.finish(evidence="the Lightning logger was closed")

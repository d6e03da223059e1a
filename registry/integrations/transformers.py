"""A Hugging Face Trainer that records itself: `Trainer(…, callbacks=[RegistryCallback()])`.

Every log goes under `train/`, `eval/` or `test/` at the global step; each checkpoint is hashed as it is saved.
"""

from typing import Any

from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments

from registry.integrations.forgiving import ForgivingRun, open_run
from registry.run import Run

_NOT_METRICS = frozenset({"epoch", "step", "total_flos"})


class RegistryCallback(TrainerCallback):  # type: ignore[misc]
    """Records a Trainer's run.

    `run` is an open run to record into (it stays open); without one a run is made when training begins, with the
    training arguments and the model's configuration as its parameters, and ends with the process or by `close()`.
    `checkpoints=False` leaves checkpoints alone.
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
        checkpoints: bool = True,
    ) -> None:
        self._arguments = {"name": name, "experiment": experiment, "gates": gates, "tags": tags, "db": db}
        self._given = run
        self._checkpoints = checkpoints
        self._recorded: ForgivingRun | None = None

    @property
    def run(self) -> Run | None:
        """The run that is recorded into, once training has begun."""
        return self._recorded.run if self._recorded else self._given

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, model: Any = None, **_: Any
    ) -> None:
        """Open the run, on the first process only."""
        if not state.is_world_process_zero:
            return
        params = {**args.to_sanitized_dict(), **_model_params(model)}
        if self._recorded is None:
            arguments = {**self._arguments, "total_steps": state.max_steps or None, "roots": [args.output_dir]}
            arguments["name"] = arguments["name"] or args.run_name
            self._recorded = open_run(self._given, **arguments)
        self._recorded.log_params(params)

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: dict[str, Any] | None = None,
        **_: Any,
    ) -> None:
        """Record what the Trainer logs."""
        if self._recorded is not None and logs:
            values = {metric_name(key): value for key, value in logs.items() if key not in _NOT_METRICS}
            self._recorded.log(values, state.global_step)

    def on_save(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Hash the checkpoint that was just saved; the best one so far is recorded as such too."""
        if self._recorded is None or not self._checkpoints:
            return
        folder = f"{args.output_dir}/checkpoint-{state.global_step}"
        self._recorded.log_file(folder, "checkpoint", state.global_step)
        if state.best_model_checkpoint and state.best_model_checkpoint.rstrip("/") == folder.rstrip("/"):
            self._recorded.log_file(folder, "best", state.global_step)

    def on_train_end(self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **_: Any) -> None:
        """Put everything on the disk; an evaluation may still follow, so the run stays open."""
        if self._recorded is not None and self._recorded.run.status == "running":
            self._recorded.run.sync()

    def close(self) -> None:
        """End the run now, if it was opened here."""
        if self._recorded is not None and self._given is None:
            self._recorded.finish(evidence="the Trainer's callback was closed")


def metric_name(key: str) -> str:
    """Return the name of a Trainer's metric: `eval_loss` is `eval/loss`, `loss` is `train/loss`."""
    for mode in ("eval", "test"):
        if key.startswith(f"{mode}_"):
            return f"{mode}/{key.removeprefix(f'{mode}_')}"
    return f"train/{key.removeprefix('train_')}" if not key.startswith("train_") else f"train/final_{key[6:]}"


def _model_params(model: Any) -> dict[str, Any]:
    config = getattr(model, "config", None)
    found = {} if config is None else config.to_dict()
    return {f"model.{key}": value for key, value in found.items() if isinstance(value, str | int | float | bool)}

"""One tracker's store, made and read in a process of its own: `reader.py PEER make N` and `reader.py PEER ask N` print
one JSON line. N runs with 20 metrics of 100 steps; public API only, as the peer documents it.

`ask` times, in CPU milliseconds: every run with its best loss, in order; one history; 10 runs compared on 20 metrics.
"""

import csv
import json
import logging
import os
import random
import subprocess
import sys
import time
from pathlib import Path

N_STEPS = 100
METRICS = ["loss", *(f"m{number:02d}" for number in range(1, 20))]


def values_of(run, step):
    """Return the values of all metrics at a step; the best loss lies somewhere in the middle."""
    noise = random.Random(run * 1_000 + step)
    return {name: (step - 60) ** 2 / 3600 + noise.random() for name in METRICS}


class Holdfast:
    def make(self, n_runs):
        import registry

        for run in range(n_runs):
            with registry.init(experiment="bench", name=f"r{run}") as one:
                for step in range(N_STEPS):
                    one.log(values_of(run, step), step=step)
        registry.open().runs()

    def open(self):
        import registry

        self.record = registry.open()
        self.ids = {run["name"]: run["id"] for run in self.record.runs()}

    def by_best(self):
        return sorted((run["metrics"]["loss"]["best"], run["id"]) for run in self.record.runs())

    def history(self, run):
        return self.record.history(self.ids[f"r{run}"], "loss")

    def compare(self, runs):
        return [run["metrics"] for run in self.record.runs(ids=tuple(self.ids[f"r{run}"] for run in runs))]


class Mlflow:
    def _client(self):
        os.environ.update(MLFLOW_DISABLE_TELEMETRY="true", DO_NOT_TRACK="true")
        logging.getLogger("alembic").setLevel(logging.ERROR)
        from mlflow import MlflowClient

        return MlflowClient(f"sqlite:///{Path.cwd()}/mlflow.db")

    def make(self, n_runs):
        from mlflow.entities import Metric

        client = self._client()
        experiment = client.create_experiment("bench")
        for run in range(n_runs):
            one = client.create_run(experiment, run_name=f"r{run}").info.run_id
            points = [
                Metric(name, value, step, step)
                for step in range(N_STEPS)
                for name, value in values_of(run, step).items()
            ]
            for first in range(0, len(points), 1_000):
                client.log_batch(one, metrics=points[first : first + 1_000])
            client.set_terminated(one)

    def open(self):
        self.client = self._client()
        (experiment,) = [one for one in self.client.search_experiments() if one.name == "bench"]
        found = self.client.search_runs([experiment.experiment_id], max_results=50_000)
        self.runs = {run.info.run_name: run.info.run_id for run in found}

    def _values(self, run, name):
        return [(point.step, point.value) for point in self.client.get_metric_history(run, name)]

    def by_best(self):
        return sorted((min(value for _, value in self._values(run, "loss")), run) for run in self.runs.values())

    def history(self, run):
        return self._values(self.runs[f"r{run}"], "loss")

    def compare(self, runs):
        return [
            {name: min(value for _, value in self._values(self.runs[f"r{run}"], name)) for name in METRICS}
            for run in runs
        ]


class Trackio:
    def _storage(self):
        os.environ["TRACKIO_DIR"] = str(Path.cwd())
        from trackio.sqlite_storage import SQLiteStorage

        return SQLiteStorage

    def make(self, n_runs):
        self._storage()
        import trackio

        for run in range(n_runs):
            trackio.init(project="bench", name=f"r{run}", embed=False)
            for step in range(N_STEPS):
                trackio.log(values_of(run, step), step=step)
            trackio.finish()

    def open(self):
        self.storage = self._storage()
        import trackio

        self.runs = [run.name for run in trackio.Api().runs("bench")]

    def _rows(self, run):
        return self.storage.get_logs("bench", run)

    def by_best(self):
        return sorted((min(row["loss"] for row in self._rows(run)), run) for run in self.runs)

    def history(self, run):
        return [(row["step"], row["loss"]) for row in self._rows(f"r{run}")]

    def compare(self, runs):
        rows = [self._rows(f"r{run}") for run in runs]
        return [{name: min(row[name] for row in one) for name in METRICS} for one in rows]


class Aim:
    def make(self, n_runs):
        from aim import Run

        for run in range(n_runs):
            one = Run(
                repo=".", experiment="bench", system_tracking_interval=None, log_system_params=False,
                capture_terminal_logs=False,
            )  # fmt: skip
            one.name = f"r{run}"
            for step in range(N_STEPS):
                one.track(values_of(run, step), step=step)
            one.close()
        subprocess.run(
            [Path(sys.executable).with_name("aim"), "storage", "reindex", "-y"], check=True, capture_output=True
        )

    def open(self):
        from aim import Repo
        from aim.storage.context import Context

        self.context = Context({})
        self.runs = {run.name: run for run in Repo.from_path(".").iter_runs()}

    def _values(self, run, name):
        steps, (values, _, _) = run.get_metric(name, self.context).data.items_list()
        return list(zip(steps, values, strict=True))

    def by_best(self):
        return sorted((min(value for _, value in self._values(run, "loss")), name) for name, run in self.runs.items())

    def history(self, run):
        return self._values(self.runs[f"r{run}"], "loss")

    def compare(self, runs):
        return [
            {name: min(value for _, value in self._values(self.runs[f"r{run}"], name)) for name in METRICS}
            for run in runs
        ]


class Tensorboard:
    def make(self, n_runs):
        from torch.utils.tensorboard import SummaryWriter

        for run in range(n_runs):
            with SummaryWriter(f"r{run}") as writer:
                for step in range(N_STEPS):
                    for name, value in values_of(run, step).items():
                        writer.add_scalar(name, value, step)

    def open(self):
        self.runs = [path.name for path in Path().glob("r*")]

    def _events(self, run):
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        return EventAccumulator(run, size_guidance={"scalars": 0}).Reload()

    def by_best(self):
        return sorted((min(event.value for event in self._events(run).Scalars("loss")), run) for run in self.runs)

    def history(self, run):
        return [(event.step, event.value) for event in self._events(f"r{run}").Scalars("loss")]

    def compare(self, runs):
        found = [self._events(f"r{run}") for run in runs]
        return [{name: min(event.value for event in one.Scalars(name)) for name in METRICS} for one in found]


class Dvclive:
    def make(self, n_runs):
        from dvclive import Live

        for run in range(n_runs):
            with Live(f"r{run}", save_dvc_exp=False, dvcyaml=None, report=None, monitor_system=False) as live:
                for step in range(N_STEPS):
                    for name, value in values_of(run, step).items():
                        live.log_metric(name, value)
                    live.next_step()

    def open(self):
        self.runs = [path.name for path in Path().glob("r*")]

    def _values(self, run, name):
        with open(f"{run}/plots/metrics/{name}.tsv", newline="") as file:
            return [(int(row["step"]), float(row[name])) for row in csv.DictReader(file, delimiter="\t")]

    def by_best(self):
        return sorted((min(value for _, value in self._values(run, "loss")), run) for run in self.runs)

    def history(self, run):
        return self._values(f"r{run}", "loss")

    def compare(self, runs):
        return [{name: min(value for _, value in self._values(f"r{run}", name)) for name in METRICS} for run in runs]


PEERS = {one.__name__.lower(): one for one in (Holdfast, Mlflow, Trackio, Aim, Tensorboard, Dvclive)}


def timed(work):
    """Return the CPU milliseconds of the second call, and what it returned."""
    work()
    began = time.process_time()
    found = work()
    return (time.process_time() - began) * 1e3, found


def ask(peer, n_runs):
    """Return what the three questions cost. Raises AssertionError when an answer is not whole."""
    store = PEERS[peer]()
    store.open()
    by_best_ms, listed = timed(store.by_best)
    history_ms, points = timed(lambda: store.history(n_runs // 2))
    compare_ms, compared = timed(lambda: store.compare(range(min(10, n_runs))))
    assert len(listed) == n_runs and len(points) == N_STEPS and len(compared) == min(10, n_runs)
    assert all(set(METRICS) <= set(one) for one in compared)
    return {"by_best_ms": by_best_ms, "history_ms": history_ms, "compare_ms": compare_ms}


if __name__ == "__main__":
    name, task, number = sys.argv[1], sys.argv[2], int(sys.argv[3])
    answer = PEERS[name]().make(number) or {} if task == "make" else ask(name, number)
    print("RESULT " + json.dumps(answer), flush=True)

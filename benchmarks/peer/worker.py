"""One logger, one task, in a process of its own: `worker.py PEER TASK N` prints one JSON line. Standard library
and the peer alone, so that it runs in the peer's own environment. Public API only, as the peer documents it.

Tasks: `one` (N calls of one metric), `twenty` (N calls of twenty), `crash` (log until killed; the file `told` counts).
"""

import json
import mmap
import os
import resource
import struct
import sys
import time
from pathlib import Path


def holdfast():
    import registry

    run = registry.init(experiment="bench", name="bench")
    return lambda values, step: run.log(values, step=step), run.finish


def mlflow():
    import mlflow

    mlflow.set_tracking_uri(f"sqlite:///{Path.cwd()}/mlflow.db")
    mlflow.set_experiment("bench")
    mlflow.start_run()

    def log(values, step):
        mlflow.log_metrics(values, step=step)

    return log, mlflow.end_run


def wandb():
    os.environ.update(WANDB_MODE="offline", WANDB_SILENT="true")
    import wandb

    run = wandb.init(project="bench", settings=wandb.Settings(console="off"))
    return lambda values, step: run.log(values, step=step), run.finish


def trackio():
    os.environ["TRACKIO_DIR"] = str(Path.cwd())
    import trackio

    trackio.init(project="bench")
    return lambda values, step: trackio.log(values, step=step), trackio.finish


def aim():
    from aim import Run

    run = Run(repo=str(Path.cwd()), experiment="bench", system_tracking_interval=None, capture_terminal_logs=False)

    def log(values, step):
        for name, value in values.items():
            run.track(value, name=name, step=step)

    return log, run.close


def tensorboard():
    from torch.utils.tensorboard import SummaryWriter

    writer = SummaryWriter("tb")

    def log(values, step):
        for name, value in values.items():
            writer.add_scalar(name, value, step)

    return log, writer.close


def dvclive():
    from dvclive import Live

    live = Live("dvclive", save_dvc_exp=False, report=None, monitor_system=False)

    def log(values, step):
        live.step = step
        for name, value in values.items():
            live.log_metric(name, value)
        live.make_summary()

    return log, live.end


def noop():
    return (lambda values, step: None), (lambda: None)


def read_back(peer):
    """Return how many points of `loss` are on the disk, as the peer's own reader finds them."""
    if peer == "holdfast":
        import registry

        with registry.open() as record:
            return len(record.history("bench", "loss"))
    if peer == "mlflow":
        from mlflow import MlflowClient

        client = MlflowClient(f"sqlite:///{Path.cwd()}/mlflow.db")
        (experiment,) = [found for found in client.search_experiments() if found.name == "bench"]
        (run,) = client.search_runs([experiment.experiment_id])
        return len(client.get_metric_history(run.info.run_id, "loss"))
    if peer == "tensorboard":
        from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

        found = EventAccumulator("tb", size_guidance={"scalars": 0})
        found.Reload()
        return len(found.Scalars("loss"))
    if peer == "trackio":
        import glob
        import sqlite3

        (path,) = glob.glob("*.db") or glob.glob("**/*.db", recursive=True)
        return sqlite3.connect(path).execute("SELECT count(*) FROM metrics").fetchone()[0]
    if peer == "dvclive":
        with open("dvclive/plots/metrics/loss.tsv") as file:
            return sum(1 for _ in file) - 1
    if peer == "aim":
        from aim import Repo

        return sum(len(list(metric.values)) for run in Repo(str(Path.cwd())).iter_runs() for metric in run.metrics())
    raise NotImplementedError(f"{peer} has no public reader of its offline files")


PEERS = {peer.__name__: peer for peer in (holdfast, mlflow, wandb, trackio, aim, tensorboard, dvclive, noop)}


def cpu_seconds():
    """Return the CPU time of this process and of the children it has waited for."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in used)


def cost(peer, n_calls, n_metrics):
    """Return the median of a call, and CPU seconds of this process and its children for all calls and the close."""
    log, close = PEERS[peer]()
    values = {"loss": 0.5, **{f"m{number}": 0.5 for number in range(n_metrics - 1)}}
    for step in range(5):
        log(values, step)
    before, taken = cpu_seconds(), []
    for step in range(5, n_calls + 5):
        began = time.perf_counter()
        log(values, step)
        taken.append(time.perf_counter() - began)
    close()
    cpu_s = cpu_seconds() - before
    return {"p50_us": sorted(taken)[len(taken) // 2] * 1e6, "cpu_us_per_point": cpu_s / n_calls / n_metrics * 1e6}


def log_until_killed(peer):
    log, _ = PEERS[peer]()
    with open("told", "w+b") as file:
        file.write(bytes(8))
        file.flush()
        counter = mmap.mmap(file.fileno(), 8)
        step = 0
        while True:
            log({"loss": float(step)}, step)
            step += 1
            counter[:] = struct.pack("q", step)


def main(peer, task, n_calls):
    if task == "crash":
        log_until_killed(peer)
    found = {"n": read_back(peer)} if task == "read" else cost(peer, n_calls, 20 if task == "twenty" else 1)
    print("RESULT " + json.dumps(found), flush=True)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], int(sys.argv[3]))
